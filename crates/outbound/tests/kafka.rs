//! Records for librdkafka's mock of a Kafka cluster, read by librdkafka's consumer, and for brokers that say other things than
//! it does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{collections::BTreeMap, time::Duration};

use outbound::{
    http::{Client, Failure, Roots, Settings},
    policy::AddressPolicy,
    stream::{
        Answer, Batch, Reason, Security, Unsent,
        kafka::{self, Login, Mechanism, Place},
    },
};
use serde_json::{Value, json};
use testkit::kafka::KafkaMock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use zeroize::Zeroizing;

const DEADLINE: Duration = Duration::from_secs(20);

fn client() -> Client {
    let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    Client::new(Settings::new(policy, Roots::only(&[]).unwrap())).unwrap()
}

fn at(url: &str) -> Place {
    Place { url: url.to_owned(), login: None, security: Security::Plain, authorities: None }
}

fn message(topic: &str, key: &str, id: usize) -> Value {
    json!({"subject": topic, "key": key, "at": 1_800_000_000_000_i64 + id as i64, "headers": {"event-id": id.to_string()},
        "payload": {"id": id}})
}

fn batch(messages: &[Value]) -> Batch {
    serde_json::from_value(json!({ "messages": messages })).unwrap()
}

async fn publish(place: &Place, messages: &[Value]) -> Result<Vec<Answer>, Unsent> {
    kafka::publish(&client(), place, &batch(messages), DEADLINE).await
}

fn codes(answers: &[Answer]) -> Vec<Option<Reason>> {
    let code = |answer: &Answer| match answer {
        Answer::Kept { .. } => None,
        Answer::Refused(refused) => Some(refused.code),
    };
    answers.iter().map(code).collect()
}

