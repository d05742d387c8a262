//! Asking instances how they are, while nobody else does: one that hangs is found before a client finds it, and one that was left
//! out is taken in again as soon as it is well.
//!
//! Each thread asks for itself, over the connections that its requests use, at its own pace with jitter. What follows from the
//! answers is in [`Health`], which is pure.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::body::RequestBody;
use crate::clock;
use crate::pool::{Link, Upstream};
use crate::worker::Worker;

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

const USER_AGENT: HeaderValue = HeaderValue::from_static("mana-probe");

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
    fn after(self, well: bool) -> Self {
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
    let mut request = Request::new(RequestBody::none());
    *request.uri_mut() = probe.path.parse().ok()?;
    let host = HeaderValue::try_from(upstream.address.to_string()).ok()?;
    request.headers_mut().insert(header::HOST, host);
    request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
    let answer = tokio::task::unconstrained(link.sender.try_send_request(request));
    let mut answer = pin!(answer);
    let answer = std::future::poll_fn(|cx| {
        let ended = link.poll(cx).is_ready();
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Poll::Ready(answer.ok()),
            Poll::Pending if ended => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    let well =
        !matches!(answer.status(), status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS);
    if drained(&mut link, answer.into_body()).await {
        // Its end may have been read but not yet acted on.
        let _ended = link.poll(&mut Context::from_waker(Waker::noop()));
        upstream.keep(link, &worker.ticker);
    }
    Some(well)
}

/// Reads an answer to its end. Says whether the connection can be used again.
async fn drained(link: &mut Link, mut body: Incoming) -> bool {
    let mut left = MAX_ANSWER_BYTES;
    std::future::poll_fn(|cx| {
        loop {
            if body.is_end_stream() {
                return Poll::Ready(true);
            }
            let mut frame = Pin::new(&mut body).poll_frame(cx);
            if frame.is_pending() {
                let _ended = link.poll(cx);
                frame = Pin::new(&mut body).poll_frame(cx);
            }
            match std::task::ready!(frame) {
                None => return Poll::Ready(true),
                Some(Err(_)) => return Poll::Ready(false),
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                    match left.checked_sub(length) {
                        Some(rest) => left = rest,
                        None => return Poll::Ready(false),
                    }
                }
            }
        }
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
