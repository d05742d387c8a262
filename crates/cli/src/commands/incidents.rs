//! `mana incidents`.

use clap::{Subcommand, ValueEnum};
use mana_control::api::{IncidentCommand, IncidentRequest, IncidentView};
use mana_watch::alert::Severity;
use mana_watch::incident::Status;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Who;
use crate::running::Running;
use crate::show::table::{self, Column};

const EXAMPLES: &str = "\
Examples:
  mana incidents                   the newest first
  mana incidents 3                 what to tell everybody, and a post-mortem's draft (Markdown)
  mana incidents post 3 'The disk is full; more is on its way' --state identified
  mana incidents open 'Logins are slow' --services mana-core-auth --severity P2
  mana incidents --json

An incident opens by itself when a P1 or P2 fires, and is over when its alerts are. What is posted stands on the status page at once.";

/// Says what went wrong, and when; tells everybody
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,

    /// Its number [default: lists all]
    number: Option<u64>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Says that something is wrong that no alert has seen
    #[command(after_long_help = "Examples:\n  mana incidents open 'Logins are slow' --services mana-core-auth\n  \
                                 mana incidents open 'Payments fail' --services chat-web,chat-backend --severity P1")]
    Open {
        /// In a few words; everybody reads it
        title: String,
        /// What it is about
        #[arg(long, value_name = "SERVICE", value_delimiter = ',', required = true)]
        services: Vec<String>,
        /// How urgent it is
        #[arg(long, default_value = "P2")]
        severity: Urgency,
        #[command(flatten)]
        who: Who,
    },
    /// Tells everybody, on the status page and in its feed
    #[command(after_long_help = "Examples:\n  mana incidents post 3 'We are looking into it'\n  \
                                 mana incidents post 3 'A larger disk is in' --state monitoring\n  \
                                 mana incidents post 3 'It is over' --state resolved")]
    Post {
        /// Number of the incident
        number: u64,
        /// In words
        text: String,
        /// Where it stands now [default: as before]
        #[arg(long, value_name = "STATE")]
        state: Option<Stage>,
        #[command(flatten)]
        who: Who,
    },
    /// Writes something into the timeline, for those who work on it
    #[command(after_long_help = "Examples:\n  mana incidents note 3 'restarted the database by hand'")]
    Note(Words),
    /// Says what people cannot do; everybody reads it
    #[command(after_long_help = "Examples:\n  mana incidents impact 3 'Nobody can log in'")]
    Impact(Words),
    /// Says why it happened
    #[command(after_long_help = "Examples:\n  mana incidents cause 3 'the memory limit was too low'")]
    Cause(Words),
    /// Adds something that is to be done so that it does not happen again
    #[command(after_long_help = "Examples:\n  mana incidents action 3 'raise the memory limit to 1GB'")]
    Action(Words),
    /// Says that one of the six points that follow an incident is done
    #[command(after_long_help = "Examples:\n  mana incidents follow-up 3 2")]
    FollowUp {
        /// Number of the incident
        number: u64,
        /// Which point, from 1
        point: usize,
        #[command(flatten)]
        who: Who,
    },
}

#[derive(Debug, clap::Args)]
struct Words {
    /// Number of the incident
    number: u64,
    /// In words
    text: String,
    #[command(flatten)]
    who: Who,
}

/// As flags say it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Urgency {
    #[value(name = "P1", alias = "p1")]
    P1,
    #[value(name = "P2", alias = "p2")]
    P2,
    #[value(name = "P3", alias = "p3")]
    P3,
    #[value(name = "P4", alias = "p4")]
    P4,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stage {
    Investigating,
    Identified,
    Monitoring,
    Resolved,
}

impl From<Urgency> for Severity {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::P1 => Self::P1,
            Urgency::P2 => Self::P2,
            Urgency::P3 => Self::P3,
            Urgency::P4 => Self::P4,
        }
    }
}

impl From<Stage> for Status {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Investigating => Self::Investigating,
            Stage::Identified => Self::Identified,
            Stage::Monitoring => Self::Monitoring,
            Stage::Resolved => Self::Resolved,
        }
    }
}

/// Who wants what.
fn meant(what: &What) -> (&Who, IncidentCommand) {
    match what {
        What::Open { title, services, severity, who } => {
            let (title, services) = (title.clone(), services.clone());
            (who, IncidentCommand::Open { title, severity: (*severity).into(), services })
        }
        What::Post { number, text, state, who } => {
            let (text, status) = (text.clone(), state.map(Into::into));
            (who, IncidentCommand::Post { number: *number, text, status })
        }
        What::Note(Words { number, text, who }) => (who, IncidentCommand::Note { number: *number, text: text.clone() }),
        What::Impact(Words { number, text, who }) => {
            (who, IncidentCommand::Impact { number: *number, text: text.clone() })
        }
        What::Cause(Words { number, text, who }) => {
            (who, IncidentCommand::Cause { number: *number, text: text.clone() })
        }
        What::Action(Words { number, text, who }) => {
            (who, IncidentCommand::Action { number: *number, text: text.clone() })
        }
        What::FollowUp { number, point, who } => (who, IncidentCommand::FollowUp { number: *number, point: *point }),
    }
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
        if let Some(what) = &args.what {
            let (who, command) = meant(what);
            let opens = command.number().is_none();
            let request = IncidentRequest { by: who.name()?, command };
            let incident = client.incident(&request).await.map_err(|error| context.failure(error))?;
            if opens {
                context.output().line(&format!("incident {} is open: {}", incident.number, incident.title))?;
            }
            return Ok(Exit::Ok);
        }
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
