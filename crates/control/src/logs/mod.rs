//! Reading the log files of instances: the last lines, those that are looked for, and what is written from now on, over rotations.
//!
//! Works on the files alone, so it needs no running control plane.

mod line;
mod reading;
mod search;

use std::io;
use std::path::{Path, PathBuf};

pub use mana_runtime::logs::{Follow, ROTATED_AWAY, tail};

use crate::paths;
pub use line::{Level, Line};
pub(crate) use reading::{Following, New};
pub use reading::{Found, find};
pub use search::{Asked, Search};
pub(crate) use search::{query_of, time};

/// The edge's lines, one a request: read like the log of a service of this name.
pub const ACCESS: &str = "access";
/// Spans of requests, read like the log of a service of this name.
pub const SPANS: &str = "spans";
/// The control plane's own log.
pub const CONTROL: &str = "control";

/// The log files of a service's instances, in the order of their ordinals. `edge` and `control` count as services.
///
/// # Errors
/// When the log folder cannot be read; a folder that does not exist yet is no error but an empty answer.
pub fn files(data: &Path, service: &str) -> io::Result<Vec<PathBuf>> {
    if service == CONTROL {
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

/// The names of the services whose logs lie in the folder, `access`, `control` and `edge` among them.
///
/// # Errors
/// When the log folder cannot be read; one that does not exist yet is empty.
pub fn written(data: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(paths::logs(data)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".log")) else { continue };
        let service = match name.split_once('-') {
            Some((ordinal, service)) if ordinal.parse::<u16>().is_ok() => service,
            _ if name == CONTROL => name,
            _ => continue,
        };
        names.push(service.to_owned());
    }
    names.sort();
    names.dedup();
    Ok(names)
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
