//! What passes show beside their own facts: a new name, or a new key for their codes, reaches the phones that hold them.

use serde_json::{Value, json};

use crate::server::{Reply, Server, Things, signer_input};

const PASS_TYPE: &str = "pass.com.example.cards";

/// A pass on a phone whose design shows its variant's name and a signed code.
struct Held {
    server: Server,
    /// The project as it is put.
    project: Value,
    at: String,
    template: String,
    path: String,
    auth: String,
}

impl Held {
    async fn new() -> Self {
        let server = Server::start().await;
        let bearer = format!("Bearer {}", server.admin);
        let image = [("authorization", bearer.as_str()), ("content-type", "image/png")];
        let icon = server.send("POST", "/v1/images", &image, crate::server::png()).await.expect(201)["sha256"].clone();
        server.post("/v1/signers", signer_input(PASS_TYPE)).await.expect(201);
        let mut project = Things::bare_project("cards");
        project["apple_pass_type"] = json!(PASS_TYPE);
        let made = server.post("/v1/projects", project.clone()).await.expect(201);
        let mut design = Things::design(icon.as_str().unwrap());
        design["fields"] = json!([{"key": "tier", "label": "Tier", "value": "{{variant.name}}", "place": "header"}]);
        design["barcode"] = json!({"format": "qr", "value": "{{pass.signed}}"});
        let template = json!({"project": made["id"], "name": "Card", "design": design});
        let template = server.post("/v1/templates", template).await.expect(201)["id"].as_str().unwrap().to_owned();
        server.post(&format!("/v1/templates/{template}/publish"), Value::Null).await.expect(200);
        project["variants"] = json!([{"id": "base", "name": "Base", "template": template}]);
        let at = format!("/v1/projects/{}", made["id"].as_str().unwrap());
        server.call(&server.admin, "PUT", &at, &project).await.expect(200);
        let pass = server.post("/v1/passes", json!({"project": made["id"]})).await.expect(201);
        let page = pass["links"]["apple"].as_str().unwrap();
        let package = server.send("GET", &page[page.find("/p/").unwrap()..], &[], "").await;
        let auth = read(&package)["authenticationToken"].as_str().unwrap().to_owned();
        let path = format!("{PASS_TYPE}/{}", pass["serial"].as_str().unwrap());
        let held = Self { server, project, at, template, path, auth: format!("ApplePass {auth}") };
        let register = format!("/apple/v1/devices/phone/registrations/{}", held.path);
        let registered = held.server.send("POST", &register, &[("authorization", &held.auth)], r#"{"pushToken":"00ff"}"#).await;
        assert_eq!(registered.status.as_u16(), 201, "{}", registered.text());
        held
    }

    async fn fetch(&self, since: &str) -> Reply {
        let headers = [("authorization", self.auth.as_str()), ("if-modified-since", since)];
        self.server.send("GET", &format!("/apple/v1/passes/{}", self.path), &headers, "").await
    }

    /// The tag after everything that the phone is told of since `tag`.
    async fn listed(&self, tag: &str) -> Option<String> {
        let path = format!("/apple/v1/devices/phone/registrations/{PASS_TYPE}?passesUpdatedSince={tag}");
        let listed = self.server.send("GET", &path, &[], "").await;
        (listed.status.as_u16() == 200).then(|| listed.json()["lastUpdated"].as_str().unwrap().to_owned())
    }

    async fn publications(&self) -> usize {
        let listed = self.server.get("/v1/publications").await.expect(200);
        let of_card = |it: &&Value| it["template"] == self.template.as_str() && it["version"] == 1;
        listed["data"].as_array().unwrap().iter().filter(of_card).count()
    }
}

fn read(package: &Reply) -> Value {
    assert_eq!(package.status.as_u16(), 200, "{}", package.text());
    let package = pkpass::Package::parse(&package.bytes, &pkpass::Limits::PASS).unwrap();
    serde_json::from_slice(package.file("pass.json").unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_or_key_is_on_the_phones_that_hold_the_pass() {
    let mut held = Held::new().await;
    let first = held.fetch("").await;
    let tier = |package: &Reply| read(package)["storeCard"]["headerFields"][0]["value"].clone();
    let code = |package: &Reply| read(package)["barcodes"][0]["message"].as_str().unwrap().to_owned();
    assert_eq!(tier(&first), "Base");
    let tag = held.listed("").await.unwrap();
    // The list names nothing that the phone was told of with the same clock again.
    held.project["uses_limit"] = json!(9);
    held.server.call(&held.server.admin, "PUT", &held.at, &held.project).await.expect(200);
    assert_eq!(held.fetch(first.header("last-modified")).await.status.as_u16(), 304, "a limit is not shown");
    assert_eq!(held.publications().await, 0);

    held.project["variants"][0]["name"] = json!("Basis");
    held.server.call(&held.server.admin, "PUT", &held.at, &held.project).await.expect(200);
    let renamed = held.fetch(first.header("last-modified")).await;
    assert_eq!((tier(&renamed), held.publications().await), (json!("Basis"), 1));
    assert_eq!(held.fetch(renamed.header("last-modified")).await.status.as_u16(), 304);
    let tag = held.listed(&tag).await.expect("the phone is told which pass to fetch");

    held.server.call(&held.server.admin, "PUT", "/v1/scans/keys", &json!({"retire_older": true})).await.expect(200);
    let signed = held.fetch(renamed.header("last-modified")).await;
    assert_ne!(code(&signed), code(&renamed));
    assert!(held.listed(&tag).await.is_some());
    assert_eq!(held.publications().await, 2);
    let scan = async |code: String| held.server.post("/v1/scans", json!({"code": code})).await.expect(200)["accepted"].clone();
    assert_eq!((scan(code(&renamed)).await, scan(code(&signed)).await), (json!(false), json!(true)));
    assert_eq!(
        held.server.get(&format!("/v1/templates/{}", held.template)).await.expect(200)["version"],
        1,
        "the design is the same"
    );
}
