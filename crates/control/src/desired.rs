//! What should run, worked out of a plan: for each service a version (a digest of everything that makes a new process
//! necessary), and what has to be known to look after its instances.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mana_delivery::rollout::Release;
use mana_manifest::plan::{self, Command, Plan, Run};
use mana_runtime::lifecycle::Policy;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::edge_program::EdgeProgram;
use crate::releases;
use crate::secrets::Secrets;
use crate::slot::Slot;
use crate::store::{SlotRow, Slots};

/// All of a service's traffic, in percent.
pub(crate) const FULL_WEIGHT: u8 = 100;
/// The name under which the edge is supervised.
pub(crate) const EDGE: &str = "edge";
/// Longest time the edge may take to answer on its admin socket: it reads one file and binds some sockets.
const EDGE_START_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time the edge may take to end; over its own drain limit ([`crate::snapshot::EDGE_DRAIN`]).
const EDGE_STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest program file list that is looked at for a digest: arguments that name files count as part of the program.
const MAX_PROGRAM_FILES: usize = 16;

/// Which build and configuration an instance runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Version {
    /// Digest over program, arguments, environment, folder.
    pub(crate) spec: String,
    /// Grows when a person asks for a restart.
    pub(crate) revision: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.spec.get(..12).unwrap_or(&self.spec);
        match self.revision {
            0 => out.write_str(short),
            revision => write!(out, "{short}.{revision}"),
        }
    }
}

/// What has to be known about a service to look after a running instance of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Services that must be up before this one and go down after it.
    pub(crate) needs: Vec<String>,
    /// Path of the `live` probe.
    pub(crate) live: String,
    /// Path of the `ready` probe.
    pub(crate) ready: String,
    /// Whether it is asked in HTTP/2 without TLS.
    #[serde(default)]
    pub(crate) h2c: bool,
    pub(crate) start_timeout_ms: u64,
    pub(crate) stop_timeout_ms: u64,
    /// How long what is in flight may go on once another instance took over.
    #[serde(default)]
    pub(crate) drain_ms: u64,
    /// Resident memory over which an instance is replaced.
    pub(crate) memory_bytes: Option<u64>,
}

impl Facts {
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            start_timeout: Duration::from_millis(self.start_timeout_ms),
            stop_timeout: Duration::from_millis(self.stop_timeout_ms),
        }
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Program {
    /// The edge: program and leading arguments.
    Edge(Vec<String>),
    /// A service of the manifest.
    Service {
        /// Its program and surroundings.
        command: Box<Command>,
        /// Secrets without which it is not started.
        secrets: Vec<String>,
    },
    /// A folder whose files the edge gives out: there is nothing to run.
    Folder(PathBuf),
}

/// A slot of a service that should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) slot: Slot,
    /// Its share of the service's new requests, in percent.
    pub(crate) weight: u8,
    pub(crate) version: Version,
    /// Instances.
    pub(crate) count: u16,
    pub(crate) facts: Facts,
    pub(crate) program: Program,
    /// The spec whose migration succeeded last.
    pub(crate) migrated: Option<String>,
    /// What it is a process of; `None`: of the manifest's folder itself.
    pub(crate) release: Option<Release>,
}

impl Wanted {
    /// What an instance of it is called where people see it.
    pub(crate) fn label(&self) -> String {
        self.release.as_ref().map_or_else(|| self.version.to_string(), |release| release.version.clone())
    }

    /// Whether its migration has to run before its next start.
    pub(crate) fn migration_pending(&self) -> bool {
        match &self.program {
            Program::Service { command, .. } => {
                !command.migrate.is_empty() && self.migrated.as_ref() != Some(&self.version.spec)
            }
            Program::Edge(_) | Program::Folder(_) => false,
        }
    }

    /// The folder, where it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.program {
            Program::Folder(folder) => Some(folder),
            Program::Edge(_) | Program::Service { .. } => None,
        }
    }
}

/// Everything that should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Desired {
    pub(crate) plan: Plan,
    /// The edge first, then the services in start order; those that are folders have no instances.
    pub(crate) wanted: Vec<Wanted>,
}

