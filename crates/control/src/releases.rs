//! From a manifest to what `mana-release` builds and keeps.
//!
//! How a release is made stands in the manifest of the commit that it is made of; where it is kept, for how long, and which findings
//! are accepted stands in the manifest of today.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mana_manifest::plan::{Environment, Plan, Run, Service};
use mana_manifest::{Facts, Manifest, Overrides, Problems};
use mana_release::artefact::Digest;
use mana_release::build::{BuildError, Recipe, Turn, Workshop};
use mana_release::checks::Checked;
use mana_release::event::Events;
use mana_release::job::Limits;
use mana_release::migrations;
use mana_release::record::{Migration, Release};
use mana_release::scan::report::{Accepted, Report};
use mana_release::scan::{Policy, ScanError};
use mana_release::source::{Checkout, Commit, Dirty, SourceError};
use mana_release::store::checks::Passed;
use mana_release::store::{Store, StoreError};

use crate::paths;
use crate::secrets::{Secrets, SecretsError};
use crate::store as memory;

/// Why nothing can be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such commit, or not in that state.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The releases cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be scanned.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The environment's secrets, which must not be in a release, cannot be read.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The control plane's memory of what runs cannot be read.
    #[error(transparent)]
    Memory(#[from] memory::StoreError),
    /// The commit's manifest cannot be read.
    #[error("{} is not in {commit}", file.display())]
    NoManifest {
        /// Its name, from the top of the repository.
        file: PathBuf,
        /// The commit, for people.
        commit: String,
    },
    /// The commit's manifest is wrong.
    #[error("the manifest of {commit} is wrong")]
    Manifest {
        /// The commit, for people.
        commit: String,
        /// What is wrong with it.
        problems: Box<Problems>,
    },
    /// The commit has no such service.
    #[error("{commit} has no service {service}")]
    NoService {
        /// The commit, for people.
        commit: String,
        /// What was asked for.
        service: String,
    },
    /// The manifest does not say how it is built.
    #[error("the manifest of {commit} does not say how {service} is built")]
    NotBuilt {
        /// The commit, for people.
        commit: String,
        /// What was asked for.
        service: String,
    },
}

impl Error {
    /// With what is behind it, on one line.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            source = error.source();
        }
        text
    }
}

/// What to make a release of.
#[derive(Debug)]
pub struct Order<'a> {
    /// The manifest's file.
    pub manifest: &'a Path,
    /// What it means today, in the environment that the release is for.
    pub plan: &'a Plan,
    /// The service.
    pub service: &'a str,
    /// Tag, branch or commit; `None`: what is checked out.
    pub reference: Option<&'a str>,
}

/// A service's source, ready to be built or checked. While this is held, nothing else is built in the environment.
#[derive(Debug)]
pub struct Prepared {
    /// Which commit.
    pub commit: Commit,
    /// How it is built.
    pub recipe: Recipe,
    workshop: Workshop,
    turn: Turn,
    checkout: Checkout,
}

/// The releases of a service of the plan.
pub fn store(plan: &Plan, service: &str) -> Store {
    Store::new(&paths::releases(&plan.data), service)
}

/// The release of the ordered commit, where a clean one was built before and lies there unharmed.
///
/// # Errors
/// Where there is no such commit, or the releases cannot be read.
pub async fn built_before(order: &Order<'_>) -> Result<Option<Release>, Error> {
    let commit = find(order).await?;
    built(order, &commit)
}

/// The same for a commit that was found.
pub(crate) fn built(order: &Order<'_>, commit: &Commit) -> Result<Option<Release>, Error> {
    let store = store(order.plan, order.service);
    let same = |release: &Release| !release.dirty && release.commit == commit.id && release.version == commit.version;
    let found = store.all()?.into_iter().find(|release| !commit.dirty && same(release));
    Ok(found.filter(|release| store.verify(release).is_ok()))
}

/// The commit that is ordered.
pub(crate) async fn find(order: &Order<'_>) -> Result<Commit, SourceError> {
    let dirty = match order.plan.environment {
        Environment::Development => Dirty::Allowed,
        Environment::Staging | Environment::Production => Dirty::Refused,
    };
    Commit::find(&order.plan.root, &order.plan.data, order.reference, dirty).await
}

/// Waits for its turn, checks the commit out and reads how the service is built.
///
/// # Errors
/// Where there is no such commit, it cannot be checked out, or its manifest does not say how.
pub async fn prepare(order: &Order<'_>, events: &Events) -> Result<Prepared, Error> {
    prepare_commit(order, find(order).await?, events).await
}

