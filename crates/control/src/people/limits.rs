//! How many tries there are to log in. Pure: the time is said.
//!
//! A bucket of tries for each name and for each address, and one for all strangers. Who gets in gets the try back. Where
//! somebody has logged in before, they have a bucket of their own for that name, so that strangers who use the name's tries
//! up keep nobody out who is at a known place; and nobody is kept out for longer than a bucket takes to get its next try.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Buckets that are remembered. Past it, those that are full again go, and then the one used longest ago.
const MOST_BUCKETS: usize = 10_000;

/// Tries at once, and how long it takes for one more, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    tries: u32,
    per_ms: u64,
}

/// A person who mistypes needs a few; 1 440 a day of a million codes are no danger.
const OF_A_NAME: Rate = Rate { tries: 10, per_ms: 60_000 };
/// A team behind one address.
const OF_AN_ADDRESS: Rate = Rate { tries: 20, per_ms: 10_000 };
/// As that of a name, for those who are known there.
const OF_A_KNOWN_PLACE: Rate = Rate { tries: 10, per_ms: 20_000 };
/// All strangers: bounds what they can add to the audit log (86 400 rows a day).
const OF_STRANGERS: Rate = Rate { tries: 60, per_ms: 1_000 };

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Name(String),
    Address(String),
    KnownPlace(String, String),
    Strangers,
}

impl Key {
    fn rate(&self) -> Rate {
        match self {
            Self::Name(_) => OF_A_NAME,
            Self::Address(_) => OF_AN_ADDRESS,
            Self::KnownPlace(..) => OF_A_KNOWN_PLACE,
            Self::Strangers => OF_STRANGERS,
        }
    }
}

/// Who tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tries(Vec<Key>);

impl Tries {
    /// To log in by this name from there; `known`: has been logged in by it from there before.
    pub(crate) fn login(name: &str, address: &str, known: bool) -> Self {
        let address = place(address);
        if known {
            return Self(vec![Key::KnownPlace(name.to_owned(), address)]);
        }
        Self(vec![Key::Name(name.to_owned()), Key::Address(address), Key::Strangers])
    }

    /// To log in by a passkey, which says whose it is.
    pub(crate) fn passkey(address: &str) -> Self {
        Self::invitation(address)
    }

    /// To guess an invitation.
    pub(crate) fn invitation(address: &str) -> Self {
        Self(vec![Key::Address(place(address)), Key::Strangers])
    }

    /// To confirm something by the password, once logged in.
    pub(crate) fn confirmation(session: &str) -> Self {
        Self(vec![Key::KnownPlace(session.to_owned(), String::new())])
    }
}

/// Whoever has one address of IPv6 has its whole network of 64 bits.
fn place(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Ok(address) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

/// What a bucket lacks: when it is full again. The time is milliseconds since the control plane began.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: u64,
}

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    buckets: BTreeMap<Key, Bucket>,
}

impl Limits {
    /// Takes a try of each bucket; or of none, and says how many milliseconds it takes until there is one in each.
    pub(crate) fn take(&mut self, tries: &Tries, now_ms: u64) -> Result<(), u64> {
        let wait = tries.0.iter().map(|key| self.wait(key, now_ms)).max().unwrap_or(0);
        if wait > 0 {
            return Err(wait);
        }
        for key in &tries.0 {
            self.make_room(key, now_ms);
            let bucket = self.buckets.entry(key.clone()).or_insert(Bucket { full_at: now_ms });
            bucket.full_at = bucket.full_at.max(now_ms) + key.rate().per_ms;
        }
        Ok(())
    }

    /// The try was a good one.
    pub(crate) fn give_back(&mut self, tries: &Tries) {
        for key in &tries.0 {
            if let Some(bucket) = self.buckets.get_mut(key) {
                bucket.full_at = bucket.full_at.saturating_sub(key.rate().per_ms);
            }
        }
    }

    fn wait(&self, key: &Key, now_ms: u64) -> u64 {
        let Rate { tries, per_ms } = key.rate();
        let Some(bucket) = self.buckets.get(key) else { return 0 };
        // One more try would have it full this late; it may lack all of its tries, and no more.
        let full_at = bucket.full_at.max(now_ms) + per_ms;
        full_at.saturating_sub(now_ms + u64::from(tries) * per_ms)
    }

