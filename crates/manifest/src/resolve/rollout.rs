//! How a release of a service gets into the environment.

use std::time::Duration;

use crate::document::{GateTable, RolloutTable, Spanned, Text};
use crate::plan::{Approval, CanaryStep, Environment, Gate, Limit, Rollout};
use crate::problem::Problem;

const DEFAULT_STEP: CanaryStep = CanaryStep { percent: 10, window: Duration::from_mins(10) };
const DEFAULT_WARM: Duration = Duration::from_hours(1);
const DEFAULT_GUARD: Duration = Duration::from_mins(10);
const DEFAULT_ERRORS: u16 = 100;
const DEFAULT_SLOW: Duration = Duration::from_secs(1);
const DEFAULT_SLOW_SHARE: u16 = 500;
const DEFAULT_REQUESTS: u64 = 100;
const DEFAULT_LONGEST: Duration = Duration::from_mins(30);
const DEFAULT_EXPIRY: Duration = Duration::from_hours(24);
/// What the gate judges at a time is counted by the edge, which remembers a day and no more.
const LONGEST_GUARD: Duration = Duration::from_hours(24);
/// Longest of these times.
const MAX: Duration = Duration::from_hours(30 * 24);

/// Where nobody is harmed, nobody has to wait: what nothing is said of has a canary and a warm window in production only.
pub(super) fn resolve(table: &RolloutTable, environment: Environment, problems: &mut Vec<Problem>) -> Rollout {
    let careful = environment == Environment::Production;
    let canary = match &table.canary {
        None if careful => vec![DEFAULT_STEP],
        None => Vec::new(),
        Some(steps) => steps.iter().filter_map(|step| crate::units::step(&step.value)).map(CanaryStep::from).collect(),
    };
    if let Some(steps) = &table.canary {
        grows(&canary, steps, problems);
    }
    let mut time =
        |name: &str, said: &Option<Spanned<Duration>>, default| bounded(name, said.as_ref(), default, problems);
    // No time at all is a length here, and nowhere else.
    let said = table.warm.as_ref().map(|warm| warm.value);
    let none = said.map_or(!careful, |warm| warm.is_zero());
    let warm = if none { Duration::ZERO } else { time("warm", &table.warm, DEFAULT_WARM) };
    let approval = table.approvers.as_ref().map(|approvers| Approval {
        approvers: approvers.iter().map(|name| name.value.clone()).collect(),
        starter_may_approve: table.starter_may_approve.as_ref().is_some_and(|may| may.value),
        expiry: time("approval_expiry", &table.approval_expiry, DEFAULT_EXPIRY),
    });
    let guard = time("guard", &table.guard, DEFAULT_GUARD).min(warm);
    let (slow, longest) = (time("slow", &table.slow, DEFAULT_SLOW), time("longest", &table.longest, DEFAULT_LONGEST));
    if guard > LONGEST_GUARD {
        let span = table.guard.as_ref().and_then(|said| said.span.clone());
        let problem =
            Problem::error(span, "guard is longer than a day, which is as long as the edge remembers what it counted");
        problems.push(
            problem.help("write guard = \"24h\" or less: the gate goes on, guard by guard, for as long as `warm` says"),
        );
    }
    let rollout = Rollout {
        guard,
        slow,
        longest,
        canary,
        warm,
        errors: table.errors.as_ref().map_or(DEFAULT_ERRORS, |share| share.value),
        slow_share: table.slow_share.as_ref().map_or(DEFAULT_SLOW_SHARE, |share| share.value),
        requests: table.requests.as_ref().and_then(|least| u64::try_from(least.value).ok()).unwrap_or(DEFAULT_REQUESTS),
        strict: table.strict.as_ref().is_some_and(|strict| strict.value),
        asks_on_breach: table.on_breach.as_ref().is_some_and(|what| what.value == "ask"),
        approval,
        staging: false,
        on_push: table.on_push.as_ref().map(|branch| branch.value.clone()),
        gates: Vec::new(),
    };
    Rollout { gates: table.gates.iter().flatten().filter_map(|table| gate(table, problems)).collect(), ..rollout }
}

fn gate(table: &GateTable, problems: &mut Vec<Problem>) -> Option<Gate> {
    let name = &table.name;
    let limit = |said: &Option<Spanned<f64>>| said.as_ref().and_then(|said| Limit::new(said.value));
    let (max, min) = (limit(&table.max), limit(&table.min));
    let Some(query) = &table.query else {
        let problem = Problem::error(name.span.clone(), format!("query of the gate {} is missing", name.value));
        problems.push(problem.help("write query = \"max(jobs_waiting)\""));
        return None;
    };
    match (max, min) {
        (None, None) => {
            let problem = Problem::error(name.span.clone(), format!("the gate {} has no limit", name.value));
            problems.push(problem.help("write max = 0.5, or min"));
        }
        (Some(max), Some(min)) if max.get() < min.get() => {
            let said = format!("the gate {} has a max of {} and a min of {}", name.value, max.get(), min.get());
            problems.push(Problem::error(name.span.clone(), said).help("let max be the larger one"));
        }
        _ => {}
    }
    Some(Gate { name: name.value.clone(), query: query.value.clone(), max, min })
}

fn grows(canary: &[CanaryStep], said: &[Text], problems: &mut Vec<Problem>) {
    for (pair, text) in canary.windows(2).zip(said.iter().skip(1)) {
        if pair[1].percent <= pair[0].percent {
            let problem = Problem::error(
                text.span.clone(),
                format!("a canary of {}% comes after one of {}%", pair[1].percent, pair[0].percent),
            );
            problems.push(problem.help("let the shares grow from step to step"));
        }
    }
}

fn bounded(name: &str, said: Option<&Spanned<Duration>>, default: Duration, problems: &mut Vec<Problem>) -> Duration {
    let Some(said) = said else { return default };
    if said.value.is_zero() || said.value > MAX {
        let problem = Problem::error(said.span.clone(), format!("{name} is not between 1ms and 30 days"));
        problems.push(problem.help("write a duration such as \"10m\""));
    }
    said.value
}
