//! A simulated iPhone: Wallet and the daemon that keeps passes up to date.
//!
//! It speaks Apple's pass web service from the phone's side: it registers when a pass is added, asks on a push which
//! passes have changed, fetches these conditionally, works out what the lock screen says, and unregisters when a pass is
//! removed or its automatic updates are switched off. Every exchange is handed out for assertions; what a real phone would
//! write into its log is kept as a complaint and sent by [`Iphone::send_log`].
//!
//! Source: Apple, *Adding a Web Service to Update Passes* and its five endpoints.

mod archive;
mod network;
mod package;
mod update;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use rustls_pki_types::CertificateDer;
use serde_json::json;

pub use crate::tls::TlsError;
pub use network::{Exchange, Network, NoAnswer};
pub use package::{PassKey, Refused, ShownField, WalletPass, WebService};
pub(crate) use update::changed_serials;
pub use update::{Fetched, Outcome, Update};

/// MIME type of one pass; anything else is a download to the phone's browser.
pub(crate) const PASS_MIME: &str = "application/vnd.apple.pkpass";
/// How the browser of a phone introduces itself.
const BROWSER: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
/// How the daemon that updates passes introduces itself.
pub(crate) const DAEMON: &str = "passd/1.0 CFNetwork/3826.500.131 Darwin/24.5.0";
/// Complaints kept until they are sent.
const MAX_COMPLAINTS: usize = 100;

/// A phone with one Wallet.
#[derive(Debug)]
pub struct Iphone {
    device: String,
    push_token: String,
    network: Network,
    passes: BTreeMap<PassKey, Held>,
    /// The last update tag per web service and pass type.
    tags: BTreeMap<(String, String), String>,
    complaints: Vec<String>,
    lock_screen: Vec<String>,
    trust: Option<SignatureTrust>,
}

/// Under which roots a pass must be signed. The manifest and `pass.json` the phone reads by itself; the cryptography of the
/// signature is left to the `pkpass` crate's verifier, which its own tests hold against openssl.
#[derive(Clone)]
pub struct SignatureTrust {
    roots: Vec<CertificateDer<'static>>,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl SignatureTrust {
    /// Trust in these roots (DER), at the time that `now` tells, in seconds since 1970.
    #[must_use]
    pub fn new(roots: Vec<CertificateDer<'static>>, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { roots, now: Arc::new(now) }
    }

    fn check(&self, pkpass: &[u8]) -> Result<(), Refused> {
        let package = pkpass::Package::parse(pkpass, &pkpass::Limits::PASS).map_err(|error| Refused(error.to_string()))?;
        let roots: Vec<&[u8]> = self.roots.iter().map(AsRef::as_ref).collect();
        let verification = pkpass::verify(&package, &roots, (self.now)());
        match verification.failures().next() {
            Some((check, reason)) => Err(Refused(format!("{}: {reason}", check.name()))),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for SignatureTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignatureTrust").field("roots", &self.roots.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Held {
    pass: WalletPass,
    last_modified: Option<String>,
    automatic_updates: bool,
    /// Known to have changed, but not fetched successfully yet.
    stale: bool,
}

/// Why the phone could not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PhoneError {
    /// The package is not a pass that Wallet takes.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A request got no answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The browser was offered something else than a pass.
    #[error("the browser got status {status} and content type {content_type:?} from {url}, not a pass")]
    NotAPass {
        /// Where.
        url: String,
        /// The answer's status.
        status: StatusCode,
        /// The answer's content type.
        content_type: Option<String>,
    },
    /// There is no such pass in this Wallet.
    #[error("the phone holds no pass {} of type {}", .0.serial, .0.pass_type)]
    NoSuchPass(PassKey),
    /// The pass is not kept up to date by any server.
    #[error("pass {} of type {} has no web service", .0.serial, .0.pass_type)]
    NoWebService(PassKey),
}

/// A pass that went into the Wallet.
#[derive(Debug, Clone)]
pub struct Added {
    /// Which one.
    pub key: PassKey,
    /// The registration, unless the pass names no web service.
    pub registration: Option<Exchange>,
}

impl Iphone {
    /// A phone without passes. The device library identifier and the push token (hexadecimal) are the device's own choice
    /// and APNs'.
    #[must_use]
    pub fn new(device_library_identifier: impl Into<String>, push_token: impl Into<String>, network: Network) -> Self {
        Self {
            device: device_library_identifier.into(),
            push_token: push_token.into(),
            network,
            passes: BTreeMap::new(),
            tags: BTreeMap::new(),
            complaints: Vec::new(),
            lock_screen: Vec::new(),
            trust: None,
        }
    }

