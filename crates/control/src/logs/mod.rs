//! Reading the log files of instances: the last lines, and what is written from now on, over rotations.
//!
//! Works on the files alone, so it needs no running control plane.

use std::io;
use std::path::{Path, PathBuf};

pub use mana_runtime::logs::{Follow, tail};

use crate::paths;

/// The log files of a service's instances, in the order of their ordinals. `edge` and `control` count as services.
///
/// # Errors
/// When the log folder cannot be read; a folder that does not exist yet is no error but an empty answer.
pub fn files(data: &Path, service: &str) -> io::Result<Vec<PathBuf>> {
    if service == "control" {
        return Ok(vec![paths::control_log(data)]);
    }
    let entries = match std::fs::read_dir(paths::logs(data)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(ordinal) = name.strip_suffix(&format!("-{service}.log")) else { continue };
        if let Ok(ordinal) = ordinal.parse::<u16>() {
            found.push((ordinal, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The text with every control character but the tab made visible: logs carry what strangers sent.
pub fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            harmless.extend(character.escape_default());
        } else {
            harmless.push(character);
        }
    }
    harmless
}
