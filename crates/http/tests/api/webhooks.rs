//! What people ask of their webhooks, over the API.

use serde_json::{Value, json};

use crate::server::Server;

fn hook(more: Value) -> Value {
    let mut all = json!({"name": "Hook", "url": "https://hooks.example.com/", "dialect": "native"});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_payloads_are_checked_before_they_are_saved() {
    let server = Server::start().await;
    let code = json!({"slug": "mine", "name": "Mine", "enabled": true,
        "code": "export function transformEvent(event) { return { id: event.data.pass.id }; }"});
    server.post("/v1/transformations", code).await.expect(201);
    let fails = json!({"slug": "fails", "name": "Fails", "enabled": true,
        "code": "export function transformEvent(event) { return event.none.at.all; }"});
    server.post("/v1/transformations", fails).await.expect(201);
    for good in [
        json!({"filter": r#"type = "pass.installed" and (properties.pass.fields.tier = "gold" or traits.tier exists)"#}),
        json!({"payload": {"template": {"text": r#"{"t": {{ type | tojson }}}"#}}}),
        json!({"payload": {"template": {"text": "{{ traits.name }} installed", "content": "text"}}, "dialect": "flat"}),
        json!({"payload": {"mapping": {"id": {"@path": "$.data.pass.id"}}}, "dialect": "standard-webhooks"}),
        json!({"payload": {"transformation": "mine"}}),
    ] {
        let made = server.post("/v1/webhooks", hook(good.clone())).await.expect(201);
        for (name, value) in good.as_object().unwrap().iter().filter(|(name, _)| *name == "filter") {
            assert_eq!(&made[name], value);
        }
    }
    for (wrong, at, part) in [
        (json!({"filter": "type = \"a\" and\nproperties.x >"}), "filter", "line 2, column 15"),
        (json!({"filter": "pass.state = 1"}), "filter", "line 1, column 1"),
        (json!({"payload": {"template": {"text": "{\n{{ type | shout }}"}}}), "payload.template.text", "line 2"),
        (json!({"payload": {"template": {"text": "{\"a\": {{ type }}}"}}}), "payload.template.text", "tojson"),
        (json!({"payload": {"mapping": {"a": {"@nope": 1}}}}), "payload.mapping.a", "@nope"),
        (json!({"payload": {"transformation": "none"}}), "payload.transformation", "make it first"),
        (json!({"payload": {"transformation": "fails"}}), "payload.transformation", "it fails on a sample event"),
        (json!({"payload": {"mapping": {"a": 1}}, "dialect": "passkit"}), "payload", "signs its own body"),
    ] {
        let refused = server.post("/v1/webhooks", hook(wrong.clone())).await;
        assert_eq!(refused.problem(422), "invalid", "{wrong}");
        let error = refused.json()["errors"][0].clone();
        assert!(error["path"].as_str().unwrap().starts_with(at), "{wrong}: {error}");
        assert!(error["message"].as_str().unwrap().contains(part), "{wrong}: {error}");
    }
}
