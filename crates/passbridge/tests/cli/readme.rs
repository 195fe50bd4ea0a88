//! The README's way from a new server to a pass, taken word by word.

use std::{env, io::Cursor, path::Path, time::Duration};

use bytes::Bytes;
use http::Method;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;
use testkit::{
    clients,
    server::{Server, Setup},
};
use tokio::{process::Command, time::Instant};

use super::{Desk, WITHIN, support};

const PASS_TYPE: &str = "pass.com.example.club";

/// What stands between the fences of the README's second chapter, with the language of each.
fn blocks() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let chapter = readme.split_once("\n## For real\n").unwrap().1.split("\n## ").next().unwrap().to_owned();
    let mut blocks = Vec::new();
    let mut rest = chapter.as_str();
    while let Some((_, begins)) = rest.split_once("\n```") {
        let (language, begins) = begins.split_once('\n').unwrap();
        let (block, ends) = begins.split_once("\n```\n").unwrap();
        blocks.push((language.to_owned(), block.to_owned()));
        rest = ends;
    }
    blocks
}

fn block(language: &str, part: &str) -> String {
    let fits = |(of, text): &&(String, String)| of == language && text.contains(part);
    blocks().iter().find(fits).unwrap_or_else(|| panic!("no block of {language} with {part}")).1.clone()
}

/// Commands, one a line; what is quoted may go on in the next.
fn commands(block: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in block.lines() {
        match commands.last_mut().filter(|last| last.matches('\'').count() % 2 == 1) {
            Some(open) => open.push_str(&format!("\n{line}")),
            None => commands.push(line.to_owned()),
        }
    }
    commands
}

#[tokio::test]
async fn a_new_server_comes_to_a_pass_by_the_words_of_the_readme() {
    let server = Server::start_with(support::BINARY, Setup::default()).await.unwrap();
    let (url, key) = (server.url(""), server.admin_key().to_owned());
    let desk = Desk::new().await;
    desk.write("card.json", &block("json", "\"fields\""));
    desk.write("sign-up.yaml", &block("yaml", "slug: sign-up"));
    desk.write("sign-up.json", &block("json", "\"event\""));
    let mut icon = Cursor::new(Vec::new());
    RgbImage::from_pixel(180, 180, Rgb([15, 61, 56])).write_to(&mut icon, ImageFormat::Png).unwrap();
    std::fs::write(desk.path().join("icon.png"), icon.into_inner()).unwrap();
    desk.certificate("pass", &format!("/UID={PASS_TYPE}/CN=Pass/OU=TEAM123456/O=Test"), "20").await;

    let folder = Path::new(support::BINARY).parent().unwrap().to_owned();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap()))).unwrap();
    let mut write_key = String::new();
    let signer = "passbridge signer add --certificate pass.pem --private-key pass.key --intermediate ca.pem".to_owned();
    let mut last = String::new();
    for line in [vec![signer], commands(&block("sh", "passbridge template add"))].concat() {
        let mut shell = Command::new("sh");
        shell.args(["-euc", &line]).current_dir(desk.path()).env("PATH", &path);
        shell.env("PASSBRIDGE_URL", &url).env("PASSBRIDGE_KEY", &key).env("WRITE_KEY", &write_key);
        last = clients::run(shell, "sh", "", WITHIN).await.unwrap_or_else(|error| panic!("{line}\n{error}"));
        if line.starts_with("passbridge source add") {
            let source: Value = serde_json::from_str(&last).unwrap();
            write_key = support::text(&source, "write_key");
        }
        if line.starts_with("passbridge template add") {
            let template: Value = serde_json::from_str(&last).unwrap();
            assert_eq!((&template["status"], &template["version"]), (&"published".into(), &1.into()), "{last}");
        }
        if line.starts_with("passbridge flow test") {
            assert!(last.contains("\"variant\": \"gold\""), "{last}");
        }
        if line.starts_with("curl") {
            let issued = async || server.api(Method::GET, "/v1/passes?external_id=member-1", None).await.unwrap();
            let deadline = Instant::now() + WITHIN;
            while issued().await["data"][0].is_null() {
                assert!(Instant::now() < deadline, "no pass was issued: {}", server.said());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    let passes: Value = serde_json::from_str(&last).unwrap();
    let pass = &passes["data"][0];
    assert_eq!((&pass["variant"], &pass["balances"]["points"]), (&"gold".into(), &"50".into()), "{passes}");
    let package = server.client().send(Method::GET, &support::text(&pass["links"], "apple"), &[], Bytes::new()).await.unwrap();
    let package = pkpass::Package::parse(&package.body, &pkpass::Limits::PASS).unwrap();
    assert!(package.file("icon@2x.png").is_some() && package.file("signature").is_some());
}
