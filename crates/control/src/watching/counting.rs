//! Who was affected by an incident: clients whose requests failed, by their addresses in the edge's log of requests; where it names none, the
//! requests that failed, as the edge counted them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use mana_watch::incident::Incident;
use mana_watch::query::{self, Answer, Limits};
use mana_watch::store::Reader;
use serde::Deserialize;

use super::subjects::Service;

/// What is counted, in words that stand behind the number. The edge knows addresses and requests, and not people.
pub(super) const CLIENTS: &str = "clients (addresses with a request that the edge answered with 5xx)";
pub(super) const REQUESTS: &str = "failed requests (answered with 5xx at the edge)";

/// So much of the log of requests is read back: some 40,000 lines, in a few hundredths of a second.
const READ_BACK_BYTES: u64 = 16 * 1024 * 1024;
/// What each line of a request has that failed.
const FAILED: &[u8] = b"\"status\":5";
/// More are not told apart.
const MOST_CLIENTS: usize = 100_000;

/// Where to look for whom an incident affects.
#[derive(Debug, Clone)]
pub(super) struct Window {
    from_ms: i64,
    to_ms: i64,
    /// Empty: all services.
    services: Vec<String>,
}

impl Window {
    pub(super) fn of(incident: &Incident, services: &[Service], now: i64) -> Self {
        let named = services.iter().map(|service| &service.name).filter(|name| incident.subjects.contains(*name));
        Self {
            from_ms: incident.began_at,
            to_ms: incident.recovered_at.unwrap_or(now),
            services: named.cloned().collect(),
        }
    }

    fn has(&self, route: &str) -> bool {
        let is_of =
            |service: &str| route == service || route.strip_prefix(service).is_some_and(|rest| rest.starts_with('/'));
        if self.services.is_empty() { !is_of_ops(route) } else { self.services.iter().any(|service| is_of(service)) }
    }
}

fn is_of_ops(route: &str) -> bool {
    route == "ops" || route.starts_with("ops/")
}

/// What a line of the log has to say about it.
#[derive(Deserialize)]
struct Line {
    timestamp: jiff::Timestamp,
    status: u16,
    #[serde(default)]
    route: String,
    peer: IpAddr,
    /// Whom the peer speaks for: behind a proxy that is trusted everybody has its address.
    #[serde(default)]
    client: Option<IpAddr>,
}

impl Line {
    fn client(&self) -> IpAddr {
        self.client.unwrap_or(self.peer)
    }
}

/// So many clients, as far as the end of the log goes back: services that call each other on this machine are none.
pub(super) fn clients(log: &Path, window: &Window, until: Instant) -> io::Result<u64> {
    let mut file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(READ_BACK_BYTES)))?;
    let finder = memchr::memmem::Finder::new(FAILED);
    let (mut reader, mut text, mut found) = (BufReader::new(file), Vec::new(), HashSet::new());
    while found.len() < MOST_CLIENTS && reader.read_until(b'\n', &mut text)? > 0 {
        if finder.find(&text).is_some()
            // The first line may be the end of one, and the last one its beginning.
            && let Ok(line) = serde_json::from_slice::<Line>(&text)
            && (500..600).contains(&line.status)
            && (window.from_ms..=window.to_ms).contains(&line.timestamp.as_millisecond())
            && !line.client().is_loopback()
            && window.has(&line.route)
        {
            found.insert(line.client());
            if Instant::now() >= until {
                break;
            }
        }
        text.clear();
    }
    Ok(found.len() as u64)
}

/// The question: of the services that it is about; of all, where it is about none of them.
pub(super) fn question(incident: &Incident, services: &[Service], now: i64) -> (String, i64) {
    let end = incident.recovered_at.unwrap_or(now).max(incident.began_at + 1_000);
    // A scrape before and one after, so that nothing at the borders is missed.
    let seconds = (end - incident.began_at) / 1_000 + 20;
    let named: Vec<&str> =
        services.iter().map(|service| service.name.as_str()).filter(|name| incident.subjects.contains(*name)).collect();
    let routes = if named.is_empty() {
        "route!~\"ops(/.*)?\"".to_owned()
    } else {
        format!("route=~\"({})(/.*)?\"", named.join("|"))
    };
    let text = format!("sum(increase(mana_edge_requests_total{{class=\"5xx\",{routes}}}[{seconds}s]))");
    (text, (end + 10_000).min(now))
}

