//! Reading from a socket without a buffer of one's own: what came is copied to memory that is just as large.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

/// What is read at once.
pub(super) const SCRATCH_BYTES: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// Some bytes; none at the end.
pub(super) fn poll_read<R: AsyncRead + Unpin>(socket: &mut R, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buf = ReadBuf::new(scratch);
        ready!(Pin::new(socket).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buf.filled())))
    })
}

/// `more` behind what is there already.
pub(super) fn joined(rest: &mut Bytes, more: Bytes) {
    if rest.is_empty() {
        *rest = more;
    } else {
        let mut joined = BytesMut::from(std::mem::take(rest));
        joined.extend_from_slice(&more);
        *rest = joined.freeze();
    }
}
