//! `docs/CLI.md`, written from what clap knows. The test proves that the file is current; `UPDATE=1 cargo test -p mana-cli`
//! writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use crate::args::{Cli, HELP_WIDTH};
use crate::exit::Exit;

const HEAD: &str = "\
# Command line reference

Generated from the commands' own help; `mana help COMMAND` says the same. Standard output carries answers, standard error
complaints. Flags of the section *Which ecosystem* stand before or after the command.
";

fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = String::from(HEAD);
    page.push_str("\n## Commands\n\n| command | |\n|---|---|\n");
    for command in visible(&root) {
        let name = command.get_name();
        let _ = writeln!(page, "| [`{name}`](#mana-{name}) | {} |", about(command));
    }
    page.push_str("\n## Which ecosystem\n\n");
    page.push_str("A flag goes over its environment variable, which goes over the manifest.\n\n");
    arguments(&mut page, root.get_arguments().filter(|argument| argument.is_global_set()));
    page.push_str("\n## Exit codes\n\n| code | |\n|---|---|\n");
    for exit in Exit::ALL {
        let _ = writeln!(page, "| {} | {} |", exit.code(), exit.meaning());
    }
    page.push_str("\n`mana run` ends with the exit code of the program it ran.\n");
    for command in visible(&root) {
        section(&mut page, command, "mana", 2);
    }
    page
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn section(page: &mut String, command: &Command, parent: &str, level: usize) {
    let name = format!("{parent} {}", command.get_name());
    let _ = write!(page, "\n{} {name}\n\n{}.\n\n", "#".repeat(level), about(command));
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(page, "```\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let own = |argument: &&Arg| !argument.is_global_set() && argument.get_id() != "help" && !argument.is_hide_set();
    arguments(page, command.get_arguments().filter(own));
    if let Some(help) = command.get_after_long_help() {
        let help = help.to_string();
        let (examples, more) = help.split_once("\n\n").unwrap_or((&help, ""));
        let _ = writeln!(page, "\n```\n{}\n```", examples.trim_start_matches("Examples:\n"));
        if !more.is_empty() {
            let _ = writeln!(page, "\n{more}");
        }
    }
    for command in visible(command) {
        section(page, command, &name, level + 1);
    }
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn arguments<'a>(page: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let mut rows = String::new();
    for argument in arguments {
        let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        if let Some(variable) = argument.get_env() {
            let _ = write!(help, " (`{}`)", variable.to_string_lossy());
        }
        let possible: Vec<_> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        if possible.len() > 1 && argument.get_action().takes_values() && !argument.is_hide_possible_values_set() {
            let _ = write!(help, ": {}", possible.join(", "));
        }
        let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if !default.is_empty() && argument.get_action().takes_values() {
            let _ = write!(help, " [default: {}]", default.join(" "));
        }
        let _ = writeln!(rows, "| `{}` | {} |", spelled(argument), help.replace('|', "\\|"));
    }
    if !rows.is_empty() {
        let _ = write!(page, "| argument | |\n|---|---|\n{rows}");
    }
}

fn spelled(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default().join(" ");
    let Some(long) = argument.get_long() else { return values };
    let mut spelled = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let _ = write!(spelled, "--{long}");
    if argument.get_action().takes_values() && !values.is_empty() {
        let _ = write!(spelled, " {values}");
    }
    spelled
}

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CLI.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).expect("docs/CLI.md is written");
    }
    let written = std::fs::read_to_string(&path).expect("docs/CLI.md");
    assert!(written == page, "docs/CLI.md is not current: UPDATE=1 cargo test -p mana-cli --bin mana reference");
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples() {
    fn check(command: &Command) {
        for command in visible(command) {
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n  "), "{} has no examples", command.get_name());
            let examples = help.split("\n\n").next().unwrap_or_default();
            let wrapped = examples.lines().find(|line| line.chars().count() > HELP_WIDTH);
            assert_eq!(wrapped, None, "an example of {} is too wide to stay on its line", command.get_name());
            check(command);
        }
    }
    check(&Cli::command());
}

#[test]
fn the_help_is_as_people_know_it() {
    insta::assert_snapshot!(Cli::command().render_help());
}
