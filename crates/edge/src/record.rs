//! What is remembered of a request while it runs, and told to metrics and access log when it ends, however it ends.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode, Uri};

use crate::body::Upload;
use crate::cache::Use;
use crate::compress::Offer;
use crate::conn_state::Busy;
use crate::headers;
use crate::metrics::{Cells, Class};
use crate::otlp::Span;
use crate::pick::Choice;
use crate::policy::Pass;
use crate::pool::Upstream;
use crate::serve;
use crate::table::Target;
use crate::view::View;
use crate::worker::Worker;

/// Health checks are no users: in a route's numbers they would dilute what a gate reads.
const PROBE_PATHS: [&str; 2] = ["/api/health", "/api/health/ready"];

/// One request. Lives in the request's future first, in its answer's body then; its end is the request's.
pub(crate) struct Record {
    pub(crate) worker: Rc<Worker>,
    pub(crate) view: Rc<View>,
    pub(crate) busy: Busy,
    pub(crate) started: Instant,
    pub(crate) request_id: HeaderValue,
    pub(crate) upload: Option<Rc<Upload>>,
    pub(crate) retries: u32,
    pub(crate) status: Option<StatusCode>,
    pub(crate) to_head: Option<Duration>,
    /// From the request to an instance to its answer's head.
    pub(crate) upstream_took: Option<Duration>,
    pub(crate) route: Option<usize>,
    pub(crate) slot: Option<usize>,
    pub(crate) upstream: Option<Rc<Upstream>>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// What its route's policies say about it.
    pub(crate) pass: Option<Box<Pass>>,
    /// Its span, if it is traced.
    pub(crate) span: Option<Box<Span>>,
    /// Only while an access log is written, or traces are.
    pub(crate) asked: Option<Asked>,
    /// What of the answer's form the client leaves to the edge.
    pub(crate) offer: Option<Offer>,
    /// What is out of date should it succeed.
    pub(crate) outdates: Option<Box<str>>,
    /// What the cache had to do with it.
    pub(crate) cached: Option<Use>,
    kind: Kind,
    pub(crate) is_http1: bool,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Client,
    /// In no route's numbers: see [`PROBE_PATHS`].
    Probe,
    /// The edge's own, on behalf of a client that has its answer already; in no numbers either.
    Behind,
}

/// What was asked for, for the access log.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) host: Option<HeaderValue>,
    /// Whom the peer is believed to speak for, where that is somebody else.
    pub(crate) client: Option<IpAddr>,
    /// What its instance was told of the trace it belongs to.
    pub(crate) traceparent: Option<HeaderValue>,
}

impl Record {
    pub(crate) fn new(
        worker: &Rc<Worker>,
        view: Rc<View>,
        busy: Busy,
        request_id: HeaderValue,
        parts: &http::request::Parts,
    ) -> Box<Self> {
        worker.requests.set(worker.requests.get() + 1);
        let asked = (worker.logs() || view.table.traces.is_some()).then(|| Asked {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            host: parts.headers.get(http::header::HOST).cloned(),
            client: headers::spoken_for(&parts.headers, busy.state.peer.ip(), serve::claims(&view, &busy.state)),
            traceparent: None,
        });
        Box::new(Self {
            worker: Rc::clone(worker),
            view,
            busy,
            started: Instant::now(),
            request_id,
            upload: None,
            retries: 0,
            status: None,
            to_head: None,
            upstream_took: None,
            route: None,
            slot: None,
            upstream: None,
            received_bytes: 0,
            sent_bytes: 0,
            pass: None,
            span: None,
            asked,
            is_http1: parts.version < http::Version::HTTP_2,
            offer: None,
            outdates: None,
            cached: None,
            kind: if PROBE_PATHS.contains(&parts.uri.path()) { Kind::Probe } else { Kind::Client },
        })
    }

    /// Of a request that no client waits for.
    pub(crate) fn behind(
        worker: &Rc<Worker>,
        view: Rc<View>,
        busy: Busy,
        request_id: HeaderValue,
        parts: &http::request::Parts,
    ) -> Box<Self> {
        let mut record = Self::new(worker, view, busy, request_id, parts);
        record.kind = Kind::Behind;
        record
    }

    /// Whether somebody only wants to know how a service is.
    pub(crate) fn is_probe(&self) -> bool {
        self.kind == Kind::Probe
    }

    /// What the cache had to do with it.
    pub(crate) fn cached(&mut self, how: Use) {
        self.cached = Some(how);
        if let Some(cells) = self.cells() {
            cells.cache[how as usize].add(1);
        }
    }

