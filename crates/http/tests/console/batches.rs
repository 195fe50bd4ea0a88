//! A file from its upload to its run, as somebody without scripts does it.

use domain::Scope;
use serde_json::{Value, json};
use store::{Batch, BatchPhase, BatchWork, Chunk, JobState};

use crate::{
    browser::{Browser, Page},
    server::{Server, Things},
};

const ROWS: &str = "Member No.;E-Mail;Tier;Points\n1;ada@example.com;gold;10\n2;zoe@example.com;silver;many\n";

/// Sends the upload form of a page with a file.
async fn upload(browser: &Browser<'_>, server: &Server, page: &Page, changes: &[(&str, &str)], file: &[u8]) -> Page {
    let mut body = Vec::new();
    for (name, value) in page.form("/console/batches/new").values.iter().filter(|(name, _)| name != "file") {
        let value = changes.iter().find(|(it, _)| it == name).map_or(value.as_str(), |(_, value)| value);
        body.extend(format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes());
    }
    body.extend(b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"rows.csv\"\r\n\r\n");
    body.extend(file);
    body.extend(b"\r\n--edge--\r\n");
    let (cookies, origin) = (browser.cookies(), format!("http://{}", server.address));
    let headers = [("cookie", cookies.as_str()), ("origin", &origin), ("content-type", "multipart/form-data; boundary=edge")];
    let reply = server.send("POST", "/console/batches/new", &headers, body).await;
    if reply.status.as_u16() == 303 {
        return browser.open(reply.header("location")).await;
    }
    Page { path: "/console/batches/new".to_owned(), way: Vec::new(), reply }
}

