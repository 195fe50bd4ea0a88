//! Signing and verifying.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use uuid::Uuid;

use crate::{
    code::{self, Form, Malformed, Ticket},
    totp::Secret,
};

/// An organization's signing key.
pub struct Signer {
    organization: Uuid,
    number: u8,
    pair: Ed25519KeyPair,
    rotation_key: [u8; 32],
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("organization", &self.organization).field("number", &self.number).finish_non_exhaustive()
    }
}

impl Signer {
    /// The key of a number, from 32 secret bytes for signing and 32 for rotating.
    pub fn new(organization: Uuid, number: u8, seed: &[u8; 32], rotation_key: [u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(Self { organization, number, pair, rotation_key })
    }

    /// What readers verify with.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey { number: self.number, key, rotation_key: None }
    }

    /// The same with the rotation key, for readers of ours.
    pub fn reader_key(&self) -> PublicKey {
        PublicKey { rotation_key: Some(self.rotation_key), ..self.public() }
    }

    /// A signed code.
    pub fn sign(&self, ticket: &Ticket) -> String {
        self.write(Form::Signed, ticket)
    }

    /// A rotating code up to the dot before its digits.
    pub fn rotating_prefix(&self, ticket: &Ticket) -> String {
        self.write(Form::Rotating, ticket) + "."
    }

    /// The secret that the digits of a pass's rotating code are made with.
    pub fn secret(&self, ticket: &Ticket) -> Secret {
        Secret::of(&self.rotation_key, ticket.pass, ticket.epoch)
    }

    fn write(&self, form: Form, ticket: &Ticket) -> String {
        let claim = code::claim(self.number, ticket);
        let signature = self.pair.sign(&code::message(form, self.organization, &claim));
        code::write(form, &claim, signature.as_ref())
    }
}

/// What a reader needs of one signing key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its number.
    pub number: u8,
    /// The Ed25519 public key.
    pub key: [u8; 32],
    /// What the secrets of rotating codes are derived from; without it they cannot be verified.
    pub rotation_key: Option<[u8; 32]>,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey").field("number", &self.number).field("key", &self.key).finish_non_exhaustive()
    }
}

/// What a reader of an organization's codes knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// The organization.
    pub organization: Uuid,
    /// The keys in force.
    pub keys: Vec<PublicKey>,
}

/// A code that is genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub ticket: Ticket,
    /// Whether it rotates, and is of now.
    pub rotation: Rotation,
}

impl Verified {
    /// Whether the validity that is signed covers a time in unix seconds.
    pub fn is_valid_at(&self, at: i64) -> bool {
        self.ticket.not_before.is_none_or(|start| start <= at) && self.ticket.not_after.is_none_or(|end| at < end)
    }
}

/// The changing part of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// It has none.
    Fixed,
    /// Its digits are of now.
    Fresh,
    /// Its digits are of another time, or made up: a copy.
    Stale,
}

/// Why a code is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its signature is not of a key in force.
    #[error("is not signed by a key of this organization that is in force")]
    Forged,
    /// It rotates, and the reader was not given the rotation key.
    #[error("rotates, and this reader has no rotation key")]
    NoRotationKey,
}

impl Reader {
    /// Verifies what was read at a time in unix seconds; nothing when it is none of our codes.
    pub fn verify(&self, text: &str, at: i64) -> Option<Result<Verified, Fault>> {
        let code = match code::read(text)? {
            Ok(code) => code,
            Err(malformed) => return Some(Err(malformed.into())),
        };
        Some(self.check(&code, at))
    }

