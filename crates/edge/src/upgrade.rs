//! What follows a 101 answer: bytes both ways, until the instance is done.
//!
//! A quiet tunnel holds no buffer: bytes are read into one scratch buffer a thread has, and only what the other side
//! does not take at once is kept.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::conn_state::{ConnState, Stage};
use crate::pool::Lease;
use crate::record::Record;
use crate::ticker::Millis;
use crate::websocket_frames::Frames;

const SCRATCH_BYTES: usize = 32 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// The instance's side of a tunnel, ready to be joined with the client's.
pub(crate) struct Tunnel {
    pub(crate) socket: TcpStream,
    /// What the instance sent right behind its 101.
    pub(crate) early: Bytes,
    /// Longest time without a byte, either way.
    pub(crate) silence: Duration,
    pub(crate) record: Option<Box<Record>>,
    pub(crate) lease: Lease,
    /// It is a WebSocket: one can say goodbye.
    pub(crate) websocket: bool,
    /// How long it may go on once its instance is to get nothing any more.
    pub(crate) drain: Duration,
}

/// "Going away", as a server says it.
const GOODBYE: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// Longest wait for the end of a frame, and then for the client to close.
const GOODBYE_MS: Millis = 1_000;

impl Tunnel {
    /// Carries bytes until the instance closes, a side fails, or nothing moves for too long.
    pub(crate) async fn run<C>(mut self, mut client: C, early: Bytes, state: Rc<ConnState>)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        state.tunnelling.set(true);
        state.set_stage(Stage::Streaming { silence: self.silence });
        let mut up = Half::new(early);
        let mut down = Half::new(std::mem::take(&mut self.early));
        let mut end = End::default();
        if self.websocket {
            down.follow();
        }
        // How a tunnel ends is nobody's error: WebSockets end with a reset every day. Bytes and time are in the log.
        let _ended: io::Result<()> = std::future::poll_fn(|cx| {
            let now = state.ticker.now();
            if let Some(said) = end.said {
                // What comes now was under way when the goodbye was. Closing on it could reset the goodbye away.
                let listens = now < said.saturating_add(GOODBYE_MS) && discard(&mut client, cx)?.is_pending();
                state.wake_at(said.saturating_add(GOODBYE_MS), cx);
                return if listens { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            // A client that only closes its sending half is passed on as that; an instance that closes is done.
            let _half_closed = up.poll(&mut client, &mut self.socket, cx)?;
            if down.poll(&mut self.socket, &mut client, cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if let Some(due) = end.due(&self, now)
                && due <= now
            {
                if !down.is_between() {
                    if due.saturating_add(GOODBYE_MS) <= now || !self.websocket {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                } else if Pin::new(&mut client).poll_write(cx, &GOODBYE)?.is_ready() {
                    let _flushed = Pin::new(&mut client).poll_shutdown(cx)?;
                    end.said = Some(now);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            let mut due = state.due(self.silence, self.silence);
            if due <= now {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if let Some(end) = end.due {
                due = due.min(if end <= now { end.saturating_add(GOODBYE_MS) } else { end });
            }
            state.wake_at(due, cx);
            Poll::Pending
        })
        .await;
        if let Some(record) = &mut self.record {
            record.tunnelled(up.carried, down.carried);
        }
    }
}

/// When a tunnel has to end although both sides would go on.
#[derive(Default)]
struct End {
    due: Option<Millis>,
    /// The client was told.
    said: Option<Millis>,
}

impl End {
    fn due(&mut self, tunnel: &Tunnel, now: Millis) -> Option<Millis> {
        if self.due.is_none() && tunnel.lease.upstream.is_retired() {
            self.due = Some(now.saturating_add(u64::try_from(tunnel.drain.as_millis()).unwrap_or(Millis::MAX)));
        }
        // The edge's own end may come sooner.
        let leaving = tunnel.record.as_ref().and_then(|record| record.worker.tunnels_end.get());
        self.due = [self.due, leaving].into_iter().flatten().min();
        self.due
    }
}

/// Reads and forgets; ready at the end.
fn discard<R: AsyncRead + Unpin>(from: &mut R, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    SCRATCH.with_borrow_mut(|scratch| {
        loop {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    })
}

/// One direction.
struct Half {
    frames: Option<Frames>,
    rest: BytesMut,
    ended: bool,
    shut: bool,
    carried: u64,
}

impl Half {
    fn new(early: Bytes) -> Self {
        Self { frames: None, carried: early.len() as u64, rest: early.into(), ended: false, shut: false }
    }

    /// From here on it is known where frames end.
    fn follow(&mut self) {
        let mut frames = Frames::default();
        frames.pass(&self.rest);
        self.frames = Some(frames);
    }

    /// Whether everything was passed on, up to the end of a frame.
    fn is_between(&self) -> bool {
        self.rest.is_empty() && self.frames.as_ref().is_some_and(Frames::is_between)
    }

    fn poll<R, W>(&mut self, from: &mut R, to: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                while !self.rest.is_empty() {
                    let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.rest))?;
                    self.rest.advance(written);
                }
                if self.ended {
                    if !self.shut {
                        ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                        self.shut = true;
                    }
                    return Poll::Ready(Ok(()));
                }
                self.rest = BytesMut::new();
                let mut buf = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *from).poll_read(cx, &mut buf))?;
                self.ended = buf.filled().is_empty();
                self.carried += buf.filled().len() as u64;
                if let Some(frames) = &mut self.frames {
                    frames.pass(buf.filled());
                }
                self.pass(buf.filled(), to, cx)?;
            }
        })
    }

    /// Writes what is taken at once and keeps the rest.
    fn pass<W: AsyncWrite + Unpin>(&mut self, mut bytes: &[u8], to: &mut W, cx: &mut Context<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, bytes)? {
                Poll::Ready(written) => bytes = &bytes[written..],
                Poll::Pending => {
                    self.rest.extend_from_slice(bytes);
                    break;
                }
            }
        }
        Ok(())
    }
}
