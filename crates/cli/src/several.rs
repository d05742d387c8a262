//! One command for all services of a project: in the order of their needs, where each has to work out before the next; or each, whatever
//! becomes of the others. What was left is named, with the commands to go on.

use std::fmt::Write as _;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report;

/// Stops at the first that does not end well. `command`: what does it to one of those that were left.
pub(crate) async fn in_order(
    services: &[String],
    act: impl AsyncFn(&str) -> Result<Exit, Failure>,
    command: impl Fn(&str) -> String,
) -> Result<Exit, Failure> {
    for (index, service) in services.iter().enumerate() {
        let ended = act(service).await;
        if !matches!(ended, Ok(Exit::Ok)) {
            say_left(&services[index + 1..], command);
            return ended;
        }
    }
    Ok(Exit::Ok)
}

/// Tries all, reports each failure where it happens, and ends as the first that did not end well. Only Ctrl-C stops it.
pub(crate) async fn each(
    services: &[String],
    context: &Context,
    act: impl AsyncFn(&str) -> Result<Exit, Failure>,
    command: impl Fn(&str) -> String,
) -> Result<Exit, Failure> {
    if let [alone] = services {
        return act(alone).await;
    }
    let mut exit = Exit::Ok;
    for (index, service) in services.iter().enumerate() {
        let ended = act(service).await.unwrap_or_else(|failure| {
            report::note(&format!("{service}:"));
            report::show(&failure, context.global().color);
            failure.exit()
        });
        if ended == Exit::Interrupted {
            say_left(&services[index + 1..], command);
            return Ok(ended);
        }
        if exit == Exit::Ok {
            exit = ended;
        }
    }
    Ok(exit)
}

fn say_left(left: &[String], command: impl Fn(&str) -> String) {
    if let Some(text) = words(left, command) {
        report::note(&text);
    }
}

/// Which were left, and how to go on.
fn words(left: &[String], command: impl Fn(&str) -> String) -> Option<String> {
    if left.is_empty() {
        return None;
    }
    let mut text = format!("not begun: {}; to go on:", left.join(", "));
    for service in left {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "\n  {}", command(service));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use clap::Parser;

    use super::*;
    use crate::args::Cli;
    use crate::context::block_on;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn failed() -> Failure {
        Failure::Failed { what: "it broke".to_owned(), help: "mend it".to_owned() }
    }

    /// What is tried of three services whose second ends like this, and how that ends.
    fn tried(second: impl Fn() -> Result<Exit, Failure>, all: bool) -> (Vec<String>, Result<Exit, Exit>) {
        let (services, tried) = (names(&["a", "b", "c"]), RefCell::new(Vec::new()));
        let context = Context::new(Cli::try_parse_from(["mana", "status"]).expect("a command line").global);
        let act = async |service: &str| {
            tried.borrow_mut().push(service.to_owned());
            if service == "b" { second() } else { Ok(Exit::Ok) }
        };
        let ended = block_on(async {
            if all {
                each(&services, &context, act, str::to_owned).await
            } else {
                in_order(&services, act, str::to_owned).await
            }
        });
        (tried.into_inner(), ended.map_err(|failure| failure.exit()))
    }

    #[test]
    fn the_next_is_not_begun_before_what_it_needs_serves() {
        assert_eq!(tried(|| Ok(Exit::Ok), false), (names(&["a", "b", "c"]), Ok(Exit::Ok)));
        assert_eq!(tried(|| Ok(Exit::Waiting), false), (names(&["a", "b"]), Ok(Exit::Waiting)));
        assert_eq!(tried(|| Err(failed()), false), (names(&["a", "b"]), Err(Exit::Failed)));
    }

    #[test]
    fn one_that_fails_does_not_keep_the_others_and_is_not_forgotten() {
        for (second, exit) in [(Exit::Ok, Exit::Ok), (Exit::RolledBack, Exit::RolledBack)] {
            assert_eq!(tried(|| Ok(second), true), (names(&["a", "b", "c"]), Ok(exit)));
        }
        assert_eq!(tried(|| Err(failed()), true), (names(&["a", "b", "c"]), Ok(Exit::Failed)));
        assert_eq!(tried(|| Ok(Exit::Interrupted), true), (names(&["a", "b"]), Ok(Exit::Interrupted)));
    }

    #[test]
    fn what_was_left_is_named_with_the_commands_to_go_on() {
        let command = |service: &str| format!("mana deploy {service} v2");
        assert_eq!(words(&[], command), None);
        let expected = "not begun: b, c; to go on:\n  mana deploy b v2\n  mana deploy c v2";
        assert_eq!(words(&names(&["b", "c"]), command).as_deref(), Some(expected));
    }
}
