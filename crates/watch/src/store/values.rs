//! A column of values: whichever of one constant, whole numbers at a decimal scale, or bare floats takes the fewest bytes.
//!
//! What is no ordinary number (absent, stale, `NaN`, infinite, `-0.0`) is noted beside, in runs, so that it spoils nothing for the rest.
//! Values are their bits everywhere in the store: a float that passes through arithmetic may lose those of a `NaN`.

use super::bits::{Broken, ByteReader, put_length};
use super::{ints, xor};
use crate::series::STALE_BITS;

/// In a round of the target the series had no value. A signalling `NaN` that no program computes; one that comes in as a value is
/// taken as an ordinary `NaN`.
pub(super) const ABSENT: u64 = 0x7ff0_0000_0000_0a5e;
/// Largest power of ten that a value is scaled by: nanoseconds of a second, and three more.
const MAX_SCALE: u8 = 12;
/// Whole numbers below are exact as floats.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
/// Powers of ten; all are exact.
const POWERS: [f64; MAX_SCALE as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
/// Tags of a column's first byte.
const CONSTANT: u8 = 0;
const SCALED: u8 = 1;
const FLOATS: u8 = 2;
/// There are none but strange ones.
const NOTHING: u8 = 3;
/// Strange values come first.
const WITH_STRANGE: u8 = 0x80;

/// A run of one strange value.
struct Run {
    /// Ordinary values and those of other runs before it, counted from the end of the last run.
    gap: usize,
    length: usize,
    bits: u64,
}

/// Appends the values; how many there are is known to who reads them.
pub(super) fn encode(values: &[u64], out: &mut Vec<u8>) {
    let (ordinary, runs) = part(values);
    let flag = if runs.is_empty() { 0 } else { WITH_STRANGE };
    let tag = out.len();
    out.push(flag);
    if !runs.is_empty() {
        put_runs(&runs, out);
    }
    let Some(&first) = ordinary.first() else {
        out[tag] |= NOTHING;
        return;
    };
    if ordinary.iter().all(|value| *value == first) && scaled(&ordinary[..1]).is_none() {
        out[tag] |= CONSTANT;
        out.extend_from_slice(&first.to_le_bytes());
        return;
    }
    let body = out.len();
    if let Some((scale, numbers)) = scaled(&ordinary) {
        out[tag] |= SCALED;
        out.push(scale);
        ints::encode(&numbers, out);
        // Small enough that floats could not do better: one bit each, and the first.
        if out.len() - body <= 9 + ordinary.len() / 8 {
            return;
        }
    }
    let mut floats = Vec::new();
    xor::encode(&ordinary, &mut floats);
    if out.len() == body || floats.len() < out.len() - body {
        out.truncate(body);
        out[tag] = flag | FLOATS;
        out.append(&mut floats);
    }
}

/// Takes `count` values; the bytes hold nothing after them.
pub(super) fn decode(bytes: &[u8], count: usize, out: &mut Vec<u64>) -> Result<(), Broken> {
    if count == 0 {
        return Ok(());
    }
    let mut reader = ByteReader::new(bytes);
    let tag = reader.byte()?;
    if tag & WITH_STRANGE == 0 {
        return ordinary(tag, &mut reader, count, out);
    }
    let (runs, strange) = get_runs(&mut reader, count)?;
    let mut plain = Vec::new();
    ordinary(tag & !WITH_STRANGE, &mut reader, count - strange, &mut plain)?;
    let mut plain = plain.as_slice();
    for run in runs {
        let (before, after) = plain.split_at_checked(run.gap).ok_or(Broken("a run begins after the end"))?;
        out.extend_from_slice(before);
        out.resize(out.len() + run.length, run.bits);
        plain = after;
    }
    out.extend_from_slice(plain);
    Ok(())
}

fn ordinary(tag: u8, reader: &mut ByteReader<'_>, count: usize, out: &mut Vec<u64>) -> Result<(), Broken> {
    match tag {
        CONSTANT => {
            let value = reader.u64()?;
            out.resize(out.len() + count, value);
        }
        SCALED => {
            let scale = usize::from(reader.byte()?);
            let power = *POWERS.get(scale).ok_or(Broken("an unknown scale"))?;
            if scale == 0 {
                // Most are whole, and a division is slow.
                ints::decode(reader, count, |number| unscale(number, 1.0).to_bits(), out)?;
            } else {
                ints::decode(reader, count, |number| unscale(number, power).to_bits(), out)?;
            }
        }
        FLOATS => xor::decode(reader.rest(), count, out)?,
        NOTHING if count == 0 => {}
        _ => return Err(Broken("an unknown kind of column")),
    }
    Ok(())
}

fn is_ordinary(bits: u64) -> bool {
    f64::from_bits(bits).is_finite() && bits != (-0.0f64).to_bits()
}

/// Ordinary values, and the runs of strange ones between them.
fn part(values: &[u64]) -> (Vec<u64>, Vec<Run>) {
    let mut ordinary = Vec::with_capacity(values.len());
    let mut runs: Vec<Run> = Vec::new();
    let mut gap = 0;
    for &bits in values {
        if is_ordinary(bits) {
            ordinary.push(bits);
            gap += 1;
        } else if let Some(run) = runs.last_mut().filter(|run| gap == 0 && run.bits == bits) {
            run.length += 1;
        } else {
            runs.push(Run { gap, length: 1, bits });
            gap = 0;
        }
    }
    (ordinary, runs)
}

fn put_runs(runs: &[Run], out: &mut Vec<u8>) {
    put_length(out, runs.len());
    for run in runs {
        put_length(out, run.gap);
        put_length(out, run.length);
        match run.bits {
            ABSENT => out.push(0),
            STALE_BITS => out.push(1),
            bits => {
                out.push(2);
                out.extend_from_slice(&bits.to_le_bytes());
            }
        }
    }
}

/// The runs, and how many values they hold.
fn get_runs(reader: &mut ByteReader<'_>, count: usize) -> Result<(Vec<Run>, usize), Broken> {
    let known = reader.length()?;
    if known > count {
        return Err(Broken("more runs than values"));
    }
    let mut runs = Vec::with_capacity(known);
    let mut strange = 0usize;
    for _ in 0..known {
        let (gap, length) = (reader.length()?, reader.length()?);
        let bits = match reader.byte()? {
            0 => ABSENT,
            1 => STALE_BITS,
            2 => reader.u64()?,
            _ => return Err(Broken("an unknown strange value")),
        };
        strange =
            strange.checked_add(length).filter(|all| *all <= count).ok_or(Broken("runs are longer than the column"))?;
        runs.push(Run { gap, length, bits });
    }
    Ok((runs, strange))
}

/// The smallest decimal scale at which all are whole, and they at it.
fn scaled(values: &[u64]) -> Option<(u8, Vec<i64>)> {
    let mut scale = 0;
    for bits in values {
        let value = f64::from_bits(*bits);
        while whole(value, POWERS[usize::from(scale)]).is_none() {
            scale += 1;
            if scale > MAX_SCALE {
                return None;
            }
        }
    }
    let power = POWERS[usize::from(scale)];
    let numbers: Option<Vec<i64>> = values.iter().map(|bits| whole(f64::from_bits(*bits), power)).collect();
    Some((scale, numbers?))
}

/// The whole number that gives exactly this value when it is divided by the power.
fn whole(value: f64, power: f64) -> Option<i64> {
    let scaled = value * power;
    if scaled.abs() >= MAX_EXACT {
        return None;
    }
    // Whether it is the right one is seen by going back; `round` would be a call into the C library.
    #[expect(clippy::cast_possible_truncation, reason = "it is below 2^53")]
    let number = (scaled + 0.5f64.copysign(scaled)) as i64;
    (unscale(number, power).to_bits() == value.to_bits()).then_some(number)
}

#[inline]
fn unscale(number: i64, power: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "it was made from a float below 2^53; any other is caught by the checksum"
    )]
    let number = number as f64;
    number / power
}

