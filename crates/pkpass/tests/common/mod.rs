//! What the tests share: a development authority made once, a card, assets, and the openssl command.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, reason = "helpers of several test binaries")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use bytes::Bytes;
use pkpass::development::{Authority, Validity};
use pkpass::model::{Barcode, BarcodeFormat, Field, Fields, PassIdentity, Style};
use pkpass::{Assets, Identity, Pass};

pub const PASS_TYPE: &str = "pass.test.passbridge.card";
pub const TEAM: &str = "TEST123456";
/// 2026-11-20 12:00 UTC.
pub const NOW: i64 = 1_795_176_000;
pub const VALIDITY: Validity = Validity::days(NOW - 86_400, 365);

pub static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::create("tests", Validity::days(NOW - 86_400, 3650)).unwrap());
pub static IDENTITY: LazyLock<Identity> = LazyLock::new(|| AUTHORITY.issue_identity(PASS_TYPE, TEAM, VALIDITY).unwrap());

pub fn card() -> Pass {
    let identity = PassIdentity {
        pass_type_identifier: PASS_TYPE.to_owned(),
        team_identifier: TEAM.to_owned(),
        serial_number: "0001".to_owned(),
    };
    let mut fields = Fields::default();
    fields.primary_fields.push(Field::new("points", 1200).label("Points").change_message("You have %@ points"));
    fields.back_fields.push(Field::new("terms", "Grüße, 東京"));
    let mut pass = Pass::new(identity, "Example Coffee", "Loyalty card", Style::StoreCard(fields));
    pass.barcodes.push(Barcode::new(BarcodeFormat::Qr, "0001"));
    pass
}

/// A PNG with a valid header and an empty body.
pub fn png(width: u32, height: u32) -> Bytes {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in
        [(b"IHDR", [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat()), (b"IEND", Vec::new())]
    {
        let chunk = [&name[..], &data].concat();
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(&chunk);
        out.extend(crc32fast::hash(&chunk).to_be_bytes());
    }
    out.into()
}

pub fn assets() -> Assets {
    let files =
        [("icon.png", png(38, 38)), ("icon@2x.png", png(76, 76)), ("icon@3x.png", png(114, 114)), ("logo.png", png(160, 50))];
    let strings = Bytes::from("\"Points\" = \"Punkte\";\n".repeat(20));
    Assets::prepare(files.into_iter().chain([("de.lproj/pass.strings", strings)]).map(|(path, data)| (path.to_owned(), data)))
        .unwrap()
}

/// Runs a command in a folder; a missing command fails the test.
pub fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let command = Command::new(program).args(arguments).current_dir(folder).output();
    command.unwrap_or_else(|fault| panic!("these tests need `{program}` on the PATH: {fault}"))
}

/// Runs a command that must succeed, and gives what it printed.
pub fn succeed(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = run(folder, program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
