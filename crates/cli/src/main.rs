//! `mana`: every command a person types.
//!
//! Parse, run one command, turn its end into an exit code. What a command does stands in its file in `commands`, what it
//! prints in `show` (pure: values in, text out). Standard output carries answers, standard error carries complaints.

mod args;
mod clock;
mod commands;
mod context;
mod difference;
mod ecosystem;
mod exit;
mod failure;
mod hidden_input;
mod last_known;
mod making;
mod meant;
mod operator;
mod patience;
mod progress;
mod replacing;
mod report;
mod rolling;
mod running;
mod several;
mod show;
mod start;
mod terminal;
mod tracing_output;
mod watch;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod workflow;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args::Cli { global, command } = args::Cli::parse();
    let color = global.color;
    let exit = commands::run(&command, &context::Context::new(global)).unwrap_or_else(|failure| {
        report::show(&failure, color);
        failure.exit()
    });
    exit.into()
}
