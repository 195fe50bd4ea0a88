//! A package made without the `pkpass` crate, for the tests of the phones.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "shared by several test files")]

use std::collections::BTreeMap;
use std::io::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::Value;

/// A package with a manifest and a placeholder signature, one file deflated and one stored.
pub fn package(pass: &Value, tamper: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Vec<u8> {
    let mut files = BTreeMap::from([
        ("icon.png".to_owned(), vec![0x89, b'P', b'N', b'G']),
        ("pass.json".to_owned(), pass.to_string().into_bytes()),
    ]);
    let manifest: BTreeMap<_, _> = files
        .iter()
        .map(|(name, content)| {
            (name, digest(&SHA1_FOR_LEGACY_USE_ONLY, content).as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>())
        })
        .collect();
    let manifest = serde_json::to_vec(&manifest).unwrap();
    files.insert("manifest.json".to_owned(), manifest);
    files.insert("signature".to_owned(), vec![0x30, 0]);
    tamper(&mut files);
    zip(&files)
}

/// A ZIP file of these files.
pub fn zip(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let (method, data) = if name == "pass.json" {
            let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            deflate.write_all(content).unwrap();
            (8_u16, deflate.finish().unwrap())
        } else {
            (0, content.clone())
        };
        let offset = u32::try_from(out.len()).unwrap();
        let mut shared = Vec::new();
        for part in [20, 0, method, 0, 0x21] {
            shared.extend(u16::to_le_bytes(part));
        }
        for part in [crc32fast::hash(content), data.len() as u32, content.len() as u32] {
            shared.extend(u32::to_le_bytes(part));
        }
        shared.extend(u16::to_le_bytes(name.len() as u16));
        shared.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&shared);
        out.extend(name.as_bytes());
        out.extend(data);
        central.extend(b"PK\x01\x02\x14\x00");
        central.extend(shared);
        central.extend([0; 10]);
        central.extend(offset.to_le_bytes());
        central.extend(name.as_bytes());
    }
    let (count, at) = (files.len() as u16, out.len() as u32);
    out.extend(&central);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    out.extend([(central.len() as u32).to_le_bytes(), at.to_le_bytes()].concat());
    out.extend([0, 0]);
    out
}
