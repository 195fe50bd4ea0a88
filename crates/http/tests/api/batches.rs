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
