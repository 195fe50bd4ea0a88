//! A push to one device, and what Apple's answer means.
//!
//! Source: Apple, *Sending notification requests to APNs*, *Handling notification responses from APNs*; for passes, *Adding
//! a Web Service to Update Passes*: the topic is the pass type identifier, the client's certificate is that of the pass
//! type, and the payload is an empty object.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{OrgId, Timestamp};
use http::{Method, Request, StatusCode};
use outbound::http::{Client, Identity, Limits, Protocol, Settings};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use store::{Store, Stored, StoredSigner};

use crate::ApnsSettings;

/// Apple: after a server error, try again not before this, with growing pauses.
pub(super) const UNAVAILABLE_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);
/// After too many pushes to one token.
const TOO_MANY_AGAIN_AFTER: Duration = Duration::from_secs(5 * 60);
/// After APNs could not be reached.
pub(super) const UNREACHABLE_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// The bounds of one push.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(20), max_body: 4_096 };
/// Hexadecimal digits of a device token: Apple says that its length may change.
const TOKEN_DIGITS: std::ops::RangeInclusive<usize> = 1..=200;
/// The payload of every push for passes.
const PAYLOAD: &[u8] = b"{}";

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The device will be woken.
    Woken,
    /// Try again.
    Again(Duration),
    /// It will never be taken.
    GivenUp,
    /// Nobody is there any more, as of this time.
    Dead { since: Option<Timestamp> },
}

impl Fate {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Woken => "woken",
            Self::Again(_) => "retrying",
            Self::GivenUp => "given_up",
            Self::Dead { .. } => "token_dead",
        }
    }
}

/// A pass type and the client that may push for it.
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    client: Client,
    /// That of the certificate before: pushes go on with it where APNs refuses the one that has taken its place.
    previous: Option<Client>,
    revision: i64,
}

/// Connections to APNs, one per pass type.
pub(crate) struct Apns {
    settings: ApnsSettings,
    topics: Mutex<HashMap<(OrgId, String), Arc<Topic>>>,
}

/// Whether a text can be a device token: it becomes part of an address.
pub(super) fn is_token(text: &str) -> bool {
    TOKEN_DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Apns {
    pub(crate) fn new(settings: ApnsSettings) -> Self {
        Self { settings, topics: Mutex::default() }
    }

    /// The client of a signer, made anew when the signer changed.
    pub(super) fn topic(&self, store: &Store, org: OrgId, signer: &Stored<StoredSigner>) -> Result<Arc<Topic>, String> {
        let key = (org, signer.value.pass_type.clone());
        let known =
            |topics: &HashMap<_, Arc<Topic>>| topics.get(&key).filter(|it| it.revision == signer.revision).map(Arc::clone);
        if let Some(topic) = known(&self.topics.lock()) {
            return Ok(topic);
        }
        let StoredSigner { certificates, sealed_key, previous, .. } = &*signer.value;
        let client = self.client(identity(store, org, &signer.value, certificates, sealed_key)?)?;
        // What cannot be used any more is no reason not to push with what can.
        let previous = previous.as_ref().and_then(|it| {
            let identity = identity(store, org, &signer.value, &it.certificates, &it.sealed_key).ok()?;
            self.client(identity).ok()
        });
        let topic = Arc::new(Topic { name: signer.value.pass_type.as_str().into(), client, previous, revision: signer.revision });
        let mut topics = self.topics.lock();
        // Shards that come at once share the client, and so the connection, of whoever was first.
        Ok(known(&topics).unwrap_or_else(|| {
            topics.insert(key, Arc::clone(&topic));
            topic
        }))
    }

    fn client(&self, identity: Identity) -> Result<Client, String> {
        let settings = Settings {
            identity: Some(identity),
            protocol: Protocol::Http2,
            ..Settings::new(self.settings.policy.clone(), self.settings.roots.clone())
        };
        Client::new(settings).map_err(|error| error.to_string())
    }

    /// Sends one push; where APNs refuses the certificate, once more with the one before it.
    pub(super) async fn push(&self, topic: &Topic, token: &str) -> Fate {
        match (self.send(topic, &topic.client, token).await, &topic.previous) {
            (Err(Refused), Some(previous)) => {
                tracing::warn!(topic = &*topic.name, "APNs refuses the new certificate; pushing with the one before");
                self.send(topic, previous, token).await.unwrap_or(Fate::GivenUp)
            }
            (fate, _) => fate.unwrap_or(Fate::GivenUp),
        }
    }

    async fn send(&self, topic: &Topic, client: &Client, token: &str) -> Result<Fate, Refused> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/3/device/{token}", self.settings.url.trim_end_matches('/')))
            .header("apns-topic", &*topic.name)
            .body(Bytes::from_static(PAYLOAD));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                tracing::error!(%error, topic = &*topic.name, "a push cannot be addressed; check the address of APNs");
                return Ok(Fate::GivenUp);
            }
        };
        match client.send(request, LIMITS).await {
            Ok(reply) => {
                if reply.status == StatusCode::FORBIDDEN {
                    let reason = reason(&reply.body);
                    tracing::warn!(reason, topic = &*topic.name, "APNs did not take the certificate");
                    return Err(Refused);
                }
                let fate = judge(reply.status.as_u16(), &reply.body);
                if !matches!(fate, Fate::Woken | Fate::Dead { .. }) {
                    let status = reply.status.as_u16();
                    tracing::warn!(status, reason = reason(&reply.body), topic = &*topic.name, "APNs did not take a push");
                }
                Ok(fate)
            }
            Err(failure) => {
                tracing::warn!(%failure, topic = &*topic.name, "APNs gave no answer");
                Ok(Fate::Again(UNREACHABLE_AGAIN_AFTER))
            }
        }
    }
}

