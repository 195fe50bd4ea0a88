//! Every operation of the document: without a key, without the scope, and with another organization's key.

use domain::Scope;
use serde_json::{Value, json};

use crate::server::{Server, Things, account_input, png, signer_input};

struct Operation {
    method: String,
    path: String,
    /// None where any key will do.
    scope: Option<Scope>,
    lists: bool,
    /// Whether it says that it takes `If-Match`.
    guarded: bool,
}

/// What any valid key may ask.
const ANY_KEY: [&str; 1] = ["/v1/me"];

fn operations() -> Vec<Operation> {
    let document = http_server::openapi();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let scope = match operation["security"][0]["key"].as_array() {
                Some(scopes) if scopes.is_empty() && ANY_KEY.contains(&path.as_str()) => None,
                _ => Some(serde_json::from_value(operation["security"][0]["key"][0].clone()).unwrap_or_else(|_| {
                    panic!("{method} {path} names no scope");
                })),
            };
            let parameters = operation["parameters"].as_array();
            let guarded = parameters.is_some_and(|list| list.iter().any(|parameter| parameter["name"] == "If-Match"));
            let lists = !path.contains('{');
            found.push(Operation { method: method.clone(), path: path.clone(), scope, lists, guarded });
        }
    }
    assert!(found.len() > 60, "{}", found.len());
    found
}

impl Operation {
    /// The address of our own thing.
    fn of(&self, things: &Things) -> String {
        let mut path = self.path.clone();
        let is_source_event = self.path.starts_with("/v1/sources/");
        for (name, id) in &things.ids {
            let name = if is_source_event && name == "source_event" { "event" } else { name };
            if is_source_event && name == "event" && id != things.id("source_event") {
                continue;
            }
            path = path.replace(&format!("{{{name}}}"), id);
        }
        assert!(!path.contains('{'), "{path}: furnish one of these");
        // A stream lasts as long as it is asked to.
        if path.ends_with("/stream") { format!("{path}?for_seconds=1") } else { path }
    }

