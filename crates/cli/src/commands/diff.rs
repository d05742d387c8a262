//! `mana diff`.

use mana_control::api::Served;
use mana_control::releases::{self, Order};
use mana_manifest::plan::Plan;
use mana_release::source::{self, Between, Commit, Dirty};
use mana_release::store::StoreError;
use serde::Serialize;
use serde_json::Value;

use crate::context::{Context, block_on};
use crate::difference::{self, Change};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::making;
use crate::meant;
use crate::running::Running;
use crate::show::style::{Style, Tone};
use crate::show::units;

const EXAMPLES: &str = "\
Examples:
  mana diff                        what `up` and `deploy` would change
  mana diff chat-backend v1.6.0    what that release or tag would bring
  mana diff chat --json            of all services of a project

What was applied is held against the manifest as it is now, and what serves against what is checked out, a release, or a commit.";

/// Shows what would change: commits, migrations, configuration
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service, or a project [default: all]
    service: Option<String>,

    /// A release, or a tag, branch or commit [default: what is checked out]
    #[arg(value_name = "WHAT")]
    release: Option<String>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Difference {
    services: Vec<Bringing>,
    configuration: Vec<Change>,
}

/// What a service would be brought.
#[derive(Serialize)]
struct Bringing {
    service: String,
    /// What serves; absent: the manifest's folder, or nothing.
    from: Option<String>,
    to: String,
    /// Absent: one of them is not in the repository.
    between: Option<Between>,
    /// Those that what serves does not have; of a commit, as far as they are in it.
    migrations: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let plan = context.plan()?;
    block_on(async {
        let Running { client, status } = context.running().await?;
        let serving = client.serving().await.map_err(|error| context.failure(error))?;
        let now = serde_json::to_value(plan).map_err(std::io::Error::from)?;
        let mut configuration = difference::changes(&serving.plan, &now);
        let wanted = match &args.service {
            Some(name) => {
                let services = meant::services(name, &status)?;
                configuration.retain(|change| services.iter().any(|service| is_of(change, service)));
                services
            }
            None => plan.services.iter().map(|service| service.name.clone()).collect(),
        };
        let mut services = Vec::new();
        for service in wanted {
            let is_built = plan.services.iter().any(|planned| planned.name == service && planned.build.is_some());
            let serves = serving.releases.iter().find(|served| served.service == service);
            // What was never released is brought nowhere, unless somebody asks for it.
            if is_built && (serves.is_some() || args.service.is_some()) {
                services.push(bringing(&service, serves, args.release.as_deref(), plan, context).await?);
            }
        }
        let difference = Difference { services, configuration };
        let mut output = context.output();
        if args.json {
            output.json(&difference)?;
        } else {
            output.lines(&lines(&difference, output.style()))?;
        }
        Ok(Exit::Ok)
    })
}

fn is_of(change: &Change, service: &str) -> bool {
    let of = change.place.strip_prefix("services.").and_then(|place| place.strip_prefix(service));
    of.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

async fn bringing(
    service: &str,
    serves: Option<&Served>,
    what: Option<&str>,
    plan: &Plan,
    context: &Context,
) -> Result<Bringing, Failure> {
    let manifest = context.manifest()?;
    let store = releases::store(plan, service);
    let order = Order { manifest: &manifest, plan, service, reference: what };
    let fail = |error: releases::Error| making::failure(error, &order, context);
    let present = serves.map(|served| store.find(Some(&served.digest))).transpose();
    let present = present.map_err(|error| fail(error.into()))?;
    let (to, commit, migrations) = match what.map(|what| store.find(Some(what))) {
        Some(Ok(release)) => (release.version, release.commit, release.migrations),
        Some(Err(StoreError::Unknown { .. })) | None => {
            let found = Commit::find(&plan.root, &plan.data, what, Dirty::Allowed).await;
            let found = found.map_err(|error| fail(error.into()))?;
            let migrations = releases::migrations_of(&order, &found).await.map_err(&fail)?;
            (found.version, found.id, migrations)
        }
        Some(Err(error)) => return Err(fail(error.into())),
    };
    let between = match &present {
        Some(present) => {
            let between = source::between(&plan.root, &present.commit, &commit).await;
            between.map_err(|error| fail(error.into()))?
        }
        None => None,
    };
    let known = present.as_ref().map(|present| present.migrations.clone()).unwrap_or_default();
    let fresh = migrations.into_iter().filter(|migration| !known.contains(migration));
    Ok(Bringing {
        service: service.to_owned(),
        from: present.map(|present| present.version),
        to,
        between,
        migrations: fresh.map(|migration| migration.path).collect(),
    })
}

fn lines(difference: &Difference, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    for bringing in &difference.services {
        let from = bringing.from.as_deref().unwrap_or("the folder itself");
        lines.push(format!("{}  {from} → {}", style.paint(Tone::Strong, &bringing.service), bringing.to));
        if let Some(between) = &bringing.between {
            let files = if between.files.is_empty() { "no file differs" } else { &between.files };
            lines.push(format!("  {}, {files}", units::count(between.ahead, "commit")));
            if between.behind > 0 {
                let back = format!("  it takes back {}", units::count(between.behind, "commit"));
                lines.push(style.paint(Tone::Care, &back));
            }
            let step = |step: &source::Step| format!("  {} {} ({})", step.commit, step.subject, step.author);
            lines.extend(between.commits.iter().map(step));
            if between.ahead > between.commits.len() {
                lines.push(format!("  and {} more", between.ahead - between.commits.len()));
            }
        }
        lines.extend(bringing.migrations.iter().map(|path| format!("  migration {path}")));
    }
    if !difference.configuration.is_empty() {
        lines.push(style.paint(Tone::Strong, "configuration (`mana up` applies it)"));
    }
    for change in &difference.configuration {
        let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), short);
        lines.push(format!("  {}: {} → {}", change.place, shown(change.from.as_ref()), shown(change.to.as_ref())));
    }
    if lines.is_empty() {
        lines.push("nothing would change".to_owned());
    }
    lines
}

/// A value in a few words.
fn short(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
