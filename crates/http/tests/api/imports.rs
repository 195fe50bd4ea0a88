//! Passes of others become templates, and templates become folders for Apple's tools.

use serde_json::{Value, json};

use crate::server::{Reply, Server, packed_pass, picture};

async fn import(server: &Server, query: &str, media: &str, bytes: Vec<u8>) -> Reply {
    let bearer = format!("Bearer {}", server.admin);
    let headers = [("authorization", bearer.as_str()), ("content-type", media)];
    server.send("POST", &format!("/v1/templates/import?{query}"), &headers, bytes).await
}

fn pass_json(packed: &[u8]) -> Value {
    let package = pkpass::Package::parse_folder(packed, &pkpass::Limits::PASS).unwrap();
    serde_json::from_slice(package.pass_json().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_of_others_becomes_a_template_that_can_be_published() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let json = json!({"formatVersion": 1, "serialNumber": "A-1", "organizationName": "Roast", "description": "Roast card",
        "logoText": "Roast", "backgroundColor": "rgb(10, 20, 30)", "newKey": {"a": 1},
        "barcodes": [{"format": "PKBarcodeFormatQR", "message": "A-1", "messageEncoding": "iso-8859-1"}],
        "storeCard": {"headerFields": [{"key": "points", "label": "POINTS", "value": 12}],
                      "backFields": [{"key": "terms", "label": "Terms", "value": "None"}]}});
    let json = json.to_string();
    let (icon, german) = (picture(76, 76), pkpass::write_strings([("POINTS", "PUNKTE")]));
    let files: [(&str, &[u8]); 4] = [
        ("Roast.pass/pass.json", json.as_bytes()),
        ("Roast.pass/icon@2x.png", &icon),
        ("Roast.pass/de.lproj/pass.strings", &german),
        ("Roast.pass/.DS_Store", b"x"),
    ];
    let packed = pkpass::pack(files, 0).unwrap();
    let query = format!("project={}&name=Roast%20imported", things.id("project"));
    let made = import(&server, &query, "application/zip", packed).await;
    let made_location = made.header("location").to_owned();
    let made = made.expect(201);
    let (template, report) = (&made["template"], made["report"].as_array().unwrap());
    assert_eq!((&template["status"], &template["name"]), (&json!("draft"), &json!("Roast imported")));
    let design = &template["design"];
    assert_eq!(
        (&design["fields"][0]["value"], &design["barcode"]["value"]),
        (&json!("{{balances.points}}"), &json!("{{pass.serial}}"))
    );
    assert_eq!(
        (&design["translations"]["de"]["texts"]["POINTS"], &design["apple"]["newKey"]),
        (&json!("PUNKTE"), &json!({"a": 1}))
    );
    let outcome = |path: &str| report.iter().find(|note| note["path"] == path).map(|note| note["outcome"].clone());
    assert_eq!((outcome("points"), outcome("newKey")), (Some(json!("bound")), Some(json!("apple_only"))), "{report:?}");
    assert_eq!(server.get(&made_location).await.expect(200)["design"], *design);
    server.post(&format!("{made_location}/publish"), Value::Null).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_was_exported_is_the_same_when_it_is_imported() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let export = async |template: &str| {
        let reply = server.get(&format!("/v1/templates/{template}/export")).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/zip"));
        assert!(reply.header("content-disposition").contains(".pkpasstemplate"));
        reply.bytes.to_vec()
    };
    let first = export(things.id("template")).await;
    let query = format!("project={}", things.id("project"));
    let made = import(&server, &query, "application/octet-stream", first.clone()).await.expect(201);
    let second = export(made["template"]["id"].as_str().unwrap()).await;
    assert_eq!(pass_json(&second), pass_json(&first));
    let names = |packed: &[u8]| {
        let package = pkpass::Package::parse_folder(packed, &pkpass::Limits::PASS).unwrap();
        package.files().map(|(path, _)| path.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&second), names(&first));
    let preview = server.get(&format!("/v1/templates/{}/preview", things.id("template"))).await;
    let page = preview.text();
    assert!(preview.header("content-type").starts_with("text/html"));
    assert!(
        page.contains("Club card") && page.contains("iOS 17") && page.contains("data:image/png") == page.contains("<img"),
        "{page}"
    );
    assert!(!page.contains("http://127."), "it loads nothing");
    let policy = preview.header("content-security-policy");
    assert!(policy.contains("style-src 'unsafe-inline'") && policy.contains("default-src 'none'"), "{policy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_no_pass_needs_are_refused_before_they_are_unpacked() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let query = format!("project={}", things.id("project"));
    let whole = packed_pass("Card");
    let zeros = vec![0; 17 << 20];
    let bomb = pkpass::pack([("pass.json", &b"{}"[..]), ("icon.png", &zeros[..])], 0).unwrap();
    let named = pkpass::pack([("xx/pass.json", &b"{}"[..])], 0).unwrap();
    let escaping = replaced(&named, b"xx/pass.json", b"../pass.json");
    let event = br#"{"eventTicket": {}, "organizationName": "a", "description": "b"}"#;
    for (bytes, words) in [
        (b"hello".to_vec(), "ZIP"),
        (whole[..whole.len() / 2].to_vec(), "ZIP"),
        (bomb, "bomb"),
        (escaping, "component"),
        (pkpass::pack([("icon.png", &b"x"[..])], 0).unwrap(), "no pass.json"),
        (pkpass::pack([("pass.json", &b"{nonsense"[..])], 0).unwrap(), "cannot be read"),
        (pkpass::pack([("pass.json", &event[..])], 0).unwrap(), "event_ticket"),
    ] {
        let reply = import(&server, &query, "application/zip", bytes).await;
        assert_eq!(reply.problem(422), "invalid");
        assert!(reply.text().contains(words), "{words}: {}", reply.text());
    }
    assert_eq!(import(&server, &query, "application/zip", vec![0; (16 << 20) + 1]).await.problem(413), "too_large");
    assert_eq!(import(&server, &query, "text/plain", whole.clone()).await.problem(415), "unsupported_media_type");
    assert_eq!(import(&server, "name=x", "application/zip", whole.clone()).await.problem(400), "invalid_parameter");
    let nowhere = import(&server, "project=0000000000000000000001", "application/zip", whole.clone()).await;
    assert_eq!(nowhere.problem(422), "invalid");
    let language = import(&server, &format!("{query}&language=english"), "application/zip", whole).await;
    assert!(language.text().contains("language tag"), "{}", language.text());
    let templates = server.get("/v1/templates").await.expect(200);
    assert_eq!(templates["data"].as_array().unwrap().len(), 1, "nothing was made");
}

/// Names in an archive are in no checksum.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for at in 0..out.len().saturating_sub(from.len()) {
        if out[at..].starts_with(from) {
            out[at..at + to.len()].copy_from_slice(to);
        }
    }
    out
}
