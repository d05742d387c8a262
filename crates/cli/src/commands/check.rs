//! `mana check`.

use std::path::Path;

use mana_control::client::Client;
use mana_control::rules::{self, There};
use mana_manifest::plan::{Environment, Plan};
use mana_manifest::{Facts, Manifest, Overrides, Problem};
use serde::Serialize;

use crate::context::{Context, block_on};
use crate::ecosystem;
use crate::exit::Exit;
use crate::failure::{Failure, MissingSecret};
use crate::report;
use crate::show::style::Tone;
use crate::show::units;

const EXAMPLES: &str = "\
Examples:
  mana check                       every environment
  mana -e production check         only this one
  mana -m other/mana.toml check --json | jq -r '.problems[].message'

Reports every problem at once with file, line, column and what to write instead. Ends with 0 when there is none, else 64; \
warnings alone end with 0. Required secrets are looked for in the environment that would be started. Starts nothing.";

/// Checks the manifest, all of it, before anything starts
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` says.
#[derive(Serialize)]
struct Answer<'a> {
    manifest: &'a Path,
    ok: bool,
    problems: &'a [Problem],
    missing_secrets: &'a [MissingSecret],
    /// Rules that can never fire, with their reasons.
    doubts: &'a [String],
    /// Gates of rollouts that nothing could pass, with their reasons.
    gates: &'a [String],
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let path = context.manifest()?;
    let overrides = ecosystem::of(&context.overrides()?);
    let (manifest, problems) = match ecosystem::load(&path) {
        Ok(manifest) => {
            let problems = manifest.check(&overrides, &Facts::of_disk());
            (Some(manifest), problems)
        }
        Err(Failure::Manifest { problems }) => (None, *problems),
        Err(other) => return Err(other),
    };
    // Secrets only of the environment that would be started here: production's are no business of a developer's machine.
    let plan = manifest.as_ref().and_then(|manifest| manifest.plan(&overrides, &Facts::of_disk()).ok());
    let missing = plan.as_ref().map(ecosystem::missing).transpose()?.unwrap_or_default();
    let there = plan.as_ref().map(there).unwrap_or_default();
    let gates = plan.as_ref().map(|plan| rules::gates(plan, &there.names)).unwrap_or_default();
    let doubts = plan.as_ref().map(|plan| rules::doubts(plan, there)).unwrap_or_default();
    if args.json {
        let ok = !problems.any_error() && missing.is_empty() && gates.is_empty();
        let answer = Answer {
            manifest: &path,
            ok,
            problems: problems.list(),
            missing_secrets: &missing,
            doubts: &doubts,
            gates: &gates,
        };
        context.output().json(&answer)?;
        return Ok(if ok { Exit::Ok } else { Exit::BadConfiguration });
    }
    let (Some(manifest), Some(plan), false) = (&manifest, &plan, problems.any_error()) else {
        return Err(Failure::manifest(problems));
    };
    report::details(problems.diagnostics(), context.global().color);
    if let Err(problems) = rules::rules(plan) {
        return Err(Failure::Failed {
            what: problems.join("\n"),
            help: "docs/QUERY.md has the language of expressions".to_owned(),
        });
    }
    if !gates.is_empty() {
        return Err(Failure::Failed {
            what: gates.join("\n"),
            help: "docs/QUERY.md has the language of queries, docs/DELIVERY.md what gates are".to_owned(),
        });
    }
    for doubt in &doubts {
        report::note(doubt);
    }
    context.refuse_missing(plan, missing)?;
    let mut output = context.output();
    let mark = output.style().paint(Tone::Good, "✓");
    output.line(&format!("{mark} {} is right: {}", path.display(), extent(manifest, &overrides)))?;
    Ok(Exit::Ok)
}

/// What is measured where the environment runs; nothing where it does not, or nobody would look at it.
fn there(plan: &Plan) -> There {
    if plan.alerts.is_empty() && plan.services.iter().all(|service| service.rollout.gates.is_empty()) {
        return There::default();
    }
    let there = block_on(async {
        Ok(match Client::connect(&plan.data).await {
            Ok(client) => client.there().await.unwrap_or_default(),
            Err(_) => There::default(),
        })
    });
    there.unwrap_or_default()
}

/// How many services there are in each environment that was checked.
fn extent(manifest: &Manifest, overrides: &Overrides) -> String {
    let environments = match &overrides.environment {
        Some(one) => vec![one.clone()],
        None => Environment::ALL.iter().map(|environment| environment.as_str().to_owned()).collect(),
    };
    let count = |environment: String| {
        let overrides = Overrides { environment: Some(environment.clone()), ..overrides.clone() };
        let plan = manifest.plan(&overrides, &Facts::assumed()).ok()?;
        Some(format!("{} in {environment}", units::count(plan.services.len(), "service")))
    };
    environments.into_iter().filter_map(count).collect::<Vec<_>>().join(", ")
}
