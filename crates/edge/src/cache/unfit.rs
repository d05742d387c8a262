//! What was found to be for one request only, so that such requests pass without a look at the shared store.

use std::cell::RefCell;
use std::time::Duration;

use crate::ticker::{Millis, Ticker};

/// How long that is remembered: a service that begins to allow caching is noticed after this.
const MEMORY: Duration = Duration::from_mins(2);

/// Remembered by one thread; two that fall on one place forget each other, which costs a look.
const PLACES: usize = 1_024;

/// See the module's page. Made when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Unfit(RefCell<Vec<(u64, Millis)>>);

impl Unfit {
    pub(super) fn contains(&self, hash: u64, ticker: &Ticker) -> bool {
        let places = self.0.borrow();
        places.get(place(hash)).is_some_and(|(known, until)| *known == hash && *until > ticker.now())
    }

    pub(super) fn remember(&self, hash: u64, ticker: &Ticker) {
        let mut places = self.0.borrow_mut();
        if places.is_empty() {
            places.resize(PLACES, (0, 0));
        }
        places[place(hash)] = (hash, ticker.after(MEMORY));
    }

    pub(super) fn forget(&self, hash: u64) {
        if let Some(known) = self.0.borrow_mut().get_mut(place(hash))
            && known.0 == hash
        {
            *known = (0, 0);
        }
    }
}

fn place(hash: u64) -> usize {
    usize::try_from(hash % PLACES as u64).unwrap_or(0)
}
