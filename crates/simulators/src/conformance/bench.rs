//! What cases work with: phones with raw requests, and words for what came.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::json;

use super::{Credential, Subject};
use crate::iphone::{DAEMON, Exchange, Network, NoAnswer, PASS_MIME, WalletPass, changed_serials, encode};

/// Well-formed and nobody's.
pub(super) const WRONG_TOKEN: &str = "conformance-0000000000000000";
/// A pass type that no server has.
pub(super) const NOBODYS_TYPE: &str = "pass.com.example.conformance.nobody";

/// Why a case ends early.
#[derive(Debug)]
pub(super) enum Short {
    /// The server does not do what is demanded.
    Broken(String),
    /// Something that the case needs is not there.
    Without(String),
}

/// What a case comes to: what was seen, or why not.
pub(super) type Outcome = Result<String, Short>;

impl From<NoAnswer> for Short {
    fn from(none: NoAnswer) -> Self {
        Self::Broken(none.to_string())
    }
}

pub(super) fn broken<T>(came: impl Into<String>) -> Result<T, Short> {
    Err(Short::Broken(came.into()))
}

/// A registration that was taken and not given back yet.
struct Held {
    device: String,
    credential: Credential,
}

/// One run of the kit.
pub(super) struct Bench<'a> {
    pub(super) subject: &'a Subject,
    pub(super) network: &'a Network,
    phones: AtomicU64,
    held: Mutex<Vec<Held>>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(subject: &'a Subject, network: &'a Network) -> Self {
        Self { subject, network, phones: AtomicU64::new(0), held: Mutex::default() }
    }

    /// A phone that this server never saw.
    pub(super) fn phone(&self) -> Phone<'_> {
        let number = self.phones.fetch_add(1, Ordering::Relaxed);
        Phone {
            bench: self,
            device: format!("conformance-{}-{number}", self.subject.run),
            token: push_token(&self.subject.run, number),
        }
    }

    /// A serial that this server cannot know.
    pub(super) fn unknown_serial(&self) -> String {
        format!("nobody-{}", self.subject.run)
    }

    pub(super) fn pass(&self) -> Result<&Credential, Short> {
        let without = || Short::Without("it takes a pass of the server".to_owned());
        self.subject.pass.as_ref().ok_or_else(without)
    }

    /// The pass type and a token: those of the pass, or somebody's who is nobody.
    pub(super) fn anybody(&self) -> (&str, &str) {
        let of = |pass: &'a Credential| (pass.pass_type.as_str(), pass.token.as_str());
        self.subject.pass.as_ref().map_or((NOBODYS_TYPE, WRONG_TOKEN), of)
    }

    pub(super) fn other(&self) -> Result<&Credential, Short> {
        let without = || Short::Without("it takes a second pass of the same server".to_owned());
        self.subject.other.as_ref().ok_or_else(without)
    }

    /// Has the pass changed by its owner.
    pub(super) async fn update(&self) -> Result<(), Short> {
        let Some(update) = &self.subject.update else {
            return Err(Short::Without("it takes a way to change the pass".to_owned()));
        };
        update().await.map_err(|why| Short::Without(format!("the pass could not be changed: {why}")))
    }

    /// Has the pass ended by its owner.
    pub(super) async fn end(&self) -> Result<(), Short> {
        let Some(end) = &self.subject.end else {
            return Err(Short::Without("it takes a way to end the pass for good".to_owned()));
        };
        end().await.map_err(|why| Short::Without(format!("the pass could not be ended: {why}")))
    }

    /// Whether the server is on this machine, where phones would not come.
    pub(super) fn is_local(&self) -> bool {
        let host = self.subject.service.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or(rest));
        matches!(host, Some("localhost" | "127.0.0.1" | "["))
    }

    /// Unregisters what a case left registered. What cannot be is said by the cases that are about it.
    pub(super) async fn tidy(&self) {
        let left = std::mem::take(&mut *self.held.lock());
        for Held { device, credential } in left {
            let phone = Phone { bench: self, device, token: String::new() };
            let _ = phone.unregister(&credential, Some(&credential.token)).await;
        }
    }

    /// Asks for a pass; `token` is what is shown, `more` further headers.
    pub(super) async fn request(
        &self,
        method: Method,
        (pass_type, serial): (&str, &str),
        token: Option<&str>,
        more: &[(&str, &str)],
    ) -> Result<Exchange, NoAnswer> {
        let url = format!("{}/v1/passes/{}/{}", self.subject.service, encode(pass_type), encode(serial));
        let authorization = token.map(|token| format!("ApplePass {token}"));
        let mut headers = vec![("user-agent", DAEMON)];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        headers.extend(more);
        self.network.send(method, &url, &headers, Bytes::new()).await
    }

    /// Fetches the pass with its own token.
    pub(super) async fn fetch(&self, more: &[(&str, &str)]) -> Result<Exchange, Short> {
        let Credential { pass_type, serial, token } = self.pass()?;
        Ok(self.request(Method::GET, (pass_type, serial), Some(token), more).await?)
    }

    /// The pass as a phone reads it, and its `Last-Modified`.
    pub(super) async fn fetched(&self) -> Result<(WalletPass, String), Short> {
        let exchange = self.fetch(&[]).await?;
        expect(&exchange, &[StatusCode::OK])?;
        let modified = exchange.header("last-modified").unwrap_or_default().to_owned();
        Ok((read(&exchange)?, modified))
    }
}