/// Leaves a batch as its check would: one row would fail.
async fn checked(server: &Server, batch: &str) {
    let mut batch: Batch = server.store.job::<BatchWork>(server.ours, batch.parse().unwrap()).await.unwrap().unwrap();
    let bundle = batch.id.uuid();
    let row = "2;zoe@example.com;<script>alert(2)</script>;many;2;3;Points;\"balances.points: expected a number\";\n";
    let chunk = Chunk { bundle, number: 0, bytes: row.as_bytes().to_vec() };
    server.store.put_chunk(server.ours, &chunk, server.app.now()).await.unwrap();
    batch.progress.layout = json!({"format": "csv", "columns": ["Member No.", "E-Mail", "Tier", "Points"], "delimiter": ";", "empty_cells": "ignore"});
    let check = &mut batch.progress.check;
    (check.rows, check.created, check.failed, check.report, check.report_chunks) = (2, 1, 1, Some(bundle), 1);
    check.still_void = 7;
    batch.progress.unused = vec!["Shoe <b>size".to_owned()];
    let check = &mut batch.progress.check;
    (check.began_at, check.ended_at) = (Some(server.app.now()), Some(server.app.now()));
    batch.progress.phase = BatchPhase::Check;
    batch.state = JobState::Paused;
    assert!(server.store.save_job(None, &batch, &[], server.app.now()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_uploaded_mapped_checked_and_run() {
    let server = Server::start().await;
    server.furnish().await;
    let browser = Browser::admin(&server).await;
    let page = browser.see("/console/batches/new").await;
    let mapping = upload(&browser, &server, &page, &[], ROWS.as_bytes()).await;
    assert!(mapping.path.ends_with("/map"), "{}", mapping.path);
    let path = mapping.path.trim_end_matches("/map").to_owned();
    let batch = path.rsplit('/').next().unwrap().to_owned();
    // What the columns are called suggests a map, and what it makes of the first values stands beside.
    mapping.expect(&[
        "value=\"$.['Member No.']\"",
        "value=\"$.E-Mail\"",
        "→ ada@example.com",
        "name=\"map.fields.tier\" value=\"$.Tier\"",
        "data-path=\"$.['Member No.']\"",
    ]);
    let form = mapping.form(&format!("{path}/map"));
    let wrong = browser.send(&form, &[("map.variant", "nope"), ("do", "try")]).await;
    wrong.expect(&["the project has no variant `nope`", "value=\"nope\"", "value=\"$.Tier\""]);
    let broken = browser.send(&form, &[("map.contact", "{nonsense"), ("do", "check")]).await;
    assert_eq!(broken.reply.status.as_u16(), 422);
    broken.expect(&["is no JSON", "value=\"$.Tier\""]);
    let unknown = browser.send(&form, &[("map.external_id", "$.Card"), ("do", "check")]).await;
    assert_eq!(unknown.reply.status.as_u16(), 422);
    unknown.expect(&["no column `Card`", "value=\"$.Card\"", "href=\"#f-map.external_id\""]);
    let text = "external_id: \"$.['Member No.']\"\ncontact: {email: $.E-Mail}\n";
    let written = browser.send(&form, &[("map.written", "a: ["), ("map.map_from", "written"), ("do", "try")]).await;
    written.expect(&["line 1", "a: ["]);

    let page = browser.send(&form, &[("map.written", text), ("map.map_from", "written"), ("do", "check")]).await;
    assert_eq!(page.path, path, "{}", page.text());
    page.expect(&["The rows are being checked.", "data-moves=\"true\""]);
    let view = server.get(&format!("/v1/batches/{batch}")).await.expect(200);
    assert_eq!((&view["document"]["map"]["contact"], &view["state"]), (&json!({"email": "$.E-Mail"}), &json!("checking")));

    let page = browser.submit(&page, &format!("{path}/pause"), &[]).await;
    page.expect(&["The batch is paused.", "Resume"]);
    checked(&server, &batch).await;
    let page = browser.see(&path).await;
    page.expect(&["would fail", "balances.points: expected a number", "line 3", "Run now"]);
    page.expect(&["&lt;script&gt;alert(2)", "zoe@example.com"]);
    page.expect(&["Nothing takes these columns: Shoe &lt;b&gt;size", "<strong>7</strong>", "met a pass that stays revoked"]);
    let view = server.get(&format!("/v1/batches/{batch}")).await.expect(200);
    assert_eq!((&view["unused_columns"], &view["check"]["still_void"]), (&json!(["Shoe <b>size"]), &json!(7)));
    assert!(!page.has("<script>alert"));
    let report = browser.see(&format!("{path}/report")).await;
    assert!(report.text().starts_with("Member No.;E-Mail;Tier;Points;batch_row;"), "{}", report.text());
    assert!(report.reply.header("content-disposition").contains("attachment"));

    let again = browser.see(&format!("/console/batches/new?like={batch}")).await;
    let mended = upload(&browser, &server, &again, &[], report.text().replace("many", "5").as_bytes()).await;
    mended.expect(&["value=\"$.E-Mail\""]);
    assert!(!mended.has("value=\"$.Tier\""), "the map of the batch before is taken over");

    let run = browser.submit(&page, &format!("{path}/run"), &[]).await;
    run.expect(&["The batch runs.", "Cancel"]);
    let cancelled = browser.submit(&run, &format!("{path}/cancel"), &[]).await;
    cancelled.expect(&["The batch is cancelled."]);
    let list = browser.see("/console/batches").await;
    list.expect(&["cancelled", "uploaded", "Club"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_uploaded_is_said_and_the_form_kept() {
    let server = Server::start().await;
    server.furnish().await;
    let browser = Browser::admin(&server).await;
    let page = browser.see("/console/batches/new").await;
    let refused = upload(&browser, &server, &page, &[("operation", "revoke"), ("encoding", "klingon")], b"a\n1\n").await;
    assert_eq!(refused.reply.status.as_u16(), 422);
    refused.expect(&["no known encoding", "value=\"klingon\"", "value=\"revoke\" selected"]);
    let refused = upload(&browser, &server, &page, &[], b"external_id\nZo\xeb\n").await;
    assert_eq!(refused.reply.status.as_u16(), 422);
    refused.expect(&["no UTF-8"]);
    let empty = upload(&browser, &server, &refused, &[], b"").await;
    empty.expect(&["the file is empty"]);
    let kept = upload(&browser, &server, &empty, &[], b"external_id\n1\n").await;
    assert!(kept.path.ends_with("/map"), "the form can be sent again: {}", kept.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_those_of_ones_own_and_of_ones_scopes() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/console/batches/{}", things.id("batch"));
    let stranger = Browser::with(&server, &server.stranger).await;
    for more in ["", "/map", "/report"] {
        assert_eq!(stranger.open(&format!("{path}{more}")).await.reply.status.as_u16(), 404, "{more}");
    }
    assert_eq!(stranger.once("POST", &format!("{path}/cancel"), "").await.status.as_u16(), 404);
    assert!(!stranger.see("/console/batches").await.has(things.id("batch")));
    let reader = Browser::scoped(&server, &[Scope::PassesRead, Scope::ConfigRead]).await;
    reader.see(&path).await;
    let refused = reader.once("POST", &format!("{path}/cancel"), "").await;
    assert_eq!(refused.status.as_u16(), 403);
    assert!(refused.text().contains("passes_write"));
    let odd = Things::bare_project("odd");
    let odd = json!({"slug": "odd", "name": "<script>alert(1)</script>", "kind": odd["kind"],
        "fields": [{"key": "x", "label": "<script>alert(2)</script>"}]});
    server.post("/v1/projects", odd).await.expect(201);
    let page = browser_of(&server).await.see("/console/batches/new").await;
    assert!(page.has("&lt;script&gt;alert(1)") && !page.has("<script>alert"));
}

async fn browser_of(server: &Server) -> Browser<'_> {
    Browser::admin(server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_widgets_script_is_answered_in_json() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let sample = json!({"Nr": "7", "Tier": "<b>"}).to_string();
    let ask = async |more: &str| {
        let body = format!(
            "project={}&action=issue&over=rows&prefix=map&sample={}&{more}",
            things.id("project"),
            crate::browser::encode(&sample)
        );
        let reply = browser.once("POST", "/console/mapping/test", &body).await;
        assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
        reply.json()
    };
    let told = ask("map.external_id=%24.Nr&map.fields.tier=%24.Tier&map.balances.points=%24.Nr").await;
    assert_eq!(told["made"], json!({"external_id": "7", "fields.tier": "<b>", "balances.points": "7"}));
    assert_eq!((&told["faults"], &told["others"]), (&json!({}), &json!([])));
    let told = ask("map.external_id=%24.None&map.uses_limit=x").await;
    assert!(told["faults"]["external_id"].as_str().unwrap().contains("nothing at"), "{told}");
    let told = ask("map.map_from=written&map.written=external_id%3A%20%24.Nr").await;
    assert_eq!(told["fields"], json!({"external_id": "$.Nr"}));
    let told = ask("map.map_from=written&map.written=%5B").await;
    assert!(told["faults"]["written"].is_string(), "{told}");
    let _: Value = told;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_somebody_else_changed_meanwhile_is_kept_and_not_overwritten() {
    let server = Server::start().await;
    server.furnish().await;
    let browser = Browser::admin(&server).await;
    let page = browser.see("/console/batches/new").await;
    let mine = upload(&browser, &server, &page, &[], ROWS.as_bytes()).await;
    let path = mine.path.trim_end_matches("/map").to_owned();
    let map = format!("{path}/map");
    let theirs = browser.see(&map).await;
    browser.submit(&theirs, &map, &[("map.fields.tier", "theirs"), ("do", "check")]).await.expect(&["are being checked"]);
    let refused = browser.submit(&mine, &map, &[("map.fields.tier", "mine"), ("do", "check")]).await;
    assert_eq!(refused.reply.status.as_u16(), 412);
    refused.expect(&["Somebody else changed this after you opened the form", "value=\"mine\"", &format!("href=\"{path}\"")]);
    let batch = server.get(&path.replace("/console", "/v1")).await.expect(200);
    assert_eq!(batch["document"]["map"]["fields"]["tier"], "theirs");
    // Nor is it changed while it is checked, whatever was seen.
    let again = browser.submit(&refused, &map, &[("do", "check")]).await;
    assert_eq!(again.reply.status.as_u16(), 409);
    again.expect(&["value=\"mine\""]);
}
