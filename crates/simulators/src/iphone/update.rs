//! What a phone does when it is told that passes of a type have changed.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use super::{DAEMON, Exchange, Iphone, PASS_MIME, PassKey, PhoneError, WalletPass, encode};

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
        let newer = self.read(&exchange.body).map_err(|refused| refused.to_string())?;
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
}

/// The serials and the tag of a list answer, nothing for 204, or what is wrong with it.
pub(crate) fn changed_serials(list: &Exchange) -> Result<Option<(Vec<String>, String)>, String> {
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
