//! What is asked of the stored series, and what the answers mean. A service's routes at the edge are called by its name, with a
//! path behind it where it has several; the door's own are not counted.

use std::collections::BTreeMap;

use super::measured::{Measured, Unmeasured};
use super::state::State;
use super::units;
use crate::api::{BudgetView, ServiceState, ServiceStatus};

/// The reference's target of the p95 of each service, where nothing else was promised.
pub(crate) const P95_TARGET_S: f64 = 0.5;
/// So many times its target is critical.
const FAR_OVER: f64 = 4.0;
/// Shares of requests that end in an error.
const ERRORS_WARNING: f64 = 0.01;
const ERRORS_CRITICAL: f64 = 0.05;
/// Shares of what may be used.
pub(crate) const FULL_WARNING: f64 = 0.8;
pub(crate) const FULL_CRITICAL: f64 = 0.95;
/// Restarts in ten minutes that are more than chance.
const RESTARTS_WARNING: f64 = 2.0;

const SERVICE: &str = r#", "service", "$1", "route", "([^/]+).*")"#;

/// Counts of the edge, with the service that each is about, over that time: `rate` or `increase` of a series.
fn of_edge(function: &str, series: &str, matchers: &str, over: &str) -> String {
    format!("label_replace({function}(mana_edge_{series}{{route!~\"ops(/.*)?\"{matchers}}}[{over}]){SERVICE}")
}

/// Requests a second, by service. `only`: further matchers, as `,service="a"` is none of them: a route is.
pub(crate) fn requests(only: &str, over: &str) -> String {
    format!("sum by (service) ({})", of_edge("rate", "requests_total", only, over))
}

/// Share of requests that end in an error, by service.
pub(crate) fn errors(only: &str, over: &str) -> String {
    let (all, bad) = (requests(only, over), requests(&format!("{only},class=\"5xx\""), over));
    format!("({bad} or {all} * 0) / ({all} > 0)")
}

/// A quantile of the time to answer, by service.
pub(crate) fn quantile(quantile: f64, only: &str, over: &str) -> String {
    let buckets = of_edge("rate", "request_seconds_bucket", only, over);
    format!("histogram_quantile({quantile}, sum by (service, le) ({buckets}))")
}

/// The matcher of a service's routes, or of several's: `a|b`.
pub(crate) fn routes_of(services: &str) -> String {
    format!(",route=~\"({services})(/.*)?\"")
}

/// Requests a second, of all.
pub(crate) fn all_requests(over: &str) -> String {
    format!("sum ({})", of_edge("rate", "requests_total", "", over))
}

/// Share of all requests that end in an error.
pub(crate) fn all_errors(over: &str) -> String {
    let (all, bad) =
        (all_requests(over), format!("sum ({})", of_edge("rate", "requests_total", ",class=\"5xx\"", over)));
    format!("({bad} or {all} * 0) / ({all} > 0)")
}

/// The mean time to answer, of all.
pub(crate) fn all_latency(over: &str) -> String {
    let part = |series: &str| format!("sum ({})", of_edge("rate", series, "", over));
    format!("{} / ({} > 0)", part("request_seconds_sum"), part("request_seconds_count"))
}

/// Share of the memory that an instance may use, the fullest of each service.
const MEMORY: &str = "max by (service) (mana_instance_memory_bytes / mana_instance_memory_limit_bytes)";
const RESTARTS: &str = "sum by (service) (increase(mana_instance_restarts_total[10m]))";
const ROLLOUT_FAILED: &str = "max by (service) (mana_rollout_failed)";
const REACHED: &str = "min by (service) (probe_success)";

/// The p95 that each service should keep to: within what its objective of latency says, else [`P95_TARGET_S`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Targets(BTreeMap<String, f64>);

impl Targets {
    pub(crate) fn of(budgets: &[BudgetView]) -> Self {
        let promised = budgets.iter().filter_map(|budget| {
            let within = std::time::Duration::from_millis(budget.within_ms?);
            Some((budget.service.clone(), within.as_secs_f64()))
        });
        Self(promised.collect())
    }

