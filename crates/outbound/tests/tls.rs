//! TLS as receivers get it wrong, and as APNs wants it; HTTP/2 by negotiation and without asking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use outbound::http::{Client, Failure, Identity, Phase, Protocol, Roots, Settings, TlsReason};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::PrivatePkcs8KeyDer;
use support::{AMPLE, Authority, Leaf, SHORT, Sink, local, post, self_signed, until_closed};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Echoes the HTTP version and the body.
    async fn start(leaf: Leaf, clients: Option<&Authority>, alpn: &[&[u8]]) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.root.clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(leaf.chain, PrivatePkcs8KeyDer::from(leaf.pkcs8).into()).unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service_fn(echo)).await;
                });
            }
        });
        Self { port, connections }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/3/device/x", self.port)
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let version = if request.version() == Version::HTTP_2 { "h2" } else { "h1" };
    let big = request.headers().contains_key("want-big-headers");
    let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let mut response = Response::builder().header("x-version", version);
    if big {
        for n in 0..200 {
            response = response.header(format!("x-{n}"), "y".repeat(500));
        }
    }
    Ok(response.body(Full::new(body)).unwrap())
}

fn trusting(authority: &Authority) -> Settings {
    Settings::new(local(), Roots::only(std::slice::from_ref(&authority.root)).unwrap())
}

