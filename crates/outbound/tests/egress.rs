//! Named ways out, with a real proxy and real peers: what is asked of the proxy, what the receiver sees, and that nothing goes
//! by another way when the named one does not work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use outbound::{
    Names,
    egress::Egress,
    http::{Client, Failure, Identity, Limits, Phase, Roots, Settings, TlsReason},
    mail::{Mail, Mailer, Server},
    policy::AddressPolicy,
};
use testkit::{
    mail::{MailServer, Manner as MailManner},
    proxy::{Manner, Proxy},
    sink::{Behaviour, Sink},
    tls::{Authority, Fault, TlsSink},
};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

const AMPLE: Limits = Limits { deadline: Duration::from_secs(20), max_body: 4096 };
const LOGIN: &str = "us%40er:p%3Ass@";
/// `us@er:p:ss`
const PROOF: &str = "Basic dXNAZXI6cDpzcw==";

fn local() -> AddressPolicy {
    AddressPolicy { allow_loopback: true, ..AddressPolicy::default() }
}

fn client(egress: Egress, roots: &Roots) -> Client {
    Client::new(Settings::new(local(), roots.clone())).unwrap().with_egress(egress).unwrap()
}

fn nobody() -> Roots {
    Roots::only(&[]).unwrap()
}

fn post(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"{}")).unwrap()
}

fn through(proxy: &Proxy, login: &str) -> Egress {
    Egress::through("office", &proxy.url(login)).unwrap()
}

#[tokio::test]
async fn tls_goes_end_to_end_through_the_proxy_to_the_address_that_was_judged() {
    let authority = Authority::new("Test").unwrap();
    let good = TlsSink::start(&authority.leaf("localhost", Fault::None).unwrap(), None).await.unwrap();
    let other = TlsSink::start(&authority.leaf("localhost", Fault::OtherHost).unwrap(), None).await.unwrap();
    let proxy = Proxy::start(Manner::Connect(Some(PROOF.to_owned()))).await.unwrap();
    let client = client(through(&proxy, LOGIN), &Roots::only(&[authority.root()]).unwrap());
    for _ in 0..2 {
        assert_eq!(client.send(post(&good.url()), AMPLE).await.unwrap().status, 200);
    }
    let asked = proxy.asked();
    let address: SocketAddr = asked[0].parse().expect("an address, not a name");
    assert!(address.ip().is_loopback(), "{asked:?}");
    assert!(asked.iter().all(|to| to.parse::<SocketAddr>().is_ok()), "{asked:?}");
    let refused = client.send(post(&other.url()), AMPLE).await.unwrap_err();
    assert!(matches!(refused, Failure::Tls { reason: TlsReason::WrongHost, .. }), "{refused}");
}

/// By SOCKS 5, with a login and none.
#[tokio::test]
async fn tls_goes_end_to_end_through_socks_to_the_address_that_was_judged() {
    let authority = Authority::new("Test").unwrap();
    let good = TlsSink::start(&authority.leaf("localhost", Fault::None).unwrap(), None).await.unwrap();
    let proxy = Proxy::start(Manner::Connect(Some(PROOF.to_owned()))).await.unwrap();
    let by = |login: &str| {
        client(Egress::through("office", &proxy.socks_url(login)).unwrap(), &Roots::only(&[authority.root()]).unwrap())
    };
    assert_eq!(by(LOGIN).send(post(&good.url()), AMPLE).await.unwrap().status, 200);
    proxy.behave(Manner::Connect(None));
    for login in ["", LOGIN] {
        assert_eq!(by(login).send(post(&good.url()), AMPLE).await.unwrap().status, 200, "{login}");
    }
    let asked = proxy.asked();
    assert!(asked.iter().all(|to| to.parse::<SocketAddr>().is_ok_and(|to| to.ip().is_loopback())), "{asked:?}");
}

