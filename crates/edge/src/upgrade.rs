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
    pub(crate) _lease: Lease,
}

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
        // How a tunnel ends is nobody's error: WebSockets end with a reset every day. Bytes and time are in the log.
        let _ended: io::Result<()> = std::future::poll_fn(|cx| {
            // A client that only closes its sending half is passed on as that; an instance that closes is done.
            let _half_closed = up.poll(&mut client, &mut self.socket, cx)?;
            if down.poll(&mut self.socket, &mut client, cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            let due = state.due(self.silence, self.silence);
            if due <= state.ticker.now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
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

/// One direction.
struct Half {
    rest: BytesMut,
    ended: bool,
    shut: bool,
    carried: u64,
}

impl Half {
    fn new(early: Bytes) -> Self {
        Self { carried: early.len() as u64, rest: early.into(), ended: false, shut: false }
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
