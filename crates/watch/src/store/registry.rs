//! Which series are measured now: their labels, their groups, and how many there may be.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::error::{StoreError, TooManySeries};
use super::limits::{Limits, MAX_GROUP_BYTES, MAX_LABEL_BYTES, MAX_LABELS};
use super::matching::{Tested, fits};
use super::symbols::{Symbol, Symbols};
use crate::series::{Labels, Matcher, NAME, STALE_BITS};

/// Names a series for as long as it is measured. Appending by it needs no look at labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesId {
    pub(super) slot: u32,
    generation: u32,
}

/// What a series measures, which says what is kept of it when it is thinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows until it is reset: counters, and the buckets, sums and counts of histograms.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) symbols: Symbols,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_labels: HashMap<Arc<[(Symbol, Symbol)]>, u32>,
    by_name: HashMap<Symbol, Vec<u32>>,
    groups: Vec<Group>,
    free_groups: Vec<u32>,
    by_key: HashMap<Arc<str>, u32>,
    count: usize,
    /// What fills the store, until a series comes or goes.
    filled_by: Option<Filler>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    series: Option<Measured>,
}

/// A series that is measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) labels: Arc<[(Symbol, Symbol)]>,
    pub(super) name: Symbol,
    pub(super) group: u32,
    pub(super) kind: Kind,
    /// Bits of its newest value; `None` before the first.
    pub(super) last: Option<u64>,
    /// Was asked for since idle ones were last forgotten.
    fresh: bool,
    /// Another group gives these labels now.
    moved: bool,
}

/// What is scraped together, and so shares its times.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Arc<str>,
    /// The time of its newest round.
    pub(super) newest: i64,
    series: usize,
    filled_by: Option<Filler>,
}

/// The metric with the most series, its label with the most values, and how many.
type Filler = (Arc<str>, Arc<str>, usize);

impl Registry {
    /// The series of these labels; a new one, if there is room. `oldest` is what a new group's newest round is taken to be.
    pub(super) fn identify(
        &mut self,
        group: &str,
        labels: &Labels,
        kind: Kind,
        oldest: i64,
        limits: &Limits,
    ) -> Result<SeriesId, StoreError> {
        if let Some(slot) = self.find(labels) {
            let entry = &mut self.slots[slot as usize];
            let measured = entry.series.as_mut().expect("labels lead to series that are there");
            let other = &self.groups[measured.group as usize].key;
            if **other == *group {
                measured.fresh = true;
                return Ok(SeriesId { slot, generation: entry.generation });
            }
            // One that ended may go on elsewhere: the service moved to another slot or machine.
            if measured.last != Some(STALE_BITS) {
                return Err(StoreError::Elsewhere { metric: labels.name().to_owned(), group: other.to_string() });
            }
        }
        check(group, labels)?;
        self.has_room(group, labels.name(), limits)?;
        if let Some(slot) = self.find(labels)
            && let Some(measured) = self.get_mut(slot)
        {
            measured.moved = true;
        }
        Ok(self.insert(group, labels, kind, oldest))
    }

    fn find(&self, labels: &Labels) -> Option<u32> {
        let mut pairs = [(Symbol::default(), Symbol::default()); MAX_LABELS];
        let mut count = 0;
        for (label, value) in labels.iter() {
            *pairs.get_mut(count)? = (self.symbols.find(label)?, self.symbols.find(value)?);
            count += 1;
        }
        self.by_labels.get(&pairs[..count]).copied()
    }

    fn has_room(&mut self, group: &str, refused: &str, limits: &Limits) -> Result<(), StoreError> {
        let refuse = |limit, group: Option<&str>, (metric, label, values): Filler| {
            let (group, refused) = (group.map(str::to_owned), refused.to_owned());
            Err(StoreError::TooManySeries(TooManySeries { limit, group, refused, metric, label, values }))
        };
        if let Some(&number) = self.by_key.get(group)
            && self.groups[number as usize].series >= limits.series_per_group
        {
            if self.groups[number as usize].filled_by.is_none() {
                self.groups[number as usize].filled_by = Some(self.filler(Some(number)));
            }
            let filler = self.groups[number as usize].filled_by.clone().unwrap_or_default();
            return refuse(limits.series_per_group, Some(group), filler);
        }
        if self.count >= limits.series {
            if self.filled_by.is_none() {
                self.filled_by = Some(self.filler(None));
            }
            return refuse(limits.series, None, self.filled_by.clone().unwrap_or_default());
        }
        Ok(())
    }

    fn filler(&self, group: Option<u32>) -> Filler {
        let within = |slot: &u32| self.get(*slot).filter(|measured| group.is_none_or(|group| measured.group == group));
        let Some((name, slots)) =
            self.by_name.iter().max_by_key(|(_, slots)| slots.iter().filter(|slot| within(slot).is_some()).count())
        else {
            return Filler::default();
        };
        let mut values: HashMap<Symbol, HashSet<Symbol>> = HashMap::new();
        for measured in slots.iter().filter_map(within) {
            for (label, value) in measured.labels.iter() {
                values.entry(*label).or_default().insert(*value);
            }
        }
        let most = values.iter().max_by_key(|(_, values)| values.len()).filter(|(_, values)| values.len() > 1);
        let (label, count) = most.map_or(("".into(), 0), |(label, values)| (self.symbols.shared(*label), values.len()));
        (self.symbols.shared(*name), label, count)
    }

