//! The life of passes and contacts over the API: idempotency, versions, cursors, scans, erasure, limits.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Action, PassRef, Scope, Sighting, UninstallReason, Wallet};
use serde_json::{Value, json};

use crate::server::{Server, Things};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_gives_the_same_answer() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let issue = json!({"project": things.id("project"), "external_id": "card-2", "balances": {"points": "10.50"}});
    let first = server.once("order-1", "POST", "/v1/passes", &issue).await;
    let pass = first.expect(201);
    assert_eq!(
        (&pass["status"], &pass["state"], &pass["balances"]["points"]),
        (&json!("issued"), &json!("active"), &json!("10.5"))
    );
    assert_eq!(first.header("location"), format!("/v1/passes/{}", pass["id"].as_str().unwrap()));
    let path = format!("/v1/passes/{}", pass["id"].as_str().unwrap());
    let add = json!({"balances": {"points": {"add": "5"}}});
    assert_eq!(server.call(&server.admin, "PATCH", &path, &add).await.expect(200)["balances"]["points"], "15.5");
    let again = server.once("order-1", "POST", "/v1/passes", &issue).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes), "as it was then, to the letter");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let other = json!({"project": things.id("project"), "external_id": "card-3"});
    assert_eq!(server.once("order-1", "POST", "/v1/passes", &other).await.problem(409), "key_reused");
    assert_eq!(server.once("order-1", "POST", "/v1/contacts", &issue).await.problem(422), "invalid");
    let scan = format!("{path}/scan");
    let scanned = server.once("scan-1", "POST", &scan, &json!({"operator": "gate"})).await;
    let twice = server.once("scan-1", "POST", &scan, &json!({"operator": "gate"})).await;
    assert_eq!(scanned.bytes, twice.bytes);
    assert_eq!(server.get(&path).await.expect(200)["uses"], 1, "scanned once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boarding_pass_has_a_way_to_google_once_it_names_its_flight() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let mut project = json!({"slug": "air", "name": "Air", "kind": "boarding_pass", "google_issuer": "3388000000000000001",
        "fields": [{"key": "departs", "label": "Departs", "type": "time"}]});
    let made = server.post("/v1/projects", project.clone()).await.expect(201);
    let mut design = Things::design(things.id("sha256"));
    design["fields"] = json!([]);
    design["semantics"] = json!({"airlineCode": "XX", "flightNumber": 101, "departureAirportCode": "BER",
        "destinationAirportCode": "OSL", "originalDepartureDate": "{{fields.departs}}"});
    let template = json!({"project": made["id"], "name": "Boarding pass", "design": design});
    let template = server.post("/v1/templates", template).await.expect(201);
    server.post(&format!("/v1/templates/{}/publish", template["id"].as_str().unwrap()), Value::Null).await.expect(200);
    project["variants"] = json!([{"id": "base", "name": "Base", "template": template["id"]}]);
    let path = format!("/v1/projects/{}", made["id"].as_str().unwrap());
    server.call(&server.admin, "PUT", &path, &project).await.expect(200);

    let pass = server.post("/v1/passes", json!({"project": made["id"]})).await.expect(201);
    let links = &pass["links"];
    assert_eq!((&links["google"], &links["google_needs"]), (&Value::Null, &json!("the scheduled departure")));
    let path = format!("/v1/passes/{}", pass["id"].as_str().unwrap());
    let departs = json!({"fields": {"departs": "2026-12-24T08:15:00+01:00"}});
    let named = server.call(&server.admin, "PATCH", &path, &departs).await.expect(200);
    let google = format!("{}/google", named["links"]["page"].as_str().unwrap());
    assert_eq!((&named["links"]["google"], &named["links"]["google_needs"]), (&json!(google), &Value::Null));
    let other = server.get(&format!("/v1/passes/{}", things.id("pass"))).await.expect(200);
    assert_eq!(other["links"]["google_needs"], Value::Null, "it is for no flight");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_lives_and_its_versions_guard_it() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let issue = json!({"project": things.id("project"), "uses_limit": 1, "inactive": true, "fields": {"tier": "gold"}});
    let pass = server.post("/v1/passes", issue).await.expect(201);
    let path = format!("/v1/passes/{}", pass["id"].as_str().unwrap());
    let act = async |what: &str, body: Value| server.post(&format!("{path}/{what}"), body).await;
    let refused = act("scan", json!({})).await.expect(200);
    assert_eq!((&refused["accepted"], &refused["reason"]), (&json!(false), &json!("inactive")));
    assert_eq!(act("activate", Value::Null).await.expect(200)["state"], "active");
    let accepted = act("scan", json!({"operator": "gate 1", "device": "reader", "location": "north"})).await.expect(200);
    assert_eq!(
        (&accepted["accepted"], &accepted["remaining"], &accepted["pass"]["state"]),
        (&json!(true), &json!(0), &json!("used"))
    );
    assert_eq!(act("scan", Value::Null).await.expect(200)["reason"], "already_used");
    let current = server.get(&path).await;
    let etag = current.header("etag").to_owned();
    let bearer = format!("Bearer {}", server.admin);
    let guarded = async |tag: &str| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("if-match", tag)];
        server.send("PATCH", &path, &headers, json!({"fields": {"tier": null}}).to_string()).await
    };
    assert_eq!(guarded("\"1\"").await.problem(412), "version_conflict");
    assert_eq!(guarded("nonsense").await.problem(400), "invalid_parameter");
    assert_eq!(guarded(&etag).await.expect(200)["fields"], json!({}));
    let empty = act("notify", json!({"text": ""})).await;
    assert_eq!((empty.problem(422).as_str(), &empty.json()["errors"][0]["path"]), ("invalid", &json!("text")));
    let events = server.get(&format!("{path}/events?limit=2")).await.expect(200);
    assert_eq!(events["data"][0]["type"], "pass.created");
    let cursor = events["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("{path}/events?cursor={cursor}")).await.expect(200);
    let types: Vec<&str> = rest["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(types.contains(&"pass.scanned") && types.contains(&"pass.scan_refused"), "{types:?}");
    let gone = server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(200);
    assert_eq!(gone["state"], "deleted");
    assert_eq!(server.get(&path).await.expect(200)["status"], "invalidated");
    assert_eq!(act("revoke", json!({"reason": "late"})).await.status.as_u16() / 100, 4);
    assert_eq!(server.get(&format!("{path}/installations")).await.expect(200)["data"], json!([]));
}

/// A client that never got the answer sends the same request again, with the version that it read before.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_at_a_version_answers_alike_when_it_is_asked_again() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let issue = json!({"project": things.id("project"), "contact": {"external_id": "leaves"}});
    let pass = server.post("/v1/passes", issue).await.expect(201);
    let bearer = format!("Bearer {}", server.admin);
    for (kind, id, status) in [("passes", &pass["id"], 200), ("contacts", &pass["contact"], 204)] {
        let path = format!("/v1/{kind}/{}", id.as_str().unwrap());
        let tag = server.get(&path).await.header("etag").to_owned();
        let delete = async |tag: &str, key: &str| {
            let headers = [("authorization", bearer.as_str()), ("if-match", tag), ("idempotency-key", key)];
            server.send("DELETE", &path, &headers, "").await
        };
        assert_eq!(delete("\"99\"", "stale").await.problem(412), "version_conflict");
        for replayed in [None, Some("true")] {
            let reply = delete(&tag, kind).await;
            let told = reply.headers.get("idempotency-replayed").map(|value| value.to_str().unwrap());
            assert_eq!((reply.status.as_u16(), told), (status, replayed), "{path}: {}", reply.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_its_time_where_anybody_sees_it() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let pass = server.post("/v1/passes", json!({"project": things.id("project")})).await.expect(201);
    let path = format!("/v1/passes/{}", pass["id"].as_str().unwrap());
    let planned = json!({"text": "Doors open", "at": "2031-01-01T18:00:00Z", "until": "2031-01-01T22:00:00+01:00"});
    let shown = server.post(&format!("{path}/notify"), planned).await.expect(200).clone();
    let wanted = json!([{"text": "Doors open", "at": "2031-01-01T18:00:00Z", "until": "2031-01-01T21:00:00Z"}]);
    assert_eq!((&shown["planned_messages"], &shown["message"]), (&wanted, &Value::Null));
    assert_eq!(server.get(&path).await.expect(200)["planned_messages"], wanted);
    let over = json!({"text": "x", "at": "2031-01-01T18:00:00Z", "until": "2031-01-01T18:00:00Z"});
    let refused = server.post(&format!("{path}/notify"), over).await;
    assert_eq!((refused.problem(422).as_str(), &refused.json()["errors"][0]["path"]), ("invalid", &json!("until")));
    let far = server.post(&format!("{path}/notify"), json!({"text": "x", "at": "9999-12-31T23:59:59Z"})).await;
    assert!(far.problem(422) == "invalid" && far.text().contains("9999-12-30T22:00:00Z"), "{}", far.text());
    let cancelled = server.post(&format!("{path}/notify/cancel"), Value::Null).await.expect(200).clone();
    assert_eq!(cancelled["planned_messages"], json!([]));
    let now = server.post(&format!("{path}/notify"), json!({"text": "Hello", "at": "2020-01-01T00:00:00Z"})).await.expect(200);
    assert_eq!((&now["message"]["text"], &now["planned_messages"]), (&json!("Hello"), &json!([])), "what is past is now");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_said_in_the_words_of_json() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let said = async |path: &str, body: Value| server.post(path, body).await.json()["errors"][0].clone();
    let field = said("/v1/passes", json!({"project": things.id("project"), "fields": {"tier": [1]}})).await;
    assert_eq!(field, json!({"path": "fields.tier", "message": "expected a text, a number, true or false"}));
    let scan = said(&format!("/v1/passes/{}/scan", things.id("pass")), json!([])).await;
    assert_eq!(scan["message"], "invalid type: list, expected an object");
    let email = said("/v1/contacts", json!({"email": "a@example.com\r\nBcc: b@example.com"})).await;
    assert!(email["message"].as_str().unwrap().contains("line break"), "{email}");
    assert_eq!(email["path"], "email", "by its place in the body");
    let (path, nobody) = (format!("/v1/passes/{}", things.id("pass")), json!({"contact": {"email": "@"}}));
    let refused = server.call(&server.admin, "PATCH", &path, &nobody).await.json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with("contact.email: is no e-mail address"), "{detail}");
    let flow = said("/v1/flows", json!([])).await;
    assert_eq!(flow["message"], "invalid type: list, expected an object");
    let late = said("/v1/flows", json!({"slug": "f", "project": "p", "when": {}, "steps": [], "late": []})).await;
    assert_eq!(late, json!({"path": "late", "message": "expected exactly one of `apply`, `skip`"}));
    let auth = said("/v1/webhooks", json!({"name": "w", "url": "https://example.com", "auth": ""})).await;
    assert_eq!(auth, json!({"path": "auth", "message": "invalid type: string \"\", expected an object"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejections_name_the_place() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let project = things.id("project");
    let issue = async |body: Value| server.post("/v1/passes", body).await;
    let missing = issue(json!({"external_id": "x"})).await;
    assert_eq!(missing.problem(422), "invalid");
    assert!(missing.text().contains("project"));
    let field = issue(json!({"project": project, "fields": {"nonsense": 1}})).await;
    assert_eq!((field.problem(422).as_str(), &field.json()["errors"][0]["path"]), ("invalid", &json!("fields.nonsense")));
    assert_eq!(issue(json!({"project": project, "external_id": "card-1"})).await.problem(409), "already_exists");
    let kept = issue(json!({"project": project, "external_id": "card-1", "if_exists": "keep"})).await.expect(200);
    assert_eq!(kept["id"], things.id("pass"));
    let path = format!("/v1/passes/{}", things.id("pass"));
    let spend = server.call(&server.admin, "PATCH", &path, &json!({"balances": {"points": {"add": "-1"}}})).await;
    assert_eq!(spend.problem(409), "insufficient");
    let unknown = server.post("/v1/passes", json!({"project": project, "colour": "red"})).await;
    assert!(unknown.json()["errors"][0]["message"].as_str().unwrap().contains("colour"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_page_by_page() {
    let server = Server::start().await;
    let things = server.furnish().await;
    for number in 2..=7 {
        let issue = json!({"project": things.id("project"), "external_id": format!("card-{number}"),
                           "contact": {"external_id": format!("person-{number}")}});
        server.post("/v1/passes", issue).await.expect(201);
    }
    for list in ["/v1/passes", "/v1/contacts"] {
        let whole = server.get(&format!("{list}?limit=100")).await.expect(200)["data"].as_array().unwrap().clone();
        assert_eq!(whole.len(), 7, "{list}");
        let (mut read, mut path) = (Vec::new(), format!("{list}?limit=3"));
        loop {
            let page = server.get(&path).await.expect(200);
            read.extend(page["data"].as_array().unwrap().clone());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("{list}?limit=3&cursor={cursor}");
        }
        assert_eq!(read, whole, "{list}");
    }
    let found = server.get(&format!("/v1/passes?project={}&external_id=card-5", things.id("project"))).await.expect(200);
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    let found = server.get("/v1/contacts?external_id=person-3").await.expect(200);
    assert_eq!(found["data"][0]["external_id"], "person-3");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_read_to_its_end_and_on() {
    let server = Server::start().await;
    let things = server.furnish().await;
    server.call(&server.stranger, "POST", "/v1/contacts", &json!({"email": "eve@example.com"})).await.expect(201);
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    for _ in 0..10 {
        let query = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let piece = server.get(&format!("/v1/events?limit=1{query}")).await.expect(200);
        ids.extend(piece["data"].as_array().unwrap().iter().map(|event| event["id"].clone()));
        cursor = piece["next_cursor"].as_str().unwrap().to_owned();
        if piece["has_more"] == false {
            break;
        }
    }
    assert_eq!(ids.len(), 3, "the contact, the pass and its scan of ours");
    server.post(&format!("/v1/passes/{}/notify", things.id("pass")), json!({"text": "News"})).await.expect(200);
    let more = server.get(&format!("/v1/events?cursor={cursor}")).await.expect(200);
    assert_eq!(more["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&more["data"][0]["type"], &more["data"][0]["facts"]["message"]["text"]),
        (&json!("pass.notified"), &json!("News"))
    );
    assert_eq!(more["data"][0]["actor"]["type"], "key");
    assert_eq!(more["data"][0]["image"]["pass"]["id"], things.id("pass"));
    let place = [server.store.epoch() ^ 1, 7].map(u64::to_be_bytes).concat();
    let mac = server.store.keyring().blind(server.ours, "cursor /v1/events", &URL_SAFE_NO_PAD.encode(&place)).unwrap();
    let foreign_epoch = URL_SAFE_NO_PAD.encode([mac.as_slice(), &place].concat());
    let all = server.get(&format!("/v1/events?cursor={foreign_epoch}")).await.expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 4, "a cursor of another life starts from the oldest");
    assert_eq!(server.get("/v1/events?cursor=nonsense").await.problem(400), "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_gone_from_every_answer() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let put = json!({"external_id": "u-9", "email": "Grace@Example.com", "traits": {"city": "Reykjavik"}});
    let contact = server.once("person", "POST", "/v1/contacts", &put).await.expect(201);
    assert_eq!(contact["email"], "grace@example.com");
    let changed = server.post("/v1/contacts", json!({"external_id": "u-9", "phone": "+354 555"})).await.expect(200);
    assert_eq!((&changed["id"], &changed["email"]), (&contact["id"], &json!("grace@example.com")));
    let issue = json!({"project": things.id("project"), "contact": {"external_id": "u-9"}, "external_id": "card-9"});
    let pass = server.post("/v1/passes", issue).await.expect(201);
    let bin = server.post("/v1/inspectors", json!({"name": "Bin"})).await.expect(201);
    let taken = format!("/v1/inspectors/{}/requests", bin["id"].as_str().unwrap());
    let into = bin["url"].as_str().unwrap().strip_prefix("http://localhost:8080").unwrap();
    server.send("POST", into, &[], put.to_string()).await.text();
    assert!(server.get(&taken).await.text().contains("Grace"));
    let path = format!("/v1/contacts/{}", contact["id"].as_str().unwrap());
    server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(204);
    for path in [
        taken,
        path.clone(),
        format!("/v1/passes/{}", pass["id"].as_str().unwrap()),
        "/v1/events".to_owned(),
        "/v1/contacts".to_owned(),
        format!("/v1/passes/{}/events", pass["id"].as_str().unwrap()),
    ] {
        let text = server.get(&path).await.text().to_lowercase();
        for personal in ["grace", "reykjavik", "u-9", "555"] {
            assert!(!text.contains(personal), "{path} still tells {personal}: {text}");
        }
    }
    assert_eq!(server.once("person", "POST", "/v1/contacts", &put).await.problem(410), "gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_shows_in_which_wallets_their_passes_are_and_since_when() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let issue = json!({"project": things.id("project"), "contact": {"external_id": "u-7"}, "external_id": "card-7"});
    let issued = server.post("/v1/passes", issue).await.expect(201);
    let path = format!("/v1/contacts/{}", issued["contact"].as_str().unwrap());
    let before = server.get(&path).await.expect(200);
    assert_eq!((&before["wallet_status"], &before["wallet_last_changed_at"]), (&json!("none"), &Value::Null));
    let (pass, wallet, device) = (PassRef::Id(issued["id"].as_str().unwrap().parse().unwrap()), Wallet::Apple, "phone");
    let sighting = Sighting::default();
    server.did(Action::RecordInstall { pass: pass.clone(), wallet, device: device.into(), push_token: None, sighting }).await;
    let there = server.get(&path).await.expect(200);
    assert_eq!((&there["wallet_status"], &there["wallet_last_event"]), (&json!("apple"), &json!("installed")));
    assert!(there["apple_wallet_installed_at"].is_string() && there["google_wallet_installed_at"].is_null(), "{there}");
    assert_eq!(there["wallet_last_changed_at"], there["apple_wallet_installed_at"]);
    let project = &there["projects"][things.id("project")];
    assert_eq!((&project["apple"], &project["wallet_last_changed_at"]), (&json!(1), &there["wallet_last_changed_at"]));
    let reason = UninstallReason::Unregistered;
    server.did(Action::RecordUninstall { pass, wallet, device: device.into(), reason }).await;
    let installed = server.get(&format!("/v1/passes/{}/installations", issued["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(
        (&installed["data"][0]["reason"], &installed["data"][0]["confidence"]),
        (&json!("unregistered"), &json!("likely")),
        "automatic updates may have been switched off"
    );
    let shown = server.get(&format!("/v1/passes/{}", issued["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(shown["wallets"]["apple"]["last_uninstall_confidence"], "likely");
    let held = server.get(&path).await.expect(200);
    assert_eq!((&held["wallet_status"], &held["projects"]), (&json!("apple"), &there["projects"]), "held: it may come again");
    let feed = server.get("/v1/events?limit=100").await.expect(200);
    let of = |kind: &str| feed["data"].as_array().unwrap().iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("pass.uninstalled").len(), 1, "what the wallet tells is not held");
    let [told] = of("contact.wallet_status_changed")[..] else { panic!("told once: {feed}") };
    assert_eq!((&told["contact"], &told["project"]), (&there["id"], &json!(things.id("project"))));
    assert_eq!((&told["facts"]["before"], &told["facts"]["overall_after"]), (&json!("none"), &json!("apple")));
    assert_eq!(told["image"]["contact"]["wallet_status"], "apple");
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_and_contacts_are_found_by_their_wallets_state_and_change() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let project = things.id("project");
    let mut ids = Vec::new();
    for number in 0..6 {
        let contact = json!({"external_id": format!("holder-{number}")});
        let issue = json!({"project": project, "contact": contact, "external_id": format!("found-{number}")});
        ids.push(server.post("/v1/passes", issue).await.expect(201)["id"].as_str().unwrap().to_owned());
    }
    for (number, wallet) in [(1, Wallet::Apple), (2, Wallet::Google), (3, Wallet::Apple), (3, Wallet::Google)] {
        let (pass, device) = (PassRef::Id(ids[number].parse().unwrap()), format!("found-{number}"));
        let device = if wallet == Wallet::Apple { device } else { String::new() };
        let sighting = Sighting::default();
        server.did(Action::RecordInstall { pass, wallet, device, push_token: None, sighting }).await;
    }
    server.call(&server.admin, "DELETE", &format!("/v1/passes/{}", ids[5]), &Value::Null).await;
    // One a page, whatever the cursor has to carry.
    let walk = async |path: String, of: &str| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("{path}&limit=1{cursor}")).await.expect(200);
            found.extend(page["data"].as_array().unwrap().iter().filter_map(|it| it[of].as_str().map(str::to_owned)));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        found
    };
    let mine = |mut found: Vec<String>| {
        found.retain(|id| ids.contains(id));
        found.iter().map(|id| ids.iter().position(|known| known == id).unwrap()).collect::<Vec<_>>()
    };
    for (wish, expected) in [
        ("installed=apple", vec![1, 3]),
        ("installed=google", vec![2, 3]),
        ("installed=any", vec![1, 2, 3]),
        ("installed=none&state=active", vec![0, 4]),
        ("state=deleted", vec![5]),
        ("installed=any&updated_since=2020-01-01T00:00:00Z", vec![1, 2, 3]),
        ("updated_since=2100-01-01T00:00:00Z", vec![]),
    ] {
        let mut found = mine(walk(format!("/v1/passes?project={project}&{wish}"), "id").await);
        found.sort_unstable();
        assert_eq!(found, expected, "{wish}");
    }
    let of_name = async |wish: &str| {
        let page = server.get(&format!("/v1/passes?external_id=found-3&{wish}")).await.expect(200);
        page["data"].as_array().unwrap().len()
    };
    assert_eq!((of_name("installed=google").await, of_name("installed=none").await, of_name("state=active").await), (1, 0, 1));
    for (status, expected) in [("apple", "holder-1"), ("google", "holder-2"), ("both", "holder-3")] {
        let found = walk(format!("/v1/contacts?wallet_status={status}"), "external_id").await;
        assert!(found.contains(&expected.to_owned()) && !found.contains(&"holder-0".to_owned()), "{status}: {found:?}");
        let named = server.get(&format!("/v1/contacts?wallet_status={status}&external_id={expected}")).await.expect(200);
        assert_eq!(named["data"].as_array().unwrap().len(), 1);
    }
    for wrong in
        ["/v1/passes?installed=both", "/v1/passes?state=lost", "/v1/passes?updated_since=soon", "/v1/contacts?wallet_status=any"]
    {
        assert_eq!(server.get(wrong).await.problem(400), "invalid_parameter", "{wrong}");
    }
    let cursor = server.get("/v1/passes?limit=1").await.expect(200)["next_cursor"].as_str().unwrap().to_owned();
    let other = server.get(&format!("/v1/passes?updated_since=2020-01-01T00:00:00Z&cursor={cursor}")).await;
    assert_eq!(other.problem(400), "invalid_parameter", "a place of another order");
    let theirs = server.call(&server.stranger, "GET", "/v1/passes?installed=any", &Value::Null).await.expect(200);
    assert!(theirs["data"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_its_limit_and_its_end() {
    let server = Server::start().await;
    let limited = server.key_with(server.ours, |key| {
        key.scopes = vec![Scope::ConfigRead];
        key.rate_per_second = Some(2);
    });
    let limited = limited.await;
    let first = server.call(&limited, "GET", "/v1/projects", &Value::Null).await;
    assert_eq!((first.status.as_u16(), first.header("ratelimit-policy")), (200, "\"key\";q=2;w=1"));
    let mut refused = None;
    for _ in 0..50 {
        let reply = server.call(&limited, "GET", "/v1/projects", &Value::Null).await;
        if reply.status.as_u16() == 429 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("fifty requests at once are more than two in a second");
    assert_eq!(refused.problem(429), "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.header("ratelimit").contains("r=0"));
    assert_eq!(server.get("/v1/projects").await.status.as_u16(), 200, "other keys are not held up");
    let ended = server.key_with(server.ours, |key| {
        key.scopes = vec![Scope::Admin];
        key.expires_at = Some(crate::server::NOW);
    });
    assert_eq!(server.call(&ended.await, "GET", "/v1/projects", &Value::Null).await.problem(401), "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_platform_knew_of_a_pass_is_told() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/v1/passes/{}", things.id("pass"));
    let told = json!({"wallet": "apple", "installed_at": "2024-03-01T10:00:00Z"});
    let pass = server.post(&format!("{path}/installations"), told.clone()).await.expect(200);
    let apple = &pass["wallets"]["apple"];
    assert_eq!((&apple["active"], &apple["first_installed_at"]), (&json!(1), &json!("2024-03-01T10:00:00Z")), "{pass}");
    let again = server.post(&format!("{path}/installations"), told).await.expect(200);
    assert_eq!(again["version"], pass["version"]);
    let elsewhere = json!({"wallet": "google", "installed_at": "2024-03-02T10:00:00Z"});
    server.post(&format!("{path}/installations"), elsewhere).await.expect(200);
    let first = server.get(&format!("{path}/installations?limit=1")).await.expect(200);
    assert_eq!((first["data"].as_array().unwrap().len(), &first["data"][0]["wallet"]), (1, &json!("apple")));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("{path}/installations?cursor={cursor}")).await.expect(200);
    assert_eq!(
        (&rest["data"][0]["wallet"], &rest["data"][1], &rest["next_cursor"]),
        (&json!("google"), &json!(null), &json!(null))
    );
    let left = json!({"wallet": "google", "installed_at": "2024-03-01T10:00:00Z", "uninstalled_at": "2024-01-01T10:00:00Z"});
    let refused = server.post(&format!("{path}/installations"), left).await;
    assert_eq!(refused.problem(422), "invalid");
    assert!(refused.text().contains("uninstalled_at"), "{}", refused.text());
    let events = server.get(&format!("{path}/events")).await.expect(200);
    let installed = events["data"].as_array().unwrap().iter().find(|event| event["type"] == "pass.installed").unwrap();
    assert_eq!(installed["occurred_at"], "2024-03-01T10:00:00Z", "{installed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_look_for_is_found_and_counted() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (pass, project) = (things.id("pass"), things.id("project"));
    let other = server.post("/v1/projects", Things::bare_project("other")).await.expect(201);
    let found = server.get("/v1/passes?external_id=card-1").await.expect(200);
    assert_eq!(found["data"][0]["id"], pass, "in whichever project");
    let elsewhere = format!("/v1/passes?external_id=card-1&project={}", other["id"].as_str().unwrap());
    assert_eq!(server.get(&elsewhere).await.expect(200)["data"], json!([]));
    let counts = server.get("/v1/passes/counts").await.expect(200);
    let of = |project: &Value| {
        let found = counts["data"].as_array().unwrap().iter().find(|count| count["project"] == *project).cloned();
        found.map(|count| (count["passes"].clone(), count["more"].clone()))
    };
    assert_eq!(of(&json!(project)), Some((json!(1), json!(false))));
    assert_eq!(of(&other["id"]), Some((json!(0), json!(false))));

    server.post(&format!("/v1/passes/{pass}/notify"), json!({"text": "News"})).await.expect(200);
    let ids = |page: &Value| -> Vec<Value> { page["data"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect() };
    let oldest = ids(&server.get(&format!("/v1/passes/{pass}/events")).await.expect(200));
    let mut newest = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/v1/passes/{pass}/events?order=newest&limit=1{cursor}")).await.expect(200);
        newest.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(newest.len() >= 3);
    assert_eq!(newest, oldest.iter().rev().cloned().collect::<Vec<_>>());

    let all = ids(&server.get("/v1/events?limit=100").await.expect(200));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/events/newest?limit=2{cursor}")).await.expect(200);
        seen.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), all.len(), "none twice, none left out");
    assert!(all.iter().all(|id| seen.contains(id)));
    let told = server.get("/v1/events/newest?type=pass.notified").await.expect(200);
    assert_eq!((ids(&told).len(), &told["data"][0]["pass"]), (1, &json!(pass)));

    let preview = server.get(&format!("/v1/passes/{pass}/preview")).await;
    assert_eq!((preview.status.as_u16(), preview.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(preview.text().contains("iOS") && preview.header("content-security-policy").contains("default-src 'none'"));
    let me = server.get("/v1/me").await.expect(200);
    assert_eq!((&me["organization"]["name"], &me["key"]["scopes"]), (&json!("Ours"), &json!(["admin"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apple_passes_of_a_person_are_listed_with_one_file_of_all() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let mut project = Things::bare_project("club");
    project["variants"] = json!([{"id": "base", "name": "Base", "template": things.id("template")}]);
    project["apple_pass_type"] = json!("pass.com.example.club");
    server.call(&server.admin, "PUT", &format!("/v1/projects/{}", things.id("project")), &project).await.expect(200);
    let issue = |id: &str| json!({"project": things.id("project"), "contact": {"external_id": "u-7"}, "external_id": id});
    let first = server.post("/v1/passes", issue("a")).await.expect(201);
    let path = format!("/v1/passes?contact={}", first["contact"].as_str().unwrap());
    assert_eq!(server.get(&path).await.expect(200)["apple_bundle"], Value::Null, "one pass is no bundle");
    server.post("/v1/passes", issue("b")).await.expect(201);
    let listed = server.get(&path).await.expect(200);
    let pages = listed["data"].as_array().unwrap().iter().map(|pass| pass["links"]["page"].as_str().unwrap());
    let codes: Vec<&str> = pages.map(|page| page.rsplit('/').next().unwrap()).collect();
    let bundle = listed["apple_bundle"].as_str().unwrap();
    assert!(bundle.ends_with(&format!("/p/{}/passes.pkpasses", codes.join(","))) && codes.len() == 2, "{bundle}");
    assert_eq!(server.get("/v1/passes").await.expect(200)["apple_bundle"], Value::Null, "strangers are not bundled");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_leads_to_the_next_who_has_it_when_the_first_is_erased_or_moves() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let person = async |external_id: &str, status| {
        let put = json!({"external_id": external_id, "email": "home@example.com"});
        server.post("/v1/contacts", put).await.expect(status)["id"].as_str().unwrap().to_owned()
    };
    let ids = [person("h-1", 201).await, person("h-2", 201).await, person("h-3", 201).await];
    let have = async || {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("/v1/contacts?email=Home@example.com&limit=2{cursor}")).await.expect(200);
            ids.extend(page["data"].as_array().unwrap().iter().map(|contact| contact["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { return ids };
            cursor = format!("&cursor={next}");
        }
    };
    assert_eq!(have().await, ids);
    let told = async |status| {
        server.post("/v1/contacts", json!({"email": "home@example.com", "name": "Ada"})).await.expect(status)["id"].clone()
    };
    assert_eq!(told(200).await, *ids[0]);
    server.call(&server.admin, "DELETE", &format!("/v1/contacts/{}", ids[0]), &Value::Null).await.expect(204);
    assert_eq!((have().await, told(200).await), (ids[1..].to_vec(), json!(ids[1])));
    let issue = json!({"project": things.id("project"), "contact": {"email": "home@example.com"}, "external_id": "card-h"});
    assert_eq!(server.post("/v1/passes", issue).await.expect(201)["contact"], ids[1], "what is issued to the address is theirs");
    server.post("/v1/contacts", json!({"external_id": "h-2", "email": "away@example.com"})).await.expect(200);
    assert_eq!((have().await, told(200).await), (ids[2..].to_vec(), json!(ids[2])));
    assert_eq!(person("h-2", 200).await, ids[1], "who comes back stands behind the others");
    assert_eq!(have().await, [ids[2].clone(), ids[1].clone()]);
    for id in &ids[1..] {
        server.call(&server.admin, "DELETE", &format!("/v1/contacts/{id}"), &Value::Null).await.expect(204);
    }
    assert!(have().await.is_empty());
    assert!(!ids.contains(&told(201).await.as_str().unwrap().to_owned()), "nobody is left, so it is somebody new");
}

#[tokio::test(flavor = "multi_thread")]
async fn null_takes_away_what_is_known_of_a_person() {
    let server = Server::start().await;
    let all = json!({"external_id": "m-1", "name": "Ada", "email": "Ada@Example.com", "phone": "+4930123",
                     "traits": {"tier": "gold", "city": "Berlin"}});
    let made = server.post("/v1/contacts", all).await.expect(201);
    let same = server.post("/v1/contacts", json!({"external_id": "m-1"})).await.expect(200);
    assert_eq!(same, made, "what is not told of stays");
    let told =
        json!({"external_id": "m-1", "name": null, "email": null, "phone": "+4930456", "traits": {"city": null, "age": 36}});
    let left = server.post("/v1/contacts", told.clone()).await.expect(200);
    assert_eq!((&left["name"], &left["email"], &left["phone"]), (&Value::Null, &Value::Null, &json!("+4930456")));
    assert_eq!(left["traits"], json!({"tier": "gold", "age": 36}));
    let found = server.get("/v1/contacts?email=ada@example.com").await.expect(200);
    assert_eq!(found["data"], json!([]), "nobody is found by an address that was taken away");
    assert_eq!(server.post("/v1/contacts", told).await.expect(200)["version"], left["version"], "told again, nothing changes");
    let other = server.post("/v1/contacts", json!({"email": "ada@example.com"})).await.expect(201);
    assert_ne!(other["id"], left["id"], "and somebody else may have it");
    let nobody = server.post("/v1/contacts", json!({"email": null, "name": "Ada"})).await;
    assert_eq!(nobody.problem(422), "invalid");
}
