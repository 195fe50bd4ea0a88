//! Batches at the door: what is taken, what is refused, and what is kept of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Reply, Server};

async fn upload(server: &Server, batch: &Value, headers: &[(&str, &str)], rows: impl Into<bytes::Bytes>) -> Reply {
    let path = format!("/v1/batches/{}/rows", batch["id"].as_str().unwrap());
    let bearer = format!("Bearer {}", server.admin);
    let headers = [&[("authorization", bearer.as_str())], headers].concat();
    server.send("PUT", &path, &headers, rows).await
}

async fn made(server: &Server, document: Value) -> Value {
    server.post("/v1/batches", document).await.expect(201)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_awaits_its_rows_and_is_checked() {
    let server = Server::start().await;
    let things = server.furnish().await;
    server.forward(Duration::from_secs(1));
    let document = json!({"project": "club", "operation": "issue", "map": {"external_id": "$.No"}, "start": "if_clean"});
    let batch = made(&server, document.clone()).await;
    assert_eq!((&batch["state"], &batch["start"], &batch["bytes"]), (&json!("awaiting_rows"), &json!("if_clean"), &Value::Null));
    assert_eq!(batch["project"], things.id("project"));
    let path = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    for turn in ["run", "resume"] {
        assert_eq!(server.post(&format!("{path}/{turn}"), Value::Null).await.problem(409), "not_allowed", "{turn}");
    }
    let rows = "No,Name\r\n1,Ada\r\n";
    let kept = upload(&server, &batch, &[("content-type", "text/csv")], rows).await.expect(200);
    assert_eq!((&kept["state"], &kept["bytes"]), (&json!("checking"), &json!(rows.len())));
    assert_eq!(upload(&server, &batch, &[], rows).await.problem(409), "not_allowed", "a batch has one file");
    let turn = async |to: &str| server.post(&format!("{path}/{to}"), Value::Null).await;
    assert_eq!(turn("pause").await.expect(200)["state"], "paused");
    assert_eq!(turn("run").await.problem(409), "not_allowed");
    assert_eq!(turn("resume").await.expect(200)["state"], "checking");
    let report = server.get(&format!("{path}/report")).await;
    assert_eq!((report.status.as_u16(), report.text().as_str()), (200, ""), "nothing was read yet");
    assert!(report.header("content-disposition").contains("-failed.csv"));
    assert_eq!(turn("cancel").await.expect(200)["state"], "cancelled");
    assert_eq!(turn("resume").await.problem(409), "not_allowed");
    let listed = server.get("/v1/batches").await.expect(200);
    assert_eq!(
        (listed["data"].as_array().unwrap().len(), &listed["data"][0]["id"], &listed["data"][0]["state"]),
        (2, &batch["id"], &json!("cancelled")),
        "newest first"
    );
    assert!(
        server.get("/v1/publications").await.expect(200)["data"].as_array().unwrap().iter().all(|it| it["id"] != batch["id"])
    );
    let of_another_kind = format!("/v1/publications/{}", batch["id"].as_str().unwrap());
    assert_eq!(server.get(&of_another_kind).await.problem(404), "not_found");
    let audit = server.get("/v1/audit").await.expect(200);
    let entries = audit["data"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "batch");
    let actions: Vec<&str> = entries.filter_map(|entry| entry["action"].as_str()).collect();
    assert!(actions.contains(&"create") && actions.contains(&"upload"), "{actions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_a_batch_are_named() {
    let server = Server::start().await;
    server.furnish().await;
    let cases = [
        (json!({"operation": "issue"}), "project"),
        (json!({"project": "nope", "operation": "issue"}), "no project `nope`"),
        (json!({"project": "club", "operation": "melt"}), "melt"),
        (json!({"project": "club", "operation": "issue", "map": {"fields": {"nope": "$.x"}}}), "no field of this key"),
        (json!({"project": "club", "operation": "issue", "match_columns": false}), "tells passes apart"),
        (json!({"project": "club", "operation": "issue", "encoding": "klingon"}), "no known encoding"),
        (json!({"project": "club", "operation": "issue", "start": "soon"}), "start"),
        (json!({"project": "club", "operation": "revoke", "if_exists": "skip"}), "if_exists"),
        (json!({"project": "club", "operation": "notify", "start": "always", "start_at": "2027-02-01T09:00:00"}), "start_at"),
        (json!({"project": "club", "operation": "notify", "start": "always", "start_at": "2031-02-01T09:00:00Z"}), "400 days"),
        (json!({"project": "club", "operation": "notify", "start_at": "2027-02-01T09:00:00Z"}), "set `start` to"),
        (json!({"project": "club", "operation": "issue", "colour": 1}), "colour"),
    ];
    for (document, expected) in cases {
        let reply = server.post("/v1/batches", document.clone()).await;
        assert_eq!(reply.problem(422), "invalid", "{document}");
        assert!(reply.text().contains(expected), "{document}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_refused_whole_and_may_be_sent_again() {
    let server = Server::start().await;
    server.furnish().await;
    let batch = made(&server, json!({"project": "club", "operation": "issue"})).await;
    // More than a chunk before the fault.
    let long = [b"external_id\n".to_vec(), b"row\n".repeat(200_000), b"Zo\xeb\n".to_vec()].concat();
    for (rows, expected) in [
        (long.as_slice(), "line 200002"),
        (b"external_id\nZo\xeb\n", "byte 15 (line 2) is no UTF-8"),
        (b"PK\x03\x04rest", "save it as CSV"),
        (b"", "empty"),
    ] {
        let reply = upload(&server, &batch, &[], rows.to_vec()).await;
        assert_eq!(reply.problem(422), "invalid");
        assert!(reply.text().contains(expected), "{expected}: {}", reply.text());
    }
    assert_eq!(upload(&server, &batch, &[], "external_id\n1\n").await.expect(200)["state"], "checking");
    let latin = made(&server, json!({"project": "club", "operation": "issue", "encoding": "windows-1252"})).await;
    let kept = upload(&server, &latin, &[], b"external_id,name\n1,Zo\xeb\n".to_vec()).await.expect(200);
    assert_eq!(kept["bytes"], "external_id,name\n1,Zoë\n".len(), "it is kept as UTF-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_held_back_are_looked_at_and_mapped_before_they_are_checked() {
    let server = Server::start().await;
    server.furnish().await;
    let batch = made(&server, json!({"project": "club", "operation": "issue", "map": {"external_id": null}})).await;
    let path = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    assert_eq!(server.get(&format!("{path}/sample")).await.expect(200)["rows"], json!([]), "they are not there yet");
    let change = async |to: Value| server.call(&server.admin, "PATCH", &path, &to).await;
    let early = change(json!({})).await;
    assert_eq!(early.problem(409), "not_allowed");
    assert!(early.text().contains("waiting for its rows: upload them first"), "{}", early.text());
    let bearer = format!("Bearer {}", server.admin);
    let rows = "Karte;Name\n1;Zoë\n2\n3;Ada\n";
    let kept = server.send("PUT", &format!("{path}/rows?hold=true"), &[("authorization", &bearer)], rows).await.expect(200);
    assert_eq!(kept["state"], "uploaded");
    for turn in ["run", "resume"] {
        assert_eq!(server.post(&format!("{path}/{turn}"), Value::Null).await.problem(409), "not_allowed", "{turn}");
    }
    let sample = server.get(&format!("{path}/sample?limit=2")).await.expect(200);
    assert_eq!((&sample["columns"], &sample["delimiter"]), (&json!(["Karte", "Name"]), &json!(";")));
    assert_eq!(sample["rows"][0], json!({"row": 1, "line": 2, "cells": {"Karte": "1", "Name": "Zoë"}, "fault": null}));
    assert!(sample["rows"][1]["fault"].as_str().unwrap().contains("1 cells"), "{sample}");
    assert_eq!(sample["rows"].as_array().unwrap().len(), 2);
    for (wrong, expected) in [
        (json!({"map": {"external_id": "$.Card"}}), "no column `Card`"),
        (json!({"map": {"fields": {"nope": "$.Name"}}}), "map.fields.nope"),
        (json!({"map": {}, "match_columns": false}), "tells passes apart"),
        (json!({"encoding": "utf-8"}), "is settled"),
        (json!({"start": "soon"}), "start"),
        (json!({"start_at": "2027-02-01T09:00:00Z"}), "set `start` to"),
    ] {
        let refused = change(wrong.clone()).await;
        assert_eq!(refused.problem(422), "invalid", "{wrong}");
        assert!(refused.text().contains(expected), "{wrong}: {}", refused.text());
    }
    assert_eq!(server.get(&path).await.expect(200)["state"], "uploaded", "what was refused changed nothing");
    let map = json!({"external_id": "$.Karte", "contact": {"name": "$.Name"}});
    let changed = change(json!({"map": map, "start": "if_clean"})).await.expect(200);
    assert_eq!(
        (&changed["state"], &changed["document"]["map"], &changed["start"]),
        (&json!("checking"), &map, &json!("if_clean"))
    );
    assert_eq!(change(json!({})).await.problem(409), "not_allowed", "not while it is checked");
    server.post(&format!("{path}/pause"), Value::Null).await.expect(200);
    assert_eq!(change(json!({"start": null})).await.expect(200)["start"], "by_hand");
    assert_eq!(server.get(&format!("{path}/failures")).await.expect(200)["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_are_guessed_and_tried() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/v1/projects/{}", things.id("project"));
    let places = server.get(&format!("{path}/mapping-targets?action=issue&over=rows")).await.expect(200);
    let one = |place: &str| places["data"].as_array().unwrap().iter().find(|it| it["place"] == place).cloned().unwrap();
    assert_eq!((&one("external_id")["required"], &one("fields.tier")["label"]), (&json!(true), &json!("Tier")));
    assert_eq!((&one("balances.points")["takes"], &one("balances.points")["default"]), (&json!("amount"), &json!("0")));
    let row = json!({"Member No.": "7", "E-Mail": "ADA@example.com", "Tier": "gold", "points": "1.50"});
    let guess = json!({"over": "rows", "sample": row});
    let map = server.post(&format!("{path}/mapping-suggestion"), guess).await.expect(200)["map"].clone();
    assert_eq!(map["external_id"], json!({"@path": "$.['Member No.']"}));
    let tried = json!({"over": "rows", "sample": row, "map": map});
    let found = server.post(&format!("{path}/mapping-test"), tried).await.expect(200);
    assert_eq!(found["problems"], json!([]));
    assert_eq!(found["resolved"]["contact"]["email"], "ada@example.com");
    assert_eq!((&found["resolved"]["balances"]["points"], &found["values"]["balances.points"]), (&json!("1.5"), &json!("1.50")));
    let text = json!({"over": "rows", "sample": row, "text": "external_id: $.nothing\nfields:\n  tier: $.Tier\n"});
    let found = server.post(&format!("{path}/mapping-test"), text).await.expect(200);
    assert_eq!((&found["resolved"], &found["problems"][0]["path"]), (&Value::Null, &json!("external_id")));
    assert_eq!(found["values"], json!({"fields.tier": "gold"}));
    let broken = server.post(&format!("{path}/mapping-test"), json!({"text": "a: [\n"})).await;
    assert_eq!(broken.problem(422), "invalid");
    assert!(broken.text().contains("line"), "{}", broken.text());
    assert_eq!(server.post(&format!("{path}/mapping-test"), json!({})).await.problem(422), "invalid");
}
