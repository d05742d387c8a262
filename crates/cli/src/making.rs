//! What the commands that build and check have in common: events on the screen, Ctrl-C, and what a failure means.

use std::error::Error as _;

use mana_control::releases::{self, Error, Order};
use mana_manifest::plan::Plan;
use mana_release::build::BuildError;
use mana_release::event::Events;
use mana_release::scan::ScanError;
use mana_release::source::SourceError;
use mana_release::store::StoreError;
use tokio::signal::unix::{SignalKind, signal};

use crate::context::{Context, block_on};
use crate::failure::Failure;
use crate::report;
use crate::show::release;

/// Does the work and shows what happens meanwhile; `None` where it was interrupted. Then nothing of it is left running.
pub(crate) async fn watch<T>(
    context: &Context,
    json: bool,
    work: impl AsyncFnOnce(&Events) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let mut output = context.output();
    let style = output.style();
    let (events, mut seen) = Events::channel();
    let mut terminated = signal(SignalKind::terminate())?;
    // The sender goes with the work, so that the last event is seen before the end.
    let work = async move { work(&events).await };
    let mut work = std::pin::pin!(work);
    let mut done = None;
    loop {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => return Ok(None),
            _ = terminated.recv() => return Ok(None),
            event = seen.recv() => match event {
                Some(event) if json => output.json_line(&event)?,
                Some(event) => output.line(&release::line(&event, style))?,
                None => return done.transpose(),
            },
            result = &mut work, if done.is_none() => done = Some(result),
        }
    }
}

/// Fetches what is known today; what cannot be fetched is said and lived with, as long as it is not too old.
pub(crate) fn refresh(plan: &Plan) -> Result<(), Failure> {
    let failed = block_on(async { Ok(releases::refresh(plan).await) })?;
    for text in &failed {
        report::note(text);
    }
    Ok(())
}

/// What went wrong, for a person.
pub(crate) fn failure(error: Error, order: &Order<'_>, context: &Context) -> Failure {
    let failed = |error: &Error, help: String| Failure::Failed { what: error.in_full(), help };
    let service = order.service;
    let error = match error {
        Error::Manifest { commit, problems } => return Failure::CommitManifest { commit, problems },
        other => other,
    };
    match &error {
        Error::Source(SourceError::NoRepository { .. } | SourceError::NoCommit { .. }) => {
            failed(&error, "a release is made of a commit: `git init`, `git add`, `git commit`".into())
        }
        Error::Source(SourceError::Unknown { .. }) => Failure::Usage {
            what: error.in_full(),
            help: "name a tag, a branch or a commit that is here; `git fetch` brings those that are elsewhere".into(),
        },
        Error::Source(SourceError::Dirty { .. }) => failed(
            &error,
            format!(
                "commit or remove them, or build what was committed last with --ref HEAD; only development builds \
                 uncommitted changes: {} is for real users",
                order.plan.environment.as_str()
            ),
        ),
        Error::NoManifest { .. } => failed(&error, "commit the manifest: it says how a commit is built".into()),
        Error::NoService { .. } => {
            failed(&error, "build another commit with --ref, or commit the manifest that has it".into())
        }
        Error::NotBuilt { .. } => Failure::Configuration {
            what: error.in_full(),
            help: format!("add [services.{service}.build] with a command, commit it, and build again"),
        },
        Error::Build(BuildError::Failed { log, .. }) => {
            failed(&error, format!("its output is above and in {}", log.display()))
        }
        Error::Build(BuildError::NoArtefact { .. }) => failed(
            &error,
            format!(
                "correct `command` or `artefact` in [services.{service}.build]; paths are from the manifest's folder"
            ),
        ),
        Error::Store(StoreError::Unknown { known, .. }) => Failure::Usage {
            what: error.in_full(),
            help: if known.is_empty() {
                format!("`{}` makes one", context.command(&format!("build {service}")))
            } else {
                format!("there are: {}", known.join(", "))
            },
        },
        Error::Store(StoreError::Ambiguous { .. }) => {
            Failure::Usage { what: error.in_full(), help: "write more of it".into() }
        }
        Error::Store(StoreError::Differs { .. })
        | Error::Build(BuildError::Store(StoreError::Differs { .. }))
        | Error::Scan(ScanError::Store(StoreError::Differs { .. })) => failed(
            &error,
            format!(
                "do not run it, and find out who changed it; `{}` puts the files right if the build gives the same ones",
                context.command(&format!("build {service} --ref COMMIT --again"))
            ),
        ),
        Error::Scan(ScanError::Advisories(_)) => failed(
            &error,
            "fetch them there (OSV's JSON files, or a checkout of RustSec's advisory-db), or correct `advisories` in [releases]"
                .into(),
        ),
        Error::Build(BuildError::Busy) => failed(&error, "look for it with `ps`; its lock goes when it ends".into()),
        Error::Source(_)
        | Error::Build(_)
        | Error::Store(_)
        | Error::Scan(_)
        | Error::Secrets(_)
        | Error::Memory(_)
        | Error::Manifest { .. } => {
            let help = if is_disk_full(&error) {
                "free some room, for example with fewer kept releases (`releases.keep`), then try again; nothing half-made is left"
            } else {
                "nothing half-made is left; put it right and try again"
            };
            failed(&error, help.into())
        }
    }
}

fn is_disk_full(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        let full = error.downcast_ref::<std::io::Error>().is_some_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        });
        if full {
            return true;
        }
        source = error.source();
    }
    false
}