    fn insert(&mut self, group: &str, labels: &Labels, kind: Kind, oldest: i64) -> SeriesId {
        let pairs: Arc<[_]> =
            labels.iter().map(|(label, value)| (self.symbols.take(label), self.symbols.take(value))).collect();
        let name = self.symbols.find(labels.name()).expect("was just taken");
        let group = self.group(group, oldest);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("series are limited")
        });
        self.by_labels.insert(Arc::clone(&pairs), slot);
        self.by_name.entry(name).or_default().push(slot);
        self.groups[group as usize].series += 1;
        self.groups[group as usize].filled_by = None;
        self.filled_by = None;
        self.count += 1;
        let entry = &mut self.slots[slot as usize];
        entry.series = Some(Measured { labels: pairs, name, group, kind, last: None, fresh: true, moved: false });
        SeriesId { slot, generation: entry.generation }
    }

    fn group(&mut self, key: &str, oldest: i64) -> u32 {
        if let Some(group) = self.by_key.get(key) {
            return *group;
        }
        let key: Arc<str> = key.into();
        let group = Group { key: Arc::clone(&key), newest: oldest, series: 0, filled_by: None };
        let number = if let Some(number) = self.free_groups.pop() {
            self.groups[number as usize] = group;
            number
        } else {
            self.groups.push(group);
            u32::try_from(self.groups.len() - 1).expect("groups are fewer than series")
        };
        self.by_key.insert(key, number);
        number
    }

    /// Forgets every series that was not asked for since the last time and that `held` does not hold.
    pub(super) fn forget_idle(&mut self, held: impl Fn(u32) -> bool) {
        for slot in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(measured) = &mut self.slots[slot as usize].series else { continue };
            let fresh = std::mem::take(&mut measured.fresh);
            if !fresh && !held(slot) {
                self.remove(slot);
            }
        }
    }

    fn remove(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        let Some(measured) = entry.series.take() else { return };
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        self.count -= 1;
        self.filled_by = None;
        // Another group may have taken the labels over.
        if self.by_labels.get(&measured.labels) == Some(&slot) {
            self.by_labels.remove(&measured.labels);
        }
        if let Some(slots) = self.by_name.get_mut(&measured.name) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.by_name.remove(&measured.name);
            }
        }
        for (label, value) in measured.labels.iter() {
            self.symbols.give_back(*label);
            self.symbols.give_back(*value);
        }
        let group = &mut self.groups[measured.group as usize];
        group.filled_by = None;
        group.series -= 1;
        if group.series == 0 {
            self.by_key.remove(&group.key);
            self.free_groups.push(measured.group);
        }
    }

    /// The series of an id, unless it was forgotten.
    pub(super) fn by_id(&self, id: SeriesId) -> Option<&Measured> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.series.as_ref().filter(|measured| slot.generation == id.generation && !measured.moved)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Measured> {
        self.slots.get(slot as usize)?.series.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Measured> {
        self.slots.get_mut(slot as usize)?.series.as_mut()
    }

    /// Changes whenever another series takes the slot.
    pub(super) fn generation(&self, slot: u32) -> u32 {
        self.slots.get(slot as usize).map_or(0, |slot| slot.generation)
    }

    pub(super) fn group_of(&self, number: u32) -> &Group {
        &self.groups[number as usize]
    }

    pub(super) fn group_mut(&mut self, number: u32) -> &mut Group {
        &mut self.groups[number as usize]
    }

    pub(super) fn group_number(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Labels with their values, sorted by label.
    pub(super) fn pairs<'a>(&'a self, measured: &'a Measured) -> impl Iterator<Item = (&'a str, &'a str)> {
        measured.labels.iter().map(|(label, value)| (self.symbols.text(*label), self.symbols.text(*value)))
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn groups(&self) -> usize {
        self.by_key.len()
    }

    /// Slots that are in use.
    pub(super) fn slots(&self) -> impl Iterator<Item = (u32, &Measured)> {
        (0..).zip(&self.slots).filter_map(|(number, slot)| Some((number, slot.series.as_ref()?)))
    }

    /// Slots of the series that all matchers fit.
    pub(super) fn matching(&self, matchers: &[Matcher]) -> Vec<u32> {
        let mut tests: Vec<Tested<'_, Symbol>> = matchers.iter().map(Tested::new).collect();
        let names: Vec<Symbol> = self
            .by_name
            .keys()
            .copied()
            .filter(|name| {
                let text = self.symbols.text(*name);
                matchers.iter().filter(|matcher| matcher.label == NAME).all(|matcher| fits(matcher, text))
            })
            .collect();
        let mut found = Vec::new();
        for slot in names.iter().filter_map(|name| self.by_name.get(name)).flatten() {
            let fits = self.get(*slot).is_some_and(|measured| {
                tests.iter_mut().all(|test| {
                    let labels = measured.labels.iter();
                    let mut values = labels.filter(|(label, _)| self.symbols.text(*label) == test.label());
                    test.fits(values.next().map(|(_, value)| *value), |value| self.symbols.text(value))
                })
            });
            if fits {
                found.push(*slot);
            }
        }
        found
    }
}

fn check(group: &str, labels: &Labels) -> Result<(), StoreError> {
    let fine = !labels.name().is_empty()
        && group.len() <= MAX_GROUP_BYTES
        && labels.iter().count() <= MAX_LABELS
        && labels.iter().all(|(label, value)| label.len().max(value.len()) <= MAX_LABEL_BYTES);
    if fine { Ok(()) } else { Err(StoreError::BadLabels { metric: labels.name().chars().take(100).collect() }) }
}
