//! What a client brings back in the next step of something that takes two: signed, for one kind of step, good for a time.
//! Nothing is kept of it here. Whoever must take a ticket only once counts its id.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kit::clock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secrets::{Purpose, Secrets};
use crate::time;

/// For how long a person may take for the next step.
pub(crate) const TICKET_LIFE: Duration = Duration::from_mins(5);

#[derive(Serialize, Deserialize)]
struct Content<T> {
    kind: String,
    id: Uuid,
    expires_at: i64,
    data: T,
}

/// A new ticket.
pub(crate) fn issue<T: Serialize>(secrets: &Secrets, kind: &str, data: T, now: Timestamp) -> String {
    let expires_at = time::later(now, TICKET_LIFE);
    let content = Content { kind: kind.to_owned(), id: clock::new_id(), expires_at, data };
    let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&content).expect("plain data becomes JSON"));
    format!("{text}.{}", secrets.tag(Purpose::Tickets, text.as_bytes()))
}

/// What a ticket of ours holds, and its id. `None` for one that is forged, of another kind, or too old.
pub(crate) fn open<T: DeserializeOwned>(
    secrets: &Secrets,
    kind: &str,
    ticket: &str,
    now: Timestamp,
) -> Option<(Uuid, T)> {
    let (text, tag) = ticket.split_once('.')?;
    if !secrets.is_tag(Purpose::Tickets, text.as_bytes(), tag) {
        return None;
    }
    let content: Content<T> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    (content.kind == kind && content.expires_at > now.as_millisecond()).then_some((content.id, content.data))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretBox;

    use super::*;

    #[test]
    fn a_ticket_opens_for_its_kind_in_its_time_unchanged() {
        let secrets = Secrets::new(&SecretBox::new(Box::new([1; 32])));
        let now = Timestamp::UNIX_EPOCH;
        let ticket = issue(&secrets, "login", "ada", now);
        let look =
            |kind: &str, text: &str, at: Timestamp| open::<String>(&secrets, kind, text, at).map(|(_, data)| data);
        assert_eq!(look("login", &ticket, now).as_deref(), Some("ada"));
        assert_eq!(look("passkey", &ticket, now), None);
        assert_eq!(look("login", &ticket, now + jiff::SignedDuration::from_mins(5)), None);
        let other = Secrets::new(&SecretBox::new(Box::new([2; 32])));
        assert!(open::<String>(&other, "login", &ticket, now).is_none());
        for changed in ["", ".", &ticket[1..], &format!("{ticket}x"), ticket.split_once('.').unwrap().0] {
            assert_eq!(look("login", changed, now), None, "{changed}");
        }
    }
}