    fn check(&self, code: &code::Code, at: i64) -> Result<Verified, Fault> {
        let key = self.keys.iter().find(|key| key.number == code.key).ok_or(Fault::Forged)?;
        let message = code::message(code.form, self.organization, &code.claim);
        UnparsedPublicKey::new(&ED25519, key.key).verify(&message, &code.signature).map_err(|_| Fault::Forged)?;
        let rotation = match &code.digits {
            None => Rotation::Fixed,
            Some(digits) => {
                let key = key.rotation_key.as_ref().ok_or(Fault::NoRotationKey)?;
                let fresh = Secret::of(key, code.ticket.pass, code.ticket.epoch).matches(digits, at);
                if fresh { Rotation::Fresh } else { Rotation::Stale }
            }
        };
        Ok(Verified { ticket: code.ticket, rotation })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: i64 = 1_800_000_000;

    fn signer(number: u8) -> Signer {
        Signer::new(Uuid::from_u128(7), number, &[number + 1; 32], [9; 32]).unwrap()
    }
    fn reader(keys: Vec<PublicKey>) -> Reader {
        Reader { organization: Uuid::from_u128(7), keys }
    }
    fn ticket() -> Ticket {
        Ticket { pass: Uuid::from_u128(1 << 120 | 42), epoch: 3, not_before: None, not_after: Some(AT + 1) }
    }

    #[test]
    fn a_signed_code_fits_and_verifies() {
        let text = signer(0).sign(&ticket());
        assert_eq!(text.len(), 150);
        let alphanumeric = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase() || byte == b'.';
        assert!(text.bytes().all(alphanumeric), "{text}");
        let verified = reader(vec![signer(0).public()]).verify(&text.to_lowercase(), AT).unwrap().unwrap();
        assert_eq!((verified.rotation, verified.ticket.pass, verified.ticket.epoch), (Rotation::Fixed, ticket().pass, 3));
        assert!(verified.is_valid_at(AT) && !verified.is_valid_at(AT + 61), "to the minute");
    }

    #[test]
    fn a_rotating_code_is_of_its_time() {
        let signer = signer(0);
        let digits = signer.secret(&ticket()).digits(AT);
        let text = format!("{}{digits}", signer.rotating_prefix(&ticket()));
        let rotation = |text: &str, at| reader(vec![signer.reader_key()]).verify(text, at).unwrap().map(|it| it.rotation);
        assert_eq!(rotation(&text, AT + 20), Ok(Rotation::Fresh));
        assert_eq!(rotation(&text, AT + 90), Ok(Rotation::Stale), "a photograph");
        assert_eq!(reader(vec![signer.public()]).verify(&text, AT), Some(Err(Fault::NoRotationKey)));
        let body = text.split('.').nth(1).unwrap();
        assert_eq!(rotation(&format!("PB1.{body}"), AT), Err(Fault::Forged), "its body is no signed code");
    }

    #[test]
    fn nothing_foreign_verifies() {
        let text = signer(0).sign(&ticket());
        assert_eq!(reader(vec![signer(1).public()]).verify(&text, AT), Some(Err(Fault::Forged)), "a key that is not in force");
        let elsewhere = Reader { organization: Uuid::from_u128(8), keys: vec![signer(0).public()] };
        assert_eq!(elsewhere.verify(&text, AT), Some(Err(Fault::Forged)), "another organization");
        let impostor = PublicKey { number: 0, ..signer(5).public() };
        assert_eq!(reader(vec![impostor]).verify(&text, AT), Some(Err(Fault::Forged)));
        assert_eq!(reader(Vec::new()).verify("4006381333931", AT), None, "a code of somebody else");
    }

    proptest! {
        #[test]
        fn whatever_is_read_does_no_harm(text in ".{0,200}") {
            let reader = reader(vec![signer(0).reader_key()]);
            prop_assert!(reader.verify(&text, AT).is_none_or(|verdict| verdict.is_err()));
            for form in ["PB1", "PB2"] {
                let refused = reader.verify(&format!("{form}.{text}"), AT).unwrap().is_err();
                prop_assert!(refused, "{}", form);
            }
        }

        #[test]
        fn every_changed_character_is_noticed(at in 4usize..150, by in 1u8..31) {
            const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
            let mut text = signer(0).sign(&ticket()).into_bytes();
            let value = ALPHABET.iter().position(|letter| *letter == text[at]).unwrap();
            text[at] = ALPHABET[(value + usize::from(by)) % 32];
            let verdict = reader(vec![signer(0).public()]).verify(std::str::from_utf8(&text).unwrap(), AT).unwrap();
            prop_assert!(verdict.is_err());
        }

        #[test]
        fn every_ticket_comes_back(pass: u128, epoch: u16, start in 1i64..4_000_000_000, length in 60i64..4_000_000_000) {
            let ticket = Ticket { pass: Uuid::from_u128(pass), epoch, not_before: Some(start), not_after: Some(start + length) };
            let verified = reader(vec![signer(0).public()]).verify(&signer(0).sign(&ticket), AT).unwrap().unwrap();
            prop_assert_eq!((verified.ticket.pass, verified.ticket.epoch), (ticket.pass, epoch));
            prop_assert!(verified.is_valid_at(start.max(60)) && verified.is_valid_at(start + length - 1));
            prop_assert!(!verified.is_valid_at(start + length + 60));
        }
    }
}