    /// In seconds.
    pub(crate) fn p95(&self, service: &str) -> f64 {
        self.0.get(service).copied().unwrap_or(P95_TARGET_S)
    }

    /// The one of all services, if it is one.
    pub(crate) fn common(&self) -> Option<f64> {
        self.0.is_empty().then_some(P95_TARGET_S)
    }
}

/// What is known of how the services are, by name.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) targets: Targets,
    pub(crate) errors: BTreeMap<String, f64>,
    pub(crate) p95: BTreeMap<String, f64>,
    pub(crate) memory: BTreeMap<String, f64>,
    pub(crate) restarts: BTreeMap<String, f64>,
    pub(crate) rollout_failed: BTreeMap<String, f64>,
    pub(crate) reached: BTreeMap<String, f64>,
}

impl Figures {
    /// Asks for all of them, side by side.
    pub(crate) async fn look(measured: &Measured) -> Result<Self, Unmeasured> {
        let (errors, p95) = (errors("", "5m"), quantile(0.95, "", "5m"));
        let by = |text| measured.by("service", text);
        let (errors, p95, memory, restarts, rollout_failed, reached) =
            tokio::join!(by(&errors), by(&p95), by(MEMORY), by(RESTARTS), by(ROLLOUT_FAILED), by(REACHED));
        Ok(Self {
            targets: measured.targets(),
            errors: errors?,
            p95: p95?,
            memory: memory?,
            restarts: restarts?,
            rollout_failed: rollout_failed?,
            reached: reached?,
        })
    }

    /// How a service is, and each thing that is not as it should be, in a few words with its figure.
    pub(crate) fn judge(&self, service: &ServiceStatus) -> (State, Vec<String>) {
        let (own, mut reasons) = match service.state {
            ServiceState::Up => (State::Healthy, Vec::new()),
            ServiceState::Stopped => return (State::Unknown, vec!["stopped on purpose".to_owned()]),
            ServiceState::Starting => (State::Warning, vec!["starting".to_owned()]),
            ServiceState::Degraded => {
                (State::Warning, vec![format!("{} of {} instances ready", service.ready, service.desired)])
            }
            ServiceState::Down => (State::Critical, vec![why_down(service)]),
            ServiceState::Blocked => (State::Critical, vec!["blocked: something that it needs is missing".to_owned()]),
        };
        let mut worst = own;
        let mut say = |state: State, words: String| {
            if matches!(state, State::Warning | State::Critical) {
                worst = worst.max(state);
                reasons.push(words);
            }
        };
        let of = |values: &BTreeMap<String, f64>| values.get(&service.name).copied();
        if let Some(share) = of(&self.errors) {
            say(State::at(share, ERRORS_WARNING, ERRORS_CRITICAL), format!("errors: {}", units::percent(share)));
        }
        if let Some(p95) = of(&self.p95) {
            let target = self.targets.p95(&service.name);
            say(latency_state(p95, target), format!("slow: p95 {}", units::seconds(p95)));
        }
        if let Some(share) = of(&self.memory) {
            say(State::at(share, FULL_WARNING, FULL_CRITICAL), format!("high memory: {}", units::percent(share)));
        }
        if let Some(restarts) = of(&self.restarts) {
            let state = State::at(restarts, RESTARTS_WARNING, f64::MAX);
            say(state, format!("{restarts:.0} restarts in 10 minutes"));
        }
        if of(&self.rollout_failed) > Some(0.0) {
            say(State::Warning, "its last rollout failed".to_owned());
        }
        // What runs and is not reached is up for nobody.
        if of(&self.reached) == Some(0.0) && service.state == ServiceState::Up {
            say(State::Critical, "a probe does not reach it".to_owned());
        }
        (worst, reasons)
    }
}

fn why_down(service: &ServiceStatus) -> String {
    let reason = service.instances.iter().find_map(|instance| instance.reason.as_deref());
    reason.map_or_else(|| "no instance is ready".to_owned(), |reason| format!("no instance is ready: {reason}"))
}

/// How a share of errors, a time to answer are.
pub(crate) fn errors_state(share: f64) -> State {
    State::at(share, ERRORS_WARNING, ERRORS_CRITICAL)
}

