//! The service account that acts for an issuer, and its signature, which `jsonwebtoken` makes.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Largest key file that is read, in bytes; Google's have about 2 400.
const MAX_KEY_FILE_BYTES: usize = 32 * 1024;
/// Smallest key that Google takes, in bytes of its modulus.
const MIN_MODULUS_BYTES: usize = 256;
/// Where an access token is fetched when the key file names no other place.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// Characters of base64 in one line of PEM.
const PEM_LINE: usize = 64;

/// A service account with its key, parsed once. `Debug` shows the account and never the key.
pub struct ServiceAccount {
    client_email: String,
    private_key_id: String,
    token_uri: String,
    key: EncodingKey,
    public_key_pem: String,
}

/// The file that the Google Cloud console hands out when a key is made.
#[derive(Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
struct KeyFile {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    token_uri: String,
}

impl ServiceAccount {
    /// Reads Google's key file (JSON with `client_email`, `private_key` as PKCS#8 PEM, `private_key_id`, `token_uri`).
    pub fn from_json(bytes: &[u8]) -> Result<Self, KeyFileError> {
        if bytes.len() > MAX_KEY_FILE_BYTES {
            return Err(KeyFileError::TooLarge { bytes: bytes.len() });
        }
        // The parser's own words may quote the text, and the text is a secret: only the place is told.
        let mut file: KeyFile = serde_json::from_slice(bytes)
            .map_err(|error| KeyFileError::NotJson { line: error.line(), column: error.column() })?;
        if !file.kind.is_empty() && file.kind != "service_account" {
            return Err(KeyFileError::Kind { kind: file.kind.chars().take(40).collect() });
        }
        if !file.client_email.contains('@') {
            return Err(KeyFileError::Missing { field: "client_email" });
        }
        if file.private_key.is_empty() {
            return Err(KeyFileError::Missing { field: "private_key" });
        }
        let token_uri = if file.token_uri.is_empty() { TOKEN_URI.to_owned() } else { std::mem::take(&mut file.token_uri) };
        let absolute = token_uri.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some());
        if !absolute {
            return Err(KeyFileError::TokenUri);
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes()).map_err(|_| KeyFileError::NotPem)?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| KeyFileError::NotRsa)?;
        if key.public_modulus_len() < MIN_MODULUS_BYTES {
            return Err(KeyFileError::TooShort { bits: key.public_modulus_len() * 8 });
        }
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| KeyFileError::NotRsa)?;
        Ok(Self {
            client_email: std::mem::take(&mut file.client_email),
            private_key_id: std::mem::take(&mut file.private_key_id),
            token_uri,
            key: EncodingKey::from_rsa_pem(file.private_key.as_bytes()).map_err(|_| KeyFileError::NotRsa)?,
            public_key_pem: pem("PUBLIC KEY", public.as_ref()),
        })
    }

    /// Makes the key file of an account that Google does not know: for demonstrations, tests and simulators.
    /// Links that it signs are well formed and lead to an error page at Google.
    pub fn development_key_file(client_email: &str, token_uri: &str) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningError)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| SigningError)?;
        let file = KeyFile {
            kind: "service_account".to_owned(),
            private_key_id: "development".to_owned(),
            private_key: pem("PRIVATE KEY", der.as_ref()),
            client_email: client_email.to_owned(),
            token_uri: token_uri.to_owned(),
        };
        serde_json::to_vec_pretty(&file).map(Zeroizing::new).map_err(|_| SigningError)
    }

    /// The account's e-mail address, the issuer of what it signs.
    #[must_use]
    pub fn client_email(&self) -> &str {
        &self.client_email
    }

    /// Which of the account's keys this is; Google shows it in the console.
    #[must_use]
    pub fn private_key_id(&self) -> &str {
        &self.private_key_id
    }

    /// Where an access token is fetched.
    #[must_use]
    pub fn token_uri(&self) -> &str {
        &self.token_uri
    }

    /// The public half as PEM (`BEGIN PUBLIC KEY`), for whoever wants to check a signature.
    #[must_use]
    pub fn public_key_pem(&self) -> &str {
        &self.public_key_pem
    }

    /// Signs claims as a JSON Web Token: RS256, compact form. `key_id` puts the key's id into the header.
    pub(crate) fn sign_jwt<T: Serialize>(&self, claims: &T, key_id: bool) -> Result<String, SigningError> {
        let kid = Some(self.private_key_id.clone()).filter(|id| key_id && !id.is_empty());
        let header = Header { kid, ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.key).map_err(|_| SigningError)
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("client_email", &self.client_email)
            .field("private_key_id", &self.private_key_id)
            .field("token_uri", &self.token_uri)
            .finish_non_exhaustive()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let lines = text.len().div_ceil(PEM_LINE);
    let mut out = String::with_capacity(text.len() + lines + 2 * label.len() + 40);
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(PEM_LINE));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

