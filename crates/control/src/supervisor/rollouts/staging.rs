//! Staging: another environment with a control plane of its own. What passes there is what goes on, digest for digest.

use std::time::Duration;

use mana_delivery::rollout::{Digest, Intent, Outcome, Release, RolloutId};
use mana_manifest::plan::Plan;
use secrecy::{ExposeSecret, SecretString};

use super::effects::recorded;
use super::{Found, output};
use crate::api::{Apply, Deploy, Overrides, RolloutView, SmokeRequest};
use crate::client::{Client, ClientError};
use crate::passing::Passing;
use crate::secrets::Secrets;
use crate::supervisor::Supervisor;
use crate::{manifest, paths, releases, smoke};

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
        let deploy = Deploy {
            service,
            release: Some(String::new()),
            by,
            supersede: true,
            pause_at: None,
            overrides: rollout.state.plan().overrides.clone(),
            key: Some(key),
        };
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
            let report = async { there.client().await?.smoke(&request).await }.await;
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

    /// Sends what the smoke tests only ask for through the edge, like anybody: both versions get their share of it, so that they are
    /// compared fairly. `requests`: so many are to reach the new one.
    pub(super) fn smoke_traffic(&mut self, id: RolloutId, intent: &Intent, requests: u64) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let service = rollout.service.clone();
        let share = rollout.state.traffic().acknowledged.map_or(100, |green| u64::from(green.get().max(1)));
        let job = match self.smoke_job(&SmokeRequest { service, digest: None }) {
            Ok(job) => job,
            Err(problem) => return Some(Outcome::Failed { reason: problem.detail }),
        };
        self.work(id, intent.key.n, async move {
            smoke::traffic(&job, requests.saturating_mul(100).div_ceil(share)).await;
            Found::Outcome(Outcome::Done)
        });
        None
    }

    /// Where staging is, by the manifest that was applied here.
    fn staging(&self) -> Result<There, String> {
        let plan = &self.desired.as_ref().ok_or("nothing is applied")?.plan;
        if let Some(server) = &plan.staging_server {
            let known = Secrets::load(&self.data).map_err(|error| error.to_string())?;
            let token = server.token.reveal(|name| known.get(name).map(|value| value.expose_secret().to_owned()));
            let token = token.map_err(|name| format!("the secret {name} is missing; `mana secret set {name}`"))?;
            return Ok(There::Server { url: server.url.clone(), token: token.into() });
        }
        let applied = self.store.applied().map_err(|error| error.to_string())?.ok_or("nothing is applied")?;
        let overrides = Overrides { environment: Some("staging".to_owned()), ..Overrides::default() };
        let request = Apply { manifest: applied.request.manifest, overrides };
        let plan = manifest::recall(&applied.manifest, &request).map_err(|problems| problems.join("; "))?;
        Ok(There::Beside(Box::new(plan)))
    }
}

/// Where staging is.
enum There {
    /// On this machine.
    Beside(Box<Plan>),
    /// On another one.
    Server { url: String, token: SecretString },
}

impl There {
    async fn client(&self) -> Result<Client, ClientError> {
        match self {
            Self::Beside(plan) => Client::connect(&plan.data).await,
            Self::Server { url, token } => Client::server(url, token.clone()),
        }
    }

    /// For people.
    fn place(&self) -> String {
        match self {
            Self::Beside(plan) => plan.data.display().to_string(),
            Self::Server { url, .. } => url.clone(),
        }
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
    there: There,
    deploy: Deploy,
    release: &Release,
    events: &mana_release::event::Events,
) -> Result<(), Stopped> {
    // Before anything is copied: it would be for nothing.
    let client = there.client().await?;
    client.rollouts(Some(&deploy.service)).await?;
    let id = match &there {
        There::Beside(plan) => import(here, plan, &deploy.service, release).await.map_err(Stopped::No)?,
        There::Server { .. } => upload(here, &client, &deploy.service, release).await?,
    };
    let mut view = client.deploy(&Deploy { release: Some(id), ..deploy }).await?;
    let mut said = String::new();
    loop {
        if view.stage != said {
            events.note(format!("staging: {} {} is {}", view.service, view.version, view.stage)).await;
            said.clone_from(&view.stage);
        }
        if let Some(end) = ended(&view, release, &there) {
            return end;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        view = client.rollout_view(view.number).await?;
    }
}

/// Whether it is through, once that can be told.
fn ended(view: &RolloutView, release: &Release, there: &There) -> Option<Result<(), Stopped>> {
    let serves = view.new.percent == 100 && view.new.digest.as_ref() == Some(&release.digest.0);
    match view.stage.as_str() {
        "done" | "window" | "decommissioning" if serves => Some(Ok(())),
        _ if view.over => {
            let why = view.why.clone().unwrap_or_else(|| view.about.clone());
            let (number, place) = (view.number, there.place());
            let reason = format!("rollout {number} in staging ({place}) is {}: {why}", view.stage);
            Some(Err(Stopped::No(reason)))
        }
        _ => None,
    }
}

/// The release with all that is known of it, in staging's own store; says what it is called there.
async fn import(here: &Plan, there: &Plan, service: &str, release: &Release) -> Result<String, String> {
    let (from, to) = (releases::store(here, service), releases::store(there, service));
    let release = release.clone();
    let imported = tokio::task::spawn_blocking(move || {
        let record = recorded(&from, &release)?;
        to.import(&from, &record).map_err(|error| error.to_string())?;
        Ok(record.id())
    });
    imported.await.map_err(|error| error.to_string())?
}

/// The same on another machine: packed, sent, and compared with its digest there.
async fn upload(here: &Plan, client: &Client, service: &str, release: &Release) -> Result<String, Stopped> {
    let (from, wanted) = (releases::store(here, service), release.clone());
    let folder = paths::builds(&here.data);
    let packed = tokio::task::spawn_blocking(move || {
        let record = recorded(&from, &wanted)?;
        let (file, to) = Passing::make(&folder).map_err(|error| error.to_string())?;
        from.pack(&record, std::io::BufWriter::new(to)).map_err(|error| error.to_string())?;
        Ok(file)
    });
    let packed = packed.await.map_err(|error| error.to_string()).and_then(|packed| packed).map_err(Stopped::No)?;
    let arrived = client.upload(service, packed.path()).await?;
    if arrived.digest != release.digest.0 {
        return Err(Stopped::No(format!("{} arrived there, and {} was sent", arrived.digest, release.digest)));
    }
    Ok(arrived.id)
}
