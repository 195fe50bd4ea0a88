//! `/v1/doctor`: the whole set-up, and passes, certificates and designs that are handed in.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::server::{NOW, Server, Things, VALIDITY, account_input, authority, signer_input};

fn rules(diagnosis: &Value) -> Vec<&str> {
    diagnosis["findings"].as_array().unwrap().iter().map(|found| found["rule"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_is_examined_as_a_whole() {
    let server = Server::start().await;
    let empty = server.get("/v1/doctor").await.expect(200);
    assert!(empty["calendar"] == json!([]) && empty["checked_at"].is_string(), "{empty}");
    assert!(rules(&empty).iter().all(|rule| rule.starts_with("public_url")), "{empty}");

    let things = server.furnish().await;
    let mut club = Things::bare_project("club");
    club["variants"] = json!([{"id": "base", "name": "Base", "template": things.id("template")}]);
    club["balances"] = json!({});
    server.call(&server.admin, "PUT", &format!("/v1/projects/{}", things.id("project")), &club).await.expect(200);
    server.post("/v1/signers", signer_input("pass.com.example.other")).await.expect(201);
    server.post("/v1/google-accounts", account_input("3388000000000000077")).await.expect(201);
    let mut bare = Things::bare_project("bare");
    bare["apple_pass_type"] = json!("pass.com.example.other");
    server.post("/v1/projects", bare).await.expect(201);
    let whole = server.get("/v1/doctor").await.expect(200);
    let found = rules(&whole);
    for rule in ["chain", "design_outdated", "google_development", "project_without_design", "source_parked"] {
        assert!(found.contains(&rule), "{rule}: {whole:#}");
    }
    let names: Vec<_> = whole["calendar"].as_array().unwrap().iter().map(|end| end["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"pass.com.example.other") && names.contains(&"pass.com.example.club"), "{names:?}");
    for found in whole["findings"].as_array().unwrap() {
        for key in ["area", "severity", "path", "rule", "consequence", "mend", "source"] {
            assert!(found[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {found}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_in_is_examined_and_not_kept() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let post = async |body: Value| server.post("/v1/doctor", body).await;

    let portal = authority();
    let made = portal.issue_pass_type("pass.com.example.club", "TEAM123456", VALIDITY).unwrap();
    let chain = format!("{}{}", made.certificate, portal.intermediate_pem());
    let told = post(json!({"certificate": chain})).await.expect(200);
    assert_eq!((rules(&told), &told["verdict"]), (vec!["chain"], &json!("refused")));
    let apple = post(json!({"certificate": encode(pkpass::APPLE_WWDR_G4)})).await.expect(200);
    assert_eq!((rules(&apple), &apple["verdict"]), (vec![], &json!("well")));

    let identity = portal.issue_identity("pass.com.example.club", "TEAM123456", VALIDITY).unwrap();
    let mut model = pkpass::Pass::new(
        pkpass::model::PassIdentity {
            pass_type_identifier: "pass.com.example.club".to_owned(),
            team_identifier: "TEAM123456".to_owned(),
            serial_number: "1".to_owned(),
        },
        "Example",
        "Card",
        pkpass::model::Style::StoreCard(pkpass::model::Fields::default()),
    );
    model.expiration_date = Some("tomorrow".to_owned());
    let built = pkpass::build_pass(&model, &pkpass::Assets::prepare([]).unwrap(), &identity, NOW.as_seconds()).unwrap();
    let told = post(json!({"package": encode(&built)})).await.expect(200);
    let found = rules(&told);
    for rule in ["icon_missing", "date", "chain"] {
        assert!(found.contains(&rule), "{rule}: {told:#}");
    }

    let design = json!({"issuer": "Bean", "title": "Bean", "description": "Card",
        "fields": [{"key": "a", "label": "A", "value": "1", "place": "header"}]});
    let told = post(json!({"template": {"project": things.id("project"), "design": design}})).await.expect(200);
    assert!(rules(&told).contains(&"icon_missing") && told["losses"].is_array(), "{told:#}");

    for (body, path) in [
        (json!({}), ""),
        (json!({"package": "?"}), "package"),
        (json!({"package": "AAAA"}), "package"),
        (json!({"certificate": "AAAA"}), "certificate"),
        (json!({"certificate": "AAAA", "package": "AAAA"}), ""),
        (json!({"template": {"project": domain::ProjectId::from_uuid(uuid::Uuid::nil()), "design": design}}), "template.project"),
    ] {
        let refused = post(body.clone()).await;
        assert_eq!(refused.problem(422), "invalid", "{body}");
        assert_eq!(refused.json()["errors"][0]["path"], path, "{body}");
    }
}
