//! Bodies on their way through: what a service is sent, and what a client is sent.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::answer::Fault;
use crate::cache::collect::Ahead;
use crate::compress::Compressed;
use crate::conn_state::ConnState;
use crate::http1;
use crate::http3::body::Receiving;
use crate::record::Record;
use crate::static_site::FileBody;
use crate::stream::Streamed;
use crate::ticker::Millis;

/// What the client is sent.
pub(crate) struct Body {
    kind: Kind,
    /// Ends the request's record when the body is done or dropped.
    record: Option<Box<Record>>,
}

enum Kind {
    Empty,
    Full(Bytes),
    File(FileBody),
    Streamed(Box<Streamed>),
    Compressed(Box<Compressed>),
    Ahead(Box<Ahead>),
}

/// Why a body ended early; the connection is cut then, since the client was promised more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the instance broke off in the middle of its answer")]
    BrokenOff(#[source] http1::Broken),
    #[error("nothing moved for longer than the route allows")]
    Silent,
    #[error("the file could not be read to its end")]
    File(#[source] std::io::Error),
    #[error("the answer could not be compressed to its end")]
    NotCompressed(#[source] std::io::Error),
    #[error("the request body is refused")]
    Refused(Fault),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self { kind: Kind::Empty, record: None }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self { kind: if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) }, record: None }
    }

    pub(crate) fn file(file: FileBody) -> Self {
        Self { kind: Kind::File(file), record: None }
    }

    pub(crate) fn streamed(streamed: Box<Streamed>) -> Self {
        Self { kind: Kind::Streamed(streamed), record: None }
    }

    pub(crate) fn compressed(compressed: Box<Compressed>) -> Self {
        Self { kind: Kind::Compressed(compressed), record: None }
    }

    pub(crate) fn ahead(ahead: Box<Ahead>) -> Self {
        Self { kind: Kind::Ahead(ahead), record: None }
    }

    /// All of it, where it is there already.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match &self.kind {
            Kind::Full(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Takes out the file that it is, if it is one. What is sent of it is to be told by [`Self::handed_on`].
    pub(crate) fn take_file(&mut self) -> Option<FileBody> {
        match std::mem::replace(&mut self.kind, Kind::Empty) {
            Kind::File(file) => Some(file),
            other => {
                self.kind = other;
                None
            }
        }
    }

    /// So many bytes of the file that was taken out are on their way.
    pub(crate) fn handed_on(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.sent(bytes);
        }
    }

    /// The file that was taken out could not be sent to its end.
    pub(crate) fn broke_off(&mut self) {
        if let Some(record) = &mut self.record {
            record.broke_off();
        }
    }

    /// Lets the record go on until the body has passed.
    pub(crate) fn recorded(mut self, record: Box<Record>) -> Self {
        self.record = Some(record);
        self
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match &mut this.kind {
            Kind::Empty => None,
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.kind = Kind::Empty;
                Some(Ok(Frame::data(bytes)))
            }
            Kind::File(file) => ready!(file.poll_frame(cx)).map(|read| read.map(Frame::data).map_err(BodyError::File)),
            Kind::Streamed(streamed) => ready!(streamed.poll_frame(cx)),
            Kind::Compressed(compressed) => ready!(compressed.poll_frame(cx)),
            Kind::Ahead(ahead) => ready!(ahead.poll_frame(cx)),
        };
        match (&frame, &mut this.record) {
            (Some(Ok(frame)), Some(record)) => {
                record.busy.state.touch();
                record.sent(frame.data_ref().map_or(0, Bytes::len));
            }
            (Some(Err(_)), Some(record)) => record.broke_off(),
            _ => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::File(file) => file.left() == 0,
            Kind::Streamed(streamed) => streamed.is_end_stream(),
            Kind::Compressed(compressed) => compressed.is_end_stream(),
            Kind::Ahead(ahead) => ahead.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::File(file) => SizeHint::with_exact(file.left()),
            Kind::Streamed(streamed) => streamed.size_hint(),
            Kind::Compressed(_) => SizeHint::default(),
            Kind::Ahead(ahead) => ahead.size_hint(),
        }
    }
}

