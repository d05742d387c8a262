//! What came last time, in its order, so that the same again costs one comparison each.
//!
//! What is measured hardly changes from one round to the next: the same keys in the same order. As long as that holds, nothing is hashed
//! and nothing allocated. At the first key out of order an index of the last round is made, used for the rest of this one, and thrown
//! away: keeping it would cost more memory than the keys themselves.

use std::collections::HashMap;

/// Keys in their order, each with an id; none for those that were refused.
#[derive(Debug, Clone)]
pub(crate) struct Remembered<I> {
    keys: Vec<u8>,
    slots: Vec<Slot<I>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot<I> {
    /// Where its key ends; it begins where the one before ends. Rounds are far smaller than 4 GiB.
    end: u32,
    id: Option<I>,
    /// The same key came before in the same round.
    again: bool,
}

/// A key that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known<I> {
    pub(crate) id: Option<I>,
    /// It came before in this round.
    pub(crate) again: bool,
}

/// One round, compared with the one before.
#[derive(Debug)]
pub(crate) struct Round<'m, I> {
    old: &'m Remembered<I>,
    /// The old key that is expected next.
    next: usize,
    new: Option<New<'m, I>>,
}

/// A round that differs from the one before.
#[derive(Debug)]
struct New<'m, I> {
    remembered: Remembered<I>,
    /// Places of old keys, of the first one where a key came twice.
    index: HashMap<&'m [u8], usize>,
    seen: Vec<bool>,
    /// Places of those that are not among the old ones.
    fresh: HashMap<Box<[u8]>, usize>,
}

/// How a round ended.
#[derive(Debug)]
pub(crate) struct Finished<I> {
    pub(crate) change: Change<I>,
    /// Ids that came last time and did not come now.
    pub(crate) gone: Vec<I>,
    /// Keys that had not come last time.
    pub(crate) fresh: usize,
}

/// What becomes of what was remembered.
#[derive(Debug)]
pub(crate) enum Change<I> {
    None,
    Shorter(usize),
    Other(Remembered<I>),
}

impl<I> Default for Remembered<I> {
    fn default() -> Self {
        Self { keys: Vec::new(), slots: Vec::new() }
    }
}

impl<I: Copy> Remembered<I> {
    pub(crate) fn round(&self) -> Round<'_, I> {
        Round { old: self, next: 0, new: None }
    }

    pub(crate) fn keep(&mut self, change: Change<I>) {
        match change {
            Change::None => {}
            Change::Shorter(count) => {
                self.keys.truncate(self.begin(count));
                self.slots.truncate(count);
            }
            Change::Other(mut remembered) => {
                remembered.keys.shrink_to_fit();
                remembered.slots.shrink_to_fit();
                *self = remembered;
            }
        }
    }

    /// All ids, each once.
    pub(crate) fn ids(&self) -> impl Iterator<Item = I> {
        self.slots.iter().filter(|slot| !slot.again).filter_map(|slot| slot.id)
    }

    /// Whether there are keys that were refused.
    pub(crate) fn any_refused(&self) -> bool {
        self.slots.iter().any(|slot| slot.id.is_none())
    }

    /// How much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.capacity() + self.slots.capacity() * size_of::<Slot<I>>()
    }

    fn begin(&self, place: usize) -> usize {
        place.checked_sub(1).map_or(0, |before| self.slots[before].end as usize)
    }

    fn key(&self, place: usize) -> &[u8] {
        &self.keys[self.begin(place)..self.slots[place].end as usize]
    }

    fn push(&mut self, key: &[u8], id: Option<I>, again: bool) {
        self.keys.extend_from_slice(key);
        self.slots.push(Slot { end: u32::try_from(self.keys.len()).unwrap_or(u32::MAX), id, again });
    }
}

