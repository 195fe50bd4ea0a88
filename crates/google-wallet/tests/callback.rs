//! Call-backs signed by keys that the test makes, and every way to forge one. The messages are signed by openssl, so
//! that signer and verifier share no code.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test says what went wrong by stopping

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_wallet::callback::{Callback, CallbackError, Envelope, Event, MAX_BODY_BYTES, RootKeys, verify};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: i64 = 1_790_000_000_000;
const HOUR: i64 = 3_600_000;
const ISSUER: &str = "3388000000012345678";

/// A key of openssl's own making.
struct Key {
    folder: tempfile::TempDir,
}

impl Key {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = Self { folder };
        let path = key.path("key.pem");
        run(Command::new("openssl").args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]).arg(path));
        key
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn public(&self) -> String {
        STANDARD.encode(run(Command::new("openssl").args(["ec", "-pubout", "-outform", "DER", "-in"]).arg(self.path("key.pem"))))
    }

    fn sign(&self, parts: &[&str]) -> String {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
            bytes.extend(part.bytes());
        }
        fs::write(self.path("message"), bytes).unwrap();
        STANDARD.encode(run(Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(self.path("key.pem"))
            .arg(self.path("message"))))
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("openssl must be installed to run this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

struct Google {
    root: Key,
    intermediate: Key,
    key_expires: i64,
    issuer: String,
}

impl Google {
    fn new() -> Self {
        Self { root: Key::new(), intermediate: Key::new(), key_expires: NOW + 24 * HOUR, issuer: ISSUER.to_owned() }
    }

    fn keys(&self, version: &str, expires: i64) -> Vec<u8> {
        json!({"keys": [
            {"keyValue": Key::new().public(), "protocolVersion": "ECv1", "keyExpiration": (NOW + HOUR).to_string()},
            {"keyValue": self.root.public(), "protocolVersion": version, "keyExpiration": expires.to_string()},
        ]})
        .to_string()
        .into_bytes()
    }

    fn root_keys(&self) -> RootKeys {
        RootKeys::parse(&self.keys("ECv2SigningOnly", NOW + 48 * HOUR), NOW).unwrap()
    }

    fn send(&self, message: &Value) -> Value {
        let (version, sender) = ("ECv2SigningOnly", "GooglePayPasses");
        let message = message.to_string();
        let key = json!({"keyValue": self.intermediate.public(), "keyExpiration": self.key_expires.to_string()}).to_string();
        json!({
            "protocolVersion": version,
            "signature": self.intermediate.sign(&[sender, &self.issuer, version, &message]),
            "intermediateSigningKey": {"signedKey": key, "signatures": [self.root.sign(&[sender, version, &key])]},
            "signedMessage": message,
        })
    }
}

fn message() -> Value {
    json!({"classId": format!("{ISSUER}.club"), "objectId": format!("{ISSUER}.m-1"), "eventType": "save",
        "expTimeMillis": NOW + HOUR, "count": 1, "nonce": "0b5e-ü"})
}

fn check(google: &Google, body: &Value) -> Result<Callback, CallbackError> {
    verify(body.to_string().as_bytes(), &google.root_keys(), &["1", ISSUER], NOW)
}

#[test]
fn a_genuine_call_back_is_believed() {
    let google = Google::new();
    let callback = check(&google, &google.send(&message())).unwrap();
    assert_eq!(callback.class_id.as_str(), format!("{ISSUER}.club"));
    assert_eq!(callback.object_id.suffix(), "m-1");
    assert_eq!((callback.event, callback.exp_millis, callback.count), (Event::Save, NOW + HOUR, Some(1)));
    assert_eq!(callback.nonce, "0b5e-ü", "lengths are counted in bytes");

    let mut deleted = message();
    deleted["eventType"] = json!("del");
    deleted["expTimeMillis"] = json!((NOW + HOUR).to_string());
    deleted.as_object_mut().unwrap().remove("count");
    let callback = check(&google, &google.send(&deleted)).unwrap();
    assert_eq!((callback.event, callback.count), (Event::Del, None));
}

#[test]
fn a_message_for_another_issuer_is_refused() {
    // Signed for another issuer, and honest about it.
    let mut google = Google::new();
    google.issuer = "99".to_owned();
    let mut other = message();
    other["classId"] = json!("99.club");
    other["objectId"] = json!("99.m-1");
    assert_eq!(check(&google, &google.send(&other)).unwrap_err(), CallbackError::OtherIssuer { claimed: "99".to_owned() });
    // Signed for another issuer, with our ids in the message.
    assert_eq!(check(&google, &google.send(&message())).unwrap_err(), CallbackError::Signature);
    // Signed for us, about another's object.
    let google = Google::new();
    let mut mixed = message();
    mixed["objectId"] = json!("99.m-1");
    assert!(matches!(check(&google, &google.send(&mixed)), Err(CallbackError::OtherIssuer { .. })));
}

#[test]
fn what_has_expired_is_refused() {
    let mut google = Google::new();
    let mut late = message();
    late["expTimeMillis"] = json!(NOW);
    assert_eq!(check(&google, &google.send(&late)).unwrap_err(), CallbackError::Expired);
    google.key_expires = NOW;
    assert_eq!(check(&google, &google.send(&message())).unwrap_err(), CallbackError::IntermediateExpired);
    let body = google.send(&message()).to_string();
    let envelope = Envelope::parse(body.as_bytes()).unwrap();
    assert_eq!(envelope.claimed_issuer(), ISSUER);
    let later = envelope.verify(&google.root_keys(), ISSUER, NOW + 48 * HOUR);
    assert_eq!(later.unwrap_err(), CallbackError::NoRootKey, "a root key that expired after it was read");
}

#[test]
fn what_was_tampered_with_is_refused() {
    let google = Google::new();
    let genuine = google.send(&message());
    let change = |edit: &dyn Fn(&mut Value)| {
        let mut body = genuine.clone();
        edit(&mut body);
        check(&google, &body).unwrap_err()
    };
    let replace = |from: &str, to: &str| {
        let text = genuine["signedMessage"].as_str().unwrap().replace(from, to);
        change(&|body| body["signedMessage"] = json!(text))
    };
    assert_eq!(replace("m-1", "m-2"), CallbackError::Signature);
    assert_eq!(replace("save", "del"), CallbackError::Signature);
    let other = Google::new().send(&message());
    assert_eq!(change(&|body| body["signature"] = other["signature"].clone()), CallbackError::Signature);
    let foreign = |body: &mut Value| body["intermediateSigningKey"] = other["intermediateSigningKey"].clone();
    assert_eq!(change(&foreign), CallbackError::IntermediateKey);
    let none = change(&|body| body["intermediateSigningKey"]["signatures"] = json!([]));
    assert_eq!(none, CallbackError::IntermediateKey);
    let version = change(&|body| body["protocolVersion"] = json!("ecv2signingonly"));
    assert!(matches!(version, CallbackError::Protocol { .. }), "{version}");
    let base64 = change(&|body| body["signature"] = json!("%%"));
    assert_eq!(base64, CallbackError::Malformed { part: "signature" });
}

#[test]
fn root_keys_are_filtered_by_protocol_and_expiry() {
    let google = Google::new();
    let keys = google.root_keys();
    assert_eq!(keys.earliest_expiry_millis(), Some(NOW + 48 * HOUR), "the key of the other protocol does not count");
    let expired = RootKeys::parse(&google.keys("ECv2SigningOnly", NOW), NOW).unwrap_err();
    assert_eq!(expired, CallbackError::NoRootKey);
    assert_eq!(RootKeys::parse(&google.keys("ECv2", NOW + HOUR), NOW).unwrap_err(), CallbackError::NoRootKey);
    assert!(matches!(RootKeys::parse(b"[]", NOW), Err(CallbackError::Malformed { .. })));
}

#[test]
fn a_body_is_bounded() {
    let body = vec![b' '; MAX_BODY_BYTES + 1];
    assert_eq!(Envelope::parse(&body).unwrap_err(), CallbackError::TooLarge { bytes: MAX_BODY_BYTES + 1 });
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Envelope::parse(&bytes).is_err());
        prop_assert!(RootKeys::parse(&bytes, NOW).is_err());
    }

    #[test]
    fn any_strings_in_the_right_shape_are_refused_without_a_panic(
        signature in ".{0,40}", key in ".{0,80}", message in ".{0,80}", keys in proptest::collection::vec(".{0,40}", 0..4)
    ) {
        let body = json!({"protocolVersion": "ECv2SigningOnly", "signature": signature, "signedMessage": message,
            "intermediateSigningKey": {"signedKey": key, "signatures": keys}});
        prop_assert!(Envelope::parse(body.to_string().as_bytes()).is_err());
    }
}
