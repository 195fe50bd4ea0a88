//! Certificates, as far as passes need them. Source: RFC 5280.

use std::fmt;

use aws_lc_rs::signature::{self as sig, VerificationAlgorithm};
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use crate::asn1::{INTEGER, Reader, SEQUENCE, Tlv};

/// `userId`, where Apple writes the pass type (RFC 4519, 2.39).
const USER_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Why bytes are not a usable certificate, or not signed as they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not an X.509 certificate.
    #[error("this is not an X.509 certificate; give the `.cer` file or PEM as Apple provides it")]
    Malformed,
    /// A key or signature algorithm that passes do not use.
    #[error(
        "the certificate uses an algorithm that passes do not use; keys are RSA with 2048 bits or more, or ECDSA P-256 or P-384"
    )]
    Algorithm,
    /// The names do not fit: another authority issued it.
    #[error("`{subject}` was issued by `{issuer}`, not by `{candidate}`")]
    OtherIssuer {
        /// Whose certificate.
        subject: String,
        /// Who issued it, by its own words.
        issuer: String,
        /// Whose certificate was given as issuer.
        candidate: String,
    },
    /// The names fit and the signature does not.
    #[error(
        "the signature on `{0}` is not by its issuer's key: the certificate was altered, or another authority has the same name"
    )]
    Signature(String),
    /// The issuer may not issue certificates.
    #[error("`{0}` is not a certificate authority, so it cannot have issued the other certificate")]
    NotAuthority(String),
}

/// A certificate with its raw parts at hand.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    tbs: std::ops::Range<usize>,
    serial: std::ops::Range<usize>,
    issuer: std::ops::Range<usize>,
    subject: std::ops::Range<usize>,
}

