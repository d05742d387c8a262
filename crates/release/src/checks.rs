//! Lint, types, tests: beside each other, each within its time.

use crate::build::{Recipe, Step, Turn, Workshop, environment, room};
use crate::event::Events;
use crate::job::{self, Enclosure, End, Job, JobError};
use crate::source::{Checkout, Commit};

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub end: End,
    /// Its output.
    pub log: std::path::PathBuf,
}

impl Workshop {
    /// Runs all checks of a recipe. One that fails does not end the others: a person wants to know all that is wrong. `ended` is
    /// told of each as it ends.
    ///
    /// # Errors
    /// Where one could not be run at all.
    pub async fn check(
        &self,
        _turn: &Turn,
        commit: &Commit,
        checkout: &Checkout,
        recipe: &Recipe,
        events: &Events,
        ended: impl Fn(&Checked),
    ) -> Result<Vec<Checked>, JobError> {
        let ended = &ended;
        let enclosure = Enclosure::new(recipe.limits, self.folder());
        let limits = enclosure.in_force();
        events.note(format!("{limits}, at most {} each", job::duration(recipe.check_timeout))).await;
        let env = environment(recipe, commit);
        let mut running = Vec::new();
        for (name, argv) in &recipe.checks {
            let (enclosure, env, folder) = (&enclosure, &env, checkout.folder());
            let log = self.log(&recipe.service, &format!("check-{name}"));
            running.push(async move {
                let step = Step::begin(events, name, argv.join(" ")).await;
                let job = Job { name, argv, folder, env, timeout: recipe.check_timeout, log: &log };
                let end = job::run(&job, enclosure, events).await;
                let good = end.as_ref().is_ok_and(End::success);
                let detail = end.as_ref().map_or_else(ToString::to_string, ToString::to_string);
                step.end(events, good, if good { "" } else { &detail }).await;
                let checked = Checked { name: name.clone(), end: end?, log };
                ended(&checked);
                Ok(checked)
            });
        }
        let checked: Result<Vec<Checked>, JobError> =
            futures_util::future::join_all(running).await.into_iter().collect();
        if !checked.as_ref().is_ok_and(|checked| checked.iter().all(|check| check.end.success())) {
            room::make(checkout, events).await;
        }
        checked
    }
}
