//! Built packages are checked by tools that are not ours: `unzip` and `openssl`.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::fs;

use common::{AUTHORITY, IDENTITY, NOW, TEAM, VALIDITY, assets, card, run, succeed};
use pkpass::{Identity, SignatureScheme, Signer};

const VERIFY: &[&str] = &[
    "cms",
    "-verify",
    "-binary",
    "-inform",
    "DER",
    "-in",
    "x/signature",
    "-content",
    "x/manifest.json",
    "-CAfile",
    "root.pem",
    "-purpose",
    "any",
    "-attime",
    "1795176000",
    "-out",
    "verified.json",
];

fn unpacked(bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.pkpass"), bytes).unwrap();
    fs::write(folder.path().join("root.pem"), AUTHORITY.root_pem()).unwrap();
    succeed(folder.path(), "unzip", &["-q", "p.pkpass", "-d", "x"]);
    folder
}

#[test]
fn openssl_verifies_what_we_sign() {
    let bytes = pkpass::build_pass(&card(), &assets(), &*IDENTITY, NOW).unwrap();
    let folder = unpacked(&bytes);
    let at = folder.path();
    succeed(at, "openssl", VERIFY);
    assert_eq!(fs::read(at.join("verified.json")).unwrap(), fs::read(at.join("x/manifest.json")).unwrap());

    let certificates = succeed(at, "openssl", &["pkcs7", "-inform", "DER", "-in", "x/signature", "-print_certs", "-noout"]);
    assert_eq!(certificates.matches("subject=").count(), 2, "{certificates}");
    assert!(certificates.contains("UID = pass.test.passbridge.card") || certificates.contains("UID=pass.test.passbridge.card"));
    assert!(certificates.contains("Pass Relations"));

    let printed = succeed(at, "openssl", &["cms", "-cmsout", "-print", "-inform", "DER", "-in", "x/signature", "-noout"]);
    assert!(printed.contains("signingTime") && printed.contains("Nov 20 12:00:00 2026 GMT"), "{printed}");
    assert!(printed.contains("eContent: <ABSENT>"), "{printed}");

    let manifest: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&fs::read(at.join("x/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest.len(), 6);
    for (path, hash) in manifest {
        let printed = succeed(at, "openssl", &["dgst", "-sha1", "-r", &format!("x/{path}")]);
        assert_eq!(printed.split(' ').next(), hash.as_str(), "{path}");
    }
}

#[test]
fn openssl_refuses_a_changed_manifest() {
    let bytes = pkpass::build_pass(&card(), &assets(), &*IDENTITY, NOW).unwrap();
    let folder = unpacked(&bytes);
    let manifest = folder.path().join("x/manifest.json");
    let changed = fs::read_to_string(&manifest).unwrap().replacen('a', "b", 1);
    fs::write(&manifest, changed).unwrap();
    assert!(!run(folder.path(), "openssl", VERIFY).status.success());
}

#[test]
fn an_ecdsa_identity_signs_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // a second authority made by openssl alone, with P-256 keys throughout
    let config = format!(
        "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=x\n[ca]\nbasicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n\
         [leaf]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n[pass]\nUID={}\nCN=Pass\nOU={TEAM}\n",
        common::PASS_TYPE
    );
    fs::write(at.join("c.cnf"), config).unwrap();
    let request = |name: &str, subject: &str| {
        succeed(at, "openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &format!("{name}.key")]);
        succeed(
            at,
            "openssl",
            &[
                "req",
                "-new",
                "-key",
                &format!("{name}.key"),
                "-subj",
                subject,
                "-config",
                "c.cnf",
                "-out",
                &format!("{name}.csr"),
            ],
        );
    };
    request("ca", "/CN=EC intermediate");
    request("leaf", &format!("/UID={}/CN=Pass/OU={TEAM}", common::PASS_TYPE));
    let sign = |name: &str, section: &str, by: &[&str]| {
        let (csr, pem) = (format!("{name}.csr"), format!("{name}.pem"));
        let fixed = ["x509", "-req", "-in", &csr, "-days", "3000", "-extfile", "c.cnf", "-extensions", section, "-out", &pem];
        succeed(at, "openssl", &[&fixed[..], by].concat());
    };
    sign("ca", "ca", &["-signkey", "ca.key"]);
    sign("leaf", "leaf", &["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]);
    let read = |name: &str| fs::read(at.join(name)).unwrap();
    let identity = Identity::from_pem(&read("leaf.pem"), &read("leaf.key"), None, &read("ca.pem")).unwrap();
    assert_eq!(identity.chain().scheme(), SignatureScheme::EcdsaP256Sha256);

    let bytes = pkpass::build_pass(&card(), &assets(), &identity, identity.not_before()).unwrap();
    fs::write(at.join("p.pkpass"), bytes).unwrap();
    succeed(at, "unzip", &["-q", "p.pkpass", "-d", "x"]);
    succeed(
        at,
        "openssl",
        &[
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "DER",
            "-in",
            "x/signature",
            "-content",
            "x/manifest.json",
            "-CAfile",
            "ca.pem",
            "-purpose",
            "any",
            "-out",
            "verified.json",
        ],
    );
    fs::write(at.join("k.der"), &*identity.private_key_der()).unwrap();
    succeed(at, "openssl", &["pkey", "-inform", "DER", "-in", "k.der", "-check", "-noout"]);
}

#[test]
fn a_development_chain_is_valid_to_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let pass = AUTHORITY.issue_pass_type(common::PASS_TYPE, TEAM, VALIDITY).unwrap();
    let tls = AUTHORITY.issue_tls_server(&["localhost", "127.0.0.1"], VALIDITY).unwrap();
    for (name, text) in [
        ("root.pem", AUTHORITY.root_pem()),
        ("mid.pem", AUTHORITY.intermediate_pem()),
        ("leaf.pem", &pass.certificate),
        ("tls.pem", &tls.certificate),
    ] {
        fs::write(at.join(name), text).unwrap();
    }
    let verify = ["verify", "-x509_strict", "-attime", "1795176000", "-CAfile", "root.pem"];
    succeed(at, "openssl", &[&verify[..], &["-untrusted", "mid.pem", "-purpose", "sslclient", "leaf.pem"]].concat());
    succeed(at, "openssl", &[&verify[..], &["-purpose", "sslserver", "-verify_ip", "127.0.0.1", "tls.pem"]].concat());
    succeed(at, "openssl", &[&verify[..], &["-purpose", "sslserver", "-verify_hostname", "localhost", "tls.pem"]].concat());
    let printed = succeed(at, "openssl", &["x509", "-in", "mid.pem", "-noout", "-text"]);
    assert!(printed.contains("pathlen:0"), "{printed}");
}

#[test]
fn openssl_accepts_the_signature_over_a_personalisation_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = b"a token that a phone made";
    let signature = pkpass::sign_detached(token, &*IDENTITY, NOW).unwrap();
    fs::write(folder.path().join("token"), token).unwrap();
    fs::write(folder.path().join("signature"), &signature).unwrap();
    fs::write(folder.path().join("root.pem"), AUTHORITY.root_pem()).unwrap();
    let time = NOW.to_string();
    let verify = [
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-in",
        "signature",
        "-content",
        "token",
        "-binary",
        "-CAfile",
        "root.pem",
        "-purpose",
        "any",
        "-attime",
        &time,
        "-out",
        "said",
    ];
    succeed(folder.path(), "openssl", &verify);
    fs::write(folder.path().join("token"), b"another token").unwrap();
    assert!(!run(folder.path(), "openssl", &verify).status.success());
}
