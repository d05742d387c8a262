//! Where frames of a WebSocket end.

use super::pieces;
use crate::websocket_frames::Frames;

/// Frames, behind a byte that says how they are cut.
pub fn websocket_frames(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else { return };
    let mut whole = Frames::default();
    whole.pass(bytes);
    assert_eq!(whole.is_between(), is_between(bytes), "another reader ends the last frame elsewhere");
    let (mut cut, mut passed) = (Frames::default(), 0);
    for piece in pieces(seed, bytes) {
        cut.pass(piece);
        passed += piece.len();
        assert_eq!(cut.is_between(), is_between(&bytes[..passed]), "after {passed} bytes");
    }
}

/// Whether these are frames to the last byte; all of them at once, no state.
fn is_between(mut bytes: &[u8]) -> bool {
    loop {
        let (length, head) = match bytes {
            [] => return true,
            [_, second, a, b, ..] if second & 0x7f == 126 => (u64::from(u16::from_be_bytes([*a, *b])), 4),
            [_, second, rest @ ..] if second & 0x7f == 127 => {
                let Some(length) = rest.first_chunk() else { return false };
                (u64::from_be_bytes(*length), 10)
            }
            [_, second, ..] if second & 0x7f < 126 => (u64::from(second & 0x7f), 2),
            _ => return false,
        };
        let head = if bytes[1] & 0x80 == 0 { head } else { head + 4 };
        let Some(rest) = bytes.get(head..) else { return false };
        if length > rest.len() as u64 {
            return false;
        }
        bytes = &rest[usize::try_from(length).unwrap_or(usize::MAX)..];
    }
}
