//! Each target at its own time: whoever is slow holds up nobody.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use mana_edge::admin;
use mana_watch::exposition::Format;
use mana_watch::schedule::{INTERVAL, Schedule, TIMEOUT};
use tokio::sync::{mpsc, oneshot, watch};

use super::asking::{self, Given, Line, Ways};
use super::keeper::{Told, Turned};
use super::outside::Session;
use super::subjects::{Asked, Subjects};
use crate::supervisor::{Call, Message};
use crate::{clock, paths};

/// The round in which the supervisor is asked what there is, and host and processes are measured.
const SUBJECTS: &str = "subjects";
/// The edge, asked by its admin socket.
const EDGE: &str = "edge";
/// How long at most until the time is looked at again: a clock may be set.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a turn is about.
#[derive(Clone)]
enum Task {
    Subjects,
    Edge,
    Scrape { port: u16, labels: Vec<(String, String)>, ready: bool, line: Arc<Line> },
    Probe { labels: Vec<(String, String)>, asked: Asked, line: Arc<Line> },
    Outside(Arc<Session>),
}

/// Connections to where somebody is asked: the address, and the host where a connection is one host's alone.
type Lines = BTreeMap<(SocketAddr, Option<String>), Arc<Line>>;

/// Watches until the process ends.
pub(super) async fn run(
    data: PathBuf,
    mailbox: mpsc::Sender<Message>,
    told: SyncSender<Told>,
    known: watch::Sender<Subjects>,
) {
    let ways = Arc::new(Ways::new(mana_edge::local_certificate(&paths::authority(&data))));
    let edge = Arc::new(admin::Client::new(paths::edge_socket(&data)).timeout(TIMEOUT));
    let mut schedule = Schedule::new(INTERVAL);
    let mut tasks = BTreeMap::from([(SUBJECTS.to_owned(), Task::Subjects)]);
    let mut lines = Lines::new();
    let (ended, mut endings) = mpsc::channel::<(String, Option<Subjects>)>(64);
    if schedule.add(SUBJECTS, now_ms()).is_err() {
        return;
    }
    // What there is, at once: the first charts should not have to wait.
    begin(SUBJECTS.to_owned(), (now_ms(), 0), Task::Subjects, &ways, &edge, &mailbox, &told, &ended);
    loop {
        let wait = schedule
            .next_at()
            .map_or(LOOK_EVERY, |at| Duration::from_millis(u64::try_from(at - now_ms()).unwrap_or(0)).min(LOOK_EVERY));
        tokio::select! {
            Some((target, subjects)) = endings.recv() => {
                schedule.done(&target, now_ms());
                if let Some(subjects) = subjects {
                    follow(&subjects, &mut tasks, &mut lines, &mut schedule, &told);
                    known.send_replace(subjects);
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
        for turn in schedule.due(now_ms()) {
            match tasks.get(&turn.target) {
                Some(task) => begin(
                    turn.target.clone(),
                    (turn.at, schedule.missed(&turn.target)),
                    task.clone(),
                    &ways,
                    &edge,
                    &mailbox,
                    &told,
                    &ended,
                ),
                None => schedule.done(&turn.target, now_ms()),
            }
        }
    }
}

/// Takes up what is new and leaves what is gone.
fn follow(
    subjects: &Subjects,
    tasks: &mut BTreeMap<String, Task>,
    lines: &mut Lines,
    schedule: &mut Schedule,
    told: &SyncSender<Told>,
) {
    let mut line = |address, host| Arc::clone(lines.entry((address, host)).or_default());
    let mut wanted = BTreeMap::from([(SUBJECTS.to_owned(), Task::Subjects)]);
    if subjects.edge {
        wanted.insert(EDGE.to_owned(), Task::Edge);
    }
    for instance in &subjects.instances {
        if let Some(port) = instance.port {
            let target = instance.target();
            let line = line((Ipv4Addr::LOCALHOST, port).into(), None);
            wanted.insert(target, Task::Scrape { port, labels: instance.labels(), ready: instance.ready, line });
        }
    }
    for service in &subjects.services {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let direct = service.direct.iter().map(|asked| (asked, format!("{}/probe-direct", service.name), None));
        let public = service.public.iter().map(|asked| {
            (asked, format!("{}/probe-public/{}", service.name, asked.host), Some(label("host", &asked.host)))
        });
        for (asked, target, host) in direct.chain(public) {
            let via = if host.is_some() { "public" } else { "direct" };
            let labels = [label("service", &service.name), label("via", via)].into_iter().chain(host).collect();
            let is_its_own = asked.tls || asked.by_name.is_some();
            let line = line(asked.address, is_its_own.then(|| asked.host.clone()));
            wanted.insert(target, Task::Probe { labels, asked: asked.clone(), line });
        }
    }
    let mut intervals = BTreeMap::new();
    for outside in &subjects.outside {
        let target = outside.target();
        let session = match tasks.get(&target) {
            Some(Task::Outside(session)) if session.outside == *outside => Arc::clone(session),
            _ => Arc::new(Session::new(outside.clone())),
        };
        intervals.insert(target.clone(), outside.interval);
        wanted.insert(target, Task::Outside(session));
    }
    let gone: Vec<String> = tasks.keys().filter(|target| !wanted.contains_key(*target)).cloned().collect();
    for target in gone {
        schedule.remove(&target);
        tell(told, Told::Gone { target });
    }
    let interval = |target: &String| intervals.get(target).copied().unwrap_or(INTERVAL);
    wanted.retain(|target, _| match schedule.add_every(target, interval(target), now_ms()) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "too many targets");
            false
        }
    });
    *tasks = wanted;
    // Those that nobody is asked over any more.
    lines.retain(|_, line| Arc::strong_count(line) > 1);
}

