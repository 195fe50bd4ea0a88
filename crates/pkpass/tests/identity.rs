//! Identities are read from what `openssl` and Keychain Access export, and each fault is named.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::fs;
use std::path::Path;

use common::{AUTHORITY, NOW, PASS_TYPE, TEAM, VALIDITY, assets, card, succeed};
use pkpass::development::PemIdentity;
use pkpass::{ChainError, Identity, IdentityError, Signer};

const PASSWORD: &str = "correct horse";

/// A new identity's files in a folder: leaf.pem, leaf.key, mid.pem.
fn exported() -> (tempfile::TempDir, PemIdentity) {
    let pem = AUTHORITY.issue_pass_type(PASS_TYPE, TEAM, VALIDITY).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("leaf.pem", pem.certificate.as_str()), ("leaf.key", &pem.key), ("mid.pem", AUTHORITY.intermediate_pem())]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    (folder, pem)
}

fn export_p12(at: &Path, options: &[&str]) -> Vec<u8> {
    let password = format!("pass:{PASSWORD}");
    let fixed = ["pkcs12", "-export", "-in", "leaf.pem", "-inkey", "leaf.key", "-passout", &password, "-out", "leaf.p12"];
    succeed(at, "openssl", &[&fixed[..], options].concat());
    fs::read(at.join("leaf.p12")).unwrap()
}

fn signs(identity: &Identity) {
    assert_eq!((identity.pass_type_identifier(), identity.team_identifier()), (PASS_TYPE, TEAM));
    let message = b"message";
    assert_eq!(identity.sign(message).unwrap().len(), 256);
    assert!(pkpass::build_pass(&card(), &assets(), identity, NOW).is_ok());
}

