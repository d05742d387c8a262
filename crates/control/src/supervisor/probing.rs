//! The tasks that ask instances how they are, each at the pace its phase asks for.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mana_edge::admin;
use mana_runtime::lifecycle::{Answer, What};
use mana_runtime::probe::{self, DOUBT_INTERVAL, PROBE_TIMEOUT, READY_INTERVAL, STARTING_INTERVAL, jittered};
use mana_watch::schedule::STEP_MS;
use tokio::sync::{mpsc, watch};

use super::Message;
use super::place::Prober;
use crate::clock;
use crate::desired::Facts;
use crate::reconcile::Key;

/// How often an instance is asked, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Often: every moment it is ready earlier counts.
    Starting,
    /// Seldom.
    Ready,
    /// The last probe failed: soon again.
    Doubtful,
    /// As soon, and whether it lives at all.
    Unready,
    /// Not at all: it is not expected to answer.
    Resting,
}

impl Pace {
    fn interval(self) -> Option<Duration> {
        match self {
            Self::Starting => Some(STARTING_INTERVAL),
            Self::Ready => Some(READY_INTERVAL),
            Self::Doubtful | Self::Unready => Some(DOUBT_INTERVAL),
            Self::Resting => None,
        }
    }
}

/// Whom to ask.
#[derive(Debug)]
pub(super) enum Target {
    /// The edge of this process, on the admin socket that every edge takes over from the one before.
    Edge { socket: PathBuf, pid: u32 },
    /// A service, by HTTP.
    Service { port: u16, h2c: bool, ready: String, live: String },
}

impl Target {
    pub(super) fn service(port: u16, facts: &Facts) -> Self {
        Self::Service { port, h2c: facts.h2c, ready: facts.ready.clone(), live: facts.live.clone() }
    }
}

/// Starts asking.
pub(super) fn start(key: Key, run: u64, target: Target, pace: Pace, mailbox: mpsc::Sender<Message>) -> Prober {
    let (sender, pace) = watch::channel(pace);
    let task = tokio::spawn(ask_on(key, run, target, pace, mailbox));
    Prober { pace: sender, task: task.abort_handle() }
}

async fn ask_on(key: Key, run: u64, target: Target, mut pace: watch::Receiver<Pace>, mailbox: mpsc::Sender<Message>) {
    let mut asker = Asker::new(target);
    loop {
        let now = *pace.borrow_and_update();
        let Some(interval) = now.interval() else {
            if pace.changed().await.is_err() {
                return;
            }
            continue;
        };
        let (ready, live) = asker.ask(now == Pace::Unready).await;
        // The owner is gone: so is the reason to ask.
        if mailbox.send(Message::Life { key, what: What::Probed { run, ready, live } }).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause(now, interval)) => {}
            changed = pace.changed() => if changed.is_err() { return },
        }
    }
}

/// Until an instance is asked next. Those that are ready are asked at the moments at which the watch asks, too: of dozens of them
/// several at once, since each time that a processor wakes costs as much as a question.
fn pause(pace: Pace, interval: Duration) -> Duration {
    let pause = jittered(interval, clock::chance());
    if pace == Pace::Ready { until_next(clock::timestamp().as_millisecond(), pause) } else { pause }
}

/// Until the first of those moments that is `pause` or more after `now`, in milliseconds since 1970.
fn until_next(now: i64, pause: Duration) -> Duration {
    let after = now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
    let moment = after.saturating_add((STEP_MS - after.rem_euclid(STEP_MS)) % STEP_MS);
    Duration::from_millis(moment.saturating_sub(now).unsigned_abs())
}

/// Keeps what is needed from one question to the next.
#[derive(Debug)]
enum Asker {
    Edge { client: admin::Client, pid: u32 },
    Service { prober: probe::Prober, ready: String, live: String },
}

impl Asker {
    fn new(target: Target) -> Self {
        match target {
            Target::Edge { socket, pid } => {
                Self::Edge { client: admin::Client::new(socket).timeout(PROBE_TIMEOUT), pid }
            }
            Target::Service { port, h2c, ready, live } => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                Self::Service { prober: probe::Prober::new(address, h2c), ready, live }
            }
        }
    }

    async fn ask(&mut self, and_live: bool) -> (Answer, Option<Answer>) {
        match self {
            Self::Edge { client, pid } => {
                let answer = match client.health().await {
                    Ok(health) if health.pid != *pid => Answer::Down("another edge answers in its place".to_owned()),
                    Ok(health) if health.status == admin::Status::Serving => Answer::Up,
                    Ok(_) => Answer::Down("it is draining".to_owned()),
                    Err(error) => Answer::Down(error.to_string()),
                };
                let live = and_live.then(|| answer.clone());
                (answer, live)
            }
            Self::Service { prober, ready, live } => {
                let answer = prober.ask(ready).await;
                let live = if and_live && answer != Answer::Up { Some(prober.ask(live).await) } else { None };
                (answer, live)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_ready_is_asked_at_a_moment_of_the_watch_and_never_too_early() {
        for now in [0, 1, 199, 200, 1_795_833_600_123] {
            for pause in [2_250, 3_000, 3_001, 3_750] {
                let moment = now + i64::try_from(until_next(now, Duration::from_millis(pause)).as_millis()).unwrap();
                assert_eq!(moment % STEP_MS, 0);
                assert!((0..STEP_MS).contains(&(moment - now - pause.cast_signed())), "{now} {pause}: {moment}");
            }
        }
        assert!((2_250..=3_950).contains(&pause(Pace::Ready, READY_INTERVAL).as_millis()));
        assert!(pause(Pace::Starting, STARTING_INTERVAL) < Duration::from_millis(32));
    }
}
