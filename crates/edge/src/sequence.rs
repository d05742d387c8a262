//! Which slot a route's next request goes to: weights, spread as evenly as they can be and exact.
//!
//! Smooth weighted round robin (as in nginx), worked out once for each snapshot into a cycle of slot indices. All
//! threads walk the same cycle through one counter, so shares are exact over all of them together and not only on
//! average: the gates of a canary count on it. The counter is touched only by routes that have more than one slot to
//! choose from.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Longest cycle. Weights that do not reduce to a smaller sum are rounded to parts of this.
const MAX_CYCLE: u64 = 1_000;

/// A cycle of slot indices and the place in it.
#[derive(Debug)]
pub(crate) struct Sequence {
    cycle: Vec<u16>,
    /// Each slot's share, as the end of its range in a cycle in which each comes all at once.
    ends: Vec<(u16, u64)>,
    /// Shared with the sequence of the next snapshot when its cycle is the same: a new snapshot does not start over.
    next: Arc<AtomicUsize>,
}

impl Sequence {
    /// Of `(slot index, weight)`; weights of zero get nothing.
    pub(crate) fn new(weights: &[(u16, u32)]) -> Self {
        let parts = parts(weights);
        let ends = parts.iter().scan(0, |end, (slot, part)| {
            *end += part;
            Some((*slot, *end))
        });
        Self { cycle: cycle(&parts), ends: ends.collect(), next: Arc::default() }
    }

    /// The slot of the next request; `None` when there is nothing to choose from.
    pub(crate) fn next(&self) -> Option<u16> {
        match self.cycle.as_slice() {
            [] => None,
            [only] => Some(*only),
            // The counter wraps after 2^64 requests.
            cycle => Some(cycle[self.next.fetch_add(1, Ordering::Relaxed) % cycle.len()]),
        }
    }

    /// The slot in whose range a place is.
    pub(crate) fn at(&self, place: u64) -> Option<u16> {
        let (_, all) = self.ends.last()?;
        let part = (u128::from(place) * u128::from(*all)) >> 64;
        self.ends.iter().find(|(_, end)| part < u128::from(*end)).map(|(slot, _)| *slot)
    }

    /// A place in the range of a slot, by chance.
    pub(crate) fn place_in(&self, slot: u16, chance: u64) -> Option<u64> {
        let (_, all) = self.ends.last()?;
        let at = self.ends.iter().position(|(own, _)| *own == slot)?;
        let from = if at == 0 { 0 } else { self.ends[at - 1].1 };
        let parts = self.ends[at].1 - from;
        // Rounded up, so that it is not just before the range; the lowest bits are left out, so that it is not just behind it.
        let chance = u128::from(chance & !0xffff);
        let place = ((u128::from(from) << 64) + chance * u128::from(parts)).div_ceil(u128::from(*all));
        u64::try_from(place).ok()
    }

    /// Slots that get anything, each once.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u16> {
        let mut slots = self.cycle.clone();
        slots.sort_unstable();
        slots.dedup();
        slots.into_iter()
    }

    /// Goes on where `before` is, if it is the same cycle.
    pub(crate) fn go_on_from(&mut self, before: &Self) {
        if self.cycle == before.cycle {
            self.next = Arc::clone(&before.next);
        }
    }
}

/// Weights in lowest terms, their sum at most [`MAX_CYCLE`].
fn parts(weights: &[(u16, u32)]) -> Vec<(u16, u64)> {
    let positive = weights.iter().filter(|(_, weight)| *weight > 0);
    let common = positive.clone().fold(0, |common, (_, weight)| gcd(common, u64::from(*weight)));
    let reduced: Vec<_> = positive.map(|(slot, weight)| (*slot, u64::from(*weight) / common)).collect();
    let sum: u64 = reduced.iter().map(|(_, part)| part).sum();
    if sum <= MAX_CYCLE {
        return reduced;
    }
    // A slot with any weight keeps at least one part: a canary of a tenth of a per mille is still a canary.
    reduced.into_iter().map(|(slot, part)| (slot, ((part * MAX_CYCLE + sum / 2) / sum).max(1))).collect()
}

