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

use super::State;

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
}

impl Keys {
    pub(super) fn generate() -> Option<Self> {
        let key = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok();
        Some(Self { root: key()?, intermediate: key()? })
    }

    /// The list of root keys, with one of another protocol as in Google's.
    pub(super) fn published(&self, now: i64) -> Value {
        let key = |protocol: &str| json!({"keyValue": public(&self.root), "protocolVersion": protocol, "keyExpiration": (now + ROOT_LIFE).to_string()});
        json!({"keys": [key("ECv1"), key(PROTOCOL)]})
    }

    fn envelope(&self, issuer: &str, message: &str, now: i64) -> Value {
        let key = json!({"keyValue": public(&self.intermediate), "keyExpiration": (now + KEY_LIFE).to_string()}).to_string();
        json!({
            "protocolVersion": PROTOCOL,
            "signature": sign(&self.intermediate, &[SENDER, issuer, PROTOCOL, message]),
            "intermediateSigningKey": {"signedKey": key, "signatures": [sign(&self.root, &[SENDER, PROTOCOL, &key])]},
            "signedMessage": message,
        })
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
pub(super) async fn tell(state: &State, object: &str, event: &str) {
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
    let issuer = class.split('.').next().unwrap_or_default().to_owned();
    for count in 1..=TRIES {
        let now = state.now();
        let message = json!({"classId": class, "objectId": object, "eventType": event,
            "expTimeMillis": now + MESSAGE_LIFE, "count": count, "nonce": nonce});
        let body = state.keys.lock().envelope(&issuer, &message.to_string(), now).to_string();
        let headers = [("content-type", "application/json"), ("user-agent", "Googlebot")];
        let sent = state.network.send(Method::POST, &url, &headers, Bytes::from(body)).await;
        if sent.is_ok_and(|exchange| exchange.status.is_success()) {
            return;
        }
    }
}