    fn make_room(&mut self, key: &Key, now_ms: u64) {
        if self.buckets.len() < MOST_BUCKETS || self.buckets.contains_key(key) {
            return;
        }
        self.buckets.retain(|_, bucket| bucket.full_at > now_ms);
        if self.buckets.len() >= MOST_BUCKETS
            && let Some(fullest) =
                self.buckets.iter().min_by_key(|(_, bucket)| bucket.full_at).map(|(key, _)| key.clone())
        {
            self.buckets.remove(&fullest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_tries_and_gets_one_more_after_a_while() {
        let mut limits = Limits::default();
        for number in 0..OF_A_NAME.tries {
            assert_eq!(limits.take(&Tries::login("ada", &format!("192.0.2.{number}"), false), 1_000), Ok(()));
        }
        let again = Tries::login("ada", "198.51.100.1", false);
        assert_eq!(limits.take(&again, 1_000), Err(OF_A_NAME.per_ms));
        assert_eq!(limits.take(&again, 1_000 + OF_A_NAME.per_ms - 1), Err(1), "refused tries cost nothing");
        assert_eq!(limits.take(&again, 1_000 + OF_A_NAME.per_ms), Ok(()));
        assert!(limits.take(&again, 1_000 + OF_A_NAME.per_ms).is_err());
        assert_eq!(limits.take(&Tries::login("bob", "198.51.100.1", false), 1_000 + OF_A_NAME.per_ms), Ok(()));
    }

    #[test]
    fn an_address_has_its_tries_whatever_the_name_and_a_network_is_one_address() {
        let mut limits = Limits::default();
        for number in 0..OF_AN_ADDRESS.tries {
            let tries = Tries::login(&number.to_string(), &format!("2001:db8::{number:x}"), false);
            assert_eq!(limits.take(&tries, 0), Ok(()));
        }
        assert!(limits.take(&Tries::login("x", "2001:db8:0:0:ffff::1", false), 0).is_err());
        assert!(limits.take(&Tries::invitation("2001:db8::1"), 0).is_err());
        assert_eq!(limits.take(&Tries::login("x", "2001:db8:0:1::1", false), 0), Ok(()));
    }

    #[test]
    fn strangers_keep_nobody_out_of_a_known_place() {
        let mut limits = Limits::default();
        while limits.take(&Tries::login("ada", "203.0.113.9", false), 0).is_ok() {}
        assert!(limits.take(&Tries::login("ada", "192.0.2.1", false), 0).is_err());
        let known = Tries::login("ada", "192.0.2.1", true);
        for _ in 0..OF_A_KNOWN_PLACE.tries {
            assert_eq!(limits.take(&known, 0), Ok(()));
        }
        assert!(limits.take(&known, 0).is_err(), "but nobody tries for ever");
        assert_eq!(limits.take(&Tries::login("ada", "192.0.2.1", false), OF_A_NAME.per_ms), Ok(()), "nor is anybody");
    }

    #[test]
    fn who_gets_in_never_runs_out() {
        let mut limits = Limits::default();
        let tries = Tries::login("ada", "192.0.2.1", false);
        for _ in 0..1_000 {
            assert_eq!(limits.take(&tries, 5), Ok(()));
            limits.give_back(&tries);
        }
    }

    #[test]
    fn all_strangers_together_are_slowed_down_and_what_is_remembered_is_bounded() {
        let mut limits = Limits::default();
        let mut let_through = 0;
        for number in 0..100 {
            let tries = Tries::login(&format!("n{number}"), &format!("10.0.0.{number}"), false);
            let_through += u32::from(limits.take(&tries, 0).is_ok());
        }
        assert_eq!(let_through, OF_STRANGERS.tries);
        let mut now = 0;
        for number in 0..2 * MOST_BUCKETS {
            now += OF_STRANGERS.per_ms;
            let tries = Tries::login(&format!("n{number}"), &format!("10.{}.{}.1", number / 250, number % 250), false);
            assert_eq!(limits.take(&tries, now + 60_000), Ok(()));
        }
        assert!(limits.buckets.len() <= MOST_BUCKETS);
    }
}
