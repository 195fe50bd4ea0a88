//! Events live: nothing skipped, nothing told twice.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::server::{NOW, Server};

/// A message of a stream.
#[derive(Debug, Default)]
struct Message {
    event: String,
    id: String,
    data: Value,
}

async fn stream(server: &Server, key: &str, query: &str, last: &str) -> Vec<Message> {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("last-event-id", last)];
    let headers = if last.is_empty() { &headers[..1] } else { &headers };
    let reply = server.send("GET", &format!("/v1/events/stream?for_seconds=1{query}"), headers, "").await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "text/event-stream"), "{}", reply.text());
    let read = |block: &str| {
        let mut message = Message::default();
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("event", event)) => message.event = event.to_owned(),
                Some(("id", id)) => message.id = id.to_owned(),
                Some(("data", data)) => message.data = serde_json::from_str(data).unwrap(),
                _ => {}
            }
        }
        message
    };
    reply.text().split("\n\n").map(read).filter(|message| !message.event.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_was_and_tells_nothing_twice() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let feed = server.get("/v1/events?limit=100").await.expect(200);
    let all: Vec<_> = feed["data"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
    assert!(all.len() >= 3, "{feed}");
    let first = server.get("/v1/events?limit=1").await.expect(200);
    let after_first = format!("&cursor={}", first["next_cursor"].as_str().unwrap());
    let told = stream(&server, &server.admin, &after_first, "").await;
    assert_eq!(
        told.iter().map(|message| message.data["id"].clone()).collect::<Vec<_>>(),
        all[1..],
        "what the feed has, in its order"
    );
    assert!(told.iter().all(|message| message.data["type"] == json!(message.event)));
    let rest = stream(&server, &server.admin, "", &told[0].id).await;
    assert_eq!(rest.iter().map(|message| message.data["id"].clone()).collect::<Vec<_>>(), all[2..]);
    let resumed = server.get(&format!("/v1/events?cursor={}", told[0].id)).await.expect(200);
    assert_eq!(resumed["data"][0]["id"], all[2], "an id is a cursor of the feed");
    assert!(stream(&server, &server.admin, "", &told[told.len() - 1].id).await.is_empty());
    assert!(stream(&server, &server.admin, "", "").await.is_empty(), "without a place only what happens from now on");

    // Passes are issued for as long as it is open: whenever it begins, some are news to it.
    let mut issued = Vec::new();
    let live = stream(&server, &server.admin, "&types=pass.created", "");
    tokio::pin!(live);
    let live = loop {
        let issue = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let external_id = format!("live-{}", issued.len());
            server.post("/v1/passes", json!({"project": things.id("project"), "external_id": external_id})).await.expect(201)
        };
        tokio::select! {
            told = &mut live => break told,
            pass = issue => issued.push(pass["id"].clone()),
        }
    };
    let first = issued.iter().position(|id| live.first().is_some_and(|message| message.data["pass"] == *id));
    let first = first.expect("it is told of what happens from then on");
    for (message, id) in live.iter().zip(&issued[first..]) {
        assert_eq!((&message.data["pass"], message.event.as_str()), (id, "pass.created"), "each once, in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_requests_is_signed() {
    let server = Server::start().await;
    server.furnish().await;
    let first = server.get("/v1/events?limit=1").await.expect(200);
    let query = format!("&dialect=passkit&cursor={}", first["next_cursor"].as_str().unwrap());
    let told = stream(&server, &server.admin, &query, "").await;
    let secret: connectors::kit::Secret = told[0].data["secret"].as_str().unwrap().parse().unwrap();
    assert_eq!(told[0].event, "ready");
    let requests: Vec<_> = told.iter().filter(|message| message.event == "request").collect();
    assert!(!requests.is_empty());
    for message in requests {
        let (headers, body) = (&message.data["headers"], message.data["body"].as_str().unwrap());
        let given = headers["x-passkit-signature"].as_str().unwrap();
        assert!(connectors::kit::signature::is_hex_hmac(&secret, body.as_bytes(), given), "{message:?}");
        assert!(headers["webhook-signature"].as_str().unwrap().starts_with("v1,"));
    }
    let again = stream(&server, &server.admin, "&dialect=native", "").await;
    assert_eq!(again[0].data["secret"], told[0].data["secret"], "the same for the key");
    let other = server.key(server.ours, &[domain::Scope::PassesRead]).await;
    assert_ne!(stream(&server, &other, "&dialect=native", "").await[0].data["secret"], told[0].data["secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_wishes_are_refused() {
    let server = Server::start().await;
    let bearer = format!("Bearer {}", server.admin);
    for (query, last, part) in [
        ("types=pass.made", "", "pass.made"),
        ("dialect=fax", "", "dialect"),
        ("for_seconds=0", "", "for_seconds"),
        ("cursor=AAAA", "", "cursor"),
        ("for_seconds=1", "nonsense", "cursor"),
    ] {
        let headers = [("authorization", bearer.as_str()), ("last-event-id", last)];
        let headers = if last.is_empty() { &headers[..1] } else { &headers };
        let reply = server.send("GET", &format!("/v1/events/stream?{query}"), headers, "").await;
        assert_eq!(reply.problem(400), "invalid_parameter", "{query}");
        assert!(reply.text().contains(part), "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_before_anything_happened_misses_nothing() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let bearer = format!("Bearer {}", server.admin);
    for (number, shape) in ["", "&dialect=native"].into_iter().enumerate() {
        let path = format!("/v1/events/stream?for_seconds=1{shape}");
        let silent = server.send("GET", &path, &[("authorization", &bearer)], "").await.text().to_owned();
        let place = silent.lines().find_map(|line| line.strip_prefix("id: ")).unwrap_or_else(|| panic!("{shape}: {silent}"));
        let issue = json!({"project": things.id("project"), "external_id": format!("between-{number}")});
        server.post("/v1/passes", issue).await.expect(201);
        let told = stream(&server, &server.admin, shape, place).await;
        assert!(told.iter().any(|message| message.event == "pass.created" || !message.data["body"].is_null()), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_key() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let key = server
        .key_with(server.ours, |key| {
            key.scopes = vec![domain::Scope::PassesRead];
            key.expires_at = Some(NOW.plus(Duration::from_secs(3_600)));
        })
        .await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let ask = format!("GET /v1/events/stream?for_seconds=20 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n");
    tcp.write_all(ask.as_bytes()).await.unwrap();
    let mut told = String::new();
    let mut read = async |until: &str, issue: &str| {
        server.post("/v1/passes", json!({"project": things.id("project"), "external_id": issue})).await.expect(201);
        let mut bytes = [0; 4_096];
        while !told.contains(until) {
            let count = tcp.read(&mut bytes).await.unwrap();
            assert!(count > 0, "{told}");
            told.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        std::mem::take(&mut told)
    };
    read("text/event-stream", "early").await;
    assert!(read("\"while-it-holds\"", "while-it-holds").await.contains("pass.created"));
    server.forward(Duration::from_secs(3_600));
    let rest = read("0\r\n\r\n", "too-late").await;
    assert!(!rest.contains("too-late"), "{rest}");
}
