//! A signing request is made by us, read and answered by openssl in Apple's place, and the answer is taken.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::{fs, path::Path};

use common::succeed;
use pkpass::{APPLE_ROOT, APPLE_WWDR_G4, Certificate, ChainError, Identity, IdentityError, RequestError, SigningRequest};

const SUBJECT: &str = "/UID=pass.com.example.club/CN=Pass Type ID: pass.com.example.club/OU=TEAM123456/O=Example/C=US";
const WWDR: &str = "/CN=Apple Worldwide Developer Relations Certification Authority/OU=";

/// An authority of openssl's in the folder, by this name.
fn authority(at: &Path, name: &str, subject: &str) {
    let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
    let arguments = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-keyout", &key, "-out", &pem];
    succeed(at, "openssl", &[&arguments[..], &["-subj", subject]].concat());
}

/// Has an authority answer `request.csr`, with a subject of its own as Apple does.
fn answer(at: &Path, authority: &str, subject: &str) -> Vec<u8> {
    let (pem, key) = (format!("{authority}.pem"), format!("{authority}.key"));
    let arguments = ["x509", "-req", "-in", "request.csr", "-CA", &pem, "-CAkey", &key, "-CAcreateserial", "-days", "20"];
    succeed(at, "openssl", &[&arguments[..], &["-subj", subject, "-outform", "DER", "-out", "pass.cer"]].concat());
    fs::read(at.join("pass.cer")).unwrap()
}

#[test]
fn openssl_reads_the_request_and_its_answer_makes_an_identity() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let request = SigningRequest::create("passes@example.com", "Bean & Co, Zürich").unwrap();
    fs::write(at.join("request.csr"), &request.pem).unwrap();
    let told = succeed(at, "openssl", &["req", "-in", "request.csr", "-verify", "-noout", "-text", "-nameopt", "utf8,esc_ctrl"]);
    for part in ["Public-Key: (2048 bit)", "passes@example.com", "Bean & Co, Zürich", "sha256WithRSAEncryption"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    authority(at, "ca", "/CN=Test Authority/O=Test");
    let cer = answer(at, "ca", SUBJECT);
    let intermediate = fs::read(at.join("ca.pem")).unwrap();
    let identity = Identity::from_pem(&cer, request.key.as_bytes(), None, &intermediate).unwrap();
    assert_eq!((identity.pass_type_identifier(), identity.team_identifier()), ("pass.com.example.club", "TEAM123456"));
    let serial = succeed(at, "openssl", &["x509", "-inform", "DER", "-in", "pass.cer", "-noout", "-serial"]);
    assert_eq!(serial.trim(), format!("serial={}", Certificate::from_der(&cer).unwrap().serial()));

    let other = SigningRequest::create("passes@example.com", "Other").unwrap();
    let refused = Identity::from_pem(&cer, other.key.as_bytes(), None, &intermediate).unwrap_err();
    assert!(matches!(refused, IdentityError::KeyMismatch(_)), "{refused}");
    let alone = Identity::from_pem(&cer, request.key.as_bytes(), None, b"").unwrap_err();
    assert!(matches!(&alone, IdentityError::NoIntermediate(name) if name.contains("Test Authority")), "{alone}");
}

#[test]
fn of_apples_intermediates_only_g4_issues_passes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let request = SigningRequest::create("passes@example.com", "Bean").unwrap();
    fs::write(at.join("request.csr"), &request.pem).unwrap();
    for (generation, is_good) in [("G3", false), ("G4", true), ("G6", false), ("Apple Worldwide Developer Relations", false)] {
        authority(at, "wwdr", &format!("{WWDR}{generation}/O=Apple Inc./C=US"));
        let cer = answer(at, "wwdr", SUBJECT);
        let identity = Identity::from_pem(&cer, request.key.as_bytes(), None, &fs::read(at.join("wwdr.pem")).unwrap());
        assert_eq!(identity.is_ok(), is_good, "{generation}");
        if let Err(refused) = identity {
            assert!(matches!(refused, IdentityError::Chain(ChainError::Generation { .. })), "{refused}");
            assert!(refused.to_string().contains("need G4"), "{refused}");
        }
    }
}

#[test]
fn texts_that_cannot_stand_in_a_request_are_refused() {
    for email in ["", "nobody", "a@b", "ä@example.com", "a b@example.com", "@example.com", "a@b@example.com"] {
        assert_eq!(SigningRequest::create(email, "Bean").err(), Some(RequestError::Email), "{email}");
    }
    for name in ["", "  ", "a\nb", &"x".repeat(65)] {
        assert_eq!(SigningRequest::create("passes@example.com", name).err(), Some(RequestError::Name), "{name}");
    }
}

/// The SHA-256 are those that Apple's files are known by; openssl follows the chain.
#[test]
fn apples_own_certificates_are_what_apple_publishes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, der, sha256) in [
        ("root", APPLE_ROOT, "b0b1730ecbc7ff4505142c49f1295e6eda6bcaed7e2c68c5be91b5a11001f024"),
        ("g4", APPLE_WWDR_G4, "ea4757885538dd8cb59ff4556f676087d83c85e70902c122e42c0808b5bce14c"),
    ] {
        fs::write(at.join(name), der).unwrap();
        let digest = succeed(at, "openssl", &["dgst", "-sha256", name]);
        assert!(digest.trim().ends_with(sha256), "{digest}");
        succeed(at, "openssl", &["x509", "-inform", "DER", "-in", name, "-out", &format!("{name}.pem")]);
    }
    succeed(at, "openssl", &["verify", "-CAfile", "root.pem", "g4.pem"]);
    let g4 = Certificate::from_der(APPLE_WWDR_G4).unwrap();
    assert_eq!(g4.check_issued_by(&Certificate::from_der(APPLE_ROOT).unwrap()), Ok(()));
}