/// Appends times; how many there are is known to who reads them.
pub(super) fn encode_times(times: &[i64], out: &mut Vec<u8>) {
    ints::encode(times, out);
}

/// Takes `count` times, each after the one before.
pub(super) fn decode_times(bytes: &[u8], count: usize) -> Result<Vec<i64>, Broken> {
    let mut times = Vec::with_capacity(count.min(1 << 16));
    ints::decode(&mut ByteReader::new(bytes), count, |number| number, &mut times)?;
    if times.is_sorted_by(|before, after| before < after) { Ok(times) } else { Err(Broken("times are not in order")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(values: &[u64]) -> usize {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        let mut back = Vec::new();
        decode(&bytes, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
        bytes.len()
    }

    fn any_value() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            any::<f64>().prop_map(f64::to_bits),
            (-1_000_000i32..1_000_000, 0i32..6)
                .prop_map(|(number, scale)| (f64::from(number) / 10f64.powi(scale)).to_bits()),
            prop::sample::select(vec![
                ABSENT,
                STALE_BITS,
                f64::NAN.to_bits(),
                f64::INFINITY.to_bits(),
                f64::NEG_INFINITY.to_bits(),
                0,
                (-0.0f64).to_bits(),
                f64::MIN_POSITIVE.to_bits(),
                f64::MAX.to_bits(),
                9_007_199_254_740_992f64.to_bits(),
                1,
            ]),
        ]
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in prop::collection::vec(any_value(), 0..200)) {
            check(&values);
        }

        #[test]
        fn decimals_come_back(values in prop::collection::vec((-1_000_000i32..1_000_000, 0i32..6), 0..200)) {
            check(&values.iter().map(|(number, scale)| (f64::from(*number) / 10f64.powi(*scale)).to_bits()).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..500) {
            let _ = decode(&bytes, count, &mut Vec::new());
            let _ = decode_times(&bytes, count);
        }
    }

    #[test]
    fn a_constant_is_a_few_bytes_however_long_and_strange_values_cost_no_more_than_their_run() {
        assert!(check(&[12_345f64.to_bits(); 720]) <= 6);
        assert!(check(&[std::f64::consts::PI.to_bits(); 720]) <= 9);
        let mut values = vec![3f64.to_bits(); 720];
        values[100..400].fill(ABSENT);
        values[99] = STALE_BITS;
        assert!(check(&values) <= 14);
        assert!(check(&[ABSENT; 720]) <= 7);
    }

    #[test]
    fn decimals_are_kept_as_whole_numbers() {
        // CPU seconds of a process: hundredths, one or two more each time.
        let mut hundredths = 123_456;
        let values: Vec<u64> = (0..720)
            .map(|n| {
                hundredths += 1 + n % 2;
                (f64::from(hundredths) / 100.0).to_bits()
            })
            .collect();
        assert!(check(&values) < 720 / 2);
    }
}