/// APNs refused the certificate (403).
struct Refused;

fn identity(store: &Store, org: OrgId, signer: &StoredSigner, certificates: &str, sealed_key: &str) -> Result<Identity, String> {
    let key = store.open_of::<StoredSigner>(org, signer.id.uuid(), sealed_key).map_err(|error| error.to_string())?;
    let chain = certificates.as_bytes();
    let identity = pkpass::Identity::from_pem(chain, &key, None, chain).map_err(|error| error.to_string())?;
    let chain = identity.chain_der().map(|der| CertificateDer::from(der.to_vec())).to_vec();
    Ok(Identity::new(chain, identity.private_key_der().to_vec()))
}

/// What an answer means. Apple: neither a bad token nor a refused certificate heals by itself; 410 names the time since
/// when the token is dead.
fn judge(status: u16, body: &[u8]) -> Fate {
    match status {
        200 => Fate::Woken,
        410 => {
            let since = field(body, "timestamp").and_then(|value| value.as_i64());
            Fate::Dead { since: since.map(|millis| Timestamp::from_micros(millis.saturating_mul(1_000))) }
        }
        429 => Fate::Again(TOO_MANY_AGAIN_AFTER),
        500.. => Fate::Again(UNAVAILABLE_AGAIN_AFTER),
        _ => Fate::GivenUp,
    }
}

fn field(body: &[u8], name: &str) -> Option<serde_json::Value> {
    serde_json::from_slice::<serde_json::Value>(body).ok()?.get_mut(name).map(serde_json::Value::take)
}

fn reason(body: &[u8]) -> String {
    field(body, "reason").and_then(|value| Some(value.as_str()?.chars().take(64).collect())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_apple_says() {
        let since = Timestamp::from_seconds(1_700_000_000);
        let gone = br#"{"reason":"Unregistered","timestamp":1700000000000}"#;
        assert_eq!(judge(200, b""), Fate::Woken);
        assert_eq!(judge(410, gone), Fate::Dead { since: Some(since) });
        assert_eq!(judge(410, b"?"), Fate::Dead { since: None });
        for status in [400, 403, 404, 405, 413] {
            assert_eq!(judge(status, br#"{"reason":"BadDeviceToken"}"#), Fate::GivenUp, "{status}");
        }
        assert_eq!(judge(429, b""), Fate::Again(TOO_MANY_AGAIN_AFTER));
        for status in [500, 503] {
            assert_eq!(judge(status, b""), Fate::Again(UNAVAILABLE_AGAIN_AFTER), "{status}");
        }
    }

    #[test]
    fn a_token_is_hexadecimal() {
        assert!(is_token(&"0aF".repeat(22)));
        for text in ["", "../x", "zz", "0 1", &"0".repeat(201)] {
            assert!(!is_token(text), "{text}");
        }
    }
}
