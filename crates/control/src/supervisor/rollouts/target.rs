//! What an operator means who names a release, a commit or nothing.

use std::path::PathBuf;
use std::time::Duration;

use mana_delivery::rollout::{Digest, Release};
use mana_manifest::plan::Plan;
use mana_release::record;
use mana_release::source::{self, Commit, SourceError};
use mana_release::store::StoreError;

use crate::api::Problem;
use crate::releases::{self, Error, Order};
use crate::supervisor::calls::{conflict, problem};

/// Whoever asks waits for it.
const LONGEST_FETCH: Duration = Duration::from_secs(20);

/// What a rollout brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// `v1.6.0`.
    pub(super) version: String,
    /// The release, where it is there already.
    pub(super) release: Option<Release>,
    /// The commit, where one is checked or built; `None`: what lies in the folder.
    pub(super) commit: Option<String>,
    /// Who wrote it: `Ada <ada@example.org>`.
    pub(super) author: Option<String>,
    /// Names of the checks.
    pub(super) checks: Vec<String>,
}

/// A service of which something is meant: all that is needed to find and make releases of it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) manifest: PathBuf,
    pub(super) plan: Plan,
    pub(super) service: String,
}

impl Source {
    pub(super) fn order<'a>(&'a self, reference: Option<&'a str>) -> Order<'a> {
        Order { manifest: &self.manifest, plan: &self.plan, service: &self.service, reference }
    }

    /// Which release or commit is meant.
    pub(super) async fn find(&self, what: Option<&str>) -> Result<Target, Problem> {
        let store = releases::store(&self.plan, &self.service);
        let planned = self.plan.services.iter().find(|planned| planned.name == self.service);
        let is_built = planned.is_some_and(|planned| planned.build.is_some());
        let found = match what {
            None if is_built => return self.commit(None).await.map_err(|error| self.refused(&error)),
            what => store.find(what),
        };
        match (found, what) {
            (Ok(release), _) => Ok(self.released(release).await),
            (Err(StoreError::Unknown { known, .. }), Some(what)) if is_built => match self.commit(Some(what)).await {
                Err(Error::Source(SourceError::Unknown { .. } | SourceError::NoRepository { .. })) => {
                    let kept = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                    let detail =
                        format!("`{what}` is neither a release of {} ({kept}) nor a commit here", self.service);
                    Err(problem(404, "there is no such release", detail))
                }
                found => found.map_err(|error| self.refused(&error)),
            },
            (Err(StoreError::Unknown { known, .. }), _) if known.is_empty() => {
                let what = format!("none of {0} was made yet; `mana build {0}` makes one", self.service);
                Err(problem(404, "there is no release", what))
            }
            (Err(StoreError::Unknown { known, .. }), what) => {
                let detail = format!(
                    "{} has no release `{}`; there are: {}",
                    self.service,
                    what.unwrap_or("any"),
                    known.join(", ")
                );
                Err(problem(404, "there is no such release", detail))
            }
            (Err(error), _) => Err(problem(404, "there is no such release", error.to_string())),
        }
    }

    async fn commit(&self, reference: Option<&str>) -> Result<Target, Error> {
        let order = self.order(reference);
        let commit = match releases::find(&order).await {
            // It may have been pushed since.
            Err(SourceError::Unknown { name, repository }) => {
                match tokio::time::timeout(LONGEST_FETCH, source::fetch_all(&repository)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::info!(%error, name, "what is asked for is not here, nor can it be fetched");
                    }
                    Err(_) => tracing::info!(name, "what is asked for is not here, and fetching takes too long"),
                }
                releases::find(&order).await?
            }
            found => found?,
        };
        let recipe = releases::recipe_of(&order, &commit).await?;
        Ok(Target {
            version: commit.version,
            release: None,
            commit: (!commit.dirty).then_some(commit.id),
            author: Some(commit.author),
            checks: recipe.checks.into_keys().collect(),
        })
    }

    /// What was built is checked all the same, if that was not done: by what its own commit says, or where that is not here, by what
    /// is checked today.
    async fn released(&self, release: record::Release) -> Target {
        let todays = || {
            let planned = self.plan.services.iter().find(|planned| planned.name == self.service);
            let build = planned.and_then(|planned| planned.build.as_ref());
            build.map(|build| build.checks.keys().cloned().collect()).unwrap_or_default()
        };
        let checks = if release.dirty {
            Vec::new()
        } else {
            let checks = self.commit(Some(&release.commit)).await.map(|target| target.checks);
            checks.unwrap_or_else(|_| todays())
        };
        Target {
            release: Some(Release { version: release.version.clone(), digest: Digest(release.digest.to_string()) }),
            version: release.version,
            commit: (!release.dirty).then_some(release.commit),
            author: Some(release.author),
            checks,
        }
    }

    /// The commit that a rollout was begun for, called as it was then.
    pub(super) async fn again(&self, commit: Option<&str>, version: &str) -> Result<Commit, String> {
        let found = releases::find(&self.order(commit)).await;
        let mut found = found.map_err(|error| Error::from(error).in_full())?;
        if commit.is_some() {
            version.clone_into(&mut found.version);
        }
        if found.version == version {
            return Ok(found);
        }
        Err(format!("the folder holds {} now; deploy again", found.version))
    }

    fn refused(&self, error: &Error) -> Problem {
        match error {
            Error::Manifest { problems, .. } => {
                let lines = problems.list().iter().map(|problem| problem.message.clone()).collect();
                Problem { problems: lines, ..conflict(error.to_string()) }
            }
            Error::Source(SourceError::Dirty { .. }) => conflict(format!(
                "{}\ncommit or remove them, or deploy what was committed last with `mana deploy {} HEAD`",
                error.in_full(),
                self.service
            )),
            Error::Source(SourceError::NoRepository { .. } | SourceError::NoCommit { .. }) => conflict(format!(
                "{}; `mana deploy` takes a commit: `git init`, `git add`, `git commit`",
                error.in_full()
            )),
            _ => conflict(error.in_full()),
        }
    }
}
