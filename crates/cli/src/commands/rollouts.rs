//! `mana rollouts`.

use crate::clock;
use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running::Running;
use crate::show::rollout;
use crate::show::style::Tone;
use crate::show::table::{self, Cell, Column};
use crate::show::units;

const EXAMPLES: &str = "\
Examples:
  mana rollouts                     all of them, newest first
  mana rollouts chat-backend        those of one service
  mana rollouts --json | jq '.[] | select(.over | not)'";

const COLUMNS: [Column; 8] = [
    Column::number("N", 0),
    Column::text("SERVICE", 0),
    Column::text("VERSION", 0),
    Column::text("STAGE", 0),
    Column::number("NEW", 1),
    Column::text("BEGUN", 2),
    Column::text("BY", 3),
    Column::text("WHY", 1),
];

/// Shows the rollouts there were, and those that are under way
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only those of this one
    service: Option<String>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, .. } = context.running().await?;
        let views = client.rollouts(args.service.as_deref()).await.map_err(|error| context.failure(error))?;
        let mut output = context.output();
        if args.json {
            output.json(&views)?;
        } else if views.is_empty() {
            output.line(&format!("no rollouts yet: `{}` begins one", context.command("deploy SERVICE")))?;
        } else {
            let now = clock::now();
            let row = |view: &mana_control::api::RolloutView| {
                let age = units::since(&view.begun_at, now).map(units::duration);
                let waits = (!view.waits_for.is_empty()).then(|| format!("waits for {}", view.waits_for.join(", ")));
                vec![
                    view.number.to_string().into(),
                    view.service.as_str().into(),
                    Cell::toned(Tone::Name, view.version.as_str()),
                    Cell::toned(rollout::tone(view), view.stage.as_str()),
                    format!("{} %", view.new.percent).into(),
                    age.map(|age| format!("{age} ago")).unwrap_or_default().into(),
                    view.started_by.as_str().into(),
                    view.why.clone().or(waits).unwrap_or_default().into(),
                ]
            };
            let rows: Vec<_> = views.iter().map(row).collect();
            for line in table::lines(&COLUMNS, &rows, output.style(), output.width()) {
                output.line(&line)?;
            }
        }
        Ok(Exit::Ok)
    })
}