#[test]
fn p12_files_of_both_generations_are_read() {
    let (folder, _) = exported();
    let intermediate = AUTHORITY.intermediate_pem().as_bytes();
    let legacy: &[&str] = &["-legacy", "-certpbe", "PBE-SHA1-RC2-40", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"];
    let all_3des: &[&str] = &["-legacy", "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"];
    for options in [&[][..], legacy, all_3des] {
        let p12 = export_p12(folder.path(), options);
        signs(&Identity::from_p12(&p12, PASSWORD, Some(intermediate)).unwrap());
        assert_eq!(Identity::from_p12(&p12, "wrong", Some(intermediate)).unwrap_err(), IdentityError::PassphraseWrong(".p12"));
        assert!(
            matches!(Identity::from_p12(&p12, PASSWORD, None), Err(IdentityError::NoIntermediate(name)) if name.contains("Pass Relations"))
        );
    }
    let with_chain = export_p12(folder.path(), &["-certfile", "mid.pem"]);
    signs(&Identity::from_p12(&with_chain, PASSWORD, None).unwrap());
}

#[test]
fn a_p12_without_key_says_so() {
    let (folder, _) = exported();
    let p12 = export_p12(folder.path(), &["-nokeys"]);
    assert_eq!(Identity::from_p12(&p12, PASSWORD, None).unwrap_err(), IdentityError::P12NoKey);
    assert!(matches!(Identity::from_p12(b"PK\x03\x04", PASSWORD, None), Err(IdentityError::P12(_))));
    assert!(matches!(Identity::from_p12(&vec![0x30; 1 << 20], PASSWORD, None), Err(IdentityError::TooLarge(_))));
}

#[test]
fn keys_are_read_in_every_common_form() {
    let (folder, pem) = exported();
    let at = folder.path();
    let password = format!("pass:{PASSWORD}");
    let convert = |arguments: &[&str]| {
        succeed(at, "openssl", &[arguments, &["-in", "leaf.key", "-out", "out.key"]].concat());
        fs::read(at.join("out.key")).unwrap()
    };
    let load = |key: &[u8], passphrase| {
        Identity::from_pem(pem.certificate.as_bytes(), key, passphrase, AUTHORITY.intermediate_pem().as_bytes())
    };
    signs(&load(pem.key.as_bytes(), None).unwrap());
    signs(&load(&convert(&["rsa", "-traditional"]), None).unwrap());
    for (cipher, prf) in [("aes-256-cbc", "hmacWithSHA256"), ("des3", "hmacWithSHA1")] {
        let encrypted = convert(&["pkcs8", "-topk8", "-v2", cipher, "-v2prf", prf, "-passout", &password]);
        signs(&load(&encrypted, Some(PASSWORD)).unwrap());
        assert_eq!(load(&encrypted, None).unwrap_err(), IdentityError::PassphraseMissing);
        assert_eq!(load(&encrypted, Some("wrong")).unwrap_err(), IdentityError::PassphraseWrong("private key"));
    }
    let old = convert(&["rsa", "-traditional", "-aes128", "-passout", &password]);
    assert_eq!(load(&old, Some(PASSWORD)).unwrap_err(), IdentityError::KeyEncryption);
    assert_eq!(load(b"no key here", None).unwrap_err(), IdentityError::NoKey);
    assert_eq!(load(b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----", None).unwrap_err(), IdentityError::Pem);
}

#[test]
fn certificates_are_read_as_pem_and_as_der() {
    let (folder, pem) = exported();
    let at = folder.path();
    for name in ["leaf", "mid"] {
        succeed(at, "openssl", &["x509", "-in", &format!("{name}.pem"), "-outform", "DER", "-out", &format!("{name}.cer")]);
    }
    let read = |name: &str| fs::read(at.join(name)).unwrap();
    signs(&Identity::from_pem(&read("leaf.cer"), pem.key.as_bytes(), None, &read("mid.cer")).unwrap());
}

#[test]
fn a_wrong_file_is_named() {
    let (_folder, pem) = exported();
    let (_other_folder, other) = exported();
    let tls = AUTHORITY.issue_tls_server(&["localhost"], VALIDITY).unwrap();
    let (leaf, key) = (pem.certificate.as_bytes(), pem.key.as_bytes());
    let intermediate = AUTHORITY.intermediate_pem().as_bytes();
    let load = |leaf, key, intermediate| Identity::from_pem(leaf, key, None, intermediate).unwrap_err();

    assert!(matches!(load(leaf, other.key.as_bytes(), intermediate), IdentityError::KeyMismatch(_)));
    let not_pass = load(tls.certificate.as_bytes(), tls.key.as_bytes(), AUTHORITY.root_pem().as_bytes());
    assert!(matches!(not_pass, IdentityError::Chain(ChainError::NotPassType(_))), "{not_pass}");
    let wrong = load(leaf, key, AUTHORITY.root_pem().as_bytes());
    assert!(matches!(wrong, IdentityError::Chain(ChainError::WrongIntermediate(_))), "{wrong}");
    assert!(wrong.to_string().contains("WWDR G4"), "{wrong}");
    assert!(matches!(load(leaf, key, b""), IdentityError::NoIntermediate(_)));
    assert!(matches!(load(b"", key, intermediate), IdentityError::NoCertificate(_)));
}

#[test]
fn validity_is_asked_for_with_a_time() {
    let identity = AUTHORITY.issue_identity(PASS_TYPE, TEAM, VALIDITY).unwrap();
    assert_eq!((identity.not_before(), identity.not_after()), (VALIDITY.not_before, VALIDITY.not_after));
    assert_eq!(identity.check_valid_at(NOW), Ok(()));
    assert!(matches!(identity.check_valid_at(VALIDITY.not_before - 1), Err(IdentityError::NotYetValid { .. })));
    let expired = identity.check_valid_at(VALIDITY.not_after + 1).unwrap_err();
    assert!(matches!(expired, IdentityError::Expired { .. }));
    assert!(expired.to_string().contains(" expired at 20") && expired.to_string().contains("Z; renew"), "{expired}");
}

#[test]
fn an_identity_shows_no_secret() {
    let identity = AUTHORITY.issue_identity(PASS_TYPE, TEAM, VALIDITY).unwrap();
    let shown = format!("{identity:?}");
    assert!(shown.contains(PASS_TYPE) && shown.len() < 200, "{shown}");
}
