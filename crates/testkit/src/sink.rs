//! Endpoints that take, refuse, delay or abuse what is sent to them, on loopback ports of their own.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::Instant,
};

/// Most bytes of a request that a sink keeps.
const MAX_BODY: usize = 16 << 20;
/// How much an endless body sends at once.
const ENDLESS_CHUNK: usize = 16 * 1_024;

/// What a sink does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Records it and answers with this status.
    Answer(StatusCode),
    /// Records it and answers 200 after so long.
    Slow(Duration),
    /// Takes the connection and never answers.
    BlackHole,
    /// Answers 200 with a body that never ends.
    Endless,
    /// Closes the connection in the middle of its answer.
    CutOff,
}

/// A request that a sink recorded.
#[derive(Debug, Clone)]
pub struct Received {
    /// When the whole of it was there.
    pub at: Instant,
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What it was answered.
    pub status: StatusCode,
}

impl Received {
    /// A header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    received: Mutex<Vec<Received>>,
    news: Notify,
}

/// A running sink; ends when dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    /// Starts a sink.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { behaviour: Mutex::new(behaviour), received: Mutex::new(Vec::new()), news: Notify::new() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// The address of a path of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Changes what it does from the next request on.
    pub fn behave(&self, behaviour: Behaviour) {
        *locked(&self.shared.behaviour) = behaviour;
    }

    /// How many requests it recorded.
    pub fn count(&self) -> usize {
        locked(&self.shared.received).len()
    }

    /// What it recorded, from the nth request on.
    pub fn received_from(&self, nth: usize) -> Vec<Received> {
        locked(&self.shared.received).get(nth..).map(<[Received]>::to_vec).unwrap_or_default()
    }

    /// Waits until the requests fulfil a condition; `None` when they do not by the deadline.
    pub async fn wait_for<T>(&self, deadline: Duration, condition: impl Fn(&[Received]) -> Option<T>) -> Option<T> {
        let until = Instant::now() + deadline;
        loop {
            let news = self.shared.news.notified();
            if let Some(found) = condition(&locked(&self.shared.received)) {
                return Some(found);
            }
            if tokio::time::timeout_at(until, news).await.is_err() {
                return condition(&locked(&self.shared.received));
            }
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let behaviour = *locked(&shared.behaviour);
    match behaviour {
        Behaviour::Answer(_) | Behaviour::Slow(_) => {
            let service = service_fn(|request| answer(request, &shared));
            // A sender that hangs up is its own business.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
        Behaviour::BlackHole => swallow(stream).await,
        Behaviour::Endless => endless(stream).await.unwrap_or_default(),
        Behaviour::CutOff => cut_off(stream).await.unwrap_or_default(),
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(answered(StatusCode::BAD_REQUEST));
    };
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let (pause, status) = match *locked(&shared.behaviour) {
        Behaviour::Answer(status) => (Duration::ZERO, status),
        Behaviour::Slow(pause) => (pause, StatusCode::OK),
        _ => (Duration::ZERO, StatusCode::SERVICE_UNAVAILABLE),
    };
    let (method, headers, body) = (head.method, head.headers, body.to_bytes());
    locked(&shared.received).push(Received { at: Instant::now(), method, path, headers, body, status });
    shared.news.notify_waiters();
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    Ok(answered(status))
}

fn answered(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

async fn swallow(mut stream: TcpStream) {
    let mut buffer = vec![0; ENDLESS_CHUNK];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

async fn endless(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n").await?;
    let chunk = vec![b'x'; ENDLESS_CHUNK];
    loop {
        stream.write_all(&chunk).await?;
    }
}

async fn cut_off(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; ENDLESS_CHUNK];
    let _ = stream.read(&mut buffer).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nfirst").await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Client;

    async fn post(sink: &Sink) -> Result<StatusCode, String> {
        let (client, url) = (Client::default(), sink.url("/hook?a=1"));
        let sent = client.send(Method::POST, &url, &[("x-one", "1")], "body".into());
        let sent = tokio::time::timeout(Duration::from_millis(300), sent).await.map_err(|_| "silence".to_owned())?;
        sent.map(|reply| reply.status).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn records_what_it_answers() {
        let sink = Sink::start(Behaviour::Answer(StatusCode::GONE)).await.unwrap();
        assert_eq!(post(&sink).await, Ok(StatusCode::GONE));
        let received = sink.wait_for(Duration::from_secs(1), |all| all.first().cloned()).await.unwrap();
        assert_eq!((received.path.as_str(), received.header("x-one"), &received.body[..]), ("/hook?a=1", "1", &b"body"[..]));
        sink.behave(Behaviour::Answer(StatusCode::OK));
        assert_eq!(post(&sink).await, Ok(StatusCode::OK));
        assert_eq!(sink.count(), 2);
    }

    #[tokio::test]
    async fn misbehaves_as_told() {
        for (behaviour, expected) in
            [(Behaviour::BlackHole, "silence"), (Behaviour::Endless, "silence"), (Behaviour::CutOff, "body")]
        {
            let sink = Sink::start(behaviour).await.unwrap();
            let said = post(&sink).await.unwrap_err();
            assert!(said.contains(expected) || behaviour == Behaviour::Endless, "{behaviour:?}: {said}");
            assert_eq!(sink.count(), 0);
        }
    }
}
