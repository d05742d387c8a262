//! Challenges for passkeys. One is made of chance, a time, and a mark over both and over what it is for, so that strangers who ask for
//! thousands fill nothing; those that were answered are remembered until their time is over, so that none is answered twice. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Time to answer one.
const LIFE_MS: u64 = 5 * 60 * 1_000;
const CHANCE: usize = 16;
const TIME: usize = 8;

/// Makes them, and knows them again. Those of another process are strangers.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    /// Answered ones, with the time at which they end.
    answered: BTreeMap<String, u64>,
}

impl Challenges {
    /// A new one, for what `purpose` says: which ceremony, of whom, in which browser.
    pub(crate) fn make(key: &[u8; 32], chance: [u8; CHANCE], purpose: &[&str], now_ms: u64) -> String {
        let body = [chance.as_slice(), &now_ms.to_be_bytes()].concat();
        let mark = mac(key, &body, purpose).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([body.as_slice(), &mark].concat())
    }

    /// Takes it as answered; `false`: it was made by somebody else, for something else, too long ago, or was answered.
    pub(crate) fn answer(&mut self, key: &[u8; 32], challenge: &str, purpose: &[&str], now_ms: u64) -> bool {
        self.answered.retain(|_, end| *end > now_ms);
        let Some(end) = end(key, challenge, purpose).filter(|end| *end > now_ms && *end <= now_ms + LIFE_MS) else {
            return false;
        };
        self.answered.insert(challenge.to_owned(), end).is_none()
    }
}

/// When it ends, if it is one.
fn end(key: &[u8; 32], challenge: &str, purpose: &[&str]) -> Option<u64> {
    let bytes = URL_SAFE_NO_PAD.decode(challenge).ok()?;
    let (body, mark) = bytes.split_at_checked(CHANCE + TIME)?;
    mac(key, body, purpose).verify_slice(mark).ok()?;
    Some(u64::from_be_bytes(body[CHANCE..].try_into().ok()?).saturating_add(LIFE_MS))
}

fn mac(key: &[u8; 32], body: &[u8], purpose: &[&str]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(body);
    for part in purpose {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_once_in_time_and_for_what_it_is() {
        let (key, now) = ([7; 32], 1_000_000);
        let made = || Challenges::make(&key, rand::random(), &["use", "browser"], now);
        let mut known = Challenges::default();
        let one = made();
        assert_ne!(one, made());
        let answer = |known: &mut Challenges, key: &[u8; 32], challenge: &str, purpose: &[&str], later: u64| {
            known.answer(key, challenge, purpose, now + later)
        };
        assert!(!answer(&mut known, &key, &one, &["make", "browser"], 0));
        assert!(!answer(&mut known, &key, &one, &["usebrowser"], 0));
        assert!(!answer(&mut known, &[8; 32], &one, &["use", "browser"], 0));
        assert!(!answer(&mut known, &key, &one, &["use", "browser"], LIFE_MS));
        for wrong in ["", "AAAA", &one[1..]] {
            assert!(!answer(&mut known, &key, wrong, &["use", "browser"], 0), "{wrong}");
        }
        assert!(answer(&mut known, &key, &one, &["use", "browser"], LIFE_MS - 1));
        assert!(!answer(&mut known, &key, &one, &["use", "browser"], LIFE_MS - 1), "twice");
        let ahead = Challenges::make(&key, [1; 16], &["use"], now + 1);
        assert!(!answer(&mut known, &key, &ahead, &["use"], 0), "made in the future");
        assert!(answer(&mut known, &key, &made(), &["use", "browser"], 1));
        known.answer(&key, "", &[], now + LIFE_MS);
        assert!(known.answered.is_empty(), "nothing is remembered for longer than it counts");
    }
}
