//! `mana alerts`.

use clap::Subcommand;
use jiff::Timestamp;
use mana_control::api::{AlertCommand, AlertRequest, AlertView, Alerting, BudgetView, QuietView, RuleView};
use mana_control::client::Client;
use mana_control::units::exact_percent;
use mana_watch::alert::{Condition, Span};

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Who;
use crate::running::Running;
use crate::show::style::Tone;
use crate::show::table::{self, Cell, Column};

const EXAMPLES: &str = "\
Examples:
  mana alerts                      what fires, what is about to, and how much may still go wrong
  mana alerts rules                every rule, and how it is
  mana alerts ack 3                somebody looks after group 3
  mana alerts silence service=chat-backend --for 2h --reason 'a new disk'
  mana alerts maintenance chat-backend --for 30m --reason 'new database'
  mana alerts test                 fires one for a minute, to see that it arrives

Exit code 3 where a P1 or P2 fires that nobody silenced, so that a script may ask; of `test`, where no channel is told.";

/// Says what is wrong, and who is told of it
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists every rule, and how it is
    #[command(after_long_help = "Examples:\n  mana alerts rules\n  mana alerts rules --json")]
    Rules {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Says that somebody looks after a group: no repeats, no escalation until it is over
    #[command(
        after_long_help = "Examples:\n  mana alerts ack 3\n  mana alerts ack 3 --for 1h --comment 'restarting it'"
    )]
    Ack {
        /// The group's number
        group: u64,
        /// For how long, like `2h` [default: until it is over]
        #[arg(long = "for", value_name = "TIME")]
        hold: Option<Span>,
        /// For the others
        #[arg(long, default_value = "", hide_default_value = true)]
        comment: String,
        #[command(flatten)]
        who: Who,
    },
    /// Tells nobody of some alerts for a while
    #[command(after_long_help = "Examples:\n  mana alerts silence service=chat-backend --for 2h --reason known\n  \
                                 mana alerts silence alertname=HostMemoryHigh --for 1d --reason 'more is ordered'")]
    Silence {
        /// LABEL=VALUE, `!=`, `=~` or `!~`; all of them have to hold. `alertname` and `severity` are labels, too
        #[arg(required = true, value_name = "CONDITION")]
        conditions: Vec<String>,
        /// For how long, like `2h`
        #[arg(long = "for", value_name = "TIME")]
        hold: Span,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        who: Who,
    },
    /// Says that something is being worked on, or will be; the status page says so, with the reason
    #[command(
        after_long_help = "Examples:\n  mana alerts maintenance chat-backend --for 30m --reason 'new database'\n  \
                                 mana alerts maintenance chat-backend --from 2026-12-01T02:00Z --for 1h --reason 'new database'"
    )]
    Maintenance {
        /// What may be in trouble meanwhile
        #[arg(required = true, value_name = "SERVICE")]
        services: Vec<String>,
        /// From when, like `2026-12-01T02:00Z` [default: now]
        #[arg(long, value_name = "INSTANT", value_parser = instant)]
        from: Option<Timestamp>,
        /// For how long, like `30m`
        #[arg(long = "for", value_name = "TIME")]
        hold: Span,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        who: Who,
    },
    /// Ends a silence or a maintenance
    #[command(after_long_help = "Examples:\n  mana alerts unsilence 4")]
    Unsilence {
        /// Its number
        number: u64,
        #[command(flatten)]
        who: Who,
    },
    /// Fires one for a minute, to see that it arrives
    #[command(after_long_help = "Examples:\n  mana alerts test")]
    Test {
        #[command(flatten)]
        who: Who,
    },
}

const ALERTS: [Column; 5] = [
    Column::text("SEVERITY", 0),
    Column::text("STATE", 0),
    Column::text("SINCE", 1),
    Column::number("GROUP", 2),
    Column::text("WHAT", 0),
];
const BUDGETS: [Column; 6] = [
    Column::text("SERVICE", 0),
    Column::text("PROMISED", 0),
    Column::number("TARGET", 0),
    Column::text("IN", 1),
    Column::number("REACHED", 1),
    Column::text("BUDGET LEFT", 0),
];
const RULES: [Column; 4] =
    [Column::text("RULE", 0), Column::text("SEVERITY", 1), Column::text("STATE", 0), Column::text("WHY", 2)];

