//! Rows in a real PostgreSQL: written once, by many at once, over TLS, and never to an address that may not be called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use outbound::{
    http::{Client, ConnectReason, Failure, Roots, Settings, TlsReason},
    policy::AddressPolicy,
    sql::{self, Batch, Place, Unwritten},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use testkit::postgres::Cluster;
use tokio::io::AsyncWriteExt as _;
use tokio_postgres::NoTls;
use zeroize::Zeroizing;

const DEADLINE: Duration = Duration::from_secs(20);

fn client() -> Client {
    let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    Client::new(Settings::new(policy, Roots::only(&[]).unwrap())).unwrap()
}

/// A database as its administrator sees it.
fn place(url: &str) -> Place {
    let (account, place) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (user, password) = account.split_once(':').unwrap();
    Place {
        url: format!("postgresql://{place}"),
        user: user.to_owned(),
        password: Zeroizing::new(password.to_owned()),
        tls: false,
        authorities: None,
    }
}

fn batch(rows: &str) -> Batch {
    serde_json::from_str(&format!(r#"{{"schema": "ev\"ents", "rows": [{rows}]}}"#)).unwrap()
}

/// The one row that a query finds, as text.
async fn one(url: &str, sql: &str) -> String {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let row = client.query_one(sql, &[]).await.unwrap();
    driver.abort();
    row.get(0)
}

/// Nothing of what is sent at once stays behind in the proxy's TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_through_a_proxy_over_tls() {
    let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
    let (client, proxy) = support::through_tls_proxy().await;
    let text = "x".repeat(100_000);
    let row = |id: u32| format!(r#"{{"table": "notes", "values": {{"id": "{id}", "text": "{text}"}}}}"#);
    let rows = (0..20).map(row).collect::<Vec<_>>().join(", ");
    sql::write(&client, &place(&url), &batch(&rows), DEADLINE).await.unwrap();
    let found = one(&url, "SELECT count(*)::text || ' ' || sum(length(text))::text FROM \"ev\"\"ents\".notes").await;
    assert_eq!((found.as_str(), proxy.asked().len()), ("20 2000000", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_written_once_and_states_only_forward() {
    let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
    let (client, place) = (client(), place(&url));
    let user = |version: u32, name: &str| {
        let values = format!(r#"{{"id": "u", "version": {version}, "na\"me": {name}}}"#);
        format!(r#"{{"table": "users", "newest_by": "version", "values": {values}}}"#)
    };
    let track = |id: &str, more: &str| {
        format!(r#"{{"table": "tracks", "values": {{"id": "{id}", "at": {{"time": "2026-11-20T10:00:00.5Z"}}{more}}}}}"#)
    };
    let first = batch(&[track("1", ""), track("2", r#", "total": 5"#), user(2, "\"Ada\"")].join(","));
    for _ in 0..2 {
        sql::write(&client, &place, &first, DEADLINE).await.unwrap();
    }
    let older = batch(
        &[track("1", r#", "total": {"number": "0.1"}"#), track("3", r#", "total": {"number": "0.30"}"#), user(1, "\"Bob\"")]
            .join(","),
    );
    sql::write(&client, &place, &older, DEADLINE).await.unwrap();
    let rows = r#"SELECT string_agg(concat_ws('|', id, at AT TIME ZONE 'UTC', total), ' ' ORDER BY id) FROM "ev""ents".tracks"#;
    assert_eq!(one(&url, rows).await, "1|2026-11-20 10:00:00.5 2|2026-11-20 10:00:00.5|5 3|2026-11-20 10:00:00.5|0.30");
    let name = r#"SELECT coalesce("na""me", 'nobody') FROM "ev""ents".users"#;
    assert_eq!(one(&url, name).await, "Ada");
    sql::write(&client, &place, &batch(&user(3, "null")), DEADLINE).await.unwrap();
    assert_eq!(one(&url, name).await, "nobody", "null clears");

    let wrong = batch(&[track("4", ""), track("5", r#", "at": "soon""#)].join(","));
    let soon = serde_json::to_value(&wrong).unwrap();
    assert_eq!(soon["rows"][1]["values"]["at"], "soon", "the later of two counts");
    sql::write(&client, &place, &wrong, DEADLINE).await.unwrap();
    let kind = "SELECT data_type::text FROM information_schema.columns WHERE table_name = 'tracks' AND column_name = 'at'";
    assert_eq!(one(&url, kind).await, "text", "a time and a word have text in common");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_make_the_same_tables_at_once() {
    let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
    let (client, place) = (client(), place(&url));
    let writing = (0..8).map(|writer| {
        let (client, place) = (client.clone(), place.clone());
        tokio::spawn(async move {
            for round in 0..3 {
                let values = format!(r#"{{"id": "{writer}-{round}", "c{round}": {writer}}}"#);
                let rows = batch(&format!(r#"{{"table": "tracks", "values": {values}}}"#));
                let mut tries = 0;
                // A writer who comes too late three times, or into a deadlock, is tried again as any other is.
                while let Err(error) = sql::write(&client, &place, &rows, DEADLINE).await {
                    tries += 1;
                    assert!(tries < 10, "{error:?}");
                }
            }
        })
    });
    for written in writing.collect::<Vec<_>>() {
        written.await.unwrap();
    }
    assert_eq!(one(&url, r#"SELECT count(*)::text FROM "ev""ents".tracks"#).await, "24");
}

#[tokio::test]
async fn refusals_name_the_reason_and_no_value() {
    let cluster = Cluster::shared().await.unwrap();
    let url = cluster.create_database().await.unwrap();
    let (client, place) = (client(), place(&url));
    let made = r#"CREATE SCHEMA "ev""ents"; CREATE TABLE "ev""ents".tracks (id text PRIMARY KEY, total integer)"#;
    testkit::postgres::execute(&url, made).await.unwrap();
    let refused = async |rows: &str| match sql::write(&client, &place, &batch(rows), DEADLINE).await {
        Err(Unwritten::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    };
    let word = refused(r#"{"table": "tracks", "values": {"id": "1", "total": "secret-word"}}"#).await;
    assert_eq!(word.sqlstate, "22P02");
    assert!(word.message.contains("secret-word") && !word.safe().contains("secret-word"), "{}", word.safe());
    let large = refused(r#"{"table": "tracks", "values": {"id": "1", "total": 3000000000}}"#).await;
    assert_eq!(large.sqlstate, "22003");
    testkit::postgres::execute(&url, r#"ALTER TABLE "ev""ents".tracks DROP CONSTRAINT tracks_pkey"#).await.unwrap();
    let keyless = refused(r#"{"table": "tracks", "values": {"id": "1", "total": 1}}"#).await;
    assert!(keyless.safe().contains("ON CONFLICT") && keyless.sqlstate == "42P10", "{}", keyless.safe());
    let nowhere = Place { url: place.url.replace("/test_", "/nothing_"), ..place.clone() };
    let outcome = sql::write(&client, &nowhere, &batch(""), DEADLINE).await;
    assert!(matches!(&outcome, Err(Unwritten::Refused(refused)) if refused.sqlstate == "3D000"), "{outcome:?}");
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn the_server_has_to_prove_itself() {
    let cluster = Cluster::start().await.unwrap();
    let url = cluster.create_database().await.unwrap();
    let (client, ours) = (client(), authority("ours"));
    let trusting = |pem: String| Place { tls: true, authorities: Some(pem), ..place(&url) };
    let rows = batch(r#"{"table": "tracks", "values": {"id": "1"}}"#);
    let reason = async |place: &Place| match sql::write(&client, place, &rows, DEADLINE).await {
        Err(Unwritten::Failed(Failure::Tls { reason, .. })) => Some(reason),
        Ok(()) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(&trusting(ours.pem())).await, Some(TlsReason::NotTls), "never in plain text instead");
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    cluster.take_tls(&certificate.pem(), &key.serialize_pem()).await.unwrap();
    // The server reads its configuration anew a moment after it was told to.
    while let Some(why) = reason(&trusting(ours.pem())).await {
        assert_eq!(why, TlsReason::NotTls);
    }
    assert_eq!(reason(&trusting(authority("a stranger").pem())).await, Some(TlsReason::UnknownIssuer));
    let other = trusting(ours.pem());
    let other = Place { url: other.url.replace("127.0.0.1", "localhost"), ..other };
    assert_eq!(reason(&other).await, Some(TlsReason::WrongHost));
    assert_eq!(reason(&trusting("no certificate".to_owned())).await, Some(TlsReason::BadCertificate));
}

#[tokio::test]
async fn only_allowed_addresses_are_called_and_nobody_holds_us_up() {
    let rows = batch(r#"{"table": "tracks", "values": {"id": "1"}}"#);
    let at = |url: &str| place(&format!("postgres://somebody:hush@{url}"));
    let strict = Client::new(Settings::new(AddressPolicy::default(), Roots::only(&[]).unwrap())).unwrap();
    for forbidden in
        ["127.0.0.1:5432/x", "10.0.0.1/x", "169.254.169.254:5432/x", "localhost/x", "[::1]:5432/x", "example.com:25/x"]
    {
        let outcome = sql::write(&strict, &at(forbidden), &rows, DEADLINE).await;
        assert!(matches!(outcome, Err(Unwritten::Failed(Failure::Forbidden(_)))), "{forbidden}: {outcome:?}");
    }
    let policy = AddressPolicy::default();
    policy.check_database("postgresql://db.example.com/analytics").unwrap();
    for wrong in [
        "https://db.example.com/x",
        "postgresql://db.example.com",
        "postgresql://u:p@db.example.com/x",
        "postgresql://h/a/b",
        "postgresql://h/a?b=c",
    ] {
        let refused = policy.check_database(wrong).unwrap_err().to_string();
        assert!(!refused.contains(":p@"), "{refused}");
    }

    let silent = support::Sink::start(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let outcome = sql::write(&client(), &at(&format!("{}/x", silent.addr)), &rows, Duration::from_millis(300)).await;
    assert!(matches!(outcome, Err(Unwritten::Failed(Failure::Timeout { .. }))), "{outcome:?}");

    // One that says that a message of a gigabyte follows, and sends it.
    let flood = support::Sink::start(|mut stream| async move {
        let mut head = vec![b'E'];
        head.extend_from_slice(&1_000_000_000_u32.to_be_bytes());
        let mut sent = stream.write_all(&head).await;
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 65_536]).await;
        }
    })
    .await;
    let outcome = sql::write(&client(), &at(&format!("{}/x", flood.addr)), &rows, DEADLINE).await;
    assert!(matches!(outcome, Err(Unwritten::Failed(Failure::Reset { .. }))), "{outcome:?}");

    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = sql::write(&client(), &at(&format!("{gone}/x")), &rows, DEADLINE).await;
    let refused = matches!(outcome, Err(Unwritten::Failed(Failure::Connect { reason: ConnectReason::Refused, .. })));
    assert!(refused, "{outcome:?}");
}
