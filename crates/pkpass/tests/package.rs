//! Building, reading back and verifying; tampering is noticed by the check that it concerns.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use common::{AUTHORITY, IDENTITY, NOW, PASS_TYPE, TEAM, VALIDITY, assets, card};
use pkpass::development::{Authority, Validity};
use pkpass::{Assets, BuildError, Check, Draft, Limits, Outcome, Package, Signer, Verification, verify};

fn built() -> Vec<u8> {
    pkpass::build_pass(&card(), &assets(), &*IDENTITY, NOW).unwrap()
}

fn checked(bytes: &[u8], now: i64) -> Verification {
    verify(&Package::parse(bytes, &Limits::PASS).unwrap(), &[AUTHORITY.root_der()], now)
}

fn failed(report: &Verification) -> Vec<Check> {
    report.failures().map(|(check, _)| check).collect()
}

/// Puts files into a new archive, stored, without looking at what they are.
fn zip(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use rawzip::{CompressionMethod, ZipArchiveWriter, ZipDataWriter};
    use std::io::Write;
    let mut out = ZipArchiveWriter::new(Vec::new());
    for (path, data) in files {
        let (mut entry, config) = out.new_file(*path).compression_method(CompressionMethod::STORE).start().unwrap();
        let mut writer: ZipDataWriter<_> = config.wrap(&mut entry);
        writer.write_all(data).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    out.finish().unwrap()
}

/// The built package with some files changed (or removed, by `None`).
fn tampered(changes: &[(&str, Option<Vec<u8>>)]) -> Vec<u8> {
    let package = Package::parse(&built(), &Limits::PASS).unwrap();
    let mut files: Vec<(&str, Vec<u8>)> = package.files().map(|(path, data)| (path, data.to_vec())).collect();
    for (path, data) in changes {
        files.retain(|(other, _)| other != path);
        if let Some(data) = data {
            files.push((path, data.clone()));
        }
    }
    zip(&files)
}

#[test]
fn a_built_package_reads_back_and_verifies() {
    let package = Package::parse(&built(), &Limits::PASS).unwrap();
    assert_eq!(package.pass().unwrap().unwrap(), card());
    let paths: Vec<_> = package.files().map(|(path, _)| path).collect();
    let expected = [
        "de.lproj/pass.strings",
        "icon.png",
        "icon@2x.png",
        "icon@3x.png",
        "logo.png",
        "manifest.json",
        "pass.json",
        "signature",
    ];
    assert_eq!(paths, expected);
    let report = checked(&built(), NOW);
    assert!(report.is_valid(), "{:?}", report.results);
    assert_eq!((report.results.len(), report.signed_at), (9, Some(NOW)));
    assert_eq!(report.leaf.unwrap().team_identifier().as_deref(), Some(TEAM));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(built(), built());
    let later = pkpass::build_pass(&card(), &assets(), &*IDENTITY, NOW + 2).unwrap();
    assert_ne!(built(), later);
}

#[test]
fn each_tampering_is_noticed_by_its_check() {
    let package = Package::parse(&built(), &Limits::PASS).unwrap();
    let file = |path: &str| package.file(path).unwrap().to_vec();
    let one_bit = |path: &str, at: usize| {
        let mut data = file(path);
        data[at] ^= 1;
        Some(data)
    };
    let fails = |changes: &[(&str, Option<Vec<u8>>)]| failed(&checked(&tampered(changes), NOW));
    assert_eq!(fails(&[]), []);
    assert_eq!(fails(&[("icon.png", one_bit("icon.png", 40))]), [Check::Hashes]);
    assert_eq!(fails(&[("extra.txt", Some(vec![1]))]), [Check::Completeness]);
    assert_eq!(fails(&[("logo.png", None)]), [Check::Completeness]);
    let manifest = String::from_utf8(file("manifest.json")).unwrap().replace("logo.png", "Logo.png");
    assert_eq!(fails(&[("manifest.json", Some(manifest.into_bytes()))]), [Check::Completeness, Check::Signature]);
    assert_eq!(fails(&[("signature", one_bit("signature", file("signature").len() - 1))]), [Check::Signature]);
    assert_eq!(fails(&[("signature", None)]), [Check::SignatureForm]);
    assert_eq!(fails(&[("signature", Some(b"unsigned".to_vec()))]), [Check::SignatureForm]);
    assert_eq!(fails(&[("manifest.json", None)]), [Check::Manifest, Check::Signature]);
    let pass = String::from_utf8(file("pass.json")).unwrap().replace(TEAM, "OTHER12345");
    assert_eq!(fails(&[("pass.json", Some(pass.into_bytes()))]), [Check::Hashes, Check::Identifiers]);
}

#[test]
fn a_removed_signing_time_is_noticed() {
    // the attribute's name is altered, so that its value means nothing; the signature breaks with it
    let package = Package::parse(&built(), &Limits::PASS).unwrap();
    let mut signature = package.file("signature").unwrap().to_vec();
    let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05];
    let at = signature.windows(oid.len()).position(|window| window == oid).unwrap();
    signature[at + 8] = 0x7f;
    let report = checked(&tampered(&[("signature", Some(signature))]), NOW);
    assert_eq!(failed(&report), [Check::Signature, Check::SigningTime]);
}

