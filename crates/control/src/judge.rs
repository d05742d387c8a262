//! How a service is, as a whole: desired against actual in one word and one sentence. Pure.

use mana_runtime::lifecycle::Phase;

use crate::api::ServiceState;

/// What matters about one place.
#[derive(Debug, Clone)]
pub(crate) struct Summary<'a> {
    pub(crate) phase: &'a Phase,
    /// Runs the desired version.
    pub(crate) current: bool,
    pub(crate) retiring: bool,
    /// Trying again has not helped so far.
    pub(crate) failing: bool,
    pub(crate) reason: Option<String>,
    /// Seconds from its start to ready.
    pub(crate) ready_after: Option<f64>,
}

impl Summary<'_> {
    fn ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. }) && !self.retiring
    }
}

/// See the module's page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) state: ServiceState,
    /// Instances that take traffic.
    pub(crate) ready: u16,
    /// For people; no more than a line.
    pub(crate) detail: String,
    /// No progress is to be expected without a person.
    pub(crate) stuck: bool,
    /// It does nothing itself now, but waits for another service.
    pub(crate) waits: bool,
    /// It is up, with something still on its way that nothing counts as settled without.
    pub(crate) settling: bool,
}

/// How a service is of which `count` instances are wanted.
pub(crate) fn judge(count: u16, places: &[Summary<'_>]) -> Judgement {
    let ready = places.iter().filter(|place| place.ready()).count();
    let ready = u16::try_from(ready).unwrap_or(u16::MAX);
    let say = |state, detail: String, stuck| Judgement { state, ready, detail, stuck, waits: false, settling: false };
    if count == 0 {
        return if places.is_empty() {
            say(ServiceState::Stopped, "stopped".into(), false)
        } else {
            say(ServiceState::Stopped, "stopping".into(), false)
        };
    }
    let current = places.iter().filter(|place| place.current && place.ready()).count();
    let old = places.iter().any(|place| !place.current || place.retiring);
    if current >= usize::from(count) && !old {
        let longest = places.iter().filter_map(|place| place.ready_after).max_by(f64::total_cmp);
        let detail = longest.map_or_else(|| "ready".to_owned(), |after| format!("ready after {after:.1} s"));
        return say(ServiceState::Up, detail, false);
    }
    let concern = places.iter().filter(|place| !place.ready() && !place.retiring).max_by_key(|place| concern(place));
    let Some(concern) = concern else {
        let detail = if old { "the old instance finishes its requests" } else { "about to start" };
        let state = if ready > 0 { ServiceState::Degraded } else { ServiceState::Starting };
        // Enough of them serve; only the exchange is not over.
        return say(if current >= usize::from(count) { ServiceState::Starting } else { state }, detail.into(), false);
    };
    let why = concern.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let detail = match concern.phase {
        Phase::Waiting => concern.reason.clone().unwrap_or_else(|| "waiting".into()),
        phase => format!("{phase}{why}"),
    };
    let stuck = concern.failing || matches!(concern.phase, Phase::Blocked { .. });
    let state = match concern.phase {
        _ if ready > 0 => ServiceState::Degraded,
        Phase::Blocked { .. } => ServiceState::Blocked,
        _ if concern.failing => ServiceState::Down,
        Phase::Unready { .. } => ServiceState::Degraded,
        _ => ServiceState::Starting,
    };
    let waits = *concern.phase == Phase::Waiting;
    Judgement { waits, ..say(state, detail, stuck) }
}

/// The place that says most about what is wrong.
fn concern(place: &Summary<'_>) -> u8 {
    match place.phase {
        Phase::Blocked { .. } => 6,
        _ if place.failing => 5,
        Phase::Backoff { .. } => 4,
        Phase::Unready { .. } => 3,
        Phase::Migrating { .. } | Phase::Starting { .. } => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use mana_runtime::lifecycle::Time;

    use super::*;

    const READY: Phase = Phase::Ready { since: Time(std::time::Duration::ZERO), failures: 0 };
    const STARTING: Phase = Phase::Starting { deadline: Time(std::time::Duration::ZERO) };
    const BACKOFF: Phase = Phase::Backoff { until: Time(std::time::Duration::ZERO) };
    const BLOCKED: Phase = Phase::Blocked { recheck: Time(std::time::Duration::ZERO) };
    const UNREADY: Phase = Phase::Unready { since: Time(std::time::Duration::ZERO), live_failures: 0 };

    fn place(phase: &Phase) -> Summary<'_> {
        Summary { phase, current: true, retiring: false, failing: false, reason: None, ready_after: None }
    }

    #[track_caller]
    fn check(count: u16, places: &[Summary<'_>], state: ServiceState, detail: &str, stuck: bool) {
        let got = judge(count, places);
        assert_eq!((got.state, got.detail.as_str(), got.stuck), (state, detail, stuck));
    }

    #[test]
    fn each_situation_has_its_word_and_its_sentence() {
        use ServiceState::{Blocked, Degraded, Down, Starting, Stopped, Up};
        check(1, &[place(&READY)], Up, "ready", false);
        check(1, &[Summary { ready_after: Some(0.34), ..place(&READY) }], Up, "ready after 0.3 s", false);
        check(1, &[], Starting, "about to start", false);
        check(0, &[], Stopped, "stopped", false);
        check(0, &[place(&READY)], Stopped, "stopping", false);
        check(1, &[place(&STARTING)], Starting, "starting", false);
        let waiting = Summary { reason: Some("waiting for a".into()), ..place(&Phase::Waiting) };
        check(1, &[waiting], Starting, "waiting for a", false);
        let once = Summary { reason: Some("ended with exit code 1".into()), ..place(&BACKOFF) };
        check(1, std::slice::from_ref(&once), Starting, "backoff: ended with exit code 1", false);
        let often = Summary { failing: true, ..once.clone() };
        check(1, std::slice::from_ref(&often), Down, "backoff: ended with exit code 1", true);
        check(2, &[place(&READY), often], Degraded, "backoff: ended with exit code 1", true);
        let blocked = Summary { reason: Some("secret X is missing".into()), ..place(&BLOCKED) };
        check(1, &[blocked], Blocked, "blocked: secret X is missing", true);
        check(1, &[place(&UNREADY)], Degraded, "unready", false);
        check(2, &[place(&READY)], Degraded, "about to start", false);
    }

    #[test]
    fn a_service_that_is_being_replaced_is_not_up_before_the_old_instance_is_gone() {
        let old = Summary { current: false, ..place(&READY) };
        check(1, &[old.clone(), place(&STARTING)], ServiceState::Degraded, "starting", false);
        let retiring = Summary { retiring: true, ..old };
        let finishing = "the old instance finishes its requests";
        check(1, &[retiring, place(&READY)], ServiceState::Starting, finishing, false);
    }
}
