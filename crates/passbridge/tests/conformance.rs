//! `passbridge conformance` against our own server, push service and way to change a pass included: everything holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{net::TcpListener, path::Path, time::Duration};

use bytes::Bytes;
use google_wallet::ServiceAccount;
use http::Method;
use pkpass::development::{Authority, Validity};
use serde_json::{Value, json};
use support::{BINARY, Club, post, text};
use testkit::{
    clients,
    server::{Setup, free_port, program},
};
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(300);
const PASS_TYPE: &str = "pass.com.example.club";
/// From 2017 for a century, so that no test depends on the day.
const VALIDITY: Validity = Validity::days(1_500_000_000, 36_500);

/// A pass of a new member as a file.
async fn pass(club: &Club, member: &str, at: &Path) -> String {
    let made = post(&club.server, "/v1/passes", &json!({"project": club.project, "external_id": member})).await;
    let url = text(&made["links"], "apple");
    let reply = club.server.client().send(Method::GET, &url, &[], Bytes::new()).await.unwrap();
    assert_eq!(reply.status.as_u16(), 200, "{url}");
    std::fs::write(at, &reply.body).unwrap();
    text(&made, "id")
}

/// Gives the club's project what it lacks.
async fn set(club: &Club, mut project: Value) {
    let path = format!("/v1/projects/{}", club.project);
    let held = club.server.api(Method::GET, &path, None).await.unwrap();
    for key in ["slug", "name", "kind", "balances", "variants"] {
        project[key] = held[key].clone();
    }
    club.server.api(Method::PUT, &path, Some(&project)).await.unwrap();
}

/// The program on the same machine, as whoever tests a server runs it.
async fn kit(at: &Path, arguments: &[&str]) -> Result<Vec<Value>, String> {
    let mut command: Command = program(BINARY);
    command.arg("conformance").args(arguments).arg("--json").current_dir(at);
    let said = clients::run(command, "passbridge conformance", "", WITHIN).await.map_err(|error| error.to_string())?;
    Ok(said.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[tokio::test]
async fn our_own_server_passes_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let authority = Authority::create("conformance", VALIDITY).unwrap();
    std::fs::write(at.join("apns.pem"), authority.to_pem().as_bytes()).unwrap();
    std::fs::write(at.join("root.pem"), authority.root_pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let apns = vec![("apns_url", format!("https://localhost:{port}")), ("apns_roots", at.join("root.pem").display().to_string())];
    let club = Club::set_up(Setup { settings: apns, ..Setup::default() }).await;
    let signer = authority.issue_pass_type(PASS_TYPE, "TEAM123456", VALIDITY).unwrap();
    let body = json!({"certificate": signer.certificate, "private_key": *signer.key, "intermediate": signer.intermediate});
    post(&club.server, "/v1/signers", &body).await;
    set(&club, json!({"apple_pass_type": PASS_TYPE})).await;
    let id = pass(&club, "one", &at.join("one.pkpass")).await;
    pass(&club, "two", &at.join("two.pkpass")).await;

    let update = format!(
        "PASSBRIDGE_URL={} PASSBRIDGE_KEY={} {BINARY} api PATCH /v1/passes/{id} '{{\"balances\": {{\"points\": {{\"add\": \"1\"}}}}}}'",
        club.server.url(""),
        club.server.admin_key()
    );
    let end = format!(
        "PASSBRIDGE_URL={} PASSBRIDGE_KEY={} {BINARY} api POST /v1/passes/{id}/revoke '{{}}'",
        club.server.url(""),
        club.server.admin_key()
    );
    let port = port.to_string();
    let push = ["--apns-port", &port, "--apns-authority", "apns.pem", "--apns-clients", "root.pem"];
    let arguments =
        ["--pass", "one.pkpass", "--other", "two.pkpass", "--update-command", &update, "--end-command", &end, "--phones", "30"];
    let lines = kit(at, &[&arguments[..], &push].concat()).await.unwrap_or_else(|error| panic!("{error}"));
    let (sums, cases) = lines.split_last().unwrap();
    let others: Vec<_> = cases.iter().filter(|case| case["verdict"] != "passed").collect();
    assert_eq!(others.len(), 1, "{others:#?}");
    assert_eq!((&others[0]["case"], &others[0]["verdict"]), (&json!("https"), &json!("skipped")));
    assert_eq!(sums["failed"], 0);
    let left = club.server.api(Method::GET, &format!("/v1/passes/{id}"), None).await.unwrap();
    assert_eq!(left["wallets"]["apple"]["active"], 0, "{left}");
}

/// The kit is Google to a server that is started as its documentation says: it fetches the kit's root keys.
#[tokio::test]
async fn our_own_server_holds_against_a_google_that_lies() {
    const ISSUER: &str = "3388000000012345678";
    let keys_port = free_port().unwrap();
    let keys = format!("http://127.0.0.1:{keys_port}/gp/m/issuer/keys");
    let mut club = Club::set_up(Setup { settings: vec![("google_root_keys_url", keys)], ..Setup::default() }).await;
    let file =
        ServiceAccount::development_key_file("wallet@example.iam.gserviceaccount.com", "https://oauth2.googleapis.com/token");
    let file = String::from_utf8(file.unwrap().to_vec()).unwrap();
    let account = json!({"issuer": ISSUER, "key_file": file, "development": true});
    post(&club.server, "/v1/google-accounts", &account).await;
    set(&club, json!({"google_issuer": ISSUER})).await;
    let pass = post(&club.server, "/v1/passes", &json!({"project": club.project})).await;
    let (id, template) = (text(&pass, "id"), text(&pass, "template"));

    let held = format!(
        "PASSBRIDGE_URL={} PASSBRIDGE_KEY={} {BINARY} api GET /v1/passes/{id} | grep -q '\"active\": *1'",
        club.server.url(""),
        club.server.admin_key()
    );
    let (url, class, object) = (club.server.url("/google/callback"), format!("{ISSUER}.{template}"), format!("{ISSUER}.{id}"));
    let folder = tempfile::tempdir().unwrap();
    let (at, port) = (folder.path().to_owned(), keys_port.to_string());
    let playing = tokio::spawn(async move {
        let pass = ["--class", &class, "--object", &object, "--keys-port", &port, "--held-command", &held, "--callers", "20"];
        kit(&at, &[&["google", &url][..], &pass].concat()).await
    });
    // The server waits ever longer between its tries to fetch the keys, and fetches them at its start.
    wait_for_port(keys_port).await;
    club.server.restart().await.unwrap();
    let lines = playing.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    let (sums, cases) = lines.split_last().unwrap();
    let others: Vec<_> = cases.iter().filter(|case| case["verdict"] != "passed").collect();
    assert_eq!(others.len(), 1, "{others:#?}");
    assert_eq!((&others[0]["case"], &others[0]["verdict"]), (&json!("callback_https"), &json!("skipped")));
    assert_eq!(sums["failed"], 0);
}

async fn wait_for_port(port: u16) {
    let listening = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, listening).await.unwrap();
}

#[tokio::test]
async fn a_broken_server_and_wrong_arguments_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let nobody = kit(at, &["https://127.0.0.1:9/apple"]).await.unwrap_err();
    assert!(nobody.contains("list_unknown_device") && nobody.contains("failed"), "{nobody}");
    for (arguments, word) in [
        (&[][..], "give the address"),
        (&["passes.example.com"], "starts with https"),
        (&["--pass", "nowhere.pkpass"], "cannot read"),
        (&["https://a.example", "--serial", "1"], "together"),
    ] {
        let error = kit(at, arguments).await.unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}
