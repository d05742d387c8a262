//! Who stands behind a command.

use crate::failure::Failure;

/// Flags that say who asks.
#[derive(Debug, clap::Args)]
pub(crate) struct Who {
    /// Who asks for it, for the record and for approvals [default: your name on this machine]
    #[arg(long = "as", env = "MANA_OPERATOR", value_name = "NAME", hide_env_values = true)]
    by: Option<String>,
}

impl Who {
    /// The operator's name.
    pub(crate) fn name(&self) -> Result<String, Failure> {
        let said = self.by.clone().filter(|name| !name.trim().is_empty());
        said.or_else(on_this_machine).ok_or_else(|| Failure::Usage {
            what: "nobody knows who asks".to_owned(),
            help: "say it with --as NAME (or MANA_OPERATOR)".to_owned(),
        })
    }
}

/// Who stands behind a command that nobody else is named for: in the audit log, of calls on the machine itself.
pub(crate) fn speaker() -> Option<String> {
    let said = std::env::var("MANA_OPERATOR").ok().filter(|name| !name.trim().is_empty());
    said.or_else(on_this_machine)
}

fn on_this_machine() -> Option<String> {
    let said = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    said.filter(|name| !name.trim().is_empty()).or_else(of_account)
}

/// The name of the account that this process belongs to, where this machine knows it itself.
fn of_account() -> Option<String> {
    name_in(&std::fs::read_to_string("/etc/passwd").ok()?, rustix::process::getuid().as_raw())
}

fn name_in(accounts: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_has_a_name() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(name_in(accounts, 0).as_deref(), Some("root"));
        assert_eq!(name_in(accounts, 1_000).as_deref(), Some("ada"));
        assert_eq!(name_in(accounts, 7), None);
    }
}