#[test]
fn time_and_trust_are_checked() {
    assert_eq!(failed(&checked(&built(), NOW + 400 * 86_400)), [Check::Validity]);
    assert_eq!(failed(&checked(&built(), NOW - 600)), [Check::SigningTime]);
    assert_eq!(failed(&checked(&built(), NOW - 10 * 86_400)), [Check::SigningTime, Check::Validity]);
    let before = pkpass::build_pass(&card(), &assets(), &*IDENTITY, NOW - 5 * 86_400).unwrap();
    assert_eq!(failed(&checked(&before, NOW)), [Check::SigningTime]);

    let stranger = Authority::create("stranger", Validity::days(NOW, 10)).unwrap();
    let package = Package::parse(&built(), &Limits::PASS).unwrap();
    let report = verify(&package, &[stranger.root_der(), b"not a certificate"], NOW);
    assert_eq!(failed(&report), [Check::Chain]);
    assert!(matches!(report.outcome(Check::Chain), Outcome::Failed(reason) if reason.contains("trusted root")));
}

#[test]
fn an_authority_of_the_same_name_is_a_stranger() {
    let twin = Authority::create("tests", Validity::days(NOW - 86_400, 3650)).unwrap();
    let package = Package::parse(&built(), &Limits::PASS).unwrap();
    assert_eq!(failed(&verify(&package, &[twin.root_der()], NOW)), [Check::Chain]);
    let leaf = AUTHORITY.issue_pass_type(PASS_TYPE, TEAM, VALIDITY).unwrap();
    let fault =
        pkpass::Identity::from_pem(leaf.certificate.as_bytes(), leaf.key.as_bytes(), None, twin.intermediate_pem().as_bytes())
            .unwrap_err();
    assert!(fault.to_string().contains("altered, or another authority"), "{fault}");
}

#[test]
fn a_pass_that_does_not_fit_its_certificate_is_not_built() {
    let build = |pass: &pkpass::Pass| pkpass::build_pass(pass, &assets(), &*IDENTITY, NOW).unwrap_err();
    let mut other = card();
    other.pass_type_identifier = "pass.test.other".to_owned();
    assert!(matches!(build(&other), BuildError::PassType { .. }));
    let mut other = card();
    other.team_identifier = "OTHER".to_owned();
    assert!(matches!(build(&other), BuildError::Team { .. }));
    let bytes = |json: &[u8], time| pkpass::build(json, &assets(), &*IDENTITY, time).unwrap_err();
    assert!(matches!(bytes(b"{", NOW), BuildError::Json(_)));
    assert!(matches!(bytes(&vec![b' '; pkpass::MAX_PASS_JSON_BYTES + 1], NOW), BuildError::JsonTooLarge(_)));
    assert!(matches!(bytes(&card().to_json().unwrap(), -1), BuildError::SigningTime(-1)));
}

