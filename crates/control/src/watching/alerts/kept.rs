//! What of alerts and incidents is on disk: one file, replaced as a whole.

use std::io::{ErrorKind, Write};
use std::path::Path;

use mana_watch::alert::State;
use mana_watch::incident::Incidents;
use serde::{Deserialize, Serialize};

use super::Watch;
use crate::{clock, paths};

/// What is on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::watching) struct Kept {
    pub(super) state: State,
    pub(in crate::watching) incidents: Incidents,
    /// Until when a test fires.
    pub(super) test_until: Option<i64>,
    /// Up to which entry of the journal incidents know what happened.
    pub(in crate::watching) journal: Option<i64>,
}

impl Kept {
    /// What was there before. A file that cannot be read is put aside, since the next one takes its place, and nothing is known.
    pub(super) fn read(file: &Path) -> Self {
        let read = match std::fs::read(file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.to_string()),
        };
        read.unwrap_or_else(|why| {
            let aside = file.with_extension(format!("json.unread-{}", clock::unique()));
            let kept = std::fs::rename(file, &aside).map_or_else(|error| error.to_string(), |()| aside.display().to_string());
            tracing::error!(why, file = %file.display(), kept, "the alerts of before are not understood; they begin anew");
            Self::default()
        })
    }
}

impl Watch {
    /// Writes all of it down; why not, which is in the log as well.
    pub(in crate::watching) async fn save(&self) -> Result<(), String> {
        let written = serde_json::to_vec(&self.kept).map_err(|error| error.to_string());
        let file = paths::alerts(&self.data);
        let written = match written {
            Ok(bytes) => tokio::task::spawn_blocking(move || write(&file, &bytes).map_err(|error| error.to_string()))
                .await
                .unwrap_or_else(|error| Err(error.to_string())),
            Err(error) => Err(error),
        };
        if let Err(error) = &written {
            tracing::error!(error, "the alerts are not on disk: after a restart people may be told twice");
        }
        written
    }
}

fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let passing = folder.join(format!("alerts-{}.new", clock::unique()));
    let written = (|| {
        let mut new = std::fs::File::create(&passing)?;
        new.write_all(bytes)?;
        new.sync_all()?;
        std::fs::rename(&passing, file)?;
        std::fs::File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&passing);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_put_aside_and_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("alerts.json");
        let later = br#"{"state":"of a later version"}"#;
        write(&file, later).expect("written");
        assert_eq!(Kept::read(&file).journal, None);
        write(&file, b"{}").expect("written");
        let others = std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("one").path());
        let aside: Vec<_> = others.filter(|path| *path != file).collect();
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(std::fs::read(&aside[0]).expect("there"), later);
        assert_eq!(Kept::read(&file).journal, None);
        assert!(file.exists(), "one that is understood stays");
    }
}
