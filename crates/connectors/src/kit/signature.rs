//! Signatures over bodies. Standard Webhooks 1.0.0: <https://www.standardwebhooks.com>.

use std::fmt::Write as _;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;

use super::{Secret, Secrets};

/// HMAC-SHA256 of the body in lower-case hex, keyed by the secret's text as it stands.
pub fn hex_hmac(secret: &Secret, body: &[u8]) -> String {
    hex(hmac::sign(secret.literal_key(), body).as_ref())
}

/// HMAC-SHA256 of the body in padded base64, keyed by the secret's text as it stands.
pub fn base64_hmac(secret: &Secret, body: &[u8]) -> String {
    STANDARD.encode(hmac::sign(secret.literal_key(), body))
}

/// HMAC-SHA1 of the body in lower-case hex, keyed by the secret's text as it stands; for shapes that know nothing better.
pub fn hex_hmac_sha1(secret: &Secret, body: &[u8]) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose().as_bytes()), body).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Whether `hex` is [`hex_hmac`] of the body, compared in constant time.
pub fn is_hex_hmac(secret: &Secret, body: &[u8], hex: &str) -> bool {
    constant_time::verify_slices_are_equal(hex_hmac(secret, body).as_bytes(), hex.trim().as_bytes()).is_ok()
}

/// Whether `text` is HMAC-SHA256 of the body in padded base64, compared in constant time.
pub fn is_base64_hmac(secret: &Secret, body: &[u8], text: &str) -> bool {
    constant_time::verify_slices_are_equal(base64_hmac(secret, body).as_bytes(), text.trim().as_bytes()).is_ok()
}

/// Whether `text` is `sha1=` and HMAC-SHA1 of the body in hex, compared in constant time.
pub fn is_hex_hmac_sha1(secret: &Secret, body: &[u8], text: &str) -> bool {
    let made = format!("sha1={}", hex_hmac_sha1(secret, body));
    constant_time::verify_slices_are_equal(made.as_bytes(), text.trim().as_bytes()).is_ok()
}

/// Which keyed hash a sender signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

/// Whether `given` is the keyed hash of the parts one after another, compared in constant time.
pub(crate) fn is_hmac(hash: Hash, key: &[u8], parts: &[&[u8]], given: &[u8]) -> bool {
    let algorithm = match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha512 => hmac::HMAC_SHA512,
    };
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    for part in parts {
        context.update(part);
    }
    constant_time::verify_slices_are_equal(context.sign().as_ref(), given).is_ok()
}

/// Whether an Ed25519 public key (32 bytes) signed the message.
pub(crate) fn is_ed25519(public: &[u8], message: &[u8], given: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, given).is_ok()
}

/// The bytes of hexadecimal text of either case.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 2 * MAX_TAG_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// The bytes of padded base64.
pub(crate) fn unbase64(text: &str) -> Option<Vec<u8>> {
    if text.len() > 2 * MAX_TAG_BYTES { None } else { STANDARD.decode(text).ok() }
}

/// Longest signature that is looked at, in bytes.
const MAX_TAG_BYTES: usize = 256;

/// The `webhook-signature` header: one `v1,` signature per secret, separated by blanks.
pub fn standard(secrets: &Secrets, id: &str, attempt_at: Timestamp, body: &[u8]) -> String {
    let mut header = String::with_capacity(48);
    for secret in secrets.at(attempt_at) {
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str("v1,");
        STANDARD.encode_string(sign(secret, id, attempt_at.as_seconds(), body), &mut header);
    }
    header
}

/// The Ed25519 key that belongs to a secret: its seed is HMAC-SHA256 of a fixed text, keyed by the secret's bytes.
fn ed25519(secret: &Secret) -> Option<Ed25519KeyPair> {
    let seed = hmac::sign(secret.decoded_key(), b"passbridge ed25519 seed");
    Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).ok()
}

/// The public key by which receivers check signatures of [`standard_ed25519`]: `whpk_` and base64.
pub fn public_key(secret: &Secret) -> Option<String> {
    Some(format!("whpk_{}", STANDARD.encode(ed25519(secret)?.public_key().as_ref())))
}

/// The `webhook-signature` header of the asymmetric scheme: one `v1a,` signature per secret, separated by blanks.
pub fn standard_ed25519(secrets: &Secrets, id: &str, attempt_at: Timestamp, body: &[u8]) -> Option<String> {
    let message = [format!("{id}.{}.", attempt_at.as_seconds()).as_bytes(), body].concat();
    let signed = secrets.at(attempt_at).map(|secret| Some(format!("v1a,{}", STANDARD.encode(ed25519(secret)?.sign(&message)))));
    Some(signed.collect::<Option<Vec<_>>>()?.join(" "))
}

/// Farthest that a `webhook-timestamp` may be from now, in seconds; the reference libraries use the same.
pub const TOLERANCE_SECONDS: i64 = 5 * 60;