#[test]
fn a_draft_takes_only_the_right_signature() {
    let (json, assets) = (card().to_json().unwrap(), assets());
    let draft = || Draft::new(&json, &assets, IDENTITY.chain(), NOW).unwrap();
    let signature = IDENTITY.sign(draft().message()).unwrap();
    assert_eq!(draft().finish(&signature).unwrap(), built());
    let other = AUTHORITY.issue_identity(PASS_TYPE, TEAM, VALIDITY).unwrap();
    let wrong = other.sign(draft().message()).unwrap();
    assert_eq!(draft().finish(&wrong), Err(BuildError::WrongSignature));
    assert_eq!(draft().finish(b""), Err(BuildError::WrongSignature));
}

#[test]
fn a_pass_without_assets_is_still_a_package() {
    let bytes = pkpass::build_pass(&card(), &Assets::prepare([]).unwrap(), &*IDENTITY, NOW).unwrap();
    assert!(checked(&bytes, NOW).is_valid());
}

#[test]
fn bundles_round_trip() {
    let bytes = pkpass::bundle(&[built(), built()], NOW).unwrap();
    let passes = Package::parse_bundle(&bytes, &Limits::BUNDLE).unwrap();
    assert_eq!(passes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["pass1.pkpass", "pass2.pkpass"]);
    assert!(passes.iter().all(|(_, package)| package.pass().unwrap().is_ok()));
    assert!(pkpass::bundle(&[] as &[Vec<u8>], NOW).is_err());
    assert!(pkpass::bundle(&vec![built(); 11], NOW).is_err());
    assert!(Package::parse_bundle(&built(), &Limits::BUNDLE).is_err());
}

#[test]
fn an_authority_survives_its_file() {
    let again = Authority::from_pem(&AUTHORITY.to_pem()).unwrap();
    assert_eq!(again.root_der(), AUTHORITY.root_der());
    let identity = again.issue_identity(PASS_TYPE, TEAM, VALIDITY).unwrap();
    let bytes = pkpass::build_pass(&card(), &assets(), &identity, NOW).unwrap();
    assert!(checked(&bytes, NOW).is_valid());
    assert!(Authority::from_pem("").is_err());
    assert!(Authority::from_pem(AUTHORITY.root_pem()).is_err());
}

#[test]
fn a_finished_package_is_linted_with_its_signature() {
    let rules = |bytes: &[u8], roots: &[&[u8]], now| {
        let findings = pkpass::lint_package(&Package::parse(bytes, &Limits::PASS).unwrap(), roots, now);
        findings.into_iter().map(|finding| (finding.path, finding.rule)).collect::<Vec<_>>()
    };
    let at = |path: &str, rule| (path.to_owned(), rule);
    let root = AUTHORITY.root_der();
    assert_eq!(rules(&built(), &[root], NOW), []);
    assert_eq!(rules(&built(), &[], NOW), [], "without roots, the intermediate inside is enough");
    assert_eq!(rules(&built(), &[root], VALIDITY.not_after + 1), [at("signature", "validity")]);
    assert_eq!(
        rules(&tampered(&[("icon.png", Some(b"GIF89a".to_vec()))]), &[root], NOW),
        [at("manifest.json", "hashes"), at("icon.png", "image_unreadable")]
    );
    assert_eq!(rules(&tampered(&[("signature", None)]), &[root], NOW), [at("signature", "signature_form")]);
    assert_eq!(rules(&tampered(&[("extra.txt", Some(b"x".to_vec()))]), &[root], NOW), [at("manifest.json", "completeness")]);
    let missing = rules(&tampered(&[("pass.json", None)]), &[root], NOW);
    assert!(missing.contains(&at("pass.json", "pass_json_missing")) && missing.contains(&at("manifest.json", "completeness")));
}
