//! Bytes of varying length and single bits, least significant first. Reading never panics: what ends too early is [`Broken`].

#![expect(clippy::cast_possible_truncation, reason = "bits are taken off numbers on purpose")]

/// Bytes that do not say what they should. Where and of what file is added by who read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not what was written: {0}")]
pub struct Broken(pub(super) &'static str);

/// Appends bits to bytes.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    waiting: u64,
    used: u32,
}

/// Takes bits off bytes.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits above `have` are zero, or those that the next refill brings again.
    waiting: u64,
    have: u32,
}

/// Takes whole values off bytes.
#[derive(Clone, Copy)]
pub(super) struct ByteReader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, waiting: 0, used: 0 }
    }

    /// The lowest `bits` of a value that has none above them.
    pub(super) fn put(&mut self, value: u64, bits: u32) {
        if bits > 32 {
            self.put(value & 0xffff_ffff, 32);
            self.put(value >> 32, bits - 32);
            return;
        }
        debug_assert!(value >> bits == 0, "{value} has more than {bits} bits");
        self.waiting |= value << self.used;
        self.used += bits;
        while self.used >= 8 {
            self.out.push(self.waiting as u8);
            self.waiting >>= 8;
            self.used -= 8;
        }
    }

    /// As many ones, and a zero.
    pub(super) fn unary(&mut self, ones: u32) {
        debug_assert!(ones < 32, "a longer run is escaped");
        self.put((1 << ones) - 1, ones + 1);
    }

    /// Fills the last byte up with zeros.
    pub(super) fn finish(mut self) {
        if self.used > 0 {
            self.put(0, 8 - self.used);
        }
    }
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, waiting: 0, have: 0 }
    }

    /// Afterwards at least 56 bits are there, or all that is left.
    #[inline]
    fn refill(&mut self) {
        if let Some(word) = self.bytes.get(self.at..self.at + 8) {
            let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
            self.waiting |= word << self.have;
            self.at += ((63 - self.have) >> 3) as usize;
            self.have |= 0x38; // 56 and what there was beyond whole bytes
            return;
        }
        while self.have <= 55 && self.at < self.bytes.len() {
            // A word's refill may have left these very bits above `have`.
            self.waiting &= (1 << self.have) - 1;
            self.waiting |= u64::from(self.bytes[self.at]) << self.have;
            self.at += 1;
            self.have += 8;
        }
    }

    /// The next `bits`, at most 64.
    #[inline]
    pub(super) fn get(&mut self, bits: u32) -> Result<u64, Broken> {
        if bits > 32 {
            let low = self.short(32)?;
            return Ok(low | (self.short(bits - 32)? << 32));
        }
        self.short(bits)
    }

    /// The next `bits`, at most 32.
    #[inline]
    fn short(&mut self, bits: u32) -> Result<u64, Broken> {
        if self.have < bits {
            self.refill();
            if self.have < bits {
                return Err(Broken("bits end too early"));
            }
        }
        let value = self.waiting & ((1 << bits) - 1);
        self.waiting >>= bits;
        self.have -= bits;
        Ok(value)
    }

    /// As many ones as there are before a zero, and the `bits` after it, in one look; none where they are more than `most` or do not lie
    /// together, and nothing is taken then.
    #[inline]
    pub(super) fn unary_and(&mut self, most: u32, bits: u32) -> Option<(u32, u64)> {
        if self.have < 56 {
            self.refill();
        }
        let ones = (!self.waiting).trailing_zeros();
        let taken = ones + 1 + bits;
        if ones >= most || taken > self.have || bits > 32 {
            return None;
        }
        let value = (self.waiting >> (ones + 1)) & ((1 << bits) - 1);
        self.waiting >>= taken;
        self.have -= taken;
        Some((ones, value))
    }

    /// The number of ones before a zero, which is taken too; `most` of them end without one.
    #[inline]
    pub(super) fn unary(&mut self, most: u32) -> Result<u32, Broken> {
        if self.have < 32 {
            self.refill();
        }
        let ones = (!self.waiting).trailing_zeros().min(most);
        let taken = if ones == most { ones } else { ones + 1 };
        if self.have < taken {
            return Err(Broken("bits end too early"));
        }
        self.waiting >>= taken;
        self.have -= taken;
        Ok(ones)
    }
}

impl<'a> ByteReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let end = self.at.checked_add(count).ok_or(Broken("a length is too large"))?;
        let taken = self.bytes.get(self.at..end).ok_or(Broken("bytes end too early"))?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Broken> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap_or_default()))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Broken> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default()))
    }

    /// Seven bits a byte, the lowest first.
    pub(super) fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken("a number is too long"))
    }

    /// A number that counts something in memory.
    pub(super) fn length(&mut self) -> Result<usize, Broken> {
        usize::try_from(self.varint()?).map_err(|_| Broken("a length is too large"))
    }

    /// A number that fits 32 bits.
    pub(super) fn small(&mut self) -> Result<u32, Broken> {
        u32::try_from(self.varint()?).map_err(|_| Broken("a number is too large"))
    }

    /// A number with its sign.
    pub(super) fn signed(&mut self) -> Result<i64, Broken> {
        Ok(unzigzag(self.varint()?))
    }

    /// A text after its length.
    pub(super) fn text(&mut self) -> Result<&'a str, Broken> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Broken("a text is not UTF-8"))
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A length.
pub(super) fn put_length(out: &mut Vec<u8>, length: usize) {
    put_varint(out, length as u64);
}

/// A number with its sign.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// A text after its length.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Small numbers of either sign become small ones without.
pub(super) const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// See [`zigzag`].
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_out_as_they_went_in(fields in prop::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            let fields: Vec<(u64, u32)> = fields
                .into_iter()
                .map(|(value, bits)| (if bits == 64 { value } else { value & ((1 << bits) - 1) }, bits))
                .collect();
            for (value, bits) in &fields {
                writer.put(*value, *bits);
                writer.unary(*bits % 32);
            }
            writer.finish();
            let mut reader = BitReader::new(&bytes);
            for (value, bits) in &fields {
                prop_assert_eq!(reader.get(*bits), Ok(*value));
                prop_assert_eq!(reader.unary(32), Ok(*bits % 32));
            }
        }

        #[test]
        fn numbers_come_out_as_they_went_in(value in any::<i64>(), text in ".*") {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            put_text(&mut bytes, &text);
            let mut reader = ByteReader::new(&bytes);
            prop_assert_eq!(reader.signed(), Ok(value));
            prop_assert_eq!(reader.text(), Ok(text.as_str()));
            prop_assert!(reader.is_empty());
        }
    }

    #[test]
    fn what_ends_too_early_is_said() {
        assert!(BitReader::new(&[0xff]).get(9).is_err());
        assert!(BitReader::new(&[0xff]).unary(24).is_err());
        assert!(ByteReader::new(&[0x80]).varint().is_err());
        assert!(ByteReader::new(&[0xff; 11]).varint().is_err());
        assert!(ByteReader::new(&[5, b'a']).text().is_err());
    }
}