pub(crate) fn latency_state(seconds: f64, target: f64) -> State {
    State::at(seconds, target, FAR_OVER * target)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn service(name: &str, state: ServiceState) -> ServiceStatus {
        ServiceStatus {
            name: name.into(),
            project: "shop".into(),
            kind: "backend".into(),
            state,
            public_url: None,
            internal_url: None,
            desired: 2,
            ready: 1,
            instances: Vec::new(),
        }
    }

    #[test]
    fn the_worst_of_state_and_figures_decides_and_each_is_named_with_its_figure() {
        let figures = |value: &str, at: f64| {
            let one = |name: &str| (name == value).then(|| ("a".to_owned(), at)).into_iter().collect();
            Figures {
                errors: one("errors"),
                p95: one("p95"),
                memory: one("memory"),
                restarts: one("restarts"),
                reached: one("reached"),
                ..Figures::default()
            }
        };
        for (value, at, state, reason) in [
            ("errors", 0.005, State::Healthy, None),
            ("errors", 0.02, State::Warning, Some("errors: 2.0 %")),
            ("errors", 0.2, State::Critical, Some("errors: 20.0 %")),
            ("p95", 0.6, State::Warning, Some("slow: p95 600 ms")),
            ("memory", 0.85, State::Warning, Some("high memory: 85.0 %")),
            ("restarts", 3.0, State::Warning, Some("3 restarts in 10 minutes")),
            ("reached", 0.0, State::Critical, Some("a probe does not reach it")),
            ("reached", 1.0, State::Healthy, None),
        ] {
            let (judged, reasons) = figures(value, at).judge(&service("a", ServiceState::Up));
            assert_eq!((judged, reasons.first().map(String::as_str)), (state, reason), "{value} {at}");
        }
        let (state, reasons) = Figures::default().judge(&service("a", ServiceState::Degraded));
        assert_eq!((state, reasons.as_slice()), (State::Warning, &["1 of 2 instances ready".to_owned()][..]));
        assert_eq!(figures("errors", 1.0).judge(&service("a", ServiceState::Stopped)).0, State::Unknown);
        assert_eq!(figures("errors", 1.0).judge(&service("b", ServiceState::Up)).0, State::Healthy, "another's");
    }

    #[test]
    fn a_service_is_held_against_what_it_promised() {
        let budget = |service: &str, within_ms: Option<u64>| BudgetView {
            service: service.into(),
            within_ms,
            objective: 0.99,
            window: "30d".into(),
            requests: None,
            bad: None,
            allowed: None,
            reached: None,
            left: None,
            why: None,
        };
        let targets = Targets::of(&[budget("a", None), budget("a", Some(2_000)), budget("b", None)]);
        for (service, target) in [("a", 2.0), ("b", P95_TARGET_S), ("c", P95_TARGET_S)] {
            assert!((targets.p95(service) - target).abs() < 1e-9, "{service}");
        }
        assert_eq!((targets.common(), Targets::default().common()), (None, Some(P95_TARGET_S)));
        let p95: BTreeMap<String, f64> = ["a", "b"].map(|name| (name.to_owned(), 0.9)).into();
        let figures = Figures { targets, p95, ..Figures::default() };
        let state = |name: &str| figures.judge(&service(name, ServiceState::Up)).0;
        assert_eq!((state("a"), state("b")), (State::Healthy, State::Warning));
    }

    #[test]
    fn every_question_is_one_that_the_store_understands() {
        let only = routes_of("chat-backend");
        let asked = [
            requests(&only, "5m"),
            errors(&only, "5m"),
            quantile(0.95, &only, "5m"),
            all_requests("1m"),
            all_errors("5m"),
            all_latency("5m"),
            MEMORY.to_owned(),
            RESTARTS.to_owned(),
            ROLLOUT_FAILED.to_owned(),
            REACHED.to_owned(),
        ];
        for text in asked {
            let answer = mana_watch::query::query(
                &mana_watch::Memory::default(),
                &text,
                0,
                &mana_watch::query::Limits::default(),
            );
            assert!(answer.is_ok(), "{text}: {answer:?}");
        }
    }
}
