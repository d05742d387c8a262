//! What the edge is told, and what it has acknowledged. The owner decides; this keeps the books.
//!
//! `may_route` is every instance the edge might send a request to right now: what it acknowledged, what is on its way to
//! it, and what lay on disk when it was started. Nothing in there is ever stopped.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use mana_edge::admin::{Client, ClientError};
use mana_edge::snapshot::{Snapshot, Target};
use mana_runtime::lifecycle::Time;

use crate::snapshot::routed;

/// Wait before a snapshot is offered again to an edge that did not answer.
const RETRY_UNREACHABLE: Duration = Duration::from_millis(100);
/// Wait before a snapshot is offered again that was refused: somebody has to free a port first, say.
const RETRY_REFUSED: Duration = Duration::from_secs(2);
/// Longest time one snapshot may take to be acknowledged.
const PUT_TIMEOUT: Duration = Duration::from_secs(5);

/// How an offer ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The snapshot that was offered, with its generation.
    offered: Box<Snapshot>,
    result: Result<u64, ClientError>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct EdgeLink {
    /// Highest generation that is known to have existed.
    generation: u64,
    /// The generation of that.
    served: u64,
    /// What the edge serves, as far as it said so; its generation set to 0.
    acknowledged: Option<Snapshot>,
    serving: BTreeSet<String>,
    may_route: BTreeSet<String>,
    in_flight: bool,
    retry: Option<Time>,
    trouble: Option<String>,
}

impl EdgeLink {
    /// The edge was found running and serves this.
    pub(super) fn found(&mut self, snapshot: Snapshot) {
        self.generation = self.generation.max(snapshot.generation);
        self.served = snapshot.generation;
        self.serving = routed(&snapshot).map(str::to_owned).collect();
        self.may_route.clone_from(&self.serving);
        self.acknowledged = Some(Snapshot { generation: 0, ..snapshot });
    }

    /// Whether the edge has acknowledged to send requests to this instance.
    pub(super) fn serves(&self, id: &str) -> bool {
        self.serving.contains(id)
    }

    /// Whether the edge might send requests to this instance.
    pub(super) fn may_route(&self, id: &str) -> bool {
        self.may_route.contains(id)
    }

    /// What is wrong between the edge and us.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// When to offer again.
    pub(super) fn retry(&self) -> Option<Time> {
        self.retry
    }

    /// The newest generation that the edge said it serves.
    pub(super) fn served_generation(&self) -> Option<u64> {
        self.acknowledged.as_ref().map(|_| self.served)
    }

    /// Slots of a route and their weights, as the edge said it serves them.
    pub(super) fn weights(&self, route: &str) -> Option<Vec<(&str, u32)>> {
        let route = self.acknowledged.as_ref()?.routes.iter().find(|known| known.name == route)?;
        match &route.target {
            Target::Slots(slots) => Some(slots.iter().map(|slot| (slot.name.as_str(), slot.weight)).collect()),
            Target::Static(_) | Target::Redirect(_) => None,
        }
    }

    /// The folder that a route's files come from, as the edge said.
    pub(super) fn folder(&self, route: &str) -> Option<&Path> {
        let route = self.acknowledged.as_ref()?.routes.iter().find(|known| known.name == route)?;
        match &route.target {
            Target::Static(site) => Some(&site.root),
            Target::Slots(_) | Target::Redirect(_) => None,
        }
    }

    /// The edge may serve something else by now: it is told again.
    pub(super) fn doubt(&mut self) {
        self.acknowledged = None;
    }

    /// Whether exactly this is served.
    pub(super) fn is_served(&self, wanted: &Snapshot) -> bool {
        self.acknowledged.as_ref() == Some(wanted)
    }

    /// The offer to make now, if one has to be made.
    pub(super) fn offer(&mut self, wanted: Snapshot, now: Time) -> Option<Snapshot> {
        if self.in_flight || self.retry.is_some_and(|retry| now < retry) || self.is_served(&wanted) {
            return None;
        }
        self.retry = None;
        self.in_flight = true;
        self.may_route.extend(routed(&wanted).map(str::to_owned));
        Some(self.numbered(wanted))
    }

    fn numbered(&mut self, mut snapshot: Snapshot) -> Snapshot {
        self.generation += 1;
        snapshot.generation = self.generation;
        snapshot
    }

    /// An offer ended.
    pub(super) fn answered(&mut self, outcome: Outcome, now: Time) {
        self.in_flight = false;
        match outcome.result {
            Ok(generation) => {
                self.generation = self.generation.max(generation);
                self.trouble = None;
                self.found(*outcome.offered);
            }
            Err(ClientError::Stale { current, offered }) => {
                tracing::info!(current, offered, "the edge is ahead of us, offering again");
                self.generation = self.generation.max(current);
            }
            Err(ClientError::Draining { .. }) => self.retry = Some(now.after(RETRY_UNREACHABLE)),
            Err(error @ ClientError::Refused(_)) => {
                tracing::error!(%error, "the edge refuses a snapshot");
                self.trouble = Some(error.to_string());
                self.retry = Some(now.after(RETRY_REFUSED));
            }
            Err(error) => {
                // Whether it took effect is not known: `may_route` keeps both.
                tracing::debug!(%error, "the edge did not acknowledge a snapshot");
                self.trouble = Some(error.to_string());
                self.retry = Some(now.after(RETRY_UNREACHABLE));
            }
        }
    }

