//! A column of floats that no decimal scale fits: what differs between the bits of neighbours, as in Facebook's Gorilla (VLDB 2015, 4.1.2).

use super::bits::{BitReader, BitWriter, Broken};

/// Leading zeros that are told at most: five bits.
const MAX_LEADING: u32 = 31;

/// Appends the values' bits; how many there are is known to who reads them.
pub(super) fn encode(values: &[u64], out: &mut Vec<u8>) {
    let mut bits = BitWriter::new(out);
    let mut before = None;
    // Where the bits that differed last began and ended.
    let mut window: Option<(u32, u32)> = None;
    for value in values {
        let Some(last) = before.replace(*value) else {
            bits.put(*value, 64);
            continue;
        };
        let differing = value ^ last;
        if differing == 0 {
            bits.put(0, 1);
            continue;
        }
        bits.put(1, 1);
        let leading = differing.leading_zeros().min(MAX_LEADING);
        let trailing = differing.trailing_zeros();
        match window {
            Some((lead, trail)) if leading >= lead && trailing >= trail => {
                bits.put(0, 1);
                bits.put(differing >> trail, 64 - lead - trail);
            }
            _ => {
                window = Some((leading, trailing));
                let length = 64 - leading - trailing;
                bits.put(1, 1);
                bits.put(u64::from(leading), 5);
                bits.put(u64::from(length - 1), 6);
                bits.put(differing >> trailing, length);
            }
        }
    }
    bits.finish();
}

/// Takes `count` values.
pub(super) fn decode(bytes: &[u8], count: usize, out: &mut Vec<u64>) -> Result<(), Broken> {
    if count == 0 {
        return Ok(());
    }
    let mut bits = BitReader::new(bytes);
    let mut value = bits.get(64)?;
    out.push(value);
    let (mut trailing, mut length) = (0, 64);
    for _ in 1..count {
        if bits.get(1)? == 1 {
            if bits.get(1)? == 1 {
                let leading = narrow(bits.get(5)?);
                length = narrow(bits.get(6)?) + 1;
                trailing = 64u32.checked_sub(leading + length).ok_or(Broken("more than 64 bits differ"))?;
            }
            value ^= bits.get(length)? << trailing;
        }
        out.push(value);
    }
    Ok(())
}

/// At most six bits.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bits_come_back(values in prop::collection::vec(any::<u64>(), 0..200)) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let mut back = Vec::new();
            decode(&bytes, values.len(), &mut back).unwrap();
            prop_assert_eq!(back, values);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..500) {
            let _ = decode(&bytes, count, &mut Vec::new());
        }
    }
}
