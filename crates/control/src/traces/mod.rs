//! Spans: services and the edge post them to a listener on loopback (OTLP over HTTP), and they are kept as lines of a file.
//!
//! | module | what it is |
//! |---|---|
//! | `receiver` | the listener: who sends is known by a token, and spans carry that name |
//! | `keep` | the thread that reads bodies and writes the file, bounded by size and age |
//! | `find` | spans out of the files |
//!
//! Which requests are traced is the edge's to decide, at the first of them that a trace goes through ([`A_SECOND`]); whoever is called says
//! something only where its caller's `traceparent` says so. A span that is lost is counted by whoever lost it: nothing that serves waits.

mod find;
mod keep;
mod receiver;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use tokio::net::TcpListener;

use crate::key::Key;
use crate::paths;
pub(crate) use find::find;
pub(crate) use receiver::serve;

/// Requests that are traced in each second, in the order in which they come: those of the others are not.
pub(crate) const A_SECOND: u32 = 20;

/// Ports for the listener, where none is remembered: below those of instances, above those of services, and none that the system gives
/// to outgoing connections.
const PORTS: std::ops::Range<u16> = 14_318..15_318;
/// What the tokens are made for.
const PURPOSE: &str = "spans";
/// Variables that say where spans go. Where a manifest has set one, that is kept to.
const DECIDED: [&str; 5] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_SDK_DISABLED",
    "OTEL_CONFIG_FILE",
];

/// Where spans are sent, and who may.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    port: u16,
    key: Key,
}

impl Traces {
    /// Takes the port of the last time where it is free, else another one, and remembers it.
    pub(crate) async fn bind(data: &Path, key: &Key) -> io::Result<(TcpListener, Self)> {
        let remembered = fs::read_to_string(paths::spans_port(data)).ok().and_then(|text| text.trim().parse().ok());
        // Two control planes that begin at once seldom want the same one.
        let width = PORTS.end - PORTS.start;
        let begin = PORTS.start + rand::random::<u16>() % width;
        let candidates = remembered.into_iter().chain(begin..PORTS.end).chain(PORTS.start..begin);
        let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
        for port in candidates {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                Ok(listener) => {
                    if remembered != Some(port) {
                        fs::write(paths::spans_port(data), format!("{port}\n"))?;
                    }
                    return Ok((listener, Self { port, key: key.purpose(PURPOSE) }));
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Where spans are posted.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/v1/traces", self.base())
    }

    fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// By which a service is known.
    pub(crate) fn token(&self, service: &str) -> String {
        format!("{service}.{}", self.key.mark(service))
    }

    /// Whose token this is.
    fn whose<'a>(&self, token: &'a str) -> Option<&'a str> {
        let (service, mark) = token.rsplit_once('.')?;
        self.key.marks(service, mark).then_some(service)
    }

    /// What exporters of OpenTelemetry are told.
    fn variables(&self, service: &str) -> Vec<(&'static str, String)> {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.base()),
            ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{}", self.token(service))),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
            // Measurements are scraped, and lines are read from standard output.
            ("OTEL_METRICS_EXPORTER", "none".to_owned()),
            ("OTEL_LOGS_EXPORTER", "none".to_owned()),
        ]
    }
}

/// The variables by which a service knows where its spans go: to the collector that the environment names (`elsewhere`), else here. None
/// that the manifest has set (`has`), and none at all where it has decided where spans go.
pub(crate) fn variables(
    here: Option<&Traces>,
    elsewhere: Option<&str>,
    service: &str,
    has: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    if DECIDED.into_iter().any(&has) {
        return Vec::new();
    }
    let mut told = match (elsewhere, here) {
        (Some(endpoint), _) => vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.to_owned())],
        (None, Some(here)) => here.variables(service),
        (None, None) => return Vec::new(),
    };
    told.push(("OTEL_SERVICE_NAME", service.to_owned()));
    told.retain(|(name, _)| !has(name));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_control_plane_that_returns_takes_the_same_port_and_knows_the_tokens() {
        let data = tempfile::tempdir().expect("a folder");
        let key = Key::of(data.path()).expect("a key");
        let (listener, first) = Traces::bind(data.path(), &key).await.expect("bound");
        let token = first.token("chat-web");
        let (_another, beside) = Traces::bind(data.path(), &key).await.expect("bound beside it");
        assert_ne!(first.port, beside.port);
        drop(listener);
        fs::write(paths::spans_port(data.path()), first.port.to_string()).expect("written");
        let (_listener, second) = Traces::bind(data.path(), &key).await.expect("bound again");
        assert_eq!(second.port, first.port);
        assert_eq!(second.whose(&token), Some("chat-web"));
        for other in ["chat-web.", "chat-web", "", "auth.00", &token.replace("chat-web", "auth")] {
            assert_eq!(second.whose(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_manifest_says_of_spans_is_kept_to() {
        let data = tempfile::tempdir().expect("a folder");
        let traces = Traces { port: 14_318, key: Key::of(data.path()).expect("a key") };
        let told = variables(Some(&traces), None, "chat", |_| false);
        assert_eq!(told[0], ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:14318".to_owned()));
        assert_eq!(told[1].1, format!("authorization=Bearer%20{}", traces.token("chat")));
        for decided in DECIDED {
            assert_eq!(variables(Some(&traces), None, "chat", |name| name == decided), [], "{decided}");
        }
        let named = variables(Some(&traces), None, "chat", |name| name == "OTEL_SERVICE_NAME");
        assert_eq!(named.len(), told.len() - 1);
        let elsewhere = variables(Some(&traces), Some("http://a.b/v1/traces"), "chat", |_| false);
        let expected = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a.b/v1/traces"), ("OTEL_SERVICE_NAME", "chat")];
        assert_eq!(elsewhere, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(variables(None, None, "chat", |_| false), []);
    }
}