/// A package as a phone takes it.
pub(super) fn read(exchange: &Exchange) -> Result<WalletPass, Short> {
    match exchange.header("content-type") {
        Some(PASS_MIME) => {}
        other => return broken(format!("the content type is {other:?}, not {PASS_MIME}")),
    }
    WalletPass::read(&exchange.body).map_err(|refused| Short::Broken(refused.to_string()))
}

fn push_token(run: &str, number: u64) -> String {
    let name = format!("{run}/{number}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What was asked and what came, in one line.
pub(super) fn told(exchange: &Exchange) -> String {
    let path = exchange.url.split_once("/v1/").map_or(exchange.url.as_str(), |(_, path)| path);
    format!("{} /v1/{path} answered {}", exchange.method, exchange.status.as_u16())
}

/// Fails unless the status is one of these.
pub(super) fn expect(exchange: &Exchange, wanted: &[StatusCode]) -> Result<(), Short> {
    if wanted.contains(&exchange.status) {
        return Ok(());
    }
    let wanted: Vec<_> = wanted.iter().map(|status| status.as_u16().to_string()).collect();
    broken(format!("{}, not {}", told(exchange), wanted.join(" or ")))
}

/// A phone of the kit: a device id and a push token.
pub(super) struct Phone<'a> {
    bench: &'a Bench<'a>,
    pub(super) device: String,
    pub(super) token: String,
}

impl Phone<'_> {
    fn url(&self, pass_type: &str, serial: &str) -> String {
        let (service, device) = (&self.bench.subject.service, encode(&self.device));
        format!("{service}/v1/devices/{device}/registrations/{}/{}", encode(pass_type), encode(serial))
    }

    /// Registers; `shown` is the token that is shown for the pass.
    pub(super) async fn register(&self, credential: &Credential, shown: Option<&str>) -> Result<Exchange, NoAnswer> {
        let body = json!({ "pushToken": self.token }).to_string();
        let exchange = self.post(credential, shown, body.into()).await?;
        if exchange.status.is_success() {
            let held = Held { device: self.device.clone(), credential: credential.clone() };
            self.bench.held.lock().push(held);
        }
        Ok(exchange)
    }

    /// A registration with any body.
    pub(super) async fn post(&self, credential: &Credential, shown: Option<&str>, body: Bytes) -> Result<Exchange, NoAnswer> {
        let authorization = shown.map(|token| format!("ApplePass {token}"));
        let mut headers = vec![("user-agent", DAEMON), ("content-type", "application/json")];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let url = self.url(&credential.pass_type, &credential.serial);
        self.bench.network.send(Method::POST, &url, &headers, body).await
    }

    /// Registers with the pass's own token, for the first time.
    pub(super) async fn join(&self, credential: &Credential) -> Result<(), Short> {
        let exchange = self.register(credential, Some(&credential.token)).await?;
        expect(&exchange, &[StatusCode::CREATED])
    }

    pub(super) async fn unregister(&self, credential: &Credential, shown: Option<&str>) -> Result<Exchange, NoAnswer> {
        let authorization = shown.map(|token| format!("ApplePass {token}"));
        let mut headers = vec![("user-agent", DAEMON)];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let url = self.url(&credential.pass_type, &credential.serial);
        let exchange = self.bench.network.send(Method::DELETE, &url, &headers, Bytes::new()).await?;
        if exchange.status.is_success() {
            self.bench.held.lock().retain(|held| held.device != self.device || held.credential != *credential);
        }
        Ok(exchange)
    }

    /// Unregisters with the pass's own token.
    pub(super) async fn leave(&self, credential: &Credential) -> Result<(), Short> {
        let exchange = self.unregister(credential, Some(&credential.token)).await?;
        expect(&exchange, &[StatusCode::OK])
    }

    /// Asks what has changed of a type since a tag.
    pub(super) async fn list(&self, pass_type: &str, tag: Option<&str>) -> Result<Exchange, NoAnswer> {
        let (service, device) = (&self.bench.subject.service, encode(&self.device));
        let mut url = format!("{service}/v1/devices/{device}/registrations/{}", encode(pass_type));
        if let Some(tag) = tag {
            url = format!("{url}?passesUpdatedSince={}", encode(tag));
        }
        self.bench.network.send(Method::GET, &url, &[("user-agent", DAEMON)], Bytes::new()).await
    }

    /// The serials and the tag of that answer; no serials and no tag for 204.
    pub(super) async fn listed(&self, pass_type: &str, tag: Option<&str>) -> Result<(Vec<String>, Option<String>), Short> {
        let exchange = self.list(pass_type, tag).await?;
        match changed_serials(&exchange) {
            Ok(Some((serials, tag))) => Ok((serials, Some(tag))),
            Ok(None) => Ok((Vec::new(), None)),
            Err(what) => broken(format!("{}: {what}", told(&exchange))),
        }
    }

    /// The tag of an answer that lists this pass.
    pub(super) async fn lists(&self, credential: &Credential, tag: Option<&str>) -> Result<String, Short> {
        let (serials, new) = self.listed(&credential.pass_type, tag).await?;
        match new {
            Some(new) if serials.contains(&credential.serial) => Ok(new),
            _ => broken(format!("the list since {tag:?} names {serials:?} and not the pass {}", credential.serial)),
        }
    }
}
