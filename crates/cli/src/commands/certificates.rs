//! `mana certificates`.

use jiff::Timestamp;
use mana_control::paths;
use mana_edge::admin::{Certificate, Client};

use crate::clock;
use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::style::Tone;
use crate::show::table::{self, Cell, Column};

const EXAMPLES: &str = "\
Examples:
  mana certificates                what is served for each host, until when, and what went wrong
  mana certificates --json | jq -r '.[] | select(.failures > 0) | .host'

Ends with 3 when a host has no valid certificate. The edge orders and renews by itself: 30 days before the end, or at a third of a \
short life, and earlier where the authority asks for it.";

const COLUMNS: [Column; 5] = [
    Column::text("HOST", 0),
    Column::text("SOURCE", 3),
    Column::text("VALID UNTIL", 0),
    Column::text("NEXT ORDER", 2),
    Column::text("", 1),
];

/// Shows the certificates that the edge serves
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let client = Client::new(paths::edge_socket(&context.data()?));
    let certificates = block_on(async { client.certificates().await.map_err(|error| no_edge(context, &error)) })?;
    let mut output = context.output();
    let now = clock::now();
    if args.json {
        output.json(&certificates)?;
    } else if certificates.is_empty() {
        output.line("no certificates: the edge speaks plain HTTP here")?;
    } else {
        let rows: Vec<_> = certificates.iter().map(|certificate| row(certificate, now)).collect();
        for line in table::lines(&COLUMNS, &rows, output.style(), output.width()) {
            output.line(&line)?;
        }
    }
    let well = certificates.iter().all(|certificate| is_valid(certificate, now));
    Ok(if well { Exit::Ok } else { Exit::NotAsDesired })
}

/// The edge does not answer.
pub(crate) fn no_edge(context: &Context, error: &mana_edge::admin::ClientError) -> Failure {
    Failure::Failed { what: error.to_string(), help: format!("`{}` starts it", context.command("up")) }
}

fn is_valid(certificate: &Certificate, now: Timestamp) -> bool {
    certificate.not_after.is_some_and(|end| end > now.as_second())
}

fn row(certificate: &Certificate, now: Timestamp) -> Vec<Cell> {
    let until = match certificate.not_after {
        None => Cell::toned(Tone::Bad, "none yet"),
        Some(end) if is_valid(certificate, now) => day(end).into(),
        Some(end) => Cell::toned(Tone::Bad, format!("{} (over)", day(end))),
    };
    let problem = match &certificate.last_error {
        Some(error) => Cell::toned(Tone::Bad, format!("failed {} times: {error}", certificate.failures)),
        None => Cell::default(),
    };
    let next = certificate.next_order.map(day).unwrap_or_default();
    vec![
        Cell::toned(Tone::Name, certificate.host.as_str()),
        certificate.source.as_str().into(),
        until,
        next.into(),
        problem,
    ]
}

fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map_or_else(|_| "unknown".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::style::Style;

    #[test]
    fn what_is_wrong_stands_beside_its_host() {
        let now = Timestamp::from_second(1_790_000_000).expect("a time");
        let good = Certificate {
            host: "chat.example.org".into(),
            source: "acme".into(),
            not_after: Some(1_797_000_000),
            next_order: Some(1_794_408_000),
            ..Certificate::default()
        };
        let over = Certificate {
            host: "old.example.org".into(),
            source: "file".into(),
            not_after: Some(1),
            ..Certificate::default()
        };
        let none = Certificate {
            host: "new.example.org".into(),
            source: "acme".into(),
            failures: 2,
            last_error: Some("the certificate authority: DNS problem".into()),
            ..Certificate::default()
        };
        let rows: Vec<_> = [good, over, none].iter().map(|certificate| row(certificate, now)).collect();
        insta::assert_snapshot!(table::lines(&COLUMNS, &rows, Style::PLAIN, None).join("\n"));
    }
}
