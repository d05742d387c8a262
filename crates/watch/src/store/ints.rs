//! A column of whole numbers: divided by what divides all their distances, predicted, and what the prediction missed in Rice codes.

use super::bits::{BitReader, BitWriter, Broken, ByteReader, put_signed, put_varint, unzigzag, zigzag};

/// Values that share a Rice parameter: few enough that a quiet stretch costs its one bit, enough that the parameter is cheap.
const BLOCK: usize = 32;
/// Ones after which a value follows as it is.
const ESCAPE: u32 = 20;
/// Bits of a Rice parameter.
const PARAMETER_BITS: u32 = 6;
/// Largest Rice parameter.
const MAX_PARAMETER: u32 = 63;

/// How the next number is guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    /// All lie around one number.
    Level = 0,
    /// Each grows by the same.
    Growth = 1,
    /// Each grows as the one before did.
    Pace = 2,
}

/// Appends the numbers; how many there are is known to who reads them.
pub(super) fn encode(numbers: &[i64], out: &mut Vec<u8>) {
    let Some((&first, rest)) = numbers.split_first() else { return };
    let (divisor, steps) = divided(first, rest);
    put_signed(out, first);
    put_varint(out, divisor.cast_unsigned());
    if divisor == 0 {
        return; // All are the same.
    }
    let (guess, base, missed) = best(&steps);
    out.push(guess as u8);
    put_signed(out, base);
    let mut bits = BitWriter::new(out);
    for block in missed.chunks(BLOCK) {
        put_block(block, &mut bits);
    }
    bits.finish();
}

/// Appends what `of` makes of each of `count` numbers.
pub(super) fn decode<T: Clone>(
    reader: &mut ByteReader<'_>,
    count: usize,
    of: impl Fn(i64) -> T,
    out: &mut Vec<T>,
) -> Result<(), Broken> {
    if count == 0 {
        return Ok(());
    }
    let first = reader.signed()?;
    let divisor = reader.varint()?.cast_signed();
    out.push(of(first));
    if divisor == 0 {
        out.resize(out.len() + count - 1, of(first));
        return Ok(());
    }
    let guess = reader.byte()?;
    let base = reader.signed()?;
    let mut bits = BitReader::new(reader.rest());
    let (mut level, mut growth) = (0i64, 0i64);
    let mut left = count - 1;
    while left > 0 {
        // What was missed, which becomes the numbers in place.
        let mut block = [0i64; BLOCK];
        let block = &mut block[..left.min(BLOCK)];
        if let Some(parameter) = block_parameter(&mut bits)? {
            for missed in block.iter_mut() {
                *missed = unzigzag(get_rice(&mut bits, parameter)?);
            }
        }
        for number in block.iter_mut() {
            match guess {
                0 => level = base.wrapping_add(*number),
                1 => level = level.wrapping_add(base).wrapping_add(*number),
                2 => {
                    growth = growth.wrapping_add(*number);
                    level = level.wrapping_add(growth);
                }
                _ => return Err(Broken("an unknown guess")),
            }
            *number = first.wrapping_add(level.wrapping_mul(divisor));
        }
        out.extend(block.iter().map(|number| of(*number)));
        left -= block.len();
    }
    Ok(())
}

/// What divides all distances from the first number, and the distances divided by it.
fn divided(first: i64, rest: &[i64]) -> (i64, Vec<i64>) {
    let distances: Option<Vec<i64>> = rest.iter().map(|number| number.checked_sub(first)).collect();
    if let Some(distances) = distances
        && let divisor = distances.iter().fold(0, |divisor, distance| common_divisor(divisor, distance.unsigned_abs()))
        && let Ok(divisor) = i64::try_from(divisor)
    {
        let steps =
            if divisor < 2 { distances } else { distances.into_iter().map(|distance| distance / divisor).collect() };
        return (divisor, steps);
    }
    // Too far from each other for a number with a sign. Wrapped ones come back as they were, but cannot be divided.
    (1, rest.iter().map(|number| number.wrapping_sub(first)).collect())
}

/// The guess that costs the fewest bits, its base, and by how much it missed.
fn best(steps: &[i64]) -> (Guess, i64, Vec<u64>) {
    let growths: Vec<i64> = differences(steps);
    let centred = |numbers: &[i64], base: i64| -> Vec<u64> {
        numbers.iter().map(|number| zigzag(number.wrapping_sub(base))).collect()
    };
    let level = middle(steps);
    let growth = middle(&growths);
    let mut choices = vec![(Guess::Growth, 0, centred(&growths, 0)), (Guess::Level, level, centred(steps, level))];
    if growth != 0 {
        choices.push((Guess::Growth, growth, centred(&growths, growth)));
    }
    choices.push((Guess::Pace, 0, centred(&differences(&growths), 0)));
    choices.into_iter().min_by_key(|(_, _, missed)| cost(missed)).unwrap_or((Guess::Growth, 0, Vec::new()))
}

