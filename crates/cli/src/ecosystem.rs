//! The manifest and what it means: finding it, reading it, planning with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mana_control::secrets::ENVIRONMENT_PREFIX;
use mana_control::{api, secrets};
use mana_manifest::plan::Plan;
use mana_manifest::{Facts, LoadError, Manifest, Overrides, missing_secrets};

use crate::failure::{Failure, MissingSecret};

/// Name of a manifest.
const NAME: &str = "mana.toml";

/// The manifest given, or the nearest `mana.toml` from the current folder upwards; absolute.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let folder = std::env::current_dir()?;
    if let Some(given) = given {
        return Ok(folder.join(given));
    }
    let found = folder.ancestors().map(|folder| folder.join(NAME)).find(|path| path.is_file());
    found.ok_or(Failure::NoManifest { from: folder })
}

/// Reads a manifest.
pub(crate) fn load(path: &Path) -> Result<Manifest, Failure> {
    mana_manifest::load(path).map_err(|error| match error {
        LoadError::Problems(problems) => Failure::manifest(problems),
        LoadError::Read { path, source } => Failure::ManifestUnreadable { path, source },
    })
}

/// What the manifest means in the environment of `overrides`, or all that is wrong with it. What it names need not exist.
pub(crate) fn plan(path: &Path, overrides: &api::Overrides) -> Result<Plan, Failure> {
    load(path)?.plan(&of(overrides), &Facts::assumed()).map_err(Failure::manifest)
}

/// The data folder. It does not depend on the rest of the manifest being right, nor on its being TOML at all (then only
/// what the manifest says about the folder itself is missed): an ecosystem can be asked for and stopped at any time.
pub(crate) fn data(path: &Path, overrides: &api::Overrides) -> Result<PathBuf, Failure> {
    let overrides = of(overrides);
    let manifest = match load(path) {
        Ok(manifest) => manifest,
        Err(Failure::Manifest { .. }) => Manifest::parse(path, "").map_err(Failure::manifest)?,
        Err(other) => return Err(other),
    };
    manifest.data(&overrides).map_err(Failure::manifest)
}

/// The flags in the manifest's own words.
pub(crate) fn of(overrides: &api::Overrides) -> Overrides {
    let api::Overrides { environment, data, listen, port_offset } = overrides.clone();
    Overrides { environment, data, listen, port_offset }
}

/// Secrets that only a person can provide and nobody has, neither before nor with this command's environment.
pub(crate) fn missing(plan: &Plan) -> Result<Vec<MissingSecret>, Failure> {
    let mut available: BTreeSet<String> = secrets::names(&plan.data)?.into_iter().collect();
    let given = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let given = given.filter_map(|(name, _)| name.to_str()?.strip_prefix(ENVIRONMENT_PREFIX).map(str::to_owned));
    available.extend(given);
    let describe = |(name, users): (String, Vec<String>)| {
        let about = plan.secrets.get(&name).and_then(|rule| rule.about.clone());
        MissingSecret { name, about, users }
    };
    Ok(missing_secrets(plan, &available).into_iter().map(describe).collect())
}