/// Why a Standard Webhooks signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The timestamp is no number, or too far from now.
    #[error("webhook-timestamp is not within {TOLERANCE_SECONDS} seconds of now")]
    Stale,
    /// No signature in the header was made with any of the secrets over this id, timestamp and body.
    #[error("no signature in webhook-signature fits the body")]
    Mismatch,
}

/// Checks the three headers of a Standard Webhooks message, signatures in constant time.
pub fn check_standard(
    secrets: &Secrets,
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Invalid> {
    let seconds: i64 = timestamp.trim().parse().map_err(|_| Invalid::Stale)?;
    if seconds.saturating_sub(now.as_seconds()).saturating_abs() > TOLERANCE_SECONDS {
        return Err(Invalid::Stale);
    }
    let fits = |secret: &Secret| {
        let expected = STANDARD.encode(sign(secret, id, seconds, body));
        signatures
            .split_ascii_whitespace()
            .filter_map(|part| part.strip_prefix("v1,"))
            .any(|given| constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_ok())
    };
    if secrets.at(now).any(fits) { Ok(()) } else { Err(Invalid::Mismatch) }
}

fn sign(secret: &Secret, id: &str, seconds: i64, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(secret.decoded_key());
    context.update(id.as_bytes());
    context.update(format!(".{seconds}.").as_bytes());
    context.update(body);
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::Earlier;

    fn secret(byte: u8) -> Secret {
        format!("whsec_{}", STANDARD.encode([byte; 24])).parse().unwrap()
    }

    #[test]
    fn the_specification_s_example_holds() {
        // The example of the specification's symmetric signature section.
        let secrets = Secrets::one("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap());
        let body = br#"{"test": 2432232314}"#;
        let at = Timestamp::from_seconds(1_614_265_330);
        let header = standard(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body);
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn rotation_signs_with_both_and_tampering_fails() {
        let at = Timestamp::from_seconds(1_700_000_000);
        let until = Timestamp::from_seconds(1_700_000_060);
        let both = Secrets::rotated(secret(2), vec![Earlier { secret: secret(1), until: Some(until) }]);
        let header = standard(&both, "id", at, b"{}");
        assert_eq!(header.split(' ').count(), 2);
        for old_or_new in [secret(1), secret(2)] {
            assert_eq!(check_standard(&Secrets::one(old_or_new), "id", "1700000000", &header, b"{}", at), Ok(()));
        }
        let check = |secrets: Secrets, id, time, header: &str, body| check_standard(&secrets, id, time, header, body, at);
        assert_eq!(check(Secrets::one(secret(3)), "id", "1700000000", &header, b"{}"), Err(Invalid::Mismatch));
        assert_eq!(check(both.clone(), "di", "1700000000", &header, b"{}"), Err(Invalid::Mismatch));
        assert_eq!(check(both.clone(), "id", "1700000001", &header, b"{}"), Err(Invalid::Mismatch));
        assert_eq!(check(both.clone(), "id", "1700000000", &header, b"{ }"), Err(Invalid::Mismatch));
        assert_eq!(check(both.clone(), "id", "1699999000", &header, b"{}"), Err(Invalid::Stale));
        let (last, ended) =
            (standard(&both, "id", until.minus(std::time::Duration::from_micros(1)), b"{}"), standard(&both, "id", until, b"{}"));
        assert_eq!((last.split(' ').count(), ended.split(' ').count()), (2, 1), "the earlier one ends by itself");
        assert_eq!(check_standard(&both, "id", "1700000059", &header, b"{}", until), Err(Invalid::Mismatch));
        assert_eq!(check(both, "id", "-9223372036854775808", &header, b"{}"), Err(Invalid::Stale));
    }

    #[test]
    fn asymmetric_signatures_check_by_the_public_key() {
        let at = Timestamp::from_seconds(1_700_000_000);
        let header = standard_ed25519(&Secrets::one(secret(1)), "id", at, b"{}").unwrap();
        let public = unbase64(public_key(&secret(1)).unwrap().strip_prefix("whpk_").unwrap()).unwrap();
        let tag = unbase64(header.strip_prefix("v1a,").unwrap()).unwrap();
        assert!(is_ed25519(&public, b"id.1700000000.{}", &tag));
        assert!(!is_ed25519(&public, b"id.1700000001.{}", &tag));
        assert_ne!(public_key(&secret(1)), public_key(&secret(2)));
    }

    #[test]
    fn hex_signatures_check() {
        let tag = hex_hmac(&secret(1), b"{}");
        assert!(tag.len() == 64 && is_hex_hmac(&secret(1), b"{}", &tag));
        assert!(!is_hex_hmac(&secret(2), b"{}", &tag) && !is_hex_hmac(&secret(1), b"{}", ""));
    }
}
