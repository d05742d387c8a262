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
        let of_system = || ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
        self.by.clone().or_else(of_system).filter(|name| !name.trim().is_empty()).ok_or_else(|| Failure::Usage {
            what: "nobody knows who asks".to_owned(),
            help: "say it with --as NAME (or MANA_OPERATOR)".to_owned(),
        })
    }
}
