//! TLS settings of the simulators; the cryptography provider is named, never a process-wide default.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// Certificates or a key that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the TLS certificates cannot be used: {0}")]
pub struct TlsError(String);

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self(error.to_string())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn store(roots: &[CertificateDer<'_>]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone().into_owned())?;
    }
    Ok(Arc::new(store))
}

/// A client that trusts `roots` alone and speaks HTTP/1.1 or 2.
pub(crate) fn client(roots: &[CertificateDer<'_>]) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store(roots)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// An HTTP/2 server that wants a client certificate issued under `client_root`.
pub(crate) fn mutual_server(
    chain: Vec<CertificateDer<'static>>,
    pkcs8: Vec<u8>,
    client_root: &CertificateDer<'_>,
) -> Result<ServerConfig, TlsError> {
    let clients = store(std::slice::from_ref(client_root))?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(clients, provider()).build().map_err(|error| TlsError(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(pkcs8).into())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
