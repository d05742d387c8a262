//! The commands, one a file: `Args` as clap reads them, `run` as it is done.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod certificates;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod control;
pub(crate) mod deploy;
pub(crate) mod diff;
pub(crate) mod down;
pub(crate) mod edge;
pub(crate) mod exit_codes;
pub(crate) mod incidents;
pub(crate) mod logs;
pub(crate) mod notify;
pub(crate) mod open;
pub(crate) mod operator;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod releases;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod rollout;
pub(crate) mod rollouts;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod schema;
pub(crate) mod secret;
pub(crate) mod smoke;
pub(crate) mod status;
pub(crate) mod switch;
pub(crate) mod test;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod trust;
pub(crate) mod up;
pub(crate) mod version;

use crate::args::Command;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Does what was typed.
pub(crate) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Up(args) => up::run(args, context),
        Command::Down(args) => down::run(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Restart(args) => restart::run(args, context),
        Command::Logs(args) => logs::run(args, context),
        Command::Top(args) => top::run(args, context),
        Command::Alerts(args) => alerts::run(args, context),
        Command::Incidents(args) => incidents::run(args, context),
        Command::Query(args) => query::run(args, context),
        Command::Open(args) => open::run(args, context),
        Command::Run(args) => run::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Plan(args) => plan::run(args, context),
        Command::Build(args) => build::run(args, context),
        Command::Test(args) => test::run(args, context),
        Command::Scan(args) => scan::run(args, context),
        Command::Releases(args) => releases::run(args, context),
        Command::Deploy(args) => deploy::run(args, context),
        Command::Diff(args) => diff::run(args, context),
        Command::Smoke(args) => smoke::run(args, context),
        Command::Rollback(args) => rollback::run(args, context),
        Command::Switch(args) => switch::run(args, context),
        Command::Rollouts(args) => rollouts::run(args, context),
        Command::Rollout(args) => rollout::run(args, context),
        Command::Token(args) => token::run(args, context),
        Command::Operator(args) => operator::run(args, context),
        Command::Audit(args) => audit::run(args, context),
        Command::Notify(args) => notify::run(args, context),
        Command::Schema(_) => schema::run(context),
        Command::Secret(args) => secret::run(args, context),
        Command::Cache(args) => cache::run(args, context),
        Command::Certificates(args) => certificates::run(args, context),
        Command::Trust(args) => trust::run(args, context),
        Command::Edge(args) => edge::run(args),
        Command::Completions(args) => completions::run(args, context),
        Command::Version(args) => version::run(args, context),
        Command::Control(args) => control::run(args, context),
        Command::ExitCodes(_) => exit_codes::run(context),
    }
}
