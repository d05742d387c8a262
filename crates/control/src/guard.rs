//! The guard of migrations, in front of a release that is to start: its rules are in `mana_delivery::migration`. What blue could trip
//! over is refused, or runs by an override that names the statement, after the database was copied. What may run is rehearsed first.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use mana_delivery::migration::{
    Applied, Blue, Engine, File, NotAChecksum, Override, Set, Size, Snapshot, Version, review,
};
use mana_manifest::plan::{Plan, Service};
use mana_release::record::Release;
use mana_release::store::Store;
use serde::{Deserialize, Serialize};

use crate::database::Database;
use crate::passing::Passing;
use crate::rehearsal::{self, Scratch};
use crate::{dump, paths, releases};

/// What serves while the new version's migrations run.
#[derive(Debug, Clone)]
pub(crate) enum Serves {
    /// Nothing: there is nobody to trip over anything.
    Nothing,
    /// The manifest's folder.
    Folder,
    /// A release.
    Release(Box<Release>),
}

/// What the guard has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Files that have not run.
    pub(crate) pending: Vec<String>,
    /// What a person has overridden, in words; the database was copied before.
    pub(crate) overridden: Vec<String>,
    /// How they went on a copy of the schema, or why they were not tried there, in words; none where nothing is to run.
    pub(crate) rehearsed: Option<String>,
}

/// Looks at what would run of a release. It blocks: files are read, and a database may be copied.
pub(crate) fn look(
    plan: &Plan,
    service: &Service,
    release: &Release,
    serves: &Serves,
    overrides: &[Override],
    rollout: u64,
) -> Result<Seen, String> {
    if release.migrations.is_empty() {
        return Ok(Seen::default());
    }
    let store = releases::store(plan, &service.name);
    let before = match serves {
        Serves::Nothing => return Ok(Seen::default()),
        Serves::Folder => remembered(plan, service)?,
        Serves::Release(before) => of_release(&store, before)?.iter().map(applied).collect(),
    };
    let database = Database::of(plan, service)?;
    let engine = database.engine();
    let new = Set::new(engine, of_release(&store, release)?).map_err(|error| error.to_string())?;
    // Those for the other engine only have not run.
    let own = |applied: &Applied| engine_of(&applied.name).is_none_or(|only| only == engine);
    let mut applied: Vec<Applied> = before.into_iter().filter(own).collect();
    applied.sort_by_key(|one| one.version);
    let blue = applied.last().map_or(Blue::Nothing, |last| Blue::Knows(last.version));
    let pending = new.files().iter().skip(applied.len()).map(|file| file.name().to_owned()).collect::<Vec<_>>();
    let size = if pending.is_empty() { Size::Large } else { Size::of(database.bytes()) };
    let review = review(&new, &applied, blue, size).map_err(|error| error.to_string())?;
    if pending.is_empty() {
        return Ok(Seen::default());
    }
    let approved = review.approve(overrides).map_err(|error| error.to_string())?;
    let rehearsed =
        Some(rehearsal::rehearse(&database, &approved.steps(), &Scratch::of(&plan.data, service, rollout))?);
    if approved.snapshot() == Snapshot::First {
        let kept = dump::keep(&plan.data, &service.name, &database, rollout);
        let kept =
            kept.map_err(|why| format!("what is overridden does not run without a copy of the database: {why}"))?;
        tracing::info!(kept = %kept.display(), "a copy of the database");
    }
    let overridden = approved.to_audit().iter().map(|one| {
        let (statement, code) = (&one.statement, one.rule.advice().code);
        format!(
            "{}:{} {} [{code}] runs by an override: {}",
            statement.file,
            statement.position,
            statement.fingerprint.short(),
            one.reason
        )
    });
    Ok(Seen { pending, overridden: overridden.collect(), rehearsed })
}

fn applied(file: &File) -> Applied {
    Applied { version: file.version(), name: file.name().to_owned(), checksum: file.checksum() }
}

fn of_release(store: &Store, release: &Release) -> Result<Vec<File>, String> {
    let root = store.root(&release.digest);
    release.migrations.iter().map(|migration| file(&root.join(&migration.path))).collect()
}

/// As [`remember`] wrote it: the folder may hold others by now.
fn remembered(plan: &Plan, service: &Service) -> Result<Vec<Applied>, String> {
    let path = paths::migrated(&plan.data, &service.name);
    match fs::read(&path) {
        Ok(text) => {
            let broken = |why: String| format!("{}: {why}", path.display());
            let ran: Vec<Ran> = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
            let applied = |ran: Ran| {
                let checksum = ran.sha256.parse().map_err(|error: NotAChecksum| broken(error.to_string()))?;
                Ok(Applied { version: ran.version, name: ran.name, checksum })
            };
            ran.into_iter().map(applied).collect()
        }
        // Nothing of the folder was migrated by this control plane: what lies there is all that can be known.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(of_folder(plan, service)?.iter().map(applied).collect())
        }
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// A migration of the folder that has run.
#[derive(Serialize, Deserialize)]
struct Ran {
    version: Version,
    name: String,
    sha256: String,
}

/// The folder's migrations have run just now.
pub(crate) fn remember(plan: &Plan, service: &Service) -> Result<(), String> {
    let files = of_folder(plan, service)?;
    let ran = |file: &File| Ran {
        version: file.version(),
        name: file.name().to_owned(),
        sha256: file.checksum().to_string(),
    };
    let ran: Vec<Ran> = files.iter().map(ran).collect();
    let path = paths::migrated(&plan.data, &service.name);
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(&plan.data))?;
        let (fresh, mut to) = Passing::make(path.parent().unwrap_or(&plan.data))?;
        to.write_all(&serde_json::to_vec(&ran)?)?;
        to.sync_all()?;
        fs::rename(fresh.path(), &path)
    };
    write().map_err(|error: io::Error| format!("{}: {error}", path.display()))
}

fn of_folder(plan: &Plan, service: &Service) -> Result<Vec<File>, String> {
    let Some(folder) = service.build.as_ref().and_then(|build| build.migrations.as_ref()) else {
        return Ok(Vec::new());
    };
    let folder = plan.root.join(folder);
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "sql")).map(|path| file(&path)).collect()
}

fn engine_of(name: &str) -> Option<Engine> {
    let stem = name.strip_suffix(".sql")?;
    match stem.rsplit_once('.')?.1 {
        "sqlite" => Some(Engine::Sqlite),
        "postgres" => Some(Engine::Postgres),
        _ => None,
    }
}

fn file(path: &Path) -> Result<File, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    File::new(&name, text).map_err(|error| error.to_string())
}
