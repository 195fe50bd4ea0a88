//! Sealing at rest: who can read what.
//!
//! The master key wraps one key per organization, so rotating it rewraps those and nothing else. An organization's key is
//! never used directly; HKDF derives from it one key per purpose. Personal values are sealed under a data key per contact
//! (or per pass or source event without one), which is stored wrapped: destroying that row makes every copy of the value
//! in logs, indexes, backups and dead tuples unreadable.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac,
};
use domain::{Entropy, OrgId};
use parking_lot::RwLock;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    error::{Result, StoreError},
    rows::Hash,
};

const KEY_BYTES: usize = 32;
/// First byte of everything sealed, so that the form can change.
const SEAL_FORM: u8 = 1;

/// The key that everything else hangs on: 32 random bytes, kept outside the database.
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl MasterKey {
    /// A new one.
    pub fn mint(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(bytes.as_mut());
        Self(bytes)
    }
    /// From 64 hexadecimal digits, blanks around them ignored.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        if text.len() != 2 * KEY_BYTES {
            return None;
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        for (slot, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
    /// As 64 hexadecimal digits.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl MasterKey {
    /// Seals something under this key itself: what is carried from one installation to another.
    pub(crate) fn wrap(&self, entropy: &dyn Entropy, context: &[u8], value: &[u8]) -> Result<Vec<u8>> {
        seal_under(entropy, &aead(self.0.as_ref())?, context, value)
    }
    /// Opens what was sealed so.
    pub(crate) fn unwrap(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(open_with(&aead(self.0.as_ref())?, context, sealed)?))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// What an organization's key is used for, one derived key each.
struct OrgKeys {
    wrap: LessSafeKey,
    seal: LessSafeKey,
    index: hmac::Key,
    token: hmac::Key,
    scan: hmac::Key,
}

/// A secret behind scan codes.
type ScanSecret = Zeroizing<[u8; KEY_BYTES]>;

/// A key that personal values are sealed under, ready to use.
pub struct DataKey(LessSafeKey);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// Every organization's keys, unwrapped.
pub struct Keyring {
    master: LessSafeKey,
    orgs: RwLock<HashMap<OrgId, Arc<OrgKeys>>>,
    entropy: Arc<dyn Entropy>,
}

impl Keyring {
    /// An empty keyring under a master key.
    pub fn new(master: &MasterKey, entropy: Arc<dyn Entropy>) -> Result<Self> {
        Ok(Self { master: aead(master.0.as_ref())?, orgs: RwLock::default(), entropy })
    }

    /// Makes a new organization's key; the wrapped form is to be stored.
    pub fn create_org(&self, org: OrgId) -> Result<Vec<u8>> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        self.entropy.fill(key.as_mut());
        let wrapped = self.seal_with(&self.master, org.uuid().as_bytes(), key.as_ref())?;
        self.orgs.write().insert(org, Arc::new(derive(key.as_ref())?));
        Ok(wrapped)
    }

    /// Takes over a stored organization's key.
    pub fn open_org(&self, org: OrgId, wrapped: &[u8]) -> Result<()> {
        let key =
            Zeroizing::new(open_with(&self.master, org.uuid().as_bytes(), wrapped).map_err(|_| StoreError::WrongMasterKey)?);
        self.orgs.write().insert(org, Arc::new(derive(&key)?));
        Ok(())
    }

    /// A stored organization's key wrapped under another key instead: to be carried to another installation.
    pub(crate) fn rewrap(&self, org: OrgId, wrapped: &[u8], under: &MasterKey) -> Result<Vec<u8>> {
        let key =
            Zeroizing::new(open_with(&self.master, org.uuid().as_bytes(), wrapped).map_err(|_| StoreError::WrongMasterKey)?);
        under.wrap(&*self.entropy, org.uuid().as_bytes(), &key)
    }

    /// Takes over an organization's key that was carried here; as it is to be stored.
    pub(crate) fn adopt(&self, org: OrgId, carried: &[u8], under: &MasterKey) -> Result<Vec<u8>> {
        let key = under.unwrap(org.uuid().as_bytes(), carried)?;
        self.orgs.write().insert(org, Arc::new(derive(&key)?));
        self.seal_with(&self.master, org.uuid().as_bytes(), &key)
    }

    /// Whether the organization's key is at hand.
    pub fn knows(&self, org: OrgId) -> bool {
        self.orgs.read().contains_key(&org)
    }

    fn org(&self, org: OrgId) -> Result<Arc<OrgKeys>> {
        self.orgs.read().get(&org).cloned().ok_or_else(|| StoreError::Internal(format!("no key for organization {org}")))
    }

    /// A new data key for a subject, and its wrapped form to be stored.
    pub fn mint_data_key(&self, org: OrgId, subject: Uuid) -> Result<(DataKey, Vec<u8>)> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        self.entropy.fill(key.as_mut());
        let wrapped = self.seal_with(&self.org(org)?.wrap, subject.as_bytes(), key.as_ref())?;
        Ok((DataKey(aead(key.as_ref())?), wrapped))
    }

    /// A stored data key.
    pub fn open_data_key(&self, org: OrgId, subject: Uuid, wrapped: &[u8]) -> Result<DataKey> {
        let key = Zeroizing::new(open_with(&self.org(org)?.wrap, subject.as_bytes(), wrapped)?);
        Ok(DataKey(aead(&key)?))
    }

    /// Seals a personal value. `context` says what it is (table and id) and must be given again to open it.
    pub fn seal(&self, key: &DataKey, context: &[u8], value: &[u8]) -> Result<Vec<u8>> {
        self.seal_with(&key.0, context, value)
    }

    /// Opens a personal value.
    pub fn open(key: &DataKey, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        open_with(&key.0, context, sealed)
    }

    /// Seals an organization's secret: a signing key, a webhook secret.
    pub fn seal_secret(&self, org: OrgId, context: &[u8], secret: &[u8]) -> Result<Vec<u8>> {
        self.seal_with(&self.org(org)?.seal, context, secret)
    }

    /// Opens an organization's secret.
    pub fn open_secret(&self, org: OrgId, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(open_with(&self.org(org)?.seal, context, sealed)?))
    }

    /// The blind index of a value: equal for equal values of an organization and purpose, unreadable without its key.
    pub fn blind(&self, org: OrgId, purpose: &str, value: &str) -> Result<Hash> {
        let mut context = hmac::Context::with_key(&self.org(org)?.index);
        for part in [purpose.as_bytes(), &[0], value.as_bytes()] {
            context.update(part);
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&context.sign().as_ref()[..16]);
        Ok(hash)
    }

    /// The token that a phone shows for a pass: HMAC(token key, type ‖ serial ‖ epoch) as 43 characters of base64url.
    pub fn apple_token(&self, org: OrgId, pass_type: &str, serial: &str, epoch: u32) -> Result<String> {
        let mut context = hmac::Context::with_key(&self.org(org)?.token);
        for part in [pass_type.as_bytes(), &[0], serial.as_bytes(), &[0], &epoch.to_be_bytes()] {
            context.update(part);
        }
        Ok(base64url(context.sign().as_ref()))
    }

    /// The secrets behind an organization's scan codes of a key number: what it signs with, and what codes rotate with.
    pub fn scan_secrets(&self, org: OrgId, number: u8) -> Result<(ScanSecret, ScanSecret)> {
        let keys = self.org(org)?;
        let secret = |purpose: &[u8]| {
            let mut out = Zeroizing::new([0; KEY_BYTES]);
            out.copy_from_slice(hmac::sign(&keys.scan, &[purpose, &[0, number]].concat()).as_ref());
            out
        };
        Ok((secret(b"sign"), secret(b"rotate")))
    }

    fn seal_with(&self, key: &LessSafeKey, context: &[u8], value: &[u8]) -> Result<Vec<u8>> {
        seal_under(&*self.entropy, key, context, value)
    }
}

