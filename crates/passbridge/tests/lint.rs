//! `passbridge pass lint` as a person runs it, on passes made with a development authority.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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

fn lint(folder: &Path, arguments: &[&str]) -> (Output, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_passbridge")).args(["pass", "lint"]).args(arguments).current_dir(folder).output();
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

    let (output, text) = lint(at, &["good.pkpass", "--root", "root.pem"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("takes it") && text.contains("certificate_ends") && text.contains("ends in 39 days"), "{text}");
    let (output, text) = lint(at, &["both.pkpasses", "--root", "root.pem"]);
    assert!(output.status.success() && text.matches("takes it").count() == 2, "{text}");

    pass.expiration_date = Some("tomorrow".to_owned());
    fs::write(at.join("bad.pkpass"), pkpass::build_pass(&pass, &assets, &identity, now()).unwrap()).unwrap();
    let (output, text) = lint(at, &["bad.pkpass", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let said: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((&said["findings"][0]["path"], &said["findings"][0]["rule"]), (&"expirationDate".into(), &"date".into()));
    assert!(said["findings"][0]["source"].as_str().unwrap().starts_with("https://developer.apple.com/"));

    let other = Authority::create("other", Validity::days(now() - 86_400, 365)).unwrap();
    fs::write(at.join("other.pem"), other.root_pem()).unwrap();
    let (output, text) = lint(at, &["good.pkpass", "--root", "other.pem"]);
    assert!(!output.status.success() && text.contains("(chain)"), "{text}");

    // a file that was changed after signing, by a tool that is not ours
    fs::write(at.join("icon.png"), [PNG, b"more"].concat()).unwrap();
    fs::copy(at.join("good.pkpass"), at.join("touched.pkpass")).unwrap();
    let zipped =
        Command::new("zip").args(["-q", "touched.pkpass", "icon.png"]).current_dir(at).status().expect("zip is on the PATH");
    assert!(zipped.success());
    let (output, text) = lint(at, &["touched.pkpass", "--root", "root.pem"]);
    assert!(!output.status.success() && text.contains("(hashes)"), "{text}");

    fs::write(at.join("no.pkpass"), b"GIF89a").unwrap();
    let (output, text) = lint(at, &["no.pkpass"]);
    assert!(!output.status.success() && text.contains("not a readable ZIP"), "{text}");
}
