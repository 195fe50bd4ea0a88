//! A storage that speaks as much of S3, or of Google Cloud Storage's XML API, as putting objects takes.
//!
//! As S3 it lets nobody in whose request is not signed by AWS Signature Version 4: method, path, headers, the body's hash and the
//! time, by the secret key. Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
//!
//! As Google's it wants the token that a service account signs for itself, and answers with the object's generation, by which a
//! request can say what it expects to be there. Sources: <https://google.aip.dev/auth/4111>,
//! <https://cloud.google.com/storage/docs/xml-api/put-object-upload>, <https://cloud.google.com/storage/docs/xml-api/reference-status>,
//! <https://cloud.google.com/storage/docs/objects#naming>.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write as _,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    digest, hmac,
    rsa::KeyPair as RsaKeyPair,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
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
    /// How often anything was put: the next generation but one.
    generations: u64,
    /// The generation of each object.
    generation: BTreeMap<String, u64>,
}

/// Who is let in, and how what is wrong is called.
#[derive(Debug)]
enum Door {
    S3,
    Google(Account),
}

/// A service account that may write.
#[derive(Debug)]
struct Account {
    email: String,
    key_id: String,
    /// Its key's public half, an `RSAPublicKey` in DER.
    public_key: Vec<u8>,
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
    /// Starts a storage as S3 with one bucket.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(bucket: &'static str) -> io::Result<Self> {
        Self::behind(Door::S3, bucket).await
    }

    /// Starts a storage as Google's with one bucket, which the account of a key file may write to.
    ///
    /// # Errors
    /// When no port is free, or the key file is none.
    pub async fn google(bucket: &'static str, key_file: &[u8]) -> io::Result<Self> {
        let account = Account::of(key_file).ok_or_else(|| io::Error::other("no key file"))?;
        Self::behind(Door::Google(account), bucket).await
    }

    async fn behind(door: Door, bucket: &'static str) -> io::Result<Self> {
        let door = Arc::new(door);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let shared = Arc::clone(&shelf);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, door) = (Arc::clone(&shared), Arc::clone(&door));
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(&door, bucket, request, &shared));
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

async fn answer(
    door: &Door,
    bucket: &str,
    request: Request<Incoming>,
    shelf: &Mutex<Shelf>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_OBJECT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(said(400, "EntityTooLarge")),
    };
    let refused = match door {
        Door::S3 => check(&head, &body).err().map(|code| (403, code)),
        Door::Google(account) => account.check(&head, &body).err(),
    };
    if let Some((status, code)) = refused {
        return Ok(said(status, code));
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
    let expected = head.headers.get("x-goog-if-generation-match").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if expected.is_some_and(|expected| shelf.generation.get(&path).copied().unwrap_or_default() != expected) {
        return Ok(said(412, "PreconditionFailed"));
    }
    *shelf.puts.entry(path.clone()).or_default() += 1;
    shelf.generations += 1;
    let generation = shelf.generations;
    shelf.generation.insert(path.clone(), generation);
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
    if matches!(door, Door::Google(_)) {
        response.headers_mut().insert("x-goog-generation", generation.into());
    }
    Ok(response)
}

fn said(status: u16, code: &str) -> Response<Full<Bytes>> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

impl Account {
    fn of(key_file: &[u8]) -> Option<Self> {
        let file: Value = serde_json::from_slice(key_file).ok()?;
        let text = |name: &str| Some(file[name].as_str()?.to_owned());
        let pem = text("private_key")?;
        let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let key = RsaKeyPair::from_pkcs8(&BASE64.decode(der.as_bytes()).ok()?).ok()?;
        Some(Self {
            email: text("client_email")?,
            key_id: text("private_key_id")?,
            public_key: key.public_key().as_ref().to_vec(),
        })
    }

    /// Whether a request has the account's own token and fits; Google's word for what is wrong.
    fn check(&self, head: &http::request::Parts, body: &Bytes) -> Result<(), (u16, &'static str)> {
        /// Longest name of an object, in bytes.
        const MAX_NAME: usize = 1_024;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = header("authorization").strip_prefix("Bearer ").ok_or((401, "AuthenticationRequired"))?;
        let is_ours = self.signed(token).is_some();
        if !is_ours {
            return Err((401, "AuthenticationRequired"));
        }
        let name = decoded(head.uri.path().trim_start_matches('/'));
        let name = name.split_once('/').map(|(_, name)| name).unwrap_or_default();
        if name.is_empty() || name.len() > MAX_NAME || name.contains(['\r', '\n']) {
            return Err((400, "InvalidObjectName"));
        }
        if head.headers.get("content-length").is_none() {
            return Err((411, "MissingContentLength"));
        }
        let is_whole = header("content-length").parse() == Ok(body.len());
        if is_whole { Ok(()) } else { Err((400, "IncompleteBody")) }
    }

    /// Checks a token that the account signed for itself: by its key, for the storage, for an hour at most.
    #[allow(clippy::disallowed_methods, reason = "the library that signs asks the machine for the time, too")]
    fn signed(&self, token: &str) -> Option<()> {
        const SCOPES: [&str; 3] = [
            "https://www.googleapis.com/auth/cloud-platform",
            "https://www.googleapis.com/auth/devstorage.full_control",
            "https://www.googleapis.com/auth/devstorage.read_write",
        ];
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let json = |part: &str| serde_json::from_slice::<Value>(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok();
        let (header, claims) = (json(header)?, json(claims)?);
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
        let (begins, ends) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
        let is_for_us = claims["scope"].as_str()?.split(' ').any(|scope| SCOPES.contains(&scope));
        let is_his = claims["iss"] == *self.email && claims["sub"] == *self.email && header["kid"] == *self.key_id;
        let is_now = begins <= now + 60 && now < ends && ends - begins <= 3_600;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        let proves = header["alg"] == "RS256" && key.verify(message.as_bytes(), &signature).is_ok();
        (is_for_us && is_his && is_now && proves).then_some(())
    }
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
pub(crate) fn decoded(path: &str) -> String {
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
