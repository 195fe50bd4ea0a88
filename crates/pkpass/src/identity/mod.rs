//! A signing identity held in memory: pass type certificate, its intermediate, and the private key.

mod key;
mod p12;
mod pem;
mod request;

use std::fmt;

use zeroize::Zeroizing;

use crate::asn1::written;
use crate::signer::{Chain, ChainError, SignError, Signer};
use key::Key;
pub(crate) use request::rsa_key;
pub use request::{RequestError, SigningRequest};

/// Why certificate and key do not make an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate file holds no certificate.
    #[error("the {0} holds no certificate; give a PEM block `BEGIN CERTIFICATE` or the `.cer` file as downloaded")]
    NoCertificate(&'static str),
    /// The key file holds no key.
    #[error("the key file holds no private key; give a PEM block such as `BEGIN PRIVATE KEY`")]
    NoKey,
    /// A PEM block is damaged.
    #[error("a PEM block is damaged: between BEGIN and END there must be nothing but base64")]
    Pem,
    /// The key is encrypted and no passphrase was given.
    #[error("the private key is encrypted; give its passphrase")]
    PassphraseMissing,
    /// The passphrase does not open the key or the .p12.
    #[error("the {0} cannot be opened with this passphrase; check it, or export the key again")]
    PassphraseWrong(&'static str),
    /// The key's encryption is an old kind that is not read.
    #[error(
        "the private key is encrypted in an old way; convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in key.pem -out new-key.pem"
    )]
    KeyEncryption,
    /// The derivation asks for more work than a real export does.
    #[error("the private key's encryption asks for {0} rounds, at most 10,000,000 are done; export the key again")]
    TooManyRounds(u32),
    /// The private key is of a kind that passes are not signed with.
    #[error("the private key is neither RSA (2048 bits or more) nor ECDSA P-256; make a signing request with such a key")]
    KeyKind,
    /// The .p12 is damaged.
    #[error("this is not a readable .p12 file ({0}); export certificate and private key together from Keychain Access")]
    P12(String),
    /// The .p12 holds no private key: only the certificate was exported.
    #[error("the .p12 holds no private key; in Keychain Access, expand the certificate, select it with its key, and export both")]
    P12NoKey,
    /// The .p12 is larger than any real one.
    #[error("the file has {0} bytes; a .p12 or PEM of an identity has a few thousand")]
    TooLarge(usize),
    /// Key and certificate belong to different pairs.
    #[error("the private key does not belong to the certificate `{0}`; use the key that its signing request was made with")]
    KeyMismatch(String),
    /// The intermediate is missing.
    #[error(
        "the intermediate certificate is missing; it is named `{0}`: give it (only Apple's WWDR G4 is known without being given)"
    )]
    NoIntermediate(String),
    /// Leaf and intermediate are not what a pass needs.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The certificate is not valid yet.
    #[error("the certificate `{name}` is valid only from {}; check the clock", written(*.not_before))]
    NotYetValid {
        /// Whose certificate.
        name: String,
        /// First moment, unix seconds.
        not_before: i64,
    },
    /// The certificate has expired.
    #[error(
        "the certificate `{name}` expired at {}; renew it in Apple's developer portal and import the new one",
        written(*.not_after)
    )]
    Expired {
        /// Whose certificate.
        name: String,
        /// Last moment, unix seconds.
        not_after: i64,
    },
}

/// Largest file that is looked at, in bytes.
const MAX_IDENTITY_BYTES: usize = 256 << 10;

/// Certificate, intermediate and private key of one pass type.
pub struct Identity {
    chain: Chain,
    key: Key,
}

impl Identity {
    /// From certificate, key and intermediate, each PEM (certificates also DER). The passphrase is for an encrypted key. The
    /// intermediate may be empty when it is Apple's WWDR G4.
    ///
    /// # Errors
    /// Says which of the files is at fault and what to do about it.
    pub fn from_pem(
        certificate: &[u8],
        key: &[u8],
        passphrase: Option<&str>,
        intermediate: &[u8],
    ) -> Result<Self, IdentityError> {
        for file in [certificate, key, intermediate] {
            check_size(file)?;
        }
        let leaf = first_certificate(certificate)?;
        let key = Key::from_pem(key, passphrase)?;
        Self::with_intermediates(&leaf, key, &pem::certificates(intermediate)?)
    }

    /// From a `.p12` as Keychain Access exports it: leaf and key, encrypted in the old or the new way. Where the file does not
    /// hold the intermediate, it is given beside it as PEM or DER, unless it is Apple's WWDR G4.
    ///
    /// # Errors
    /// Says what is missing or does not fit.
    pub fn from_p12(p12: &[u8], password: &str, intermediate: Option<&[u8]>) -> Result<Self, IdentityError> {
        check_size(p12)?;
        let contents = p12::open(p12, password)?;
        let key = Key::from_der(&contents.key)?;
        let fits = |der: &Vec<u8>| {
            crate::Certificate::from_der(der).is_ok_and(|certificate| certificate.public_key() == key.public_key())
        };
        let Some(leaf) = contents.certificates.iter().find(|der| fits(der)).cloned() else {
            let first = contents.certificates.first().ok_or(IdentityError::NoCertificate(".p12"))?;
            return Err(IdentityError::KeyMismatch(name_of(first)));
        };
        let mut intermediates = intermediate.map(pem::certificates).transpose()?.unwrap_or_default();
        intermediates.extend(contents.certificates.into_iter().filter(|der| *der != leaf));
        Self::with_intermediates(&leaf, key, &intermediates)
    }

