//! Receivers that speak TLS, well or with faults, and the authorities that vouch for them.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// Most bytes of a request that are read.
const MAX_REQUEST: usize = 1 << 20;

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It ended years ago.
    Expired,
    /// It begins in centuries.
    NotYetValid,
    /// It is for another host.
    OtherHost,
    /// Nobody vouches for it.
    SelfSigned,
}

/// Something went wrong in making a certificate or a server.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// An authority made for one test.
pub struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// In PEM.
    pub certificate: String,
    /// In PEM, PKCS#8.
    pub key: String,
    chain: Vec<CertificateDer<'static>>,
    pkcs8: Vec<u8>,
}

impl Leaf {
    /// A server's end of TLS with it, which wants a certificate of this authority from whoever calls, where there is one.
    pub(crate) fn acceptor(&self, clients: Option<&Authority>) -> Result<TlsAcceptor, Failed> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.root())?;
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
            }
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.clone()));
        Ok(TlsAcceptor::from(Arc::new(builder.with_single_cert(self.chain.clone(), key)?)))
    }

    fn of(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        let chain = vec![certificate.der().clone()];
        Self { certificate: certificate.pem(), key: key.serialize_pem(), chain, pkcs8: key.serialize_der() }
    }
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Self, Failed> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let root = params.self_signed(&key)?.der().clone();
        Ok(Self { root, issuer: Issuer::new(params, key) })
    }

    /// Its root certificate.
    pub fn root(&self) -> CertificateDer<'static> {
        self.root.clone()
    }

    /// Makes a certificate for a host.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn leaf(&self, host: &str, fault: Fault) -> Result<Leaf, Failed> {
        let host = if fault == Fault::OtherHost { "elsewhere.example.com" } else { host };
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, host);
        match fault {
            Fault::Expired => {
                params.not_before = rcgen::date_time_ymd(2019, 1, 1);
                params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            }
            Fault::NotYetValid => params.not_before = rcgen::date_time_ymd(2999, 1, 1),
            Fault::None | Fault::OtherHost | Fault::SelfSigned => {}
        }
        let key = KeyPair::generate()?;
        let made = if fault == Fault::SelfSigned { params.self_signed(&key)? } else { params.signed_by(&key, &self.issuer)? };
        Ok(Leaf::of(&made, &key))
    }
}

/// A receiver on a loopback port that answers everything with 200; ends when dropped.
#[derive(Debug)]
pub struct TlsSink {
    port: u16,
    taken: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Drop for TlsSink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl TlsSink {
    /// Starts one with a certificate. With an authority it wants a certificate of that from whoever calls.
    ///
    /// # Errors
    /// When no port is free, or the certificate cannot be used.
    pub async fn start(leaf: &Leaf, clients: Option<&Authority>) -> Result<Self, Failed> {
        let acceptor = leaf.acceptor(clients)?;
        Self::listen(move |stream, taken| {
            let acceptor = acceptor.clone();
            async move {
                // Who does not like the certificate hangs up.
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, &taken).await.unwrap_or_default();
                }
            }
        })
        .await
    }

    /// Starts one that refuses every hello as a server does that knows TLS 1.0 alone: by the alert protocol_version
    /// (RFC 5246, 7.2.2).
    ///
    /// # Errors
    /// When no port is free.
    pub async fn too_old() -> Result<Self, Failed> {
        Self::listen(|mut stream, _| async move {
            let mut hello = [0; 4_096];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(&[0x15, 3, 1, 0, 2, 2, 70]).await;
            while stream.read(&mut hello).await.is_ok_and(|read| read > 0) {}
        })
        .await
    }

    async fn listen<F, Fut>(serve: F) -> Result<Self, Failed>
    where
        F: Fn(tokio::net::TcpStream, Arc<Mutex<Vec<String>>>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let taken: Arc<Mutex<Vec<String>>> = Arc::default();
        let shared = Arc::clone(&taken);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { port, taken, accepting })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/hook", self.port)
    }

    /// The heads of the requests that it took.
    pub fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads requests and answers each with 200.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, taken: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut seen = Vec::new();
    let mut chunk = vec![0; 16 * 1_024];
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 || seen.len() > MAX_REQUEST {
            return Ok(());
        }
        seen.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if body.len() >= length.unwrap_or(0) {
            taken.lock().unwrap_or_else(PoisonError::into_inner).push(head.to_owned());
            seen.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
    }
}