/// The number; `None` where nothing is measured.
pub(super) fn count(reader: &Reader, (text, at): &(String, i64), until: Instant) -> Option<u64> {
    let stop = || Instant::now() >= until;
    let limits = Limits { stop: Some(&stop), ..Limits::default() };
    match query::query(reader, text, *at, &limits) {
        Ok(Answer::Vector { elements, .. }) => elements.first().and_then(|(_, value)| whole(*value)),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "failed requests could not be counted");
            None
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "looked at before")]
fn whole(value: f64) -> Option<u64> {
    let value = value.round();
    (value.is_finite() && (0.0..9e15).contains(&value)).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mana_watch::alert::Severity;
    use mana_watch::incident::{Event, Incidents, What};

    use super::*;

    #[test]
    fn clients_are_addresses_whose_requests_failed_in_that_time_at_those_services() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("1-access.log");
        let window = |services: &[&str]| Window {
            from_ms: 1_767_323_045_000,
            to_ms: 1_767_323_055_000,
            services: services.iter().map(|name| (*name).to_owned()).collect(),
        };
        let until = Instant::now() + Duration::from_mins(1);
        assert_eq!(clients(&log, &window(&[]), until).expect("no log"), 0);
        let line = |second: u32, status: u16, route: &str, peer: &str| {
            format!(
                r#"{{"timestamp":"2026-01-02T03:04:{second:02}.000Z","level":"INFO","method":"GET","path":"/","status":{status},"route":"{route}","peer":"{peer}"}}"#
            )
        };
        let lines = [
            "\"status\":502,\"route\":\"chat\",\"peer\":\"192.0.2.99\"}".to_owned(),
            line(4, 502, "chat", "192.0.2.1"),
            line(5, 502, "chat", "192.0.2.2"),
            line(6, 503, "chat/old", "192.0.2.2"),
            line(7, 500, "chat", "2001:db8::1"),
            line(7, 200, "chat", "192.0.2.3"),
            line(8, 502, "chat-web", "192.0.2.4"),
            line(9, 502, "chat", "127.0.0.1"),
            line(9, 502, "chat", r#"127.0.0.1","client":"192.0.2.2"#),
            line(9, 502, "chat", r#"198.51.100.1","client":"192.0.2.8"#),
            line(9, 502, "chat", r#"198.51.100.1","client":"192.0.2.9"#),
            line(9, 502, "ops", "192.0.2.5"),
            line(16, 502, "chat", "192.0.2.6"),
            line(9, 502, "chat", "192.0.2.7").chars().take(60).collect(),
        ];
        std::fs::write(&log, lines.join("\n")).expect("written");
        for (services, expected) in [(&["chat"][..], 4), (&["chat-web"], 1), (&["auth"], 0), (&[], 5)] {
            assert_eq!(clients(&log, &window(services), until).expect("read"), expected, "{services:?}");
        }
    }

    fn service(name: &str) -> Service {
        Service { name: name.into(), kind: "backend", wanted: 1, ready: 1, ..Service::default() }
    }

    #[test]
    fn only_requests_of_what_it_is_about_and_of_its_time_are_counted() {
        let check = |subjects: &[&str], expected: &str| {
            let mut incidents = Incidents::default();
            let services = subjects.iter().map(|name| (*name).to_owned()).collect();
            let (by, title) = ("ana".to_owned(), "slow".to_owned());
            incidents.step(&Event { at: 0, what: What::Declared { by, title, severity: Severity::P2, services } });
            let incident = incidents.get(1).expect("open");
            let (text, at) = question(incident, &[service("a"), service("b")], 100_000);
            assert_eq!((text.as_str(), at), (expected, 100_000));
        };
        check(
            &["a", "b", "/srv"],
            "sum(increase(mana_edge_requests_total{class=\"5xx\",route=~\"(a|b)(/.*)?\"}[120s]))",
        );
        check(&["/srv"], "sum(increase(mana_edge_requests_total{class=\"5xx\",route!~\"ops(/.*)?\"}[120s]))");
        assert_eq!((whole(2.6), whole(f64::NAN), whole(-1.0)), (Some(3), None, None));
    }
}