#[tokio::test]
async fn what_a_socks_proxy_answers_is_told_and_nothing_leaves_by_another_way() {
    let sink = Sink::start(Behaviour::Answer(http::StatusCode::OK)).await.unwrap();
    let proxy = Proxy::start(Manner::Connect(Some(PROOF.to_owned()))).await.unwrap();
    let by = |login: &str| client(Egress::through("office", &proxy.socks_url(login)).unwrap(), &nobody());
    for (manner, login, part) in [
        (Manner::Connect(Some(PROOF.to_owned())), "us%40er:wrong@", "does not take the login"),
        (Manner::Connect(Some(PROOF.to_owned())), "", "the proxy wants a login"),
        // Two bytes, and it closes: what it said is told, not that it broke off.
        (Manner::Answer(2), LOGIN, "its rules do not allow the receiver"),
        (Manner::Answer(4), LOGIN, "it does not reach the receiver"),
        (Manner::Answer(7), LOGIN, "the proxy answered 7"),
        (Manner::Close, LOGIN, "the proxy broke off"),
    ] {
        proxy.behave(manner.clone());
        let failure = by(login).send(post(&sink.url("/hook")), AMPLE).await.unwrap_err();
        let text = failure.to_string();
        assert!(matches!(&failure, Failure::Egress { name, .. } if name == "office"), "{manner:?}: {text}");
        assert!(text.contains(part) && !text.contains("wrong"), "{manner:?}: {text}");
        assert!(!failure.may_have_arrived(), "{manner:?}: {text}");
    }
    assert_eq!(sink.count(), 0);
}

/// The receiver's TLS goes through the proxy's; the proxy is told a login only once it has proven who it is.
#[tokio::test]
async fn a_proxy_over_tls_proves_itself_before_it_is_told_anything() {
    let authority = Authority::new("Test").unwrap();
    let roots = Roots::only(&[authority.root()]).unwrap();
    let sink = TlsSink::start(&authority.leaf("localhost", Fault::None).unwrap(), None).await.unwrap();
    let start = async |fault, clients: Option<&Authority>| {
        let manner = Manner::Connect(Some(PROOF.to_owned()));
        Proxy::start_tls(manner, &authority.leaf("localhost", fault).unwrap(), clients).await.unwrap()
    };
    let by = |url: &str| client(Egress::through("office", url).unwrap(), &roots);
    let proxy = start(Fault::None, None).await;
    let plain = Sink::start(Behaviour::Answer(http::StatusCode::OK)).await.unwrap();
    for url in [sink.url(), plain.url("/hook")] {
        assert_eq!(by(&proxy.tls_url(LOGIN)).send(post(&url), AMPLE).await.unwrap().status, 200, "{url}");
    }
    assert!(proxy.asked().iter().all(|to| to.parse::<SocketAddr>().is_ok_and(|to| to.ip().is_loopback())), "{:?}", proxy.asked());
    let fails = async |proxy: &Proxy, url: &str| match by(url).send(post(&sink.url()), AMPLE).await {
        Err(failure @ Failure::Egress { .. }) => {
            assert!(!failure.may_have_arrived() && proxy.asked().is_empty(), "{failure}");
            failure.to_string()
        }
        other => panic!("{other:?}"),
    };
    for (fault, part) in [
        (Fault::Expired, "its certificate has expired"),
        (Fault::NotYetValid, "not valid yet"),
        (Fault::OtherHost, "for another host name"),
        (Fault::SelfSigned, "not issued by a trusted authority"),
    ] {
        let proxy = start(fault, None).await;
        let text = fails(&proxy, &proxy.tls_url(LOGIN)).await;
        assert!(text.contains("the TLS connection to its proxy failed") && text.contains(part), "{text}");
    }
    let asking = start(Fault::None, Some(&authority)).await;
    let text = fails(&asking, &asking.tls_url(LOGIN)).await;
    assert!(text.contains("it wants a client certificate"), "{text}");
}

