//! Two look at what one of them is about to name, and the other to remove or to change: whoever comes second decides again.

use domain::{Project, Source, Template, Variant};
use serde_json::{Value, json};
use store::{ConfigChange, ConfigWritten, OrgCatalog, Resource, Stored, StoredFlow, StoredTarget};
use uuid::Uuid;

use crate::server::{NOW, Server, Things};

/// Writes something as it is written while another request decides: the server has not read it yet.
async fn overtake<T: Resource>(server: &Server, value: &T, revision: i64, deleted: bool) {
    let change =
        ConfigChange { org: server.ours, actor: "{}".to_owned(), now: NOW, names: Vec::new(), removed_names: Vec::new() };
    let write = server.store.config_write(&change, value, revision, deleted).unwrap();
    assert!(matches!(server.store.backend().write_config(write).await.unwrap(), ConfigWritten::Done(_)));
}

fn catalog(server: &Server) -> std::sync::Arc<OrgCatalog> {
    std::sync::Arc::clone(server.store.catalog().org(server.ours).unwrap())
}

fn id(value: &Value) -> Uuid {
    let id: domain::ProjectId = value.as_str().unwrap().parse().unwrap();
    id.uuid()
}

async fn change_flow(server: &Server, flow: &Value, key: &str, value: Value) {
    let held: Stored<StoredFlow> = catalog(server).flows[&id(flow)].clone();
    let mut changed = (*held.value).clone();
    changed.document[key] = value;
    overtake(server, &changed, held.revision, false).await;
}

