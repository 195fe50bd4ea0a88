//! The demo as a new user meets it: the story ends well, openssl agrees about the pass, and a browser opens what it names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

use std::{path::Path, process::Stdio, time::Duration};

use http::Method;
use serde_json::{Value, json};
use testkit::{
    clients,
    http::Client,
    server::{free_port, program},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

const STORY_WITHIN: Duration = Duration::from_secs(90);
const BROWSER_WITHIN: Duration = Duration::from_secs(120);

fn demo(data: &Path, port: u16, arguments: &[&str]) -> Command {
    let port = port.to_string();
    let mut command = program(env!("CARGO_BIN_EXE_passbridge"));
    command.args(["demo", "--json", "--port", &port, "--data"]).arg(data).args(arguments);
    command
}

fn lines(said: &str) -> Vec<Value> {
    said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

async fn shell(line: &str) -> Result<String, clients::ClientError> {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    clients::run(command, "sh", "", STORY_WITHIN).await
}

#[tokio::test]
async fn the_story_ends_well_and_openssl_verifies_its_pass() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
    let told = clients::run(demo(folder.path(), port, &["--once"]), "demo", "", STORY_WITHIN).await;
    let told = lines(&told.unwrap_or_else(|error| panic!("{error}")));
    let steps: Vec<&Value> = told.iter().filter(|line| line["what"].is_string()).collect();
    assert!(steps.len() >= 8 && steps.iter().all(|step| step["ok"] == true), "{steps:#?}");
    let results: Vec<&str> = told.iter().filter_map(|line| line["result"].as_str()).collect();
    let printed = results.iter().find(|line| line.contains("openssl cms -verify")).unwrap_or_else(|| panic!("{results:#?}"));
    shell(printed).await.unwrap_or_else(|error| panic!("{printed}\n{error}"));

    // The same line must refuse a pass whose manifest was changed.
    let manifest = folder.path().join("demo-pass/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen('{', "{ ", 1)).unwrap();
    let verify = printed.split("&&").nth(1).unwrap();
    assert!(shell(verify).await.is_err(), "a changed manifest verified");

    // A second run finds the first one's data.
    let again = clients::run(demo(folder.path(), port, &["--once"]), "demo", "", STORY_WITHIN).await;
    again.unwrap_or_else(|error| panic!("the second run: {error}"));
}

/// A demo that keeps serving, with the links that it names.
struct Serving {
    _child: Child,
    links: Vec<(String, String)>,
}

async fn serve(data: &Path) -> Serving {
    let mut child =
        demo(data, free_port().unwrap(), &[]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    let told_all = async {
        while let Some(line) = out.next_line().await.unwrap() {
            let line: Value = serde_json::from_str(&line).unwrap();
            if let Some(links) = line["links"].as_object() {
                return links.iter().map(|(name, url)| (name.clone(), url.as_str().unwrap().to_owned())).collect();
            }
            told.push(line);
        }
        panic!("the demo named no links: {told:#?}");
    };
    let links = tokio::time::timeout(STORY_WITHIN, told_all).await.expect("the story takes too long");
    Serving { _child: child, links }
}

/// Issues a pass over the API and returns its page: the story's own ends voided.
async fn new_pass(data: &Path, docs: &str) -> String {
    let keys: Value = serde_json::from_str(&std::fs::read_to_string(data.join("demo-keys.json")).unwrap()).unwrap();
    let body = json!({"project": keys["project"], "contact": {"external_id": "visitor", "name": "A Visitor"}});
    let url = docs.replace("/docs", "/v1/passes");
    let made = Client::default().json(keys["admin_key"].as_str().unwrap(), Method::POST, &url, Some(&body)).await;
    made.unwrap()["links"]["page"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_opens_what_the_demo_names() {
    let folder = tempfile::tempdir().unwrap();
    let serving = serve(folder.path()).await;
    let link = |part: &str| {
        let found = serving.links.iter().find(|(_, url)| url.contains(part));
        found.map(|(_, url)| url.clone()).unwrap_or_else(|| panic!("no link to {part}: {:?}", serving.links))
    };
    let page = |name: &str, url: &str, device: Option<&str>, see: &[&str]| json!({"name": name, "url": url, "device": device, "see": see});
    let (voided, inspector, docs, form) = (link("/p/"), link("/inspect/"), link("/docs"), link("/e/"));
    let pass = new_pass(folder.path(), &docs).await;
    let pages = json!([
        page("pass-desktop", &pass, None, &["Juniper"]),
        page("pass-iphone", &pass, Some("iPhone 13"), &["Juniper", "Apple Wallet"]),
        page("pass-android", &pass, Some("Pixel 5"), &["Juniper", "Google Wallet"]),
        page("voided", &voided, None, &["Juniper"]),
        page("form-iphone", &form, Some("iPhone 13"), &["Juniper"]),
        page("inspector", &inspector, None, &["PASS_EVENT_RECORD_CREATED"]),
        page("docs", &docs, None, &["passes", "webhooks"]),
        page("console", &link("/console"), None, &["Sign in"]),
    ]);
    let shots = folder.path().join("shots");
    std::fs::create_dir(&shots).unwrap();
    let arguments = [shots.to_str().unwrap(), clients::chromium()];
    let seen = clients::node("pages.mjs", &arguments, &pages.to_string(), BROWSER_WITHIN).await;
    seen.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(std::fs::read_dir(&shots).unwrap().count(), 8);
}