impl<'m, I: Copy> Round<'m, I> {
    /// The key that came here last time.
    pub(crate) fn expected(&self) -> Option<&'m [u8]> {
        (self.next < self.old.slots.len()).then(|| self.old.key(self.next))
    }

    /// The expected key came.
    pub(crate) fn as_expected(&mut self) -> Option<Known<I>> {
        let slot = self.old.slots.get(self.next)?;
        if let Some(new) = &mut self.new {
            if slot.again || new.seen[self.next] {
                return self.find(self.old.key(self.next));
            }
            new.seen[self.next] = true;
            new.remembered.push(self.old.key(self.next), slot.id, false);
        }
        self.next += 1;
        Some(Known { id: slot.id, again: slot.again })
    }

    /// A key came, expected or not; nothing if it is not known, to be given to [`Self::add`] then.
    pub(crate) fn find(&mut self, key: &[u8]) -> Option<Known<I>> {
        if self.new.is_none() && self.expected() == Some(key) {
            return self.as_expected();
        }
        let old = self.old;
        let new = self.differs();
        let (id, again) = if let Some(place) = new.index.get(key).copied() {
            let again = std::mem::replace(&mut new.seen[place], true);
            // One that was settled in this very round is still refused where it comes again: it has an id from the next round on.
            (old.slots[place].id, again)
        } else {
            (new.remembered.slots[*new.fresh.get(key)?].id, true)
        };
        let place = new.index.get(key).copied();
        new.remembered.push(key, id, again);
        if let (Some(place), false) = (place, again) {
            self.next = place + 1;
        }
        Some(Known { id, again })
    }

    /// Remembers a key that was not known.
    pub(crate) fn add(&mut self, key: &[u8], id: Option<I>) {
        let new = self.differs();
        new.fresh.insert(key.into(), new.remembered.slots.len());
        new.remembered.push(key, id, false);
    }

    /// Gives the key that came last an id.
    pub(crate) fn settle(&mut self, id: I) {
        if let Some(slot) = self.differs().remembered.slots.last_mut() {
            slot.id = Some(id);
        }
    }

    pub(crate) fn finish(self) -> Finished<I> {
        let unseen = |place: &usize| match &self.new {
            Some(new) => !new.seen[*place],
            None => *place >= self.next,
        };
        let all = &self.old.slots;
        let gone = (0..all.len()).filter(|place| !all[*place].again && unseen(place));
        let gone = gone.filter_map(|place| all[place].id).collect();
        let fresh = self.new.as_ref().map_or(0, |new| new.fresh.len());
        let change = match self.new {
            Some(new) => Change::Other(new.remembered),
            None if self.next < all.len() => Change::Shorter(self.next),
            None => Change::None,
        };
        Finished { change, gone, fresh }
    }

    fn differs(&mut self) -> &mut New<'m, I> {
        let (old, next) = (self.old, self.next);
        self.new.get_or_insert_with(|| {
            let count = old.slots.len();
            let mut index = HashMap::with_capacity(count);
            for place in (0..count).filter(|place| !old.slots[*place].again) {
                index.insert(old.key(place), place);
            }
            let remembered =
                Remembered { keys: old.keys[..old.begin(next)].to_vec(), slots: old.slots[..next].to_vec() };
            New { remembered, index, seen: (0..count).map(|place| place < next).collect(), fresh: HashMap::new() }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// Runs a round with ids made by counting, and gives what each key got, and what is gone.
    fn round(remembered: &mut Remembered<u32>, keys: &[&str], count: &mut u32) -> (Vec<(u32, bool)>, Vec<u32>) {
        let mut round = remembered.round();
        let mut got = Vec::new();
        for key in keys {
            let known =
                if round.expected() == Some(key.as_bytes()) { round.as_expected() } else { round.find(key.as_bytes()) };
            got.push(known.map_or_else(
                || {
                    *count += 1;
                    round.add(key.as_bytes(), Some(*count));
                    (*count, false)
                },
                |known| (known.id.expect("an id"), known.again),
            ));
        }
        let Finished { change, gone, .. } = round.finish();
        remembered.keep(change);
        (got, gone)
    }

    #[test]
    fn the_same_again_makes_nothing_new() {
        let (mut remembered, mut count) = (Remembered::default(), 0);
        round(&mut remembered, &["a", "b", "c"], &mut count);
        let before = remembered.bytes();
        assert_eq!(
            round(&mut remembered, &["a", "b", "c"], &mut count),
            (vec![(1, false), (2, false), (3, false)], vec![])
        );
        assert!(remembered.round().new.is_none() && remembered.bytes() == before);
    }

    #[test]
    fn a_refused_key_is_remembered_and_may_be_settled_later() {
        let mut remembered: Remembered<u32> = Remembered::default();
        let mut first = remembered.round();
        assert_eq!(first.find(b"a"), None);
        first.add(b"a", None);
        let change = first.finish().change;
        remembered.keep(change);
        assert!(remembered.any_refused());
        let mut second = remembered.round();
        assert_eq!(second.find(b"a"), Some(Known { id: None, again: false }));
        second.settle(7);
        let change = second.finish().change;
        remembered.keep(change);
        assert_eq!(remembered.ids().collect::<Vec<_>>(), [7]);
    }

    proptest! {
        #[test]
        fn each_key_keeps_its_id_while_it_comes_and_whoever_stays_away_is_gone_once(
            rounds in prop::collection::vec(prop::collection::vec(0..8_usize, 0..12), 1..8)
        ) {
            let names = ["a", "b", "cc", "c", "", "d", "dd", "e"];
            let (mut remembered, mut count) = (Remembered::default(), 0);
            let mut model: BTreeMap<usize, u32> = BTreeMap::new();
            for keys in rounds {
                let before = model.clone();
                let (got, gone) = round(&mut remembered, &keys.iter().map(|key| names[*key]).collect::<Vec<_>>(), &mut count);
                let mut now = BTreeMap::new();
                for (key, (id, again)) in keys.iter().zip(got) {
                    prop_assert_eq!(again, now.contains_key(key));
                    prop_assert_eq!(*now.entry(*key).or_insert_with(|| before.get(key).copied().unwrap_or(id)), id);
                }
                let away: BTreeSet<u32> =
                    before.iter().filter(|(key, _)| !now.contains_key(key)).map(|(_, id)| *id).collect();
                prop_assert_eq!(gone.iter().copied().collect::<BTreeSet<_>>(), away.clone());
                prop_assert_eq!(gone.len(), away.len());
                model = now;
            }
        }
    }
}
