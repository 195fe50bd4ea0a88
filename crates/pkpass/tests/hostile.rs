//! Archives that mean harm are refused before they are unpacked, and no bytes make the parsers panic.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::io::Write;

use common::{AUTHORITY, IDENTITY, NOW, assets, card};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use pkpass::{Certificate, Identity, Limits, Package, PathError, ReadError, lint_package, verify};
use proptest::prelude::*;

/// One entry of a hand-made archive, with what a harmful one would lie about.
#[derive(Clone)]
struct Entry {
    name: Vec<u8>,
    local_name: Option<Vec<u8>>,
    method: u16,
    flags: u16,
    mode: u32,
    size: u32,
    crc32: u32,
    data: Vec<u8>,
}

fn stored(name: &str, data: &[u8]) -> Entry {
    let (size, crc32) = (data.len() as u32, crc32fast::hash(data));
    Entry { name: name.into(), local_name: None, method: 0, flags: 0, mode: 0o100_644, size, crc32, data: data.to_vec() }
}

fn deflated(name: &str, data: &[u8]) -> Entry {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    Entry { method: 8, data: encoder.finish().unwrap(), ..stored(name, data) }
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for entry in entries {
        let common = |name: &[u8]| {
            let mut bytes = Vec::new();
            [20, entry.flags, entry.method, 0, 0x21].iter().for_each(|word: &u16| bytes.extend(word.to_le_bytes()));
            [entry.crc32, entry.data.len() as u32, entry.size].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend([0, 0]);
            bytes
        };
        let offset = (out.len() as u32).to_le_bytes();
        let local_name = entry.local_name.as_ref().unwrap_or(&entry.name);
        out.extend([b"PK\x03\x04", &common(local_name)[..], local_name, &entry.data].concat());
        let mode = (entry.mode << 16).to_le_bytes();
        central.extend([b"PK\x01\x02\x14\x03", &common(&entry.name)[..], &[0; 6], &mode, &offset, &entry.name].concat());
    }
    let (count, size, offset) =
        ((entries.len() as u16).to_le_bytes(), (central.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    out.extend(central);
    out.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &offset, &[0, 0]].concat());
    out
}

fn refused(entries: &[Entry]) -> ReadError {
    Package::parse(&archive(entries), &Limits::PASS).unwrap_err()
}

#[test]
fn the_hand_made_archive_is_otherwise_fine() {
    let entries =
        [stored("a.txt", b"a"), deflated("b.txt", &[b'b'; 1000]), stored("en.lproj/", b""), stored("en.lproj/c.txt", b"")];
    let package = Package::parse(&archive(&entries), &Limits::PASS).unwrap();
    let found: Vec<_> = package.files().map(|(path, data)| (path, data.len())).collect();
    assert_eq!(found, [("a.txt", 1), ("b.txt", 1000), ("en.lproj/c.txt", 0)]);
}

#[test]
fn harmful_entries_are_refused() {
    for name in ["../a", "a/../../b", "/etc/passwd", "C:\\a", "a\\..\\b", "..", "a//b"] {
        let fault = refused(&[stored("ok", b""), stored(name, b"x")]);
        assert!(
            matches!(fault, ReadError::Path(PathError::Traversal(_) | PathError::Absolute(_) | PathError::Character(_))),
            "{name}: {fault}"
        );
    }
    assert_eq!(refused(&[stored("a", b"1"), stored("a", b"2")]), ReadError::Duplicate("a".to_owned()));
    assert_eq!(refused(&[stored("a.png", b"1"), stored("A.PNG", b"2")]), ReadError::Duplicate("A.PNG".to_owned()));
    assert_eq!(refused(&[Entry { mode: 0o120_777, ..stored("a", b"/etc") }]), ReadError::Symlink("a".to_owned()));
    assert_eq!(refused(&[Entry { flags: 1, ..stored("a", b"x") }]), ReadError::Encrypted("a".to_owned()));
    assert_eq!(refused(&[Entry { method: 12, ..stored("a", b"x") }]), ReadError::Compression("a".to_owned()));
    assert_eq!(refused(&[Entry { crc32: 7, ..stored("a", b"x") }]), ReadError::Damaged("a".to_owned()));
    assert_eq!(refused(&[Entry { local_name: Some(b"b".to_vec()), ..stored("a", b"x") }]), ReadError::Damaged("a".to_owned()));
    assert_eq!(refused(&[Entry { name: vec![0xff], ..stored("a", b"x") }]), ReadError::Name(1));
}

