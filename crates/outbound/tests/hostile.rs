//! Receivers with bad manners: each costs at most the deadline and the caps, and says what happened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use outbound::http::{ConnectReason, Failure, MAX_HEADERS, Phase, Protocol};
use outbound::policy::{AddressPolicy, Rule};
use support::{AMPLE, SHORT, Sink, client, client_speaking, post, read_request, settings, until_closed};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A time-out must come with the deadline, not long after it on a busy machine.
const LATE: Duration = Duration::from_secs(5);

async fn expect_timeout(url: &str, expected: Phase) -> Option<u16> {
    let started = Instant::now();
    match client().send(post(url), SHORT).await {
        Err(Failure::Timeout { phase, after, status }) => {
            assert_eq!(phase, expected);
            assert_eq!(after, SHORT.deadline);
            assert!(started.elapsed() >= SHORT.deadline && started.elapsed() < LATE, "{:?}", started.elapsed());
            status.map(|s| s.as_u16())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_polite_receiver_is_answered_and_its_connection_reused() {
    let sink = Sink::canned(b"HTTP/1.1 200 OK\r\nX-Id: 7\r\nContent-Length: 2\r\n\r\nok").await;
    let client = client();
    for _ in 0..5 {
        let reply = client.send(post(&sink.url()), AMPLE).await.unwrap();
        assert_eq!((reply.status.as_u16(), &reply.body[..], reply.body_truncated), (200, &b"ok"[..], false));
        assert_eq!(reply.headers["x-id"], "7");
        assert!(reply.elapsed > Duration::ZERO);
    }
    assert_eq!(sink.connections(), 1);
}

#[tokio::test]
async fn a_receiver_that_never_answers_costs_the_deadline() {
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    let sink = Sink::start(move |mut stream| {
        let closed = closed.clone();
        async move {
            until_closed(&mut stream).await;
            closed.send(()).unwrap();
        }
    })
    .await;
    assert_eq!(expect_timeout(&sink.url(), Phase::Answer).await, None);
    tokio::time::timeout(LATE, was_closed.recv()).await.expect("the connection is given up").unwrap();
}

#[tokio::test]
async fn a_receiver_that_never_accepts_costs_the_deadline() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    // Fill the backlog until the system answers nobody any more.
    let mut held = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(addr)).await {
        held.push(stream.unwrap());
        assert!(held.len() < 64, "the backlog never fills");
    }
    assert_eq!(expect_timeout(&format!("http://{addr}/"), Phase::Connect).await, None);
}

#[tokio::test]
async fn nobody_listening_is_said_at_once() {
    let addr = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    match client().send(post(&format!("http://{addr}/")), AMPLE).await {
        Err(failure @ Failure::Connect { reason: ConnectReason::Refused, .. }) => {
            assert_eq!(failure.code(), "connection_refused");
            assert!(!failure.may_have_arrived());
            assert!(failure.to_string().contains(&addr.port().to_string()));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_unknown_name_is_a_dns_failure() {
    match client().send(post("http://no-such-host.invalid/"), AMPLE).await {
        Err(Failure::Dns { host, .. }) => assert_eq!(host, "no-such-host.invalid"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn dripping_headers_and_bodies_end_with_the_deadline() {
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    for (head, phase, status) in [
        (&b"HTTP/1.1 200 OK\r\nX: "[..], Phase::Answer, None),
        (&b"HTTP/1.1 202 Accepted\r\nContent-Length: 100000\r\n\r\n"[..], Phase::Body, Some(202)),
        (&b"HTTP/1.1 100 Continue\r\n\r\n"[..], Phase::Answer, None),
    ] {
        let closed = closed.clone();
        let sink = Sink::start(move |mut stream| {
            let closed = closed.clone();
            async move {
                read_request(&mut stream).await;
                stream.write_all(head).await.unwrap();
                while stream.write_all(b"a").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                closed.send(()).unwrap();
            }
        })
        .await;
        if head.starts_with(b"HTTP/1.1 100") {
            // Stalls after the interim answer instead of dripping garbage.
            let stall = Sink::start(move |mut stream| async move {
                read_request(&mut stream).await;
                stream.write_all(head).await.unwrap();
                until_closed(&mut stream).await;
            })
            .await;
            assert_eq!(expect_timeout(&stall.url(), phase).await, None);
            continue;
        }
        assert_eq!(expect_timeout(&sink.url(), phase).await, status);
        tokio::time::timeout(LATE, was_closed.recv()).await.expect("the slot is freed").unwrap();
    }
}

#[tokio::test]
async fn interim_answers_without_end_end_with_the_deadline() {
    let sink = Sink::start(|mut stream| async move {
        read_request(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() {}
    })
    .await;
    assert_eq!(expect_timeout(&sink.url(), Phase::Answer).await, None);
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_cap() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let (closed, mut was_closed) = mpsc::unbounded_channel();
        let sink = Sink::start(move |mut stream| {
            let closed = closed.clone();
            async move {
                read_request(&mut stream).await;
                stream.write_all(head.as_bytes()).await.unwrap();
                let piece = if head.contains("chunked") { &b"5\r\nhello\r\n"[..] } else { &b"hello hello"[..] };
                let mut sent = 0_usize;
                while stream.write_all(piece).await.is_ok() {
                    sent += piece.len();
                }
                closed.send(sent).unwrap();
            }
        })
        .await;
        let reply = client().send(post(&sink.url()), AMPLE).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.body.len(), reply.body_truncated), (200, 4096, true));
        let sent = tokio::time::timeout(LATE, was_closed.recv()).await.expect("the connection is dropped").unwrap();
        assert!(sent < 64 << 20, "{sent} bytes went out");
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_cap_is_whole() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n{}", "x".repeat(4096));
    let sink = Sink::canned(answer.leak().as_bytes()).await;
    let client = client();
    for _ in 0..2 {
        let reply = client.send(post(&sink.url()), AMPLE).await.unwrap();
        assert_eq!((reply.body.len(), reply.body_truncated), (4096, false));
    }
    assert_eq!(sink.connections(), 1, "a whole answer leaves the connection usable");
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let endless = Sink::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
        while stream.write_all(&[b'a'; 4096]).await.is_ok() {}
    })
    .await;
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "A: b\r\n".repeat(MAX_HEADERS));
    let many = Sink::canned(many.leak().as_bytes()).await;
    for sink in [endless, many] {
        let failure = client().send(post(&sink.url()), AMPLE).await.unwrap_err();
        assert_eq!(failure, Failure::HeadersTooLarge);
        assert!(failure.may_have_arrived());
    }
}

#[tokio::test]
async fn early_ends_are_resets_with_their_phase() {
    for (sent, phase, status) in [
        (&b""[..], Phase::Answer, None),
        (&b"HTTP/1.1 200 OK\r\nContent-Le"[..], Phase::Answer, None),
        (&b"HTTP/1.1 201 Created\r\nContent-Length: 50\r\n\r\nshort"[..], Phase::Body, Some(201)),
        (&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"[..], Phase::Body, Some(200)),
    ] {
        for reset in [false, true] {
            let sink = Sink::start(move |mut stream| async move {
                read_request(&mut stream).await;
                stream.write_all(sent).await.unwrap();
                stream.flush().await.unwrap();
                // Let the client read the beginning before the reset throws it away.
                tokio::time::sleep(Duration::from_millis(50)).await;
                if reset {
                    stream.set_zero_linger().unwrap();
                }
            })
            .await;
            match client().send(post(&sink.url()), AMPLE).await {
                Err(Failure::Reset { phase: p, status: s }) => {
                    assert_eq!((p, s.map(|s| s.as_u16())), (phase, status), "{sent:?} {reset}");
                }
                other => panic!("{sent:?} {reset}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_failure() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n",
    ] {
        let sink = Sink::canned(answer).await;
        match client().send(post(&sink.url()), AMPLE).await {
            Err(failure @ Failure::Protocol { phase: Phase::Answer, .. }) => assert_eq!(failure.code(), "protocol"),
            other => panic!("{}: {other:?}", String::from_utf8_lossy(answer)),
        }
    }
}

#[tokio::test]
async fn more_than_the_promised_length_poisons_nothing() {
    let sink = Sink::canned(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Smuggled\r\n\r\n").await;
    let client = client();
    for _ in 0..3 {
        let reply = client.send(post(&sink.url()), AMPLE).await.unwrap();
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"ok"[..]));
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let sink = Sink::canned(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").await;
    let reply = client().send(post(&sink.url()), AMPLE).await.unwrap();
    assert_eq!(reply.status.as_u16(), 301);
    assert_eq!(sink.connections(), 1);
}

#[tokio::test]
async fn a_pooled_connection_that_the_peer_closed_is_replaced() {
    let sink = Sink::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        // Keep-alive was implied; close all the same.
    })
    .await;
    let client = client();
    for expected in 1..=3 {
        client.send(post(&sink.url()), AMPLE).await.unwrap();
        assert_eq!(sink.connections(), expected);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_connection_is_not_shared_by_an_answer_that_never_ends() {
    let sink = Sink::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n").await.unwrap();
        until_closed(&mut stream).await;
    })
    .await;
    let client = client();
    assert!(matches!(client.send(post(&sink.url()), SHORT).await, Err(Failure::Timeout { phase: Phase::Body, .. })));
    assert!(matches!(client.send(post(&sink.url()), SHORT).await, Err(Failure::Timeout { phase: Phase::Body, .. })));
    assert_eq!(sink.connections(), 2);
}

#[tokio::test]
async fn http2_floods_and_goodbyes_are_bounded() {
    // SETTINGS, then: GOAWAY | RST_STREAM of stream 1 | PINGs without end | SETTINGS without end.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    let reset = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    for (frame, endless) in [(&goaway[..], false), (&reset[..], false), (&ping[..], true), (&settings[..], true)] {
        let frame = frame.to_vec();
        let sink = Sink::start(move |mut stream| {
            let frame = frame.clone();
            async move {
                let mut hello = [0; 512];
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut hello).await;
                stream.write_all(&settings).await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
                while stream.write_all(&frame).await.is_ok() && endless {}
                until_closed(&mut stream).await;
            }
        })
        .await;
        let started = Instant::now();
        let failure = client_speaking(Protocol::Http2).send(post(&sink.url()), SHORT).await.unwrap_err();
        assert!(
            matches!(failure, Failure::Protocol { .. } | Failure::Reset { .. } | Failure::Timeout { phase: Phase::Answer, .. }),
            "{failure:?}"
        );
        assert!(started.elapsed() < LATE);
    }
}

#[tokio::test]
async fn a_name_of_this_machine_is_refused_where_it_is_dialled() {
    let sink = Sink::canned(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let url = format!("http://localhost:{}/", sink.addr.port());
    assert_eq!(client().send(post(&url), AMPLE).await.unwrap().status.as_u16(), 200);

    let strict = outbound::http::Settings { policy: AddressPolicy::default(), ..settings() };
    let strict = outbound::http::Client::new(strict).unwrap();
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    for url in [url, sink.url(), format!("http://{}:{}/", hostname.trim(), sink.addr.port())] {
        match strict.send(post(&url), AMPLE).await {
            Err(Failure::Forbidden(refusal)) => {
                assert!(matches!(refusal.rule, Rule::Address(_)), "{refusal}");
            }
            Err(Failure::Dns { .. }) if url.contains(hostname.trim()) => {}
            other => panic!("{url}: {other:?}"),
        }
    }
    assert_eq!(sink.connections(), 1);
}