/// A request's body, as the client's connection brings it.
pub(crate) enum ClientBody {
    /// There is none.
    None,
    Http1(http1::wire::Receiving),
    Http2(Incoming),
    Http3(Box<Receiving>),
}

/// A body that did not come to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut;

impl http_body::Body for ClientBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::None => Poll::Ready(None),
            Self::Http1(receiving) => receiving.poll_frame(cx),
            Self::Http2(incoming) => {
                Pin::new(incoming).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| Cut)))
            }
            Self::Http3(receiving) => receiving.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Http1(receiving) => receiving.is_end_stream(),
            Self::Http2(incoming) => incoming.is_end_stream(),
            Self::Http3(receiving) => receiving.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Http1(receiving) => receiving.size_hint(),
            Self::Http2(incoming) => incoming.size_hint(),
            Self::Http3(receiving) => receiving.size_hint(),
        }
    }
}

/// What a service is sent: the client's body, as it comes.
pub(crate) struct RequestBody {
    incoming: ClientBody,
    upload: Rc<Upload>,
    /// It is a stream's, whose end shows from whether it came to one.
    of_stream: bool,
}

/// How an upload goes; the request that waits for its answer looks at it.
pub(crate) struct Upload {
    state: Rc<ConnState>,
    /// Bytes that may still come.
    left: Cell<u64>,
    pub(crate) received_bytes: Cell<u64>,
    /// When its last byte had come.
    pub(crate) finished_at: Cell<Option<Millis>>,
    /// The last time it was asked for more, the client had not sent it yet.
    pub(crate) starved: Cell<bool>,
    pub(crate) fault: Cell<Option<Fault>>,
    /// `Expect: 100-continue`: the body is held back until the service asks for it.
    held: Cell<bool>,
}

impl Upload {
    pub(crate) fn new(state: &Rc<ConnState>, max_bytes: u64, held: bool) -> Rc<Self> {
        state.unread.set(true);
        Rc::new(Self {
            state: Rc::clone(state),
            left: Cell::new(max_bytes),
            received_bytes: Cell::new(0),
            finished_at: Cell::new(None),
            starved: Cell::new(false),
            fault: Cell::new(None),
            held: Cell::new(held),
        })
    }

    /// Whether the body is held back until the service asks for it.
    pub(crate) fn is_held(&self) -> bool {
        self.held.get()
    }

    /// Lets the body go.
    pub(crate) fn release(&self) {
        self.held.set(false);
    }

    fn finish(&self) {
        self.finished_at.set(Some(self.state.ticker.now()));
        self.state.unread.set(false);
    }

    fn fail(&self, fault: Fault) -> BodyError {
        self.fault.set(Some(fault));
        BodyError::Refused(fault)
    }
}

impl RequestBody {
    pub(crate) fn new(incoming: ClientBody, upload: Rc<Upload>, of_stream: bool) -> Self {
        Self { incoming, upload, of_stream }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { incoming, upload, of_stream } = &mut *self;
        if upload.is_held() {
            // Whoever lets it go polls the connection, and with it this body, right after.
            return Poll::Pending;
        }
        let frame = match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Pending => {
                upload.starved.set(true);
                return Poll::Pending;
            }
            Poll::Ready(frame) => frame,
        };
        upload.starved.set(false);
        let Some(frame) = frame else {
            // hyper takes a stream that was cancelled for one that came to its end: half an upload must not pass for a whole.
            if *of_stream && !http_body::Body::is_end_stream(&*incoming) {
                return Poll::Ready(Some(Err(upload.fail(Fault::BadBody))));
            }
            upload.finish();
            return Poll::Ready(None);
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(_broken) => return Poll::Ready(Some(Err(upload.fail(Fault::BadBody)))),
        };
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            upload.state.touch();
            upload.received_bytes.set(upload.received_bytes.get() + length);
            match upload.left.get().checked_sub(length) {
                Some(left) => upload.left.set(left),
                None => return Poll::Ready(Some(Err(upload.fail(Fault::BodyTooLarge)))),
            }
        }
        if http_body::Body::is_end_stream(&*incoming) {
            upload.finish();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.incoming)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.incoming)
    }
}