impl Desired {
    /// What should run, given what the slots ran so far. `as_remembered`: with the versions of then, whatever files and secrets have
    /// become since; else anything that changed makes another version.
    pub(crate) fn new(
        plan: Plan,
        edge_program: EdgeProgram,
        secrets: &Secrets,
        before: &Slots,
        as_remembered: bool,
    ) -> Self {
        let mut desired = Self { plan, wanted: vec![edge(edge_program)] };
        for service in &desired.plan.services {
            let slots = before.iter().filter(|((name, _), _)| *name == service.name);
            let mut slots: Vec<(Slot, u8, Option<Release>)> =
                slots.map(|((_, slot), row)| (*slot, row.weight, row.release.clone())).collect();
            // What nothing was rolled out for runs from the manifest's folder.
            if slots.is_empty() {
                slots.push((Slot::Blue, FULL_WEIGHT, None));
            }
            let wanted = slots.into_iter().filter_map(|(slot, weight, release)| {
                wanted(&desired.plan, service, slot, release, secrets).map(|wanted| Wanted { weight, ..wanted })
            });
            desired.wanted.extend(wanted);
        }
        for wanted in &mut desired.wanted {
            if let Some(row) = before.get(&(wanted.name.clone(), wanted.slot)) {
                if as_remembered || row.version.spec == wanted.version.spec {
                    wanted.version = row.version.clone();
                }
                wanted.migrated.clone_from(&row.migrated);
                // A manifest that names another folder means the next release: the one that serves is served from where it was.
                if let Program::Folder(folder) = &mut wanted.program
                    && let Some(was) = row.folder.as_ref().filter(|_| wanted.release.is_some())
                    && !folder.is_dir()
                {
                    folder.clone_from(was);
                }
            }
        }
        desired
    }

    /// What a slot runs from now on; without weight where nothing ran there. `None` where the plan has no such service.
    pub(crate) fn deploy(
        &mut self,
        service: &str,
        slot: Slot,
        release: Option<Release>,
        secrets: &Secrets,
    ) -> Option<()> {
        let planned = self.plan.services.iter().find(|planned| planned.name == service)?;
        let fresh = wanted(&self.plan, planned, slot, release, secrets)?;
        let place = self.wanted.iter().position(|wanted| wanted.name == service).unwrap_or(self.wanted.len());
        match self.find_mut(service, slot) {
            Some(old) => *old = Wanted { weight: old.weight, migrated: old.migrated.clone(), ..fresh },
            // Beside the other slot: the order is that of starts.
            None => self.wanted.insert(place, fresh),
        }
        Some(())
    }

    /// Whether what a slot runs would be another version, of the same release, if it were deployed now: the manifest, or a secret,
    /// has become another one since.
    pub(crate) fn would_change(&self, service: &str, slot: Slot, secrets: &Secrets) -> bool {
        let planned = self.plan.services.iter().find(|planned| planned.name == service);
        let now = self.find(service, slot);
        let (Some(planned), Some(now)) = (planned, now) else { return true };
        wanted(&self.plan, planned, slot, now.release.clone(), secrets)
            .is_none_or(|fresh| fresh.version.spec != now.version.spec)
    }

    /// Nothing runs in the slot any more.
    pub(crate) fn vacate(&mut self, service: &str, slot: Slot) {
        self.wanted.retain(|wanted| wanted.name != service || wanted.slot != slot);
    }

    /// As it is written down.
    pub(crate) fn rows(&self) -> Slots {
        let row = |wanted: &Wanted| SlotRow {
            version: wanted.version.clone(),
            migrated: wanted.migrated.clone(),
            weight: wanted.weight,
            release: wanted.release.clone(),
            folder: wanted.folder().map(Path::to_owned),
        };
        self.wanted.iter().map(|wanted| ((wanted.name.clone(), wanted.slot), row(wanted))).collect()
    }

    /// What should run in a slot.
    pub(crate) fn find(&self, name: &str, slot: Slot) -> Option<&Wanted> {
        self.wanted.iter().find(|wanted| wanted.name == name && wanted.slot == slot)
    }