impl Certificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// When it is no X.509 certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let walk = || {
            let tbs = Reader::new(der).expect(SEQUENCE)?.inside().expect(SEQUENCE)?;
            let mut fields = tbs.inside();
            fields.optional(crate::asn1::CONTEXT_0)?;
            let serial = fields.expect(INTEGER)?;
            fields.expect(SEQUENCE)?;
            let issuer = fields.expect(SEQUENCE)?;
            fields.expect(SEQUENCE)?;
            Ok::<_, crate::asn1::Malformed>((tbs, serial, issuer, fields.expect(SEQUENCE)?))
        };
        let (tbs, serial, issuer, subject) = walk().map_err(|_| CertificateError::Malformed)?;
        let range = |part: Tlv<'_>| {
            let start = part.raw.as_ptr() as usize - der.as_ptr() as usize;
            start..start + part.raw.len()
        };
        Ok(Self {
            tbs: range(tbs),
            serial: range(serial),
            issuer: range(issuer),
            subject: range(subject),
            der: der.to_vec(),
            parsed,
        })
    }

    /// The certificate's bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Subject UID: the pass type of a pass type certificate.
    pub fn pass_type_identifier(&self) -> Option<String> {
        self.subject_text(USER_ID)
    }

    /// Subject OU: the team of a pass type certificate.
    pub fn team_identifier(&self) -> Option<String> {
        self.subject_text(ORGANIZATIONAL_UNIT)
    }

    /// Subject common name, or the whole subject where it has none.
    pub fn name(&self) -> String {
        self.subject_text(COMMON_NAME).unwrap_or_else(|| self.parsed.tbs_certificate().subject().to_string())
    }

    /// The subject as text (RFC 4514).
    pub fn subject(&self) -> String {
        self.parsed.tbs_certificate().subject().to_string()
    }

    /// The issuer as text (RFC 4514).
    pub fn issuer(&self) -> String {
        self.parsed.tbs_certificate().issuer().to_string()
    }

    /// The serial number in upper-case hexadecimal, as openssl and Keychain Access show it.
    pub fn serial(&self) -> String {
        let digits = Reader::new(self.raw_serial()).next().map_or(&[][..], |serial| serial.value);
        let digits = digits.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(digits);
        digits.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// The generation of Apple's WWDR intermediate that issued this certificate (`G1` where the name has none), or nothing when
    /// another authority did. Passes need `G4`. Source: Apple, *WWDR intermediate certificates*.
    pub fn wwdr_generation(&self) -> Option<String> {
        generation(self.parsed.tbs_certificate().issuer())
    }

    /// The generation of the WWDR intermediate that this certificate is itself, if it is one.
    pub(crate) fn own_generation(&self) -> Option<String> {
        generation(self.parsed.tbs_certificate().subject())
    }

    /// First moment of validity, unix seconds.
    pub fn not_before(&self) -> i64 {
        self.parsed.tbs_certificate().validity().not_before.to_unix_duration().as_secs() as i64
    }

    /// Last moment of validity, unix seconds.
    pub fn not_after(&self) -> i64 {
        self.parsed.tbs_certificate().validity().not_after.to_unix_duration().as_secs() as i64
    }

    /// True while the certificate is valid.
    pub fn is_valid_at(&self, unix_seconds: i64) -> bool {
        (self.not_before()..=self.not_after()).contains(&unix_seconds)
    }

    /// Checks that the other certificate issued this one: names, authority and signature. Validity is asked for separately.
    ///
    /// # Errors
    /// Says which of the three fails.
    pub fn check_issued_by(&self, issuer: &Self) -> Result<(), CertificateError> {
        if self.raw_issuer() != issuer.raw_subject() {
            return Err(CertificateError::OtherIssuer {
                subject: self.name(),
                issuer: self.issuer(),
                candidate: issuer.subject(),
            });
        }
        if !issuer.is_authority() {
            return Err(CertificateError::NotAuthority(issuer.name()));
        }
        let hash = hash_of_signature(self.parsed.signature_algorithm().oid).ok_or(CertificateError::Algorithm)?;
        let signature = self.parsed.signature().as_bytes().ok_or(CertificateError::Malformed)?;
        let holds = issuer.verify(hash, &self.der[self.tbs.clone()], signature)?;
        if holds { Ok(()) } else { Err(CertificateError::Signature(self.name())) }
    }

    /// True when the signature over the message is by this certificate's key.
    pub(crate) fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> Result<bool, CertificateError> {
        let info = self.parsed.tbs_certificate().subject_public_key_info();
        let key = info.subject_public_key.as_bytes().ok_or(CertificateError::Malformed)?;
        let algorithm = verification(self.key_kind()?, hash).ok_or(CertificateError::Algorithm)?;
        Ok(sig::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok())
    }

    /// The public key as it stands in the certificate: PKCS#1 for RSA, the point for EC.
    pub(crate) fn public_key(&self) -> &[u8] {
        self.parsed.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes()
    }

    pub(crate) fn key_kind(&self) -> Result<KeyKind, CertificateError> {
        let algorithm = &self.parsed.tbs_certificate().subject_public_key_info().algorithm;
        let curve = || algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        match algorithm.oid {
            RSA => Ok(KeyKind::Rsa),
            EC if curve() == Some(P256) => Ok(KeyKind::P256),
            EC if curve() == Some(P384) => Ok(KeyKind::P384),
            _ => Err(CertificateError::Algorithm),
        }
    }

    pub(crate) fn raw_serial(&self) -> &[u8] {
        &self.der[self.serial.clone()]
    }

    pub(crate) fn raw_issuer(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    pub(crate) fn raw_subject(&self) -> &[u8] {
        &self.der[self.subject.clone()]
    }

    pub(crate) fn is_authority(&self) -> bool {
        let tbs = self.parsed.tbs_certificate();
        let is_ca = matches!(tbs.get_extension::<BasicConstraints>(), Ok(Some((_, constraints))) if constraints.ca);
        let may_sign = match tbs.get_extension::<KeyUsage>() {
            Ok(Some((_, usage))) => usage.key_cert_sign(),
            Ok(None) => true,
            Err(_) => false,
        };
        is_ca && may_sign
    }

    fn subject_text(&self, oid: ObjectIdentifier) -> Option<String> {
        let attribute = self.parsed.tbs_certificate().subject().iter().find(|attribute| attribute.oid == oid)?;
        text_of(attribute)
    }
}

fn generation(name: &x509_cert::name::Name) -> Option<String> {
    let all: Vec<String> = name.iter().filter_map(text_of).collect();
    if !all.iter().any(|text| text.starts_with("Apple Worldwide Developer Relations")) {
        return None;
    }
    let last_words = all.iter().filter_map(|text| text.rsplit(' ').next());
    let mut numbers = last_words.filter(|word| word.strip_prefix('G').is_some_and(|number| number.parse::<u8>().is_ok()));
    Some(numbers.next().unwrap_or("G1").to_owned())
}

fn text_of(attribute: &x509_cert::attr::AttributeTypeAndValue) -> Option<String> {
    let der = attribute.value.to_der().ok()?;
    let value = Reader::new(&der).next().ok()?;
    std::str::from_utf8(value.value).ok().map(str::to_owned)
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("subject", &self.subject()).field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}

/// Kinds of public keys that passes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    P256,
    P384,
}

/// Hashes that passes are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

fn hash_of_signature(oid: ObjectIdentifier) -> Option<Hash> {
    Some(match oid.to_string().as_str() {
        "1.2.840.113549.1.1.5" => Hash::Sha1,
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => Hash::Sha256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Hash::Sha384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Hash::Sha512,
        _ => return None,
    })
}

fn verification(key: KeyKind, hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (key, hash) {
        (KeyKind::Rsa, Hash::Sha1) => &sig::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (KeyKind::Rsa, Hash::Sha256) => &sig::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa, Hash::Sha384) => &sig::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa, Hash::Sha512) => &sig::RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::P256, Hash::Sha256) => &sig::ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, Hash::Sha384) => &sig::ECDSA_P256_SHA384_ASN1,
        (KeyKind::P256, Hash::Sha512) => &sig::ECDSA_P256_SHA512_ASN1,
        (KeyKind::P384, Hash::Sha256) => &sig::ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, Hash::Sha384) => &sig::ECDSA_P384_SHA384_ASN1,
        (KeyKind::P384, Hash::Sha512) => &sig::ECDSA_P384_SHA512_ASN1,
        (KeyKind::P256 | KeyKind::P384, Hash::Sha1) => return None,
    })
}
