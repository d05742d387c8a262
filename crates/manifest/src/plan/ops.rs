//! What operators reach from elsewhere.

use serde::Serialize;

use super::Value;

/// The operators' door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ops {
    /// Its host.
    pub host: String,
    /// What pushes of the repository are signed with; `None`: they are not believed.
    pub push_secret: Option<Value>,
}

/// The door of another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// `https://ops.staging.example.com`.
    pub url: String,
    /// What lets us in.
    pub token: Value,
}
