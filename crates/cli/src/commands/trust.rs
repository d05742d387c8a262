//! `mana trust`.

use std::path::Path;

use mana_control::daemon::make_data_folder;
use mana_control::paths;
use mana_manifest::plan::{Issuer, Tls};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mana trust                       where the authority lies, and how to install it
  curl --cacert \"$(mana trust --path)\" https://chat.localhost:8443
  mana trust --json

With tls = \"local\" in [environments.development] the edge speaks TLS with certificates of an authority of this machine's own, \
made on first use. It can only certify names that lead nowhere on the internet (localhost, test, internal, local, home.arpa), \
and its key is readable by you alone. Nothing is installed by this command: it says what to type.";

/// Says how to install the authority that certifies the hosts in development
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print only the path of its certificate
    #[arg(long)]
    path: bool,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    certificate: &'a Path,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let plan = context.plan()?;
    if !matches!(plan.tls, Some(Tls { issuer: Some(Issuer::Local), .. })) {
        let environment = plan.environment.as_str();
        return Err(Failure::Failed {
            what: format!("no authority of this machine's own is used in {environment}"),
            help: format!(
                "write tls = \"local\" in [environments.{environment}]; `mana plan` shows where certificates come from"
            ),
        });
    }
    make_data_folder(&plan.data)?;
    let certificate = mana_edge::local_authority(&paths::authority(&plan.data)).map_err(|error| Failure::Failed {
        what: error.to_string(),
        help: "nothing was installed or changed".into(),
    })?;
    let mut output = context.output();
    if args.json {
        output.json(&Answer { certificate: &certificate })?;
    } else if args.path {
        output.line(&certificate.display().to_string())?;
    } else {
        output.text(&instructions(&certificate))?;
    }
    Ok(Exit::Ok)
}

/// What to type, for each place that keeps a list of its own.
fn instructions(certificate: &Path) -> String {
    let file = certificate.display();
    let name = "mana-development";
    format!(
        "The authority's certificate is\n  {file}\n\n\
         Debian, Ubuntu (curl, Node with --use-system-ca, and all that uses the system's list):\n  \
         sudo cp {file} /usr/local/share/ca-certificates/{name}.crt && sudo update-ca-certificates\n\n\
         Fedora, Arch:\n  \
         sudo trust anchor {file}\n\n\
         macOS:\n  \
         sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {file}\n\n\
         Chrome, Chromium and Edge on Linux (certutil is in libnss3-tools):\n  \
         mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n {name} -i {file}\n\n\
         Firefox: Settings, Certificates, Authorities, Import\n\n\
         Only for one call:\n  \
         curl --cacert {file} https://…\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_to_type_names_the_file() {
        let text = instructions(Path::new("/srv/app/.mana/development/authority/ca.pem"));
        let typed = text.lines().filter(|line| line.contains("sudo") || line.contains("certutil -d"));
        assert!(typed.clone().count() == 4 && typed.clone().all(|line| line.contains("/authority/ca.pem")), "{text}");
    }
}