    /// What should run of a service, in all slots.
    pub(crate) fn slots(&self, name: &str) -> impl Iterator<Item = &Wanted> {
        self.wanted.iter().filter(move |wanted| wanted.name == name)
    }

    pub(crate) fn find_mut(&mut self, name: &str, slot: Slot) -> Option<&mut Wanted> {
        self.wanted.iter_mut().find(|wanted| wanted.name == name && wanted.slot == slot)
    }
}

/// What a slot of a service should run, without weight. `None`: the release's digest is none.
fn wanted(
    plan: &Plan,
    service: &plan::Service,
    slot: Slot,
    release: Option<Release>,
    secrets: &Secrets,
) -> Option<Wanted> {
    let run = match &release {
        None => service.run.clone(),
        Some(release) => of_release(&service.run, plan, &releases::root(plan, &service.name, &release.digest.0)?),
    };
    let (spec, count, facts, program) = match run {
        Run::Command(command) => {
            let (spec, count, facts) = (spec(&command, secrets), command.instances, facts(service, &command, plan));
            (spec, count, facts, Program::Service { command: Box::new(command), secrets: service.secrets.clone() })
        }
        Run::Static { folder, .. } => {
            (digest(&serde_json::json!({ "folder": folder })), 0, Facts::default(), Program::Folder(folder))
        }
    };
    Some(Wanted {
        name: service.name.clone(),
        slot,
        weight: 0,
        version: Version { spec, revision: 0 },
        count,
        facts,
        program,
        migrated: None,
        release,
    })
}

/// What runs of a release. What is not in it must not be made good by what is in the manifest's folder: then it does not start, and says why.
fn of_release(run: &Run, plan: &Plan, root: &Path) -> Run {
    let mut run = releases::moved(run, plan, root);
    let missing = root.join("what-the-manifest-names-is-not-in-this-release");
    let of_manifest = |path: &Path| path.starts_with(&plan.root) && !path.starts_with(root);
    match &mut run {
        Run::Command(command) => {
            let program = command.argv.first().map(PathBuf::from).unwrap_or_default();
            if !root.is_dir() || of_manifest(&program) || of_manifest(&command.cwd) {
                command.cwd.clone_from(&plan.data);
                command.argv = vec![missing.display().to_string()];
            }
        }
        Run::Static { folder, .. } if of_manifest(folder) => *folder = missing,
        Run::Static { .. } => {}
    }
    run
}

/// What tells a version of a program from others that were installed under its name.
pub(crate) fn program_spec(argv: &[String]) -> String {
    digest(&serde_json::json!({ "argv": argv, "files": files(argv, Path::new("/")) }))
}

fn edge(program: EdgeProgram) -> Wanted {
    Wanted {
        name: EDGE.to_owned(),
        slot: Slot::Blue,
        weight: 0,
        version: Version { spec: program.spec, revision: 0 },
        count: 1,
        facts: Facts {
            start_timeout_ms: millis(EDGE_START_TIMEOUT),
            stop_timeout_ms: millis(EDGE_STOP_TIMEOUT),
            ..Facts::default()
        },
        program: Program::Edge(program.argv),
        migrated: None,
        release: None,
    }
}

