//! A new key and the request for its certificate, as Apple's developer portal takes it (PKCS#10, RFC 2986).
//!
//! Source: Apple, *Create a certificate signing request*: a key of 2048 bits RSA, an e-mail address, a common name.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, PKCS_RSA_SHA256};
use zeroize::Zeroizing;

/// `emailAddress` of PKCS#9 (RFC 2985).
const EMAIL_ADDRESS: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 1];
/// Longest common name, in characters (RFC 5280, `ub-common-name`).
const MAX_NAME_CHARS: usize = 64;
/// Longest e-mail address, in characters (RFC 5321).
const MAX_EMAIL_CHARS: usize = 254;

/// Why no signing request can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The e-mail address cannot stand in a request.
    #[error("give an e-mail address in ASCII, such as passes@example.com, of at most 254 characters")]
    Email,
    /// The common name cannot stand in a request.
    #[error("give a name of 1 to 64 characters, without control characters")]
    Name,
    /// The crypto library gave no key.
    #[error("the crypto library could not make a key or sign with it")]
    Key,
}

/// A private key and the request for its certificate.
pub struct SigningRequest {
    /// The request, PEM, to be uploaded to Apple.
    pub pem: String,
    /// The private key, PKCS#8 PEM, to be kept until the answer comes and as long as that is used.
    pub key: Zeroizing<String>,
}

impl SigningRequest {
    /// Makes an RSA key of 2048 bits and a request in the name of somebody. What Apple's answer says about the pass type and
    /// the team comes from the developer portal, not from here.
    ///
    /// # Errors
    /// When a text cannot stand in a request.
    pub fn create(email: &str, common_name: &str) -> Result<Self, RequestError> {
        let plain = |text: &str, most: usize| {
            !text.trim().is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control)
        };
        let parts = email.split_once('@').filter(|(local, host)| !local.is_empty() && host.contains('.') && !host.contains('@'));
        if parts.is_none() || !email.bytes().all(|byte| byte.is_ascii_graphic()) || !plain(email, MAX_EMAIL_CHARS) {
            return Err(RequestError::Email);
        }
        if !plain(common_name, MAX_NAME_CHARS) {
            return Err(RequestError::Name);
        }
        let key = rsa_key().ok_or(RequestError::Key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let address = Ia5String::try_from(email).map_err(|_| RequestError::Email)?;
        params.distinguished_name.push(DnType::CustomDnType(EMAIL_ADDRESS.to_vec()), DnValue::Ia5String(address));
        params.distinguished_name.push(DnType::CommonName, common_name.trim());
        let pem = params.serialize_request(&key).and_then(|request| request.pem()).map_err(|_| RequestError::Key)?;
        Ok(Self { pem, key: Zeroizing::new(key.serialize_pem()) })
    }
}

/// A new RSA key of 2048 bits.
pub(crate) fn rsa_key() -> Option<KeyPair> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
    let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    KeyPair::from_pkcs8_der_and_sign_algo(&der.as_ref().into(), &PKCS_RSA_SHA256).ok()
}
