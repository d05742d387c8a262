//! Opening a store: what is on disk, what of it is whole, and what the journal tells again.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, RwLock};

use super::block::Block;
use super::block::writer::UNFINISHED;
use super::disk::Disk;
use super::error::StoreError;
use super::head::{Head, Place};
use super::journal::Journal;
use super::limits::{Limits, MAX_SET_ASIDE};
use super::record::{Definition, Replay, Round};
use super::registry::{Kind, SeriesId};
use super::stats::{Counts, SetAside};
use super::thin::Level;
use super::upkeep::Upkeep;
use super::{Shared, State, Store};
use crate::series::Labels;

/// How names of damaged files end.
const BAD: &str = ".bad";

impl Store {
    /// Opens the store in a folder, which is made if it is not there. What was being written when the process before ended is removed or
    /// cut off, what is damaged is set aside; [`Store::stats`] tells both.
    ///
    /// # Errors
    /// Another process has it open, or the disk does not let read or change what is there.
    pub fn open(folder: &Path, limits: Limits, now_ms: i64) -> Result<Self, StoreError> {
        Self::open_on(Disk::open(folder)?, limits, now_ms)
    }

    pub(super) fn open_on(disk: Disk, limits: Limits, now_ms: i64) -> Result<Self, StoreError> {
        let lock = disk.lock()?;
        let names = disk.names()?;
        for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
            disk.remove(name)?;
        }
        remove_old_bad(&disk, &names)?;
        let mut set_aside = Vec::new();
        let mut blocks = Vec::new();
        let mut head = Head::new();
        for name in &names {
            // Numbers are not used twice, not even that of a block that cannot be read.
            let Some((_, serial)) = block_name(name.strip_suffix(BAD).unwrap_or(name)) else { continue };
            head.next_serial = head.next_serial.max(serial.saturating_add(1));
            if name.ends_with(BAD) {
                continue;
            }
            match Block::open(&disk, name) {
                Ok(block) => blocks.push(Arc::new(block)),
                Err(error @ StoreError::Damaged { .. }) => set_aside.push(put_aside(&disk, name, &error)?),
                Err(error) => return Err(error),
            }
        }
        head.oldest = blocks.iter().map(|block| block.meta.newest).max().unwrap_or(i64::MIN);
        let raw = blocks.iter().filter(|block| block.meta.level == Level::Raw);
        let cut: HashSet<u64> = raw.map(|block| block.meta.serial).collect();
        let mut replaying =
            Replaying { head: &mut head, cut: &cut, limits: &limits, slots: Vec::new(), groups: HashMap::new() };
        let (mut journal, torn) = Journal::open(&disk, &names, &mut replaying)?;
        let live = head.serials();
        journal.release(|serial| live.contains(&serial))?;
        let state = State { head, blocks: Arc::new(blocks) };
        Ok(Self {
            shared: Arc::new(Shared { limits, state: RwLock::new(state) }),
            disk,
            journal,
            upkeep: Upkeep::new(now_ms),
            counts: Counts::default(),
            torn,
            set_aside,
            trouble: [None, None],
            _lock: lock,
        })
    }
}

/// Level and serial of a block by its file's name.
fn block_name(name: &str) -> Option<(Level, u64)> {
    let (rest, serial) = name.strip_suffix(".block")?.rsplit_once('-')?;
    Some((Level::of_name(rest.split_once('-')?.0)?, serial.parse().ok()?))
}

/// Gives a damaged file a name that says so.
pub(super) fn put_aside(disk: &Disk, name: &str, error: &StoreError) -> Result<SetAside, StoreError> {
    disk.rename(name, &format!("{name}{BAD}"))?;
    Ok(SetAside { file: name.to_owned(), why: chain(error) })
}

/// What is said of an error, and why.
fn chain(error: &StoreError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

/// Keeps the newest few: they are for a person, not for ever.
fn remove_old_bad(disk: &Disk, names: &[String]) -> Result<(), StoreError> {
    let mut bad: Vec<(u64, &String)> =
        names.iter().filter_map(|name| Some((block_name(name.strip_suffix(BAD)?)?.1, name))).collect();
    bad.sort();
    let too_many = bad.len().saturating_sub(MAX_SET_ASIDE);
    bad.iter().take(too_many).try_for_each(|(_, name)| disk.remove(name))
}

/// Takes in what the journal tells.
struct Replaying<'a> {
    head: &'a mut Head,
    /// Windows that became blocks before the journal could be cut.
    cut: &'a HashSet<u64>,
    limits: &'a Limits,
    /// What the segment's numbers stand for. A segment says what each stands for before it uses it.
    slots: Vec<Option<SeriesId>>,
    groups: HashMap<u32, String>,
}

impl Replay for Replaying<'_> {
    fn group(&mut self, group: u32, key: &str) {
        self.groups.insert(group, key.to_owned());
    }

    fn series(&mut self, slot: u32, group: u32, definition: &Definition) {
        let labels = Labels::new(definition.labels.iter().map(|(label, value)| (&**label, &**value)));
        let kind = if definition.counter { Kind::Counter } else { Kind::Gauge };
        let Some(group) = self.groups.get(&group) else { return };
        // What is refused now, because limits became tighter, is left out.
        let id = self.head.registry.identify(group, &labels, kind, self.head.oldest, self.limits).ok();
        let slot = slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        self.slots[slot] = id;
    }

    fn round(&mut self, round: &Round<'_>) {
        let Some(group) = self.groups.get(&round.group).and_then(|key| self.head.registry.group_number(key)) else {
            return;
        };
        self.head.next_serial = self.head.next_serial.max(round.window.saturating_add(1));
        if self.cut.contains(&round.window) {
            return;
        }
        let length = Level::Raw.block_ms();
        let place = Place { serial: round.window, from: round.at.div_euclid(length) * length, begins: false };
        let known = |(slot, bits): &(u32, u64)| {
            let id = (*self.slots.get(*slot as usize)?)?;
            self.head.registry.by_id(id).filter(|measured| measured.group == group).map(|_| (id.slot, *bits))
        };
        let samples: Vec<(u32, u64)> = round.samples.iter().filter_map(known).collect();
        self.head.take(place, group, round.at, &samples);
    }
}
