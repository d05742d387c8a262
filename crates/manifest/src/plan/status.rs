//! The page that tells everybody how things are.

use serde::Serialize;

/// The status page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusPage {
    /// Its host.
    pub host: String,
    /// Where people see it: `https://status.example.com`.
    pub url: String,
    /// What stands above it.
    pub title: String,
    /// A line below that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Services that it shows, by name, in the order of the plan.
    pub services: Vec<String>,
}
