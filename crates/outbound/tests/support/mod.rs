//! Small servers with bad manners, certificates with faults, and a client that may reach this machine.
// Each test file uses its own part.
#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use outbound::egress::Egress;
use outbound::http::{Client, Limits, Protocol, Roots, Settings};
use outbound::policy::AddressPolicy;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use testkit::proxy::{Manner, Proxy};
use testkit::tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const SHORT: Limits = Limits { deadline: Duration::from_millis(600), max_body: 4096 };
pub const AMPLE: Limits = Limits { deadline: Duration::from_secs(20), max_body: 4096 };

/// A client that goes by a proxy over TLS, and that proxy.
pub async fn through_tls_proxy() -> (Client, Proxy) {
    let authority = tls::Authority::new("Proxy").unwrap();
    let leaf = authority.leaf("localhost", tls::Fault::None).unwrap();
    let proxy = Proxy::start_tls(Manner::Connect(None), &leaf, None).await.unwrap();
    let egress = Egress::through("office", &proxy.tls_url("")).unwrap();
    let egress = egress.trusting(Roots::only(&[authority.root()]).unwrap()).unwrap();
    let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    let client = Client::new(Settings::new(policy, Roots::only(&[]).unwrap())).unwrap();
    (client.with_egress(egress).unwrap(), proxy)
}

/// A listener that gives each connection to `personality`, and counts them.
pub struct Sink {
    pub addr: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Sink {
    pub async fn start<F, Fut>(personality: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(personality(stream));
            }
        });
        Self { addr, connections }
    }

    /// Reads a request, sends `answer`, and keeps the connection for the next one.
    pub async fn canned(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream| async move {
            while read_request(&mut stream).await {
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }
}

/// Reads up to the end of a request that has a short body or none. False when the client has gone.
pub async fn read_request(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk).await {
            Ok(n) if n > 0 => seen.extend_from_slice(&chunk[..n]),
            _ => return false,
        }
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:").map(|v| v.trim().parse().unwrap()))
                .unwrap_or(0);
            if body.len() >= length {
                return true;
            }
        }
    }
}

/// Waits until the client has closed its side.
pub async fn until_closed(stream: &mut TcpStream) {
    let mut chunk = [0; 4096];
    while matches!(stream.read(&mut chunk).await, Ok(n) if n > 0) {}
}

pub fn post(url: &str) -> Request<Bytes> {
    Request::post(url).header("content-type", "application/json").body(Bytes::from_static(b"{\"a\":1}")).unwrap()
}

pub fn local() -> AddressPolicy {
    AddressPolicy { allow_loopback: true, ..AddressPolicy::default() }
}

pub fn settings() -> Settings {
    Settings::new(local(), Roots::only(&[]).unwrap())
}

pub fn client() -> Client {
    Client::new(settings()).unwrap()
}

pub fn client_speaking(protocol: Protocol) -> Client {
    Client::new(Settings { protocol, ..settings() }).unwrap()
}

/// A certificate authority made for one test.
pub struct Authority {
    pub root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

pub struct Leaf {
    pub chain: Vec<CertificateDer<'static>>,
    pub pkcs8: Vec<u8>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { root, issuer: Issuer::new(params, key) }
    }

    pub fn leaf(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { chain: vec![leaf.der().clone()], pkcs8: key.serialize_der() }
    }
}

pub fn self_signed(host: &str) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
    Leaf { chain: vec![leaf.der().clone()], pkcs8: key.serialize_der() }
}

/// Reads whatever comes first.
pub async fn read_some(stream: &mut TcpStream) {
    let mut chunk = [0; 4096];
    let _ = stream.read(&mut chunk).await;
}
