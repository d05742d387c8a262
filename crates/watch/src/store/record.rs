//! One record of the journal: a round of one group, told by what differs from the round before.
//!
//! Writing and reading keep the same state, which begins anew with each segment of the journal: a segment stands for itself.

use std::sync::Arc;

use super::bits::{Broken, ByteReader, put_length, put_signed, put_text, put_varint, unzigzag, zigzag};
use super::limits::{MAX_COLUMN, MAX_LABELS};

/// The group's key comes first, since the segment did not name it yet.
const NEW_GROUP: u8 = 1;
/// The series are those of the group's last round.
const SAME_SERIES: u8 = 2;
/// Tags of values from here on are the difference of whole numbers itself.
const SMALL: u64 = 96;
/// Tags from here to [`SMALL`] say which bytes of the bits differ.
const BYTES: u8 = 16;

/// A round of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round<'a> {
    /// Of the window that it went into.
    pub(super) window: u64,
    pub(super) at: i64,
    /// Number of its group.
    pub(super) group: u32,
    /// Slots and bits.
    pub(super) samples: &'a [(u32, u64)],
}

/// What a segment has to be told of a series before its first value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) counter: bool,
    pub(super) labels: Vec<(Arc<str>, Arc<str>)>,
}

/// Who knows the groups and series that a round speaks of by number.
pub(super) trait Names {
    fn group(&self, group: u32) -> Arc<str>;
    /// Changes when the slot is another series.
    fn generation(&self, slot: u32) -> u32;
    fn series(&self, slot: u32) -> Definition;
}

/// Who is told what was read.
pub(super) trait Replay {
    fn group(&mut self, group: u32, key: &str);
    fn series(&mut self, slot: u32, group: u32, definition: &Definition);
    fn round(&mut self, round: &Round<'_>);
}

/// State of writing or reading a segment.
#[derive(Debug, Default)]
pub(super) struct State {
    at: i64,
    groups: Vec<Option<Told>>,
    series: Vec<Option<Known>>,
    /// The labels that were told last: neighbours share many.
    labels: Vec<(Arc<str>, Arc<str>)>,
}

/// A group, as the segment knows it.
#[derive(Debug)]
struct Told {
    key: Arc<str>,
    slots: Vec<u32>,
}

/// A series, likewise.
#[derive(Debug, Clone, Copy)]
struct Known {
    generation: u32,
    bits: u64,
}

impl State {
    /// Appends the round. The state knows of it from here on, so whoever fails to write it begins a new segment.
    pub(super) fn write(&mut self, round: &Round<'_>, names: &impl Names, out: &mut Vec<u8>) {
        put_varint(out, round.window);
        put_signed(out, round.at.wrapping_sub(self.at));
        self.at = round.at;
        put_varint(out, u64::from(round.group));
        let key = names.group(round.group);
        let told = slot_of(&mut self.groups, round.group);
        let new_group = told.as_ref().is_none_or(|told| told.key != key);
        let told = match told {
            Some(told) if !new_group => told,
            _ => told.insert(Told { key: Arc::clone(&key), slots: Vec::new() }),
        };
        let known = |slot: u32, generation: u32| matches!(self.series.get(slot as usize), Some(Some(known)) if known.generation == generation);
        let same = told.slots.iter().eq(round.samples.iter().map(|(slot, _)| slot))
            && told.slots.iter().all(|slot| known(*slot, names.generation(*slot)));
        out.push(u8::from(new_group) * NEW_GROUP + u8::from(same) * SAME_SERIES);
        if new_group {
            put_text(out, &key);
        }
        if !same {
            told.slots = round.samples.iter().map(|(slot, _)| *slot).collect();
            self.write_series(round.samples, names, out);
        }
        self.write_values(round.samples, out);
    }

    fn write_series(&mut self, samples: &[(u32, u64)], names: &impl Names, out: &mut Vec<u8>) {
        put_length(out, samples.len());
        let mut before = 0;
        for (slot, _) in samples {
            let generation = names.generation(*slot);
            let known = slot_of(&mut self.series, *slot);
            let new = known.is_none_or(|known| known.generation != generation);
            put_varint(out, (zigzag(i64::from(*slot) - before) << 1) | u64::from(new));
            before = i64::from(*slot);
            if new {
                *known = Some(Known { generation, bits: 0 });
                let definition = names.series(*slot);
                let shared = self.labels.iter().zip(&definition.labels).take_while(|(a, b)| a == b).count();
                out.push(u8::from(definition.counter));
                put_length(out, shared);
                put_length(out, definition.labels.len() - shared);
                for (label, value) in &definition.labels[shared..] {
                    put_text(out, label);
                    put_text(out, value);
                }
                self.labels = definition.labels;
            }
        }
    }

    /// Runs of unchanged values, each followed by one that changed.
    fn write_values(&mut self, samples: &[(u32, u64)], out: &mut Vec<u8>) {
        let mut unchanged = 0;
        for (slot, bits) in samples {
            let Some(Some(known)) = self.series.get_mut(*slot as usize) else { continue };
            if known.bits == *bits {
                unchanged += 1;
                continue;
            }
            put_length(out, unchanged);
            unchanged = 0;
            put_change(known.bits, *bits, out);
            known.bits = *bits;
        }
        if unchanged > 0 {
            put_length(out, unchanged);
        }
    }