/// An authority of the operator's own, for the proxy alone: the receiver is not believed by it.
#[tokio::test]
async fn a_proxy_over_tls_is_believed_by_the_roots_that_are_named_for_it() {
    let (theirs, ours) = (Authority::new("Proxy").unwrap(), Authority::new("Receiver").unwrap());
    let (of_proxy, of_receiver) = (Roots::only(&[theirs.root()]).unwrap(), Roots::only(&[ours.root()]).unwrap());
    let sink = TlsSink::start(&ours.leaf("localhost", Fault::None).unwrap(), None).await.unwrap();
    let leaf = theirs.leaf("localhost", Fault::None).unwrap();
    let proxy = Proxy::start_tls(Manner::Connect(None), &leaf, None).await.unwrap();
    let egress = || Egress::through("office", &proxy.tls_url("")).unwrap();
    let trusting = |roots: &Roots| egress().trusting(roots.clone()).unwrap();
    let sent = client(trusting(&of_proxy), &of_receiver).send(post(&sink.url()), AMPLE).await.unwrap();
    assert_eq!((sent.status.as_u16(), proxy.asked().len()), (200, 1));
    for (egress, roots) in [(egress(), &of_receiver), (trusting(&of_receiver), &of_receiver)] {
        let failure = client(egress, roots).send(post(&sink.url()), AMPLE).await.unwrap_err();
        assert!(failure.to_string().contains("its proxy failed: ") && proxy.asked().len() == 1, "{failure}");
    }
    let failure = client(trusting(&of_proxy), &of_proxy).send(post(&sink.url()), AMPLE).await.unwrap_err();
    assert!(matches!(failure, Failure::Tls { .. }), "{failure}");
    for plain in [Egress::through("office", &proxy.url("")), Egress::from_address("fixed", IpAddr::from([127, 0, 0, 1]))] {
        assert!(plain.unwrap().trusting(of_proxy.clone()).unwrap_err().to_string().contains("begins with https://"));
    }
}

/// Not ours to the receiver, and not the receiver's: what we show there is not shown to the proxy.
#[tokio::test]
async fn a_certificate_for_the_receiver_goes_through_a_proxy_over_tls() {
    let authority = Authority::new("Test").unwrap();
    let roots = Roots::only(&[authority.root()]).unwrap();
    let leaf = |host| authority.leaf(host, Fault::None).unwrap();
    let sink = TlsSink::start(&leaf("localhost"), Some(&authority)).await.unwrap();
    let proxy = Proxy::start_tls(Manner::Connect(None), &leaf("localhost"), None).await.unwrap();
    let ours = leaf("passbridge");
    let identity = Identity::from_pem(&ours.certificate, &ours.key).unwrap();
    let client = client(Egress::through("office", &proxy.tls_url("")).unwrap(), &roots).with_identity(identity).unwrap();
    assert_eq!(client.send(post(&sink.url()), AMPLE).await.unwrap().status, 200);
    let asking = Proxy::start_tls(Manner::Connect(None), &leaf("localhost"), Some(&authority)).await.unwrap();
    let client = client.with_egress(Egress::through("office", &asking.tls_url("")).unwrap()).unwrap();
    let failure = client.send(post(&sink.url()), AMPLE).await.unwrap_err();
    assert!(failure.to_string().contains("it wants a client certificate"), "{failure}");
}

