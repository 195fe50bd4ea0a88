//! Passwords that holders enter at an enrolment form, kept as PBKDF2-HMAC-SHA-256 (RFC 8018), `pbkdf2-sha256:salt:hash` in
//! base64url.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Entropy;

/// Rounds: a guess is work, and a client address has few a minute.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
const NAME: &str = "pbkdf2-sha256";
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Whether a text is a password's hash already.
pub(crate) fn is_hash(text: &str) -> bool {
    parts(text).is_some()
}

/// What a password is kept as.
pub(crate) fn hash(password: &str, entropy: &dyn Entropy) -> String {
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt);
    let mut hash = [0; HASH_BYTES];
    pbkdf2::derive(PBKDF2_HMAC_SHA256, ROUNDS, &salt, password.as_bytes(), &mut hash);
    format!("{NAME}:{}:{}", URL_SAFE_NO_PAD.encode(salt), URL_SAFE_NO_PAD.encode(hash))
}

/// Whether a password is the one that was kept. It takes long: not for a thread that others wait for.
pub(crate) fn verify(password: &str, kept: &str) -> bool {
    parts(kept).is_some_and(|(salt, hash)| pbkdf2::verify(PBKDF2_HMAC_SHA256, ROUNDS, &salt, password.as_bytes(), &hash).is_ok())
}

fn parts(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (salt, hash) = text.strip_prefix(NAME)?.strip_prefix(':')?.split_once(':')?;
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let (salt, hash) = (bytes(salt)?, bytes(hash)?);
    (salt.len() == SALT_BYTES && hash.len() == HASH_BYTES).then_some((salt, hash))
}
