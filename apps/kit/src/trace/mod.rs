//! Traces: what a service did for one request, as spans of time, for a collector that takes OTLP.
//!
//! The edge decides which requests are traced, and says so in `traceparent`. Of one that is, the shell tells a span of its own, from
//! its begin to its answer's head; its callees are told that they are within it. What else took time is wrapped in [`call`] (something
//! else was asked) or [`step`] (work of one's own):
//!
//! ```ignore
//! let reserved = trace::call("reserve credits", ledger.reserve(user, price)).await?;
//! ```
//!
//! Of a request that is not traced nothing is told, and next to nothing is done. A span never waits: what the collector does not
//! take is lost, and counted (`spans_lost_total`). No attribute holds what a person wrote.

mod export;
mod settings;

use std::fmt::Display;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::clock;
use crate::context::{self, Context};
pub use export::Exporter;
pub use settings::Settings;

/// Which side of a call a span is; its number in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// What calls within a span have to know of it.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    exporter: Exporter,
    trace: String,
    id: String,
}

/// What is told when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    trace: String,
    id: String,
    parent: Option<String>,
    name: String,
    kind: Kind,
    began_nanos: i128,
    took: Duration,
    failed: Option<String>,
    attributes: Vec<(&'static str, String)>,
}

/// A span that goes on. Told when it is dropped: one whose work is given up took time, too.
#[derive(Debug)]
pub(crate) struct Begun {
    exporter: Exporter,
    told: Told,
    began: Instant,
}

impl Begun {
    fn new(exporter: &Exporter, trace: &str, parent: Option<String>, name: String, kind: Kind) -> Self {
        let told = Told {
            trace: trace.to_owned(),
            id: new_id(),
            parent,
            name,
            kind,
            began_nanos: clock::now().as_nanosecond(),
            took: Duration::ZERO,
            failed: None,
            attributes: Vec::new(),
        };
        Self { exporter: exporter.clone(), told, began: Instant::now() }
    }

    pub(crate) fn say(&mut self, key: &'static str, value: impl Display) {
        self.told.attributes.push((key, value.to_string()));
    }

    pub(crate) fn fail(&mut self, why: impl Display) {
        self.told.failed = Some(why.to_string());
    }

    /// A part of the same request, within this span.
    fn around(&self, context: Context) -> Context {
        let traceparent = HeaderValue::from_str(&format!("00-{}-{}-01", self.told.trace, self.told.id));
        let span = Active { exporter: self.exporter.clone(), trace: self.told.trace.clone(), id: self.told.id.clone() };
        Context { traceparent: traceparent.ok(), span: Some(span), ..context }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.told.took = self.began.elapsed();
        self.exporter.tell(self.told.clone());
    }
}

/// Begins the span of a request that is answered, if it is traced: its name, and the context within it.
pub(crate) fn enter(
    exporter: Option<&Exporter>,
    context: Context,
    name: impl FnOnce() -> String,
) -> (Context, Option<Begun>) {
    let Some((exporter, (trace, parent))) = exporter.zip(context.traceparent.as_ref().and_then(sampled)) else {
        return (context, None);
    };
    let mut span = Begun::new(exporter, &trace, Some(parent), name(), Kind::Server);
    span.say("mana.request_id", context.request_id());
    (span.around(context), Some(span))
}

/// Trace and span of a caller that wants to be traced.
fn sampled(traceparent: &HeaderValue) -> Option<(String, String)> {
    let mut parts = traceparent.to_str().ok()?.split('-').skip(1);
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    (u8::from_str_radix(flags, 16).ok()? & 1 == 1).then(|| (trace.to_owned(), span.to_owned()))
}

/// Asks something else, as a span of the request that is being answered.
pub async fn call<T, E: Display>(name: &'static str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    within(name, Kind::Client, work).await
}

/// Does work of one's own, as a span of the request that is being answered.
pub async fn step<T, E: Display>(name: &'static str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    within(name, Kind::Internal, work).await
}

async fn within<T, E: Display>(
    name: &'static str,
    kind: Kind,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let current = context::current().and_then(|context| Some((context.span.clone()?, context)));
    let Some((around, context)) = current else { return work.await };
    let mut span = Begun::new(&around.exporter, &around.trace, Some(around.id), name.to_owned(), kind);
    let outcome = span.around(context).scope(work).await;
    if let Err(error) = &outcome {
        span.fail(error);
    }
    outcome
}

/// 8 bytes in hexadecimal. The last half of a UUIDv7 is chance but for two bits, which keep it from being zero.
fn new_id() -> String {
    hex::encode(&clock::new_id().as_bytes()[8..])
}