/// Why a key file cannot be used. No message quotes the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyFileError {
    /// Far longer than any key file.
    #[error(
        "the key file has {bytes} bytes, at most {MAX_KEY_FILE_BYTES} are read: upload the JSON file of one service account key"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// No JSON object of the expected shape.
    #[error(
        "the key file is no JSON as Google writes it (line {line}, column {column}): upload the file unchanged, not the P12 variant"
    )]
    NotJson {
        /// Line of the first fault.
        line: usize,
        /// Column of the first fault.
        column: usize,
    },
    /// A key file of something else than a service account.
    #[error(
        "the key file is of type `{kind}`, a key of type `service_account` is needed: make one under IAM, Service accounts, Keys"
    )]
    Kind {
        /// What the file says it is.
        kind: String,
    },
    /// A field is missing or empty.
    #[error("the key file has no usable `{field}`: upload the file unchanged")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// `token_uri` is no absolute address.
    #[error("`token_uri` is no absolute address: leave it as Google wrote it, or leave it out")]
    TokenUri,
    /// `private_key` is no PKCS#8 PEM.
    #[error("`private_key` is no PEM block `PRIVATE KEY` (PKCS#8): upload the file unchanged, with its \\n kept")]
    NotPem,
    /// `private_key` holds no RSA key.
    #[error("`private_key` holds no RSA key that can be used: make a new key for the service account")]
    NotRsa,
    /// The key is too short to be Google's.
    #[error("`private_key` has {bits} bits, at least 2048 are needed: make a new key for the service account")]
    TooShort {
        /// Its length in bits.
        bits: usize,
    },
}

/// The cryptographic library could not make or use a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the service account's key could not be used for signing: check that the machine's random source works, or make a new key"
)]
pub struct SigningError;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key_file() -> Value {
        let bytes = ServiceAccount::development_key_file("passes@example.iam.gserviceaccount.com", TOKEN_URI).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_development_key_file_is_read_back() {
        let file = key_file();
        let account = ServiceAccount::from_json(file.to_string().as_bytes()).unwrap();
        assert_eq!(account.client_email(), "passes@example.iam.gserviceaccount.com");
        assert_eq!((account.private_key_id(), account.token_uri()), ("development", TOKEN_URI));
    }

    #[test]
    fn debug_hides_the_key() {
        let file = key_file();
        let account = ServiceAccount::from_json(file.to_string().as_bytes()).unwrap();
        let shown = format!("{account:?}");
        let secret = file["private_key"].as_str().unwrap().lines().nth(3).unwrap();
        assert!(shown.contains("passes@example") && !shown.contains(secret) && !shown.contains("PRIVATE"), "{shown}");
    }

    #[test]
    fn faults_are_named_and_never_quoted() {
        let change = |field: &str, value: Value| {
            let mut file = key_file();
            file[field] = value;
            ServiceAccount::from_json(file.to_string().as_bytes()).unwrap_err()
        };
        assert_eq!(change("client_email", json!("")), KeyFileError::Missing { field: "client_email" });
        assert_eq!(change("private_key", json!("")), KeyFileError::Missing { field: "private_key" });
        assert_eq!(change("private_key", json!("c2VjcmV0")), KeyFileError::NotPem);
        assert_eq!(change("private_key", json!(pem("PRIVATE KEY", b"secret"))), KeyFileError::NotRsa);
        assert_eq!(change("type", json!("authorized_user")), KeyFileError::Kind { kind: "authorized_user".to_owned() });
        assert_eq!(change("token_uri", json!("/token")), KeyFileError::TokenUri);
        let error = ServiceAccount::from_json(br#"{"private_key": -----BEGIN"#).unwrap_err();
        assert!(matches!(error, KeyFileError::NotJson { line: 1, .. }) && !error.to_string().contains("BEGIN"), "{error}");
        assert!(matches!(ServiceAccount::from_json(&[b' '; MAX_KEY_FILE_BYTES + 1]), Err(KeyFileError::TooLarge { .. })));
    }
}
