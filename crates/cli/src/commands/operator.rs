//! `mana operator`.

use clap::Subcommand;
use mana_control::api::{NewOperator, OperatorAfter, OperatorChange, OperatorView, Role, SessionView};
use mana_control::client::Client;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running::Running;
use crate::show::table::{self, Column};
use crate::terminal::Output;

const EXAMPLES: &str = "\
Examples:
  mana -e production operator add ada --role admin
                                   prints a link, once; ada sets a password there
  mana -e production operator list
  mana -e production operator role bob approver
  mana -e production operator reset bob
                                   password or second factor lost: another link
  mana -e production operator disable eve

Operators log in at the operators' door (`ops` in [environments.NAME]). A viewer sees how things are; an operator deploys, rolls back and \
acknowledges too; an approver approves too; an admin makes operators and tokens too. There is no default password: the first admin is made \
here, on the machine itself.";

/// Says who may log in at the operators' door
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Invites a person: prints a link by which they set a password, good once and for 24 hours
    #[command(
        after_long_help = "Examples:\n  mana operator add ada --role admin\n  mana operator add bob --role viewer"
    )]
    Add {
        /// Their name: `ada`, `bob@example.com`
        name: String,
        /// What they may do: viewer, operator, approver, admin
        #[arg(long, value_name = "ROLE")]
        role: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists them
    #[command(after_long_help = "Examples:\n  mana operator list\n  mana operator list --json")]
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Changes what somebody may do, at once
    #[command(after_long_help = "Examples:\n  mana operator role bob approver")]
    Role {
        /// Their name
        name: String,
        /// viewer, operator, approver or admin
        role: String,
    },
    /// Keeps somebody out, and a token of their name, at once
    #[command(after_long_help = "Examples:\n  mana operator disable eve")]
    Disable {
        /// Their name
        name: String,
    },
    /// Lets somebody in again
    #[command(after_long_help = "Examples:\n  mana operator enable eve")]
    Enable {
        /// Their name
        name: String,
    },
    /// Invites somebody anew: password, second factor and sessions end at once
    #[command(after_long_help = "Examples:\n  mana operator reset bob")]
    Reset {
        /// Their name
        name: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists where somebody is logged in
    #[command(after_long_help = "Examples:\n  mana operator sessions bob\n  mana operator sessions bob --json")]
    Sessions {
        /// Their name
        name: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Logs somebody out, at once
    #[command(after_long_help = "Examples:\n  mana operator revoke bob\n  mana operator revoke bob 5d41402abc4b2a76")]
    Revoke {
        /// Their name
        name: String,
        /// One session, as `mana operator sessions` calls it [default: all]
        session: Option<String>,
    },
}

const OPERATORS: [Column; 6] = [
    Column::text("NAME", 0),
    Column::text("ROLE", 0),
    Column::text("STATE", 0),
    Column::text("SECOND FACTOR", 1),
    Column::number("SESSIONS", 1),
    Column::text("MADE", 2),
];
const SESSIONS: [Column; 5] = [
    Column::text("SESSION", 0),
    Column::text("FROM", 0),
    Column::text("BEGUN", 1),
    Column::text("LAST USED", 0),
    Column::text("BROWSER", 0),
];

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, .. } = context.running().await?;
        let mut output = context.output();
        match &args.what {
            What::Add { name, role, json } => {
                let request = NewOperator { name: name.clone(), role: role_named(role)? };
                let added = client.add_operator(&request).await.map_err(|error| context.failure(error))?;
                show_invitation(&mut output, &added, *json)?;
            }
            What::List { json } => {
                let operators = client.operators().await.map_err(|error| context.failure(error))?;
                list(&mut output, &operators, *json)?;
            }
            What::Role { name, role } => {
                change(context, &client, name, &OperatorChange::Role { role: role_named(role)? }).await?;
            }
            What::Disable { name } => drop(change(context, &client, name, &OperatorChange::Disable).await?),
            What::Enable { name } => drop(change(context, &client, name, &OperatorChange::Enable).await?),
            What::Reset { name, json } => {
                let after = change(context, &client, name, &OperatorChange::Reset).await?;
                show_invitation(&mut output, &after, *json)?;
            }
            What::Sessions { name, json } => {
                let sessions = client.operator_sessions(name).await.map_err(|error| context.failure(error))?;
                list_sessions(&mut output, name, &sessions, *json)?;
            }
            What::Revoke { name, session } => {
                change(context, &client, name, &OperatorChange::Revoke { session: session.clone() }).await?;
            }
        }
        Ok(Exit::Ok)
    })
}

fn role_named(name: &str) -> Result<Role, Failure> {
    Role::named(name).ok_or_else(|| Failure::unknown("role", name, Role::ALL.map(Role::as_str)))
}

async fn change(
    context: &Context,
    client: &Client,
    name: &str,
    change: &OperatorChange,
) -> Result<OperatorAfter, Failure> {
    client.change_operator(name, change).await.map_err(|error| context.failure(error))
}

fn show_invitation(output: &mut Output, after: &OperatorAfter, json: bool) -> Result<(), Failure> {
    if json {
        output.json(after)?;
    } else if let Some(invitation) = &after.invitation {
        output.line(&invitation.link)?;
    }
    Ok(())
}

fn list(output: &mut Output, operators: &[OperatorView], json: bool) -> Result<(), Failure> {
    if json {
        output.json(&operators)?;
        return Ok(());
    }
    if operators.is_empty() {
        output.line("nobody: `mana operator add NAME --role admin` invites the first")?;
        return Ok(());
    }
    let rows = operators.iter().map(|operator| {
        let state = match operator {
            OperatorView { disabled: true, .. } => "disabled",
            OperatorView { has_password: false, .. } => "invited",
            _ => "active",
        };
        vec![
            operator.name.as_str().into(),
            operator.role.as_str().into(),
            state.into(),
            (if operator.has_second_factor { "yes" } else { "no" }).into(),
            operator.sessions.to_string().into(),
            operator.made_at.as_str().into(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    output.lines(&table::lines(&OPERATORS, &rows, output.style(), output.width()))?;
    Ok(())
}

fn list_sessions(output: &mut Output, name: &str, sessions: &[SessionView], json: bool) -> Result<(), Failure> {
    if json {
        output.json(&sessions)?;
        return Ok(());
    }
    if sessions.is_empty() {
        output.line(&format!("{name} is not logged in anywhere"))?;
        return Ok(());
    }
    let rows = sessions.iter().map(|session| {
        vec![
            session.id.as_str().into(),
            session.address.as_str().into(),
            session.made_at.as_str().into(),
            session.seen_at.as_str().into(),
            session.agent.as_str().into(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    output.lines(&table::lines(&SESSIONS, &rows, output.style(), output.width()))?;
    Ok(())
}