async fn change_project(server: &Server, project: &Value, change: impl FnOnce(&mut Project)) {
    let held = catalog(server).projects[&id(project)].clone();
    let mut changed = (*held.value).clone();
    change(&mut changed);
    overtake(server, &changed, held.revision, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_meanwhile_is_not_removed() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (flow, club) = (json!(things.id("flow")), json!(things.id("project")));
    let till = server.post("/v1/sources", json!({"slug": "till", "name": "Till"})).await.expect(201);
    let other = server.post("/v1/projects", Things::bare_project("other")).await.expect(201);
    let spare = json!({"project": club, "name": "Spare", "design": Things::design(things.id("sha256"))});
    let spare = server.post("/v1/templates", spare).await.expect(201);
    let refused = async |path: String| {
        assert_eq!(server.call(&server.admin, "DELETE", &path, &Value::Null).await.problem(409), "in_use", "{path}");
    };

    change_flow(&server, &flow, "sources", json!(["till"])).await;
    refused(format!("/v1/sources/{}", till["id"].as_str().unwrap())).await;
    change_flow(&server, &flow, "transformation", json!("tidy")).await;
    refused(format!("/v1/transformations/{}", things.id("transformation"))).await;
    change_flow(&server, &flow, "project", json!("other")).await;
    refused(format!("/v1/projects/{}", other["id"].as_str().unwrap())).await;

    change_project(&server, &club, |club| club.apple_pass_type = Some("pass.com.example.club".to_owned())).await;
    refused(format!("/v1/signers/{}", things.id("signer"))).await;
    change_project(&server, &club, |club| club.google_issuer = Some("3388000000000000001".to_owned())).await;
    refused(format!("/v1/google-accounts/{}", things.id("account"))).await;
    let template = domain::TemplateId::from_uuid(id(&spare["id"]));
    change_project(&server, &club, |club| {
        let variant = Variant { id: "spare".parse().unwrap(), template, ..club.variants[0].clone() };
        club.variants.push(variant);
    })
    .await;
    refused(format!("/v1/templates/{}", spare["id"].as_str().unwrap())).await;

    // What merely happened at the same time is no hindrance.
    change_flow(&server, &flow, "sources", json!(["shop"])).await;
    server.store.refresh().await.unwrap();
    change_flow(&server, &flow, "name", json!("Signed up")).await;
    let path = format!("/v1/sources/{}", till["id"].as_str().unwrap());
    server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_meanwhile_is_not_named() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let refused = async |method: &str, path: &str, body: Value, place: &str| {
        let reply = server.call(&server.admin, method, path, &body).await;
        assert_eq!(reply.problem(422), "invalid", "{path}");
        assert!(reply.json()["errors"][0]["path"].as_str().unwrap().starts_with(place), "{}", reply.text());
    };
    let flow = |slug: &str| {
        json!({"slug": slug, "project": "club", "sources": ["shop"], "when": {"event": "signed_up"},
               "steps": [{"id": "card", "action": "issue"}]})
    };
    let mut coded = flow("coded");
    coded.as_object_mut().unwrap().remove("sources");
    coded["transformation"] = json!("tidy");
    let project = format!("/v1/projects/{}", things.id("project"));
    let mut club = server.get(&project).await.expect(200);
    let made: Vec<String> = ["id", "created_at"].map(str::to_owned).into();
    club.as_object_mut().unwrap().retain(|key, _| !made.contains(key));

    let held: Stored<Source> = catalog(&server).sources[&id(&json!(things.id("source")))].clone();
    overtake(&server, &*held.value, held.revision, true).await;
    refused("POST", "/v1/flows", flow("listening"), "sources").await;

    let held = catalog(&server).transformations[&id(&json!(things.id("transformation")))].clone();
    overtake(&server, &*held.value, held.revision, true).await;
    refused("POST", "/v1/flows", coded.clone(), "transformation").await;
    server.post("/v1/transformations", Things::transformation("tidy")).await.expect(201);
    let held = catalog(&server).transformations.values().next().unwrap().clone();
    overtake(&server, &*held.value, held.revision, true).await;
    let hook = json!({"name": "Coded", "url": "https://hooks.example.com/in", "dialect": "native", "payload": {"transformation": "tidy"}});
    refused("POST", "/v1/webhooks", hook, "payload.transformation").await;

    let held = catalog(&server).signers[&id(&json!(things.id("signer")))].clone();
    overtake(&server, &*held.value, held.revision, true).await;
    club["apple_pass_type"] = json!("pass.com.example.club");
    refused("PUT", &project, club.clone(), "apple_pass_type").await;
    club["apple_pass_type"] = Value::Null;

    let spare = json!({"project": things.id("project"), "name": "Spare", "design": Things::design(things.id("sha256"))});
    let spare = server.post("/v1/templates", spare).await.expect(201);
    let held: Stored<Template> = catalog(&server).templates[&id(&spare["id"])].clone();
    overtake(&server, &*held.value, held.revision, true).await;
    club["variants"][0]["template"] = spare["id"].clone();
    refused("PUT", &project, club, "variants.0.template").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_switched_off_meanwhile_stays_off() {
    let server = Server::start().await;
    let things = server.furnish().await;
    for (path, id) in [("webhooks", things.id("webhook")), ("destinations", things.id("destination"))] {
        let path = format!("/v1/{path}/{id}");
        let mut wish = server.get(&path).await.expect(200);
        wish["name"] = json!("Renamed");
        let held: Stored<StoredTarget> = catalog(&server).targets[&self::id(&json!(id))].clone();
        let mut off = (*held.value).clone();
        (off.target.enabled, off.target.missed_since) = (false, Some(NOW));
        off.target.disabled_reason = Some("the receiver answered 410".to_owned());
        overtake(&server, &off, held.revision, false).await;
        let put = async || server.call(&server.admin, "PUT", &path, &wish).await;
        assert_eq!(put().await.problem(412), "version_conflict", "{path}");
        let read = server.get(&path).await.expect(200);
        assert_eq!((&read["enabled"], &read["name"] == "Renamed"), (&json!(false), false), "{path}");
        assert_eq!((&read["disabled_reason"], read["missed_since"].is_string()), (&json!("the receiver answered 410"), true));
        // Whoever asks for it once more has seen it, and what it missed is still known.
        let on = put().await.expect(200);
        assert_eq!((&on["enabled"], &on["disabled_reason"], on["missed_since"].is_string()), (&json!(true), &Value::Null, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_renewed_by_two_at_once_are_renewed_once() {
    let server = Server::start().await;
    let path = "/v1/scans/keys";
    server.call(&server.admin, "PUT", path, &json!({})).await.expect(200);
    let held: Stored<store::ScanKeys> = catalog(&server).scan_keys.values().next().unwrap().clone();
    let renewed = store::ScanKeys { current: held.value.current + 1, ..(*held.value).clone() };
    overtake(&server, &renewed, held.revision, false).await;
    assert_eq!(server.call(&server.admin, "PUT", path, &json!({})).await.problem(412), "version_conflict");
    let keys = server.get(path).await.expect(200)["keys"].clone();
    assert_eq!(keys.as_array().unwrap().last().unwrap()["number"], renewed.current);
}
