//! HTTP/2 frame by frame, so that a client can say what no library would.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::SOON;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `:status: 200` and `:status: 400`, by their place in the static table.
const STATUS_200: u8 = 0x88;
const STATUS_400: u8 = 0x8c;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A block of header fields, all of them literals that are not kept, exactly as they are.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text.bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else { return block.push(u8::try_from(length).unwrap()) };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered with 200, 400, or anything else.
    Ok,
    BadRequest,
    Other,
    Reset,
    /// The connection is over.
    Gone,
}

/// A connection, frame by frame.
pub(crate) struct Http2<S> {
    stream: S,
    bytes: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http2<S> {
    /// Begins with these settings.
    pub(crate) async fn begin(mut stream: S, settings: &[(u16, u32)]) -> Self {
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &settings)).await.unwrap();
        Self { stream, bytes: Vec::new() }
    }

    /// Sends frames; whether the edge took them.
    pub(crate) async fn send(&mut self, frames: &[u8]) -> bool {
        matches!(tokio::time::timeout(SOON, self.stream.write_all(frames)).await, Ok(Ok(())))
            && self.stream.flush().await.is_ok()
    }

    /// The next frame; `None` when the edge has closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut piece = vec![0; 16 * 1024];
            let read = tokio::time::timeout(SOON, self.stream.read(&mut piece)).await;
            match read.unwrap_or_else(|_| panic!("no frame within {SOON:?}")) {
                Ok(count @ 1..) => self.bytes.extend_from_slice(&piece[..count]),
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// What becomes of a stream.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(frame) = self.next().await {
            match frame.kind {
                GOAWAY => return Outcome::Gone,
                RST_STREAM if frame.stream == stream => return Outcome::Reset,
                HEADERS if frame.stream == stream => {
                    // A change of the table's size may stand before the status.
                    let status = frame.payload.into_iter().find(|byte| byte & 0xe0 != 0x20);
                    return match status {
                        Some(STATUS_200) => Outcome::Ok,
                        Some(STATUS_400) => Outcome::BadRequest,
                        _ => Outcome::Other,
                    };
                }
                _ => {}
            }
        }
        Outcome::Gone
    }

    fn take(&mut self) -> Option<Frame> {
        let head: [u8; 9] = *self.bytes.first_chunk()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if self.bytes.len() < 9 + length {
            return None;
        }
        let payload = self.bytes.drain(..9 + length).skip(9).collect();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Some(Frame { kind: head[3], stream, payload })
    }
}
