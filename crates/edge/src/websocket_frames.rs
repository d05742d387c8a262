//! Where a WebSocket's frames end (RFC 6455, section 5.2), so that something can be said between two of them.

/// Follows one direction of a WebSocket. Looks at lengths only.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// What there is of a head that is not complete.
    head: [u8; 14],
    in_head: usize,
    /// Bytes of the payload still to come.
    left: u64,
}

impl Frames {
    /// These bytes pass.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= taken as u64;
                bytes = &bytes[taken..];
                continue;
            }
            self.head[self.in_head] = bytes[0];
            self.in_head += 1;
            bytes = &bytes[1..];
            if let Some(payload) = payload(&self.head[..self.in_head]) {
                self.left = payload;
                self.in_head = 0;
            }
        }
    }

    /// Whether a frame of one's own may follow.
    pub(crate) fn is_between(&self) -> bool {
        self.left == 0 && self.in_head == 0
    }
}

/// The length of the payload, once the head is complete.
fn payload(head: &[u8]) -> Option<u64> {
    let &[_, second, ref rest @ ..] = head else { return None };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (wide, length) = match second & 0x7f {
        126 => (2, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (8, u64::from_be_bytes(*rest.first_chunk()?)),
        short => (0, u64::from(short)),
    };
    (rest.len() == wide + mask).then_some(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match payload {
            0..=125 => frame.push(mask | u8::try_from(payload).unwrap()),
            126..=65_535 => {
                frame.push(mask | 0x7e);
                frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0x82; if masked { 4 } else { 0 } + payload]);
        frame
    }

    proptest! {
        #[test]
        fn ends_are_found_however_the_bytes_are_cut(
            frames in prop::collection::vec((any::<bool>(), prop_oneof![0..130_usize, 65_530..65_540_usize]), 1..6),
            piece in 1..70_000_usize,
        ) {
            let mut ends = Vec::new();
            let mut bytes = Vec::new();
            for (masked, payload) in frames {
                bytes.extend(frame(masked, payload));
                ends.push(bytes.len());
            }
            let (mut follower, mut seen) = (Frames::default(), 0);
            for piece in bytes.chunks(piece) {
                follower.pass(piece);
                seen += piece.len();
                prop_assert_eq!(follower.is_between(), ends.contains(&seen), "after {} bytes", seen);
            }
        }
    }
}