    /// Tells what a record says. Nothing of it is told if it is not whole.
    pub(super) fn read(&mut self, bytes: &[u8], replay: &mut impl Replay) -> Result<(), Broken> {
        let mut reader = ByteReader::new(bytes);
        let window = reader.varint()?;
        self.at = self.at.wrapping_add(reader.signed()?);
        let group = index(reader.varint()?)?;
        let flags = reader.byte()?;
        if flags & NEW_GROUP != 0 {
            let key = reader.text()?;
            *slot_of(&mut self.groups, group) = Some(Told { key: key.into(), slots: Vec::new() });
            replay.group(group, key);
        }
        let Some(Some(told)) = self.groups.get(group as usize) else { return Err(Broken("an unknown group")) };
        let slots =
            if flags & SAME_SERIES == 0 { self.read_series(&mut reader, group, replay)? } else { told.slots.clone() };
        let samples = self.read_values(&slots, &mut reader)?;
        if let Some(Some(told)) = self.groups.get_mut(group as usize) {
            told.slots = slots;
        }
        replay.round(&Round { window, at: self.at, group, samples: &samples });
        Ok(())
    }

    fn read_series(
        &mut self,
        reader: &mut ByteReader<'_>,
        group: u32,
        replay: &mut impl Replay,
    ) -> Result<Vec<u32>, Broken> {
        let count = reader.length()?;
        if count > MAX_COLUMN {
            return Err(Broken("more series than there can be"));
        }
        let mut slots = Vec::new();
        let mut before = 0;
        for _ in 0..count {
            let told = reader.varint()?;
            before = unzigzag(told >> 1).checked_add(before).ok_or(Broken("a series' number is too large"))?;
            let slot = u64::try_from(before).map_err(|_| Broken("a series' number is negative")).and_then(index)?;
            slots.push(slot);
            if told & 1 == 1 {
                let counter = reader.byte()? != 0;
                let (shared, more) = (reader.length()?, reader.length()?);
                if shared > self.labels.len() || more > MAX_LABELS {
                    return Err(Broken("more labels than there can be"));
                }
                self.labels.truncate(shared);
                for _ in 0..more {
                    self.labels.push((reader.text()?.into(), reader.text()?.into()));
                }
                *slot_of(&mut self.series, slot) = Some(Known { generation: 0, bits: 0 });
                replay.series(slot, group, &Definition { counter, labels: self.labels.clone() });
            }
        }
        Ok(slots)
    }

