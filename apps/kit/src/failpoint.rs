//! Places at which a test can let the process die, as a power cut would. `MANA_DIE_AT` says where: by a number, at the how-manieth
//! place that it comes to, counted from 1; by a name, when it first comes to the place of that name. Programs built for release
//! have none.
//!
//! To add a place: [`here`] with a name that says where in what it is. Tests that count come past it by themselves; one that dies
//! at it by name fails where nothing of that name is passed.

#[cfg(debug_assertions)]
use std::sync::LazyLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that says at which place the process dies.
#[cfg(debug_assertions)]
const VARIABLE: &str = "MANA_DIE_AT";

/// Where to die.
#[cfg(debug_assertions)]
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// After so many, itself among them.
    Nth(u64),
    Named(String),
}

#[cfg(debug_assertions)]
impl Place {
    fn read(text: String) -> Self {
        text.parse().map_or(Self::Named(text), Self::Nth)
    }

    /// Whether it is this one, of which `passed` came before.
    fn is(&self, name: &str, passed: u64) -> bool {
        match self {
            Self::Nth(n) => passed + 1 == *n,
            Self::Named(chosen) => chosen == name,
        }
    }
}

/// A place; `name` is told on standard error by who dies here.
#[cfg(debug_assertions)]
pub fn here(name: &str) {
    static PLACE: LazyLock<Option<Place>> = LazyLock::new(|| std::env::var(VARIABLE).ok().map(Place::read));
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Some(place) = PLACE.as_ref() else { return };
    if place.is(name, PASSED.fetch_add(1, Ordering::SeqCst)) {
        eprintln!("dies at {name:?}");
        // The real thing: no destructors, no flushing. It cannot fail for one's own process.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing, in programs built for release.
#[cfg(not(debug_assertions))]
#[inline]
pub fn here(_name: &str) {}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_chosen_by_its_number_or_by_its_name() {
        assert_eq!(Place::read("7".into()), Place::Nth(7));
        for (chosen, passed, dies) in [("1", 0, true), ("2", 0, false), ("2", 1, true), ("0", 0, false)] {
            assert_eq!(Place::read(chosen.into()).is("ledger: read", passed), dies, "{chosen} after {passed}");
        }
        let named = Place::read("ledger: read".into());
        assert!(named.is("ledger: read", 5) && !named.is("ledger: written", 5));
    }
}
