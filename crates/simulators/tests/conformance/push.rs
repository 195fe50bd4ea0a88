//! A push service and a server's own client for it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use outbound::http::{Client, Identity as ClientIdentity, Limits, Protocol, Roots, Settings};
use outbound::policy::AddressPolicy;
use pkpass::Identity;
use pkpass::development::{Authority, Validity};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use simulators::apns::ApnsServer;

use crate::service::TYPE;

/// More than a push takes.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(10), max_body: 4_096 };
/// A century, so that no test depends on the day.
const VALIDITY: Validity = Validity::days(1_500_000_000, 36_500);

pub struct Pushing {
    pub apns: Arc<ApnsServer>,
    client: Client,
}

#[derive(Clone)]
pub struct Sender {
    url: String,
    client: Client,
}

/// A server and whoever may push there: keys take long to make, and one set does for every fault.
struct Issued {
    root: CertificateDer<'static>,
    server: (CertificateDer<'static>, Vec<u8>),
    pass: (Vec<CertificateDer<'static>>, Vec<u8>),
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::create("conformance", VALIDITY).unwrap());

/// What signs passes of the service's type, and what those of another.
static IDENTITIES: LazyLock<[Identity; 2]> =
    LazyLock::new(|| [TYPE, "pass.example.other"].map(|of| AUTHORITY.issue_identity(of, "TEAM123456", VALIDITY).unwrap()));

/// What signs passes.
pub fn identity(is_right: bool) -> &'static Identity {
    &IDENTITIES[usize::from(!is_right)]
}

static ISSUED: LazyLock<Issued> = LazyLock::new(|| {
    let authority = &*AUTHORITY;
    let server = authority.issue_tls_server(&["localhost"], VALIDITY).unwrap();
    let pass = authority.issue_pass_type(TYPE, "TEAM123456", VALIDITY).unwrap();
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = |pem: &str| PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap().secret_pkcs8_der().to_vec();
    Issued {
        root: CertificateDer::from(authority.root_der().to_vec()),
        server: (der(&server.certificate), key(&server.key)),
        pass: (vec![der(&pass.certificate), der(authority.intermediate_pem())], key(&pass.key)),
    }
});

impl Pushing {
    pub async fn start() -> Self {
        let Issued { root, server, pass } = &*ISSUED;
        let apns = ApnsServer::start(vec![server.0.clone()], server.1.clone(), root).await.unwrap();
        let identity = ClientIdentity::new(pass.0.clone(), pass.1.clone());
        let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
        let settings = Settings::new(policy, Roots::only(std::slice::from_ref(root)).unwrap());
        let client = Client::new(Settings { identity: Some(identity), protocol: Protocol::Http2, ..settings }).unwrap();
        Self { apns: Arc::new(apns), client }
    }

    pub fn sender(&self) -> Sender {
        Sender { url: self.apns.url(), client: self.client.clone() }
    }
}

impl Sender {
    /// Wakes a phone; whether its token is alive.
    pub async fn push(&self, token: &str) -> bool {
        let request = Request::post(format!("{}/3/device/{token}", self.url)).header("apns-topic", TYPE);
        let reply = self.client.send(request.body(Bytes::from_static(b"{}")).unwrap(), LIMITS).await.unwrap();
        assert!(reply.status.is_success() || reply.status == 410, "{}", reply.status);
        reply.status != 410
    }
}