/// Below this share of an error budget it is nearly spent.
const NEARLY_SPENT: f64 = 0.25;

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, .. } = context.running().await?;
        let (who, command) = match &args.what {
            None => return list(&client, args.json, context).await,
            Some(What::Rules { json }) => return rules(&client, *json, context).await,
            Some(What::Ack { group, hold, comment, who }) => {
                let for_ms = hold.map(Span::millis);
                (who, AlertCommand::Acknowledge { group: *group, comment: comment.clone(), for_ms })
            }
            Some(What::Silence { conditions, hold, reason, who }) => {
                let conditions = conditions.iter().map(|text| condition(text)).collect::<Result<_, _>>()?;
                (who, AlertCommand::Silence { conditions, for_ms: hold.millis(), reason: reason.clone() })
            }
            Some(What::Maintenance { services, from, hold, reason, who }) => {
                let (services, reason) = (services.clone(), reason.clone());
                let from_ms = from.map(Timestamp::as_millisecond);
                (who, AlertCommand::Maintenance { services, from_ms, for_ms: hold.millis(), reason })
            }
            Some(What::Unsilence { number, who }) => (who, AlertCommand::Unsilence { number: *number }),
            Some(What::Test { who }) => (who, AlertCommand::Test),
        };
        let testing = command == AlertCommand::Test;
        let request = AlertRequest { by: who.name()?, command };
        let alerting = client.alert(&request).await.map_err(|error| context.failure(error))?;
        if !testing {
            return Ok(Exit::Ok);
        }
        let (line, exit) = tested(&alerting.test_channels.unwrap_or_default());
        context.output().line(&line)?;
        Ok(exit)
    })
}

/// What is said of a test that goes to these channels.
fn tested(channels: &[String]) -> (String, Exit) {
    if channels.is_empty() {
        let line = "it fires, and nobody is told: no [notifications.NAME] is called like whoever is on call, or wants \
                    `alert` of every service; see `mana alerts` within ten seconds";
        return (line.to_owned(), Exit::NotAsDesired);
    }
    let channels = channels.join(", ");
    let line = format!("within ten seconds a test is told through {channels}, and in a minute its end");
    (line, Exit::Ok)
}

async fn list(client: &Client, json: bool, context: &Context) -> Result<Exit, Failure> {
    let alerting = client.alerting().await.map_err(|error| context.failure(error))?;
    let mut output = context.output();
    if json {
        output.json(&alerting)?;
    } else if alerting.evaluated_at.is_none() {
        output.line("nothing was evaluated yet: the first figures are there within some seconds")?;
    } else {
        let Alerting { alerts, quiets, rules, budgets, .. } = &alerting;
        let rows: Vec<_> = alerts.iter().map(alert).collect();
        if rows.is_empty() {
            output.line(&format!("nothing fires; {} rules are evaluated", rules.len()))?;
        }
        if !rows.is_empty() {
            for line in table::lines(&ALERTS, &rows, output.style(), output.width()) {
                output.line(&line)?;
            }
        }
        for group in &alerting.groups {
            if let Some(why) = &group.undelivered {
                output.line(&format!("group {}: its last message has come to nobody so far: {why}", group.number))?;
            }
        }
        for quiet in quiets {
            output.line(&quiet_line(quiet))?;
        }
        if !budgets.is_empty() {
            output.line("")?;
            let rows: Vec<_> = budgets.iter().map(budget).collect();
            for line in table::lines(&BUDGETS, &rows, output.style(), output.width()) {
                output.line(&line)?;
            }
        }
    }
    let urgent = |alert: &AlertView| {
        alert.state == "firing" && alert.muted.is_none() && ["P1", "P2"].contains(&alert.severity.as_str())
    };
    Ok(if alerting.alerts.iter().any(urgent) { Exit::NotAsDesired } else { Exit::Ok })
}

fn alert(alert: &AlertView) -> Vec<Cell> {
    let tone = match (alert.state.as_str(), alert.severity.as_str()) {
        _ if alert.muted.is_some() => Tone::Faint,
        ("firing", "P1" | "P2") => Tone::Bad,
        ("firing", _) => Tone::Care,
        _ => Tone::Faint,
    };
    let muted = alert.muted.as_ref().map(|why| format!(" (nobody is told: {why})")).unwrap_or_default();
    vec![
        Cell::toned(tone, alert.severity.clone()),
        Cell::toned(tone, alert.state.clone()),
        alert.fired_at.as_ref().unwrap_or(&alert.began_at).as_str().into(),
        alert.group.map(|group| group.to_string()).unwrap_or_default().into(),
        format!("{}: {}{muted}", alert.rule, alert.summary).into(),
    ]
}

fn quiet_line(quiet: &QuietView) -> String {
    let QuietView { number, covers, until, by, reason, .. } = quiet;
    format!("{number}: nobody is told of {covers} until {until} ({by}: {reason})")
}