fn differences(numbers: &[i64]) -> Vec<i64> {
    std::iter::once(&0).chain(numbers).zip(numbers).map(|(before, number)| number.wrapping_sub(*before)).collect()
}

/// The median: outliers do not move it.
fn middle(numbers: &[i64]) -> i64 {
    let mut sorted = numbers.to_vec();
    let half = sorted.len() / 2;
    if half >= sorted.len() {
        return 0;
    }
    *sorted.select_nth_unstable(half).1
}

/// Bits that all blocks take.
fn cost(missed: &[u64]) -> u64 {
    missed.chunks(BLOCK).map(|block| parameter_of(block).1).sum()
}

/// The best Rice parameter (`None`: all are zero), and the bits that the block takes.
fn parameter_of(block: &[u64]) -> (Option<u32>, u64) {
    let largest = block.iter().copied().max().unwrap_or(0);
    if largest == 0 {
        return (None, 1);
    }
    let sum: u128 = block.iter().map(|value| u128::from(*value)).sum();
    let mean = sum / block.len() as u128;
    // Near the mean's logarithm; both neighbours are tried, because a few outliers move the mean.
    let near = u128::BITS - mean.leading_zeros();
    let bits_with = |parameter: u32| -> u64 { block.iter().map(|value| u64::from(rice_bits(*value, parameter))).sum() };
    (near.saturating_sub(2)..=near.min(MAX_PARAMETER))
        .map(|parameter| (Some(parameter), 1 + u64::from(PARAMETER_BITS) + bits_with(parameter)))
        .min_by_key(|(_, bits)| *bits)
        .unwrap_or((Some(0), u64::MAX))
}

fn rice_bits(value: u64, parameter: u32) -> u32 {
    let ones = value >> parameter;
    if ones >= u64::from(ESCAPE) { ESCAPE + 64 } else { u32::try_from(ones).unwrap_or(ESCAPE) + 1 + parameter }
}

fn put_block(block: &[u64], bits: &mut BitWriter<'_>) {
    let Some(parameter) = parameter_of(block).0 else { return bits.put(0, 1) };
    bits.put(1, 1);
    bits.put(u64::from(parameter), PARAMETER_BITS);
    for value in block {
        match u32::try_from(value >> parameter) {
            Ok(ones) if ones < ESCAPE => {
                bits.unary(ones);
                bits.put(value & ((1 << parameter) - 1), parameter);
            }
            _ => {
                bits.put((1 << ESCAPE) - 1, ESCAPE);
                bits.put(*value, 64);
            }
        }
    }
}

fn block_parameter(bits: &mut BitReader<'_>) -> Result<Option<u32>, Broken> {
    if bits.get(1)? == 0 {
        return Ok(None);
    }
    let parameter = bits.get(PARAMETER_BITS)?;
    Ok(Some(u32::try_from(parameter).unwrap_or(MAX_PARAMETER)))
}

#[inline]
fn get_rice(bits: &mut BitReader<'_>, parameter: u32) -> Result<u64, Broken> {
    if let Some((ones, value)) = bits.unary_and(ESCAPE, parameter) {
        return Ok((u64::from(ones) << parameter) | value);
    }
    let ones = bits.unary(ESCAPE)?;
    if ones == ESCAPE {
        return bits.get(64);
    }
    Ok((u64::from(ones) << parameter) | bits.get(parameter)?)
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(numbers: &[i64]) -> usize {
        let mut bytes = Vec::new();
        encode(numbers, &mut bytes);
        let mut back = Vec::new();
        decode(&mut ByteReader::new(&bytes), numbers.len(), |number| number, &mut back).unwrap();
        assert_eq!(back, numbers);
        bytes.len()
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(numbers in prop::collection::vec(any::<i64>(), 0..200)) {
            check(&numbers);
        }

        #[test]
        fn numbers_with_a_common_divisor_come_back(
            numbers in prop::collection::vec(-1_000i64..1_000, 0..200), divisor in 1i64..1_000_000, first in -1_000_000_000i64..1_000_000_000,
        ) {
            check(&numbers.iter().map(|number| first + number * divisor).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..500) {
            let mut out = Vec::new();
            let _ = decode(&mut ByteReader::new(&bytes), count, |number| number, &mut out);
            prop_assert!(out.len() <= count);
        }
    }

    #[test]
    fn the_ends_of_the_range_come_back() {
        check(&[i64::MIN, i64::MAX, 0, -1, i64::MIN]);
        check(&[0, i64::MIN, 0, i64::MIN]);
        check(&[i64::MAX, i64::MIN]);
    }

    #[test]
    fn what_stands_still_or_grows_evenly_costs_next_to_nothing() {
        assert!(check(&[1_000_000; 720]) <= 5);
        assert!(check(&(0..720).map(|n| n * 4096).collect::<Vec<_>>()) <= 12);
        // One step in the middle: a block's parameter and its 32 values.
        assert!(check(&(0..720).map(|n| i64::from(n > 400)).collect::<Vec<_>>()) <= 16);
    }
}
