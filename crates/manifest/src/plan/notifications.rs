//! Channels that people are told things through.

use serde::Serialize;

use super::Value;

/// A channel, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// Its name.
    pub name: String,
    /// Where messages go.
    pub target: Target,
    /// Services it tells about; empty: all.
    pub services: Vec<String>,
    /// What it tells; empty: everything.
    pub events: Vec<String>,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// JSON by POST.
    Webhook {
        /// Where to.
        url: Value,
        /// Key of the signature.
        secret: Option<Value>,
    },
    /// An incoming webhook of Slack, or what understands the same.
    Slack {
        /// Where to.
        url: Value,
    },
    /// A topic of ntfy.
    Ntfy {
        /// The topic.
        url: Value,
        /// Access token.
        token: Option<Value>,
    },
    /// Mail by SMTP.
    Email {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// How the way there is protected.
        encryption: MailEncryption,
        /// Name and password.
        login: Option<(Value, Value)>,
        /// Sender.
        from: String,
        /// Receivers.
        to: Vec<String>,
    },
}

/// How the way to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailEncryption {
    /// STARTTLS.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None; this machine only.
    Plain,
}

impl Notification {
    /// What can be told.
    pub const EVENTS: [&'static str; 8] =
        ["started", "approval", "held", "failed", "rolled-back", "done", "page", "alert"];

    /// Whether it wants to know of this.
    pub fn wants(&self, service: &str, event: &str) -> bool {
        let asks_for = |list: &[String], name: &str| list.is_empty() || list.iter().any(|other| other == name);
        asks_for(&self.services, service) && asks_for(&self.events, event)
    }
}
