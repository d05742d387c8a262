//! `mana.toml` → [`plan::Plan`]: typed, with every default filled in and every conflict refused.
//!
//! ```text
//! text ─ Manifest::parse ─▶ Manifest ─ plan(overrides, facts) ─▶ Plan, or all Problems with their places
//! ```
//!
//! | part | what it does |
//! |---|---|
//! | [`shape`] | which keys there are, of which shape: the one table behind checking and schema |
//! | [`conform`] | the text against the shapes: unknown keys, wrong types, bad sizes and durations |
//! | [`document`] | what stands there, typed, with places |
//! | [`resolve`] | document → plan for one environment |
//! | [`render`], [`schema`] | a plan for people; the JSON Schema for editors |
//!
//! Invariants: no I/O but [`load`]; what exists on disk comes in as [`Facts`]. A plan holds secrets by name only. All
//! problems of a manifest are found in one go; each has a message that says what to write instead. No input panics.
//!
//! To add a key: its line in [`shape`], its field in [`document`], its meaning in [`resolve`], and
//! `UPDATE=1 cargo test -p mana-manifest` for the schema.

mod conform;
mod document;
mod interpolate;
mod names;
mod order;
pub mod plan;
mod problem;
mod render;
mod resolve;
mod schema;
mod shape;
mod units;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plan::{Environment, Plan};

pub use names::keeps_secrets;
pub use problem::{Problem, Problems, Severity};
pub use render::text as render;
pub use schema::schema;

/// Largest manifest that is read, in bytes: a hundred times what the largest known ecosystem needs.
pub const MAX_BYTES: usize = 1024 * 1024;

/// What flags and environment variables move, over the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Which environment; `development` when absent.
    pub environment: Option<String>,
    /// Data folder.
    pub data: Option<PathBuf>,
    /// `ADDRESS:PORT` of the public listener.
    pub listen: Option<String>,
    /// Added to every service's port, and to the public listener's where `listen` is absent.
    pub port_offset: Option<u16>,
}

/// What the world outside of the text is like.
pub struct Facts<'a> {
    /// Whether a file or folder exists.
    pub exists: &'a dyn Fn(&Path) -> bool,
}

impl Facts<'_> {
    /// As if everything that is named existed.
    pub fn assumed() -> Self {
        Facts { exists: &|_| true }
    }

    /// As the file system says.
    pub fn of_disk() -> Self {
        Facts { exists: &|path| path.exists() }
    }
}

/// A manifest that could be read. Whether it makes sense is known by [`Manifest::plan`].
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    text: Arc<str>,
    document: document::Document,
    problems: Vec<Problem>,
}

/// Why a manifest cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{path} cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// Reads a manifest from disk: the crate's only I/O.
pub fn load(path: &Path) -> Result<Manifest, LoadError> {
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let text = std::fs::read(path).map_err(read)?;
    let text = String::from_utf8(text).map_err(|error| read(std::io::Error::other(error)))?;
    Ok(Manifest::parse(path, &text)?)
}

impl Manifest {
    /// Reads a manifest's text; `path` is where it comes from (its folder is what relative paths start from).
    ///
    /// # Errors
    /// Where it is not TOML at all, or too large.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Problems> {
        let text: Arc<str> = text.into();
        let fail = |problem: Problem| Problems::new(path, &text, vec![problem]);
        if text.len() > MAX_BYTES {
            let message = format!("the manifest has {} bytes; at most {MAX_BYTES} are read", text.len());
            return Err(fail(Problem::error(None, message)));
        }
        let parsed = toml_edit::Document::parse(&*text).map_err(|error| {
            let message = format!("this is not TOML: {}", error.message().trim_end());
            fail(Problem::error(error.span(), message).help("see https://toml.io for how to write it"))
        })?;
        let problems = conform::problems(parsed.as_table(), shape::ROOT);
        let document = document::read(parsed.as_table());
        Ok(Self { path: path.to_owned(), text, document, problems })
    }

    /// What it means in one environment (`overrides` names it).
    ///
    /// # Errors
    /// All problems at once.
    pub fn plan(&self, overrides: &Overrides, facts: &Facts) -> Result<Plan, Problems> {
        let (plan, problems) = self.resolve(overrides, facts);
        let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
        plan.filter(|_| !failed).ok_or_else(|| self.problems(problems))
    }

    /// All that is wrong with it, and all that is odd: in the environment that `overrides` names, else in all three.
    pub fn check(&self, overrides: &Overrides, facts: &Facts) -> Problems {
        let environments: Vec<String> = match &overrides.environment {
            Some(one) => vec![one.clone()],
            None => Environment::ALL.iter().map(|environment| environment.as_str().to_owned()).collect(),
        };
        let mut found: Vec<Problem> = Vec::new();
        for environment in environments {
            let overrides = Overrides { environment: Some(environment), ..overrides.clone() };
            let new = without_known_places(self.resolve(&overrides, facts).1, &found);
            found.extend(new);
        }
        self.problems(found)
    }

    /// The data folder in the environment that `overrides` names, however wrong the rest of the manifest is.
    pub fn data(&self, overrides: &Overrides) -> Result<PathBuf, Problems> {
        let environment = resolve::environment(overrides).map_err(|problem| self.problems(vec![problem]))?;
        Ok(resolve::data(&self.document, environment, overrides, &self.root()))
    }

    fn resolve(&self, overrides: &Overrides, facts: &Facts) -> (Option<Plan>, Vec<Problem>) {
        let (plan, found) = match resolve::environment(overrides) {
            Ok(environment) => resolve::plan(&self.document, environment, overrides, facts, &self.root()),
            Err(problem) => (None, vec![problem]),
        };
        let found = without_known_places(found, &self.problems);
        (plan, self.problems.iter().cloned().chain(found).collect())
    }

    fn root(&self) -> PathBuf {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder.to_owned()
    }

    fn problems(&self, list: Vec<Problem>) -> Problems {
        Problems::new(&self.path, &self.text, list)
    }
}

/// The problems that are not about a place something was said about already: what does not conform makes no sense either,
/// and what is wrong in one environment is as a rule wrong in the next.
fn without_known_places(problems: Vec<Problem>, known: &[Problem]) -> Vec<Problem> {
    problems.into_iter().filter(|problem| !known.iter().any(|known| known.same_place(problem))).collect()
}

/// Secrets that a service of the plan requires, that nobody can generate, and that are not `available`: with their services.
pub fn missing_secrets(plan: &Plan, available: &BTreeSet<String>) -> Vec<(String, Vec<String>)> {
    let provided = plan.secrets.iter().filter(|(_, rule)| rule.generate_bytes.is_none());
    let missing = provided.filter(|(name, _)| !available.contains(*name));
    missing
        .map(|(name, _)| {
            let users = plan.services.iter().filter(|service| service.secrets.contains(name));
            (name.clone(), users.map(|service| service.name.clone()).collect::<Vec<_>>())
        })
        .filter(|(_, users)| !users.is_empty())
        .collect()
}