fn cycle(parts: &[(u16, u64)]) -> Vec<u16> {
    let sum: u64 = parts.iter().map(|(_, part)| part).sum();
    let sum = i64::try_from(sum).unwrap_or(i64::MAX);
    let mut standing = vec![0_i64; parts.len()];
    (0..sum)
        .filter_map(|_| {
            for (standing, (_, part)) in standing.iter_mut().zip(parts) {
                *standing += i64::try_from(*part).unwrap_or(i64::MAX);
            }
            // The first of the highest: stable, so that equal snapshots give equal cycles.
            let (best, _) = standing.iter().enumerate().rev().max_by_key(|(_, standing)| **standing)?;
            standing[best] -= sum;
            Some(parts[best].0)
        })
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares over one thousand requests.
    fn shares(weights: &[(u16, u32)]) -> Vec<usize> {
        let sequence = Sequence::new(weights);
        let mut shares = vec![0; weights.len()];
        for _ in 0..1_000 {
            if let Some(slot) = sequence.next() {
                shares[usize::from(slot)] += 1;
            }
        }
        shares
    }

    #[test]
    fn shares_are_exact_over_a_thousand_requests() {
        assert_eq!(shares(&[(0, 90), (1, 10)]), [900, 100]);
        assert_eq!(shares(&[(0, 99), (1, 1)]), [990, 10]);
        assert_eq!(shares(&[(0, 999), (1, 1)]), [999, 1]);
        assert_eq!(shares(&[(0, 1), (1, 1)]), [500, 500]);
        assert_eq!(shares(&[(0, 0), (1, 7)]), [0, 1_000]);
        assert_eq!(shares(&[(0, 100), (1, 0)]), [1_000, 0]);
        assert_eq!(shares(&[(0, 5), (1, 3), (2, 2)]), [500, 300, 200]);
        assert_eq!(shares(&[(0, 0), (1, 0)]), [0, 0]);
        assert_eq!(shares(&[]), [0; 0]);
        assert_eq!(shares(&[(0, u32::MAX), (1, 1)]), [1_000 - 1, 1]);
    }

    #[test]
    fn places_are_shared_by_weight_and_lead_back_to_their_slot() {
        let sequence = Sequence::new(&[(0, 90), (1, 9), (2, 0), (3, 1)]);
        let mut shares = [0; 4];
        for step in 0..10_000_u64 {
            // The middle of each ten-thousandth.
            let place = step * (u64::MAX / 10_000) + u64::MAX / 20_000;
            shares[usize::from(sequence.at(place).unwrap())] += 1;
        }
        assert_eq!(shares, [9_000, 900, 0, 100]);
        for slot in [0, 1, 3] {
            for chance in [0, 1, u64::MAX / 3, u64::MAX - 1, u64::MAX] {
                let place = sequence.place_in(slot, chance).unwrap();
                assert_eq!(sequence.at(place), Some(slot), "{chance}");
            }
        }
        assert_eq!((sequence.place_in(2, 0), Sequence::new(&[]).at(0)), (None, None));
    }

    #[test]
    fn who_is_on_a_growing_slot_stays_there() {
        let places: Vec<_> = (0..1_000_u64).map(|step| step * (u64::MAX / 1_000)).collect();
        let mut before = Vec::new();
        for weight in [1, 5, 25, 50, 100] {
            let sequence = Sequence::new(&[(0, 100 - weight), (1, weight)]);
            let now: Vec<_> = places.iter().filter(|place| sequence.at(**place) == Some(1)).copied().collect();
            assert!(before.iter().all(|place| now.contains(place)), "{weight}");
            before = now;
        }
    }

    #[test]
    fn a_small_share_is_spread_and_not_bunched() {
        let sequence = Sequence::new(&[(0, 80), (1, 20)]);
        let picks: Vec<_> = (0..20).filter_map(|_| sequence.next()).collect();
        let places: Vec<_> = picks.iter().enumerate().filter(|(_, slot)| **slot == 1).map(|(place, _)| place).collect();
        assert_eq!(places.len(), 4);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] == 5), "{places:?}");
    }

    #[test]
    fn the_same_weights_go_on_where_the_last_snapshot_was() {
        let weights = [(0, 99), (1, 1)];
        let mut sequence = Sequence::new(&weights);
        let mut canary = 0;
        for _ in 0..1_000 {
            let mut after = Sequence::new(&weights);
            after.go_on_from(&sequence);
            sequence = after;
            canary += usize::from(sequence.next() == Some(1));
        }
        assert_eq!(canary, 10, "a snapshot with every request must not starve the small slot");
    }
}
