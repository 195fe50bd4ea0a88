//! Who signs a pass: a certificate chain prepared once, and something that signs with the leaf's key.

use crate::cms::{self, Template};
use crate::x509::{Certificate, CertificateError, Hash, KeyKind};

/// How the leaf's key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5 with SHA-256; the same input gives the same signature.
    RsaPkcs1Sha256,
    /// ECDSA on P-256 with SHA-256, the signature as a DER sequence of r and s.
    EcdsaP256Sha256,
}

/// Signs passes of one pass type. [`crate::Identity`] holds the key in memory; a KMS or a token implements this too. For
/// a KMS behind a network, use [`crate::Draft`]: take its message, sign it where the key is, and finish the draft.
pub trait Signer: Send + Sync {
    /// The certificates that go into the signature.
    fn chain(&self) -> &Chain;

    /// Signs the message (hashing it first) by the chain's [`Chain::scheme`].
    ///
    /// # Errors
    /// When the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// True when signatures need no check before they are used: the key lies in this process and is known to fit.
    fn is_trusted(&self) -> bool {
        false
    }
}

/// Signing failed where the key is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signing key could not be used: {0}")]
pub struct SignError(pub String);

/// Why certificates cannot be the chain of a pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// One of the two is no certificate.
    #[error("the {which} is unusable: {fault}")]
    Certificate {
        /// `pass type certificate` or `intermediate certificate`.
        which: &'static str,
        /// What is wrong with it.
        fault: CertificateError,
    },
    /// The leaf is a certificate of another kind.
    #[error(
        "`{0}` is not a pass type certificate: its subject has no UID that starts with `pass.` and no OU with the team; create a Pass Type ID and its certificate in Apple's developer portal"
    )]
    NotPassType(String),
    /// The intermediate did not issue the leaf.
    #[error(
        "wrong intermediate certificate: {0}; give the one that is named as issuer (for Apple: WWDR G4, from apple.com/certificateauthority)"
    )]
    WrongIntermediate(CertificateError),
    /// Issued by another of Apple's intermediates than the one for passes.
    #[error(
        "`{name}` was issued by Apple's WWDR {generation}, and passes need G4; create it as a Pass Type ID certificate in Apple's developer portal"
    )]
    Generation {
        /// Whose certificate.
        name: String,
        /// Which intermediate.
        generation: String,
    },
    /// A key that pass signatures do not use.
    #[error("the certificate's key is neither RSA nor P-256; make the signing request with an RSA key of 2048 bits")]
    KeyKind,
}

/// Leaf and intermediate, with the fixed parts of every signature made from them.
#[derive(Debug, Clone)]
pub struct Chain {
    leaf: Certificate,
    intermediate: Certificate,
    scheme: SignatureScheme,
    pass_type_identifier: String,
    team_identifier: String,
    template: Template,
}

impl Chain {
    /// Checks that the leaf is a pass type certificate and issued by the intermediate, both DER.
    ///
    /// # Errors
    /// Says which of the two is at fault.
    pub fn new(leaf_der: &[u8], intermediate_der: &[u8]) -> Result<Self, ChainError> {
        let read = |which, der| Certificate::from_der(der).map_err(|fault| ChainError::Certificate { which, fault });
        let leaf = read("pass type certificate", leaf_der)?;
        let intermediate = read("intermediate certificate", intermediate_der)?;
        let not_pass_type = || ChainError::NotPassType(leaf.subject());
        let pass_type_identifier =
            leaf.pass_type_identifier().filter(|uid| uid.starts_with("pass.")).ok_or_else(not_pass_type)?;
        let team_identifier = leaf.team_identifier().ok_or_else(not_pass_type)?;
        if let Some(generation) = leaf.wwdr_generation().filter(|generation| generation != "G4") {
            return Err(ChainError::Generation { name: leaf.name(), generation });
        }
        let scheme = match leaf.key_kind() {
            Ok(KeyKind::Rsa) => SignatureScheme::RsaPkcs1Sha256,
            Ok(KeyKind::P256) => SignatureScheme::EcdsaP256Sha256,
            _ => return Err(ChainError::KeyKind),
        };
        leaf.check_issued_by(&intermediate).map_err(ChainError::WrongIntermediate)?;
        let template = Template::new(&leaf, &intermediate, scheme);
        Ok(Self { leaf, intermediate, scheme, pass_type_identifier, team_identifier, template })
    }

    /// The pass type certificate.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// Its issuer.
    pub fn intermediate(&self) -> &Certificate {
        &self.intermediate
    }

    /// Leaf and intermediate, DER, as TLS wants them for APNs.
    pub fn der(&self) -> [&[u8]; 2] {
        [self.leaf.der(), self.intermediate.der()]
    }

    /// How the leaf's key signs.
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The pass type that this chain may sign.
    pub fn pass_type_identifier(&self) -> &str {
        &self.pass_type_identifier
    }

    /// The team that this chain belongs to.
    pub fn team_identifier(&self) -> &str {
        &self.team_identifier
    }

    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// True when the signature over the message is by the leaf's key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.leaf.verify(Hash::Sha256, message, signature).unwrap_or(false)
    }
}

/// A detached CMS signature (DER) over any bytes, as Wallet wants it over a personalisation token. `signing_time` is in
/// unix seconds. Source: Apple, *Return a Personalized Pass*.
///
/// # Errors
/// When the key cannot be used, or the time is no date between 1970 and 9999.
pub fn sign_detached(data: &[u8], signer: &dyn Signer, signing_time: i64) -> Result<Vec<u8>, SignError> {
    let attributes = cms::signed_attributes(data, signing_time)
        .map_err(|_| SignError(format!("the signing time {signing_time} is no date between 1970 and 9999")))?;
    let signature = signer.sign(&attributes)?;
    if !signer.is_trusted() && !signer.chain().verifies(&attributes, &signature) {
        return Err(SignError("its signature does not fit the certificate's key".to_owned()));
    }
    Ok(signer.chain().template().assemble(&attributes, &signature))
}
