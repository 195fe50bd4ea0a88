//! Who saved or deleted a pass, proven by Google's signature (protocol `ECv2SigningOnly`).
//!
//! Google's root keys sign a short-lived intermediate key, which signs the message together with the issuer that it is
//! meant for. The receiver says which issuer that is: a message that was validly signed for another issuer is refused.
//! Root keys are handed in; a bad signature is no reason to fetch them anew, else anybody could make us do so.
//!
//! ```text
//! intermediate: len ‖ "GooglePayPasses" ‖ len ‖ version ‖ len ‖ signedKey                  by a root key
//! message:      len ‖ "GooglePayPasses" ‖ len ‖ issuer  ‖ len ‖ version ‖ len ‖ signedMessage   by the intermediate key
//! ```
//! Every `len` is a count of bytes in four bytes, little-endian. Signatures are ECDSA over P-256 with SHA-256.
//! Public source: <https://developers.google.com/wallet/generic/use-cases/use-callbacks-for-saves-and-deletions>.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use thiserror::Error;

use crate::id::ResourceId;

/// Where Google publishes its root keys.
pub const ROOT_KEYS_URL: &str = "https://pay.google.com/gp/m/issuer/keys";
/// The one protocol that is spoken here.
pub const PROTOCOL: &str = "ECv2SigningOnly";
/// Largest call-back that is read, in bytes; real ones have about 1 000.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// Largest list of root keys that is read, in bytes.
pub const MAX_KEYS_BYTES: usize = 64 * 1024;
/// Root keys and signatures that are tried at most.
const MAX_KEYS: usize = 16;
/// Whom Google signs as.
const SENDER: &str = "GooglePayPasses";

/// What happened to a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A holder saved it.
    Save,
    /// A holder deleted it.
    Del,
}

/// A call-back that Google signed for the issuer it was checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The class of the pass.
    pub class_id: ResourceId,
    /// The pass.
    pub object_id: ResourceId,
    /// What happened.
    pub event: Event,
    /// Names the event; Google repeats it when it sends the event again.
    pub nonce: String,
    /// After this many milliseconds since 1970 the message is void; keep the nonce as long.
    pub exp_millis: i64,
    /// How often Google has tried, if it says so.
    pub count: Option<i64>,
}

/// Google's root keys of this protocol that have not expired.
#[derive(Debug, Clone)]
pub struct RootKeys {
    keys: Vec<RootKey>,
}

#[derive(Debug, Clone)]
struct RootKey {
    spki: Vec<u8>,
    expires_millis: Option<i64>,
}

