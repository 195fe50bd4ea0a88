//! An endpoint for Google's call-backs with one pass, that can be broken in one way.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;

use crate::now;

const PROTOCOL: &str = "ECv2SigningOnly";
const SENDER: &str = "GooglePayPasses";
const MANY: usize = 8;

/// One way to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    ForbiddenByRobots,
    /// spatie/laravel-mobile-pass until May 2026: what comes is read as a JWT.
    WantsJwt,
    IgnoresDeletions,
    RefusesRepeats,
    /// spatie/laravel-mobile-pass: the nonce is not kept.
    ForgetsNonces,
    /// edutap.wallet_google: lengths of what is signed are counted in characters.
    CountsLetters,
    /// edutap.wallet_google: the recipient is the issuer of the message's class.
    RecipientFromMessage,
    /// edutap.wallet_google: verification can be switched off.
    MessageUnverified,
    /// spatie/laravel-mobile-pass: expTimeMillis is not looked at.
    IgnoresExpiry,
    IgnoresKeyExpiry,
    KeyUnverified,
    AnyProtocolsRoot,
    ExpiredRoots,
    ProtocolInAnyCase,
    RefetchesKeys,
    FallsOverGarbage,
    TakesGarbage,
    FallsOverUnknownPass,
    Overloaded,
}

pub struct Desk {
    pub url: String,
    fault: Option<Fault>,
    issuer: String,
    object: String,
    keys_url: String,
    keys: Mutex<Value>,
    nonces: Mutex<HashSet<String>>,
    saved: Mutex<bool>,
    under_way: AtomicUsize,
}

impl Desk {
    pub async fn open(fault: Option<Fault>, issuer: &str, object: &str, keys_url: &str) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let desk = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            fault,
            issuer: issuer.to_owned(),
            object: object.to_owned(),
            keys_url: keys_url.to_owned(),
            keys: Mutex::default(),
            nonces: Mutex::default(),
            saved: Mutex::default(),
            under_way: AtomicUsize::new(0),
        });
        desk.fetch().await;
        let app = Router::new()
            .route("/google/callback", post(take))
            .route("/robots.txt", get(robots))
            .layer(DefaultBodyLimit::max(64 << 10))
            .with_state(Arc::clone(&desk));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        desk
    }

    pub fn is_saved(&self) -> bool {
        *self.saved.lock()
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    async fn fetch(&self) {
        let url: hyper::Uri = self.keys_url.parse().unwrap();
        let stream = tokio::net::TcpStream::connect(url.authority().unwrap().as_str()).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let host = url.authority().unwrap().as_str();
        let request = hyper::Request::get(url.path()).header("host", host).body(Full::new(Bytes::new())).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        *self.keys.lock() = serde_json::from_slice(&body).unwrap();
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        let keys = self.keys.lock();
        let lives = |key: &&Value| {
            let expires: i64 = key["keyExpiration"].as_str().unwrap().parse().unwrap();
            (key["protocolVersion"] == PROTOCOL || self.has(Fault::AnyProtocolsRoot))
                && (expires > now() || self.has(Fault::ExpiredRoots))
        };
        let list = keys["keys"].as_array().unwrap().iter().filter(lives);
        list.map(|key| STANDARD.decode(key["keyValue"].as_str().unwrap()).unwrap()).collect()
    }

    fn signed(&self, parts: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            let length = if self.has(Fault::CountsLetters) { part.chars().count() } else { part.len() };
            bytes.extend(u32::try_from(length).unwrap().to_le_bytes());
            bytes.extend(part.bytes());
        }
        bytes
    }

    /// The message, when everything about it is right.
    fn verified(&self, body: &[u8]) -> Option<Value> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let protocol = body["protocolVersion"].as_str()?;
        let same =
            if self.has(Fault::ProtocolInAnyCase) { protocol.eq_ignore_ascii_case(PROTOCOL) } else { protocol == PROTOCOL };
        if !same || self.has(Fault::WantsJwt) {
            return None;
        }
        let key_text = body["intermediateSigningKey"]["signedKey"].as_str()?;
        let key: Value = serde_json::from_str(key_text).ok()?;
        let about_key = self.signed(&[SENDER, protocol, key_text]);
        let signatures = body["intermediateSigningKey"]["signatures"].as_array()?;
        let by_root = self.roots().iter().any(|root| signatures.iter().any(|text| is_signed(root, &about_key, text)));
        if !by_root && !self.has(Fault::KeyUnverified) {
            return None;
        }
        let expires: i64 = key["keyExpiration"].as_str()?.parse().ok()?;
        if expires <= now() && !self.has(Fault::IgnoresKeyExpiry) {
            return None;
        }
        let text = body["signedMessage"].as_str()?;
        let message: Value = serde_json::from_str(text).ok()?;
        let claimed = message["classId"].as_str()?.split('.').next()?;
        let recipient = if self.has(Fault::RecipientFromMessage) { claimed } else { self.issuer.as_str() };
        let intermediate = STANDARD.decode(key["keyValue"].as_str()?).ok()?;
        let right = is_signed(&intermediate, &self.signed(&[SENDER, recipient, protocol, text]), &body["signature"]);
        if !right && !self.has(Fault::MessageUnverified) {
            return None;
        }
        let other = claimed != self.issuer && !self.has(Fault::RecipientFromMessage);
        let late = message["expTimeMillis"].as_i64()? <= now() && !self.has(Fault::IgnoresExpiry);
        (!other && !late).then_some(message)
    }
}

fn is_signed(key: &[u8], bytes: &[u8], signature: &Value) -> bool {
    let signature = signature.as_str().and_then(|text| STANDARD.decode(text).ok());
    signature.is_some_and(|signature| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(bytes, &signature).is_ok())
}

async fn robots(State(desk): State<Arc<Desk>>) -> &'static str {
    if desk.has(Fault::ForbiddenByRobots) { "User-agent: *\nDisallow: /google\n" } else { "User-agent: *\nDisallow: /private\n" }
}

async fn take(State(desk): State<Arc<Desk>>, body: Bytes) -> StatusCode {
    let crowd = desk.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    if desk.has(Fault::Overloaded) {
        // As long as others need to come too.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let status =
        if crowd > MANY && desk.has(Fault::Overloaded) { StatusCode::SERVICE_UNAVAILABLE } else { judge(&desk, &body).await };
    desk.under_way.fetch_sub(1, Ordering::SeqCst);
    status
}

async fn judge(desk: &Desk, body: &[u8]) -> StatusCode {
    let readable = serde_json::from_slice::<Value>(body).is_ok_and(|body| body["signedMessage"].is_string());
    if !readable && desk.has(Fault::FallsOverGarbage) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    if !readable && desk.has(Fault::TakesGarbage) {
        return StatusCode::OK;
    }
    let Some(message) = desk.verified(body) else {
        if readable && desk.has(Fault::RefetchesKeys) {
            desk.fetch().await;
        }
        return StatusCode::BAD_REQUEST;
    };
    let fresh = desk.nonces.lock().insert(message["nonce"].as_str().unwrap().to_owned());
    if !fresh && desk.has(Fault::RefusesRepeats) {
        return StatusCode::CONFLICT;
    }
    if message["objectId"] != desk.object.as_str() {
        let falls = desk.has(Fault::FallsOverUnknownPass);
        return if falls { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    }
    if fresh || desk.has(Fault::ForgetsNonces) {
        let saved = message["eventType"] == "save";
        if saved || !desk.has(Fault::IgnoresDeletions) {
            *desk.saved.lock() = saved;
        }
    }
    StatusCode::OK
}
