//! Looks of the gate: what was counted, what came of it. Kept, so that a verdict can be shown with its figures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Elapsed, Generation, Stage, State};
use crate::gate::{self, Judgement, Reading, Series, Verdict};

/// So many windows are remembered with their figures. The journal has them all.
pub const LOOKS_KEPT: usize = 64;

/// One look at a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// At what.
    pub stage: Stage,
    /// Which step of the canary; 0 after it.
    pub step: usize,
    /// In which attempt.
    pub attempt: u32,
    /// Of which weights.
    pub generation: Generation,
    /// When the window opened.
    pub opened: Elapsed,
    /// When it was looked at last.
    pub at: Elapsed,
    /// The edge's counts.
    pub reading: Reading,
    /// What the queries of the gate's own limits gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
    /// The verdict, with each figure beside its limit.
    pub judgement: Judgement,
}

/// How often the gate looks. Its rates of error are stated for looks ten seconds apart; rarer ones would let a bad release
/// serve for longer.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);
/// While a person is asked after the cutover, nothing waits for a look: they are as rare as this in the journal. Whoever carries one out
/// looks every [`LOOK_EVERY`] all the same, and answers when the verdict is another one than before.
pub const LOOK_EVERY_ASKED: Duration = Duration::from_mins(10);
/// A window whose counts lag behind is given up so long after its longest time.
const LAG: Duration = Duration::from_mins(1);

/// Whether a window has had its longest time: by the edge's count where it answers, by the rollout's own time where not.
pub(super) fn out_of_time(own: Duration, reading: Option<&Reading>, longest: Duration) -> bool {
    reading.is_some_and(|reading| reading.elapsed >= longest) || own >= longest.saturating_add(LAG)
}

impl State {
    /// The reading of a window that opened then. Its edge counts by a wall clock: by the rollout's own time it has lasted no longer.
    pub(super) fn in_own_time(&self, opened: Elapsed, reading: Reading) -> Reading {
        Reading { elapsed: reading.elapsed.min(self.clock.now().since(opened)), ..reading }
    }

    /// Judges a reading of the window that opened then, and keeps it in the place of the last look at the same window.
    pub(super) fn judge(&mut self, step: usize, opened: Elapsed, reading: Reading, series: Vec<Series>) -> Verdict {
        let judgement = gate::judge_all(&self.plan.gate, &reading, &series);
        let mut verdict = judgement.verdict;
        // The judge says so as well. Twice, because nothing else lets a bad release through.
        if verdict == Verdict::Pass && (!reading.complete || reading.elapsed < reading.window) {
            verdict = Verdict::Inconclusive;
        }
        let (stage, attempt, generation) = (self.stage(), self.attempt, self.traffic.generation);
        let at = self.clock.now();
        let look = Look { stage, step, attempt, generation, opened, at, reading, series, judgement };
        let same =
            |old: &Look| (old.stage, old.attempt, old.generation, old.opened) == (stage, attempt, generation, opened);
        match self.looks.last_mut() {
            Some(last) if same(last) => *last = look,
            _ => self.looks.push(look),
        }
        if self.looks.len() > LOOKS_KEPT {
            self.looks.remove(0);
        }
        verdict
    }

    /// Why the last look had no data, for people: of the gate's own limits that nothing is known of, of counts, or of requests.
    pub(super) fn what_is_missing(&self) -> String {
        let gap = self.looks.last().is_some_and(|look| !look.reading.complete);
        let series = self.looks.last().map(|look| look.series.as_slice()).unwrap_or_default();
        let unknown = series.iter().filter(|series| series.value.is_none()).map(|series| {
            let why = series.why.as_deref().unwrap_or("it gave no value");
            format!("the gate's {} is not known: {why}", series.name)
        });
        let gap = gap.then(|| {
            "the edge's counts do not cover the whole window: it was started anew in it, or remembers less".to_owned()
        });
        let missing: Vec<String> = gap.into_iter().chain(unknown).collect();
        if missing.is_empty() { "too few requests to judge it".to_owned() } else { missing.join("; ") }
    }

    /// The last look of this attempt in a sentence, for people.
    pub(super) fn last_figures(&self) -> String {
        let Some(look) = self.looks.last() else { return "the gate has no figures".to_owned() };
        let breached: Vec<_> = look
            .judgement
            .findings
            .iter()
            .filter(|finding| !finding.met)
            .map(|finding| format!("{} {} against a limit of {}", finding.figure, finding.value, finding.limit))
            .collect();
        if breached.is_empty() {
            let green = look.reading.green;
            format!("{} errors in {} requests", green.errors, green.requests)
        } else {
            breached.join(", ")
        }
    }
}