/// The same for a commit that was found.
pub(crate) async fn prepare_commit(order: &Order<'_>, commit: Commit, events: &Events) -> Result<Prepared, Error> {
    let workshop = Workshop::new(&paths::builds(&order.plan.data));
    let turn = workshop.turn(events).await?;
    // Those of all services: building one must not throw away what another one keeps.
    let cache: BTreeSet<&String> = order
        .plan
        .services
        .iter()
        .filter_map(|service| service.build.as_ref())
        .flat_map(|build| &build.cache)
        .collect();
    let cache: Vec<String> = cache.into_iter().cloned().collect();
    let checkout = workshop.checkout(&turn, &commit, &cache, events).await?;
    let text = std::fs::read_to_string(checkout.folder().join(manifest_name(order))).ok();
    let recipe = recipe(order, &commit, text)?;
    Ok(Prepared { commit, recipe, workshop, turn, checkout })
}

/// How the ordered commit's own manifest says that the service is built. Nothing is checked out for it.
///
/// # Errors
/// Where it has no manifest, or that does not say.
pub(crate) async fn recipe_of(order: &Order<'_>, commit: &Commit) -> Result<Recipe, Error> {
    let text = commit.text(manifest_name(order)).await?;
    recipe(order, commit, text)
}

/// The SQL files that the ordered commit would bring, as far as they are in it. None, where its manifest does not say how the service is
/// built: then it brings nothing.
///
/// # Errors
/// Where its manifest is wrong, or cannot be read.
pub async fn migrations_of(order: &Order<'_>, commit: &Commit) -> Result<Vec<Migration>, Error> {
    let recipe = match recipe_of(order, commit).await {
        Err(Error::NoManifest { .. } | Error::NoService { .. } | Error::NotBuilt { .. }) => return Ok(Vec::new()),
        recipe => recipe?,
    };
    match recipe.migrations {
        Some(folder) => Ok(migrations::of_commit(commit, Path::new(&folder)).await?),
        None => Ok(Vec::new()),
    }
}

fn manifest_name<'a>(order: &Order<'a>) -> &'a Path {
    Path::new(order.manifest.file_name().unwrap_or(order.manifest.as_os_str()))
}

/// How the commit's own manifest says that the service is built.
fn recipe(order: &Order<'_>, commit: &Commit, text: Option<String>) -> Result<Recipe, Error> {
    let (shown, service) = (commit.version.clone(), order.service.to_owned());
    let Some(text) = text else {
        return Err(Error::NoManifest { file: commit.prefix.join(manifest_name(order)), commit: shown });
    };
    let overrides = Overrides { environment: Some(order.plan.environment.as_str().to_owned()), ..Overrides::default() };
    let plan = Manifest::parse(order.manifest, &text).and_then(|manifest| manifest.plan(&overrides, &Facts::assumed()));
    let plan = plan.map_err(|problems| Error::Manifest { commit: shown.clone(), problems: Box::new(problems) })?;
    match plan.services.iter().find(|planned| planned.name == service) {
        None => Err(Error::NoService { commit: shown, service }),
        Some(planned) => of_service(planned).ok_or(Error::NotBuilt { commit: shown, service }),
    }
}

fn of_service(service: &Service) -> Option<Recipe> {
    let build = service.build.clone()?;
    Some(Recipe {
        service: service.name.clone(),
        command: build.command,
        artefact: build.artefact,
        migrations: build.migrations,
        checks: build.checks,
        env: build.env,
        cache: build.cache,
        lockfiles: build.lockfiles,
        package: build.package,
        limits: Limits { cpus: build.cpu, memory_bytes: build.memory_bytes },
        timeout: build.timeout,
        check_timeout: build.check_timeout,
    })
}

impl Prepared {
    /// Makes the release.
    ///
    /// # Errors
    /// As [`Workshop::build`].
    pub async fn build(&self, store: &Store, events: &Events) -> Result<Release, Error> {
        let Self { commit, recipe, workshop, turn, checkout } = self;
        Ok(workshop.build(turn, commit, checkout, recipe, store, events).await?)
    }

    /// Runs those of its checks that are named, and remembers which a commit has passed. `ended` is told of each as it ends.
    ///
    /// # Errors
    /// Where one cannot be run at all, or what passed cannot be written down.
    pub async fn check(
        &self,
        store: &Store,
        wanted: impl Fn(&str) -> bool,
        events: &Events,
        ended: impl Fn(&Checked),
    ) -> Result<Vec<Checked>, Error> {
        let Self { commit, recipe, workshop, turn, checkout } = self;
        let mut recipe = recipe.clone();
        recipe.checks.retain(|name, _| wanted(name));
        let checked = workshop.check(turn, commit, checkout, &recipe, events, ended).await.map_err(BuildError::from)?;
        let passed = checked.iter().filter(|check| check.end.success());
        let passed = passed.filter_map(|check| recipe.checks.get_key_value(&check.name));
        let passed: Passed = passed.map(|(name, command)| (name.clone(), command.clone())).collect();
        if !commit.dirty && !passed.is_empty() {
            store.set_passed(&commit.id, &passed)?;
        }
        Ok(checked)
    }
}

