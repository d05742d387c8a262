//! Smoke tests of a service.

use serde::{Deserialize, Serialize};

/// "Does it work?"
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeRequest {
    /// The service's name.
    pub service: String,
    /// What has to serve; whatever does where absent.
    #[serde(default)]
    pub digest: Option<String>,
}

/// How smoke tests went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeReport {
    /// The service's name.
    pub service: String,
    /// What answered, for people.
    pub version: Option<String>,
    /// Of that.
    pub digest: Option<String>,
    /// Whether all went well.
    pub passed: bool,
    /// Each test, in order.
    pub tests: Vec<SmokeResult>,
}

/// How one smoke test went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeResult {
    /// Its name.
    pub name: String,
    /// `GET /api/health`.
    pub request: String,
    /// Why it failed; absent: it did not.
    pub failed: Option<String>,
    /// How long it took.
    pub took_ms: u64,
}
