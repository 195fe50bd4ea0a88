//! Transformations over the API: checked, drafted, published, tried, depended on.

use serde_json::{Value, json};

use crate::server::Server;

const CODE: &str = "import { points } from 'rules';
export function transformEvent(event, metadata) {
  if (event.event === 'noise') return;
  log('total', event.properties.total);
  event.properties.points = points(event.properties.total);
  return event;
}";

async fn furnished(server: &Server) -> (String, String) {
    let library =
        json!({"slug": "rules", "name": "Rules", "library": true, "code": "export const points = (total) => total * 2;"});
    let library = server.post("/v1/transformations", library).await.expect(201);
    let code = json!({"slug": "enrich", "name": "Enrich", "code": CODE});
    let made = server.post("/v1/transformations", code).await.expect(201);
    let path = |it: &Value| format!("/v1/transformations/{}", it["id"].as_str().unwrap());
    (path(&made), path(&library))
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_checked_with_its_place() {
    let server = Server::start().await;
    furnished(&server).await;
    let refused = async |code: &str| {
        let reply = server.post("/v1/transformations", json!({"slug": "x", "name": "X", "code": code})).await;
        assert_eq!(reply.problem(422), "invalid");
        reply.json()["errors"][0]["message"].as_str().unwrap().to_owned()
    };
    assert!(refused("export function transformEvent(event) {\n  return event +;\n}").await.starts_with("transformation:2:"));
    assert!(refused("import { y } from 'nowhere'; export const transformEvent = (e) => e;").await.contains("there are: rules"));
    assert!(refused("export const other = 1;").await.contains("transformEvent"));
    assert!(refused("for (;;) {} export const transformEvent = (e) => e;").await.contains("ran longer"));
    let locale = "export const transformEvent = (e) => ({ d: new Date().toLocaleDateString('de') });";
    let made = server.post("/v1/transformations", json!({"slug": "x", "name": "X", "code": locale})).await.expect(201);
    assert_eq!((&made["warnings"][0]["line"], &made["version"]), (&json!(1), &json!(1)), "{made}");
    let same = server.post("/v1/transformations", json!({"slug": "x", "name": "X", "code": locale})).await;
    assert_eq!(same.problem(409), "already_exists");
    assert_eq!(
        server.post("/v1/transformations", json!({"slug": "a b", "name": "X", "code": locale})).await.json()["errors"][0]["path"],
        "slug"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_tried_through_its_transformation() {
    let server = Server::start().await;
    let things = server.furnish().await;
    furnished(&server).await;
    let flow = |name: &str| {
        json!({"slug": "points", "project": "club", "transformation": name, "when": {"event": "purchase"}, "steps":
            [{"id": "points", "action": "update", "balances": {"points": {"add": "$.properties.points"}}}]})
    };
    let unknown = server.post("/v1/flows", flow("nothing")).await;
    assert_eq!((unknown.problem(422).as_str(), &unknown.json()["errors"][0]["path"]), ("invalid", &json!("transformation")));
    let id = server.post("/v1/flows", flow("enrich")).await.expect(201)["id"].clone();
    let try_on = async |event: Value| server.post("/v1/flows/test", json!({"flow": id, "event": event})).await.expect(200);
    let tried = try_on(json!({"event": "purchase", "userId": "u", "properties": {"total": 21}})).await;
    assert_eq!(tried["steps"][0]["resolved"]["balances"]["points"]["add"], "42", "{tried}");
    assert_eq!((&tried["transformation"]["log"], &tried["transformation"]["outcome"]), (&json!(["total 21"]), &json!("kept")));
    let dropped = try_on(json!({"event": "noise"})).await;
    assert_eq!((&dropped["matched"], &dropped["transformation"]["outcome"]), (&json!(false), &json!("dropped")));
    let failed = try_on(json!({"event": "purchase"})).await;
    assert_eq!(failed["transformation"]["error"]["line"], 4, "{failed}");
    let stored = json!({"flow": things.id("flow"), "source_event": things.id("source_event")});
    assert_eq!(server.post("/v1/flows/test", stored.clone()).await.expect(200)["matched"], true, "out of the inbox");
    let key = server.key(server.ours, &[domain::Scope::ConfigRead]).await;
    assert_eq!(server.call(&key, "POST", "/v1/flows/test", &stored).await.problem(403), "forbidden", "it is personal");
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_run_in_trials_alone_until_they_are_published() {
    let server = Server::start().await;
    let (path, library) = furnished(&server).await;
    let id = path.rsplit('/').next().unwrap();
    let mut body = json!({"slug": "enrich", "name": "Enrich", "code": CODE, "draft": "export const transformEvent = ("});
    let broken = server.call(&server.admin, "PUT", &path, &body).await.expect(200);
    assert_eq!((&broken["warnings"][0]["draft"], &broken["version"]), (&json!(true), &json!(2)), "{broken}");
    assert_eq!(server.post(&format!("{path}/publish"), Value::Null).await.problem(422), "invalid");
    body["draft"] = json!("export const transformEvent = (event) => ({ ...event, draft: true });");
    server.call(&server.admin, "PUT", &path, &body).await.expect(200);
    let trial = json!({"transformation": id, "events": [{"n": 1}, {"n": 2}]});
    let tried = server.post("/v1/transformations/test", trial).await.expect(200);
    assert_eq!(tried["events"][1]["events"], json!([{"n": 2, "draft": true}]), "{tried}");
    assert_eq!(server.get(&path).await.expect(200)["code"], CODE);
    let published = server.post(&format!("{path}/publish"), Value::Null).await.expect(200);
    assert_eq!((&published["code"], &published["draft"]), (&body["draft"], &Value::Null));
    assert_eq!(server.post(&format!("{path}/publish"), Value::Null).await.problem(409), "not_allowed");
    // Nothing imports the library any more.
    server.call(&server.admin, "DELETE", &library, &Value::Null).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_something_depends_on_is_kept() {
    let server = Server::start().await;
    server.furnish().await;
    let (path, library) = furnished(&server).await;
    let broken = json!({"slug": "rules", "name": "Rules", "library": true, "code": "export const other = 1;"});
    assert_eq!(server.call(&server.admin, "PUT", &library, &broken).await.problem(409), "in_use");
    assert_eq!(server.call(&server.admin, "DELETE", &library, &Value::Null).await.problem(409), "in_use");
    let flow = json!({"slug": "points", "project": "club", "transformation": "enrich", "when": {"event": "purchase"},
        "steps": [{"id": "card", "action": "issue"}]});
    server.post("/v1/flows", flow).await.expect(201);
    assert_eq!(server.call(&server.admin, "DELETE", &path, &Value::Null).await.problem(409), "in_use");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_makes_the_bodies_of_a_webhook_is_kept_and_stays_on() {
    let server = Server::start().await;
    server.furnish().await;
    let (path, _) = furnished(&server).await;
    let hook = json!({"name": "Coded", "url": "https://hooks.example.com/in", "dialect": "native",
        "payload": {"transformation": "enrich"}});
    let hook = server.post("/v1/webhooks", hook).await.expect(201);
    let code = server.get(&path).await.expect(200)["code"].clone();
    let with = |slug: &str, enabled: bool| json!({"slug": slug, "name": "Enrich", "code": code, "enabled": enabled});
    for refused in [with("renamed", true), with("enrich", false)] {
        let reply = server.call(&server.admin, "PUT", &path, &refused).await;
        assert!(reply.text().contains("“Coded”"), "{}", reply.text());
        assert_eq!(reply.problem(409), "in_use");
    }
    assert_eq!(server.call(&server.admin, "DELETE", &path, &Value::Null).await.problem(409), "in_use");
    server.call(&server.admin, "PUT", &path, &with("enrich", true)).await.expect(200);
    let hook = format!("/v1/webhooks/{}", hook["id"].as_str().unwrap());
    server.call(&server.admin, "DELETE", &hook, &Value::Null).await.expect(204);
    server.call(&server.admin, "PUT", &path, &with("enrich", false)).await.expect(200);
    server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(204);
}
