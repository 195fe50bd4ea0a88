//! Scanning over the API: what readers read, batches of readers without a network, taking back, and who may.

use domain::{PassId, Project, ProjectId, Scope};
use scan_code::{Signer, Ticket};
use serde_json::{Value, json};
use store::{ConfigChange, NameKind};

use crate::server::{Server, Things};

/// A server whose project books a stamp at each scan, and a pass of it.
async fn reading_room() -> (Server, String, String) {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/v1/projects/{}", things.id("project"));
    let mut project = server.get(&path).await.expect(200);
    for key in ["id", "created_at"] {
        project.as_object_mut().unwrap().remove(key);
    }
    project["time_zone"] = json!("Europe/Berlin");
    project["scan"] = json!({"per_day": 3, "books": [{"balance": "points", "amount": "1"}], "scanner_may": {"points": "debit"}});
    server.call(&server.admin, "PUT", &path, &project).await.expect(200);
    assert_eq!(server.get(&path).await.expect(200)["scan"]["per_day"], 3);
    project["scan"]["books"][0]["balance"] = json!("stamps");
    let refused = server.call(&server.admin, "PUT", &path, &project).await;
    assert!(refused.text().contains("scan.books.0.balance"), "{}", refused.text());
    project["time_zone"] = json!("Mars/Olympus");
    assert_eq!(server.call(&server.admin, "PUT", &path, &project).await.problem(422), "invalid");
    let key = server.key(server.ours, &[Scope::Scan]).await;
    (server, things.id("pass").to_owned(), key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_what_the_barcode_holds() {
    let (server, pass, key) = reading_room().await;
    let page = server.get(&format!("/v1/passes/{pass}")).await.expect(200)["links"]["page"].clone();
    let scan = async |body: Value| server.call(&key, "POST", "/v1/scans", &body).await.expect(200);
    let first = scan(json!({"code": page, "operator": "Gate 3", "device": "reader-1", "location": "north"})).await;
    assert_eq!((&first["accepted"], &first["pass"]["id"]), (&json!(true), &json!(pass)), "by its link");
    assert_eq!((&first["booked"], &first["project"]), (&json!({"points": "1"}), &json!("Club")));
    assert_eq!(scan(json!({"code": " card-1\n"})).await["pass"]["uses"], 3, "by its external id");
    assert_eq!(scan(json!({"code": pass})).await["reason"], "used_today", "by its id");
    let led_by_mail = format!("{}?utm_source=mail", page.as_str().unwrap());
    assert_eq!(scan(json!({"code": led_by_mail})).await["reason"], "used_today", "by its link, with a campaign's parameters");
    let unknown = scan(json!({"code": "nobody's"})).await;
    assert_eq!((&unknown["reason"], &unknown["pass"]), (&json!("unknown"), &Value::Null));
    let told = server.get(&format!("/v1/events/{}", unknown["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(told["type"], "scan.unknown");
    assert_eq!(server.call(&key, "POST", "/v1/scans", &json!({})).await.problem(422), "invalid");
    assert_eq!(server.call(&key, "POST", "/v1/scans", &json!({"code": " "})).await.problem(422), "invalid");
    let theirs = server.call(&server.stranger, "POST", "/v1/scans", &json!({"code": page})).await.expect(200);
    assert_eq!(theirs["reason"], "unknown", "another organization's");
    let undo = format!("/v1/scans/{}/undo", first["id"].as_str().unwrap());
    assert_eq!(server.call(&key, "POST", &undo, &Value::Null).await.problem(403), "forbidden");
    let undoer = server.key(server.ours, &[Scope::ScanUndo]).await;
    let undone = server.call(&undoer, "POST", &undo, &json!({"reason": "wrong gate"})).await;
    assert_eq!((&undone.expect(200)["uses"], &undone.json()["balances"]["points"]), (&json!(2), &json!("1")));
    let again = server.call(&undoer, "POST", &undo, &Value::Null).await;
    assert_eq!((again.header("idempotency-replayed"), &again.bytes), ("true", &undone.bytes), "once");
    let refused = format!("/v1/scans/{}/undo", unknown["id"].as_str().unwrap());
    assert_eq!(server.call(&undoer, "POST", &refused, &Value::Null).await.problem(404), "not_found");
}

/// The maps that the configuration is held in have another order after each start and change.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_several_projects_know_is_the_pass_of_the_first() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let design = Things::design(things.id("sha256"));
    let mut passes = Vec::new();
    for number in 0..6 {
        let mut project = Things::bare_project(&format!("tour-{number}"));
        let id = server.post("/v1/projects", project.clone()).await.expect(201)["id"].clone();
        let template = json!({"project": id, "name": "Ticket", "design": design});
        let template = server.post("/v1/templates", template).await.expect(201)["id"].clone();
        server.post(&format!("/v1/templates/{}/publish", template.as_str().unwrap()), Value::Null).await.expect(200);
        project["variants"] = json!([{"id": "base", "name": "Base", "template": template}]);
        server.call(&server.admin, "PUT", &format!("/v1/projects/{}", id.as_str().unwrap()), &project).await.expect(200);
        let pass = server.post("/v1/passes", json!({"project": id, "external_id": "seat-7"})).await.expect(201)["id"].clone();
        passes.push((id.as_str().unwrap().parse::<ProjectId>().unwrap(), pass));
    }
    passes.sort_unstable_by_key(|(project, _)| *project);
    let scan = async || server.post("/v1/scans", json!({"code": "seat-7"})).await.expect(200)["pass"]["id"].clone();
    assert_eq!(scan().await, passes[0].1);
    // A change of a project reads the configuration anew.
    server.post("/v1/projects", Things::bare_project("other")).await.expect(201);
    assert_eq!(scan().await, passes[0].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_without_a_network_tell_later_and_conflicts_are_named() {
    let (server, pass, key) = reading_room().await;
    server.call(&server.admin, "PATCH", &format!("/v1/passes/{pass}"), &json!({"uses_limit": 2})).await.expect(200);
    let at = |minute: u32| json!(format!("2027-01-15T07:{minute:02}:00Z"));
    let tell = async |device: &str, scans: Value| {
        let body = json!({"device": device, "operator": "Eve", "scans": scans});
        server.call(&key, "POST", "/v1/scans/batch", &body).await.expect(200)
    };
    let mine = json!([{"id": "1", "code": pass, "at": at(10), "accepted": true},
                      {"id": "2", "code": "?", "at": at(11), "accepted": false},
                      {"id": "3", "code": pass, "at": "2027-02-15T07:00:00Z", "accepted": true}]);
    let first = tell("north", mine.clone()).await;
    assert_eq!((&first["results"][0]["result"]["accepted"], &first["results"][0]["conflict"]), (&json!(true), &json!(false)));
    assert_eq!(first["results"][1]["result"]["reason"], "unknown");
    assert_eq!((&first["results"][2]["error"]["path"], &first["conflicts"]), (&json!("at"), &json!(1)));
    let again = tell("north", mine).await;
    assert_eq!(
        (&again["results"][0]["replayed"], &again["results"][0]["result"]),
        (&json!(true), &first["results"][0]["result"])
    );
    let reused = tell("north", json!([{"id": "1", "code": pass, "at": at(20), "accepted": true}])).await;
    assert_eq!((&reused["results"][0]["error"]["path"], &reused["conflicts"]), (&json!("id"), &json!(1)));
    let other = tell("south", json!([{"id": "1", "code": pass, "at": at(9), "accepted": true}])).await;
    assert_eq!((&other["conflicts"], &other["results"][0]["conflict"]), (&json!(1), &json!(true)));
    assert_eq!(other["results"][0]["result"]["reason"], "already_used");
    server.call(&server.admin, "PATCH", &format!("/v1/passes/{pass}"), &json!({"uses_limit": 5})).await.expect(200);
    let turned_away = tell("north", json!([{"id": "4", "code": pass, "at": at(12), "accepted": false}])).await;
    assert_eq!((&turned_away["results"][0]["result"]["reason"], &turned_away["conflicts"]), (&json!("by_reader"), &json!(0)));
    assert_eq!(server.get(&format!("/v1/passes/{pass}")).await.expect(200)["uses"], 2, "whom a reader turned away used nothing");
    let event = other["results"][0]["result"]["id"].as_str().unwrap();
    let event = server.get(&format!("/v1/events/{event}")).await.expect(200);
    assert_eq!((&event["type"], &event["facts"]["scan"]["offline"]["accepted"]), (&json!("pass.scan_refused"), &json!(true)));
    assert_eq!((&event["occurred_at"], &event["facts"]["scan"]["device"]), (&at(9), &json!("south")));
}

/// What signs our codes, as the server derives it.
fn signer(server: &Server, number: u8) -> Signer {
    let (seed, rotation) = server.store.keyring().scan_secrets(server.ours, number).unwrap();
    Signer::new(server.ours.uuid(), number, &seed, *rotation).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_codes_prove_themselves_until_they_are_renewed() {
    let (server, pass, key) = reading_room().await;
    let scan = async |code: &str| server.call(&key, "POST", "/v1/scans", &json!({"code": code})).await.expect(200);
    let ticket = |epoch| {
        let pass = pass.parse::<PassId>().unwrap().uuid();
        Ticket { pass, epoch, not_before: None, not_after: None }
    };
    let (first, now) = (signer(&server, 0), crate::server::NOW.as_seconds());
    let code = first.sign(&ticket(0));
    assert_eq!(scan(&code).await["accepted"], true);
    let forged = Signer::new(server.ours.uuid(), 0, &[1; 32], [2; 32]).unwrap().sign(&ticket(0));
    assert_eq!(scan(&forged).await["reason"], "forged");
    assert_eq!(scan(&code[..100]).await["reason"], "forged", "cut off");
    let rotating = |at| format!("{}{}", first.rotating_prefix(&ticket(0)), first.secret(&ticket(0)).digits(at));
    assert_eq!(scan(&rotating(now - 300)).await["reason"], "stale");
    assert_eq!(scan(&rotating(now)).await["accepted"], true);
    let told = server.call(&key, "GET", "/v1/scans/keys", &Value::Null).await.expect(200);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(told["keys"][0]["public_key"], hex(&first.public().key));
    let public = server.send("GET", &format!("/scan/keys/{}", server.ours), &[], "").await.expect(200);
    assert_eq!(
        (&public["keys"][0]["public_key"], &public["keys"][0]["rotation_key"]),
        (&told["keys"][0]["public_key"], &Value::Null)
    );
    server.post(&format!("/v1/passes/{pass}/barcode"), json!({})).await.expect(200);
    assert_eq!(scan(&code).await["reason"], "superseded");
    let newer = first.sign(&ticket(1));
    assert_eq!(scan(&newer).await["reason"], "used_today", "its signature is good");
    let renew = async |retire: bool| {
        let body = json!({"retire_older": retire});
        server.call(&server.admin, "PUT", "/v1/scans/keys", &body).await.expect(200)["keys"].as_array().unwrap().len()
    };
    assert_eq!(renew(false).await, 2);
    assert_eq!(scan(&newer).await["reason"], "used_today", "older keys stay good");
    assert_eq!(scan(&signer(&server, 1).sign(&ticket(1))).await["reason"], "used_today");
    assert_eq!(renew(true).await, 1);
    assert_eq!(scan(&newer).await["reason"], "forged", "until they are retired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waited_in_vain_counts_once() {
    let (server, pass, key) = reading_room().await;
    let tell = async |accepted: Value| {
        let scan = json!({"id": "7", "code": pass, "at": "2027-01-15T07:59:59Z", "accepted": accepted});
        let body = json!({"device": "gate", "scans": [scan]});
        server.call(&key, "POST", "/v1/scans/batch", &body).await.expect(200)
    };
    let asked = tell(Value::Null).await;
    assert_eq!(asked["results"][0]["result"]["accepted"], true);
    let told = tell(json!(true)).await;
    assert_eq!((&told["results"][0]["replayed"], &told["conflicts"]), (&json!(true), &json!(0)));
    assert_eq!(server.get(&format!("/v1/passes/{pass}")).await.expect(200)["uses"], 2, "once here, once when furnished");
    let turned_away = tell(json!(false)).await;
    assert_eq!((&turned_away["results"][0]["replayed"], &turned_away["conflicts"]), (&json!(true), &json!(1)), "it counted here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_finds_a_pass_by_the_serial_that_it_came_with() {
    let (server, pass, key) = reading_room().await;
    let config = server.store.catalog();
    let config = config.org(server.ours).unwrap();
    let stored = config.projects.values().find(|stored| stored.value.slug == "club").unwrap();
    let pass_type = "pass.com.example.former".to_owned();
    let project = Project { apple_pass_type: Some(pass_type.clone()), ..(*stored.value).clone() };
    let id: PassId = pass.parse().unwrap();
    // As an import notes it.
    let name = [pass_type.as_bytes(), &[0], b"PK-4711"].concat();
    let names = vec![(NameKind::ForeignSerial, name, id.uuid())];
    let change =
        ConfigChange { org: server.ours, actor: "{}".to_owned(), now: server.app.now(), names, removed_names: Vec::new() };
    assert!(server.store.put(&change, &project, stored.revision).await.unwrap());
    let scan = async |code: &str| server.call(&key, "POST", "/v1/scans", &json!({"code": code})).await.expect(200);
    assert_eq!(scan("PK-4711").await["pass"]["id"], json!(pass));
    assert_eq!(scan("PK-4712").await["reason"], "unknown");
    let theirs = server.call(&server.stranger, "POST", "/v1/scans", &json!({"code": "PK-4711"})).await.expect(200);
    assert_eq!(theirs["reason"], "unknown", "another organization's");
}