#[tokio::test]
async fn what_is_forbidden_is_not_asked_of_the_proxy() {
    let proxy = Proxy::start(Manner::Connect(None)).await.unwrap();
    for address in [proxy.url(""), proxy.tls_url(""), proxy.socks_url("")] {
        let settings = Settings::new(AddressPolicy::default(), nobody());
        let client = Client::new(settings).unwrap().with_egress(Egress::through("office", &address).unwrap()).unwrap();
        for url in ["http://127.0.0.1:8080/", "http://169.254.169.254/", "http://localhost:8080/", "http://10.0.0.1/"] {
            let failure = client.send(post(url), AMPLE).await.unwrap_err();
            assert!(matches!(failure, Failure::Forbidden(_)), "{url}: {failure}");
        }
    }
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_leaves_by_another_way_when_the_proxy_refuses_hangs_or_is_down() {
    let sink = Sink::start(Behaviour::Answer(http::StatusCode::OK)).await.unwrap();
    let proxy = Proxy::start(Manner::Connect(Some(PROOF.to_owned()))).await.unwrap();
    let client = client(through(&proxy, "us%40er:wrong@"), &nobody());
    let url = sink.url("/hook");
    for (manner, part) in [
        (Manner::Connect(Some(PROOF.to_owned())), "the proxy answered 407: it does not take the login"),
        (Manner::Answer(502), "the proxy answered 502: it does not reach the receiver"),
        (Manner::Answer(403), "the proxy answered 403 to CONNECT"),
        (Manner::Answer(2_000), "no HTTP"),
        (Manner::Close, "the proxy broke off"),
    ] {
        proxy.behave(manner.clone());
        let failure = client.send(post(&url), AMPLE).await.unwrap_err();
        let text = failure.to_string();
        assert!(matches!(&failure, Failure::Egress { name, .. } if name == "office"), "{manner:?}: {text}");
        assert!(text.contains(part) && !text.contains("wrong"), "{manner:?}: {text}");
        assert!(!failure.may_have_arrived() && failure.code() == "egress");
    }
    proxy.behave(Manner::Hang);
    let hurry = Limits { deadline: Duration::from_millis(300), ..AMPLE };
    let failure = client.send(post(&url), hurry).await.unwrap_err();
    assert!(matches!(failure, Failure::Timeout { phase: Phase::Connect, .. }), "{failure}");
    drop(proxy);
    let failure = client.send(post(&url), AMPLE).await.unwrap_err();
    assert!(failure.to_string().contains("its proxy is not reached"), "{failure}");
    assert_eq!(sink.count(), 0);
}

/// Says that the receiver has an address of each version of IP.
#[derive(Debug)]
struct Both;
impl Names for Both {
    fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        // Nobody answers at the first.
        Ok(vec![Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 1).into(), IpAddr::from([127, 0, 0, 1])])
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_reach_one_address_is_asked_for_the_next() {
    let sink = Sink::start(Behaviour::Answer(http::StatusCode::OK)).await.unwrap();
    let proxy = Proxy::start(Manner::Connect(None)).await.unwrap();
    let mut policy = local();
    policy.allow_networks = vec!["64:ff9b:1::/48".parse().unwrap()];
    let settings = Settings { names: Arc::new(Both), ..Settings::new(policy, nobody()) };
    let client = Client::new(settings).unwrap().with_egress(through(&proxy, "")).unwrap();
    let port = sink.url("").rsplit_once(':').unwrap().1.to_owned();
    let reply = client.send(post(&format!("http://hooks.example.com:{port}/")), AMPLE).await.unwrap();
    assert_eq!((reply.status.as_u16(), proxy.asked().len()), (200, 2));
    assert_eq!(proxy.asked()[0], format!("[64:ff9b:1::1]:{port}"));
}

#[tokio::test]
async fn the_receiver_sees_the_source_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let from = Egress::from_address("fixed", IpAddr::from([127, 0, 0, 2])).unwrap();
    let sending = tokio::spawn(async move { client(from, &nobody()).send(post(&url), AMPLE).await });
    let (mut stream, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 2]));
    let mut some = [0; 16];
    assert!(stream.read(&mut some).await.unwrap() > 0);
    drop(stream);
    sending.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_source_address_that_is_not_ours_or_of_the_other_version_sends_nothing() {
    let sink = Sink::start(Behaviour::Answer(http::StatusCode::OK)).await.unwrap();
    for (address, part) in [("192.0.2.7", "its address cannot be sent from"), ("::1", "the receiver has no such address")] {
        let egress = Egress::from_address("fixed", address.parse().unwrap()).unwrap();
        assert_eq!(egress.check().is_err(), address == "192.0.2.7");
        let failure = client(egress, &nobody()).send(post(&sink.url("/")), AMPLE).await.unwrap_err();
        assert!(failure.to_string().contains(part), "{failure}");
    }
    assert_eq!(sink.count(), 0);
}

/// A mail server speaks first: what it says right behind the proxy's answer is not lost.
#[tokio::test]
async fn mail_goes_through_the_proxy_too() {
    let there = MailServer::start(&MailManner::default()).await.unwrap();
    let proxy = Proxy::start(Manner::Connect(None)).await.unwrap();
    let authority = Authority::new("Proxy").unwrap();
    let leaf = authority.leaf("localhost", Fault::None).unwrap();
    let encrypted = Proxy::start_tls(Manner::Connect(None), &leaf, None).await.unwrap();
    let over_tls = Egress::through("office", &encrypted.tls_url("")).unwrap();
    let over_tls = over_tls.trusting(Roots::only(&[authority.root()]).unwrap()).unwrap();
    let server = Server::parse(&local(), &format!("smtp+plain://localhost:{}", there.port)).unwrap();
    let mail = Mail {
        message_id: "0001@example.com".to_owned(),
        from: "klub@example.com".to_owned(),
        to: "anna@example.org".to_owned(),
        subject: "Hello".to_owned(),
        text: "Hello".to_owned(),
        ..Mail::default()
    };
    for (egress, proxy) in [(through(&proxy, ""), &proxy), (over_tls, &encrypted)] {
        let mailer = Mailer::like(&client(egress, &nobody()));
        let said = mailer.send(&server, None, &mail, Duration::from_secs(60)).await.unwrap();
        assert_eq!((said.code, proxy.asked().len()), (250, 1));
    }
}
