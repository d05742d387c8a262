//! Where the frames of an HTTP/2 client begin and end, for a connection to know what is not finished.
//!
//! h2 tells of whole frames and whole heads only. A client that sends either byte by byte would seem busy for ever: bytes come,
//! and nothing is asked for. Nothing is checked here, that is h2's part; what it refuses ends the connection anyway.

use crate::ticker::Millis;

/// What a connection begins with, before the first frame.
const PREFACE_BYTES: u32 = 24;

/// Length, kind, flags and stream.
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;

/// What was sent of a connection so far.
pub(crate) struct Frames {
    place: Place,
    since: Option<Millis>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Head {
        bytes: [u8; HEAD_BYTES],
        come: usize,
    },
    /// In a payload, or in the preface.
    Payload {
        left: u32,
        is_data: bool,
        /// The head of a request goes on in the next frame.
        goes_on: bool,
    },
}

impl Place {
    const BETWEEN: Self = Self::Head { bytes: [0; HEAD_BYTES], come: 0 };
}

/// What a client has begun to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// A request's head, in however many frames, or any frame that is about the connection.
    Head { since: Millis },
    /// Part of a body. Whoever reads that body has a bound of its own.
    Data { since: Millis },
}

impl Default for Frames {
    fn default() -> Self {
        Self { place: Place::Payload { left: PREFACE_BYTES, is_data: false, goes_on: false }, since: None }
    }
}

impl Frames {
    /// These bytes came.
    pub(crate) fn came(&mut self, mut bytes: &[u8], now: Millis) {
        while !bytes.is_empty() {
            self.since.get_or_insert(now);
            match &mut self.place {
                Place::Head { bytes: head, come } => {
                    let taken = bytes.len().min(HEAD_BYTES - *come);
                    head[*come..*come + taken].copy_from_slice(&bytes[..taken]);
                    *come += taken;
                    bytes = &bytes[taken..];
                    if *come == HEAD_BYTES {
                        let [high, middle, low, kind, flags, ..] = *head;
                        let block = matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION);
                        self.place = Place::Payload {
                            left: u32::from_be_bytes([0, high, middle, low]),
                            is_data: kind == DATA,
                            goes_on: block && flags & END_HEADERS == 0,
                        };
                    }
                }
                Place::Payload { left, .. } => {
                    let taken = (*left).min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                    *left -= taken;
                    bytes = &bytes[taken as usize..];
                }
            }
            if let Place::Payload { left: 0, goes_on, .. } = self.place {
                self.place = Place::BETWEEN;
                if !goes_on {
                    self.since = None;
                }
            }
        }
    }

    /// What is not finished; `None` between frames.
    pub(crate) fn unfinished(&self) -> Option<Unfinished> {
        let since = self.since?;
        Some(match self.place {
            Place::Payload { is_data: true, .. } => Unfinished::Data { since },
            Place::Payload { .. } | Place::Head { .. } => Unfinished::Head { since },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD_BYTES + usize::from(length), b'x');
        frame
    }

    const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// Sends each part at a time of its own, the first at 1.
    fn after(parts: &[&[u8]]) -> Option<Unfinished> {
        let mut frames = Frames::default();
        for (now, part) in (1..).zip(parts) {
            frames.came(part, now);
        }
        frames.unfinished()
    }

    #[test]
    fn what_is_begun_is_unfinished_from_its_first_byte_to_its_last() {
        let head = |since| Some(Unfinished::Head { since });
        let data = |since| Some(Unfinished::Data { since });
        let (settings, ping) = (frame(4, 0, 0), frame(6, 0, 8));
        let (whole, begun) = (frame(HEADERS, END_HEADERS, 5), frame(HEADERS, 0, 5));
        let (more, last) = (frame(CONTINUATION, 0, 3), frame(CONTINUATION, END_HEADERS, 3));
        let body = frame(DATA, 0, 200);
        for (parts, expected) in [
            (vec![&PREFACE[..]], None),
            (vec![&PREFACE[..10]], head(1)),
            (vec![&PREFACE[..10], &PREFACE[10..]], None),
            (vec![&PREFACE, &settings, &whole], None),
            (vec![&PREFACE, &settings[..1]], head(2)),
            (vec![&PREFACE, &ping[..8], &ping[8..9], &ping[9..16]], head(2)),
            (vec![&PREFACE, &whole[..10], &whole[10..]], None),
            (vec![&PREFACE, &begun], head(2)),
            (vec![&PREFACE, &begun, &more, &more], head(2)),
            (vec![&PREFACE, &begun, &more, &last[..11]], head(2)),
            (vec![&PREFACE, &begun, &more, &last], None),
            (vec![&PREFACE, &begun, &last, &ping, &begun], head(5)),
            (vec![&PREFACE, &body[..9]], data(2)),
            (vec![&PREFACE, &body[..9], &body[9..100]], data(2)),
            (vec![&PREFACE, &body[..9], &body[9..], &body[..8]], head(4)),
            (vec![&[&PREFACE[..], &settings, &whole, &body].concat()], None),
            (vec![&[&PREFACE[..], &settings, &whole, &body[..50]].concat()], data(1)),
        ] {
            assert_eq!(after(&parts), expected, "{parts:?}");
            // Cut elsewhere, it is the same thing that is unfinished.
            let bytes = parts.concat();
            let single: Vec<_> = bytes.chunks(1).collect();
            assert_eq!(
                after(&single).map(|one| matches!(one, Unfinished::Data { .. })),
                expected.map(|one| matches!(one, Unfinished::Data { .. }))
            );
        }
    }
}
