//! `mana releases`.

use jiff::Timestamp;
use mana_control::paths;
use mana_control::releases::{self, Order};
use mana_release::record::Release;
use mana_release::scan;
use mana_release::scan::report::Report;
use mana_release::store::{self, Store};
use serde::Serialize;

use crate::clock;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::making;
use crate::show;
use crate::show::style::Tone;
use crate::show::table::{self, Cell, Column};
use crate::show::units;

const EXAMPLES: &str = "\
Examples:
  mana releases                    all of them, newest first
  mana releases chat-backend       those of one service
  mana releases --verify           read every file and compare it with what was released
  mana releases chat-backend --json | jq -r '.[0].id'

Made by `mana build`, and kept as `releases.keep` in the manifest says. A release never changes: --verify ends with 1 where one did.";

const COLUMNS: [Column; 9] = [
    Column::text("SERVICE", 0),
    Column::text("VERSION", 0),
    Column::text("DIGEST", 2),
    Column::text("BUILT", 1),
    Column::number("SIZE", 4),
    Column::text("COMMIT", 5),
    Column::text("SCAN", 1),
    Column::text("INTACT", 1),
    Column::text("MESSAGE", 3),
];

/// Shows the releases that are kept
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only those of this one
    service: Option<String>,

    /// Compare every file with what was released
    #[arg(long)]
    verify: bool,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// A release, as `--json` prints it.
#[derive(Serialize)]
struct Answer {
    id: String,
    #[serde(flatten)]
    release: Release,
    /// What the last scan found.
    scan: Option<Report>,
    /// What is wrong with its files; absent where nobody looked or nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let manifest = context.manifest()?;
    let plan = context.plan()?;
    let folder = paths::releases(&context.data()?);
    let fail = |service: &str, error: releases::Error| {
        let order = Order { manifest: &manifest, plan, service, reference: None };
        making::failure(error, &order, context)
    };
    // Services that are not in the manifest any more may have releases still.
    let mut services = store::services(&folder).map_err(|error| fail("", error.into()))?;
    if let Some(wanted) = &args.service {
        let planned = plan.services.iter().map(|service| service.name.as_str());
        Failure::unless_known("service", wanted, planned.chain(services.iter().map(String::as_str)))?;
        services = vec![wanted.clone()];
    }
    let mut answers = Vec::new();
    for service in services {
        let store = Store::new(&folder, &service);
        for release in store.all().map_err(|error| fail(&service, error.into()))? {
            let damage = if args.verify { store.verify(&release).err() } else { None };
            let scan = scan::last(&store, &release).map_err(|error| fail(&service, error.into()))?;
            answers.push(Answer { id: release.id(), release, scan, damage: damage.map(|damage| damage.to_string()) });
        }
    }
    show(args, &answers, context)?;
    let damaged = answers.iter().any(|answer| answer.damage.is_some());
    Ok(if damaged { Exit::Failed } else { Exit::Ok })
}

fn show(args: &Args, answers: &[Answer], context: &Context) -> Result<(), Failure> {
    let mut output = context.output();
    if args.json {
        output.json(&answers)?;
    } else if answers.is_empty() {
        output.line(&format!("no releases yet: `{}` makes one", context.command("build SERVICE")))?;
    } else {
        let now = clock::now();
        let rows: Vec<_> = answers.iter().map(|answer| row(answer, args.verify, now)).collect();
        for line in table::lines(&COLUMNS, &rows, output.style(), output.width()) {
            output.line(&line)?;
        }
    }
    Ok(())
}

fn row(answer: &Answer, verified: bool, now: Timestamp) -> Vec<Cell> {
    let release = &answer.release;
    let age = units::since(&release.built_at.to_string(), now).map(units::duration);
    let intact = match &answer.damage {
        Some(damage) => Cell::toned(Tone::Bad, damage.as_str()),
        None if verified => Cell::toned(Tone::Good, "yes"),
        None => Cell::default(),
    };
    let (scanned, verdict) = show::scan::short(answer.scan.as_ref());
    let version = if release.dirty { Tone::Care } else { Tone::Name };
    vec![
        release.service.as_str().into(),
        Cell::toned(version, release.version.as_str()),
        release.digest.short().into(),
        age.map(|age| format!("{age} ago")).unwrap_or_default().into(),
        units::bytes(release.size_bytes).into(),
        release.commit.get(..7).unwrap_or(&release.commit).into(),
        Cell::toned(scanned, verdict),
        intact,
        release.subject().into(),
    ]
}