fn seal_under(entropy: &dyn Entropy, key: &LessSafeKey, context: &[u8], value: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + value.len() + AES_256_GCM.tag_len());
    sealed.push(SEAL_FORM);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(value);
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut sealed[1 + NONCE_LEN..])
        .map_err(|_| StoreError::Internal("sealing failed".to_owned()))?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn open_with(key: &LessSafeKey, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    let fault = || StoreError::Internal("a sealed value does not open: it was changed or its key is another".to_owned());
    let (form, rest) = sealed.split_first().ok_or_else(fault)?;
    let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or_else(fault)?;
    if *form != SEAL_FORM {
        return Err(fault());
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| fault())?;
    let mut body = body.to_vec();
    let length = key.open_in_place(nonce, Aad::from(context), &mut body).map_err(|_| fault())?.len();
    body.truncate(length);
    Ok(body)
}

fn aead(key: &[u8]) -> Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| StoreError::Internal("a key of the wrong length".to_owned()))
}

fn derive(key: &[u8]) -> Result<OrgKeys> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"passbridge organization key").extract(key);
    let purpose = |info: &'static [u8]| -> Result<Zeroizing<[u8; KEY_BYTES]>> {
        let mut out = Zeroizing::new([0; KEY_BYTES]);
        extracted
            .expand(&[info], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(out.as_mut()))
            .map_err(|_| StoreError::Internal("key derivation failed".to_owned()))?;
        Ok(out)
    };
    Ok(OrgKeys {
        wrap: aead(purpose(b"wrap data keys")?.as_ref())?,
        seal: aead(purpose(b"seal secrets")?.as_ref())?,
        index: hmac::Key::new(hmac::HMAC_SHA256, purpose(b"blind index")?.as_ref()),
        token: hmac::Key::new(hmac::HMAC_SHA256, purpose(b"apple token")?.as_ref()),
        scan: hmac::Key::new(hmac::HMAC_SHA256, purpose(b"scan codes")?.as_ref()),
    })
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * index) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use domain::Timestamp;

    use super::*;

    struct Counting(AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for byte in buffer {
                *byte = self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn keyring() -> (Keyring, OrgId) {
        let entropy: Arc<dyn Entropy> = Arc::new(Counting(AtomicU8::new(1)));
        let ring = Keyring::new(&MasterKey::mint(&*entropy), Arc::clone(&entropy)).unwrap();
        let org = OrgId::mint(Timestamp::from_seconds(1), &*entropy);
        ring.create_org(org).unwrap();
        (ring, org)
    }

    #[test]
    fn sealed_values_open_only_with_key_and_context() {
        let (ring, org) = keyring();
        let (key, wrapped) = ring.mint_data_key(org, Uuid::from_u128(1)).unwrap();
        let sealed = ring.seal(&key, b"pass 1", b"Member One").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"Member"));
        let again = ring.open_data_key(org, Uuid::from_u128(1), &wrapped).unwrap();
        assert_eq!(Keyring::open(&again, b"pass 1", &sealed).unwrap(), b"Member One");
        assert!(Keyring::open(&again, b"pass 2", &sealed).is_err());
        assert!(ring.open_data_key(org, Uuid::from_u128(2), &wrapped).is_err());
        for index in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[index] ^= 1;
            assert!(Keyring::open(&key, b"pass 1", &broken).is_err(), "byte {index}");
        }
    }

    #[test]
    fn another_master_key_opens_nothing() {
        let (ring, org) = keyring();
        let entropy: Arc<dyn Entropy> = Arc::new(Counting(AtomicU8::new(99)));
        let other = Keyring::new(&MasterKey::mint(&*entropy), entropy).unwrap();
        let wrapped = ring.create_org(org).unwrap();
        assert!(matches!(other.open_org(org, &wrapped), Err(StoreError::WrongMasterKey)));
    }

    #[test]
    fn tokens_and_indexes_depend_on_every_part() {
        let (ring, org) = keyring();
        let token = ring.apple_token(org, "pass.a", "1", 0).unwrap();
        assert_eq!(token.len(), 43);
        assert_eq!(token, ring.apple_token(org, "pass.a", "1", 0).unwrap());
        for (pass_type, serial, epoch) in [("pass.a1", "", 0), ("pass.b", "1", 0), ("pass.a", "2", 0), ("pass.a", "1", 1)] {
            assert_ne!(token, ring.apple_token(org, pass_type, serial, epoch).unwrap());
        }
        assert_ne!(ring.blind(org, "email", "a").unwrap(), ring.blind(org, "external", "a").unwrap());
    }

    #[test]
    fn master_keys_are_64_hexadecimal_digits() {
        let entropy = Counting(AtomicU8::new(200));
        let hex = MasterKey::mint(&entropy).to_hex();
        assert_eq!(*MasterKey::from_hex(&format!(" {}\n", &*hex)).unwrap().to_hex(), *hex);
        assert!(MasterKey::from_hex("zz").is_none());
        assert_eq!(base64url(b"\xff\xfe\xfd\xfc"), "__79_A");
    }
}