    fn read_values(&mut self, slots: &[u32], reader: &mut ByteReader<'_>) -> Result<Vec<(u32, u64)>, Broken> {
        let mut samples = Vec::with_capacity(slots.len());
        let mut unchanged = if slots.is_empty() { 0 } else { reader.length()? };
        for (number, slot) in slots.iter().enumerate() {
            let Some(Some(known)) = self.series.get_mut(*slot as usize) else {
                return Err(Broken("an unknown series"));
            };
            if unchanged > 0 {
                unchanged -= 1;
            } else {
                known.bits = get_change(known.bits, reader)?;
                let last = number + 1 == slots.len();
                unchanged = if last || reader.is_empty() { 0 } else { reader.length()? };
            }
            samples.push((*slot, known.bits));
        }
        if reader.is_empty() && unchanged == 0 { Ok(samples) } else { Err(Broken("a round has too many values")) }
    }
}

/// A number of a group or a series: below what would fill the memory.
fn index(number: u64) -> Result<u32, Broken> {
    u32::try_from(number).ok().filter(|number| (*number as usize) < MAX_COLUMN).ok_or(Broken("a number is too large"))
}

fn slot_of<T>(all: &mut Vec<Option<T>>, number: u32) -> &mut Option<T> {
    let number = number as usize;
    if all.len() <= number {
        all.resize_with(number + 1, || None);
    }
    &mut all[number]
}

fn whole(bits: u64) -> Option<i64> {
    let value = f64::from_bits(bits);
    #[expect(clippy::cast_precision_loss, reason = "checked by going back")]
    let back = |number: i64| (number as f64).to_bits() == bits && number.unsigned_abs() < 1 << 53;
    #[expect(clippy::cast_possible_truncation, reason = "checked by going back")]
    Some(value as i64).filter(|number| back(*number))
}

fn put_change(before: u64, bits: u64, out: &mut Vec<u8>) {
    if let (Some(before), Some(number)) = (whole(before), whole(bits)) {
        let difference = zigzag(number - before);
        if let Ok(tag) = u8::try_from(difference.saturating_add(SMALL)) {
            return out.push(tag);
        }
        let length = (u64::BITS - difference.leading_zeros()).div_ceil(8) as usize;
        out.push(u8::try_from(length).unwrap_or(8));
        return out.extend_from_slice(&difference.to_le_bytes()[..length]);
    }
    let differing = before ^ bits;
    let low = (differing.trailing_zeros() / 8).min(7) as usize;
    let high = 8 - (differing.leading_zeros() / 8).min(7) as usize;
    let length = high - low;
    out.push(BYTES + u8::try_from(low * 8 + length - 1).unwrap_or(0));
    out.extend_from_slice(&differing.to_le_bytes()[low..high]);
}

fn get_change(before: u64, reader: &mut ByteReader<'_>) -> Result<u64, Broken> {
    let tag = reader.byte()?;
    let whole_before = || whole(before).ok_or(Broken("a difference from what is no whole number"));
    #[expect(clippy::cast_precision_loss, reason = "what was written is below 2^53")]
    let sum = |difference: u64| -> Result<u64, Broken> {
        Ok((whole_before()?.wrapping_add(unzigzag(difference)) as f64).to_bits())
    };
    if u64::from(tag) >= SMALL {
        return sum(u64::from(tag) - SMALL);
    }
    let mut bytes = [0; 8];
    if tag < BYTES {
        let taken = reader.take(usize::from(tag))?;
        bytes.get_mut(..taken.len()).ok_or(Broken("a difference is too long"))?.copy_from_slice(taken);
        return sum(u64::from_le_bytes(bytes));
    }
    let (low, length) = (usize::from((tag - BYTES) / 8), usize::from((tag - BYTES) % 8) + 1);
    let place = bytes.get_mut(low..low + length).ok_or(Broken("a difference is too long"))?;
    place.copy_from_slice(reader.take(length)?);
    Ok(before ^ u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Numbered;

    impl Names for Numbered {
        fn group(&self, group: u32) -> Arc<str> {
            format!("group {group}").into()
        }
        fn generation(&self, slot: u32) -> u32 {
            slot / 3
        }
        fn series(&self, slot: u32) -> Definition {
            Definition {
                counter: slot.is_multiple_of(2),
                labels: vec![("a".into(), "b".into()), ("slot".into(), slot.to_string().into())],
            }
        }
    }

    /// Window, time, group and samples of a round.
    type Heard = (u64, i64, u32, Vec<(u32, u64)>);

    #[derive(Default)]
    struct Listener {
        rounds: Vec<Heard>,
        wrong: bool,
    }

    impl Replay for Listener {
        fn group(&mut self, group: u32, key: &str) {
            self.wrong |= key != format!("group {group}");
        }
        fn series(&mut self, slot: u32, _: u32, definition: &Definition) {
            self.wrong |= *definition != Numbered.series(slot);
        }
        fn round(&mut self, round: &Round<'_>) {
            self.rounds.push((round.window, round.at, round.group, round.samples.to_vec()));
        }
    }

    fn any_bits() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (-500i32..500).prop_map(|n| f64::from(n).to_bits()),
            (0..40u8).prop_map(|n| (f64::from(n) / 8.0).to_bits())
        ]
    }

    fn any_rounds() -> impl Strategy<Value = Vec<Heard>> {
        let samples = prop::collection::btree_map(0u32..20, any_bits(), 0..20);
        let round = (any::<u64>(), any::<i64>(), 0u32..4, samples);
        let rounds = prop::collection::vec((round, 1usize..4), 0..10);
        // Some come more than once: that is what most rounds are like.
        rounds.prop_map(|rounds| {
            let repeat =
                |((window, at, group, samples), times): ((_, _, _, std::collections::BTreeMap<_, _>), usize)| {
                    vec![(window, at, group, samples.into_iter().collect::<Vec<_>>()); times]
                };
            rounds.into_iter().flat_map(repeat).collect()
        })
    }

    fn written(rounds: &[Heard]) -> Vec<Vec<u8>> {
        let mut state = State::default();
        let write = |(window, at, group, samples): &Heard| {
            let mut bytes = Vec::new();
            state.write(&Round { window: *window, at: *at, group: *group, samples }, &Numbered, &mut bytes);
            bytes
        };
        rounds.iter().map(write).collect()
    }

    proptest! {
        #[test]
        fn rounds_come_back(rounds in any_rounds()) {
            let (mut state, mut heard) = (State::default(), Listener::default());
            for bytes in written(&rounds) {
                state.read(&bytes, &mut heard).unwrap();
            }
            prop_assert!(!heard.wrong);
            prop_assert_eq!(heard.rounds, rounds);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(rounds in any_rounds(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let (mut state, mut heard) = (State::default(), Listener::default());
            for bytes in written(&rounds) {
                state.read(&bytes, &mut heard).unwrap();
            }
            let _ = state.read(&bytes, &mut heard);
        }
    }

    #[test]
    fn a_round_in_which_little_changes_is_small() {
        let samples = |n: u64| {
            (0..200u32)
                .map(|slot| (slot, if slot % 10 == 0 { f64::to_bits(f64::from(u32::try_from(n).unwrap())) } else { 3 }))
                .collect::<Vec<_>>()
        };
        let rounds: Vec<_> = (0..3).map(|n| (1, i64::try_from(n).unwrap() * 10_000, 0, samples(n))).collect();
        assert!(written(&rounds)[2].len() <= 50);
    }
}