    /// The request belongs to this route.
    pub(crate) fn enter_route(&mut self, route: usize) {
        self.route = Some(route);
        if let Some(cells) = self.cells() {
            cells.started.add(1);
        }
    }

    /// The view of now, and the route's place in it; `None`: the route is gone.
    pub(crate) fn now(&self) -> Option<(Rc<View>, usize)> {
        let view = self.worker.view();
        let route = self.route?;
        if view.epoch == self.view.epoch {
            return Some((view, route));
        }
        let name = &self.view.table.routes[route].name;
        let now = *view.table.names.get(name)?;
        Some((view, now))
    }

    /// Goes on under the view of now.
    pub(crate) fn catch_up(&mut self, (view, route): (Rc<View>, usize)) {
        if view.epoch == self.view.epoch {
            return;
        }
        // Slots have other places there, or are gone: until it enters one, it is with the route.
        if let Some(cells) = self.cells() {
            cells.moved.add(1);
        }
        (self.view, self.route, self.slot) = (view, Some(route), None);
        if let Some(cells) = self.cells() {
            cells.started.add(1);
        }
    }

    /// The slot that the request is in.
    pub(crate) fn slot_name(&self) -> Option<Arc<str>> {
        match &self.view.table.routes[self.route?].target {
            Target::Slots(slots) => Some(Arc::clone(&slots.slots[self.slot?].name)),
            Target::Static(_) | Target::Redirect(_) => None,
        }
    }

    /// Whether an instance is in the snapshot of now.
    pub(crate) fn is_there(&self, choice: &Choice) -> bool {
        // The thread may not have taken it over yet.
        let _now = self.worker.view();
        !choice.upstream.is_retired()
    }

    /// The request goes to this instance.
    pub(crate) fn enter_slot(&mut self, choice: &Choice) {
        self.upstream = Some(Rc::clone(&choice.upstream));
        if self.slot == Some(choice.slot) {
            return;
        }
        if let Some(cells) = self.cells() {
            cells.moved.add(1);
        }
        self.slot = Some(choice.slot);
        if let Some(cells) = self.cells() {
            cells.started.add(1);
        }
    }

    /// No connection could be opened.
    pub(crate) fn connect_failed(&self) {
        if let Some(cells) = self.cells() {
            cells.connect_failures.add(1);
        }
    }

    /// The instance failed in a way that is its own.
    pub(crate) fn instance_failed(&self) {
        let Some(upstream) = &self.upstream else { return };
        if upstream.failed(self.busy.state.ticker.now()) {
            tracing::warn!(instance = %upstream.id, address = %upstream.address, "it fails again and again and is left out for a while");
            if let Some(cells) = self.cells() {
                cells.ejections.add(1);
            }
        }
    }

    /// The request is sent again.
    pub(crate) fn retry(&mut self) {
        self.retries += 1;
        if let Some(cells) = self.cells() {
            cells.retries.add(1);
        }
    }

    /// The answer's head is there.
    pub(crate) fn head(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.to_head = Some(self.started.elapsed());
    }

    /// Part of the answer's body was handed on.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// The answer had begun and does not go on.
    pub(crate) fn broke_off(&mut self) {
        if let Some(cells) = self.cells() {
            cells.broken_off.add(1);
        }
    }

    /// A tunnel has ended.
    pub(crate) fn tunnelled(&mut self, received_bytes: u64, sent_bytes: u64) {
        self.received_bytes += received_bytes;
        self.sent_bytes += sent_bytes;
    }

    /// Where the request is counted at present; probes are not.
    fn cells(&self) -> Option<&Arc<Cells>> {
        if self.kind != Kind::Client {
            return None;
        }
        let route = self.view.route(self.route?);
        Some(self.slot.map_or(&route.cells, |slot| &route.slots[slot].cells))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.worker.requests.set(self.worker.requests.get() - 1);
        if let Some(upload) = &self.upload {
            self.received_bytes += upload.received_bytes.get();
        }
        if self.kind == Kind::Probe {
            self.worker.registry.thread.probes.add(1);
        }
        if let Some(cells) = self.cells() {
            let class = self.status.map_or(Class::Aborted, |status| Class::Status(status.as_u16()));
            let total = self.started.elapsed();
            cells.finish(class, self.to_head, self.upstream_took, total, self.received_bytes, self.sent_bytes);
        }
        if self.kind != Kind::Behind {
            self.worker.log(self);
        }
    }
}
