//! Keys of channels that people are told things through.

use super::{ENVIRONMENTS, Key, Shape, key};
use crate::plan::Notification;

const KINDS: &[&str] = &["webhook", "slack", "email", "ntfy"];
const EVENTS: &[&str] = &["started", "approval", "held", "failed", "rolled-back", "done", "page", "alert"];

const _: () = assert!(EVENTS.len() == Notification::EVENTS.len());

/// `[notifications.NAME]`.
pub(super) const NOTIFICATION: &[Key] = &[
    key("kind", Shape::Word(KINDS), "What the channel is."),
    key("url", Shape::Text, "Where it is; of ntfy the topic's address. ${secret.NAME} is filled in. Not for e-mail."),
    key("secret", Shape::Text, "${secret.NAME}: key of a webhook's signature, or access token of ntfy."),
    key("server", Shape::Text, "HOST:PORT of the mail server."),
    key(
        "encryption",
        Shape::Word(&["starttls", "tls", "plain"]),
        "How the way to the mail server is protected: STARTTLS where absent; `plain` to this machine only.",
    ),
    key("user", Shape::Text, "Name at the mail server; nobody logs in where absent."),
    key("password", Shape::Text, "${secret.NAME}: the password at the mail server."),
    key("from", Shape::Text, "Sender of the mails."),
    key("to", Shape::List(&Shape::Text), "Receivers of the mails."),
    key("environments", Shape::List(&Shape::Word(ENVIRONMENTS)), "Where it is used; everywhere where absent."),
    key("services", Shape::List(&Shape::Text), "Services it tells about; all where absent."),
    key("events", Shape::List(&Shape::Word(EVENTS)), "What it tells; everything where absent."),
];

#[cfg(test)]
mod tests {
    #[test]
    fn events_are_those_of_the_plan() {
        assert_eq!(super::EVENTS, crate::plan::Notification::EVENTS);
    }
}
