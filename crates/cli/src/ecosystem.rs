//! The manifest and what it means: finding it, reading it, telling what is wrong with it.

use std::path::{Path, PathBuf};

use mana_control::api::Overrides;
use mana_manifest::plan::Plan;

use crate::failure::Failure;
use crate::terminal::ColorChoice;

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

/// Placeholder until the manifest can be read.
pub(crate) fn plan(manifest: &Path, _overrides: &Overrides, _color: ColorChoice) -> Result<Plan, Failure> {
    Err(Failure::Manifest { path: manifest.to_owned(), problems: 0 })
}

/// Placeholder until the manifest can be read.
#[expect(clippy::unnecessary_wraps, reason = "the manifest may be wrong")]
pub(crate) fn data(manifest: &Path, overrides: &Overrides) -> Result<PathBuf, Failure> {
    let environment = overrides.environment.as_deref().unwrap_or("development");
    Ok(manifest.with_file_name(".mana").join(environment))
}