#[expect(clippy::too_many_arguments, reason = "what a turn may need, handed on once")]
fn begin(
    target: String,
    (at, missed): (i64, u64),
    task: Task,
    ways: &Arc<Ways>,
    edge: &Arc<admin::Client>,
    mailbox: &mpsc::Sender<Message>,
    told: &SyncSender<Told>,
    ended: &mpsc::Sender<(String, Option<Subjects>)>,
) {
    let (ways, edge, mailbox, told, ended) =
        (Arc::clone(ways), Arc::clone(edge), mailbox.clone(), told.clone(), ended.clone());
    let named = target.clone();
    let turn = async move {
        let began = Instant::now();
        let turned = || Turned { at, took: began.elapsed(), missed };
        let mut subjects = None;
        match task {
            Task::Subjects => {
                subjects = ask(&mailbox).await;
                if let Some(subjects) = &subjects {
                    tell(&told, Told::Subjects { at, subjects: subjects.clone() });
                }
            }
            Task::Edge => {
                let answer = edge.metrics().await.map_err(|error| error.to_string());
                let answer = answer.map(|text| Given::Exposition(Format::Text, text.into_bytes()));
                let labels = vec![("service".to_owned(), EDGE.to_owned()), ("instance".to_owned(), EDGE.to_owned())];
                tell(&told, Told::Scraped { target: target.clone(), labels, turn: turned(), answer, ready: true });
            }
            Task::Scrape { port, labels, ready, line } => {
                let answer = asking::scrape(&line, port, TIMEOUT).await.map_err(|failure| failure.to_string());
                tell(&told, Told::Scraped { target: target.clone(), labels, turn: turned(), answer, ready });
            }
            Task::Probe { labels, asked, line } => {
                let answer = asking::probe(&line, &ways, TIMEOUT, &asked).await;
                tell(&told, Told::Probed { target: target.clone(), labels, at, took: began.elapsed(), answer });
            }
            Task::Outside(session) => {
                let reading = session.ask().await;
                tell(&told, Told::Outside { at, session, reading });
            }
        }
        subjects
    };
    tokio::spawn(async move {
        // However it ends: a target whose turn never did would not be asked again. What a panic says, its hook has written.
        let subjects = AssertUnwindSafe(turn).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(target = named, "a turn broke off");
            None
        });
        // Whoever hears it is gone only when the process ends.
        let _ = ended.send((named, subjects)).await;
    });
}

async fn ask(mailbox: &mpsc::Sender<Message>) -> Option<Subjects> {
    let (reply, answer) = oneshot::channel();
    mailbox.send(Message::Call(Box::new(Call::Subjects(reply)))).await.ok()?;
    tokio::time::timeout(TIMEOUT, answer).await.ok()?.ok()?.ok()
}

/// The keeper is never waited for: a disk that hangs must not hold the control plane up.
pub(super) fn tell(told: &SyncSender<Told>, what: Told) {
    match told.try_send(what) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => tracing::warn!("the store of series does not keep up; a round is left out"),
        Err(TrySendError::Disconnected(_)) => {
            tracing::error!("the keeper of series has ended: nothing is kept any more");
        }
    }
}

pub(super) fn now_ms() -> i64 {
    clock::timestamp().as_millisecond()
}
