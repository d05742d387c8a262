//! The command line as a whole: what holds for every command, and which commands there are.
//!
//! To add a command: a file in `commands/` with its `Args` and `run`, a variant here, a line in `commands::run`. Its help,
//! its completions and its section in `docs/CLI.md` follow from the doc comments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::exit::Exit;
use crate::terminal::ColorChoice;

/// Widest help text: longer lines are hard to read, however wide the screen.
pub(crate) const HELP_WIDTH: usize = 100;

/// Runs a whole ecosystem of apps on your own server
///
/// One file, mana.toml, says what runs. `mana up` makes it so, `mana status` says whether it is so, `mana down` ends it.
#[derive(Debug, Parser)]
#[command(
    name = "mana",
    version,
    max_term_width = HELP_WIDTH,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = false,
    after_help = "`mana help COMMAND` explains one command with examples; `mana help exit-codes` lists the exit codes.",
    after_long_help = top_help(),
)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn top_help() -> String {
    format!(
        "Examples:\n  \
         mana check                     is mana.toml right?\n  \
         mana up                        start everything, or bring it to what mana.toml says now\n  \
         mana status                    desired against actual\n  \
         mana logs chat-backend -f      follow the log of one service\n  \
         mana -e production plan        what would run in production\n  \
         mana down                      stop everything that was started\n\n{}",
        Exit::table()
    )
}

/// What holds for every command: which ecosystem, and what of it is moved.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which ecosystem")]
pub(crate) struct Global {
    /// The manifest [default: mana.toml, searched from the current folder upwards]
    #[arg(short, long, global = true, env = "MANA_MANIFEST", value_name = "FILE", hide_env_values = true)]
    pub(crate) manifest: Option<PathBuf>,

    /// development, staging or production [default: development]
    #[arg(short, long = "env", global = true, env = "MANA_ENV", value_name = "ENVIRONMENT", hide_env_values = true)]
    pub(crate) environment: Option<String>,

    /// Folder of everything that is written [default: .mana/ENVIRONMENT beside the manifest]
    #[arg(long, global = true, env = "MANA_DATA", value_name = "DIR", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,

    /// The operators' door of another machine, https://ops.example.com; its token is read from MANA_TOKEN
    #[arg(long, global = true, env = "MANA_SERVER", value_name = "URL", hide_env_values = true)]
    pub(crate) server: Option<String>,

    /// Where the edge accepts public traffic [default: what the manifest says]
    #[arg(long, global = true, env = "MANA_LISTEN", value_name = "ADDRESS:PORT", hide_env_values = true)]
    pub(crate) listen: Option<std::net::SocketAddr>,

    /// Added to every port, so that two ecosystems fit on one machine
    #[arg(long, global = true, env = "MANA_PORT_OFFSET", value_name = "N", hide_env_values = true)]
    pub(crate) port_offset: Option<u16>,

    /// When to use colours: auto, always or never; NO_COLOR is honoured
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN", hide_possible_values = true)]
    pub(crate) color: ColorChoice,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(commands::up::Args),
    Down(commands::down::Args),
    Status(commands::status::Args),
    Restart(commands::restart::Args),
    Logs(commands::logs::Args),
    Top(commands::top::Args),
    Alerts(commands::alerts::Args),
    Incidents(commands::incidents::Args),
    Query(commands::query::Args),
    Open(commands::open::Args),
    Run(commands::run::Args),
    Check(commands::check::Args),
    Plan(commands::plan::Args),
    Build(commands::build::Args),
    Test(commands::test::Args),
    Scan(commands::scan::Args),
    Releases(commands::releases::Args),
    Deploy(commands::deploy::Args),
    Diff(commands::diff::Args),
    Smoke(commands::smoke::Args),
    Rollback(commands::rollback::Args),
    Switch(commands::switch::Args),
    Rollouts(commands::rollouts::Args),
    Rollout(commands::rollout::Args),
    Token(commands::token::Args),
    Operator(commands::operator::Args),
    Audit(commands::audit::Args),
    Notify(commands::notify::Args),
    Schema(commands::schema::Args),
    Secret(commands::secret::Args),
    Cache(commands::cache::Args),
    Certificates(commands::certificates::Args),
    Trust(commands::trust::Args),
    Edge(commands::edge::Args),
    Completions(commands::completions::Args),
    Version(commands::version::Args),
    #[command(hide = true)]
    Control(commands::control::Args),
    #[command(hide = true)]
    ExitCodes(commands::exit_codes::Args),
}
