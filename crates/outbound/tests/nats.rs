//! Messages for a real nats-server with JetStream: kept once and in their order, by every way to sign in, over TLS, and with what
//! goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{fs, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use data_encoding::BASE32_NOPAD;
use outbound::{
    http::{Client, Failure, Roots, Settings, TlsReason},
    policy::AddressPolicy,
    stream::{
        Answer, Batch, Reason, Security, Unsent,
        nats::{self, Login, Place},
    },
};
use serde_json::{Value, json};
use testkit::{
    nats::NatsServer,
    tls::{Authority, Fault},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use zeroize::Zeroizing;

const DEADLINE: Duration = Duration::from_secs(20);

fn client() -> Client {
    let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    Client::new(Settings::new(policy, Roots::only(&[]).unwrap())).unwrap()
}

fn at(url: &str) -> Place {
    let inbox = "_INBOX".to_owned();
    Place { url: url.to_owned(), login: Login::None, security: Security::Plain, authorities: None, inbox }
}

fn message(subject: &str, id: &str) -> Value {
    json!({"subject": subject, "headers": {"Nats-Msg-Id": id, "event-type": "pass.installed"}, "payload": {"id": id}})
}

fn batch(messages: &[Value]) -> Batch {
    serde_json::from_value(json!({ "messages": messages })).unwrap()
}

async fn publish(place: &Place, messages: &[Value]) -> Result<Vec<Answer>, Unsent> {
    nats::publish(&client(), place, &batch(messages), DEADLINE).await
}

fn events() -> Value {
    json!({"name": "EVENTS", "subjects": ["passbridge.>"]})
}

/// The code of the only answer.
fn code(outcome: Result<Vec<Answer>, Unsent>) -> Reason {
    match outcome {
        Ok(answers) => match answers.as_slice() {
            [Answer::Refused(refused)] => refused.code,
            other => panic!("{other:?}"),
        },
        Err(Unsent::Refused(refused)) => refused.code,
        Err(other) => panic!("{other:?}"),
    }
}

fn is_kept(outcome: Result<Vec<Answer>, Unsent>) -> bool {
    outcome.unwrap().iter().all(|answer| matches!(answer, Answer::Kept { .. }))
}

/// A server speaks first, and much is sent at once: nothing of it stays behind in the proxy's TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_through_a_proxy_over_tls() {
    let server = NatsServer::start("").await.unwrap();
    server.make(events()).await.unwrap();
    let (client, proxy) = support::through_tls_proxy().await;
    let mut messages: Vec<Value> =
        (0..200).map(|number| message("passbridge.p.pass.installed", &format!("id-{number}"))).collect();
    for large in &mut messages {
        large["payload"]["text"] = json!("x".repeat(8_192));
    }
    assert!(is_kept(nats::publish(&client, &at(&server.url()), &batch(&messages), DEADLINE).await));
    assert_eq!((server.messages("EVENTS").await.unwrap().len(), proxy.asked().len()), (200, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_kept_once_and_in_their_order() {
    let server = NatsServer::start("").await.unwrap();
    server.make(events()).await.unwrap();
    let messages: Vec<Value> = (0..500).map(|number| message("passbridge.p.pass.installed", &format!("id-{number}"))).collect();
    let place = at(&server.url());
    let answers = publish(&place, &messages).await.unwrap();
    for (number, answer) in answers.iter().enumerate() {
        let expected = Answer::Kept { stream: "EVENTS".to_owned(), number: number as u64 + 1, duplicate: false };
        assert_eq!(*answer, expected);
    }
    let again = publish(&place, &messages[..20]).await.unwrap();
    assert!(again.iter().all(|answer| matches!(answer, Answer::Kept { duplicate: true, .. })), "{again:?}");
    // Line breaks end no header, and what is sent is what was given, byte for byte.
    let odd = r#"{"messages": [{"subject": "passbridge.odd", "headers": {"a": "x\r\nb: y", "é": "ü"}, "payload": {"n":  1.0, "text": "Zoë 🎟"}}]}"#;
    assert!(is_kept(nats::publish(&client(), &place, &serde_json::from_str(odd).unwrap(), DEADLINE).await));
    let held = server.messages("EVENTS").await.unwrap();
    assert_eq!(held.len(), 501, "the window dropped repetitions");
    for (number, message) in held[..500].iter().enumerate() {
        assert_eq!(message["headers"]["Nats-Msg-Id"], format!("id-{number}"));
        assert_eq!(message["headers"]["event-type"], "pass.installed");
        assert_eq!(message["data"], format!(r#"{{"id":"id-{number}"}}"#));
    }
    assert_eq!((&held[500]["headers"]["a"], &held[500]["data"]), (&json!("x  b: y"), &json!(r#"{"n":  1.0, "text": "Zoë 🎟"}"#)));
}

/// An NKey of a kind, with its public key as text.
struct Key(Ed25519KeyPair, u8, [u8; 32]);

impl Key {
    const USER: u8 = 20 << 3;
    const OPERATOR: u8 = 14 << 3;
    const ACCOUNT: u8 = 0;

    fn new(kind: u8, seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(), kind, [seed; 32])
    }

    fn written(mut bytes: Vec<u8>) -> String {
        let mut crc = 0_u16;
        for byte in &bytes {
            crc ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            }
        }
        bytes.extend(crc.to_le_bytes());
        BASE32_NOPAD.encode(&bytes)
    }

    fn public(&self) -> String {
        Self::written([&[self.1], self.0.public_key().as_ref()].concat())
    }

    fn seed(&self) -> String {
        Self::written([&[18 << 3 | self.1 >> 5, self.1 << 3][..], &self.2].concat())
    }

    /// A JWT of NATS about `subject`. Source: <https://github.com/nats-io/jwt>, version 2.
    fn signs(&self, subject: &Self, name: &str, about: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"jti": name, "iat": 1_700_000_000, "iss": self.public(), "name": name, "sub": subject.public(), "nats": about});
        let signed = format!("{}.{}", part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_sign_in_in_every_way() {
    let key = Key::new(Key::USER, 7);
    let users = format!("authorization {{ users: [{{user: ada, password: hush}}, {{nkey: {}}}] }}", key.public());
    let mut server = NatsServer::start(&users).await.unwrap();
    server.login = json!({"user": "ada", "password": "hush"});
    server.make(events()).await.unwrap();
    let one = [message("passbridge.x", "1")];
    let with = |server: &NatsServer, login| Place { login, ..at(&server.url()) };
    let user = |password: &str| Login::User { user: "ada".to_owned(), password: secret(password) };
    assert!(is_kept(publish(&with(&server, user("hush")), &one).await));
    assert!(is_kept(publish(&with(&server, Login::Nkey(secret(&key.seed()))), &one).await));
    let other = Key::new(Key::USER, 8).seed();
    let account = Key::new(Key::ACCOUNT, 7).seed();
    for login in
        [user("guess"), Login::None, Login::Token(secret("t")), Login::Nkey(secret(&other)), Login::Nkey(secret(&account))]
    {
        let outcome = publish(&with(&server, login), &one).await;
        let Err(Unsent::Refused(refused)) = &outcome else { panic!("{outcome:?}") };
        let said = refused.safe();
        assert!(refused.code == Reason::NotAllowed && !said.contains("hush") && !said.contains(&account), "{said}");
    }

    let mut server = NatsServer::start("authorization { token: \"s3cr3t\" }").await.unwrap();
    server.login = json!({"token": "s3cr3t"});
    server.make(events()).await.unwrap();
    assert!(is_kept(publish(&with(&server, Login::Token(secret("s3cr3t"))), &one).await));
    assert_eq!(code(publish(&with(&server, Login::Token(secret("s3cr3"))), &one).await), Reason::NotAllowed);
    // It knows no NKeys, so it asks for no signature.
    assert_eq!(code(publish(&with(&server, Login::Nkey(secret(&other))), &one).await), Reason::NotAllowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_sign_in_by_credentials_of_an_operator() {
    let (operator, account, user) = (Key::new(Key::OPERATOR, 1), Key::new(Key::ACCOUNT, 2), Key::new(Key::USER, 3));
    let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1});
    let system = Key::new(Key::ACCOUNT, 5);
    let account_jwt =
        |key: &Key, limits: &Value| operator.signs(key, "account", &json!({"limits": limits, "type": "account", "version": 2}));
    let mut of_system = limits.clone();
    of_system
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !["mem_storage", "disk_storage", "streams", "consumer"].contains(&name.as_str()));
    let configuration = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{ {}: {}, {}: {} }}",
        operator.signs(&operator, "operator", &json!({"type": "operator", "version": 2})),
        system.public(),
        system.public(),
        account_jwt(&system, &of_system),
        account.public(),
        account_jwt(&account, &limits),
    );
    let server = NatsServer::start(&configuration).await.unwrap();
    let about = json!({"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2});
    let creds = |seed: &Key| {
        let jwt = account.signs(&user, "user", &about);
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            seed.seed()
        )
    };
    let with = |text: &str| Place { login: Login::Credentials(secret(text)), ..at(&server.url()) };
    let one = [message("passbridge.x", "1")];
    // It is let in, and there is no stream yet.
    assert_eq!(code(publish(&with(&creds(&user)), &one).await), Reason::NoStream);
    for wrong in [creds(&Key::new(Key::USER, 4)), "SU".to_owned()] {
        assert_eq!(code(publish(&with(&wrong), &one).await), Reason::NotAllowed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_or_stream_does_not_take_is_said_message_by_message() {
    let rights = "authorization { users: [{user: ada, password: hush, permissions: {publish: {deny: \"passbridge.closed\"}}}, \
        {user: bea, password: hush, permissions: {publish: \"passbridge.>\", subscribe: \"bea.>\"}}] }\nmax_payload: 4096";
    let mut server = NatsServer::start(rights).await.unwrap();
    server.login = json!({"user": "ada", "password": "hush"});
    let user = |user: &str| Login::User { user: user.to_owned(), password: secret("hush") };
    let place = Place { login: user("ada"), ..at(&server.url()) };
    let one = |subject: &str| [message(subject, "1")];
    assert_eq!(code(publish(&place, &one("passbridge.x")).await), Reason::NoStream);
    server.make(json!({"name": "EVENTS", "subjects": ["passbridge.>"], "max_msg_size": 2048})).await.unwrap();

    let sized = |subject: &str, size: usize| json!({"subject": subject, "headers": {}, "payload": "x".repeat(size)});
    let mut elsewhere = message("passbridge.x", "3");
    elsewhere["headers"]["Nats-Expected-Stream"] = json!("OTHERS");
    let messages = [
        message("passbridge.x", "2"),
        sized("passbridge.x", 5_000),
        sized("passbridge.x", 3_000),
        message("passbridge.closed", "4"),
        message("passbridge.>", "5"),
        message("passbridge.a b", "6"),
        message("$JS.API.STREAM.DELETE.EVENTS", "7"),
        message("nobody.listens", "8"),
        elsewhere,
        message("passbridge.x", "9"),
    ];
    let answers = publish(&place, &messages).await.unwrap();
    let codes: Vec<Option<Reason>> = answers
        .iter()
        .map(|answer| match answer {
            Answer::Kept { .. } => None,
            Answer::Refused(refused) => Some(refused.code),
        })
        .collect();
    let expected = [
        None,
        Some(Reason::TooLarge),
        Some(Reason::TooLarge),
        Some(Reason::NotAllowed),
        Some(Reason::BadSubject),
        Some(Reason::BadSubject),
        Some(Reason::BadSubject),
        Some(Reason::NoStream),
        Some(Reason::Declined),
        None,
    ];
    assert_eq!(codes, expected, "{answers:?}");
    for answer in &answers {
        let Answer::Refused(refused) = answer else { continue };
        assert!(!refused.safe().contains("passbridge."), "subjects are the user's: {}", refused.safe());
    }
    assert_eq!(server.messages("EVENTS").await.unwrap().len(), 2);

    // An account that may listen to its own inbox alone.
    let private = Place { login: user("bea"), ..place.clone() };
    let refused = publish(&private, &one("passbridge.x")).await;
    let Err(Unsent::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.safe().contains("`inbox`"), "{}", why.safe());
    assert!(is_kept(publish(&Place { inbox: "bea".to_owned(), ..private }, &one("passbridge.x")).await));

    let full = json!({"name": "FULL", "subjects": ["full"], "max_msgs": 1, "discard": "new"});
    server.make(full).await.unwrap();
    let answers = publish(&place, &[message("full", "a"), message("full", "b")]).await.unwrap();
    let [Answer::Kept { .. }, Answer::Refused(refused)] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(refused.code == Reason::Declined && refused.safe().contains("maximum messages"), "{}", refused.safe());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_jetstream_says_so() {
    let server = NatsServer::without_jetstream().await.unwrap();
    let answers = publish(&at(&server.url()), &[message("passbridge.x", "1")]).await.unwrap();
    let [Answer::Refused(refused)] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(refused.code == Reason::NoStream && refused.message.contains("JetStream"), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked() {
    let (ours, others) = (Authority::new("ours").unwrap(), Authority::new("others").unwrap());
    let pem = |authority: &Authority| {
        let base64 = base64::engine::general_purpose::STANDARD.encode(authority.root());
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    };
    let folder = tempfile::tempdir().unwrap();
    let server = async |host: &str, more: &str| {
        let leaf = ours.leaf(host, Fault::None).unwrap();
        let (certificate, key) = (folder.path().join(format!("{host}.pem")), folder.path().join(format!("{host}.key")));
        fs::write(&certificate, leaf.certificate).unwrap();
        fs::write(&key, leaf.key).unwrap();
        let server =
            NatsServer::start(&format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, {more} }}")).await.unwrap();
        format!("nats://localhost:{}", server.port).parse::<String>().map(|url| (server, url)).unwrap()
    };
    let one = [message("passbridge.x", "1")];
    let with = |url: &str, security, authority: &Authority| Place { security, authorities: Some(pem(authority)), ..at(url) };
    let reason = |outcome: Result<Vec<Answer>, Unsent>| match outcome {
        Err(Unsent::Failed(Failure::Tls { reason, .. })) => reason,
        other => panic!("{other:?}"),
    };
    let (_usual, url) = server("localhost", "").await;
    assert_eq!(code(publish(&with(&url, Security::Tls, &ours), &one).await), Reason::NoStream, "it is talked to");
    assert_eq!(reason(publish(&with(&url, Security::Tls, &others), &one).await), TlsReason::UnknownIssuer);
    assert_eq!(code(publish(&at(&url), &one).await), Reason::Unfit, "nothing is sent in the clear to one that wants TLS");
    let (_first, url) = server("localhost", "handshake_first: true").await;
    assert_eq!(code(publish(&with(&url, Security::TlsFirst, &ours), &one).await), Reason::NoStream);
    let (_other, url) = server("elsewhere.example.com", "").await;
    assert_eq!(reason(publish(&with(&url, Security::Tls, &ours), &one).await), TlsReason::WrongHost);
    let plain = NatsServer::start("").await.unwrap();
    assert_eq!(reason(publish(&with(&plain.url(), Security::Tls, &ours), &one).await), TlsReason::NotTls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_server_is_called_than_the_one_that_was_judged() {
    let (one, cluster) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let other = cluster.local_addr().unwrap();
    let url = format!("nats://{}", one.local_addr().unwrap());
    // It announces another server of its cluster in every way that there is, and leaves.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = one.accept().await {
            let info = json!({"server_id": "A", "headers": true, "jetstream": true, "max_payload": 1024, "ldm": true,
                "connect_urls": [other.to_string()], "host": "127.0.0.1", "port": other.port()});
            stream.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
            let mut seen = [0; 8];
            stream.read_exact(&mut seen).await.unwrap();
            stream.write_all(format!("PONG\r\nINFO {info}\r\n").as_bytes()).await.unwrap();
            stream.read_exact(&mut [0; 64]).await.unwrap();
        }
    });
    let outcome = publish(&at(&url), &[message("passbridge.x", "1")]).await;
    assert!(matches!(outcome, Err(Unsent::Failed(Failure::Reset { .. }))), "{outcome:?}");
    let called = tokio::time::timeout(Duration::from_millis(300), cluster.accept()).await;
    assert!(called.is_err(), "what it announced was called");

    let strict = Client::new(Settings::new(AddressPolicy::default(), Roots::only(&[]).unwrap())).unwrap();
    for forbidden in ["nats://127.0.0.1:4222", "nats://localhost", "nats://10.0.0.1", "nats://169.254.169.254"] {
        let outcome = nats::publish(&strict, &at(forbidden), &batch(&[message("x", "1")]), DEADLINE).await;
        assert!(matches!(outcome, Err(Unsent::Failed(Failure::Forbidden(_)))), "{forbidden}: {outcome:?}");
    }
    let policy = AddressPolicy::default();
    assert_eq!(nats::check(&policy, "nats://nats.example.com").unwrap().port, 4_222);
    for (url, says) in [
        ("https://nats.example.com", "nats://host:4222"),
        ("nats://nats.example.com/x", "nats://host:4222"),
        ("nats://u:hush@nats.example.com", "user name or password"),
        ("nats://nats.example.com:22", "port 22"),
        ("nats.example.com", "nats://host:4222"),
    ] {
        let refused = nats::check(&policy, url).unwrap_err().to_string();
        assert!(refused.contains(says) && !refused.contains("hush"), "{url}: {refused}");
    }
    let private = AddressPolicy { https_only: true, ..AddressPolicy::default() };
    let client = Client::new(Settings::new(private, Roots::only(&[]).unwrap())).unwrap();
    let outcome = nats::publish(&client, &at("nats://nats.example.com"), &batch(&[]), DEADLINE).await;
    assert!(matches!(outcome, Err(Unsent::Failed(Failure::Forbidden(_)))), "in the clear: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_servers_end_soon_and_within_bounds() {
    let one = [message("passbridge.x", "1")];
    let place = |sink: &support::Sink| at(&format!("nats://{}", sink.addr));
    let shell = support::Sink::start(|mut stream| async move {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").await.unwrap();
        support::until_closed(&mut stream).await;
    })
    .await;
    assert_eq!(code(publish(&place(&shell), &one).await), Reason::Unfit);
    let silent = support::Sink::start(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let outcome = nats::publish(&client(), &place(&silent), &batch(&one), Duration::from_millis(300)).await;
    assert!(matches!(outcome, Err(Unsent::Failed(Failure::Timeout { .. }))), "{outcome:?}");
    let endless = support::Sink::start(|mut stream| async move {
        let mut sent = stream.write_all(b"INFO ").await;
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 65_536]).await;
        }
    })
    .await;
    assert_eq!(code(publish(&place(&endless), &one).await), Reason::Unfit);
    // One that signs us in, and then says that a message of a gigabyte follows.
    let huge = support::Sink::start(|mut stream| async move {
        stream.write_all(b"INFO {\"server_id\":\"A\",\"headers\":true}\r\n").await.unwrap();
        stream.read_exact(&mut [0; 8]).await.unwrap();
        stream.write_all(b"PONG\r\nMSG _INBOX.A.0.0 1 1000000000\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(code(publish(&place(&huge), &one).await), Reason::Unfit);
}