/// An objective, what was reached, and what is left of its error budget.
fn budget(budget: &BudgetView) -> Vec<Cell> {
    let (tone, word) = match budget.left {
        None => (Tone::Faint, "not known"),
        Some(left) if left <= 0.0 => (Tone::Bad, "spent"),
        Some(left) if left < NEARLY_SPENT => (Tone::Care, "nearly spent"),
        Some(_) => (Tone::Good, "within"),
    };
    let why = budget.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    let left = budget.left.map(|left| format!("{} ", exact_percent(left))).unwrap_or_default();
    vec![
        budget.service.as_str().into(),
        budget.about().into(),
        exact_percent(budget.objective).into(),
        budget.window.as_str().into(),
        budget.reached.map(exact_percent).unwrap_or_default().into(),
        Cell::toned(tone, format!("{left}({word}{why})")),
    ]
}

async fn rules(client: &Client, json: bool, context: &Context) -> Result<Exit, Failure> {
    let alerting = client.alerting().await.map_err(|error| context.failure(error))?;
    let mut output = context.output();
    if json {
        output.json(&alerting.rules)?;
        return Ok(Exit::Ok);
    }
    let row = |rule: &RuleView| {
        let tone = match rule.state.as_str() {
            "firing" | "error" => Tone::Bad,
            "pending" => Tone::Care,
            _ => Tone::Faint,
        };
        let why = rule.why.clone().unwrap_or_default();
        vec![
            rule.name.as_str().into(),
            rule.severity.as_str().into(),
            Cell::toned(tone, rule.state.clone()),
            why.into(),
        ]
    };
    let rows: Vec<_> = alerting.rules.iter().map(row).collect();
    for line in table::lines(&RULES, &rows, output.style(), output.width()) {
        output.line(&line)?;
    }
    Ok(Exit::Ok)
}

/// RFC 3339, with seconds or without.
fn instant(text: &str) -> Result<Timestamp, String> {
    let whole = text.strip_suffix('Z').filter(|rest| rest.len() == 16).map(|rest| format!("{rest}:00Z"));
    let bad = |_| "write an instant such as 2026-12-01T02:00Z, or 2026-12-01T03:00:00+01:00".to_owned();
    whole.as_deref().unwrap_or(text).parse().map_err(bad)
}

/// `LABEL=VALUE` and the like.
fn condition(text: &str) -> Result<Condition, Failure> {
    let bad = |_| Failure::Usage {
        what: format!("{text} is no condition"),
        help: "write LABEL=VALUE, such as service=chat-backend; != and =~ work, too".to_owned(),
    };
    text.parse().map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_names_the_channels_that_it_goes_to_or_says_that_there_is_none() {
        let (line, exit) = tested(&["on-call".to_owned(), "chat".to_owned()]);
        assert!(line.contains("through on-call, chat,") && exit == Exit::Ok, "{line}");
        let (line, exit) = tested(&[]);
        assert!(line.contains("nobody is told") && exit == Exit::NotAsDesired, "{line}");
    }

    #[test]
    fn a_budget_says_in_a_word_how_much_is_left_or_why_that_is_not_known() {
        let view = |left: Option<f64>| BudgetView {
            service: "shop".into(),
            within_ms: Some(500),
            objective: 0.999,
            window: "30d".into(),
            requests: left.map(|_| 1e6),
            bad: left.map(|_| 500.0),
            allowed: left.map(|_| 1e3),
            reached: left.map(|_| 0.9995),
            left,
            why: left.is_none().then(|| "there were no requests".to_owned()),
        };
        let said = |left| {
            let rows = [budget(&view(left))];
            table::lines(&BUDGETS, &rows, crate::show::style::Style::PLAIN, None).pop().unwrap_or_default()
        };
        assert!(said(Some(0.5)).contains("50 % (within)"), "{}", said(Some(0.5)));
        assert!(said(Some(0.5)).contains("99.9 %") && said(Some(0.5)).contains("99.95 %"));
        assert!(said(Some(0.1)).contains("10 % (nearly spent)") && said(Some(-0.5)).contains("-50 % (spent)"));
        assert!(said(None).contains("(not known: there were no requests)"), "{}", said(None));
    }

    #[test]
    fn an_instant_needs_no_seconds_and_a_zone() {
        let at = |text: &str| instant(text).map(Timestamp::as_second).ok();
        assert_eq!(at("2026-12-01T02:00Z"), at("2026-12-01T03:00:00+01:00"));
        assert!(at("2026-12-01T02:00Z").is_some());
        assert_eq!((at("tomorrow"), at("2026-12-01T02:00")), (None, None));
    }
}
