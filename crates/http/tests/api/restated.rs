//! What reading a thing gives, replacing it takes.

use domain::Scope;
use serde_json::{Value, json};

use crate::server::{Server, Things};

/// Those whose `PUT` is about something that reading never gives, and what it says to who sends back what was read.
const ABOUT_SECRETS: [(&str, u16, &str); 2] = [("/v1/signers/{signer}", 422, ""), ("/v1/scans/keys", 422, "organization")];

/// The addresses that can be read and replaced, by the document.
fn restated() -> Vec<String> {
    let document = http_server::openapi();
    let is_both = |methods: &Value| methods["get"].is_object() && methods["put"].is_object();
    let paths = document["paths"].as_object().unwrap().iter();
    paths.filter(|(_, methods)| is_both(methods)).map(|(path, _)| path.clone()).collect()
}

fn of(things: &Things, path: &str) -> String {
    things.ids.iter().fold(path.to_owned(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_taken_back_and_changes_nothing() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let off = json!({"name": "Off", "url": "https://hooks.example.com/off", "enabled": false, "headers": {"x-key": "hush"},
        "auth": {"type": "basic", "user": "a", "password": "hush"}});
    let missing = server.post("/v1/webhooks", off).await.expect(201);
    let missing = format!("/v1/webhooks/{}", missing["id"].as_str().unwrap());
    let paths = restated();
    assert!(paths.len() >= 12, "{paths:?}");
    let mut tried: Vec<(String, String)> = paths.iter().map(|path| (path.clone(), of(&things, path))).collect();
    tried.push(("/v1/webhooks/{webhook}".to_owned(), missing));
    let operator = server.key(server.ours, &[Scope::Operator]).await;
    for (path, one) in tried {
        let key = if path.starts_with("/v1/organizations") { &operator } else { &server.admin };
        let read = async || server.call(key, "GET", &one, &Value::Null).await.expect(200);
        let again = async |body: Value| server.call(key, "PUT", &one, &body).await;
        let before = read().await;
        if let Some((_, status, at)) = ABOUT_SECRETS.iter().find(|(known, ..)| *known == path) {
            let refused = again(before.clone()).await;
            assert_eq!(refused.problem(*status), "invalid", "{path}");
            assert_eq!(refused.json()["errors"][0]["path"], *at, "{path}: {}", refused.text());
            continue;
        }
        // A flow is its document, and what is around that is about it.
        let body = if path == "/v1/flows/{flow}" { before["document"].clone() } else { before.clone() };
        assert_eq!(again(body).await.expect(200)["id"], before["id"], "{path}");
        let mut after = read().await;
        match path.as_str() {
            "/v1/flows/{flow}" | "/v1/transformations/{transformation}" => after["version"] = before["version"].clone(),
            // What is published is changed by a draft, and what becomes of that cannot be said twice.
            "/v1/templates/{template}" => {
                assert_eq!(after["draft"]["design"], before["design"]);
                let refused = again(after.clone()).await;
                assert_eq!((refused.problem(422).as_str(), &refused.json()["errors"][0]["path"]), ("invalid", &json!("draft")));
                after["draft"] = Value::Null;
            }
            _ => {}
        }
        assert_eq!(after, before, "{path}");
        let mut wrong = before.clone();
        wrong["no_such_member"] = json!(1);
        let refused = again(wrong).await;
        assert_eq!(refused.problem(422), "invalid", "{path}");
        assert!(refused.text().contains("no_such_member") || path == "/v1/flows/{flow}", "{path}: {}", refused.text());
    }
}
