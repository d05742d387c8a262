//! What a command works with: which ecosystem is meant, its control plane, standard output.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mana_control::api::Overrides;
use mana_control::client::{Client, ClientError};
use mana_manifest::plan::Plan;

use crate::args::Global;
use crate::ecosystem;
use crate::failure::{Failure, MissingSecret};
use crate::running::{self, Running};
use crate::terminal::Output;

/// Where a token for another machine stands: not in an argument, where every process could read it.
const TOKEN: &str = "MANA_TOKEN";

/// The global flags and what follows from them, found out when a command asks for it.
pub(crate) struct Context {
    global: Global,
    plan: OnceLock<Plan>,
}

impl Context {
    /// From the command line; nothing is read yet.
    pub(crate) fn new(global: Global) -> Self {
        Self { global, plan: OnceLock::new() }
    }

    /// Standard output.
    pub(crate) fn output(&self) -> Output {
        Output::new(self.global.color)
    }

    /// The global flags.
    pub(crate) fn global(&self) -> &Global {
        &self.global
    }

    /// The manifest's path, absolute.
    pub(crate) fn manifest(&self) -> Result<PathBuf, Failure> {
        ecosystem::find(self.global.manifest.as_deref())
    }

    /// What flags and environment variables move.
    pub(crate) fn overrides(&self) -> Result<Overrides, Failure> {
        Ok(Overrides {
            environment: self.global.environment.clone(),
            data: self.global.data.as_deref().map(absolute).transpose()?,
            listen: self.global.listen.map(|address| address.to_string()),
            port_offset: self.global.port_offset,
        })
    }

    /// What the manifest means in the environment asked for.
    pub(crate) fn plan(&self) -> Result<&Plan, Failure> {
        if let Some(plan) = self.plan.get() {
            return Ok(plan);
        }
        let plan = ecosystem::plan(&self.manifest()?, &self.overrides()?)?;
        Ok(self.plan.get_or_init(|| plan))
    }

    /// The data folder, absolute. It does not depend on the rest of the manifest being right: an ecosystem can be looked at
    /// and stopped while its manifest is being edited.
    pub(crate) fn data(&self) -> Result<PathBuf, Failure> {
        if let Some(url) = &self.global.server {
            return Err(Failure::Usage {
                what: format!("{url} is another machine, and this is done on the machine itself"),
                help: "log in there, or leave --server (and MANA_SERVER) away".to_owned(),
            });
        }
        if let Some(data) = &self.global.data {
            return absolute(data);
        }
        ecosystem::data(&self.manifest()?, &self.overrides()?)
    }

    /// The control plane that is meant, which must run: that of the data folder, or of another machine.
    pub(crate) async fn running(&self) -> Result<Running, Failure> {
        if let Some(url) = &self.global.server {
            let client = self.elsewhere(url)?;
            let status = client.status().await.map_err(|error| self.failure(error))?;
            return Ok(Running { client, status });
        }
        running::find(&self.data()?).await.map_err(|error| self.failure(error))
    }

    fn elsewhere(&self, url: &str) -> Result<Client, Failure> {
        let usage = |what: String, help: &str| Failure::Usage { what, help: help.to_owned() };
        if !mana_manifest::keeps_secrets(url) {
            return Err(usage(
                format!("{url} would show the token to whoever listens"),
                "write an https:// address, such as https://ops.example.com",
            ));
        }
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| {
            usage(
                format!("{url} lets nobody in without a token"),
                "set MANA_TOKEN; `mana token create` there makes one",
            )
        })?;
        Client::server(url, token.into()).map_err(|error| self.failure(error))
    }

    /// Whether another machine is meant.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.global.server.is_some()
    }

    /// What a failed call means to a person.
    pub(crate) fn failure(&self, error: ClientError) -> Failure {
        match error {
            ClientError::NotRunning { data } => Failure::NotRunning { data, up: self.command("up") },
            ClientError::Refused(problem) | ClientError::NotNow { problem, .. } => Failure::Refused(problem),
            other => Failure::Talk(other),
        }
    }

    /// Refuses where one of these secrets is missing.
    pub(crate) fn refuse_missing(&self, plan: &Plan, missing: Vec<MissingSecret>) -> Result<(), Failure> {
        let Some(first) = missing.first() else { return Ok(()) };
        let set = self.command(&format!("secret set {}", first.name));
        Err(Failure::MissingSecrets { environment: plan.environment.as_str().to_owned(), missing, set })
    }

    /// The command line that does `what` to this ecosystem, to be typed or pasted.
    pub(crate) fn command(&self, what: &str) -> String {
        format!("{} {what}", self.mana())
    }

    /// `mana` with the flags that were given and that the environment would not bring by itself.
    pub(crate) fn mana(&self) -> String {
        let path = |path: &PathBuf| quoted(&path.to_string_lossy());
        let flags = [
            ("--manifest", "MANA_MANIFEST", self.global.manifest.as_ref().map(path)),
            ("--env", "MANA_ENV", self.global.environment.as_deref().map(quoted)),
            ("--server", "MANA_SERVER", self.global.server.as_deref().map(quoted)),
            ("--data", "MANA_DATA", self.global.data.as_ref().map(path)),
        ];
        let mut mana = String::from("mana");
        for (flag, variable, value) in flags {
            if let Some(value) = value.filter(|_| std::env::var_os(variable).is_none()) {
                // Writing to a `String` cannot fail.
                let _ = write!(mana, " {flag} {value}");
            }
        }
        mana
    }
}

/// Runs a future to its end, on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|source| Failure::File { what: "find", path: path.to_owned(), source })
}

/// The word as a shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:@=+,".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let cases = [("plain-1.toml", "plain-1.toml"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''")];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }
}
