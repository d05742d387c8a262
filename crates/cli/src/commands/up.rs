//! `mana up`.

use std::path::Path;

use mana_control::api::{Apply, Status};
use mana_control::client::Client;
use mana_control::daemon::make_data_folder;
use mana_control::{rules, secrets};
use mana_manifest::plan::Plan;
use mana_manifest::{Facts, Overrides};
use serde::Serialize;

use crate::context::{Context, block_on};
use crate::ecosystem;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::{self, Outcome};
use crate::report;
use crate::running::Running;
use crate::show::style::Tone;
use crate::show::{addresses, units};
use crate::start;
use crate::terminal::Output;

mod foreground;

const EXAMPLES: &str = "\
Examples:
  mana up                          start everything, or bring it to what mana.toml says now
  mana up --json | jq .            every step as one line of JSON, a summary last
  mana --port-offset 100 --data /tmp/second up
                                   a second ecosystem beside the first
  MANA_SECRET_AZURE_OPENAI_API_KEY=… mana -e production up
                                   take over a secret that a person provides
  mana up --foreground             stay here: Ctrl-C stops everything again

What is already as desired is left alone; a changed service is replaced beside the running one, so no request is lost. \
Everything that was started lives on when this command, its terminal or the control plane ends.";

/// Starts everything, or brings it to what the manifest says now
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Run the control plane in this process. Ctrl-C stops everything; SIGTERM leaves the instances running
    #[arg(long, conflicts_with = "no_wait")]
    foreground: bool,

    /// Return as soon as the manifest is accepted, without waiting until everything is up
    #[arg(long)]
    no_wait: bool,

    /// Print each event as a line of JSON, and a summary last
    #[arg(long)]
    json: bool,
}

/// The last line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename = "summary")]
struct Summary<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    status: &'a Status,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    // The manifest is read and checked first: with a wrong one not even a control plane is started.
    let plan = checked_plan(args, context)?;
    context.refuse_missing(&plan, ecosystem::missing(&plan)?)?;
    let data = plan.data.clone();
    make_data_folder(&data)?;
    take_secrets(&data, args)?;
    let apply = Apply { manifest: context.manifest()?, overrides: context.overrides()? };
    if args.foreground {
        return foreground::run(args, context, &data, &apply);
    }
    block_on(async {
        let (Running { client, status }, started) = start::ensure(context, &data).await?;
        note_other_version(&status, context);
        if !args.json {
            for doubt in rules::doubts(&plan, client.there().await.unwrap_or_default()) {
                report::note(&doubt);
            }
        }
        let done = bring_up(&client, &apply, args, context).await;
        if let Err(Failure::Refused(_)) = &done
            && started
        {
            // Nothing was started, so nothing stays, the control plane included.
            let events = client.down().await.map_err(|error| context.failure(error))?;
            progress::wait(events, context).await?;
        }
        done
    })
}

/// The plan of a manifest without errors, its warnings shown.
fn checked_plan(args: &Args, context: &Context) -> Result<Plan, Failure> {
    let manifest = ecosystem::load(&context.manifest()?)?;
    let overrides = ecosystem::of(&context.overrides()?);
    let plan = manifest.plan(&overrides, &Facts::of_disk()).map_err(Failure::manifest)?;
    if !args.json {
        let environment = Some(plan.environment.as_str().to_owned());
        let warnings = manifest.check(&Overrides { environment, ..overrides }, &Facts::of_disk());
        report::details(warnings.diagnostics(), context.global().color);
    }
    Ok(plan)
}

/// Provided secrets arrive as `MANA_SECRET_NAME`, so that they stand in no file and no process list.
fn take_secrets(data: &Path, args: &Args) -> Result<(), Failure> {
    // What is not UTF-8 is no variable of ours; `std::env::vars` would panic over it.
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let taken = secrets::take_from_environment(data, variables)?;
    if !args.json && !taken.is_empty() {
        report::note(&format!("taken over from the environment: {}", taken.join(", ")));
    }
    Ok(())
}

/// Sends the manifest and shows what comes of it.
async fn bring_up(client: &Client, apply: &Apply, args: &Args, context: &Context) -> Result<Exit, Failure> {
    let mut output = context.output();
    let events = client.apply(apply).await.map_err(|error| context.failure(error))?;
    if args.no_wait {
        let status = context.command("status");
        if !args.json {
            output.line(&format!("accepted; `{status}` shows how it goes"))?;
        }
        return Ok(Exit::Ok);
    }
    // In the foreground Ctrl-C is not about watching but about everything, and is waited for elsewhere.
    let outcome = if args.foreground {
        progress::follow(events, args.json, &mut output, context).await?
    } else {
        progress::follow_until_interrupted(events, args.json, &mut output, context).await?
    };
    if let Outcome::Interrupted = outcome {
        let (status, down) = (context.command("status"), context.command("down"));
        report::note(&format!("it goes on in the background: `{status}` shows how, `{down}` stops everything"));
        return Ok(Exit::Interrupted);
    }
    let status = client.status().await.map_err(|error| context.failure(error))?;
    if args.json {
        let reason = if let Outcome::Failed(reason) = &outcome { Some(reason.as_str()) } else { None };
        output.json_line(&Summary { ok: reason.is_none(), reason, status: &status })?;
        return Ok(if reason.is_none() { Exit::Ok } else { Exit::Failed });
    }
    match outcome {
        Outcome::Settled(took) => {
            is_up(&status, took, context, &mut output)?;
            Ok(Exit::Ok)
        }
        Outcome::Failed(reason) => {
            output.line("")?;
            Err(Failure::NotUp { reason, status: context.command("status"), down: context.command("down") })
        }
        Outcome::Interrupted => Ok(Exit::Interrupted),
    }
}

fn is_up(status: &Status, took: std::time::Duration, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let style = output.style();
    let name = style.paint(Tone::Strong, &format!("{} in {}", status.ecosystem, status.environment));
    output.line(&format!("\n{name} is up, after {}\n", units::duration(took)))?;
    output.lines(&addresses::lines(status, style, output.width()))?;
    output.line("")?;
    output.lines(&addresses::next_commands(&context.mana(), status, style))?;
    Ok(())
}

/// A control plane goes on with the binary it was started from, until it is stopped.
fn note_other_version(status: &Status, context: &Context) {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    if status.version != VERSION {
        let (down, up) = (context.command("down"), context.command("up"));
        let version = &status.version;
        report::note(&format!(
            "the control plane is {version}, this binary {VERSION}: `{down}`, then `{up}` replace it"
        ));
    }
}