/// Each broker is reached by the proxy, and nothing of what is sent at once stays behind in the proxy's TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_through_a_proxy_over_tls() {
    let cluster = KafkaMock::start().await.unwrap();
    cluster.make("wallets.events").await.unwrap();
    let (client, proxy) = support::through_tls_proxy().await;
    let mut messages: Vec<Value> = (0..60).map(|number| message("wallets.events", &format!("pass-{number}"), number)).collect();
    for large in &mut messages {
        large["payload"]["text"] = json!("x".repeat(8_192));
    }
    let answers = kafka::publish(&client, &at(&cluster.url()), &batch(&messages), DEADLINE).await.unwrap();
    assert!(codes(&answers).iter().all(Option::is_none), "{answers:?}");
    assert_eq!(cluster.records("wallets.events").await.unwrap().len(), 60);
    assert!(!proxy.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_stand_in_the_partition_of_their_key_in_their_order() {
    let cluster = KafkaMock::start().await.unwrap();
    cluster.make("wallets.events").await.unwrap();
    let messages: Vec<Value> =
        (0..400).map(|number| message("wallets.events", &format!("pass-{}", number % 20), number)).collect();
    let answers = publish(&at(&cluster.url()), &messages).await.unwrap();
    let held = cluster.records("wallets.events").await.unwrap();
    assert_eq!(held.len(), 400);
    let mut of_key: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for record in &held {
        of_key.entry(record["key"].as_str().unwrap()).or_default().push(record);
    }
    assert_eq!(of_key.len(), 20);
    for (key, records) in &of_key {
        let theirs = cluster.partition("wallets.events", key).await.unwrap();
        assert!(records.iter().all(|record| record["partition"] == theirs), "{key} is in {theirs} by their own producer");
        let ids: Vec<usize> =
            records.iter().map(|record| record["headers"]["event-id"].as_str().unwrap().parse().unwrap()).collect();
        assert!(ids.len() == 20 && ids.is_sorted(), "{key}: {ids:?}");
    }
    for record in &held {
        let id: usize = record["headers"]["event-id"].as_str().unwrap().parse().unwrap();
        let Answer::Kept { stream, number, .. } = &answers[id] else { panic!("{:?}", answers[id]) };
        assert_eq!((stream, json!(number)), (&format!("wallets.events/{}", record["partition"]), record["offset"].clone()));
        assert_eq!(
            (&record["value"], &record["timestamp"]),
            (&json!(format!(r#"{{"id":{id}}}"#)), &json!(1_800_000_000_000_i64 + id as i64))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cluster_does_not_take_is_said_message_by_message() {
    let cluster = KafkaMock::start().await.unwrap();
    cluster.make("there").await.unwrap();
    let messages = [message("there", "a", 1), message("not.there", "a", 2), message("a b", "a", 3), message("there", "a", 4)];
    let answers = publish(&at(&cluster.url()), &messages).await.unwrap();
    let expected = [None, Some(Reason::NoStream), Some(Reason::BadSubject), None];
    assert_eq!(codes(&answers), expected, "{answers:?}");
    assert_eq!(cluster.records("there").await.unwrap().len(), 2);
    let again = publish(&at(&cluster.url()), &messages[1..2]).await.unwrap();
    assert_eq!(codes(&again), [Some(Reason::NoStream)], "asking for a topic makes none");

    // The mock knows no SASL and ends the connection.
    let login = Login { mechanism: Mechanism::ScramSha256, user: "ada".to_owned(), password: Zeroizing::new("hush".to_owned()) };
    let outcome = publish(&Place { login: Some(login), ..at(&cluster.url()) }, &messages[..1]).await;
    assert!(outcome.is_err(), "{outcome:?}");
}

/// A broker that answers each request, by its number, with what stands here: the bytes after the correlation id.
async fn broker(answers: Vec<(i16, Vec<u8>)>) -> (String, tokio::sync::mpsc::UnboundedReceiver<(i16, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("kafka://{}", listener.local_addr().unwrap());
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut answers, tell) = (std::collections::VecDeque::from(answers.clone()), tell.clone());
            tokio::spawn(async move {
                while let Ok((api, body)) = request(&mut stream).await {
                    let correlation: [u8; 4] = body[4..8].try_into().unwrap();
                    let _ = tell.send((api, body));
                    let at = answers.iter().position(|(number, _)| *number == api);
                    let Some((_, answer)) = at.and_then(|at| answers.remove(at)) else { return };
                    let length = i32::try_from(answer.len() + 4).unwrap();
                    let whole = [&length.to_be_bytes()[..], &correlation, &answer].concat();
                    stream.write_all(&whole).await.unwrap();
                }
            });
        }
    });
    (url, told)
}

async fn request(stream: &mut TcpStream) -> std::io::Result<(i16, Vec<u8>)> {
    let length = stream.read_i32().await?;
    let mut body = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut body).await?;
    Ok((i16::from_be_bytes([body[0], body[1]]), body))
}

fn text(text: &str) -> Vec<u8> {
    [&i16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

/// Metadata of a cluster with one broker and one topic `t` of one partition.
fn metadata(host: &str, port: i32) -> Vec<u8> {
    let mut all = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    all.extend(text(host));
    all.extend(port.to_be_bytes());
    all.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0]);
    all.extend(text("t"));
    all.extend([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    all.extend([0; 12]);
    all
}

fn produced(code: i16) -> Vec<u8> {
    let mut all = vec![0, 0, 0, 1];
    all.extend(text("t"));
    all.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    all.extend(code.to_be_bytes());
    all.extend([0; 24]);
    all.extend([0; 4]);
    all
}

const METADATA: i16 = 3;
const PRODUCE: i16 = 0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_named_are_judged_like_the_configured_one() {
    let strict = Client::new(Settings::new(AddressPolicy::default(), Roots::only(&[]).unwrap())).unwrap();
    for forbidden in ["kafka://127.0.0.1:9092", "kafka://localhost", "kafka://10.0.0.1", "kafka://[::1]:9092"] {
        let outcome = kafka::publish(&strict, &at(forbidden), &batch(&[message("t", "k", 1)]), DEADLINE).await;
        assert!(matches!(outcome, Err(Unsent::Failed(Failure::Forbidden(_)))), "{forbidden}: {outcome:?}");
    }
    for (host, port) in
        [("169.254.169.254", 9_092), ("10.1.2.3", 9_092), ("fd00::1", 9_092), ("127.0.0.1", 22), ("0x7f.1", 9_092), ("a b", 1)]
    {
        let (url, _told) = broker(vec![(METADATA, metadata(host, port))]).await;
        let answers = publish(&at(&url), &[message("t", "k", 1)]).await.unwrap();
        let [Answer::Refused(refused)] = answers.as_slice() else { panic!("{answers:?}") };
        assert!(refused.code == Reason::Unfit && refused.safe().contains("not called"), "{host}: {}", refused.safe());
    }
    assert_eq!(kafka::check(&AddressPolicy::default(), "kafka://kafka.example.com").unwrap().port, 9_092);
    let refused = kafka::check(&AddressPolicy::default(), "kafka://u:hush@kafka.example.com").unwrap_err().to_string();
    assert!(refused.contains("user name or password") && !refused.contains("hush"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_is_sent_in_halves() {
    // Of four records: all refused, the first half taken, the third alone refused, the fourth taken.
    let answers = [10, 10, 0, 0, 10, 10, 0].map(|code| (PRODUCE, produced(code)));
    let (leader, mut told) = broker(answers.to_vec()).await;
    let led = i32::from(leader.rsplit(':').next().unwrap().parse::<u16>().unwrap());
    let (url, _first) = broker(vec![(METADATA, metadata("127.0.0.1", led))]).await;
    let messages: Vec<Value> = (0..4).map(|number| message("t", "k", number)).collect();
    let outcome = publish(&at(&url), &messages).await.unwrap();
    // 4 → too large; 2 → too large; 1 → taken; 1 → taken; 2 → too large; 1 → too large for good; 1 → taken.
    assert_eq!(codes(&outcome), [None, None, Some(Reason::TooLarge), None]);
    let mut requests = 0;
    while let Ok((api, body)) = told.try_recv() {
        assert_eq!((api, &body[2..4]), (PRODUCE, &[0, 7][..]));
        requests += 1;
    }
    assert_eq!(requests, 7);
    for (code, reason) in
        [(29, Reason::NotAllowed), (3, Reason::NoStream), (19, Reason::Declined), (6, Reason::Declined), (99, Reason::Declined)]
    {
        let (leader, _told) = broker(vec![(PRODUCE, produced(code))]).await;
        let led = i32::from(leader.rsplit(':').next().unwrap().parse::<u16>().unwrap());
        let (url, _first) = broker(vec![(METADATA, metadata("127.0.0.1", led))]).await;
        assert_eq!(codes(&publish(&at(&url), &messages[..1]).await.unwrap()), [Some(reason)], "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_in_by_plain_says_it_as_the_rfc_wants_and_refusals_are_told() {
    const HANDSHAKE: i16 = 17;
    const AUTHENTICATE: i16 = 36;
    let login = |mechanism| Login { mechanism, user: "ada".to_owned(), password: Zeroizing::new("hush".to_owned()) };
    let with = |url: &str, mechanism| Place { login: Some(login(mechanism)), ..at(url) };
    let one = [message("t", "k", 1)];
    let known = [&[0, 0, 0, 0, 0, 1][..], &text("PLAIN")].concat();
    let refusal = [&[0, 58][..], &text("Authentication failed"), &[0, 0, 0, 0]].concat();
    let (url, mut told) = broker(vec![(HANDSHAKE, known), (AUTHENTICATE, refusal)]).await;
    let outcome = publish(&with(&url, Mechanism::Plain), &one).await;
    let Err(Unsent::Refused(refused)) = outcome else { panic!("{outcome:?}") };
    assert!(refused.code == Reason::NotAllowed && refused.safe().contains("Authentication failed"), "{}", refused.safe());
    let (_, handshake) = told.try_recv().unwrap();
    assert!(handshake.ends_with(&text("PLAIN")));
    let (_, shown) = told.try_recv().unwrap();
    assert!(shown.ends_with(b"\0\0\0\x09\0ada\0hush"), "{shown:?}");

    let unknown = [&[0, 33, 0, 0, 0, 1][..], &text("PLAIN")].concat();
    let (url, _told) = broker(vec![(HANDSHAKE, unknown)]).await;
    let outcome = publish(&with(&url, Mechanism::ScramSha512), &one).await;
    let Err(Unsent::Refused(refused)) = outcome else { panic!("{outcome:?}") };
    assert!(refused.safe().contains("SCRAM-SHA-512, but PLAIN"), "{}", refused.safe());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_brokers_end_soon_and_within_bounds() {
    let one = [message("t", "k", 1)];
    let place = |sink: &support::Sink| at(&format!("kafka://{}", sink.addr));
    let web = support::Sink::start(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        support::until_closed(&mut stream).await;
    })
    .await;
    let outcome = publish(&place(&web), &one).await;
    assert!(matches!(&outcome, Err(Unsent::Refused(refused)) if refused.code == Reason::Unfit), "{outcome:?}");
    let silent = support::Sink::start(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let outcome = kafka::publish(&client(), &place(&silent), &batch(&one), Duration::from_millis(300)).await;
    assert!(matches!(outcome, Err(Unsent::Failed(Failure::Timeout { .. }))), "{outcome:?}");
    // Two thousand million brokers.
    let (url, _told) = broker(vec![(METADATA, vec![0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 1])]).await;
    let outcome = publish(&at(&url), &one).await;
    assert!(matches!(&outcome, Err(Unsent::Refused(refused)) if refused.code == Reason::Unfit), "{outcome:?}");
}
