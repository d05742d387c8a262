//! Where things lie in a data folder. Every file name of the control plane stands here and nowhere else.

use std::path::{Path, PathBuf};

/// The socket of the operator API.
pub fn control_socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Held (flock) by the one control plane of this folder.
pub fn control_lock(data: &Path) -> PathBuf {
    data.join("control.lock")
}

/// The control plane's memory.
pub fn database(data: &Path) -> PathBuf {
    data.join("control.db")
}

/// The edge's admin socket.
pub fn edge_socket(data: &Path) -> PathBuf {
    data.join("edge.sock")
}

/// The edge's last snapshot.
pub fn edge_snapshot(data: &Path) -> PathBuf {
    data.join("edge.json")
}

/// Folder of the programs that the edge ran from: the present one and those before.
pub fn edge_programs(data: &Path) -> PathBuf {
    data.join("edge-programs")
}

/// Folder of the authority that certifies the hosts in development.
pub fn authority(data: &Path) -> PathBuf {
    data.join("authority")
}

/// Folder of ordered certificates and the account at their authority.
pub fn certificates(data: &Path) -> PathBuf {
    data.join("certificates")
}

/// Folder of all releases.
pub fn releases(data: &Path) -> PathBuf {
    data.join("releases")
}

/// Folder that releases are built in: the checkout, what is kept from build to build, logs.
pub fn builds(data: &Path) -> PathBuf {
    data.join("builds")
}

/// What the checks and the build of a rollout say, an event a line.
pub fn rollout_output(data: &Path, rollout: u64) -> PathBuf {
    rollout_outputs(data).join(format!("{rollout}.jsonl"))
}

/// Folder of what rollouts say.
pub fn rollout_outputs(data: &Path) -> PathBuf {
    data.join("rollouts")
}

/// Which migrations of the manifest's own folder have run for a service.
pub fn migrated(data: &Path, service: &str) -> PathBuf {
    data.join("migrated").join(format!("{service}.json"))
}

/// Folder of copies of databases, taken before something ran that cannot be taken back.
pub fn dumps(data: &Path, service: &str) -> PathBuf {
    data.join("dumps").join(service)
}

/// What is known of alerts and incidents.
pub fn alerts(data: &Path) -> PathBuf {
    data.join("alerts.json")
}

/// Folder of the status page, as the edge gives it out.
pub fn status_page(data: &Path) -> PathBuf {
    data.join("status-page")
}

/// How services were on each of the last days.
pub fn status_days(data: &Path) -> PathBuf {
    data.join("status-days.json")
}

/// Up to when samples were told elsewhere.
pub fn remote_write(data: &Path) -> PathBuf {
    data.join("remote-write")
}

/// Folder of the stored time series.
pub fn series(data: &Path) -> PathBuf {
    data.join("series")
}

/// What the control plane's own secrets are made from and sealed with.
pub fn key(data: &Path) -> PathBuf {
    data.join("control.key")
}

/// Secrets, generated and provided.
pub fn secrets(data: &Path) -> PathBuf {
    data.join("secrets.json")
}

/// Folder of all logs.
pub fn logs(data: &Path) -> PathBuf {
    data.join("logs")
}

/// The edge's log of requests. Named as instances' logs are, so that it is read as they are.
pub fn access_log(data: &Path) -> PathBuf {
    logs(data).join("1-access.log")
}

/// Spans of requests, a line each; older ones are in `.1` and on. Named as instances' logs are, so that it is read as they are.
pub fn spans(data: &Path) -> PathBuf {
    logs(data).join("1-spans.log")
}

/// What services say beyond their share of [`spans`].
pub fn more_spans(data: &Path) -> PathBuf {
    logs(data).join("2-spans.log")
}

/// The port at which spans are received: the next control plane takes the same, since instances know it.
pub(crate) fn spans_port(data: &Path) -> PathBuf {
    data.join("spans.port")
}

/// The control plane's own log.
pub fn control_log(data: &Path) -> PathBuf {
    logs(data).join("control.log")
}

/// Folder of the services' SQLite files.
pub fn service_data(data: &Path) -> PathBuf {
    data.join("data")
}

/// Log of the `ordinal`-th instance (from 1) of a service, in the slot of that name. Its name stays the same over restarts, so that the log of a
/// service is one story; which instance wrote a line is in the journal.
pub fn instance_log(data: &Path, service: &str, slot: &str, ordinal: u16) -> PathBuf {
    logs(data).join(format!("{ordinal}-{slot}{service}.log"))
}
