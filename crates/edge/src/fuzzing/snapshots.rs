//! Snapshots, as they come in a file or over the admin socket.

use crate::host;
use crate::snapshot::Snapshot;
use crate::table::Found;

/// A snapshot's JSON.
pub fn snapshot(data: &[u8]) {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(data) else { return };
    let written = serde_json::to_vec(&snapshot).expect("what was JSON is JSON");
    assert_eq!(
        serde_json::from_slice::<Snapshot>(&written).ok().as_ref(),
        Some(&snapshot),
        "what is written is read back"
    );
    let Ok(table) = snapshot.compile() else { return };
    for (index, route) in snapshot.routes.iter().enumerate() {
        for name in &route.hosts {
            assert_eq!(host::normal(name).as_deref(), Some(name.as_str()), "a host that nobody can ask for");
            assert_eq!(
                table.find(name, &host::plain(&route.path)),
                Found::Route(index),
                "a route that nothing leads to"
            );
        }
    }
}
