//! Sending one message through one channel. A failure says why, never to which address or with which secret.

mod email;
mod http;

use std::time::Duration;

use secrecy::SecretString;

use crate::outbox::{Delivery, Failure};

pub use email::{Email, Encryption};

/// Longest time for one message, whatever the channel.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Where messages go. Addresses are secrets: those of Slack and of many webhooks hold a token.
#[derive(Debug, Clone)]
pub enum Channel {
    /// JSON by POST, signed where there is a secret.
    Webhook {
        /// Where to.
        url: SecretString,
        /// The key of the signature.
        secret: Option<SecretString>,
    },
    /// What Slack's incoming webhooks understand, and Mattermost's and Discord's (`/slack`).
    Slack {
        /// Where to.
        url: SecretString,
    },
    /// A topic of <https://ntfy.sh> or of one's own server.
    Ntfy {
        /// The topic's address.
        url: SecretString,
        /// An access token.
        token: Option<SecretString>,
    },
    /// Mail by SMTP.
    Email(Email),
}

impl Channel {
    /// Sends; `now_s`: seconds since 1970, for the signature.
    ///
    /// # Errors
    /// Where it was not taken, or it is not known whether.
    pub async fn send(&self, delivery: &Delivery, now_s: u64) -> Result<(), Failure> {
        let sent = async {
            match self {
                Self::Webhook { url, secret } => http::webhook(url, secret.as_ref(), delivery, now_s).await,
                Self::Slack { url } => http::slack(url, delivery).await,
                Self::Ntfy { url, token } => http::ntfy(url, token.as_ref(), delivery).await,
                Self::Email(email) => email.send(delivery).await,
            }
        };
        let timeout = || Failure { why: format!("no answer within {} s", TIMEOUT.as_secs()), refused: false };
        tokio::time::timeout(TIMEOUT, sent).await.unwrap_or_else(|_elapsed| Err(timeout()))
    }
}