impl RootKeys {
    /// Reads Google's list of keys and keeps those of this protocol that live at `now_millis` (milliseconds since 1970).
    pub fn parse(json: &[u8], now_millis: i64) -> Result<Self, CallbackError> {
        #[derive(Deserialize)]
        struct List {
            keys: Vec<Entry>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry {
            key_value: String,
            protocol_version: String,
            key_expiration: Option<Millis>,
        }
        if json.len() > MAX_KEYS_BYTES {
            return Err(CallbackError::TooLarge { bytes: json.len() });
        }
        let list: List = serde_json::from_slice(json).map_err(|_| CallbackError::Malformed { part: "list of root keys" })?;
        let mut keys = Vec::new();
        for entry in list.keys.into_iter().filter(|entry| entry.protocol_version == PROTOCOL).take(MAX_KEYS) {
            let expires_millis = entry.key_expiration.map(|millis| millis.0);
            if expires_millis.is_some_and(|expires| expires <= now_millis) {
                continue;
            }
            let spki = STANDARD.decode(&entry.key_value).map_err(|_| CallbackError::Malformed { part: "root key" })?;
            keys.push(RootKey { spki, expires_millis });
        }
        if keys.is_empty() { Err(CallbackError::NoRootKey) } else { Ok(Self { keys }) }
    }

    /// When the first of them expires, in milliseconds since 1970: fetch the list anew before that.
    #[must_use]
    pub fn earliest_expiry_millis(&self) -> Option<i64> {
        self.keys.iter().filter_map(|key| key.expires_millis).min()
    }
}

/// A number that Google writes as text in one place and as a number in another.
struct Millis(i64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(i64),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Number(number) => Ok(Self(number)),
            Raw::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// A call-back that was read and not yet believed.
#[derive(Debug)]
pub struct Envelope {
    signature: Vec<u8>,
    signed_key: String,
    key_signatures: Vec<Vec<u8>>,
    signed_message: String,
    claimed: Callback,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    protocol_version: String,
    signature: String,
    intermediate_signing_key: WireKey,
    signed_message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireKey {
    signed_key: String,
    signatures: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedKey {
    key_value: String,
    key_expiration: Millis,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    class_id: String,
    object_id: String,
    event_type: String,
    exp_time_millis: Millis,
    nonce: String,
    count: Option<Millis>,
}

impl Envelope {
    /// Reads the body of a call-back. Nothing in it is proven yet.
    pub fn parse(body: &[u8]) -> Result<Self, CallbackError> {
        if body.len() > MAX_BODY_BYTES {
            return Err(CallbackError::TooLarge { bytes: body.len() });
        }
        let wire: Wire = serde_json::from_slice(body).map_err(|_| CallbackError::Malformed { part: "body" })?;
        if wire.protocol_version != PROTOCOL {
            return Err(CallbackError::Protocol { found: wire.protocol_version.chars().take(40).collect() });
        }
        let key = wire.intermediate_signing_key;
        let key_signatures = key.signatures.iter().take(MAX_KEYS).map(|text| decode(text, "signature of the intermediate key"));
        Ok(Self {
            signature: decode(&wire.signature, "signature")?,
            key_signatures: key_signatures.collect::<Result<_, _>>()?,
            signed_key: key.signed_key,
            claimed: read_message(&wire.signed_message)?,
            signed_message: wire.signed_message,
        })
    }

    /// The issuer that the message is about, by its own words: enough to look up whose it might be, no more.
    #[must_use]
    pub fn claimed_issuer(&self) -> &str {
        self.claimed.class_id.issuer()
    }

    /// Proves that Google signed it for `issuer`, one of the receiver's own, and that it is not outdated at `now_millis`.
    pub fn verify(self, keys: &RootKeys, issuer: &str, now_millis: i64) -> Result<Callback, CallbackError> {
        if self.claimed_issuer() != issuer || self.claimed.object_id.issuer() != issuer {
            return Err(CallbackError::OtherIssuer { claimed: self.claimed_issuer().to_owned() });
        }
        let intermediate = self.intermediate_key(keys, now_millis)?;
        let signed = signed_bytes(&[SENDER, issuer, PROTOCOL, &self.signed_message]);
        if !is_signed(&intermediate, &signed, &self.signature) {
            return Err(CallbackError::Signature);
        }
        if self.claimed.exp_millis <= now_millis {
            return Err(CallbackError::Expired);
        }
        Ok(self.claimed)
    }

    fn intermediate_key(&self, keys: &RootKeys, now_millis: i64) -> Result<Vec<u8>, CallbackError> {
        let mut alive = keys.keys.iter().filter(|key| key.expires_millis.is_none_or(|expires| expires > now_millis)).peekable();
        if alive.peek().is_none() {
            return Err(CallbackError::NoRootKey);
        }
        let signed = signed_bytes(&[SENDER, PROTOCOL, &self.signed_key]);
        let proven = alive.any(|root| self.key_signatures.iter().any(|signature| is_signed(&root.spki, &signed, signature)));
        if !proven {
            return Err(CallbackError::IntermediateKey);
        }
        let key: SignedKey =
            serde_json::from_str(&self.signed_key).map_err(|_| CallbackError::Malformed { part: "intermediate key" })?;
        if key.key_expiration.0 <= now_millis {
            return Err(CallbackError::IntermediateExpired);
        }
        decode(&key.key_value, "intermediate key")
    }
}

/// Reads and proves a call-back for a receiver with several issuers.
pub fn verify(body: &[u8], keys: &RootKeys, issuers: &[&str], now_millis: i64) -> Result<Callback, CallbackError> {
    let envelope = Envelope::parse(body)?;
    let claimed = envelope.claimed_issuer();
    match issuers.iter().find(|issuer| **issuer == claimed) {
        Some(issuer) => envelope.verify(keys, issuer, now_millis),
        None => Err(CallbackError::OtherIssuer { claimed: claimed.to_owned() }),
    }
}

fn read_message(text: &str) -> Result<Callback, CallbackError> {
    let message: Message = serde_json::from_str(text).map_err(|_| CallbackError::Malformed { part: "signed message" })?;
    let event = match message.event_type.as_str() {
        "save" => Event::Save,
        "del" => Event::Del,
        _ => return Err(CallbackError::Malformed { part: "eventType" }),
    };
    let id = |text: &str, part| text.parse::<ResourceId>().map_err(|_| CallbackError::Malformed { part });
    Ok(Callback {
        class_id: id(&message.class_id, "classId")?,
        object_id: id(&message.object_id, "objectId")?,
        event,
        nonce: message.nonce,
        exp_millis: message.exp_time_millis.0,
        count: message.count.map(|count| count.0),
    })
}

fn decode(text: &str, part: &'static str) -> Result<Vec<u8>, CallbackError> {
    STANDARD.decode(text).map_err(|_| CallbackError::Malformed { part })
}

fn is_signed(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, spki).verify(message, signature).is_ok()
}

// Bodies are bounded far below 4 GiB, so every length fits; a part that did not would only fail to verify.
fn signed_bytes(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// Why a call-back is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallbackError {
    /// Longer than Google's.
    #[error("{bytes} bytes are more than Google sends")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// Not of the expected shape.
    #[error("the {part} is not as Google writes it")]
    Malformed {
        /// What cannot be read.
        part: &'static str,
    },
    /// Another protocol.
    #[error("the protocol is `{found}`, only {PROTOCOL} is spoken")]
    Protocol {
        /// What it says.
        found: String,
    },
    /// No root key lives: fetch Google's list anew.
    #[error("no root key of {PROTOCOL} is alive: fetch the list of keys anew")]
    NoRootKey,
    /// No root key signed the intermediate key.
    #[error("none of Google's root keys signed the intermediate key")]
    IntermediateKey,
    /// The intermediate key has expired.
    #[error("the intermediate key has expired")]
    IntermediateExpired,
    /// The intermediate key did not sign the message for this issuer.
    #[error("the message is not signed for this issuer")]
    Signature,
    /// The message is about another issuer.
    #[error(
        "the message is about issuer {claimed}, who is none of ours: add the issuer, or set the call-back address on your own classes only"
    )]
    OtherIssuer {
        /// The issuer by the message's own words.
        claimed: String,
    },
    /// The message has expired.
    #[error("the message has expired")]
    Expired,
}