    /// The edge's process ended: nobody sends requests to anybody.
    pub(super) fn gone(&mut self) {
        self.acknowledged = None;
        self.serving.clear();
        self.may_route.clear();
        self.retry = None;
    }

    /// Writes what a new edge begins with, so that it serves the present instances from its first moment.
    pub(super) fn write_first(&mut self, wanted: Snapshot, path: &Path) -> io::Result<()> {
        if let Some(on_disk) = read(path)? {
            self.generation = self.generation.max(on_disk.generation);
        }
        self.may_route.extend(routed(&wanted).map(str::to_owned));
        let snapshot = self.numbered(wanted);
        let fresh = path.with_extension("json.control");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        serde_json::to_writer_pretty(&mut file, &snapshot)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

/// The snapshot on disk. One that is not understood is as good as none: it is written anew.
pub(super) fn read(path: &Path) -> io::Result<Option<Snapshot>> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text)
            .inspect_err(|error| tracing::warn!(%error, "the edge's snapshot on disk is not understood"))
            .ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Offers a snapshot.
pub(super) async fn put(client: Client, snapshot: Snapshot) -> Outcome {
    let result = client.timeout(PUT_TIMEOUT).put(&snapshot).await.map(|applied| applied.generation);
    Outcome { offered: Box::new(snapshot), result }
}

#[cfg(test)]
mod tests {
    use mana_edge::snapshot::{Instance, Policies, Route, RouteLimits, Slot};

    use super::*;

    fn snapshot(ids: &[&str]) -> Snapshot {
        let instances = ids.iter().map(|id| Instance::new(*id, ([127, 0, 0, 1], 20_000).into())).collect();
        Snapshot {
            generation: 0,
            listeners: Vec::new(),
            routes: vec![Route {
                name: "a".into(),
                hosts: Vec::new(),
                path: "/".into(),
                target: Target::Slots(vec![Slot { name: "blue".into(), release: "r".into(), weight: 100, instances }]),
                response_headers: std::collections::BTreeMap::new(),
                limits: RouteLimits::default(),
                policies: Policies::default(),
                probe: None,
                lease: None,
            }],
            ..Snapshot::default()
        }
    }

    fn answer(link: &mut EdgeLink, offered: Snapshot, result: Result<u64, ClientError>) {
        link.answered(Outcome { offered: Box::new(offered), result }, Time::default());
    }

    #[test]
    fn what_is_on_its_way_may_be_routed_and_serves_only_once_acknowledged() {
        let mut link = EdgeLink::default();
        let offered = link.offer(snapshot(&["x"]), Time::default()).expect("offered");
        assert_eq!(offered.generation, 1);
        assert!(link.may_route("x") && !link.serves("x"));
        assert_eq!(link.offer(snapshot(&["y"]), Time::default()), None, "one at a time");
        answer(&mut link, offered, Ok(1));
        assert!(link.serves("x") && link.is_served(&snapshot(&["x"])));
        assert_eq!(link.offer(snapshot(&["x"]), Time::default()), None, "it is served already");

        let offered = link.offer(snapshot(&["y"]), Time::default()).expect("offered");
        assert!(link.may_route("x") && link.may_route("y"), "either may be in effect");
        answer(&mut link, offered, Ok(2));
        assert!(!link.may_route("x") && link.serves("y"));
    }

    #[test]
    fn a_lost_answer_leaves_both_in_doubt_and_is_offered_again() {
        let mut link = EdgeLink::default();
        link.found(snapshot(&["x"]));
        let offered = link.offer(snapshot(&["y"]), Time::default()).expect("offered");
        let lost = ClientError::Timeout { socket: "edge.sock".into(), timeout: PUT_TIMEOUT };
        answer(&mut link, offered, Err(lost));
        assert!(link.may_route("x") && link.may_route("y") && link.serves("x"));
        assert_eq!(link.offer(snapshot(&["y"]), Time::default()), None, "not at once");
        assert!(link.offer(snapshot(&["y"]), link.retry().expect("set")).is_some());
    }

    #[test]
    fn generations_only_grow_even_over_an_edge_that_is_ahead() {
        let mut link = EdgeLink::default();
        let offered = link.offer(snapshot(&["x"]), Time::default()).expect("offered");
        answer(&mut link, offered, Err(ClientError::Stale { current: 41, offered: 1 }));
        let offered = link.offer(snapshot(&["x"]), Time::default()).expect("again at once");
        assert_eq!(offered.generation, 42);
    }

    #[test]
    fn a_new_edge_begins_with_the_present_instances_and_a_higher_generation() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("edge.json");
        let old = Snapshot { generation: 7, ..snapshot(&["old"]) };
        fs::write(&path, serde_json::to_vec(&old).expect("json")).expect("write");
        let mut link = EdgeLink::default();
        link.write_first(snapshot(&["x"]), &path).expect("write");
        assert_eq!(read(&path).expect("read"), Some(Snapshot { generation: 8, ..snapshot(&["x"]) }));
        assert!(link.may_route("x"));
        link.gone();
        assert!(!link.may_route("x"));
    }
}
