//! Letters by e-mail: whether an address is somebody's, how to choose another password, what has come of registering.
//!
//! A letter is a row before anything else, in the transaction that it belongs to; [`post`] sends what is due, again where that
//! fails, with whichever instance is free. Its code is made of its id with the server's key and counts once, for its kind, in
//! its time, while the account has the address it went to.
//!
//! Letters about a registration ([`crate::registration`]) are rows of their own, since they go to nobody who has an account, or must not tell that they do.
//!
//! To add a kind: a variant of [`Kind`] with its words.

pub(crate) mod folder;
pub(crate) mod mailer;
pub(crate) mod outgoing;
pub(crate) mod post;
pub(crate) mod routes;
pub(crate) mod store;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::{FieldError, Problem};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::app::App;
use crate::secrets::{Purpose, Secrets};

const MINUTE: Duration = Duration::from_mins(1);

/// Over which time letters to an address are counted. No code is too old sooner, so whoever is sent no letter has one that is good.
pub(crate) const WINDOW: Duration = Duration::from_hours(1);

/// Bytes of the tag in a code: 128 bits, which nobody guesses.
const TAG_CHARS: usize = 22;

/// What a letter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Is this address yours?
    Verify,
    /// Choose another password.
    Reset,
    /// Finish making an account.
    Register,
    /// There is an account: sign in. Has no code.
    Taken,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
            Self::Register => "register",
            Self::Taken => "taken",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Verify, Self::Reset].into_iter().find(|kind| kind.as_str() == text)
    }

    /// How long its code counts.
    pub(crate) fn life(self) -> Duration {
        match self {
            Self::Verify => Duration::from_hours(72),
            Self::Reset => Duration::from_hours(1),
            Self::Register | Self::Taken => Duration::from_hours(24),
        }
    }

    pub(crate) fn subject(self) -> &'static str {
        match self {
            Self::Verify => "Confirm your e-mail address",
            Self::Reset => "Choose another password",
            Self::Register => "Finish making your account",
            Self::Taken => "You have an account already",
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
                "an hour",
                "If that was not you, ignore this letter: nothing has changed.",
            ),
            Self::Register => (
                "confirm",
                "Somebody, hopefully you, wants to make an account with this e-mail address.\nTo finish, open",
                "a day",
                "If that was not you, ignore this letter: there is no account.",
            ),
            Self::Taken => {
                return format!(
                    "Somebody, hopefully you, wanted to make an account with this e-mail address, which has one.\nTo sign in, open\n\n{app_url}/login\n\nIf you have forgotten the password, open\n\n{app_url}/forgot\n\nIf that was not you, ignore this letter: nothing has changed, and nobody was told that you have an account.\n"
                );
            }
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

/// Whether another letter of a kind may go to an address that was sent so many in the last [`WINDOW`]. Whoever asked is told the same
/// either way.
///
/// Letters that were written decide, not questions: strangers who go on asking keep nobody's next letter back. Only what comes at the
/// same moment is counted, and only while there is room: so that a count is full, as many letters were written.
pub(crate) async fn may_go(app: &App, email: &str, kind: Kind, recent: u64) -> bool {
    let most = app.limits.letters_per_hour;
    let receiver = hex::encode(&Sha256::digest(email)[..16]);
    let key = format!("letters:{}:{receiver}", kind.as_str());
    let may = recent < most && app.counters.add(&key, MINUTE).await <= most;
    if !may {
        metrics::counter!("letters_withheld_total", "kind" => kind.as_str()).increment(1);
    }
    may
}

/// Refuses what cannot be done without letters.
pub(crate) fn require_way(app: &App) -> Result<(), Problem> {
    if !app.mail.can_send() {
        return Err(Problem::unavailable("mail_unavailable", "This service cannot send letters; ask whoever runs it."));
    }
    Ok(())
}

pub(crate) fn wrong_code() -> Problem {
    let why = "is not good any more: it was used, is too old, or was not copied whole";
    Problem::invalid(vec![FieldError::new("code", why)])
}

#[cfg(test)]
mod tests {
    use secrecy::SecretBox;

    use super::*;

    #[test]
    fn whoever_is_sent_no_letter_has_one_that_is_good() {
        for kind in [Kind::Verify, Kind::Reset, Kind::Register, Kind::Taken] {
            assert!(kind.life() >= WINDOW, "{kind:?}");
        }
    }

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
