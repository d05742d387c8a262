//! `mana open`.

use std::env;
use std::process::{Command, Stdio};

use mana_control::api::{ServiceStatus, Status};
use serde::Serialize;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mana open                        the first web app in the browser
  mana open chat-landing           another service
  mana open --print                only print the address
  curl \"$(mana open mana-core-auth --print)/api/health\"

Where there is no browser or no terminal the address is printed instead.";

/// Opens a service in the browser, or prints its address
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which one [default: the first web app]
    service: Option<String>,

    /// Only print the address
    #[arg(long)]
    print: bool,

    /// Print service and address as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Address<'a> {
    service: &'a str,
    url: &'a str,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let status = block_on(context.running())?.status;
    let (service, url) = choose(&status, args.service.as_deref())?;
    let mut output = context.output();
    if args.json {
        output.json(&Address { service: &service.name, url })?;
    } else if args.print || !output.abilities.terminal || !open(url) {
        output.line(url)?;
    } else {
        output.line(&format!("opened {url}"))?;
    }
    Ok(Exit::Ok)
}

/// The service asked for, or the first web app, or the first that has an address; and that address.
fn choose<'a>(status: &'a Status, name: Option<&str>) -> Result<(&'a ServiceStatus, &'a str), Failure> {
    let reachable: Vec<(&ServiceStatus, &str)> =
        status.services.iter().filter_map(|service| Some((service, service.public_url.as_deref()?))).collect();
    let Some(name) = name else {
        let app = reachable.iter().find(|(service, _)| service.kind == "web").or(reachable.first());
        return app.copied().ok_or_else(|| Failure::Failed {
            what: "no service of this ecosystem has a public address".into(),
            help: "internal addresses stand in `mana plan`".into(),
        });
    };
    if let Some(found) = reachable.iter().find(|(service, _)| service.name == name) {
        return Ok(*found);
    }
    match status.services.iter().find(|service| service.name == name) {
        Some(service) => Err(Failure::Failed {
            what: format!("{name} has no public address"),
            help: match &service.internal_url {
                Some(url) => format!("on this machine it answers at {url}"),
                None => "see `mana plan`".into(),
            },
        }),
        None => Err(Failure::unknown("service", name, reachable.iter().map(|(service, _)| service.name.as_str()))),
    }
}

/// Hands the address to the desktop. `false` where there is none.
fn open(url: &str) -> bool {
    let desktop =
        ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    // Standard streams are closed to it: what a browser complains about does not belong here.
    let started =
        || Command::new("xdg-open").arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    desktop && started().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::status::tests::well;

    fn check(name: Option<&str>, expected: Result<&str, &str>) {
        let status = well();
        let chosen = choose(&status, name).map(|(_, url)| url.to_owned()).map_err(|failure| failure.to_string());
        assert_eq!(chosen.as_deref().map_err(String::as_str), expected, "{name:?}");
    }

    #[test]
    fn without_a_name_the_first_web_app_is_meant() {
        check(None, Ok("http://chat-web.localhost:8080"));
        check(Some("chat-landing"), Ok("http://chat-landing.localhost:8080"));
        check(Some("ai-echo"), Err("ai-echo has no public address"));
        check(Some("chat-wep"), Err("no service is called `chat-wep`"));
    }
}
