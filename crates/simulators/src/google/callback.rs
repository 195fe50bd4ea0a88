//! Call-backs as Google signs them: a root key signs a short-lived intermediate key, which signs the message.
//!
//! Source: <https://developers.google.com/wallet/generic/use-cases/use-callbacks-for-saves-and-deletions>.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{GoogleServer, State};

const PROTOCOL: &str = "ECv2SigningOnly";
const SENDER: &str = "GooglePayPasses";
/// How long root keys live, in milliseconds.
const ROOT_LIFE: i64 = 7 * 86_400_000;
/// How long an intermediate key lives.
const KEY_LIFE: i64 = 86_400_000;
/// How long a message is good.
const MESSAGE_LIFE: i64 = 3_600_000;
/// How often a call-back is tried.
const TRIES: u32 = 3;

pub(super) struct Keys {
    root: EcdsaKeyPair,
    intermediate: EcdsaKeyPair,
    /// A root key of another protocol, one that has expired, and one that nobody published.
    other_protocol: EcdsaKeyPair,
    expired: EcdsaKeyPair,
    unknown: EcdsaKeyPair,
}

impl Keys {
    pub(super) fn generate() -> Option<Self> {
        let key = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok();
        Some(Self { root: key()?, intermediate: key()?, other_protocol: key()?, expired: key()?, unknown: key()? })
    }

    /// The list of root keys, with one of another protocol as in Google's, and one that has expired.
    pub(super) fn published(&self, now: i64) -> Value {
        let key = |key: &EcdsaKeyPair, protocol: &str, expires: i64| json!({"keyValue": public(key), "protocolVersion": protocol, "keyExpiration": expires.to_string()});
        let (later, before) = (now + ROOT_LIFE, now - ROOT_LIFE);
        json!({"keys": [key(&self.other_protocol, "ECv1", later), key(&self.expired, PROTOCOL, before), key(&self.root, PROTOCOL, later)]})
    }

    fn root(&self, root: Root) -> &EcdsaKeyPair {
        match root {
            Root::Right => &self.root,
            Root::OtherProtocol => &self.other_protocol,
            Root::Expired => &self.expired,
            Root::Unknown => &self.unknown,
        }
    }

    fn seal(&self, letter: &Letter) -> Value {
        let message = letter.message();
        let key = json!({"keyValue": public(&self.intermediate), "keyExpiration": letter.key_expires.to_string()}).to_string();
        let protocol = letter.protocol.as_str();
        let signature = sign(&self.intermediate, &[SENDER, &letter.recipient, protocol, &message]);
        let said = if letter.tampered {
            Letter { tampered: false, count: letter.count + 1, ..letter.clone() }.message()
        } else {
            message
        };
        json!({
            "protocolVersion": protocol,
            "signature": signature,
            "intermediateSigningKey": {"signedKey": key, "signatures": [sign(self.root(letter.root), &[SENDER, protocol, &key])]},
            "signedMessage": said,
        })
    }
}

/// What a call-back tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A holder saved the pass.
    Save,
    /// A holder deleted it.
    Del,
}

/// Which root key vouches for the intermediate key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The one that is published for the protocol.
    Right,
    /// One that is published for another protocol.
    OtherProtocol,
    /// One that is published and has expired.
    Expired,
    /// One that nobody published.
    Unknown,
}

/// A call-back before it is signed: right as it is made, and wrong in as many ways as its parts are changed.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The class of the pass.
    pub class: String,
    /// The pass.
    pub object: String,
    /// What happened.
    pub event: Event,
    /// Names the event.
    pub nonce: String,
    /// Google's tries so far, this one included.
    pub count: u32,
    /// The issuer that it is signed for.
    pub recipient: String,
    /// The name of the protocol.
    pub protocol: String,
    /// When it was written, in milliseconds since 1970.
    pub now: i64,
    /// When the message expires.
    pub expires: i64,
    /// When the intermediate key expires.
    pub key_expires: i64,
    /// Which root key vouches for that.
    pub root: Root,
    /// A text beside what Google sends today.
    pub note: Option<String>,
    /// Whether the message is changed after it was signed.
    pub tampered: bool,
}

impl Letter {
    /// A right one.
    #[must_use]
    pub fn new(class: &str, object: &str, event: Event, nonce: &str, now: i64) -> Self {
        Self {
            class: class.to_owned(),
            object: object.to_owned(),
            event,
            nonce: nonce.to_owned(),
            count: 1,
            recipient: class.split('.').next().unwrap_or_default().to_owned(),
            protocol: PROTOCOL.to_owned(),
            now,
            expires: now + MESSAGE_LIFE,
            key_expires: now + KEY_LIFE,
            root: Root::Right,
            note: None,
            tampered: false,
        }
    }

    fn message(&self) -> String {
        let event = match self.event {
            Event::Save => "save",
            Event::Del => "del",
        };
        let mut message = json!({"classId": self.class, "objectId": self.object, "eventType": event,
            "expTimeMillis": self.expires, "count": self.count, "nonce": self.nonce});
        if let Some(note) = &self.note {
            message["note"] = note.as_str().into();
        }
        message.to_string()
    }
}

impl GoogleServer {
    /// A call-back as it goes out: JSON.
    #[must_use]
    pub fn sealed(&self, letter: &Letter) -> String {
        self.state.keys.lock().seal(letter).to_string()
    }
}

fn public(key: &EcdsaKeyPair) -> String {
    let der: Result<PublicKeyX509Der<'_>, _> = key.public_key().as_der();
    der.map(|der| STANDARD.encode(der.as_ref())).unwrap_or_default()
}

fn sign(key: &EcdsaKeyPair, parts: &[&str]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(part.bytes());
    }
    key.sign(&SystemRandom::new(), &bytes).map(|signature| STANDARD.encode(signature)).unwrap_or_default()
}

/// Tells whoever the object's class names; tries a few times, always with the same nonce.
pub(super) async fn tell(state: &State, object: &str, event: Event) {
    let Some((url, class, nonce)) = ({
        let mut world = state.world.lock();
        world.sent += 1;
        let nonce = format!("nonce-{}-{}", state.now(), world.sent);
        let found = world.things.iter().find(|((of, id), _)| of.ends_with("Object") && id == object);
        let named = found.and_then(|((of, _), value)| {
            let class = value["classId"].as_str()?.to_owned();
            let of = of.replace("Object", "Class");
            let url = world.things.get(&(of, class.clone()))?["callbackOptions"]["url"].as_str()?.to_owned();
            Some((url, class, nonce))
        });
        named.filter(|_| !world.mute)
    }) else {
        return;
    };
    for count in 1..=TRIES {
        let letter = Letter { count, ..Letter::new(&class, object, event, &nonce, state.now()) };
        let body = state.keys.lock().seal(&letter).to_string();
        let headers = [("content-type", "application/json"), ("user-agent", "Googlebot")];
        let sent = state.network.send(Method::POST, &url, &headers, Bytes::from(body)).await;
        if sent.is_ok_and(|exchange| exchange.status.is_success()) {
            return;
        }
    }
}
