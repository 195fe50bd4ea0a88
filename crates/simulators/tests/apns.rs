//! APNs with the client that really pushes.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use outbound::http::{Client, Failure, Identity, Limits, Phase, Protocol, Reply, Roots, Settings};
use outbound::policy::AddressPolicy;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use simulators::apns::{Answer, ApnsServer};

const TOPIC: &str = "pass.example.loyalty";
const AMPLE: Limits = Limits { deadline: Duration::from_secs(20), max_body: 4096 };
const SHORT: Limits = Limits { deadline: Duration::from_millis(500), max_body: 4096 };

struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { root, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, params: &CertificateParams) -> (Vec<CertificateDer<'static>>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        (vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()], key.serialize_der())
    }

    fn pass_certificate(&self, pass_type: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("Pass Type ID: {pass_type}"));
        params.distinguished_name.push(DnType::CustomDnType(vec![0, 9, 2342, 19200300, 100, 1, 1]), pass_type);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (chain, key) = self.issue(&params);
        Identity::new(chain, key)
    }
}

struct Bench {
    server: ApnsServer,
    servers: Authority,
    clients: Authority,
}

impl Bench {
    async fn new() -> Self {
        let (servers, clients) = (Authority::new("Server Root"), Authority::new("Pass Root"));
        let (chain, key) = servers.issue(&CertificateParams::new(vec!["localhost".to_owned()]).unwrap());
        let server = ApnsServer::start(chain, key, &clients.root).await.unwrap();
        Self { server, servers, clients }
    }

    fn client(&self, identity: Option<Identity>) -> Client {
        let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
        let roots = Roots::only(std::slice::from_ref(&self.servers.root)).unwrap();
        Client::new(Settings { identity, protocol: Protocol::Http2, ..Settings::new(policy, roots) }).unwrap()
    }

    fn push(&self, token: &str, topic: &str, body: &'static str) -> Request<Bytes> {
        Request::post(format!("{}/3/device/{token}", self.server.url()))
            .header("apns-topic", topic)
            .body(Bytes::from_static(body.as_bytes()))
            .unwrap()
    }
}

fn token(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

fn reason(reply: &Reply) -> (u16, String) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    (reply.status.as_u16(), body["reason"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_push_under_the_pass_certificate_wakes_the_phone() {
    let bench = Bench::new().await;
    let mut wakes = bench.server.pushes();
    let client = bench.client(Some(bench.clients.pass_certificate(TOPIC)));
    for n in 0..20 {
        let reply = client.send(bench.push(&token(n), TOPIC, "{}"), AMPLE).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
        let push = wakes.recv().await.unwrap();
        assert_eq!((push.token, push.topic.as_str()), (token(n), TOPIC));
        assert_eq!(reply.headers["apns-id"], push.id);
    }
    assert_eq!((bench.server.connections(), bench.server.requests(), bench.server.accepted()), (1, 20, 20));
}

#[tokio::test]
async fn what_a_token_is_answered_can_be_set() {
    let bench = Bench::new().await;
    let mut wakes = bench.server.pushes();
    let client = bench.client(Some(bench.clients.pass_certificate(TOPIC)));
    for (answer, status, expected) in [
        (Answer::BadDeviceToken, 400, "BadDeviceToken"),
        (Answer::DeviceTokenNotForTopic, 400, "DeviceTokenNotForTopic"),
        (Answer::BadCertificate, 403, "BadCertificate"),
        (Answer::Unregistered { timestamp_ms: 1_760_000_000_000 }, 410, "Unregistered"),
        (Answer::TooManyRequests, 429, "TooManyRequests"),
        (Answer::InternalServerError, 500, "InternalServerError"),
        (Answer::ServiceUnavailable, 503, "ServiceUnavailable"),
    ] {
        bench.server.answer(&token(0xAB), answer);
        let reply = client.send(bench.push(&token(0xAB), TOPIC, "{}"), AMPLE).await.unwrap();
        assert_eq!(reason(&reply), (status, expected.to_owned()));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        let dead_since = body.get("timestamp").and_then(Value::as_u64);
        assert_eq!(dead_since, (status == 410).then_some(1_760_000_000_000));
    }
    bench.server.answer(&token(0xAB), Answer::Silence);
    let failure = client.send(bench.push(&token(0xAB), TOPIC, "{}"), SHORT).await.unwrap_err();
    assert!(matches!(failure, Failure::Timeout { phase: Phase::Answer, .. }), "{failure:?}");

    // Another token, and then the same one, are as before, on the same connection.
    assert_eq!(client.send(bench.push(&token(1), TOPIC, "{}"), AMPLE).await.unwrap().status.as_u16(), 200);
    bench.server.answer(&token(0xAB), Answer::Accepted);
    assert_eq!(client.send(bench.push(&token(0xAB), TOPIC, "{}"), AMPLE).await.unwrap().status.as_u16(), 200);
    assert_eq!(wakes.recv().await.unwrap().token, token(1));
    assert_eq!(wakes.recv().await.unwrap().token, token(0xAB));
    assert_eq!(bench.server.connections(), 1);
}

#[tokio::test]
async fn wrong_requests_are_refused_as_apple_does() {
    let bench = Bench::new().await;
    let client = bench.client(Some(bench.clients.pass_certificate(TOPIC)));
    let good = token(2);
    for (request, status, expected) in [
        (bench.push(&good, "pass.example.other", "{}"), 400, "TopicDisallowed"),
        (bench.push(&good, TOPIC, ""), 400, "PayloadEmpty"),
        (bench.push(&good, TOPIC, "{\"aps\":{}}"), 400, "PayloadOfPassMustBeEmptyObject"),
        (bench.push("short", TOPIC, "{}"), 400, "BadDeviceToken"),
        (bench.push(&"zz".repeat(32), TOPIC, "{}"), 400, "BadDeviceToken"),
        (bench.push("a/b", TOPIC, "{}"), 404, "BadPath"),
    ] {
        let reply = client.send(request, AMPLE).await.unwrap();
        assert_eq!(reason(&reply), (status, expected.to_owned()));
    }
    let mut without_topic = bench.push(&good, TOPIC, "{}");
    without_topic.headers_mut().remove("apns-topic");
    assert_eq!(reason(&client.send(without_topic, AMPLE).await.unwrap()).1, "MissingTopic");
    let mut get = bench.push(&good, TOPIC, "{}");
    *get.method_mut() = http::Method::GET;
    assert_eq!(reason(&client.send(get, AMPLE).await.unwrap()), (405, "MethodNotAllowed".to_owned()));
    assert_eq!(bench.server.accepted(), 0);
}

#[tokio::test]
async fn nobody_pushes_without_a_certificate_of_the_right_issuer() {
    let bench = Bench::new().await;
    for identity in [None, Some(bench.servers.pass_certificate(TOPIC))] {
        let failure = bench.client(identity).send(bench.push(&token(3), TOPIC, "{}"), AMPLE).await.unwrap_err();
        assert!(matches!(failure, Failure::Tls { .. } | Failure::Reset { .. }), "{failure:?}");
    }
    assert_eq!((bench.server.connections(), bench.server.requests()), (0, 0));
}
