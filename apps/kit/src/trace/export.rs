//! Posts spans to the collector, a batch at a time, off the path of any request.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Settings, Told};
use crate::client;

/// Spans that may wait; about a kilobyte each.
const QUEUE: usize = 2_048;
/// Spans of one request to the collector.
const BATCH: usize = 512;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(500);
/// Longest time for a batch to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where ended spans are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exporter(mpsc::Sender<Told>);

impl Exporter {
    /// Begins to export. The task ends when all exporters are gone, and what is left was sent.
    pub fn start(settings: Settings) -> (Self, JoinHandle<()>) {
        let (sender, spans) = mpsc::channel(QUEUE);
        (Self(sender), tokio::spawn(run(settings, spans)))
    }

    pub(super) fn tell(&self, span: Told) {
        if self.0.try_send(span).is_err() {
            lost(1);
        }
    }
}

async fn run(settings: Settings, mut spans: mpsc::Receiver<Told>) {
    let client = client::internal();
    let mut told = false;
    loop {
        let mut batch = Vec::new();
        if spans.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH
            && let Ok(Some(span)) = tokio::time::timeout_at(until, spans.recv()).await
        {
            batch.push(span);
        }
        match post(&client, &settings, &batch).await {
            Ok(()) => told = false,
            Err(error) => {
                lost(batch.len());
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(endpoint = %settings.endpoint, error, "the collector does not take spans; they are lost");
                }
            }
        }
    }
}

fn lost(spans: usize) {
    metrics::counter!("spans_lost_total").increment(spans as u64);
}

async fn post(client: &reqwest::Client, settings: &Settings, batch: &[Told]) -> Result<(), String> {
    let call = client.post(settings.endpoint.clone()).headers(settings.headers.clone()).timeout(PATIENCE);
    let answer = call.json(&body(settings, batch)).send().await.map_err(|error| error.without_url().to_string())?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answers {status}")) }
}

/// `ExportTraceServiceRequest`
fn body(settings: &Settings, batch: &[Told]) -> Value {
    let mut resource = vec![attribute("service.name", &settings.service)];
    resource.extend(settings.instance.as_ref().map(|instance| attribute("service.instance.id", instance)));
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{
            "scope": { "name": "kit", "version": env!("CARGO_PKG_VERSION") },
            "spans": batch.iter().map(span).collect::<Vec<_>>(),
        }],
    }] })
}

fn span(told: &Told) -> Value {
    let took = i128::try_from(told.took.as_nanos()).unwrap_or(i128::MAX);
    let mut span = json!({
        "traceId": told.trace,
        "spanId": told.id,
        "name": told.name,
        "kind": told.kind as u8,
        "startTimeUnixNano": told.began_nanos.to_string(),
        "endTimeUnixNano": told.began_nanos.saturating_add(took).to_string(),
        "attributes": told.attributes.iter().map(|(key, value)| attribute(key, value)).collect::<Vec<_>>(),
        "status": {},
    });
    if let Some(parent) = &told.parent {
        span["parentSpanId"] = json!(parent);
    }
    if let Some(why) = &told.failed {
        span["status"] = json!({ "code": 2, "message": why });
    }
    span
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}
