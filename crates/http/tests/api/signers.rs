//! Signers: requests and Apple's answers to them, renewal and the way back, and warnings before the end.

use serde_json::{Value, json};

use crate::server::{NOW, Server, answer_input, authority, signer_input};

const PASS_TYPE: &str = "pass.com.example.club";
const TEAM: &str = "TEAM123456";

async fn asked(server: &Server, signer: Value) -> Value {
    let body = json!({"email": "passes@example.com", "name": "Bean & Co", "signer": signer});
    server.post("/v1/signing-requests", body).await.expect(201)
}

fn path_of(request: &Value) -> String {
    format!("/v1/signing-requests/{}/answer", request["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answered_request_makes_a_signer_and_later_ones_renew_it() {
    let (server, portal) = (Server::start().await, authority());
    let request = asked(&server, Value::Null).await;
    assert!(request["request"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    assert!(!request.to_string().contains("PRIVATE KEY"));
    let other = asked(&server, Value::Null).await;
    let of_other = answer_input(&portal, &other, PASS_TYPE, TEAM);
    let wrong = server.post(&path_of(&request), of_other.clone()).await;
    assert_eq!(wrong.problem(422), "invalid");
    assert!(wrong.text().contains("does not belong to the certificate"), "{}", wrong.text());
    let signer = server.post(&path_of(&request), answer_input(&portal, &request, PASS_TYPE, TEAM)).await.expect(201);
    assert_eq!((&signer["id"], &signer["pass_type"], &signer["team"]), (&request["id"], &json!(PASS_TYPE), &json!(TEAM)));
    assert_eq!((&signer["warning"], &signer["previous"]), (&Value::Null, &Value::Null));
    let gone = server.get(&format!("/v1/signing-requests/{}", request["id"].as_str().unwrap())).await;
    assert_eq!(gone.problem(404), "not_found");

    for (pass_type, team, word) in [("pass.com.example.else", TEAM, "pass type"), (PASS_TYPE, "TEAM999999", "team")] {
        let again = asked(&server, signer["id"].clone()).await;
        let refused = server.post(&path_of(&again), answer_input(&portal, &again, pass_type, team)).await;
        assert_eq!(refused.problem(422), "invalid");
        assert!(refused.text().contains(word), "{}", refused.text());
    }
    let renewed = server.post(&path_of(&other), of_other).await.expect(200);
    assert_eq!((&renewed["id"], &renewed["previous"]["serial"]), (&signer["id"], &signer["serial"]));
    assert_ne!(renewed["serial"], signer["serial"]);

    let back = format!("/v1/signers/{}/rollback", signer["id"].as_str().unwrap());
    let old = server.post(&back, Value::Null).await.expect(200);
    assert_eq!((&old["serial"], &old["previous"]["serial"]), (&signer["serial"], &renewed["serial"]));
    let forth = server.post(&back, Value::Null).await.expect(200);
    assert_eq!(forth["serial"], renewed["serial"]);
    let audit = server.get("/v1/audit?limit=100").await;
    assert!(audit.text().contains("signing_request") && !audit.text().contains("sealed"), "{}", audit.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_or_taken_back_is_refused() {
    let server = Server::start().await;
    for (email, name, path) in [("nobody", "Bean", "email"), ("passes@example.com", "", "name")] {
        let refused = server.post("/v1/signing-requests", json!({"email": email, "name": name})).await;
        assert_eq!(refused.problem(422), "invalid");
        assert_eq!(refused.json()["errors"][0]["path"], path);
    }
    let stray = json!({"email": "passes@example.com", "name": "Bean", "signer": domain::SignerId::from_uuid(uuid::Uuid::nil())});
    assert_eq!(server.post("/v1/signing-requests", stray).await.problem(404), "not_found");
    let signer = server.post("/v1/signers", signer_input(PASS_TYPE)).await.expect(201);
    let back = format!("/v1/signers/{}/rollback", signer["id"].as_str().unwrap());
    assert_eq!(server.post(&back, Value::Null).await.problem(409), "not_allowed");
    let request = asked(&server, Value::Null).await;
    for (certificate, word) in [("not base64!", "neither PEM nor base64"), ("AAAA", "certificate"), ("", "certificate")] {
        let refused = server.post(&path_of(&request), json!({"certificate": certificate})).await;
        assert_eq!(refused.problem(422), "invalid", "{certificate}");
        assert!(refused.text().contains(word), "{}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_near_end_is_told() {
    let server = Server::start().await;
    for (days, warning) in
        [(200, Value::Null), (80, json!("within_90_days")), (20, json!("within_30_days")), (5, json!("within_7_days"))]
    {
        let validity =
            pkpass::development::Validity { not_before: NOW.as_seconds() - 86_400, not_after: NOW.as_seconds() + days * 86_400 };
        let portal = authority();
        let pass_type = format!("pass.com.example.in{days}");
        let made = portal.issue_pass_type(&pass_type, TEAM, validity).unwrap();
        let body = json!({"certificate": made.certificate, "private_key": *made.key, "intermediate": portal.intermediate_pem()});
        let signer = server.post("/v1/signers", body).await.expect(201);
        assert_eq!((&signer["expires_in_days"], &signer["warning"]), (&json!(days), &warning));
    }
}
