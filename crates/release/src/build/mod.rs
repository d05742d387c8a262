//! From a checkout to a release.

mod environment;
mod error;
mod recipe;
pub(crate) mod room;
mod step;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::artefact::{self, Digest, List};
use crate::clock;
use crate::event::Events;
use crate::job::{self, Enclosure, Job, JobError};
use crate::migrations;
use crate::record::{FORMAT, Release};
use crate::sbom::{self, Bill, Resolved};
use crate::source::{Checkout, Commit};
use crate::store::{Attached, Store};

pub(crate) use environment::environment;
use environment::toolchain;
pub use error::BuildError;
pub use recipe::Recipe;
pub(crate) use step::Step;

/// How long a build waits for the one before it.
const LONGEST_WAIT: Duration = Duration::from_hours(2);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Where builds happen: one folder, one build at a time.
#[derive(Debug, Clone)]
pub struct Workshop {
    folder: PathBuf,
}

/// The lock of the workshop: one build at a time, since one alone may take all of the machine's memory.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, and released when it is dropped")] File);

impl Workshop {
    /// In this folder. Nothing is made yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until no other build runs.
    ///
    /// # Errors
    /// Where the lock cannot be used, or another build never ends.
    pub async fn turn(&self, events: &Events) -> Result<Turn, BuildError> {
        let path = self.folder.join("lock");
        let file = |what| {
            let path = path.clone();
            move |source| BuildError::File { what, path, source }
        };
        fs::create_dir_all(&self.folder).map_err(file("make"))?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(file("lock"))?;
        let began = Instant::now();
        let mut told = false;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let left = Enclosure::sweep(&self.folder);
                    if left > 0 {
                        events.note(format!("ended {left} processes that an interrupted build had left behind")).await;
                    }
                    return Ok(Turn(lock));
                }
                Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() > LONGEST_WAIT => return Err(BuildError::Busy),
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(file("lock")(error.into())),
            }
            if !told {
                events.note("another build is running; waiting for it").await;
                told = true;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// A clean checkout of a commit. `cache`: what is kept of the last build, from the manifest's folder.
    ///
    /// # Errors
    /// As [`Checkout::make`].
    pub async fn checkout(
        &self,
        _turn: &Turn,
        commit: &Commit,
        cache: &[String],
        events: &Events,
    ) -> Result<Checkout, BuildError> {
        let step = Step::begin(events, "checkout", format!("{} ({})", commit.version, commit.short())).await;
        let made = Checkout::make(commit, &self.folder.join("source"), cache).await;
        let dirty = if commit.dirty { "with uncommitted changes" } else { "" };
        step.end(events, made.is_ok(), dirty).await;
        Ok(made?)
    }

    /// Where a command's output goes.
    pub fn log(&self, service: &str, what: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{service}.{what}.log"))
    }

    /// Makes a release.
    ///
    /// # Errors
    /// Where the command fails or does not make what it should, or the result cannot be kept. No release is there then.
    pub async fn build(
        &self,
        _turn: &Turn,
        commit: &Commit,
        checkout: &Checkout,
        recipe: &Recipe,
        store: &Store,
        events: &Events,
    ) -> Result<Release, BuildError> {
        let began = Instant::now();
        let enclosure = Enclosure::new(recipe.limits, &self.folder);
        let limits = enclosure.in_force().to_string();
        let log = self.log(&recipe.service, "build");
        if !recipe.command.is_empty() {
            checkout.remove_built(&recipe.artefact).await?;
            events.note(format!("{limits}, at most {}", job::duration(recipe.timeout))).await;
            let step = Step::begin(events, "build", recipe.command.join(" ")).await;
            let env = environment(recipe, commit);
            let job = Job {
                name: "build",
                argv: &recipe.command,
                folder: checkout.folder(),
                env: &env,
                timeout: recipe.timeout,
                log: &log,
            };
            let end = job::run(&job, &enclosure, events).await;
            let detail = end.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            let good = end.as_ref().is_ok_and(job::End::success);
            step.end(events, good, if good { "" } else { &detail }).await;
            if !good {
                let room = room::little(checkout.folder()).unwrap_or_default();
                room::make(checkout, events).await;
                return Err(failed(recipe.service.clone(), end, room, log));
            }
        }
        drop(enclosure);
        let step = Step::begin(events, "artefact", recipe.artefact.join(", ")).await;
        let resolved = sbom::resolve(checkout.folder(), recipe, &environment(recipe, commit)).await;
        let kept = keep(checkout.folder(), recipe, commit, store, resolved).await;
        let (list, digest, bill) = match kept {
            Ok(kept) => kept,
            Err(error) => {
                step.end(events, false, "").await;
                room::make(checkout, events).await;
                return Err(error);
            }
        };
        let release = Release {
            format: FORMAT,
            service: recipe.service.clone(),
            version: commit.version.clone(),
            digest,
            commit: commit.id.clone(),
            dirty: commit.dirty,
            author: commit.author.clone(),
            message: commit.message.clone(),
            committed_at: commit.at,
            built_at: clock::now(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            toolchain: toolchain(checkout.folder(), recipe, commit).await,
            limits: if recipe.command.is_empty() { String::new() } else { limits },
            migrations: recipe
                .migrations
                .as_ref()
                .map(|folder| migrations::of_artefact(&list, Path::new(folder)))
                .unwrap_or_default(),
            size_bytes: list.size(),
            files: list.files().len() as u64,
            components: bill.as_ref().map(|bill| bill.components),
        };
        let log = (!recipe.command.is_empty()).then_some(log.as_path());
        store.add(&release, &Attached { sbom: bill.as_ref().map(|bill| bill.json.as_str()), log })?;
        let detail =
            format!("{} in {}, sha256 {}", job::size(release.size_bytes), files(release.files), release.digest.short());
        step.end(events, true, &detail).await;
        Ok(release)
    }
}

/// `room`: that the disk is full, where it is.
fn failed(service: String, end: Result<job::End, JobError>, room: String, log: PathBuf) -> BuildError {
    match end {
        Ok(end) => BuildError::Failed { service, end, room, log },
        Err(source) if room.is_empty() => source.into(),
        Err(source) => BuildError::NoRoom { service, room, source },
    }
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// Reads and copies the artefact, on a thread that may wait.
async fn keep(
    folder: &Path,
    recipe: &Recipe,
    commit: &Commit,
    store: &Store,
    resolved: Resolved,
) -> Result<(List, Digest, Option<Bill>), BuildError> {
    let (folder, recipe, commit, store) = (folder.to_owned(), recipe.clone(), commit.clone(), store.clone());
    let work = move || {
        let list = list(&folder, &recipe)?;
        let digest = store.add_artefact(&list, &folder)?;
        let bill = sbom::of(&folder, &recipe, &commit, &digest, &resolved)?;
        Ok((list, digest, bill))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The files of the artefact and its migrations.
fn list(folder: &Path, recipe: &Recipe) -> Result<List, BuildError> {
    let all: Vec<String> = recipe.artefact.iter().chain(&recipe.migrations).cloned().collect();
    if let Some(missing) = all.iter().find(|path| !folder.join(path).exists()) {
        let (service, missing) = (recipe.service.clone(), missing.clone());
        return Err(BuildError::NoArtefact { service, missing });
    }
    let list = artefact::list(folder, &all)?;
    if list.files().is_empty() {
        let (service, missing) = (recipe.service.clone(), format!("file in {}", all.join(", ")));
        return Err(BuildError::NoArtefact { service, missing });
    }
    Ok(list)
}