    /// The same phone, which from now on takes only passes signed under `trust`, as a real one does under Apple's root.
    #[must_use]
    pub fn trusting(mut self, trust: SignatureTrust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// The token under which APNs reaches this phone.
    #[must_use]
    pub fn push_token(&self) -> &str {
        &self.push_token
    }

    /// The passes in the Wallet.
    pub fn passes(&self) -> impl Iterator<Item = &WalletPass> {
        self.passes.values().map(|held| &held.pass)
    }

    /// One pass of the Wallet.
    #[must_use]
    pub fn pass(&self, key: &PassKey) -> Option<&WalletPass> {
        self.passes.get(key).map(|held| &held.pass)
    }

    /// Every line that the lock screen has shown, oldest first.
    #[must_use]
    pub fn lock_screen(&self) -> &[String] {
        &self.lock_screen
    }

    /// What a real phone would have in its log by now and not yet sent.
    #[must_use]
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Opens a link in the browser and adds the pass behind it.
    ///
    /// # Errors
    /// When the answer is no pass, or Wallet refuses it, or nobody answers.
    pub async fn add_from(&mut self, url: &str) -> Result<Added, PhoneError> {
        let download = self.network.browse(url).await?;
        let content_type = download.header("content-type").map(str::to_owned);
        if download.status != StatusCode::OK || content_type.as_deref() != Some(PASS_MIME) {
            return Err(PhoneError::NotAPass { url: url.to_owned(), status: download.status, content_type });
        }
        let last_modified = download.header("last-modified").map(str::to_owned);
        self.add(&download.body, last_modified).await
    }

    /// Adds a pass from its bytes, as from a mail, and registers it.
    ///
    /// # Errors
    /// When Wallet refuses the package, or the web service does not answer. An answer other than 200 or 201 is no error
    /// but a complaint: the pass is in the Wallet all the same.
    pub async fn add_pass(&mut self, pkpass: &[u8]) -> Result<Added, PhoneError> {
        self.add(pkpass, None).await
    }

    fn read(&self, pkpass: &[u8]) -> Result<WalletPass, Refused> {
        let pass = WalletPass::read(pkpass)?;
        if let Some(trust) = &self.trust {
            trust.check(pkpass)?;
        }
        Ok(pass)
    }

    async fn add(&mut self, pkpass: &[u8], last_modified: Option<String>) -> Result<Added, PhoneError> {
        let pass = self.read(pkpass)?;
        let key = pass.key.clone();
        let registers = pass.web_service.is_some();
        let held = Held { pass, last_modified, automatic_updates: registers, stale: false };
        self.passes.insert(key.clone(), held);
        let registration = if registers { Some(self.register(&key).await?) } else { None };
        Ok(Added { key, registration })
    }

    async fn register(&mut self, key: &PassKey) -> Result<Exchange, PhoneError> {
        let service = self.service(key)?;
        let body = json!({ "pushToken": self.push_token }).to_string();
        let authorization = format!("ApplePass {}", service.token);
        let headers = [("user-agent", DAEMON), ("authorization", authorization.as_str()), ("content-type", "application/json")];
        let url = self.registration_url(&service, key);
        let exchange = self.network.send(Method::POST, &url, &headers, body.into()).await?;
        if !matches!(exchange.status, StatusCode::OK | StatusCode::CREATED) {
            self.complain(format!("Register task (for {}) unexpected response code {}", key.serial, exchange.status.as_u16()));
        }
        Ok(exchange)
    }

    async fn unregister(&mut self, key: &PassKey) -> Result<Exchange, PhoneError> {
        let service = self.service(key)?;
        let authorization = format!("ApplePass {}", service.token);
        let headers = [("user-agent", DAEMON), ("authorization", authorization.as_str())];
        let url = self.registration_url(&service, key);
        let exchange = self.network.send(Method::DELETE, &url, &headers, Bytes::new()).await?;
        if exchange.status != StatusCode::OK {
            self.complain(format!("Unregister task (for {}) unexpected response code {}", key.serial, exchange.status.as_u16()));
        }
        Ok(exchange)
    }

    /// Removes a pass, and unregisters it if it was registered.
    ///
    /// # Errors
    /// When there is no such pass, or the web service does not answer (the pass is gone all the same).
    pub async fn remove_pass(&mut self, key: &PassKey) -> Result<Option<Exchange>, PhoneError> {
        let held = self.passes.get(key).ok_or_else(|| PhoneError::NoSuchPass(key.clone()))?;
        let outcome = if held.automatic_updates { self.unregister(key).await.map(Some) } else { Ok(None) };
        self.passes.remove(key);
        outcome
    }

    /// Switches a pass's automatic updates. A phone unregisters when they go off, exactly as when a pass is removed.
    ///
    /// # Errors
    /// When there is no such pass, it has no web service, or that does not answer.
    pub async fn set_automatic_updates(&mut self, key: &PassKey, on: bool) -> Result<Exchange, PhoneError> {
        self.service(key)?;
        if let Some(held) = self.passes.get_mut(key) {
            held.automatic_updates = on;
        }
        if on { self.register(key).await } else { self.unregister(key).await }
    }

    /// Sends the complaints to the web service of a pass, and forgets them.
    ///
    /// # Errors
    /// When there is no such pass, it has no web service, or that does not answer.
    pub async fn send_log(&mut self, key: &PassKey) -> Result<Exchange, PhoneError> {
        let service = self.service(key)?;
        let body = json!({ "logs": self.complaints }).to_string();
        let headers = [("user-agent", DAEMON), ("content-type", "application/json")];
        let url = format!("{}/v1/log", service.url);
        let exchange = self.network.send(Method::POST, &url, &headers, body.into()).await?;
        self.complaints.clear();
        Ok(exchange)
    }

    fn complain(&mut self, complaint: String) {
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push(complaint);
        }
    }

    fn service(&self, key: &PassKey) -> Result<WebService, PhoneError> {
        let held = self.passes.get(key).ok_or_else(|| PhoneError::NoSuchPass(key.clone()))?;
        held.pass.web_service.clone().ok_or_else(|| PhoneError::NoWebService(key.clone()))
    }

    fn registration_url(&self, service: &WebService, key: &PassKey) -> String {
        let (device, pass_type, serial) = (encode(&self.device), encode(&key.pass_type), encode(&key.serial));
        format!("{}/v1/devices/{device}/registrations/{pass_type}/{serial}", service.url)
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
pub(crate) fn encode(text: &str) -> PercentEncode<'_> {
    const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, NOT_UNRESERVED)
}
