//! The chunk of a series that is being filled, by which most of what is measured is held: so values that say little take little.

use super::limits::CHUNK;
use super::values::ABSENT;

/// Instead of how much more it is, where there is no value.
const NOTHING: i32 = i32::MIN;

/// See the module's page.
#[derive(Debug, Clone)]
pub(super) enum Filling {
    /// The same value over and over.
    Run { bits: u64, count: usize },
    /// Whole numbers, by how much they are more than `base`; [`CHUNK`] at most, as of others.
    Whole { base: i64, more: Vec<i32> },
    /// Different ones.
    Values(Vec<u64>),
}

impl Filling {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Run { count, .. } => *count,
            Self::Whole { more, .. } => more.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Adds its values.
    pub(super) fn add_to(&self, found: &mut Vec<u64>) {
        match self {
            Self::Run { bits, count } => found.resize(found.len() + count, *bits),
            Self::Whole { base, more } => {
                let value = |more: &i32| if *more == NOTHING { ABSENT } else { value_of(base + i64::from(*more)) };
                found.extend(more.iter().map(value));
            }
            Self::Values(values) => found.extend_from_slice(values),
        }
    }

    /// Whether another chunk begins with this value.
    pub(super) fn is_full_for(&self, bits: u64) -> bool {
        self.len() >= CHUNK && !matches!(self, Self::Run { bits: run, .. } if *run == bits)
    }

    /// Bytes that it takes beside itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Run { .. } => 0,
            Self::Whole { more, .. } => more.capacity() * size_of::<i32>(),
            Self::Values(values) => values.capacity() * size_of::<u64>(),
        }
    }

    /// Takes a value, where it is not full for that.
    pub(super) fn push(&mut self, bits: u64) {
        match self {
            Self::Run { bits: run, count } if *count == 0 || *run == bits => {
                *run = bits;
                *count += 1;
                return;
            }
            Self::Values(values) => return values.push(bits),
            Self::Whole { base, more } => {
                if let Some(one) = more_than(*base, bits) {
                    return more.push(one);
                }
            }
            Self::Run { bits: run, count } => {
                // What is absent says nothing of what comes.
                let base = whole(*run).or_else(|| whole(bits));
                if let Some(base) = base
                    && let (Some(first), Some(one)) = (more_than(base, *run), more_than(base, bits))
                {
                    let mut more = Vec::with_capacity(CHUNK);
                    more.resize(*count, first);
                    more.push(one);
                    *self = Self::Whole { base, more };
                    return;
                }
            }
        }
        let mut values = Vec::with_capacity(CHUNK);
        self.add_to(&mut values);
        values.push(bits);
        *self = Self::Values(values);
    }
}

impl Default for Filling {
    fn default() -> Self {
        Self::Run { bits: 0, count: 0 }
    }
}

/// The whole number that a value is, where it is one and comes back as the same bits.
fn whole(bits: u64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "what is cut off, or no number, comes back as another one")]
    let number = f64::from_bits(bits) as i64;
    (value_of(number) == bits).then_some(number)
}

/// Its bits as a value.
pub(super) fn value_of(number: i64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "it was a value")]
    let value = number as f64;
    value.to_bits()
}

/// By how much a value is more than `base`, where that can be held.
fn more_than(base: i64, bits: u64) -> Option<i32> {
    if bits == ABSENT {
        return Some(NOTHING);
    }
    let more = i32::try_from(whole(bits)?.checked_sub(base)?).ok()?;
    (more != NOTHING).then_some(more)
}
