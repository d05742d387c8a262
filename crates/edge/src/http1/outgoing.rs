//! A request's body on its way to an instance.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::Body as _;

use super::Broken;
use super::encode::{self, Length};
use crate::body::RequestBody;
use crate::headers;

/// A body, and what of it is ready to be written.
pub(crate) struct Outgoing {
    body: RequestBody,
    /// What may still come; `None`: it is sent in chunks.
    left: Option<u64>,
    /// Framing, data, framing.
    ready: [Bytes; 3],
    /// Nothing comes after what is ready.
    ended: bool,
}

impl Outgoing {
    pub(crate) fn new(body: RequestBody) -> Self {
        let left = body.size_hint().exact();
        Self { body, left, ready: [Bytes::new(), Bytes::new(), Bytes::new()], ended: left == Some(0) }
    }

    /// How its end is told.
    pub(crate) fn length(&self) -> Length {
        self.left.map_or(Length::Chunked, Length::Exactly)
    }

    /// Whether all of it was written.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.ready.iter().all(Bytes::is_empty)
    }

    /// Makes the next bytes ready, if none are.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.is_empty() && !self.ended {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data(data)?,
                    Err(frame) => self.trailers(frame)?,
                },
                Some(Err(_)) => return Poll::Ready(Err(Broken::Unsent)),
                None => self.end()?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn data(&mut self, data: Bytes) -> Result<(), Broken> {
        match &mut self.left {
            _ if data.is_empty() => {}
            Some(left) => {
                // Bytes too many would be the begin of another request.
                *left = left.checked_sub(data.len() as u64).ok_or(Broken::Unsent)?;
                self.ended = *left == 0;
                self.ready[1] = data;
            }
            None => {
                let before = format!("{:x}\r\n", data.len());
                self.ready = [before.into(), data, Bytes::from_static(b"\r\n")];
            }
        }
        Ok(())
    }

    fn trailers(&mut self, frame: http_body::Frame<Bytes>) -> Result<(), Broken> {
        match (frame.into_trailers(), self.left) {
            (Ok(mut trailers), None) => {
                headers::strip_hop_by_hop(&mut trailers);
                self.ready[0] = encode::trailers(&trailers).into();
                self.ended = true;
                Ok(())
            }
            // A body of a known length has no place for them.
            _ => self.end(),
        }
    }

    fn end(&mut self) -> Result<(), Broken> {
        self.ended = true;
        match self.left {
            Some(0) => Ok(()),
            Some(_) => Err(Broken::Unsent),
            None => {
                self.ready[0] = Bytes::from_static(b"0\r\n\r\n");
                Ok(())
            }
        }
    }

    /// What is ready.
    pub(super) fn slices(&self) -> [IoSlice<'_>; 3] {
        self.ready.each_ref().map(|bytes| IoSlice::new(bytes))
    }

    /// That many bytes of it were written.
    pub(super) fn advance(&mut self, mut written: usize) {
        for bytes in &mut self.ready {
            let taken = written.min(bytes.len());
            bytes.advance(taken);
            written -= taken;
        }
    }
}
