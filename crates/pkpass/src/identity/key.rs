//! The private key: read from its formats, and signing.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{self, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use der::Decode;
use pkcs5::EncryptionScheme;
use pkcs5::pbes2::Kdf;
use zeroize::Zeroizing;

use super::{IdentityError, pem};
use crate::asn1::{self, OCTET_STRING, Reader, SEQUENCE};
use crate::signer::SignError;

/// Most rounds of key derivation that are done; exports use thousands to a million.
const MAX_ROUNDS: u32 = 10_000_000;

const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A private key that passes can be signed with.
pub(crate) struct Key {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

impl Key {
    /// From the first key block of a PEM text.
    pub(super) fn from_pem(file: &[u8], passphrase: Option<&str>) -> Result<Self, IdentityError> {
        let blocks = pem::blocks(file)?;
        let block = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY")).ok_or(IdentityError::NoKey)?;
        if block.has_encryption_header {
            return Err(IdentityError::KeyEncryption);
        }
        if block.label != "ENCRYPTED PRIVATE KEY" {
            return Self::from_der(&block.der);
        }
        let passphrase = passphrase.ok_or(IdentityError::PassphraseMissing)?;
        Self::from_der(&decrypt(&block.der, passphrase)?)
    }

    /// From PKCS#8, PKCS#1 or SEC 1.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
            let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| IdentityError::KeyKind)?;
            let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
            return Ok(Self { pair: Pair::Rsa(Box::new(pair)), pkcs8 });
        }
        let pair =
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map_err(|_| IdentityError::KeyKind)?;
        let pkcs8 = ec_pkcs8(der, &pair)?;
        Ok(Self { pair: Pair::P256(Box::new(pair)), pkcs8 })
    }

    /// PKCS#8 DER.
    pub(super) fn pkcs8(&self) -> &Zeroizing<Vec<u8>> {
        &self.pkcs8
    }

    /// As it stands in a certificate: PKCS#1 for RSA, the point for EC.
    pub(crate) fn public_key(&self) -> &[u8] {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::P256(pair) => pair.public_key().as_ref(),
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError("the crypto library refused the key".to_owned());
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out).map_err(failed)?;
                Ok(out)
            }
            Pair::P256(pair) => {
                pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()).map_err(failed)
            }
        }
    }
}

/// PKCS#8 around a SEC 1 key; a key that is PKCS#8 already stays as it is.
fn ec_pkcs8(der: &[u8], pair: &EcdsaKeyPair) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    if EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).is_ok() {
        return Ok(Zeroizing::new(der.to_vec()));
    }
    let sec1 = pair.private_key().as_der().map_err(|_| IdentityError::KeyKind)?;
    let algorithm = asn1::tlv(SEQUENCE, &[&asn1::tlv(asn1::OID, &[EC_PUBLIC_KEY]), &asn1::tlv(asn1::OID, &[P256])]);
    let wrapped = Zeroizing::new(asn1::tlv(OCTET_STRING, &[sec1.as_ref()]));
    Ok(Zeroizing::new(asn1::tlv(SEQUENCE, &[&asn1::tlv(asn1::INTEGER, &[&[0]]), &algorithm, &wrapped])))
}

/// Opens `EncryptedPrivateKeyInfo` (RFC 5958) with PBES2, under a bound on the work.
fn decrypt(der: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let parts = || {
        let mut info = Reader::new(der).expect(SEQUENCE)?.inside();
        Ok::<_, asn1::Malformed>((info.expect(SEQUENCE)?.raw, info.expect(OCTET_STRING)?.value))
    };
    let (scheme, encrypted) = parts().map_err(|_| IdentityError::Pem)?;
    let scheme = EncryptionScheme::from_der(scheme).map_err(|_| IdentityError::KeyEncryption)?;
    let EncryptionScheme::Pbes2(parameters) = &scheme else { return Err(IdentityError::KeyEncryption) };
    match &parameters.kdf {
        Kdf::Pbkdf2(kdf) if kdf.iteration_count <= MAX_ROUNDS => {}
        Kdf::Pbkdf2(kdf) => return Err(IdentityError::TooManyRounds(kdf.iteration_count)),
        _ => return Err(IdentityError::KeyEncryption),
    }
    let wrong = || IdentityError::PassphraseWrong("private key");
    let opened = scheme.decrypt(passphrase, encrypted).map(Zeroizing::new).map_err(|_| wrong())?;
    // a wrong passphrase now and then gives bytes with proper padding, yet never a key's structure
    Reader::new(&opened).expect(SEQUENCE).map_err(|_| wrong())?;
    Ok(opened)
}
