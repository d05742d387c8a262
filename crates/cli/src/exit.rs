//! The exit codes of `mana`, all of them. Scripts depend on these: a code is never given a second meaning.
//!
//! To add one: a variant, its line in [`Exit::meaning`], its place in [`Exit::ALL`]. `docs/CLI.md` and `mana help exit-codes`
//! follow by themselves.

use std::fmt::Write as _;
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; for `status`: all is as desired.
    Ok = 0,
    /// The command was understood and did not succeed.
    Failed = 1,
    /// The command line is not understood. clap ends the process with the same code by itself.
    Usage = 2,
    /// `status`, `alerts`: something is not as desired.
    NotAsDesired = 3,
    /// No control plane runs on the data folder.
    NotRunning = 4,
    /// Another control plane owns the data folder.
    AlreadyRunning = 5,
    /// `deploy`, `rollout watch`: it went back, and the old version serves.
    RolledBack = 6,
    /// `deploy`, `rollout watch`: it waits for a person.
    Waiting = 7,
    /// The manifest or another configuration is wrong; nothing was started or changed.
    BadConfiguration = 64,
    /// Ended by Ctrl-C before it was done.
    Interrupted = 130,
}

impl Exit {
    /// Every code, ascending.
    pub(crate) const ALL: [Self; 10] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::NotAsDesired,
        Self::NotRunning,
        Self::AlreadyRunning,
        Self::RolledBack,
        Self::Waiting,
        Self::BadConfiguration,
        Self::Interrupted,
    ];

    /// The number a shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// One line for people.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done; for `status`: everything is as desired",
            Self::Failed => "it did not succeed; the message says what to do next",
            Self::Usage => {
                "the command line is not understood, or names something that does not exist: a service, secret, release or commit"
            }
            Self::NotAsDesired => "`status`, `alerts`: something is not as desired; what, is listed by name",
            Self::NotRunning => "no control plane runs on this data folder (`mana up` starts one)",
            Self::AlreadyRunning => "another control plane runs on this data folder already",
            Self::RolledBack => "`deploy`, `rollout`: it went back; the version before serves",
            Self::Waiting => "`deploy`, `rollout`: it waits for a person, who is named",
            Self::BadConfiguration => "the manifest or another configuration is wrong; nothing was started or changed",
            Self::Interrupted => "ended by Ctrl-C before it was done",
        }
    }

    /// The table as it stands in `--help`.
    pub(crate) fn table() -> String {
        let mut table = String::from("Exit codes:\n");
        for exit in Self::ALL {
            // Writing to a `String` cannot fail.
            let _ = writeln!(table, "  {:>3}  {}", exit.code(), exit.meaning());
        }
        table.push_str("  `mana run` ends with the exit code of the program it ran.");
        table
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones_and_distinct() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 64, 130]);
    }

    #[test]
    fn the_table_names_every_code() {
        insta::assert_snapshot!(Exit::table());
    }
}
