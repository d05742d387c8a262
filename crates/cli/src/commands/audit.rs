//! `mana audit`.

use mana_control::api::{AuditCheck, AuditEntry};

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running::Running;
use crate::show::table::{self, Cell, Column};
use crate::show::units;

const EXAMPLES: &str = "\
Examples:
  mana audit                       who changed what, the last 50
  mana audit --limit 1000 --json
  mana audit --verify              has anybody changed the log itself?

Each row holds a hash of the one before it: whoever changes one has to change all that follow. `--verify` prints the last hash; \
kept elsewhere, it proves later that nothing before it was changed. `mana logs control` has the hash of each, too. \
Ends with 1 where a row is not as it was written.";

/// Shows who changed what, and whether that record is as it was written
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// How many rows, the last ones
    #[arg(long, value_name = "N", default_value = "50")]
    limit: u32,
    /// Check the whole record instead
    #[arg(long, conflicts_with = "limit")]
    verify: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

const COLUMNS: [Column; 7] = [
    Column::number("NO", 1),
    Column::text("AT", 0),
    Column::text("WHO", 0),
    Column::text("FROM", 1),
    Column::text("WHAT", 0),
    Column::text("TO", 0),
    Column::text("OUTCOME", 0),
];

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, .. } = context.running().await?;
        let mut output = context.output();
        if args.verify {
            let check = client.check_audit().await.map_err(|error| context.failure(error))?;
            if args.json {
                output.json(&check)?;
            } else {
                output.line(&verdict(&check))?;
            }
            return Ok(if check.broken.is_some() { Exit::Failed } else { Exit::Ok });
        }
        // Oldest first, as a log is read.
        let mut entries = client.audit(args.limit).await.map_err(|error| context.failure(error))?;
        entries.reverse();
        if args.json {
            output.json(&entries)?;
        } else if entries.is_empty() {
            output.line("nobody has changed anything yet")?;
        } else {
            let rows: Vec<_> = entries.iter().map(row).collect();
            output.lines(&table::lines(&COLUMNS, &rows, output.style(), output.width()))?;
        }
        Ok(Exit::Ok)
    })
}

fn row(entry: &AuditEntry) -> Vec<Cell> {
    vec![
        entry.number.to_string().into(),
        entry.at.as_str().into(),
        entry.who.as_str().into(),
        entry.source.as_str().into(),
        entry.what.as_str().into(),
        entry.target.as_str().into(),
        entry.outcome.as_str().into(),
    ]
}

fn verdict(check: &AuditCheck) -> String {
    let good = units::count(usize::try_from(check.good).unwrap_or(usize::MAX), "row");
    match &check.broken {
        None => format!("{good} as written; the last hash is {}", check.head),
        Some(broken) => format!(
            "row {} is not as it was written: {}. {good} before it as written; the last good hash is {}",
            broken.number, broken.why, check.head
        ),
    }
}

#[cfg(test)]
mod tests {
    use mana_control::api::Broken;

    use super::*;

    #[test]
    fn the_first_bad_entry_is_named() {
        let check = AuditCheck { good: 3, head: "abc".into(), broken: None };
        assert_eq!(verdict(&check), "3 rows as written; the last hash is abc");
        let broken = Some(Broken { number: 4, why: "it is missing".into() });
        let said = verdict(&AuditCheck { broken, ..check });
        assert!(said.starts_with("row 4 is not as it was written: it is missing. 3 rows before it"), "{said}");
    }
}
