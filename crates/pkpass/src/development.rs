//! A certificate authority for development and demonstrations, shaped like Apple's: root, intermediate (CA, path length 0),
//! and leaves whose subject UID is the pass type and whose OU is the team. No phone trusts it; everything else can be tried.
//!
//! Keys are RSA-2048 and come from the crypto library's own randomness; validity is handed in.

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use zeroize::Zeroizing;

use crate::identity::{Identity, IdentityError, rsa_key as new_rsa_key};

const ORGANIZATION: &str = "Passbridge Development";
const USER_ID: [u64; 7] = [0, 9, 2342, 19_200_300, 100, 1, 1];
/// Last second of the year 9999, the end of what certificates can say.
const LAST_UNIX: i64 = 253_402_300_799;

/// Why a development certificate cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DevelopmentError {
    /// The validity is empty or out of range.
    #[error("the validity must start at 1970 or later and end after its start, at 9999 at the latest")]
    Validity,
    /// The crypto library gave no key.
    #[error("the crypto library could not make a key")]
    Key,
    /// A name cannot stand in a certificate, or the authority's files are damaged.
    #[error("the certificate could not be made: {0}")]
    Certificate(String),
    /// The files of a stored authority are damaged.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl From<rcgen::Error> for DevelopmentError {
    fn from(fault: rcgen::Error) -> Self {
        Self::Certificate(fault.to_string())
    }
}

/// From when until when a certificate is valid, unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: i64,
    /// Last moment.
    pub not_after: i64,
}

impl Validity {
    /// From a moment on, for so many days.
    pub const fn days(not_before: i64, days: u32) -> Self {
        Self { not_before, not_after: not_before.saturating_add(days as i64 * 86_400) }
    }
}

/// A certificate chain with its key, as PEM: leaf first, then the issuer where there is one between leaf and root.
pub struct PemIdentity {
    /// The certificate.
    pub certificate: String,
    /// Its issuer, which is not the root.
    pub intermediate: Option<String>,
    /// The private key, PKCS#8.
    pub key: Zeroizing<String>,
}

/// A development root with its intermediate.
pub struct Authority {
    root_pem: String,
    root_der: Vec<u8>,
    root: Issuer<'static, KeyPair>,
    intermediate_pem: String,
    intermediate: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes root and intermediate with new keys. `label` tells several roots apart, for instance the host's name or a date.
    ///
    /// # Errors
    /// When the validity is empty, or the label cannot stand in a certificate.
    pub fn create(label: &str, validity: Validity) -> Result<Self, DevelopmentError> {
        let (root_key, intermediate_key) = (rsa_key()?, rsa_key()?);
        let root_params = authority_params(&format!("{ORGANIZATION} Root ({label})"), BasicConstraints::Unconstrained, validity)?;
        let intermediate_params =
            authority_params(&format!("{ORGANIZATION} Pass Relations ({label})"), BasicConstraints::Constrained(0), validity)?;
        let root_certificate = root_params.self_signed(&root_key)?;
        let root = Issuer::new(root_params, root_key);
        let intermediate_certificate = intermediate_params.signed_by(&intermediate_key, &root)?;
        Ok(Self {
            root_pem: root_certificate.pem(),
            root_der: root_certificate.der().to_vec(),
            root,
            intermediate_pem: intermediate_certificate.pem(),
            intermediate: Issuer::new(intermediate_params, intermediate_key),
        })
    }

    /// Everything of the authority, keys included, as one PEM text, to be kept secret and read by [`Authority::from_pem`].
    pub fn to_pem(&self) -> Zeroizing<String> {
        let keys = [Zeroizing::new(self.root.key().serialize_pem()), Zeroizing::new(self.intermediate.key().serialize_pem())];
        Zeroizing::new([self.root_pem.as_str(), &keys[0], &self.intermediate_pem, &keys[1]].concat())
    }

    /// Reads what [`Authority::to_pem`] wrote.
    ///
    /// # Errors
    /// When parts are missing or damaged.
    pub fn from_pem(text: &str) -> Result<Self, DevelopmentError> {
        let incomplete = || {
            DevelopmentError::Certificate(
                "the development authority's file is incomplete; delete it to make a new one".to_owned(),
            )
        };
        // a block ends with the line of its END
        let mut blocks = Vec::new();
        let mut rest = text;
        while let Some(end) = rest.find("-----END ").map(|at| rest[at..].find('\n').map_or(rest.len(), |line| at + line + 1)) {
            let (block, tail) = rest.split_at(end);
            blocks.push(block);
            rest = tail;
        }
        let [root_pem, root_key, intermediate_pem, intermediate_key] = blocks.as_slice() else { return Err(incomplete()) };
        let root_der = crate::identity::first_certificate(root_pem.as_bytes())?;
        Ok(Self {
            root_der,
            root: Issuer::from_ca_cert_pem(root_pem, KeyPair::from_pem(root_key)?)?,
            root_pem: (*root_pem).to_owned(),
            intermediate: Issuer::from_ca_cert_pem(intermediate_pem, KeyPair::from_pem(intermediate_key)?)?,
            intermediate_pem: (*intermediate_pem).to_owned(),
        })
    }

