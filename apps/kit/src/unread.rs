//! Whether an answer came before its request was read to the end. What is left then is in the way of the next request on the connection,
//! so the server closes it, and whoever sent the request has to hear that: else it sends the next one to where nobody listens any more.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Request, header};
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use tower::ServiceExt as _;

/// Bodies up to this size have come with their head, or nearly so, and the server reads them to the end by itself.
const SMALL_BYTES: u64 = 64 * 1024;

/// Lets the router answer, and says so where that closes the connection.
pub(crate) async fn answer(router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    if request.body().size_hint().upper().is_some_and(|bytes| bytes <= SMALL_BYTES) {
        return router.oneshot(request.map(Body::new)).await;
    }
    let read = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| Body::new(Watched { body, read: Arc::clone(&read) }));
    let mut response = router.oneshot(request).await?;
    if !read.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// A request's body that remembers whether it came to its end.
struct Watched {
    body: Incoming,
    read: Arc<AtomicBool>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.read.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
