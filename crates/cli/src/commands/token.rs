//! `mana token`.

use clap::Subcommand;
use mana_control::api::{NewToken, Scope, TokenView};

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running::Running;
use crate::show::table::{self, Column};

const EXAMPLES: &str = "\
Examples:
  mana -e production token create ci --scope read,deploy --days 90
                                   prints the token, once
  mana -e production token list
  mana -e production token revoke ci

A token lets in at the operators' door (`ops` in [environments.NAME]); its name is the operator's. `mana --server URL` uses the one in \
MANA_TOKEN. Only what it hashes to is kept.";

/// Says who may come in at the operators' door
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes a token and prints it, this once
    #[command(
        after_long_help = "Examples:\n  mana token create ci --scope read,deploy\n  mana token create bob --scope read,approve --days 30"
    )]
    Create {
        /// Name of the operator: `ci`, `bob`
        name: String,
        /// What it is for: read, deploy, approve
        #[arg(long, value_delimiter = ',', required = true, value_name = "SCOPES")]
        scope: Vec<String>,
        /// Ends after so many days [default: when it is revoked]
        #[arg(long, value_name = "N")]
        days: Option<u16>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists those that let in; never a token itself
    #[command(after_long_help = "Examples:\n  mana token list\n  mana token list --json")]
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Takes a token back, at once
    #[command(after_long_help = "Examples:\n  mana token revoke ci")]
    Revoke {
        /// Its name
        name: String,
    },
}

const COLUMNS: [Column; 5] = [
    Column::text("NAME", 0),
    Column::text("SCOPES", 0),
    Column::text("MADE", 2),
    Column::text("LAST USED", 1),
    Column::text("ENDS", 1),
];

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, .. } = context.running().await?;
        let mut output = context.output();
        match &args.what {
            What::Create { name, scope, days, json } => {
                let known = || Scope::ALL.map(Scope::as_str);
                let named = |name: &String| Scope::named(name).ok_or_else(|| Failure::unknown("scope", name, known()));
                let scopes = scope.iter().map(named).collect::<Result<_, _>>()?;
                let request = NewToken { name: name.clone(), scopes, days: *days };
                let made = client.make_token(&request).await.map_err(|error| context.failure(error))?;
                if *json {
                    output.json(&made)?;
                } else {
                    output.line(&made.token)?;
                }
            }
            What::List { json } => {
                let tokens = client.tokens().await.map_err(|error| context.failure(error))?;
                if *json {
                    output.json(&tokens)?;
                } else if tokens.is_empty() {
                    output.line("nobody: `mana token create` lets somebody in")?;
                } else {
                    let row = |token: &TokenView| {
                        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
                        let time = |at: &Option<String>| at.clone().unwrap_or_else(|| "never".to_owned());
                        vec![
                            token.name.as_str().into(),
                            scopes.join(",").into(),
                            token.made_at.as_str().into(),
                            time(&token.used_at).into(),
                            time(&token.expires_at).into(),
                        ]
                    };
                    let rows: Vec<_> = tokens.iter().map(row).collect();
                    for line in table::lines(&COLUMNS, &rows, output.style(), output.width()) {
                        output.line(&line)?;
                    }
                }
            }
            What::Revoke { name } => client.remove_token(name).await.map_err(|error| context.failure(error))?,
        }
        Ok(Exit::Ok)
    })
}
