//! What can be said about an ecosystem without its control plane: the edge's last snapshot, and whether the edge answers.

use std::path::Path;
use std::time::Duration;

use mana_control::paths;
use mana_edge::admin::Client;
use mana_edge::snapshot::{Snapshot, Target};
use serde::Serialize;

use crate::show::style::{Style, Tone};
use crate::show::units;

/// Longest wait for the edge: a person is waiting, and one that lives answers in milliseconds.
const EDGE_TIMEOUT: Duration = Duration::from_secs(1);

/// The last that is known.
#[derive(Debug, Serialize)]
pub(crate) struct LastKnown {
    /// Whether the edge answers, so that traffic still flows.
    edge_answers: bool,
    /// Which snapshot it serves, or served last.
    generation: u64,
    /// What that snapshot holds.
    routes: Vec<Route>,
}

#[derive(Debug, Serialize)]
struct Route {
    name: String,
    /// `None`: served by the edge itself.
    ready_instances: Option<usize>,
}

/// Looks at the data folder; `None` where nothing was ever served from it.
pub(crate) async fn of(data: &Path) -> Option<LastKnown> {
    let live = Client::new(paths::edge_socket(data)).timeout(EDGE_TIMEOUT).get().await.ok();
    let edge_answers = live.is_some();
    // After a `mana down` a snapshot without instances is left: nothing to speak of.
    let snapshot = live.or_else(|| saved(data).filter(anything_was_ready))?;
    let mut routes: Vec<Route> = snapshot.routes.iter().map(Route::from).collect();
    routes.sort_by(|one, other| one.name.cmp(&other.name));
    Some(LastKnown { edge_answers, generation: snapshot.generation, routes })
}

fn anything_was_ready(snapshot: &Snapshot) -> bool {
    snapshot.routes.iter().any(|route| Route::from(route).ready_instances.is_some_and(|ready| ready > 0))
}

fn saved(data: &Path) -> Option<Snapshot> {
    serde_json::from_slice(&std::fs::read(paths::edge_snapshot(data)).ok()?).ok()
}

impl From<&mana_edge::snapshot::Route> for Route {
    fn from(route: &mana_edge::snapshot::Route) -> Self {
        let ready_instances = match &route.target {
            Target::Slots(slots) => Some(slots.iter().map(|slot| slot.instances.len()).sum()),
            Target::Static(_) | Target::Redirect(_) => None,
        };
        Self { name: route.name.clone(), ready_instances }
    }
}

impl LastKnown {
    /// For people.
    pub(crate) fn lines(&self, style: Style) -> Vec<String> {
        let head = if self.edge_answers {
            style.paint(Tone::Care, "the edge still answers and serves what was ready last:")
        } else {
            style.paint(Tone::Bad, "the edge does not answer either; what was ready last:")
        };
        let width = self.routes.iter().map(|route| route.name.len()).max().unwrap_or(0);
        let line = |route: &Route| {
            let what = match route.ready_instances {
                Some(0) => style.paint(Tone::Bad, "no instance"),
                Some(ready) => units::count(ready, "instance"),
                None => "by the edge itself".to_owned(),
            };
            format!("  {:<width$}  {what}", route.name)
        };
        std::iter::once(head).chain(self.routes.iter().map(line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOT: &str = r#"{"generation": 7, "listeners": [], "routes": [
        {"name": "chat-web", "target": {"slots": [{"name": "blue", "release": "dev", "weight": 1, "instances": [
            {"id": "a", "address": "127.0.0.1:20001"}, {"id": "b", "address": "127.0.0.1:20002"}]}]}},
        {"name": "ai-echo", "target": {"slots": []}},
        {"name": "chat-landing", "target": {"static": {"root": "/srv"}}}]}"#;

    #[tokio::test]
    async fn what_was_ready_last_is_told_from_the_saved_snapshot() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(of(folder.path()).await.is_none(), "nothing was ever served");
        std::fs::write(paths::edge_snapshot(folder.path()), SNAPSHOT).expect("written");
        let known = of(folder.path()).await.expect("a snapshot");
        insta::assert_snapshot!(known.lines(Style::PLAIN).join("\n"));
        assert!(!known.edge_answers);
        let empty = r#"{"generation": 8, "listeners": [], "routes": []}"#;
        std::fs::write(paths::edge_snapshot(folder.path()), empty).expect("written");
        assert!(of(folder.path()).await.is_none(), "nothing was ready");
    }
}
