//! Credentials: they compare in constant time and never show themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{Entropy, Timestamp};
use zeroize::Zeroizing;

/// A write key as a sender presented it.
#[derive(Clone)]
pub struct WriteKey(Zeroizing<String>);

impl WriteKey {
    /// Longest key that is looked at, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// From text, unless it is empty or too long to be a key.
    pub fn new(text: &str) -> Option<Self> {
        (1..=Self::MAX_BYTES).contains(&text.len()).then(|| Self(Zeroizing::new(text.to_owned())))
    }
    /// What it is looked up by.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
    /// Whether it begins with what is shown of a key to recognise it by.
    pub fn begins_with(&self, shown: &str) -> bool {
        self.0.starts_with(shown)
    }
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WriteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteKey(…)")
    }
}

/// SHA-256 of a write key: what is kept of it. Write keys are long and random, so a plain hash is safe.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
        Self(bytes)
    }
    /// As read from the store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// As written to the store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Takes the same time wherever the two differ.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}
impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A secret that a sender signs with, as the sender shows or takes it.
#[derive(Clone)]
pub struct SharedSecret(Zeroizing<String>);

impl SharedSecret {
    /// Shortest secret, in bytes.
    pub const MIN_BYTES: usize = 8;
    /// Longest secret, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// From text, blanks around it left out; nothing when it is too short or too long to be a secret.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (Self::MIN_BYTES..=Self::MAX_BYTES).contains(&text.len()).then(|| Self(Zeroizing::new(text.to_owned())))
    }
    /// The text of it, to seal.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

/// What marks a symmetric Standard Webhooks secret.
const PREFIX: &str = "whsec_";
/// Random bytes of a secret that we make.
const MINTED_BYTES: usize = 32;

/// A webhook's signing secret: `whsec_` and base64 of 24 to 64 bytes, as Standard Webhooks 1.0.0 has it.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    literal: hmac::Key,
    decoded: hmac::Key,
}

/// Text that is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a signing secret: expected whsec_ and base64 of 24 to 64 random bytes")]
pub struct SecretError;

impl Secret {
    /// Fewest random bytes of a secret.
    pub const MIN_BYTES: usize = 24;
    /// Most random bytes of a secret.
    pub const MAX_BYTES: usize = 64;

    /// A new secret.
    pub fn mint(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; MINTED_BYTES]);
        entropy.fill(bytes.as_mut());
        Self::build(format!("{PREFIX}{}", STANDARD.encode(*bytes)), bytes.as_ref())
    }

    fn build(text: String, bytes: &[u8]) -> Self {
        Self {
            literal: hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()),
            decoded: hmac::Key::new(hmac::HMAC_SHA256, bytes),
            text: Zeroizing::new(text),
        }
    }

    /// The text of it, to show once or to seal.
    pub fn expose(&self) -> &str {
        &self.text
    }
    /// The key whose bytes are the text as it stands.
    pub(crate) const fn literal_key(&self) -> &hmac::Key {
        &self.literal
    }
    /// The key whose bytes the base64 part encodes.
    pub(crate) const fn decoded_key(&self) -> &hmac::Key {
        &self.decoded
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| SecretError)?);
        if !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&bytes.len()) {
            return Err(SecretError);
        }
        Ok(Self::build(text.to_owned(), &bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secrets of one webhook. While one is being rotated, bodies are signed with all of them.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The one in use.
    pub current: Secret,
    /// Earlier ones that receivers may still check against, newest first.
    pub previous: Vec<Earlier>,
    /// What its settings hold that is a credential.
    pub credentials: Credentials,
    /// The token that was got with them, where the destination wants one.
    pub token: Option<Token>,
}

/// A secret that was rotated out.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// It.
    pub secret: Secret,
    /// From this time on nothing is signed with it; without one it stays until somebody ends the rotation.
    pub until: Option<Timestamp>,
}

/// Characters of the shortest credential that is masked.
const MASKED: usize = 4;

/// Credentials among the settings of a target, by their names.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, Zeroizing<String>>);

impl Credentials {
    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
    /// A text with `***` in the place of each credential that stands in it as it is, also where the text ends within one: what
    /// code of the target's owner logs is cut. One of fewer than four characters is in too many texts to tell, and stays.
    pub fn mask(&self, text: &str) -> String {
        let mut values: Vec<&str> = self.iter().map(|(_, value)| value).filter(|value| value.chars().count() >= MASKED).collect();
        // The longest first: one may be part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let mut text = text.to_owned();
        for value in values {
            text = text.replace(value, "***");
            let begun = value.char_indices().map(|(at, _)| &value[..at]).skip(MASKED);
            if let Some(begun) = begun.filter(|begun| text.ends_with(begun)).last() {
                text.truncate(text.len() - begun.len());
                text.push_str("***");
            }
        }
        text
    }
}

impl FromIterator<(String, String)> for Credentials {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(all: T) -> Self {
        Self(all.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// An access token.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// From its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
    /// Its text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Secrets {
    /// Most earlier secrets that are signed with.
    pub const MAX_PREVIOUS: usize = 3;

    /// Just one.
    pub const fn one(current: Secret) -> Self {
        Self { current, previous: Vec::new(), credentials: Credentials(BTreeMap::new()), token: None }
    }
    /// The one in use and earlier ones.
    pub const fn rotated(current: Secret, previous: Vec<Earlier>) -> Self {
        Self { current, previous, credentials: Credentials(BTreeMap::new()), token: None }
    }
    /// All that bodies are signed with at a time, the current one first.
    pub fn at(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let in_force = move |earlier: &&Earlier| earlier.until.is_none_or(|until| now < until);
        let previous = self.previous.iter().filter(in_force).take(Self::MAX_PREVIOUS);
        std::iter::once(&self.current).chain(previous.map(|earlier| &earlier.secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    #[test]
    fn secrets_have_one_form_and_stay_hidden() {
        let secret = Secret::mint(&Sevens);
        assert!(secret.expose().starts_with("whsec_"));
        assert_eq!(secret.expose().parse::<Secret>().unwrap().expose(), secret.expose());
        for text in
            ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!", &STANDARD.encode([7; 32]), &format!("whsec_{}", STANDARD.encode([7; 65]))]
        {
            assert_eq!(text.parse::<Secret>().unwrap_err(), SecretError, "{text}");
        }
        let key = WriteKey::new("wk_0123456789").unwrap();
        let shown = format!("{:?} {:?} {:?} {:?}", secret, Secrets::one(secret.clone()), key, key.hash());
        assert!(!shown.contains("BwcH") && !shown.contains("wk_") && !shown.contains('7'), "{shown}");
    }

    #[test]
    fn what_is_said_is_masked() {
        let all = [("secret.crm", "s3cr-éts3cr"), ("secret.long", "s3cr-éts3cr-and-more"), ("secret.short", "abc")];
        let all: Credentials = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (said, shown) in [
            ("GET /?k=s3cr-éts3cr: 500", "GET /?k=***: 500"),
            ("s3cr-éts3cr-and-more", "***"),
            ("cut at s3cr-éts3cr-and", "cut at ***"),
            ("cut at s3cr-é", "cut at ***"),
            ("abc and s3c", "abc and s3c"),
        ] {
            assert_eq!(all.mask(said), shown, "{said}");
        }
    }

    #[test]
    fn keys_are_compared_by_hash() {
        assert_eq!(WriteKey::new("a").unwrap().hash(), KeyHash::of("a"));
        assert_ne!(KeyHash::of("a"), KeyHash::of("b"));
        assert!(WriteKey::new("").is_none() && WriteKey::new(&"a".repeat(513)).is_none());
    }
}
