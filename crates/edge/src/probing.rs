//! Asking instances how they are, while nobody else does: one that hangs is found before a client finds it, and one that was left
//! out is taken in again as soon as it is well.
//!
//! Each thread asks for itself, over the connections that its requests use, at its own pace with jitter. What follows from the
//! answers is in [`Health`], which is pure.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::StatusCode;

use crate::http1::link::Link;
use crate::pool::Upstream;
use crate::worker::Worker;
use crate::{clock, h2c};

/// What is asked, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) path: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// Probes in a row that have to fail, and then to succeed.
const FAILURES: u32 = 3;
const SUCCESSES: u32 = 2;

/// Largest answer that is read to keep the connection.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What probes have shown of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Health {
    is_unwell: bool,
    /// Probes in a row that speak against what is thought of it.
    against: u32,
}

impl Health {
    pub(crate) fn is_unwell(self) -> bool {
        self.is_unwell
    }

    /// After a probe.
    #[must_use]
    pub(crate) fn after(self, well: bool) -> Self {
        let Self { is_unwell, against } = self;
        if well != is_unwell {
            return Self { is_unwell, against: 0 };
        }
        let needed = if is_unwell { SUCCESSES } else { FAILURES };
        if against + 1 == needed {
            Self { is_unwell: !is_unwell, against: 0 }
        } else {
            Self { is_unwell, against: against + 1 }
        }
    }
}

/// Asks as long as the instance is in the table with a probe.
pub(crate) async fn run(worker: Rc<Worker>, upstream: Rc<Upstream>) {
    let _running = Running::new(&upstream.probing);
    while let Some(probe) = upstream.probe() {
        // Between half and one and a half: instances and threads are asked at different times.
        tokio::time::sleep(probe.interval.mul_f64(0.5 + clock::chance())).await;
        if upstream.is_retired() {
            return;
        }
        let well = tokio::time::timeout(probe.timeout, ask(&worker, &upstream, &probe)).await.unwrap_or(false);
        let before = upstream.health.get();
        let health = before.after(well);
        upstream.health.set(health);
        if !well {
            worker.registry.thread.probe_failures.add(1);
        }
        if before.is_unwell != health.is_unwell {
            tracing::warn!(instance = %upstream.id, address = %upstream.address, well, "probes say so");
        }
        if before.is_unwell && !health.is_unwell {
            upstream.returns(worker.ticker.now());
        }
    }
}

/// Says that an instance is asked, until dropped.
struct Running<'a>(&'a Cell<bool>);

impl<'a> Running<'a> {
    fn new(running: &'a Cell<bool>) -> Self {
        running.set(true);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Whether it answers, and not with an error of its own.
async fn ask(worker: &Worker, upstream: &Upstream, probe: &Probe) -> bool {
    if let Some(shared) = &upstream.h2c {
        return h2c::probe(shared, upstream.address, &probe.path).await.is_some_and(is_well);
    }
    // A kept connection may have been closed by the instance: that says nothing of how it is.
    if let Some(link) = upstream.take()
        && let Some(well) = ask_on(link, worker, upstream, probe).await
    {
        return well;
    }
    match upstream.connect().await {
        Ok(link) => ask_on(link, worker, upstream, probe).await.unwrap_or(false),
        Err(_refused) => false,
    }
}

/// `None`: the connection ended before an answer.
async fn ask_on(mut link: Box<Link>, worker: &Worker, upstream: &Upstream, probe: &Probe) -> Option<bool> {
    let (path, address) = (&probe.path, upstream.address);
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: mana-probe\r\n\r\n");
    link.begin(None, false);
    let status = std::future::poll_fn(|cx| {
        loop {
            match ready!(link.poll_answer(cx, head.as_bytes())) {
                Ok(head) if head.status.is_informational() => {}
                answer => return Poll::Ready(answer.ok().map(|head| head.status)),
            }
        }
    })
    .await?;
    if drained(&mut link).await {
        upstream.keep(link, &worker.ticker);
    }
    Some(is_well(status))
}

fn is_well(status: StatusCode) -> bool {
    !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS
}

/// Reads an answer to its end. Says whether it had one.
async fn drained(link: &mut Link) -> bool {
    let mut left = MAX_ANSWER_BYTES;
    std::future::poll_fn(|cx| {
        while let Some(frame) = ready!(link.poll_frame(cx)) {
            let length = frame.map(|frame| frame.data_ref().map_or(0, |data| data.len() as u64));
            match length.ok().and_then(|length| left.checked_sub(length)) {
                Some(rest) => left = rest,
                None => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_leave_it_out_and_two_successes_take_it_in() {
        let after = |health: Health, results: &[bool]| results.iter().fold(health, |health, well| health.after(*well));
        let well = Health::default();
        assert!(!after(well, &[false, false]).is_unwell());
        assert!(!after(well, &[false, false, true, false, false]).is_unwell(), "in a row");
        let unwell = after(well, &[false, false, false]);
        assert!(unwell.is_unwell());
        assert!(after(unwell, &[true]).is_unwell() && after(unwell, &[true, false, true]).is_unwell());
        assert_eq!(after(unwell, &[true, true]), well);
    }
}