    /// The root's certificate, PEM: what `openssl -CAfile` takes.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root's certificate, DER.
    pub fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// The intermediate's certificate, PEM.
    pub fn intermediate_pem(&self) -> &str {
        &self.intermediate_pem
    }

    /// Makes a pass type certificate with a new key, good for signing passes and as TLS client identity towards APNs.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate or the validity is empty.
    pub fn issue_pass_type(&self, pass_type: &str, team: &str, validity: Validity) -> Result<PemIdentity, DevelopmentError> {
        let key = rsa_key()?;
        let certificate = pass_type_params(pass_type, team, validity)?.signed_by(&key, &self.intermediate)?;
        Ok(pem_identity(&certificate, &key, Some(self.intermediate_pem.clone())))
    }

    /// Answers a signing request (PEM) as Apple's developer portal does: a pass type certificate, DER, for the request's key and
    /// with a subject of the authority's own.
    ///
    /// # Errors
    /// When the request is damaged, a name cannot stand in a certificate, or the validity is empty.
    pub fn answer(&self, request: &str, pass_type: &str, team: &str, validity: Validity) -> Result<Vec<u8>, DevelopmentError> {
        let asked = CertificateSigningRequestParams::from_pem(request)?;
        let certificate = pass_type_params(pass_type, team, validity)?.signed_by(&asked.public_key, &self.intermediate)?;
        Ok(certificate.der().to_vec())
    }

    /// [`Authority::issue_pass_type`], loaded.
    ///
    /// # Errors
    /// As there.
    pub fn issue_identity(&self, pass_type: &str, team: &str, validity: Validity) -> Result<Identity, DevelopmentError> {
        let pem = self.issue_pass_type(pass_type, team, validity)?;
        Ok(Identity::from_pem(pem.certificate.as_bytes(), pem.key.as_bytes(), None, self.intermediate_pem.as_bytes())?)
    }

    /// Makes a TLS server certificate directly under the root, for local simulators: `["localhost", "127.0.0.1"]`.
    ///
    /// # Errors
    /// When a name is neither a host name nor an address, or the validity is empty.
    pub fn issue_tls_server(&self, names: &[&str], validity: Validity) -> Result<PemIdentity, DevelopmentError> {
        let key = rsa_key()?;
        let mut params = base_params(validity)?;
        params.subject_alt_names =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?.subject_alt_names;
        params.distinguished_name.push(DnType::CommonName, format!("{ORGANIZATION} TLS"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        let certificate = params.signed_by(&key, &self.root)?;
        Ok(pem_identity(&certificate, &key, None))
    }
}

fn rsa_key() -> Result<KeyPair, DevelopmentError> {
    new_rsa_key().ok_or(DevelopmentError::Key)
}

fn base_params(validity: Validity) -> Result<CertificateParams, DevelopmentError> {
    let Validity { not_before, not_after } = validity;
    if not_before < 0 || not_after <= not_before || not_after > LAST_UNIX {
        return Err(DevelopmentError::Validity);
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + Duration::from_secs(not_before.unsigned_abs());
    params.not_after = epoch + Duration::from_secs(not_after.unsigned_abs());
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn pass_type_params(pass_type: &str, team: &str, validity: Validity) -> Result<CertificateParams, DevelopmentError> {
    let mut params = base_params(validity)?;
    let name = &mut params.distinguished_name;
    name.push(DnType::CustomDnType(USER_ID.to_vec()), pass_type);
    name.push(DnType::CommonName, format!("{ORGANIZATION} Pass Type ID: {pass_type}"));
    name.push(DnType::OrganizationalUnitName, team);
    name.push(DnType::OrganizationName, ORGANIZATION);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    Ok(params)
}

fn authority_params(
    name: &str,
    constraints: BasicConstraints,
    validity: Validity,
) -> Result<CertificateParams, DevelopmentError> {
    let mut params = base_params(validity)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn pem_identity(certificate: &Certificate, key: &KeyPair, intermediate: Option<String>) -> PemIdentity {
    PemIdentity { certificate: certificate.pem(), intermediate, key: Zeroizing::new(key.serialize_pem()) }
}