#[test]
fn zip_bombs_are_refused() {
    let zeros = vec![0; 20 << 20];
    let honest = deflated("bomb", &zeros);
    assert!(matches!(refused(std::slice::from_ref(&honest)), ReadError::TooLarge { .. }));
    // one that lies about its size is stopped while unpacking
    let lying = Entry { size: 10, ..honest };
    assert!(matches!(refused(&[lying]), ReadError::TooLarge { .. }));
    // under the size limit, but grown a thousandfold
    assert!(matches!(refused(&[deflated("bomb", &zeros[..8 << 20])]), ReadError::TooLarge { .. }));
    // many files that are each allowed
    let noise: Vec<u8> = (0..10u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let many: Vec<_> = (0..4).map(|n| stored(&n.to_string(), &noise)).collect();
    assert!(matches!(refused(&many), ReadError::ArchiveTooLarge { .. }));
    let limits = Limits { total_bytes: 15 << 20, ..Limits::PASS };
    assert_eq!(Package::parse(&archive(&many[..2]), &limits), Err(ReadError::TotalTooLarge(15 << 20)));
    let files: Vec<_> = (0..=Limits::PASS.entries).map(|n| stored(&n.to_string(), b"")).collect();
    assert_eq!(refused(&files), ReadError::TooManyEntries(Limits::PASS.entries));
}

#[test]
fn overlapping_entries_are_refused() {
    // two central records share one local entry
    let mut bytes = archive(&[stored("a", b"x"), stored("b", b"y")]);
    let second = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    bytes[second + 42..second + 46].copy_from_slice(&[0; 4]);
    assert!(matches!(Package::parse(&bytes, &Limits::PASS), Err(ReadError::Damaged(_))));
}

/// A built package, made once.
fn built() -> Vec<u8> {
    static BUILT: std::sync::LazyLock<Vec<u8>> =
        std::sync::LazyLock::new(|| pkpass::build_pass(&card(), &assets(), &*IDENTITY, NOW).unwrap());
    BUILT.clone()
}

fn look_everywhere(bytes: &[u8]) {
    if let Ok(package) = Package::parse(bytes, &Limits::PASS) {
        let _ = package.pass();
        let _ = lint_package(&package, &[AUTHORITY.root_der()], NOW);
        let _ = verify(&package, &[AUTHORITY.root_der()], NOW);
    }
    let _ = Package::parse_bundle(bytes, &Limits::BUNDLE);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        look_everywhere(&bytes);
        let _ = Certificate::from_der(&bytes);
        let _ = Identity::from_p12(&bytes, "x", None);
        let _ = Identity::from_pem(&bytes, &bytes, None, &bytes);
        let _ = pkpass::Pass::from_json(&bytes);
    }

    #[test]
    fn arbitrary_files_never_panic(pass in any::<Vec<u8>>(), manifest in any::<Vec<u8>>(), signature in any::<Vec<u8>>(), strings in ".*") {
        let entries = [
            stored("pass.json", &pass),
            stored("manifest.json", &manifest),
            stored("signature", &signature),
            stored("en.lproj/pass.strings", strings.as_bytes()),
            stored("icon.png", &signature),
        ];
        look_everywhere(&archive(&entries));
    }

    #[test]
    fn a_changed_package_never_panics_and_never_verifies_as_another(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = built();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        look_everywhere(&bytes);
        if let Ok(package) = Package::parse(&bytes, &Limits::PASS) {
            let original = Package::parse(&built(), &Limits::PASS).unwrap();
            // what changed was the archive's own bookkeeping, such as a time, or it is noticed
            prop_assert!(package == original || !verify(&package, &[AUTHORITY.root_der()], NOW).is_valid());
        }
    }

    #[test]
    fn changed_signatures_never_panic(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let package = Package::parse(&built(), &Limits::PASS).unwrap();
        let entries: Vec<_> = package.files().map(|(path, data)| {
            let mut data = data.to_vec();
            if path == "signature" {
                let at = at.index(data.len());
                data[at] ^= 1 << bit;
            }
            stored(path, &data)
        }).collect();
        let changed = Package::parse(&archive(&entries), &Limits::PASS).unwrap();
        let _ = verify(&changed, &[AUTHORITY.root_der()], NOW);
    }
}
