//! `mana incidents`.

use mana_control::api::IncidentView;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running::Running;
use crate::show::table::{self, Column};

const EXAMPLES: &str = "\
Examples:
  mana incidents                   the newest first
  mana incidents 3                 what to tell everybody, and a post-mortem's draft (Markdown)
  mana incidents --json

An incident opens by itself when a P1 or P2 fires, and is over when its alerts are.";

/// Says what went wrong, and when
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Its number [default: lists all]
    number: Option<u64>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

const COLUMNS: [Column; 5] = [
    Column::number("NUMBER", 0),
    Column::text("SEVERITY", 0),
    Column::text("STATUS", 0),
    Column::text("BEGAN", 1),
    Column::text("WHAT", 0),
];

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, .. } = context.running().await?;
        let all = client.incidents().await.map_err(|error| context.failure(error))?;
        let mut output = context.output();
        if let Some(number) = args.number {
            let known = || all.iter().map(|incident| incident.number.to_string()).collect::<Vec<_>>();
            let Some(found) = all.iter().find(|incident| incident.number == number) else {
                return Err(Failure::unknown("incident", &number.to_string(), known().iter().map(String::as_str)));
            };
            if args.json {
                output.json(found)?;
            } else {
                output.line(&found.announcement)?;
                output.line(&found.post_mortem)?;
            }
        } else if args.json {
            output.json(&all)?;
        } else if all.is_empty() {
            output.line("there was none")?;
        } else {
            let row = |incident: &IncidentView| {
                vec![
                    incident.number.to_string().into(),
                    incident.severity.as_str().into(),
                    incident.status.as_str().into(),
                    incident.began_at.as_str().into(),
                    incident.title.as_str().into(),
                ]
            };
            let rows: Vec<_> = all.iter().map(row).collect();
            for line in table::lines(&COLUMNS, &rows, output.style(), output.width()) {
                output.line(&line)?;
            }
        }
        Ok(Exit::Ok)
    })
}
