//! How many requests failed in an incident, as the edge counted them.

use std::time::Instant;

use mana_watch::incident::Incident;
use mana_watch::query::{self, Answer, Limits};
use mana_watch::store::Reader;

use super::subjects::Service;

/// What is counted, in words that stand behind the number. The edge knows requests, and not people.
pub(super) const OF: &str = "failed requests (answered with 5xx at the edge)";

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
    use mana_watch::alert::Severity;
    use mana_watch::incident::{Event, Incidents, What};

    use super::*;

    fn service(name: &str) -> Service {
        Service {
            name: name.into(),
            project: String::new(),
            kind: "backend",
            needs: Vec::new(),
            wanted: 1,
            ready: 1,
            memory_bytes: None,
            rollout_failed: false,
            direct: None,
            public: None,
        }
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
