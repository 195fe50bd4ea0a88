//! A storage that speaks as much of S3 as putting objects takes, and lets nobody in whose request is not signed by AWS Signature
//! Version 4: method, path, headers, the body's hash and the time, by the secret key. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write as _,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// Most bytes of an object.
const MAX_OBJECT: usize = 64 << 20;
/// The region that requests are signed for.
pub const REGION: &str = "eu-central-1";
/// Who may write.
pub const ACCESS_KEY_ID: &str = "AKIAOFTHEFAKE";
/// The proof.
pub const SECRET_ACCESS_KEY: &str = "secret/of+the+fake";

/// What the storage holds and did.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    /// Objects by bucket and key: `bucket/key`.
    pub objects: BTreeMap<String, Bytes>,
    /// How often each was put.
    pub puts: BTreeMap<String, usize>,
    /// Statuses and codes to answer with before anything else; nothing is kept then.
    pub refuse: Vec<(u16, &'static str)>,
    /// How many of the next objects are kept although the answer is 500: their answer was lost.
    pub lose: usize,
}

/// A running storage with one bucket; ends when dropped.
#[derive(Debug)]
pub struct Objects {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    accepting: JoinHandle<()>,
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Objects {
    /// Starts a storage with one bucket.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(bucket: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let shared = Arc::clone(&shelf);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(bucket, request, &shared));
                    // A sender that hangs up is its own business.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, shelf, accepting })
    }

    /// Its address, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds and did.
    pub fn shelf(&self) -> Shelf {
        self.with(|shelf| shelf.clone())
    }

    /// Changes what it holds or does.
    pub fn with<T>(&self, change: impl FnOnce(&mut Shelf) -> T) -> T {
        change(&mut self.shelf.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(bucket: &str, request: Request<Incoming>, shelf: &Mutex<Shelf>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_OBJECT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(said(400, "EntityTooLarge")),
    };
    if let Err(code) = check(&head, &body) {
        return Ok(said(403, code));
    }
    let path = decoded(head.uri.path().trim_start_matches('/'));
    if !path.starts_with(&format!("{bucket}/")) {
        return Ok(said(404, "NoSuchBucket"));
    }
    if head.method != http::Method::PUT || head.uri.query().is_some() {
        return Ok(said(501, "NotImplemented"));
    }
    let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
    if !shelf.refuse.is_empty() {
        let (status, code) = shelf.refuse.remove(0);
        return Ok(said(status, code));
    }
    *shelf.puts.entry(path.clone()).or_default() += 1;
    let tag = format!("\"{}\"", hex(digest::digest(&digest::SHA256, &body).as_ref()));
    shelf.objects.insert(path, body);
    if shelf.lose > 0 {
        shelf.lose -= 1;
        return Ok(said(500, "InternalError"));
    }
    let mut response = Response::new(Full::new(Bytes::new()));
    if let Ok(tag) = tag.parse() {
        response.headers_mut().insert("etag", tag);
    }
    Ok(response)
}

fn said(status: u16, code: &str) -> Response<Full<Bytes>> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Whether a request is signed; S3's word for what is wrong.
fn check(head: &http::request::Parts, body: &Bytes) -> Result<(), &'static str> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = header("authorization").strip_prefix("AWS4-HMAC-SHA256 ").ok_or("AccessDenied")?;
    let part = |name: &str| given.split(", ").flat_map(|part| part.split(',')).find_map(|part| part.trim().strip_prefix(name));
    let (credential, signed) = (part("Credential=").ok_or("AccessDenied")?, part("SignedHeaders=").ok_or("AccessDenied")?);
    let at = header("x-amz-date");
    let day = at.get(..8).ok_or("AccessDenied")?;
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    if credential != format!("{ACCESS_KEY_ID}/{scope}") {
        return Err("InvalidAccessKeyId");
    }
    let hash = header("x-amz-content-sha256");
    if hash != hex(digest::digest(&digest::SHA256, body).as_ref()) {
        return Err("XAmzContentSHA256Mismatch");
    }
    if !["host", "x-amz-content-sha256", "x-amz-date"].iter().all(|name| signed.split(';').any(|signed| signed == *name)) {
        return Err("AccessDenied");
    }
    let headers: String = signed.split(';').map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    let query = head.uri.query().unwrap_or_default();
    let request = format!("{}\n{}\n{query}\n{headers}\n{signed}\n{hash}", head.method, head.uri.path());
    let request = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{request}");
    let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let mut key = sign(format!("AWS4{SECRET_ACCESS_KEY}").as_bytes(), day);
    for text in [REGION, "s3", "aws4_request"] {
        key = sign(key.as_ref(), text);
    }
    let expected = hex(sign(key.as_ref(), &text).as_ref());
    if part("Signature=") == Some(expected.as_str()) { Ok(()) } else { Err("SignatureDoesNotMatch") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A path without its percent signs.
fn decoded(path: &str) -> String {
    let mut out = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