    /// Takes the first candidate that issued the leaf, else Apple's own; when none did, the error speaks of the first.
    fn with_intermediates(leaf: &[u8], key: Key, candidates: &[Vec<u8>]) -> Result<Self, IdentityError> {
        let mut first_fault = None;
        for candidate in candidates {
            match Chain::new(leaf, candidate) {
                Ok(chain) => return Self::new(chain, key),
                Err(fault) => first_fault = first_fault.or(Some(fault)),
            }
        }
        if let Ok(chain) = Chain::new(leaf, crate::APPLE_WWDR_G4) {
            return Self::new(chain, key);
        }
        Err(first_fault.map_or_else(|| IdentityError::NoIntermediate(issuer_of(leaf)), IdentityError::Chain))
    }

    fn new(chain: Chain, key: Key) -> Result<Self, IdentityError> {
        if key.public_key() != chain.leaf().public_key() {
            return Err(IdentityError::KeyMismatch(chain.leaf().name()));
        }
        Ok(Self { chain, key })
    }

    /// Checks that leaf and intermediate are valid at this moment (unix seconds).
    ///
    /// # Errors
    /// Names the certificate that is not valid, and since or until when.
    pub fn check_valid_at(&self, now: i64) -> Result<(), IdentityError> {
        for certificate in [self.chain.leaf(), self.chain.intermediate()] {
            let (name, not_before, not_after) = (certificate.name(), certificate.not_before(), certificate.not_after());
            if now < not_before {
                return Err(IdentityError::NotYetValid { name, not_before });
            }
            if now > not_after {
                return Err(IdentityError::Expired { name, not_after });
            }
        }
        Ok(())
    }

    /// The pass type that this identity signs.
    pub fn pass_type_identifier(&self) -> &str {
        self.chain.pass_type_identifier()
    }

    /// The team that it belongs to.
    pub fn team_identifier(&self) -> &str {
        self.chain.team_identifier()
    }

    /// First moment of the leaf's validity, unix seconds.
    pub fn not_before(&self) -> i64 {
        self.chain.leaf().not_before()
    }

    /// Last moment of the leaf's validity, unix seconds.
    pub fn not_after(&self) -> i64 {
        self.chain.leaf().not_after()
    }

    /// Leaf and intermediate, DER.
    pub fn chain_der(&self) -> [&[u8]; 2] {
        self.chain.der()
    }

    /// The private key as PKCS#8 DER, for the TLS client identity towards APNs. Wiped when dropped.
    pub fn private_key_der(&self) -> Zeroizing<Vec<u8>> {
        self.key.pkcs8().clone()
    }
}

impl Signer for Identity {
    fn chain(&self) -> &Chain {
        &self.chain
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.sign(message)
    }

    fn is_trusted(&self) -> bool {
        true
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("pass_type_identifier", &self.pass_type_identifier())
            .field("team_identifier", &self.team_identifier())
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

/// The certificates of a PEM text, or the one of a DER file, as DER; none where there are none.
///
/// # Errors
/// When a PEM block is damaged, or the file is larger than any of certificates.
pub fn certificates(file: &[u8]) -> Result<Vec<Vec<u8>>, IdentityError> {
    check_size(file)?;
    pem::certificates(file)
}

/// What a file of certificates holds.
pub(crate) struct Contents {
    pub(crate) key: Option<Key>,
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// The certificates of a PEM text, a DER file or a `.p12`, and the key where there is one that can be read.
pub(crate) fn contents(file: &[u8], password: Option<&str>) -> Result<Contents, IdentityError> {
    check_size(file)?;
    if !pem::is_p12(file) {
        let key = if pem::blocks(file)?.iter().any(|block| block.label.ends_with("PRIVATE KEY")) {
            Some(Key::from_pem(file, password)?)
        } else {
            None
        };
        return Ok(Contents { key, certificates: pem::certificates(file)? });
    }
    let p12::Contents { key, certificates } = p12::open(file, password.unwrap_or_default())?;
    Ok(Contents { key: Some(Key::from_der(&key)?), certificates })
}

/// The first certificate of a PEM text, DER.
pub(crate) fn first_certificate(file: &[u8]) -> Result<Vec<u8>, IdentityError> {
    pem::certificates(file)?.into_iter().next().ok_or(IdentityError::NoCertificate("file"))
}

fn check_size(file: &[u8]) -> Result<(), IdentityError> {
    if file.len() > MAX_IDENTITY_BYTES { Err(IdentityError::TooLarge(file.len())) } else { Ok(()) }
}

fn name_of(der: &[u8]) -> String {
    crate::Certificate::from_der(der).map_or_else(|_| "unreadable".to_owned(), |certificate| certificate.name())
}

fn issuer_of(der: &[u8]) -> String {
    crate::Certificate::from_der(der).map_or_else(|_| "unreadable".to_owned(), |certificate| certificate.issuer())
}
