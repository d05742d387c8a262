//! What is watched beside the services, and who is told what was measured.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Value, as_millis};

/// Something that services need and that nobody here runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// What is asked: `http`, `https`, `tcp`, `postgres` or `redis`.
    pub url: Value,
    /// The status that says it is well; `None`: any that is not the server's fault.
    pub status: Option<u16>,
    /// How often.
    #[serde(serialize_with = "as_millis")]
    pub interval: Duration,
    /// How long it may take.
    #[serde(serialize_with = "as_millis")]
    pub timeout: Duration,
}

/// Who is told what was measured, and that it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Watch {
    /// Where all samples go to besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_write: Option<RemoteWrite>,
    /// Who is told that mana watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
}

impl Watch {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A receiver of Prometheus' remote_write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemoteWrite {
    /// Where it is.
    pub url: Value,
    /// Header fields that are sent along.
    pub headers: BTreeMap<String, Value>,
}

/// Whoever wakes people when they hear nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heartbeat {
    /// What is asked with GET.
    pub url: Value,
    /// How often.
    #[serde(serialize_with = "as_millis")]
    pub every: Duration,
}
