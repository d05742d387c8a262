//! Letters by e-mail: one that asks whether an address is somebody's, one that lets them choose another password.
//!
//! A letter is a row before anything else, in the transaction that it belongs to; [`post`] sends what is due, again where that
//! fails, with whichever instance is free. Its code is made of its id with the server's key and counts once, for its kind, in
//! its time, while the account has the address it went to.
//!
//! To add a kind: a variant of [`Kind`] with its words.

pub(crate) mod folder;
pub(crate) mod mailer;
pub(crate) mod post;
pub(crate) mod routes;
pub(crate) mod store;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::secrets::{Purpose, Secrets};

/// Bytes of the tag in a code: 128 bits, which nobody guesses.
const TAG_CHARS: usize = 22;

/// What a letter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Is this address yours?
    Verify,
    /// Choose another password.
    Reset,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Verify, Self::Reset].into_iter().find(|kind| kind.as_str() == text)
    }

    /// How long its code counts.
    pub(crate) fn life(self) -> Duration {
        match self {
            Self::Verify => Duration::from_hours(72),
            Self::Reset => Duration::from_mins(30),
        }
    }

    pub(crate) fn subject(self) -> &'static str {
        match self {
            Self::Verify => "Confirm your e-mail address",
            Self::Reset => "Choose another password",
        }
    }

    /// The words. The code stands behind the `#`, which reaches no server and no log by itself.
    pub(crate) fn text(self, app_url: &str, code: &str) -> String {
        let (path, why, until, otherwise) = match self {
            Self::Verify => (
                "verify",
                "Somebody, hopefully you, has used this e-mail address for an account.\nTo confirm that it is yours, open",
                "three days",
                "If that was not you, ignore this letter.",
            ),
            Self::Reset => (
                "reset",
                "Somebody, hopefully you, wants to choose another password for your account.\nTo do so, open",
                "30 minutes",
                "If that was not you, ignore this letter: nothing has changed.",
            ),
        };
        format!(
            "{why}\n\n{app_url}/{path}#{code}\n\nIf the page asks for a code, it is\n\n{code}\n\nIt is good once, for {until}. {otherwise}\n"
        )
    }
}

/// The code of a letter.
pub(crate) fn code(secrets: &Secrets, kind: Kind, id: Uuid) -> String {
    let mut tag = secrets.tag(Purpose::Letters, format!("{} {id}", kind.as_str()).as_bytes());
    tag.truncate(TAG_CHARS);
    format!("{}{tag}", URL_SAFE_NO_PAD.encode(id.as_bytes()))
}

/// The letter that a code is of; compared in constant time.
pub(crate) fn of_code(secrets: &Secrets, kind: Kind, given: &str) -> Option<Uuid> {
    let given = given.trim();
    let id = Uuid::from_slice(&URL_SAFE_NO_PAD.decode(given.get(..TAG_CHARS)?).ok()?).ok()?;
    let expected = code(secrets, kind, id);
    aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_ok().then_some(id)
}

#[cfg(test)]
mod tests {
    use secrecy::SecretBox;

    use super::*;

    #[test]
    fn a_code_names_its_letter_and_counts_for_its_kind_only() {
        let secrets = Secrets::new(&SecretBox::new(Box::new([1; 32])));
        let id = Uuid::from_u128(7);
        let good = code(&secrets, Kind::Reset, id);
        assert_eq!(of_code(&secrets, Kind::Reset, &format!(" {good}\n")), Some(id));
        assert_eq!(of_code(&secrets, Kind::Verify, &good), None);
        let other = Secrets::new(&SecretBox::new(Box::new([2; 32])));
        for wrong in ["", "x", "ä".repeat(22).as_str(), &good[1..], &code(&other, Kind::Reset, id)] {
            assert_eq!(of_code(&secrets, Kind::Reset, wrong), None, "{wrong}");
        }
    }
}
