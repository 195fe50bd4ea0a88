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

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

pub use crate::tls::TlsError;
pub use network::{Exchange, Network, NoAnswer};
pub use package::{PassKey, Refused, ShownField, WalletPass, WebService};

/// MIME type of one pass; anything else is a download to the phone's browser.
const PASS_MIME: &str = "application/vnd.apple.pkpass";
/// How the browser of a phone introduces itself.
const BROWSER: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
/// How the daemon that updates passes introduces itself.
const DAEMON: &str = "passd/1.0 CFNetwork/3826.500.131 Darwin/24.5.0";
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

/// What a push led to at one web service.
#[derive(Debug, Clone)]
pub struct Update {
    /// The question which passes have changed.
    pub list: Exchange,
    /// The passes that were then fetched.
    pub fetched: Vec<Fetched>,
}

/// One fetched pass.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Which one.
    pub key: PassKey,
    /// The request and its answer.
    pub exchange: Exchange,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of fetching a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 304: the phone has it already.
    Unchanged,
    /// The new package replaced the old one.
    Replaced {
        /// The line on the lock screen, if any.
        line: Option<String>,
        /// Whether the pass is voided now.
        voided: bool,
    },
    /// The answer was of no use; the phone would try again later. The reason is a complaint too.
    Failed(String),
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
        }
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
        let headers = [("user-agent", BROWSER), ("accept", "text/html,*/*;q=0.8")];
        let download = self.network.send(Method::GET, url, &headers, Bytes::new()).await?;
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

    async fn add(&mut self, pkpass: &[u8], last_modified: Option<String>) -> Result<Added, PhoneError> {
        let pass = WalletPass::read(pkpass)?;
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

    /// A push has come in for a pass type: asks each web service of that type what has changed and fetches it. The daily
    /// poll of a phone without pushes does the same.
    ///
    /// # Errors
    /// When a web service does not answer. Answers that are wrong are complaints.
    pub async fn on_push(&mut self, pass_type: &str) -> Result<Vec<Update>, PhoneError> {
        let services: BTreeSet<String> = self
            .passes
            .values()
            .filter(|held| held.pass.key.pass_type == pass_type && held.automatic_updates)
            .filter_map(|held| held.pass.web_service.as_ref().map(|service| service.url.clone()))
            .collect();
        let mut updates = Vec::new();
        for service in services {
            updates.push(self.update_from(&service, pass_type).await?);
        }
        Ok(updates)
    }

    async fn update_from(&mut self, service: &str, pass_type: &str) -> Result<Update, PhoneError> {
        let slot = (service.to_owned(), pass_type.to_owned());
        let tag = self.tags.get(&slot).cloned();
        let mut url = format!("{service}/v1/devices/{}/registrations/{}", encode(&self.device), encode(pass_type));
        if let Some(tag) = &tag {
            url = format!("{url}?passesUpdatedSince={}", encode(tag));
        }
        let list = self.network.send(Method::GET, &url, &[("user-agent", DAEMON)], Bytes::new()).await?;
        match changed_serials(&list) {
            Ok(Some((serials, new_tag))) => {
                if tag.as_ref() == Some(&new_tag) {
                    let said =
                        format!("response included {} serial numbers but the lastUpdated tag remained the same", serials.len());
                    self.complain(format!("Get serial #s task (for device {}): {said}", self.device));
                }
                self.tags.insert(slot, new_tag);
                for serial in serials {
                    let key = PassKey { pass_type: pass_type.to_owned(), serial };
                    match self.passes.get_mut(&key) {
                        Some(held) => held.stale = true,
                        None => self.complain(format!("Get serial #s task: {} is not in this Wallet", key.serial)),
                    }
                }
            }
            Ok(None) => {}
            Err(reason) => self.complain(format!("Get serial #s task (for device {}): {reason}", self.device)),
        }
        let stale = self.passes.values().filter(|held| held.stale && held.pass.key.pass_type == pass_type);
        let stale = stale.filter(|held| held.pass.web_service.as_ref().is_some_and(|s| s.url == service));
        let mut fetched = Vec::new();
        for key in stale.map(|held| held.pass.key.clone()).collect::<Vec<_>>() {
            fetched.push(self.fetch(&key).await?);
        }
        Ok(Update { list, fetched })
    }

    /// Fetches one pass, conditionally if the phone has a date for it.
    ///
    /// # Errors
    /// When there is no such pass, it has no web service, or that does not answer.
    pub async fn fetch(&mut self, key: &PassKey) -> Result<Fetched, PhoneError> {
        let exchange = self.request_pass(Method::GET, key, true).await?;
        let outcome = match exchange.status {
            StatusCode::NOT_MODIFIED => Outcome::Unchanged,
            StatusCode::OK => match self.replace(key, &exchange) {
                Ok(outcome) => outcome,
                Err(reason) => Outcome::Failed(reason),
            },
            status => Outcome::Failed(format!("Unexpected response code {}", status.as_u16())),
        };
        if let Outcome::Failed(reason) = &outcome {
            self.complain(format!("Get pass task (pass type {}, serial number {}): {reason}", key.pass_type, key.serial));
        } else if let Some(held) = self.passes.get_mut(key) {
            held.stale = false;
        }
        Ok(Fetched { key: key.clone(), exchange, outcome })
    }

    /// Asks for a pass's headers alone, as phones are seen to do.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn head(&self, key: &PassKey) -> Result<Exchange, PhoneError> {
        self.request_pass(Method::HEAD, key, false).await
    }

    async fn request_pass(&self, method: Method, key: &PassKey, conditional: bool) -> Result<Exchange, PhoneError> {
        let service = self.service(key)?;
        let authorization = format!("ApplePass {}", service.token);
        let since = self.passes.get(key).and_then(|held| held.last_modified.as_deref()).filter(|_| conditional);
        let mut headers = vec![("user-agent", DAEMON), ("authorization", authorization.as_str())];
        headers.extend(since.map(|date| ("if-modified-since", date)));
        let url = format!("{}/v1/passes/{}/{}", service.url, encode(&key.pass_type), encode(&key.serial));
        Ok(self.network.send(method, &url, &headers, Bytes::new()).await?)
    }

    fn replace(&mut self, key: &PassKey, exchange: &Exchange) -> Result<Outcome, String> {
        if exchange.header("content-type") != Some(PASS_MIME) {
            return Err(format!("the content type is {:?}", exchange.header("content-type")));
        }
        let newer = WalletPass::read(&exchange.body).map_err(|refused| refused.to_string())?;
        if newer.key != *key {
            return Err(format!("the answer is pass {} of type {}", newer.key.serial, newer.key.pass_type));
        }
        let Some(held) = self.passes.get_mut(key) else { return Err("the pass is gone".to_owned()) };
        let token_of = |pass: &WalletPass| pass.web_service.as_ref().map(|service| service.token.clone());
        let token_changed = token_of(&held.pass) != token_of(&newer);
        let line = held.pass.lock_screen_line(&newer);
        let voided = newer.voided;
        held.pass = newer;
        held.last_modified = exchange.header("last-modified").map(str::to_owned);
        if held.last_modified.is_none() {
            self.complain(format!("Get pass task (serial number {}): the answer has no Last-Modified", key.serial));
        }
        if token_changed {
            self.complain(format!("Get pass task (serial number {}): the authentication token has changed", key.serial));
        }
        self.lock_screen.extend(line.clone());
        Ok(Outcome::Replaced { line, voided })
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

/// The serials and the tag of a list answer, nothing for 204, or what is wrong with it.
fn changed_serials(list: &Exchange) -> Result<Option<(Vec<String>, String)>, String> {
    match list.status {
        StatusCode::NO_CONTENT => return Ok(None),
        StatusCode::OK => {}
        status => return Err(format!("Unexpected response code {}", status.as_u16())),
    }
    let body: Value = serde_json::from_slice(&list.body).map_err(|error| format!("the answer is not JSON: {error}"))?;
    let serials = body["serialNumbers"].as_array().and_then(|all| all.iter().map(|s| s.as_str().map(str::to_owned)).collect());
    match (serials, body["lastUpdated"].as_str()) {
        (Some(serials), Some(tag)) => Ok(Some((serials, tag.to_owned()))),
        _ => Err("the answer wants serialNumbers (texts) and lastUpdated (text)".to_owned()),
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
