//! What of alerts and incidents is on disk: one file, replaced as a whole.

use std::io::Write;
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
    /// What was there before; nothing where that cannot be read.
    pub(super) fn read(file: &Path) -> Self {
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::error!(%error, "the alerts of before cannot be read; they begin anew");
                return Self::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::error!(%error, file = %file.display(), "the alerts of before are not understood; they begin anew");
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
