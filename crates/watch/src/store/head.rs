//! What is in memory: the series that are measured, and the windows that are in no block yet. Decides which rounds are taken.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::limits::{CLOCK_SET_BACK_MS, MAX_TIME_MS, MAX_WINDOWS};
use super::record::{Definition, Names};
use super::registry::{Kind, Measured, Registry};
use super::thin::Level;
use super::values::ABSENT;
use super::window::{Column, Window};
use crate::series::{Matcher, Sample};

/// See the module's page.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) registry: Registry,
    /// In the order in which they were begun.
    pub(super) windows: Vec<Window>,
    pub(super) next_serial: u64,
    /// The newest sample of all blocks: what a group that is not known has been measured until, for all that is known.
    pub(super) oldest: i64,
    /// Samples of windows that were given up, because no block could be written for hours.
    pub(super) given_up: u64,
}

/// What a series has in memory: taken out as it lies there, so that it is decoded when the head is no longer held.
pub(super) struct Held {
    pub(super) key: Vec<u8>,
    pub(super) counter: bool,
    /// Times and values of each window, the oldest window first.
    parts: Vec<(Rc<[i64]>, Column)>,
}

/// Where a round goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) serial: u64,
    pub(super) from: i64,
    pub(super) begins: bool,
}

/// Why a round is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is older than the newest of its group.
    Late,
    /// Its group has a round each second already.
    Crowded,
}

impl Head {
    pub(super) fn new() -> Self {
        Self { registry: Registry::default(), windows: Vec::new(), next_serial: 1, oldest: i64::MIN, given_up: 0 }
    }

    /// Where a round of the group at this time goes.
    ///
    /// Times of a group go forward. One that is a little older than the newest came late and is refused; one that is far older was
    /// measured by a clock that has been set back, and goes into a window of its own where the one of its time has newer rounds. So a
    /// clock that was in the future stops nothing for longer than [`CLOCK_SET_BACK_MS`], and what it measured stays in its future.
    pub(super) fn place(&self, group: u32, at: i64) -> Result<Place, Refused> {
        let newest = self.registry.group_of(group).newest;
        if !(-MAX_TIME_MS..=MAX_TIME_MS).contains(&at) {
            return Err(Refused::Late);
        }
        if at < newest && newest.saturating_sub(at) < CLOCK_SET_BACK_MS {
            return Err(Refused::Late);
        }
        let from = at.div_euclid(Level::Raw.block_ms()) * Level::Raw.block_ms();
        let fits = |window: &&Window| {
            window.from == from && !window.closed && window.times(group).last().is_none_or(|last| *last <= at)
        };
        match self.windows.iter().rev().find(fits) {
            None => Ok(Place { serial: self.next_serial, from, begins: true }),
            Some(window) if window.has_room(group, at) => Ok(Place { serial: window.serial, from, begins: false }),
            Some(_) => Err(Refused::Crowded),
        }
    }

    /// Whether the series has a value at this time, the newest of its group.
    pub(super) fn has(&self, place: Place, group: u32, slot: u32, at: i64) -> bool {
        self.window(place.serial).is_some_and(|window| window.has(group, slot, at))
    }

    pub(super) fn window(&self, serial: u64) -> Option<&Window> {
        self.windows.iter().find(|window| window.serial == serial)
    }

    /// Takes a round in, where it was placed.
    pub(super) fn take(&mut self, place: Place, group: u32, at: i64, samples: &[(u32, u64)]) {
        if self.window(place.serial).is_none() {
            self.next_serial = self.next_serial.max(place.serial + 1);
            self.windows.push(Window::new(place.serial, place.from));
            while self.windows.len() > MAX_WINDOWS {
                self.given_up += self.windows.remove(0).samples;
            }
        }
        let Some(window) = self.windows.iter_mut().find(|window| window.serial == place.serial) else { return };
        for (slot, bits) in samples {
            window.push(group, *slot, at, *bits);
            if let Some(measured) = self.registry.get_mut(*slot) {
                measured.last = Some(*bits);
            }
        }
        self.registry.group_mut(group).newest = at;
    }

    /// Takes a window out, and forgets the series that are in no other.
    pub(super) fn remove(&mut self, serial: u64) {
        self.windows.retain(|window| window.serial != serial);
        let windows = &self.windows;
        self.registry.forget_idle(|slot| windows.iter().any(|window| window.column(slot).is_some()));
    }

    /// What is there of the series that all matchers fit around the time, in the order of their keys.
    pub(super) fn held(&self, matchers: &[Matcher], from: i64, to: i64) -> Vec<Held> {
        // Series of a group share their times.
        let mut shared: HashMap<(u64, u32), Rc<[i64]>> = HashMap::new();
        let mut found = Vec::new();
        for slot in self.registry.matching(matchers) {
            let Some(measured) = self.registry.get(slot) else { continue };
            let mut parts = Vec::new();
            for window in &self.windows {
                let times = window.times(measured.group);
                let within =
                    times.first().is_some_and(|first| *first <= to) && times.last().is_some_and(|last| *last >= from);
                let Some(column) = window.column(slot).filter(|_| within) else { continue };
                let times = shared.entry((window.serial, measured.group)).or_insert_with(|| times.into());
                parts.push((Rc::clone(times), column.clone()));
            }
            if !parts.is_empty() {
                let mut key = Vec::new();
                self.key(measured, &mut key);
                found.push(Held { key, counter: measured.kind == Kind::Counter, parts });
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found
    }

    /// Whether a window has anything of the series within the time.
    pub(super) fn has_within(&self, slot: u32, measured: &Measured, from: i64, to: i64) -> bool {
        self.windows.iter().filter(|window| window.column(slot).is_some()).any(|window| {
            let times = window.times(measured.group);
            times.first().is_some_and(|first| *first <= to) && times.last().is_some_and(|last| *last >= from)
        })
    }

    /// Serials of all windows.
    pub(super) fn serials(&self) -> HashSet<u64> {
        self.windows.iter().map(|window| window.serial).collect()
    }

    /// Writes the key of a series.
    pub(super) fn key(&self, measured: &Measured, key: &mut Vec<u8>) {
        super::key::write(self.registry.symbols.text(measured.name), self.registry.pairs(measured), key);
    }
}

impl Held {
    /// Appends the samples within the time.
    pub(super) fn read(&self, from: i64, to: i64, out: &mut Vec<Sample>) {
        for (times, column) in &self.parts {
            let rounds = times.partition_point(|at| *at < from)..times.partition_point(|at| *at <= to);
            let (first, values) = column.values(rounds.clone());
            let taken = (first..).zip(values).filter(|(round, bits)| rounds.contains(round) && *bits != ABSENT);
            out.extend(taken.map(|(round, bits)| Sample { at: times[round], value: f64::from_bits(bits) }));
        }
    }
}

impl Names for Head {
    fn group(&self, group: u32) -> Arc<str> {
        Arc::clone(&self.registry.group_of(group).key)
    }

    fn generation(&self, slot: u32) -> u32 {
        self.registry.generation(slot)
    }

    fn series(&self, slot: u32) -> Definition {
        let Some(measured) = self.registry.get(slot) else { return Definition { counter: false, labels: Vec::new() } };
        let symbols = &self.registry.symbols;
        let labels = measured.labels.iter().map(|(label, value)| (symbols.shared(*label), symbols.shared(*value)));
        Definition { counter: measured.kind == Kind::Counter, labels: labels.collect() }
    }
}