fn facts(service: &plan::Service, command: &Command, plan: &Plan) -> Facts {
    let is_program =
        |name: &&String| plan.services.iter().any(|other| other.name == **name && matches!(other.run, Run::Command(_)));
    Facts {
        // A static folder has no process to wait for.
        needs: service.needs.iter().filter(is_program).cloned().collect(),
        live: command.live.clone(),
        h2c: command.h2c,
        ready: command.ready.clone(),
        start_timeout_ms: millis(command.start_timeout),
        stop_timeout_ms: millis(command.stop_timeout),
        drain_ms: millis(service.limits.drain),
        memory_bytes: service.limits.memory_bytes,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Digest of all that makes a new process necessary when it changes: program (its file too), arguments, folder, and the
/// environment with the secrets in it. Timeouts and probe paths are not part of it: they are about looking after.
fn spec(command: &Command, secrets: &Secrets) -> String {
    let env: Vec<(&String, String)> = command
        .env
        .iter()
        .map(|(name, value)| {
            let revealed = value.reveal(|secret| secrets.get(secret).map(|value| value.expose_secret().to_owned()));
            // A missing secret is part of the digest: once it is there, the service is another one.
            (name, revealed.map_or_else(|missing| format!("missing {missing}"), |value| hash(value.as_bytes())))
        })
        .collect();
    digest(&serde_json::json!({
        "argv": command.argv,
        "cwd": command.cwd,
        "migrate": command.migrate,
        "env": env,
        "files": files(&command.argv, &command.cwd),
    }))
}

fn digest(value: &serde_json::Value) -> String {
    hash(value.to_string().as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What tells one build of a program from the next: device, inode, size and time of change of its file, and of those that
/// its arguments name (`node server.js`).
fn files(argv: &[String], cwd: &Path) -> Vec<String> {
    let Some((program, arguments)) = argv.split_first() else { return Vec::new() };
    let named =
        arguments.iter().take(MAX_PROGRAM_FILES).map(|argument| cwd.join(argument)).filter(|path| path.is_file());
    resolve(program, cwd)
        .into_iter()
        .chain(named)
        .map(|path| match fs::metadata(&path) {
            Ok(meta) => format!(
                "{} {} {} {} {}.{}",
                path.display(),
                meta.dev(),
                meta.ino(),
                meta.size(),
                meta.mtime(),
                meta.mtime_nsec()
            ),
            Err(_) => format!("{} absent", path.display()),
        })
        .collect()
}

/// Where a program's file is: as a shell would find it.
fn resolve(program: &str, cwd: &Path) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(cwd.join(program));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mana_manifest::plan::{Part, Value};

    use super::*;
    use crate::secrets;

    fn command(folder: &Path) -> Command {
        Command {
            argv: vec![folder.join("program").display().to_string(), "serve".into()],
            cwd: folder.to_owned(),
            migrate: Vec::new(),
            internal: ([127, 0, 0, 1], 3001).into(),
            env: BTreeMap::from([
                ("PLAIN".to_owned(), Value::text("a")),
                ("KEY".to_owned(), Value(vec![Part::Secret("KEY".into())])),
            ]),
            live: "/api/health".into(),
            ready: "/api/health/ready".into(),
            h2c: false,
            instances: 1,
            start_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
        }
    }

    #[test]
    fn the_spec_changes_with_everything_that_needs_a_new_process_and_nothing_else() {
        let folder = tempfile::tempdir().expect("folder");
        let program = folder.path().join("program");
        fs::write(&program, "one").expect("write");
        let digest = |change: &dyn Fn(&mut Command)| {
            let mut command = command(folder.path());
            change(&mut command);
            spec(&command, &Secrets::load(folder.path()).expect("secrets"))
        };
        let first = digest(&|_| ());
        assert_eq!(first, digest(&|_| ()));
        assert_eq!(first, digest(&|command| command.stop_timeout *= 2));
        assert_eq!(first, digest(&|command| command.instances = 3));
        assert_ne!(first, digest(&|command| command.argv.push("--fast".into())));
        assert_ne!(first, digest(&|command| command.cwd = "/".into()));
        assert_ne!(first, digest(&|command| drop(command.env.remove("PLAIN"))));
        assert_ne!(first, digest(&|command| drop(command.env.insert("PLAIN".into(), Value::text("b")))));
        secrets::set(folder.path(), "KEY", &"hunter2".to_owned().into()).expect("set");
        let with_secret = digest(&|_| ());
        assert_ne!(first, with_secret);
        fs::write(&program, "two, longer").expect("write");
        assert_ne!(with_secret, digest(&|_| ()));
        fs::remove_file(&program).expect("remove");
        assert_ne!(with_secret, digest(&|_| ()));
    }

    #[test]
    fn a_version_reads_short() {
        let version = Version { spec: "0123456789abcdef".into(), revision: 0 };
        assert_eq!(version.to_string(), "0123456789ab");
        assert_eq!(Version { revision: 2, ..version }.to_string(), "0123456789ab.2");
    }
}
