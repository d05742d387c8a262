//! What was asked for before. Whoever did not hear the answer asks again under the same key, and gets it: nothing is done twice.

use mana_delivery::rollout::RolloutId;

use crate::api::{Problem, RolloutView};
use crate::store::RolloutRow;
use crate::supervisor::Supervisor;
use crate::supervisor::calls::{internal, problem};

/// Longest key: that of a push names a service and two commits.
const LONGEST: usize = 512;

impl Supervisor {
    /// The answer, where this was asked for under the same key. `fits`: whether a rollout can be the answer to this question.
    pub(super) fn answered(
        &self,
        key: Option<&str>,
        fits: impl FnOnce(&RolloutRow) -> bool,
    ) -> Result<Option<RolloutView>, Problem> {
        let Some(key) = key else { return Ok(None) };
        if !is_key(key) {
            let detail = format!("a key has 1 to {LONGEST} bytes and no control characters");
            return Err(problem(422, "this is no key", detail));
        }
        let Some(id) = self.store.rollout_of(key).map_err(|error| internal(&error))? else { return Ok(None) };
        let row = self.row(id)?;
        if !fits(&row) {
            let detail = format!("it led to rollout {id} of {}; another question needs another key", row.service);
            return Err(problem(422, "the key was used before", detail));
        }
        self.view(&row).map(Some)
    }

    /// Remembers an answer that changed nothing. It is right also where that cannot be written down.
    pub(super) fn remember_answer(&mut self, key: Option<&str>, id: RolloutId) {
        if let Some(key) = key {
            Self::complain(self.store.set_asked(key, id));
        }
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= LONGEST && !key.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_can_be_printed() {
        let longest = "k".repeat(LONGEST);
        for (key, good) in [("019a", true), (&longest, true), ("", false), ("a\nb", false)] {
            assert_eq!(is_key(key), good, "{key}");
        }
        assert!(!is_key(&format!("{longest}k")));
    }
}
