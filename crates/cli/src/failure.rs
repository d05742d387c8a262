//! Why a command did not succeed: what a person reads, what to do next, and the exit code beside it.

use std::io;
use std::path::PathBuf;

use mana_control::api::Problem;
use mana_control::client::ClientError;
use mana_control::secrets::SecretsError;
use mana_manifest::{Problems, Severity};
use miette::Diagnostic;
use serde::Serialize;

use crate::exit::Exit;
use crate::show::units;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum Failure {
    /// There is no manifest.
    #[error("no manifest: there is no mana.toml in {} or any folder above it", from.display())]
    #[diagnostic(help("go to the folder of your ecosystem, or name the file with --manifest FILE (or MANA_MANIFEST)"))]
    NoManifest {
        /// Where the search began.
        from: PathBuf,
    },
    /// The manifest cannot be read.
    #[error("the manifest {} cannot be read", path.display())]
    #[diagnostic(help("name another one with --manifest FILE (or MANA_MANIFEST)"))]
    ManifestUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest is wrong. Each problem is shown with its place before this is.
    #[error("{} has {}; nothing was started or changed", problems.path().display(), count_errors(problems))]
    #[diagnostic(help("correct the places shown above, then ask again with `mana check`"))]
    Manifest {
        /// All of them.
        problems: Box<Problems>,
    },
    /// The manifest of a commit is wrong. Each problem is shown with its place before this is.
    #[error("the manifest of {commit} has {}; nothing was built", count_errors(problems))]
    #[diagnostic(help("correct the places shown above and commit them, or build another commit with --ref"))]
    CommitManifest {
        /// The commit, for people.
        commit: String,
        /// All of them.
        problems: Box<Problems>,
    },
    /// The manifest says too little for this command.
    #[error("{what}")]
    #[diagnostic(help("{help}"))]
    Configuration {
        /// What is missing.
        what: String,
        /// What to write.
        help: String,
    },
    /// Secrets that only a person can provide.
    #[error("{} in {environment}:\n{}", units::count(missing.len(), "missing secret"), list(missing))]
    #[diagnostic(help("`{set}` takes a value; so does MANA_SECRET_{} in the environment of `mana up`", missing[0].name))]
    MissingSecrets {
        /// The environment.
        environment: String,
        /// All of them; never empty.
        missing: Vec<MissingSecret>,
        /// The command that provides the first.
        set: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// `read`, `make`, …
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No control plane where one is needed.
    #[error("no control plane runs on {}", data.display())]
    #[diagnostic(help(
        "start it with `{up}`; another ecosystem or environment is chosen with --manifest, --env or --data"
    ))]
    NotRunning {
        /// The data folder asked.
        data: PathBuf,
        /// How to start it.
        up: String,
    },
    /// The control plane cannot be started.
    #[error("the control plane did not start: {what}")]
    #[diagnostic(help("{tail}its whole log is {}", log.display()))]
    ControlStart {
        /// What happened.
        what: String,
        /// The last lines of its log, ready to print.
        tail: String,
        /// Its log.
        log: PathBuf,
    },
    /// The control plane refused a call.
    #[error("the control plane refuses: {}", problem_text(.0))]
    Refused(Problem),
    /// The control plane cannot be talked to.
    #[error("the control plane cannot be asked")]
    #[diagnostic(help("`mana logs control` shows what it is doing; `mana up` starts it again if it is gone"))]
    Talk(#[source] ClientError),
    /// The control plane went away in the middle of an answer.
    #[error("the control plane ended before it was done")]
    #[diagnostic(help("`mana logs control` shows why; what it started lives on, and `mana up` takes it over again"))]
    Cut,
    /// Something did not come up.
    #[error("{reason}")]
    #[diagnostic(help("the control plane keeps trying: `{status}` shows how that goes, `{down}` stops everything"))]
    NotUp {
        /// Which and why.
        reason: String,
        /// The command that shows it.
        status: String,
        /// The command that ends it.
        down: String,
    },
    /// A name that nothing has.
    #[error("no {noun} is called `{name}`")]
    #[diagnostic(help("{help}"))]
    Unknown {
        /// `service`, `secret`.
        noun: &'static str,
        /// What was typed.
        name: String,
        /// What is meant, perhaps, and what there is.
        help: String,
    },
    /// An argument that cannot be.
    #[error("{what}")]
    #[diagnostic(help("{help}"))]
    Usage {
        /// What is wrong.
        what: String,
        /// What to type instead.
        help: String,
    },
    /// It did not work out, in a way that only one command knows.
    #[error("{what}")]
    #[diagnostic(help("{help}"))]
    Failed {
        /// What happened.
        what: String,
        /// What to do next.
        help: String,
    },
    /// The secrets cannot be used.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The control plane in this process (`--foreground`, `mana control`).
    #[error(transparent)]
    Daemon(#[from] mana_control::daemon::Error),
    /// The edge in this process.
    #[error(transparent)]
    Edge(#[from] mana_edge::Error),
    /// Standard output or input is unusable.
    #[error("cannot use the terminal or pipe this command was started with")]
    Stream(#[from] io::Error),
}

/// A secret that nobody provided yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MissingSecret {
    /// Its name.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) about: Option<String>,
    /// Services that are not started without it.
    pub(crate) users: Vec<String>,
}

fn list(missing: &[MissingSecret]) -> String {
    let line = |secret: &MissingSecret| {
        let about = secret.about.as_ref().map(|about| format!(" ({about})")).unwrap_or_default();
        format!("- {}{about}, needed by {}", secret.name, secret.users.join(", "))
    };
    missing.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn count_errors(problems: &Problems) -> String {
    let errors = problems.list().iter().filter(|problem| problem.severity == Severity::Error).count();
    units::count(errors, "problem")
}

fn problem_text(problem: &Problem) -> String {
    let mut text = problem.title.clone();
    if !problem.detail.is_empty() {
        text.push_str(": ");
        text.push_str(&problem.detail);
    }
    for one in &problem.problems {
        text.push_str("\n- ");
        text.push_str(one);
    }
    text
}

/// The status with which the control plane refuses a manifest.
const UNPROCESSABLE: u16 = 422;
/// The status with which it does not know a service.
const NOT_FOUND: u16 = 404;

impl Failure {
    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoManifest { .. }
            | Self::ManifestUnreadable { .. }
            | Self::Manifest { .. }
            | Self::CommitManifest { .. }
            | Self::Configuration { .. }
            | Self::MissingSecrets { .. } => Exit::BadConfiguration,
            Self::Refused(problem) if problem.status == UNPROCESSABLE => Exit::BadConfiguration,
            Self::Edge(error) if error.is_configuration() => Exit::BadConfiguration,
            Self::Refused(problem) if problem.status == NOT_FOUND => Exit::Usage,
            Self::Unknown { .. } | Self::Usage { .. } | Self::Secrets(SecretsError::Name { .. }) => Exit::Usage,
            Self::NotRunning { .. } => Exit::NotRunning,
            Self::Daemon(mana_control::daemon::Error::AlreadyRunning { .. }) => Exit::AlreadyRunning,
            Self::File { .. }
            | Self::ControlStart { .. }
            | Self::Refused(_)
            | Self::Talk(_)
            | Self::Cut
            | Self::NotUp { .. }
            | Self::Failed { .. }
            | Self::Secrets(_)
            | Self::Daemon(_)
            | Self::Edge(_)
            | Self::Stream(_) => Exit::Failed,
        }
    }

    /// A wrong manifest.
    pub(crate) fn manifest(problems: Problems) -> Self {
        Self::Manifest { problems: Box::new(problems) }
    }

    /// What is shown before this failure itself: each problem of a manifest with its place.
    pub(crate) fn details(&self) -> Vec<&(dyn Diagnostic + Send + Sync)> {
        match self {
            Self::Manifest { problems } | Self::CommitManifest { problems, .. } => problems.diagnostics().collect(),
            _ => Vec::new(),
        }
    }

    /// Refuses a name that nothing has.
    pub(crate) fn unless_known<'a>(
        noun: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Result<(), Self> {
        if known.clone().into_iter().any(|one| one == name) { Ok(()) } else { Err(Self::unknown(noun, name, known)) }
    }

    /// A name nothing has, with the nearest that something has.
    pub(crate) fn unknown<'a>(noun: &'static str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let all = known.join(", ");
        let help = match nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`? There are: {all}"),
            None if known.is_empty() => format!("there is no {noun} at all"),
            None => format!("there are: {all}"),
        };
        Self::Unknown { noun, name: name.to_owned(), help }
    }
}

/// The most similar name, if any is similar enough to be what was meant.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Below this Jaro-Winkler similarity a suggestion is more of a riddle than a help.
    const SIMILAR: f64 = 0.75;
    known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), *known))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> Failure {
        Failure::Refused(Problem { title: "x".into(), status, detail: String::new(), problems: Vec::new() })
    }

    fn wrong_manifest() -> Failure {
        let parsed = mana_manifest::Manifest::parse("mana.toml".as_ref(), "name =");
        Failure::manifest(parsed.expect_err("not TOML"))
    }

    #[test]
    fn every_failure_has_the_documented_exit_code() {
        let cases = [
            (Failure::NoManifest { from: "/".into() }, Exit::BadConfiguration),
            (wrong_manifest(), Exit::BadConfiguration),
            (refused(422), Exit::BadConfiguration),
            (refused(404), Exit::Usage),
            (refused(409), Exit::Failed),
            (Failure::NotRunning { data: "x".into(), up: "mana up".into() }, Exit::NotRunning),
            (Failure::unknown("service", "chat", []), Exit::Usage),
            (Failure::Secrets(SecretsError::Name { name: "a b".into() }), Exit::Usage),
            (Failure::Cut, Exit::Failed),
        ];
        for (failure, exit) in cases {
            assert_eq!(failure.exit(), exit, "{failure}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_one() {
        let known = ["chat-backend", "chat-web", "mana-core-auth"];
        let cases = [("chat-backed", Some("chat-backend")), ("chatweb", Some("chat-web")), ("zzz", None)];
        for (typed, meant) in cases {
            assert_eq!(nearest(typed, &known), meant, "{typed}");
        }
        let Failure::Unknown { help, .. } = Failure::unknown("service", "chat-wep", known) else { panic!("unknown") };
        assert_eq!(help, "did you mean `chat-web`? There are: chat-backend, chat-web, mana-core-auth");
    }
}