async fn reason_of(settings: Settings, url: &str) -> TlsReason {
    match Client::new(settings).unwrap().send(post(url), AMPLE).await {
        Err(failure @ Failure::Tls { reason, .. }) => {
            assert!(!failure.may_have_arrived());
            assert!(failure.to_string().contains("localhost"), "{failure}");
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_trusted_receiver_is_called_and_a_faulty_certificate_is_named() {
    let authority = Authority::new("Test Root");
    let good = Server::start(authority.leaf("localhost", |_| ()), None, &[b"http/1.1"]).await;
    let reply = Client::new(trusting(&authority)).unwrap().send(post(&good.url()), AMPLE).await.unwrap();
    assert_eq!((&reply.headers["x-version"], &reply.body[..]), (&"h1".parse().unwrap(), &b"{\"a\":1}"[..]));

    let stranger = Authority::new("Another Root");
    assert_eq!(reason_of(trusting(&stranger), &good.url()).await, TlsReason::UnknownIssuer);

    let expired = authority.leaf("localhost", |params| {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let future = authority.leaf("localhost", |params| {
        params.not_before = rcgen::date_time_ymd(2999, 1, 1);
    });
    for (leaf, expected) in [
        (expired, TlsReason::Expired),
        (future, TlsReason::NotYetValid),
        (authority.leaf("hooks.example.com", |_| ()), TlsReason::WrongHost),
        (self_signed("localhost"), TlsReason::UnknownIssuer),
    ] {
        let server = Server::start(leaf, None, &[]).await;
        assert_eq!(reason_of(trusting(&authority), &server.url()).await, expected);
    }
}

#[tokio::test]
async fn system_roots_load_and_do_not_trust_a_private_authority() {
    let authority = Authority::new("Test Root");
    let server = Server::start(authority.leaf("localhost", |_| ()), None, &[]).await;
    let system = Settings::new(local(), Roots::system_and(&[]).unwrap());
    assert_eq!(reason_of(system, &server.url()).await, TlsReason::UnknownIssuer);
    let both = Settings::new(local(), Roots::system_and(std::slice::from_ref(&authority.root)).unwrap());
    assert!(Client::new(both).unwrap().send(post(&server.url()), AMPLE).await.is_ok());
    let bad = Roots::only(&[authority.root.clone(), vec![1, 2, 3].into()]).unwrap_err();
    assert_eq!(bad.number, 2);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_wanted() {
    let servers = Authority::new("Server Root");
    let clients = Authority::new("Client Root");
    let server = Server::start(servers.leaf("localhost", |_| ()), Some(&clients), &[b"h2"]).await;

    let identity_of = |leaf: Leaf| Some(Identity::new(leaf.chain, leaf.pkcs8));
    let known = identity_of(clients.leaf("pass.example", |_| ()));
    let settings = Settings { identity: known, protocol: Protocol::Http2, ..trusting(&servers) };
    let reply = Client::new(settings).unwrap().send(post(&server.url()), AMPLE).await.unwrap();
    assert_eq!(reply.headers["x-version"], "h2");

    // In TLS 1.3 the refusal follows the handshake; a reset may overtake the alert.
    for identity in [None, identity_of(servers.leaf("pass.example", |_| ()))] {
        let missing = identity.is_none();
        let settings = Settings { identity, protocol: Protocol::Http2, ..trusting(&servers) };
        match Client::new(settings).unwrap().send(post(&server.url()), AMPLE).await {
            Err(Failure::Tls { reason: TlsReason::ClientCertificateRequired, .. }) => assert!(missing),
            Err(Failure::Tls { reason: TlsReason::ClientCertificateRefused, .. }) => assert!(!missing),
            Err(Failure::Reset { phase: Phase::Answer, .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    let (a, b) = (clients.leaf("a.example", |_| ()), clients.leaf("b.example", |_| ()));
    let mixed = Some(Identity::new(a.chain, b.pkcs8));
    let said = Client::new(Settings { identity: mixed, ..trusting(&servers) }).unwrap_err().to_string();
    assert!(said.contains("leaf first"), "{said}");
}

#[tokio::test]
async fn http2_is_taken_when_offered_and_its_connection_shared() {
    let authority = Authority::new("Test Root");
    let server = Server::start(authority.leaf("localhost", |_| ()), None, &[b"h2", b"http/1.1"]).await;
    let client = Client::new(trusting(&authority)).unwrap();
    assert_eq!(client.send(post(&server.url()), AMPLE).await.unwrap().headers["x-version"], "h2");
    let many: Vec<_> = (0..50)
        .map(|_| {
            let (client, url) = (client.clone(), server.url());
            tokio::spawn(async move { client.send(post(&url), AMPLE).await.unwrap().status.as_u16() })
        })
        .collect();
    for one in many {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);

    let first = Client::new(Settings { protocol: Protocol::Http1, ..trusting(&authority) }).unwrap();
    assert_eq!(first.send(post(&server.url()), AMPLE).await.unwrap().headers["x-version"], "h1");
}

#[tokio::test]
async fn http2_header_floods_are_bounded() {
    let authority = Authority::new("Test Root");
    let server = Server::start(authority.leaf("localhost", |_| ()), None, &[b"h2"]).await;
    let mut request = post(&server.url());
    request.headers_mut().insert("want-big-headers", "1".parse().unwrap());
    let failure = Client::new(trusting(&authority)).unwrap().send(request, AMPLE).await.unwrap_err();
    assert!(matches!(failure, Failure::Protocol { .. } | Failure::HeadersTooLarge | Failure::Reset { .. }), "{failure:?}");
}

#[tokio::test]
async fn what_is_not_tls_or_too_old_is_said() {
    let authority = Authority::new("Test Root");
    let https = |sink: &Sink| format!("https://localhost:{}/", sink.addr.port());
    let plain = Sink::start(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        until_closed(&mut stream).await;
    })
    .await;
    assert_eq!(reason_of(trusting(&authority), &https(&plain)).await, TlsReason::NotTls);

    // A fatal protocol_version alert, as a server answers that speaks TLS 1.0 only.
    let old = Sink::start(|mut stream| async move {
        support::read_some(&mut stream).await;
        stream.write_all(&[0x15, 3, 1, 0, 2, 2, 70]).await.unwrap();
        until_closed(&mut stream).await;
    })
    .await;
    assert_eq!(reason_of(trusting(&authority), &https(&old)).await, TlsReason::Incompatible);

    let rude = Sink::start(|mut stream| async move { support::read_some(&mut stream).await }).await;
    assert_eq!(reason_of(trusting(&authority), &https(&rude)).await, TlsReason::Closed);

    let silent = Sink::start(|mut stream| async move { until_closed(&mut stream).await }).await;
    let failure = Client::new(trusting(&authority)).unwrap().send(post(&https(&silent)), SHORT).await.unwrap_err();
    assert!(matches!(failure, Failure::Timeout { phase: Phase::Tls, status: None, .. }), "{failure:?}");
    assert!(!failure.may_have_arrived());
}
