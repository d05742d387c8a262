//! Requests that show that a release works.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Run, Service, Value, as_millis};

/// One request, and what has to come back. In `path`, `send` and `body`, `{unique}` and the names that earlier tests saved stand for
/// what they are in this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Smoke {
    /// What it is called.
    pub name: String,
    /// The service that is asked.
    pub service: String,
    /// `GET`.
    pub method: String,
    /// `/api/health`.
    pub path: String,
    /// Header fields that are sent.
    pub send: BTreeMap<String, Value>,
    /// The body that is sent.
    pub body: Option<Value>,
    /// The status that has to come.
    pub status: u16,
    /// Header fields that have to hold these texts.
    pub headers: BTreeMap<String, String>,
    /// What has to stand at these places (JSON pointers); `*`: anything but null.
    pub json: BTreeMap<String, String>,
    /// Longest time to the end of the answer.
    #[serde(serialize_with = "as_millis")]
    pub within: Duration,
    /// Names for what stands at these places.
    pub save: BTreeMap<String, String>,
}

impl Smoke {
    /// Whether it asks that service for something and changes nothing, so that it can be sent often. Probes do not count as requests.
    pub fn only_asks(&self, service: &Service) -> bool {
        let probe = match &service.run {
            Run::Command(command) => self.path == command.live || self.path == command.ready,
            Run::Static { .. } => false,
        };
        let plain = self.method == "GET" && !self.path.contains('{') && self.send.is_empty();
        self.service == service.name && plain && !probe
    }
}
