//! Where HTTP/2 frames begin and end.

use super::pieces;
use crate::frames::{Frames, Unfinished};

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

/// Frames of an HTTP/2 client, the first byte the seed of the cuts: what is unfinished does not depend on how the bytes were cut, and is
/// what a reading of all of them at once says.
pub fn http2_frames(bytes: &[u8]) {
    let Some((seed, bytes)) = bytes.split_first() else { return };
    let mut cut = Frames::default();
    for piece in pieces(*seed, bytes) {
        cut.came(piece, 7);
    }
    assert_eq!(cut.unfinished(), expected(bytes), "{bytes:?}");
}

fn expected(bytes: &[u8]) -> Option<Unfinished> {
    let head = Unfinished::Head { since: 7 };
    let Some(mut bytes) = bytes.get(PREFACE_BYTES..) else { return (!bytes.is_empty()).then_some(head) };
    let mut goes_on = false;
    loop {
        let Some((frame, rest)) = bytes.split_at_checked(HEAD_BYTES) else {
            return (goes_on || !bytes.is_empty()).then_some(head);
        };
        let length = usize::from(frame[0]) << 16 | usize::from(frame[1]) << 8 | usize::from(frame[2]);
        let Some(rest) = rest.get(length..) else {
            return Some(if frame[3] == 0 { Unfinished::Data { since: 7 } } else { head });
        };
        // HEADERS, PUSH_PROMISE and CONTINUATION without END_HEADERS.
        goes_on = matches!(frame[3], 1 | 5 | 9) && frame[4] & 4 == 0;
        bytes = rest;
    }
}
