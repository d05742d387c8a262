//! What is left of each objective's error budget, from the stored series. A task of its own: it reads up to ninety days, and no alert waits
//! for it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mana_watch::alert::slo::{Good, Slo};
use mana_watch::query::{self, Answer, Limits};
use mana_watch::series::Source;
use mana_watch::store::Reader;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::rounds::now_ms;
use super::subjects::Subjects;
use crate::api::BudgetView;

/// How often it is asked whether there are other objectives.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How often all of them are looked at: a budget is of weeks.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Longest time for all of them; what is not known by then says so.
const PATIENCE: Duration = Duration::from_secs(20);

/// Goes on until nobody says any more what there is.
pub(super) async fn run(
    reader: Arc<OnceLock<Reader>>,
    mut subjects: watch::Receiver<Subjects>,
    told: watch::Sender<Arc<[BudgetView]>>,
) {
    let mut tick = tokio::time::interval(ASK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Vec<Slo> = Vec::new();
    let mut looked: Option<Instant> = None;
    loop {
        tick.tick().await;
        if subjects.has_changed().is_err() {
            return;
        }
        let objectives = subjects.borrow_and_update().objectives.clone();
        let is_new = objectives != known;
        if is_new {
            // What was promised is known at once.
            let unknown = |slo: &Slo| view(slo, Err("it is being measured".to_owned()));
            told.send_replace(objectives.iter().map(unknown).collect());
            known.clone_from(&objectives);
        }
        let is_due = is_new || looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY);
        let Some(reader) = reader.get().filter(|_| is_due && !objectives.is_empty()).cloned() else { continue };
        looked = Some(Instant::now());
        let views = tokio::task::spawn_blocking(move || {
            let until = Instant::now() + PATIENCE;
            let now = now_ms();
            objectives.iter().map(|slo| view(slo, counted(&reader, slo, now, until))).collect::<Arc<[_]>>()
        });
        match views.await {
            Ok(views) => drop(told.send_replace(views)),
            Err(error) => tracing::error!(%error, "the error budgets could not be read"),
        }
    }
}

/// How many requests went wrong within the window, and how many there were.
fn counted(source: &dyn Source, slo: &Slo, now: i64, until: Instant) -> Result<(f64, f64), String> {
    let stop = || Instant::now() >= until;
    let limits = Limits { stop: Some(&stop), ..Limits::default() };
    let one = |text: &str| match query::query(source, text, now, &limits) {
        Ok(Answer::Vector { elements, .. }) => Ok(elements.first().map(|(_, value)| *value)),
        Ok(Answer::Scalar { value, .. }) => Ok(Some(value)),
        Ok(_) => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    let all = one(&slo.all(slo.window))?.unwrap_or_default();
    // Where none failed there may be no series of failed ones.
    let bad = one(&slo.bad(slo.window))?.unwrap_or_default();
    Ok((bad.clamp(0.0, all.max(0.0)), all))
}

fn view(slo: &Slo, counted: Result<(f64, f64), String>) -> BudgetView {
    let (counts, why) = match counted {
        Ok((_, all)) if all <= 0.0 => (None, Some("there were no requests".to_owned())),
        Ok(counts) => (Some(counts), None),
        Err(why) => (None, Some(why)),
    };
    BudgetView {
        service: slo.service.clone(),
        within_ms: match slo.good {
            Good::Answered => None,
            Good::Within(within) => Some(within.millis()),
        },
        objective: slo.objective,
        window: slo.window.to_string(),
        requests: counts.map(|(_, all)| all),
        bad: counts.map(|(bad, _)| bad),
        allowed: counts.map(|(bad, all)| slo.budget(bad, all).allowed),
        reached: counts.map(|(bad, all)| 1.0 - bad / all),
        left: counts.map(|(bad, all)| slo.budget(bad, all).left),
        why,
    }
}

#[cfg(test)]
mod tests {
    use mana_watch::Memory;
    use mana_watch::alert::Span;

    use super::*;

    fn slo(good: Good) -> Slo {
        Slo { service: "shop".into(), good, objective: 0.999, window: Span::from_days(30) }
    }

    #[test]
    fn what_is_left_is_what_may_go_wrong_less_what_did() {
        for (bad, left) in [(0.0, 1.0), (500.0, 0.5), (2_000.0, -1.0)] {
            let view = view(&slo(Good::Answered), Ok((bad, 1e6)));
            assert!((view.left.expect("measured") - left).abs() < 1e-9, "{view:?}");
            assert!((view.reached.expect("measured") - (1.0 - bad / 1e6)).abs() < 1e-9, "{view:?}");
            assert_eq!((view.within_ms, view.why), (None, None));
        }
    }

    #[test]
    fn nothing_measured_is_no_full_budget() {
        let within = slo(Good::Within(Span::from_millis(500)));
        for good in [slo(Good::Answered), within] {
            let until = Instant::now() + PATIENCE;
            let view = view(&good, counted(&Memory::default(), &good, 0, until));
            assert_eq!((view.left, view.reached, view.requests), (None, None, None));
            assert_eq!(view.why.as_deref(), Some("there were no requests"));
        }
        let view = view(&slo(Good::Answered), Err("the store is closed".into()));
        assert_eq!((view.left, view.why.as_deref()), (None, Some("the store is closed")));
    }
}
