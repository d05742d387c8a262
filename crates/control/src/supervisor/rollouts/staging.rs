//! Staging: another environment with a control plane of its own. What passes there is what goes on, digest for digest.

use std::path::Path;
use std::time::Duration;

use mana_delivery::rollout::{Digest, Intent, Outcome, Release, RolloutId};
use mana_manifest::plan::Plan;

use super::effects::recorded;
use super::{Found, output};
use crate::api::{Apply, Deploy, Overrides, RolloutView, SmokeRequest};
use crate::client::{Client, ClientError};
use crate::supervisor::Supervisor;
use crate::{manifest, releases};

/// Between two looks at how the rollout there goes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Supervisor {
    pub(super) fn deploy_staging(&mut self, id: RolloutId, intent: &Intent, release: &Release) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let (service, by) = (rollout.service.clone(), rollout.state.plan().started_by.0.clone());
        let plan = self.desired.as_ref()?.plan.clone();
        let there = match self.staging() {
            Ok(there) => there,
            Err(reason) => return Some(Outcome::Failed { reason }),
        };
        let events = output::events(&self.data, id);
        let key = format!("{}/{}/{}/{}", plan.environment.as_str(), id.0, intent.key.attempt, release.digest);
        let deploy =
            Deploy { service, release: Some(String::new()), by, supersede: true, pause_at: None, key: Some(key) };
        let release = release.clone();
        self.work(id, intent.key.n, async move {
            Found::Outcome(match through(&plan, there, deploy, &release, &events).await {
                Ok(()) => Outcome::Passed { digest: release.digest },
                Err(Stopped::No(reason)) => Outcome::Failed { reason },
                Err(Stopped::Away(reason)) => Outcome::Unknown { reason },
            })
        });
        None
    }

    pub(super) fn smoke(&mut self, id: RolloutId, intent: &Intent, digest: &Digest) -> Option<Outcome> {
        let service = self.rollouts.known.get(&id)?.service.clone();
        let there = match self.staging() {
            Ok(there) => there,
            Err(reason) => return Some(Outcome::Failed { reason }),
        };
        let events = output::events(&self.data, id);
        let request = SmokeRequest { service, digest: Some(digest.0.clone()) };
        self.work(id, intent.key.n, async move {
            let report = async { Client::connect(&there.data).await?.smoke(&request).await }.await;
            Found::Outcome(match report {
                Ok(report) => {
                    for test in &report.tests {
                        let how =
                            test.failed.as_ref().map_or_else(|| "good".to_owned(), |why| format!("failed: {why}"));
                        events.note(format!("smoke {} ({}) {how}, {} ms", test.name, test.request, test.took_ms)).await;
                    }
                    match (report.tests.iter().find_map(|test| Some((test, test.failed.as_ref()?))), report.digest) {
                        (Some((test, why)), _) => Outcome::Failed { reason: format!("{}: {why}", test.name) },
                        (None, Some(digest)) => Outcome::Passed { digest: Digest(digest) },
                        (None, None) => Outcome::Failed { reason: "no release answered there".to_owned() },
                    }
                }
                Err(ClientError::Refused(problem)) => Outcome::Failed { reason: problem.detail },
                Err(error) => Outcome::Unknown { reason: away(&error) },
            })
        });
        None
    }

    /// What the manifest says about staging, as it was applied here.
    fn staging(&self) -> Result<Plan, String> {
        let applied = self.store.applied().map_err(|error| error.to_string())?.ok_or("nothing is applied")?;
        let overrides = Overrides { environment: Some("staging".to_owned()), ..Overrides::default() };
        let request = Apply { manifest: applied.request.manifest, overrides };
        manifest::recall(&applied.manifest, &request).map_err(|problems| problems.join("; "))
    }
}

/// Why it did not get through.
enum Stopped {
    /// It was said no.
    No(String),
    /// Nobody could say.
    Away(String),
}

fn away(error: &ClientError) -> String {
    match error {
        ClientError::NotRunning { .. } => "staging does not run: `mana -e staging up` starts it".to_owned(),
        error => error.to_string(),
    }
}

impl From<ClientError> for Stopped {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problem) if problem.status < 500 => {
                Self::No(format!("{}: {}", problem.title, problem.detail))
            }
            error => Self::Away(away(&error)),
        }
    }
}

async fn through(
    here: &Plan,
    there: Plan,
    deploy: Deploy,
    release: &Release,
    events: &mana_release::event::Events,
) -> Result<(), Stopped> {
    let data = there.data.clone();
    // Before anything is copied: it would be for nothing.
    let client = Client::connect(&data).await?;
    let id = import(here, there, &deploy.service, release).await.map_err(Stopped::No)?;
    let mut view = client.deploy(&Deploy { release: Some(id), ..deploy }).await?;
    let mut said = String::new();
    loop {
        if view.stage != said {
            events.note(format!("staging: {} {} is {}", view.service, view.version, view.stage)).await;
            said.clone_from(&view.stage);
        }
        if let Some(end) = ended(&view, release, &data) {
            return end;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        view = client.rollout_view(view.number).await?;
    }
}

/// Whether it is through, once that can be told.
fn ended(view: &RolloutView, release: &Release, data: &Path) -> Option<Result<(), Stopped>> {
    let serves = view.new.percent == 100 && view.new.digest.as_ref() == Some(&release.digest.0);
    match view.stage.as_str() {
        "done" | "window" if serves => Some(Ok(())),
        _ if view.over => {
            let why = view.why.clone().unwrap_or_else(|| view.about.clone());
            let number = view.number;
            let place = data.display();
            let reason = format!("rollout {number} in staging ({place}) is {}: {why}", view.stage);
            Some(Err(Stopped::No(reason)))
        }
        _ => None,
    }
}

/// The release with all that is known of it, in staging's own store; says what it is called there.
async fn import(here: &Plan, there: Plan, service: &str, release: &Release) -> Result<String, String> {
    let (from, to) = (releases::store(here, service), releases::store(&there, service));
    let release = release.clone();
    let imported = tokio::task::spawn_blocking(move || {
        let record = recorded(&from, &release)?;
        to.import(&from, &record).map_err(|error| error.to_string())?;
        Ok(record.id())
    });
    imported.await.map_err(|error| error.to_string())?
}