    /// A body that would be taken from whoever owns the thing. An operation that is missing here fails.
    fn body(&self, things: &Things) -> Value {
        let path = self.path.as_str();
        let webhook = json!({"name": "Mine now", "url": "https://hooks.example.com/other"});
        match (self.method.as_str(), path) {
            ("get" | "delete", _) => Value::Null,
            (_, "/v1/passes") => json!({"project": things.id("project")}),
            (_, "/v1/passes/{pass}") => json!({"balances": {"points": {"add": "1"}}}),
            (_, "/v1/passes/{pass}/messages") => json!({"channel": "email"}),
            (_, "/v1/passes/{pass}/messages/{message}/bounce") => json!({}),
            (_, "/v1/passes/{pass}/notify") => json!({"text": "Hello"}),
            (_, "/v1/passes/{pass}/notify/cancel") => json!({}),
            (_, "/v1/passes/{pass}/activate" | "/v1/passes/{pass}/revoke" | "/v1/passes/{pass}/scan") => json!({}),
            (_, "/v1/passes/{pass}/barcode" | "/v1/scans/keys") => json!({}),
            (_, "/v1/projects/{project}/links") => json!({}),
            (_, "/v1/scans") => json!({"code": "nobody"}),
            (_, "/v1/scans/batch") => json!({"device": "d", "scans": [
                {"id": "1", "code": "nobody", "at": "2027-01-15T07:00:00Z", "accepted": false}]}),
            (_, "/v1/scans/{scan}/undo") => json!({}),
            (_, "/v1/projects/{project}/mapping-suggestion") => json!({"sample": {"userId": "u-1"}}),
            (_, "/v1/projects/{project}/mapping-test") => json!({"sample": {"userId": "u-1"}, "map": {}}),
            ("patch", "/v1/batches/{batch}") => json!({"match_columns": false}),
            (_, "/v1/batches") => json!({"project": things.id("project"), "operation": "issue"}),
            (_, "/v1/passes/{pass}/installations") => json!({"wallet": "apple", "installed_at": "2020-01-01T00:00:00Z"}),
            (_, "/v1/contacts") => json!({"email": "eve@example.com"}),
            (_, "/v1/projects") => Things::bare_project("other"),
            (_, "/v1/projects/{project}") => Things::bare_project("taken-over"),
            (_, "/v1/templates") => json!({"project": things.id("project"), "name": "Card", "design": Things::design("00")}),
            (_, "/v1/templates/{template}") => json!({"name": "Mine now", "design": Things::design(things.id("sha256"))}),
            (_, "/v1/sources" | "/v1/sources/{source}") => json!({"slug": "other", "name": "Other"}),
            (_, "/v1/sources/{source}/secrets") => json!({}),
            (_, "/v1/flows" | "/v1/flows/{flow}" | "/v1/flows/{flow}/draft") => {
                json!({"slug": "other", "project": things.id("project"),
                "when": {"event": "signed_up"}, "steps": [{"id": "card", "action": "issue"}]})
            }
            (_, "/v1/flows/test") => json!({"flow": things.id("flow"), "event": {"event": "signed_up"}}),
            (_, "/v1/transformations" | "/v1/transformations/{transformation}") => Things::transformation("other"),
            (_, "/v1/transformations/test") => json!({"transformation": things.id("transformation"), "events": [{}]}),
            (_, "/v1/source-events/{source_event}/replay") => json!({}),
            (_, "/v1/source-events/replay") => json!({"since": "2020-01-01T00:00:00Z"}),
            (_, "/v1/webhooks" | "/v1/webhooks/{webhook}") => webhook,
            (_, "/v1/destinations/{destination}/backfill") => json!({}),
            (_, "/v1/destinations" | "/v1/destinations/{destination}") => Things::destination("Mine now"),
            (_, "/v1/webhooks/{webhook}/replay") => json!({"from": "2020-01-01T00:00:00Z"}),
            (_, "/v1/deliveries") => json!({"webhook": things.id("webhook"), "event": things.id("event")}),
            (_, "/v1/signers" | "/v1/signers/{signer}") => signer_input("pass.com.example.club"),
            (_, "/v1/doctor") => json!({"certificate": "AAAA"}),
            (_, "/v1/signing-requests") => json!({"email": "eve@example.com", "name": "Eve"}),
            (_, "/v1/signing-requests/{signing_request}/answer") => json!({"certificate": "AAAA"}),
            (_, "/v1/google-accounts" | "/v1/google-accounts/{account}") => account_input("3388000000000000001"),
            (_, "/v1/inspectors") => json!({"name": "Bin"}),
            (_, "/v1/keys") => json!({"name": "Spare", "scopes": ["scan"]}),
            (_, "/v1/organizations" | "/v1/organizations/{organization}") => json!({"name": "Other"}),
            ("post", path)
                if [
                    "publish",
                    "rotate",
                    "replay",
                    "secrets",
                    "test",
                    "pause",
                    "resume",
                    "cancel",
                    "comparison",
                    "rollback",
                    "restore",
                    "google-check",
                ]
                .iter()
                .any(|end| path.ends_with(end)) =>
            {
                Value::Null
            }
            (_, "/v1/images" | "/v1/image-sets/{role}" | "/v1/templates/import") => Value::Null,
            (_, "/v1/batches/{batch}/run" | "/v1/batches/{batch}/rows") => Value::Null,
            (_, "/v1/syncs" | "/v1/syncs/{sync}") => Things::sync("other", things.id("project")),
            (_, "/v1/syncs/{sync}/run" | "/v1/syncs/{sync}/try") => Value::Null,
            (method, path) => panic!("{method} {path}: say what its body is"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_without_a_key_or_the_scope() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let all = [
        Scope::Operator,
        Scope::Admin,
        Scope::ConfigRead,
        Scope::ConfigWrite,
        Scope::PassesRead,
        Scope::PassesWrite,
        Scope::Scan,
        Scope::ScanUndo,
    ];
    for operation in operations() {
        let (path, body) = (operation.of(&things), operation.body(&things));
        let name = format!("{} {}", operation.method, operation.path);
        let bare = server.send(&operation.method, &path, &[], "").await;
        assert_eq!(bare.problem(401), "unauthorized", "{name}");
        let wrong = server.call(&format!("pbk_{}", "0".repeat(44)), &operation.method, &path, &body).await;
        assert_eq!(wrong.json()["detail"], bare.json()["detail"], "{name}: one answer whatever is wrong with the key");
        let lacking: Vec<Scope> =
            all.into_iter().filter(|scope| operation.scope.is_some_and(|needed| !scope.grants(needed))).collect();
        if !lacking.is_empty() {
            let key = server.key(server.ours, &lacking).await;
            let reply = server.call(&key, &operation.method, &path, &body).await;
            assert_eq!(reply.problem(403), "forbidden", "{name}");
        }
    }
}

/// What an operation says about `If-Match` it does: a version that was never there is refused before anything is done, and where
/// nothing is said of it nobody looks at it.
#[tokio::test(flavor = "multi_thread")]
async fn if_match_is_documented_where_it_guards_a_change_and_nowhere_else() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let operator = server.key(server.ours, &[Scope::Operator]).await;
    let ours = server.ours.to_string();
    let mut guarded = 0;
    for operation in operations().iter().filter(|it| it.method != "get") {
        let (path, body) = (operation.of(&things), operation.body(&things));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        // What does not look at it would be done for its owner; a stranger is told that there is nothing.
        let (key, tag) = if operation.guarded { (&operator, "\"999999\"") } else { (&server.stranger, "no tag") };
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json"), ("if-match", tag)];
        headers.extend(operation.guarded.then_some(("passbridge-organization", ours.as_str())));
        let reply = server.send(&operation.method, &path, &headers, body).await;
        let name = format!("{} {}: {}", operation.method, operation.path, reply.text());
        assert_eq!(reply.status.as_u16() == 412, operation.guarded, "{name}");
        assert!(!reply.text().contains("If-Match"), "{name}");
        guarded += usize::from(operation.guarded);
    }
    assert!(guarded >= 38, "{guarded}");
}

/// Whether the answer is a file of its own, and no JSON.
fn is_file(path: &str) -> bool {
    ["/export", "/preview"].iter().any(|end| path.ends_with(end))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_to_another_organization() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let mut before = Vec::new();
    for operation in
        operations().iter().filter(|it| it.method == "get" && it.scope != Some(Scope::Operator) && !it.path.ends_with("/stream"))
    {
        let path = operation.of(&things);
        let reply = server.get(&path).await;
        if is_file(&operation.path) {
            assert_eq!(reply.status.as_u16(), 200, "{path}");
        } else {
            before.push((path, reply.expect(200)));
        }
    }
    for operation in operations() {
        let (path, body) = (operation.of(&things), operation.body(&things));
        let name = format!("{} {}", operation.method, operation.path);
        let reply = server.call(&server.stranger, &operation.method, &path, &body).await;
        let status = reply.status.as_u16();
        if operation.scope == Some(Scope::Operator) {
            assert_eq!(status, 403, "{name}");
        } else if operation.path == "/v1/connectors/{connector}" {
            assert_eq!(status, 200, "{name}: connectors are the same for everybody");
        } else if operation.path == "/v1/image-sets/{role}" {
            assert_eq!(status, 415, "{name}: roles are the same for everybody, and this is no picture");
        } else if !operation.lists {
            assert_eq!(status, 404, "{name}: {}", reply.text());
        } else {
            let asked = body.to_string();
            let tells = |id: &String| reply.text().contains(id) && !asked.contains(id);
            let telling: Vec<_> = things
                .ids
                .iter()
                .filter(|(kind, id)| !["organization", "version", "connector", "role"].contains(&kind.as_str()) && tells(id))
                .collect();
            assert!(telling.is_empty(), "{name} tells {telling:?}");
            let refers_to_ours =
                ["/v1/passes", "/v1/batches", "/v1/syncs", "/v1/templates", "/v1/flows", "/v1/flows/test", "/v1/deliveries"];
            let takes_our_name = ["/v1/signers", "/v1/google-accounts"];
            if operation.method == "post" && refers_to_ours.contains(&operation.path.as_str()) {
                assert!(matches!(status, 404 | 422), "{name}: {status}");
            } else if operation.method == "post" && takes_our_name.contains(&operation.path.as_str()) {
                assert_eq!(reply.problem(409), "already_exists", "{name}");
            }
        }
    }
    for (path, held) in before {
        if held.get("data").is_none() {
            assert_eq!(server.get(&path).await.expect(200), held, "{path} was changed by a stranger");
        }
        // Cursors move with the log, which is one for all.
        assert_eq!(server.get(&path).await.expect(200)["data"], held["data"], "{path} was changed by a stranger");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_another_organization_are_not_reached_by_filters() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (project, contact, webhook) = (things.id("project"), things.id("contact"), things.id("webhook"));
    for path in [
        format!("/v1/passes?project={project}"),
        format!("/v1/passes?contact={contact}"),
        format!("/v1/passes?project={project}&external_id=card-1"),
        "/v1/contacts?email=ada@example.com".to_owned(),
        format!("/v1/templates?project={project}"),
        format!("/v1/deliveries/attempts?webhook={webhook}"),
    ] {
        let reply = server.call(&server.stranger, "GET", &path, &Value::Null).await;
        assert_eq!(reply.expect(200)["data"], json!([]), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_works_in_any_organization_and_others_in_their_own() {
    let server = Server::start().await;
    let operator = server.key(server.theirs, &[Scope::Operator]).await;
    let ours = server.ours.to_string();
    let get = async |key: &str| {
        let bearer = format!("Bearer {key}");
        server.send("GET", "/v1/projects", &[("authorization", &bearer), ("passbridge-organization", &ours)], "").await
    };
    server.post("/v1/projects", Things::bare_project("club")).await.expect(201);
    assert_eq!(get(&operator).await.expect(200)["data"][0]["slug"], "club");
    assert_eq!(get(&server.stranger).await.problem(403), "forbidden");
    assert_eq!(get(&server.admin).await.expect(200)["data"][0]["slug"], "club", "naming one's own is allowed");
    let listed = server.call(&operator, "GET", "/v1/organizations?limit=1", &Value::Null).await.expect(200);
    let next = listed["next_cursor"].as_str().unwrap();
    let rest = server.call(&operator, "GET", &format!("/v1/organizations?cursor={next}"), &Value::Null).await.expect(200);
    assert_ne!(listed["data"][0]["id"], rest["data"][0]["id"]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let made = server.call(&operator, "POST", "/v1/organizations", &json!({"name": "New"})).await.expect(201);
    let bearer = format!("Bearer {operator}");
    let inside = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("passbridge-organization", made["id"].as_str().unwrap()),
    ];
    let key =
        server.send("POST", "/v1/keys", &inside, json!({"name": "First", "scopes": ["admin"]}).to_string()).await.expect(201);
    let first = key["secret"].as_str().unwrap();
    assert_eq!(server.call(first, "GET", "/v1/projects", &Value::Null).await.expect(200)["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_public_under_their_hash() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/images/{}/{}.png", server.ours, things.id("sha256"));
    let reply = server.send("GET", &path, &[], "").await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "image/png"));
    assert_eq!(reply.bytes, png());
    assert!(reply.header("cache-control").contains("immutable"));
    let again = server.send("GET", &path, &[("if-none-match", reply.header("etag"))], "").await;
    assert_eq!(again.status.as_u16(), 304);
    let elsewhere = format!("/images/{}/{}.png", server.theirs, things.id("sha256"));
    assert_eq!(server.send("GET", &elsewhere, &[], "").await.problem(404), "not_found");
}
