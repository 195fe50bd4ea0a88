//! Where webhooks go: endpoints that take everything at once, and some that do not.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::load::MARK;

/// Path below which everything is answered at once; the endpoint's number follows.
pub(crate) const PROMPT: &str = "/in/";
/// Path of what is never answered.
pub(crate) const SILENT: &str = "/silent/";
/// Path of what is answered late.
pub(crate) const SLOW: &str = "/slow/";
/// Path of what is answered by [`ENDLESS_BYTES`].
pub(crate) const ENDLESS: &str = "/endless/";
const SLOW_SECONDS: Duration = Duration::from_secs(10);
/// A gigabyte, for who reads it to its end.
const ENDLESS_BYTES: usize = 1 << 30;
const PIECE_BYTES: usize = 64 << 10;

/// What came to the prompt endpoints.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// When each event came to each endpoint first.
    pub(crate) first: HashMap<(u64, u32), Instant>,
    /// When something came last.
    pub(crate) last: Option<Instant>,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

pub(crate) type Received = Arc<Mutex<Book>>;

pub(crate) fn lock(received: &Received) -> MutexGuard<'_, Book> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes connections until it is dropped.
pub(crate) async fn serve(listener: TcpListener, received: Received) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let received = Arc::clone(&received);
        let service = service_fn(move |request| answer(request, Arc::clone(&received)));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Takes connections on a thread of its own until the process ends, and notes nothing.
pub(crate) fn serve_apart(port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(listener)?
    };
    std::thread::spawn(move || runtime.block_on(serve(listener, Received::default())));
    Ok(())
}

async fn answer(request: Request<Incoming>, received: Received) -> hyper::Result<Response<BoxBody<Bytes, Infallible>>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    if path.starts_with(SILENT) {
        std::future::pending::<()>().await;
    } else if path.starts_with(SLOW) {
        tokio::time::sleep(SLOW_SECONDS).await;
    } else if path.starts_with(ENDLESS) {
        return Ok(Response::new(Pieces { left: ENDLESS_BYTES }.boxed()));
    } else if let Some(endpoint) = path.strip_prefix(PROMPT).and_then(|number| number.parse().ok()) {
        let (mut book, now) = (lock(&received), Instant::now());
        book.requests += 1;
        book.bytes += body.len() as u64;
        if let Some(number) = number_in(&body) {
            book.first.entry((number, endpoint)).or_insert(now);
            book.last = Some(now);
        }
    }
    Ok(Response::new(Full::new(Bytes::new()).boxed()))
}

/// Zeros, piece by piece.
struct Pieces {
    left: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static PIECE: [u8; PIECE_BYTES] = [0; PIECE_BYTES];
        let length = self.left.min(PIECE_BYTES);
        self.left -= length;
        Poll::Ready((length > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..length])))))
    }
}

/// The number behind the mark in a webhook's body.
fn number_in(body: &[u8]) -> Option<u64> {
    let at = body.windows(MARK.len()).position(|window| window == MARK.as_bytes())? + MARK.len();
    let digits: Vec<u8> = body[at..].iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number_in;

    #[test]
    fn the_number_of_an_event_is_found_in_a_webhook() {
        assert_eq!(number_in(br#"{"pass":{"personDetails":{"externalId":"bench-user-1207"}}}"#), Some(1207));
        assert_eq!(number_in(b"bench-user-"), None);
        assert_eq!(number_in(b""), None);
    }
}