/// Fetches the advisories that come from elsewhere, as far as they can be; says which could not. Then they are as old as they are,
/// and the scan says whether that is too old.
pub async fn refresh(plan: &Plan) -> Vec<String> {
    /// Whoever waits for a scan waits for each of them.
    const LONGEST: Duration = Duration::from_mins(2);
    let mut failed = Vec::new();
    for (url, folder) in &plan.releases.fetched {
        match tokio::time::timeout(LONGEST, mana_release::scan::refresh::refresh(url, folder)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failed.push(format!("the advisories of {url} cannot be fetched: {error}")),
            Err(_) => failed.push(format!("fetching the advisories of {url} takes too long")),
        }
    }
    failed
}

/// Scans a release by what is known and accepted today, and writes down what was found. It blocks: a large artefact is read as a whole.
///
/// # Errors
/// Where something cannot be read. Findings are no error: see [`Report::stops`].
pub fn scan(plan: &Plan, release: &Release) -> Result<Report, Error> {
    let secrets = Secrets::load(&plan.data)?;
    let values = secrets.names().filter_map(|name| Some((name.to_owned(), secrets.get(name)?.clone())));
    let accepted = plan.releases.accepted.iter().map(|one| Accepted {
        id: one.id.clone(),
        reason: one.reason.clone(),
        until: one.until.clone(),
        services: one.services.clone(),
    });
    let policy = Policy {
        advisories: plan.releases.advisories.clone(),
        silence_passes: plan.environment == Environment::Development,
        max_age: plan.releases.advisories_max_age,
        accepted: accepted.collect(),
        secrets: values.collect(),
    };
    Ok(mana_release::scan::scan(&store(plan, &release.service), release, &policy)?)
}

/// Digests of releases that something runs from, or that a rollout may bring or go back to. Nothing in use is ever removed.
///
/// # Errors
/// Where the control plane's memory cannot be read: then nobody knows, and nothing may be removed.
pub fn in_use(plan: &Plan) -> Result<BTreeSet<String>, Error> {
    match memory::Store::look_into(&paths::database(&plan.data))? {
        Some(memory) => Ok(memory.releases_in_use()?),
        None => Ok(BTreeSet::new()),
    }
}

/// Where the files of a release lie that was verified when it was deployed.
pub(crate) fn root(plan: &Plan, service: &str, digest: &str) -> Option<PathBuf> {
    Some(store(plan, service).root(&Digest::parse(digest)?))
}

/// What runs, moved from the manifest's folder to the files of a release: the program or folder, and where it starts. Only what the
/// artefact holds is moved, since a program may well be one of the system's.
pub fn moved(run: &Run, plan: &Plan, root: &Path) -> Run {
    let moved = |path: &Path| {
        let inside = path.strip_prefix(&plan.root).map(|inside| root.join(inside)).ok();
        inside.filter(|path| path.exists()).unwrap_or_else(|| path.to_owned())
    };
    match run {
        Run::Command(command) => {
            let mut command = command.clone();
            if let Some(program) = command.argv.first_mut() {
                *program = moved(Path::new(program.as_str())).display().to_string();
            }
            command.cwd = moved(&command.cwd);
            Run::Command(command)
        }
        Run::Static { folder, not_found } => Run::Static { folder: moved(folder), not_found: not_found.clone() },
    }
}

/// Removes the releases of a service that are beyond what the manifest keeps. `in_use`: ids or digests that something runs from or
/// may go back to; they stay.
///
/// # Errors
/// Where something cannot be read or removed.
pub fn collect(plan: &Plan, service: &str, in_use: &BTreeSet<String>) -> Result<Vec<String>, Error> {
    Ok(store(plan, service).collect(usize::from(plan.releases.keep), in_use)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "name = \"a\"\ndomain = \"a.example\"\n[services.b-backend]\ncommand = \"bin/b --flag\"\n\
                            port = 3001\n[services.b-landing]\nfolder = \"site\"\n[services.c-backend]\n\
                            command = \"/usr/bin/env c\"\nport = 3002\n";

    #[test]
    fn what_runs_is_moved_to_the_files_of_the_release() {
        let root = tempfile::tempdir().expect("folder");
        std::fs::create_dir_all(root.path().join("bin")).expect("made");
        std::fs::create_dir_all(root.path().join("site")).expect("made");
        std::fs::write(root.path().join("bin/b"), "").expect("written");
        let manifest = Manifest::parse(Path::new("/srv/a/mana.toml"), MANIFEST).expect("TOML");
        let plan = manifest.plan(&Overrides::default(), &Facts::assumed()).expect("a plan");
        let run = |name: &str| {
            let service = plan.services.iter().find(|service| service.name == name).expect("the service");
            moved(&service.run, &plan, root.path())
        };
        let Run::Command(command) = run("b-backend") else { panic!("a program") };
        assert_eq!(command.argv, [root.path().join("bin/b").display().to_string(), "--flag".into()]);
        assert_eq!(command.cwd, root.path());
        let Run::Static { folder, .. } = run("b-landing") else { panic!("a folder") };
        assert_eq!(folder, root.path().join("site"));
        let Run::Command(command) = run("c-backend") else { panic!("a program") };
        assert_eq!(command.argv, ["/usr/bin/env", "c"]);
    }
}
