//! Whom we trust and who we are. The cryptography provider is named here, never taken from a process-wide default.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Protocol;

/// A set of trusted root certificates. Cheap to clone; loading the system's takes milliseconds, so load it once.
#[derive(Debug, Clone)]
pub struct Roots(Arc<RootCertStore>);

/// An extra root certificate that is none.
#[derive(Debug, Clone, thiserror::Error)]
#[error("extra root certificate number {number} is not a DER-encoded X.509 certificate ({detail}); convert PEM to DER first")]
pub struct BadRoot {
    /// Its place in the list, from 1.
    pub number: usize,
    /// What the parser says.
    pub detail: String,
}

/// The operating system's root certificates that can be read, DER-encoded.
#[must_use]
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    let readable = |root: &CertificateDer<'static>| RootCertStore::empty().add(root.clone()).is_ok();
    rustls_native_certs::load_native_certs().certs.into_iter().filter(readable).collect()
}

impl Roots {
    /// The operating system's roots and `extra` ones, DER-encoded.
    ///
    /// # Errors
    /// When one of the extra roots cannot be read. A system without roots is warned about, not refused: plain http
    /// and the extra roots still work.
    pub fn system_and(extra: &[CertificateDer<'_>]) -> Result<Self, BadRoot> {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (usable, _) = store.add_parsable_certificates(found.certs);
        if usable == 0 {
            let errors = found.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::warn!(errors, "no system root certificates; install ca-certificates, or no https peer is trusted");
        }
        Self::with(store, extra)
    }

    /// The given roots alone, DER-encoded.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn only(roots: &[CertificateDer<'_>]) -> Result<Self, BadRoot> {
        Self::with(RootCertStore::empty(), roots)
    }

    /// The certificates of a PEM text alone.
    ///
    /// # Errors
    /// When one of them cannot be read, or there is none.
    pub fn only_pem(pem: impl AsRef<[u8]>) -> Result<Self, BadRoot> {
        let read = CertificateDer::pem_slice_iter(pem.as_ref()).collect::<Result<Vec<_>, _>>();
        let roots = read.map_err(|error| BadRoot { number: 1, detail: format!("{error:?}") })?;
        if roots.is_empty() {
            return Err(BadRoot { number: 1, detail: "there is no certificate in it".to_owned() });
        }
        Self::only(&roots)
    }

    fn with(mut store: RootCertStore, extra: &[CertificateDer<'_>]) -> Result<Self, BadRoot> {
        for (index, root) in extra.iter().enumerate() {
            store.add(root.clone().into_owned()).map_err(|error| BadRoot { number: index + 1, detail: error.to_string() })?;
        }
        Ok(Self(Arc::new(store)))
    }
}

/// A certificate of our own with its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From a chain, leaf first, DER-encoded, and the leaf's key as PKCS#8 DER.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, pkcs8: Vec<u8>) -> Self {
        Self { chain, key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8)) }
    }

    /// From a chain, leaf first, and the leaf's key, both PEM.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, BadIdentity> {
        let certificates = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = certificates.map_err(|error| BadIdentity(format!("the certificate is no PEM ({error:?})")))?;
        if chain.is_empty() {
            return Err(BadIdentity("there is no certificate in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
        Ok(Self { chain, key: key.map_err(|_| BadIdentity("the private key is no PEM of PKCS#8, PKCS#1 or SEC 1".to_owned()))? })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// A certificate and key that cannot be used together.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the client certificate cannot be used: {0}; give the chain leaf first and the leaf's own PKCS#8 key")]
pub struct BadIdentity(String);

impl From<String> for BadIdentity {
    fn from(why: String) -> Self {
        Self(why)
    }
}

/// TLS without a certificate of ours, for another protocol than HTTP.
pub(crate) fn of_another_protocol(roots: &Roots) -> Result<ClientConfig, BadIdentity> {
    let mut config = configuration(roots, None, Protocol::Http1)?;
    config.alpn_protocols.clear();
    Ok(config)
}

pub(super) fn configuration(roots: &Roots, identity: Option<&Identity>, protocol: Protocol) -> Result<ClientConfig, BadIdentity> {
    let bad = |error: rustls::Error| BadIdentity(error.to_string());
    let builder: ConfigBuilder<ClientConfig, WantsClientCert> =
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(bad)?
            .with_root_certificates(Arc::clone(&roots.0));
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key()).map_err(bad)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        Protocol::Negotiated => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(config)
}
