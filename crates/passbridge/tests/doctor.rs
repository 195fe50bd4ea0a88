//! `passbridge doctor` as a person runs it: on passes made with a development authority, on certificates of openssl's, on our own
//! server and its web service.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use pkpass::{
    Assets,
    development::{Authority, Validity},
    model::{Field, Fields, Pass, PassIdentity, Style},
};
use serde_json::{Value, json};
use support::{Club, Database, post};

fn doctor(folder: &Path, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_passbridge")).arg("doctor").args(arguments).current_dir(folder).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

#[expect(clippy::disallowed_methods, reason = "the command reads the system's clock, and so must its test")]
fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A PNG of one pixel's header: all that is looked at.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

#[test]
fn a_pass_is_judged_as_a_phone_would() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let authority = Authority::create("lint", Validity::days(now() - 86_400, 365)).unwrap();
    let identity = authority.issue_identity("pass.example.lint", "TEAM123456", Validity::days(now() - 3_600, 40)).unwrap();
    fs::write(at.join("root.pem"), authority.root_pem()).unwrap();
    let mut fields = Fields::default();
    fields.primary_fields.push(Field::new("points", 12));
    let ids = PassIdentity {
        pass_type_identifier: "pass.example.lint".to_owned(),
        team_identifier: "TEAM123456".to_owned(),
        serial_number: "1".to_owned(),
    };
    let mut pass = Pass::new(ids, "Example", "Card", Style::StoreCard(fields));
    let icons = ["icon.png", "icon@2x.png", "icon@3x.png"].map(|name| (name.to_owned(), bytes::Bytes::from_static(PNG)));
    let assets = Assets::prepare(icons).unwrap();
    let good = pkpass::build_pass(&pass, &assets, &identity, now()).unwrap();
    fs::write(at.join("good.pkpass"), &good).unwrap();
    fs::write(at.join("both.pkpasses"), pkpass::bundle(&[&good, &good], now()).unwrap()).unwrap();

    let (output, text) = doctor(at, &["good.pkpass", "--root", "root.pem"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("nothing is amiss") && text.contains("certificate_ends") && text.contains("ends in 39 days"), "{text}");
    let (output, text) = doctor(at, &["both.pkpasses", "--root", "root.pem"]);
    assert!(output.status.success() && text.matches("nothing is amiss").count() == 2, "{text}");

    pass.expiration_date = Some("tomorrow".to_owned());
    fs::write(at.join("bad.pkpass"), pkpass::build_pass(&pass, &assets, &identity, now()).unwrap()).unwrap();
    let (output, text) = doctor(at, &["bad.pkpass", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let said: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((&said["findings"][0]["path"], &said["findings"][0]["rule"]), (&"expirationDate".into(), &"date".into()));
    assert!(said["findings"][0]["source"].as_str().unwrap().starts_with("https://developer.apple.com/"));

    let (output, text) = doctor(at, &["good.pkpass"]);
    assert!(
        !output.status.success() && text.contains("(chain)") && text.contains("trusted root"),
        "only Apple's root counts: {text}"
    );

    let other = Authority::create("other", Validity::days(now() - 86_400, 365)).unwrap();
    fs::write(at.join("other.pem"), other.root_pem()).unwrap();
    let (output, text) = doctor(at, &["good.pkpass", "--root", "other.pem"]);
    assert!(!output.status.success() && text.contains("(chain)"), "{text}");

    // a file that was changed after signing, by a tool that is not ours
    fs::write(at.join("icon.png"), [PNG, b"more"].concat()).unwrap();
    fs::copy(at.join("good.pkpass"), at.join("touched.pkpass")).unwrap();
    let zipped =
        Command::new("zip").args(["-q", "touched.pkpass", "icon.png"]).current_dir(at).status().expect("zip is on the PATH");
    assert!(zipped.success());
    let (output, text) = doctor(at, &["touched.pkpass", "--root", "root.pem"]);
    assert!(!output.status.success() && text.contains("(hashes)"), "{text}");

    fs::write(at.join("no.pkpass"), b"GIF89a").unwrap();
    let (output, text) = doctor(at, &["no.pkpass"]);
    assert!(!output.status.success() && text.contains("not a readable ZIP"), "{text}");
    fs::write(at.join("icon.txt"), b"GIF89a").unwrap();
    let (output, text) = doctor(at, &["icon.txt"]);
    assert!(!output.status.success() && text.contains("it is no pass (.pkpass), no design"), "{text}");

    // unpacked, as it is while somebody works on it
    let unpacked = at.join("Card.pass");
    fs::create_dir(&unpacked).unwrap();
    for (name, file) in pkpass::Package::parse(&good, &pkpass::Limits::PASS).unwrap().files() {
        fs::write(unpacked.join(name), file).unwrap();
    }
    let (output, text) = doctor(at, &["Card.pass", "--root", "root.pem"]);
    assert!(output.status.success() && text.contains("nothing is amiss"), "{text}");
    fs::remove_file(unpacked.join("signature")).unwrap();
    let (output, text) = doctor(at, &["Card.pass"]);
    assert!(!output.status.success() && text.contains("passbridge template import"), "{text}");
}

fn openssl(at: &Path, arguments: &str, last: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).arg(last).current_dir(at).output().expect("openssl is there");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn certificates_are_judged_by_kind_generation_chain_and_date() {
    const WWDR: &str = "/CN=Apple Worldwide Developer Relations Certification Authority/O=Apple Inc./OU=";
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let authority = |name: &str, subject: &str| {
        openssl(at, &format!("req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 300 -subj"), subject);
    };
    let leaf = |name: &str, issuer: &str, days: &str, subject: &str| {
        openssl(at, &format!("req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj"), subject);
        let sign = format!("x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -out {name}.pem -days");
        openssl(at, &sign, days);
    };
    let rules = |arguments: &[&str]| {
        let (output, text) = doctor(at, &[arguments, &["--json"]].concat());
        let said: Value = serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("{text}"));
        let found = said["findings"].as_array().unwrap().iter();
        let rules: Vec<String> = found.map(|one| one["rule"].as_str().unwrap().to_owned()).collect();
        assert_eq!(output.status.success(), said["verdict"] != "refused", "{text}");
        rules
    };
    authority("ca", "/CN=Own Authority/O=Test");
    authority("g3", &format!("{WWDR}G3"));
    let subject = "/UID=pass.com.example.club/CN=Pass Type ID: club/OU=TEAM123456";
    leaf("good", "ca", "200", subject);
    leaf("soon", "ca", "20", subject);
    leaf("late", "ca", "-1", subject);
    leaf("old", "g3", "200", subject);
    leaf("app", "ca", "200", "/CN=Apple Distribution: Example/OU=TEAM123456");
    for name in ["good", "soon", "late", "app"] {
        let both = [fs::read(at.join(format!("{name}.pem"))).unwrap(), fs::read(at.join("ca.pem")).unwrap()].concat();
        fs::write(at.join(format!("{name}-chain.pem")), both).unwrap();
    }
    let root = ["--root", "ca.pem"];
    assert_eq!(rules(&["good-chain.pem", root[0], root[1]]), [] as [&str; 0]);
    assert_eq!(rules(&["good-chain.pem"]), ["chain"], "it does not lead to Apple");
    assert_eq!(rules(&["good.pem"]), ["chain"], "the intermediate is missing");
    assert_eq!(rules(&["soon-chain.pem", root[0], root[1]]), ["certificate_ends"]);
    assert_eq!(rules(&["late-chain.pem", root[0], root[1]]), ["validity"]);
    assert!(rules(&["old.pem"]).contains(&"intermediate_generation".to_owned()));
    assert!(rules(&["app-chain.pem", root[0], root[1]]).contains(&"certificate_kind".to_owned()));
    assert_eq!(rules(&["g3.pem", "--root", "g3.pem"]), ["intermediate_generation"]);
    openssl(at, "pkcs12 -export -in good.pem -inkey good.key -certfile ca.pem -out good.p12 -passout", "pass:word");
    fs::write(at.join("word"), "word\n").unwrap();
    assert_eq!(rules(&["good.p12", "--password-file", "word", root[0], root[1]]), [] as [&str; 0]);
    let mixed = [fs::read(at.join("good-chain.pem")).unwrap(), fs::read(at.join("soon.key")).unwrap()].concat();
    fs::write(at.join("mixed.pem"), mixed).unwrap();
    assert_eq!(rules(&["mixed.pem", root[0], root[1]]), ["key_mismatch"]);
    fs::write(at.join("no.cer"), "nothing").unwrap();
    let (output, text) = doctor(at, &["no.cer"]);
    assert!(!output.status.success() && text.contains("no certificate"), "{text}");
    let (output, text) = doctor(at, &["nowhere"]);
    assert!(!output.status.success() && text.contains("no such file"), "{text}");
}

/// Apple's own files, as they are downloaded.
#[test]
fn apples_intermediate_is_well() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("AppleWWDRCAG4.cer"), pkpass::APPLE_WWDR_G4).unwrap();
    let (output, text) = doctor(folder.path(), &["AppleWWDRCAG4.cer"]);
    assert!(output.status.success() && text.contains("nothing is amiss"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_its_designs_and_its_web_service_are_examined() {
    const PASS_TYPE: &str = "pass.com.example.club";
    let (club, folder) = (Club::open(Database::Sqlite).await, tempfile::tempdir().unwrap());
    let at = folder.path().to_owned();
    let (url, key) = (club.server.url(""), club.server.admin_key().to_owned());
    let run = |arguments: &[&str]| {
        let all = [arguments, &["--json", "--server", &url, "--key", &key]].concat();
        let (output, text) = doctor(&at, &all);
        let reports: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{text}"))).collect();
        (output.status.success(), reports)
    };
    let rules = |report: &Value| -> Vec<String> {
        report["findings"].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect()
    };
    let authority = Authority::create("doctor", Validity::days(now() - 86_400, 365)).unwrap();
    let signer = authority.issue_pass_type(PASS_TYPE, "TEAM123456", Validity::days(now() - 3_600, 20)).unwrap();
    let body = json!({"certificate": signer.certificate, "private_key": *signer.key, "intermediate": signer.intermediate});
    post(&club.server, "/v1/signers", &body).await;
    let path = format!("/v1/projects/{}", club.project);
    let held = club.server.api(http::Method::GET, &path, None).await.unwrap();
    let mut project = json!({"apple_pass_type": PASS_TYPE});
    for key in ["slug", "name", "kind", "balances", "variants"] {
        project[key] = held[key].clone();
    }
    club.server.api(http::Method::PUT, &path, Some(&project)).await.unwrap();

    let (well, reports) = run(&[]);
    let found = rules(&reports[0]);
    for rule in ["public_url_http", "public_url_private", "chain", "certificate_ends"] {
        assert!(found.contains(&rule.to_owned()), "{rule}: {found:?}");
    }
    assert!(!well && reports.len() == 2, "{reports:?}");
    assert_eq!(reports[0]["calendar"][0]["name"], PASS_TYPE);
    assert_eq!(rules(&reports[1]), [] as [&str; 0], "{}", reports[1]);

    let made = post(&club.server, "/v1/passes", &json!({"project": club.project})).await;
    let link = made["links"]["apple"].as_str().unwrap();
    let (_, reports) = run(&[link]);
    assert!(rules(&reports[0]).contains(&"service_not_https".to_owned()), "{}", reports[0]);
    assert_eq!(reports[1]["asked"].as_array().unwrap().iter().filter(|one| one["holds"] == true).count(), 8, "{}", reports[1]);
    let (well, reports) = run(&[&format!("{url}/apple")]);
    assert!(well && rules(&reports[0]).is_empty(), "{reports:?}");
    let (well, reports) = run(&[&format!("{url}/nothing")]);
    assert!(!well && rules(&reports[0]).contains(&"service_absent".to_owned()), "{reports:?}");
    let (well, reports) = run(&["https://127.0.0.1:9/"]);
    assert!(!well && rules(&reports[0]) == ["service_unreachable"], "{reports:?}");

    let template = held["variants"][0]["template"].as_str().unwrap();
    let (well, reports) = run(&[template]);
    assert!(well, "{reports:?}");
    let trial = json!({"project": club.project, "name": "Card", "design": {"issuer": "Club", "title": "Club", "description": "Card",
        "fields": [{"key": "a", "label": "A", "value": "1", "place": "header"}, {"key": "a", "label": "B", "value": "2", "place": "back"}]}});
    fs::write(at.join("design.json"), trial.to_string()).unwrap();
    let (well, reports) = run(&["design.json"]);
    assert!(!well && !rules(&reports[0]).is_empty() && reports[0]["losses"].is_array(), "{reports:?}");
}
