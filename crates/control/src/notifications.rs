//! The channels of a manifest, with their secrets put in.

use mana_manifest::plan::{MailEncryption, Notification, Target, Value};
use mana_notify::channel::{Channel, Email, Encryption};
use mana_notify::outbox::Delivery;
use mana_notify::{Message, Severity};
use secrecy::{ExposeSecret, SecretString};

use crate::clock;
use crate::secrets::Secrets;

/// The channel that a manifest describes.
///
/// # Errors
/// What is missing, for people.
pub(crate) fn channel(notification: &Notification, secrets: &Secrets) -> Result<Channel, String> {
    let reveal = |value: &Value| -> Result<SecretString, String> {
        let lookup = |name: &str| secrets.get(name).map(|secret| secret.expose_secret().to_owned());
        let missing = |name| format!("the secret {name} has no value; give it one with `mana secret set {name}`");
        value.reveal(lookup).map(Into::into).map_err(missing)
    };
    let maybe = |value: &Option<Value>| value.as_ref().map(reveal).transpose();
    Ok(match &notification.target {
        Target::Webhook { url, secret } => Channel::Webhook { url: reveal(url)?, secret: maybe(secret)? },
        Target::Slack { url } => Channel::Slack { url: reveal(url)? },
        Target::Ntfy { url, token } => Channel::Ntfy { url: reveal(url)?, token: maybe(token)? },
        Target::Email { host, port, encryption, login, from, to } => Channel::Email(Email {
            host: host.clone(),
            port: *port,
            encryption: match encryption {
                MailEncryption::StartTls => Encryption::StartTls,
                MailEncryption::Tls => Encryption::Tls,
                MailEncryption::Plain => Encryption::Plain,
            },
            login: match login {
                Some((user, password)) => Some((reveal(user)?.expose_secret().to_owned(), reveal(password)?)),
                None => None,
            },
            from: from.clone(),
            to: to.clone(),
        }),
    })
}

/// Sends a message that says that it is a test.
///
/// # Errors
/// Why it was not taken, for people.
pub async fn test(notification: &Notification, environment: &str, secrets: &Secrets) -> Result<(), String> {
    let channel = channel(notification, secrets)?;
    let at_ms = u64::try_from(clock::timestamp().as_millisecond()).unwrap_or(0);
    let message = Message {
        key: format!("test/{environment}/{}/{at_ms}", notification.name),
        title: format!("Test of mana's notifications ({environment})"),
        text: format!("The channel {} works. There is nothing to do.", notification.name),
        severity: Severity::Info,
        link: None,
        facts: vec![("event".to_owned(), "test".to_owned())],
        at_ms,
    };
    let delivery = Delivery::new(notification.name.clone(), message, 0, at_ms);
    channel.send(&delivery, at_ms / 1_000).await.map_err(|failure| failure.why)
}
