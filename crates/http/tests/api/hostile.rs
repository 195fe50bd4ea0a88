//! Oversized, malformed and wrongly typed input: always a 4xx that says where, never a 5xx.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::server::{Server, png};

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_get_a_4xx() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let bearer = format!("Bearer {}", server.admin);
    let post = async |content_type: &str, body: Vec<u8>| {
        server.send("POST", "/v1/contacts", &[("authorization", &bearer), ("content-type", content_type)], body).await
    };
    let json_type = "application/json";
    assert_eq!(post(json_type, b"{".to_vec()).await.problem(400), "malformed");
    assert_eq!(post(json_type, b"\xff\xfe".to_vec()).await.problem(400), "malformed");
    assert_eq!(post(json_type, br#"{"email":"\ud800"}"#.to_vec()).await.status.as_u16() / 100, 4, "a lone surrogate");
    assert_eq!(post("text/plain", b"{}".to_vec()).await.problem(415), "unsupported_media_type");
    assert_eq!(post(json_type, vec![b' '; (1 << 20) + 1]).await.problem(413), "too_large");
    assert_eq!(post(json_type, "[".repeat(100_000).into_bytes()).await.status.as_u16() / 100, 4, "deep nesting");
    assert_eq!(post(json_type, br#"{"email": 5}"#.to_vec()).await.json()["errors"][0]["path"], "email");
    for body in ["null", "[]", "7", "\"x\"", "{\"traits\": {\"a\": [1]}}", "{\"email\": 1e999}"] {
        assert_eq!(post(json_type, body.into()).await.status.as_u16() / 100, 4, "{body}");
    }
    let project = things.id("project");
    for odd in [
        json!({"project": project, "external_id": "\u{0}"}),
        json!({"project": project, "external_id": "x".repeat(100_000)}),
        json!({"project": project, "fields": {"tier": "\u{0}\u{fffd}"}}),
        json!({"project": project, "fields": {"tier": "x".repeat(10_000)}}),
        json!({"project": project, "fields": {"tier": u64::MAX}}),
        json!({"project": project, "uses_limit": u64::MAX}),
        json!({"project": project, "uses_limit": -1}),
        json!({"project": project, "balances": {"points": 1e300}}),
        json!({"project": project, "balances": {"points": "99999999999999"}}),
        json!({"project": project, "expires_at": "9999-12-31T23:59:59Z"}),
        json!({"project": project, "expires_at": "-009999-01-01T00:00:00Z"}),
        json!({"project": project, "expires_at": "2026-11-20"}),
        json!({"project": "zzzzzzzzzzzzzzzzzzzzzz"}),
        json!({"project": project, "contact": {"email": "\u{0}@x"}}),
        json!({"project": project, "contact": {"name": "x"}}),
        json!({"project": project, "utm": {"source": "\u{0}"}, "referrer": "\u{1f600}"}),
    ] {
        let reply = server.post("/v1/passes", odd.clone()).await;
        assert!(!reply.status.is_server_error(), "{odd}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_addresses_get_a_4xx() {
    let server = Server::start().await;
    server.furnish().await;
    for (path, code) in [
        ("/v1/passes?limit=0", "invalid_parameter"),
        ("/v1/passes?limit=101", "invalid_parameter"),
        ("/v1/passes?limit=99999999999999999999", "invalid_parameter"),
        ("/v1/passes?limit=1&limit=2", "invalid_parameter"),
        ("/v1/passes?cursor=%00", "invalid_parameter"),
        ("/v1/passes?colour=red", "invalid_parameter"),
        ("/v1/passes?project=x", "invalid_parameter"),
    ] {
        assert_eq!(server.get(path).await.problem(400), code, "{path}");
    }
    for path in
        ["/v1/passes/x", "/v1/passes/%00", "/v1/passes/%ff", "/v1/nothing", "/nothing", "/v1/images/zz", "/images/x/y.png"]
    {
        assert_eq!(server.get(path).await.problem(404), "not_found", "{path}");
    }
    let reply = server.call(&server.admin, "PUT", "/v1/passes", &json!({})).await;
    assert_eq!(reply.problem(405), "method_not_allowed");
    assert!(reply.header("allow").contains("POST"));
    let bearer = format!("Bearer {}", server.admin);
    let long = "k".repeat(256);
    let reply = server.send("POST", "/v1/contacts", &[("authorization", &bearer), ("idempotency-key", &long)], "").await;
    assert_eq!(reply.problem(400), "invalid_parameter");
    let reply = server.send("GET", "/v1/passes", &[("authorization", &bearer), ("passbridge-organization", "x")], "").await;
    assert_eq!(reply.problem(400), "invalid_parameter");
}

/// A PNG whose pixels unpack to so many zeros, whatever its header says.
fn overlong(zeros: usize) -> Vec<u8> {
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![0; zeros]).unwrap();
    let packed = packed.finish().unwrap();
    let png = png();
    let at = png.windows(4).position(|name| name == b"IDAT").unwrap();
    let mut bomb = png[..at - 4].to_vec();
    for (name, data) in [(b"IDAT", packed.as_slice()), (b"IEND", &[])] {
        let named = [name.as_slice(), data].concat();
        bomb.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        bomb.extend_from_slice(&named);
        bomb.extend_from_slice(&crc32fast::hash(&named).to_be_bytes());
    }
    bomb
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_before_they_are_unpacked() {
    let server = Server::start().await;
    let bearer = format!("Bearer {}", server.admin);
    let upload = async |media: &str, bytes: Vec<u8>| {
        server.send("POST", "/v1/images", &[("authorization", &bearer), ("content-type", media)], bytes).await
    };
    let mut bomb = png();
    bomb[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let sum = crc32fast::hash(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&sum);
    let refused = upload("image/png", bomb).await;
    assert_eq!(refused.problem(422), "invalid");
    assert!(refused.text().contains("60000"));
    // One pixel by its header, and 64 MiB of rows: what it says of itself is not believed, and no more is unpacked than it needs.
    let refused = upload("image/png", overlong(64 << 20)).await;
    assert_eq!(refused.problem(422), "invalid");
    assert!(refused.text().contains("unpacks to more"), "{}", refused.text());
    assert_eq!(upload("image/png", vec![0; (4 << 20) + 1]).await.problem(413), "too_large");
    assert_eq!(upload("image/png", b"GIF89a".to_vec()).await.problem(422), "invalid");
    assert_eq!(upload("image/jpeg", png()).await.problem(415), "unsupported_media_type");
    assert_eq!(upload("image/png", png()).await.expect(201)["width"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_pages_answer_with_their_headers() {
    let server = Server::start().await;
    for (path, content_type) in [
        ("/healthz", "text/plain"),
        ("/readyz", "text/plain"),
        ("/docs", "text/html"),
        ("/docs/docs.css", "text/css"),
        ("/docs/docs.js", "text/javascript"),
        ("/v1/openapi.json", "application/json"),
    ] {
        let reply = server.send("GET", path, &[], "").await;
        assert_eq!(reply.status.as_u16(), 200, "{path}");
        assert!(reply.header("content-type").starts_with(content_type), "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert!(reply.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!(reply.header("x-request-id").len(), 24, "{path}");
    }
    let door = server.send("GET", "/", &[], "").await;
    assert_eq!((door.status.as_u16(), door.header("location")), (303, "/console"));
    let document = server.send("GET", "/v1/openapi.json", &[], "").await.json();
    assert_eq!(document, http_server::openapi());
    assert_no_dangling(&document, &document);
}

fn assert_no_dangling(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(Value::String(path)) = fields.get("$ref") {
                assert!(document.pointer(path.trim_start_matches('#')).is_some(), "{path} leads nowhere");
            }
            fields.values().for_each(|value| assert_no_dangling(document, value));
        }
        Value::Array(list) => list.iter().for_each(|value| assert_no_dangling(document, value)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_refused_where_none_is_taken() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let bearer = format!("Bearer {}", server.admin);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let rotate = format!("/v1/sources/{}/rotate", things.id("source"));
    let delete = format!("/v1/keys/{}", things.id("key"));
    for (method, path) in [("POST", &rotate), ("DELETE", &delete)] {
        for body in [r#"{"version": 1}"#, "{", "[]", "\0", "nul", &" ".repeat(100)] {
            let refused = server.send(method, path, &headers, body.to_owned()).await;
            assert_eq!(refused.problem(400), "malformed", "{body}");
            assert!(refused.text().contains("takes no body"), "{}", refused.text());
        }
    }
    for nothing in ["", "{}", "null"] {
        server.send("POST", &rotate, &headers, nothing).await.expect(200);
    }
    server.send("DELETE", &delete, &headers, " { }\n").await.expect(204);
}
