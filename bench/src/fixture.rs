//! What is signed: a loyalty card of ordinary size, and two sets of images.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bytes::Bytes;
use flate2::{Compression, write::ZlibEncoder};
use pkpass::development::{Authority, Validity};
use pkpass::{Assets, Identity};
use serde_json::{Value, json};

pub(crate) const PASS_TYPE: &str = "pass.example.bench";
const TEAM: &str = "BENCH12345";

/// A set of images by name, bits of grey per pixel, and slots with their size in points. With noise in the pictures, the
/// bits decide the files' sizes.
type ImageSet = (&'static str, u8, &'static [(&'static str, u32, u32)]);

const SETS: [ImageSet; 2] = [
    ("small", 1, &[("icon", 38, 38), ("logo", 20, 20)]),
    ("typical", 2, &[("icon", 38, 38), ("logo", 160, 50), ("strip", 375, 144)]),
];

/// Files and keys, in memory and in a folder for the peers.
pub(crate) struct Fixture {
    /// Moment of the start, unix seconds; our passes carry it, the peers' their own.
    pub(crate) now: i64,
    pub(crate) authority: Authority,
    pub(crate) identity: Identity,
    pub(crate) pass: Card,
    pub(crate) sets: Vec<(&'static str, Vec<(String, Bytes)>)>,
}

impl Fixture {
    /// Makes keys and images, and writes them into the folder.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
        let authority = Authority::create("bench", Validity::days(now - 86_400, 3650))?;
        let pem = authority.issue_pass_type(PASS_TYPE, TEAM, Validity::days(now - 86_400, 365))?;
        let identity =
            Identity::from_pem(pem.certificate.as_bytes(), pem.key.as_bytes(), None, authority.intermediate_pem().as_bytes())?;
        for (name, text) in [
            ("root.pem", authority.root_pem()),
            ("intermediate.pem", authority.intermediate_pem()),
            ("certificate.pem", pem.certificate.as_str()),
            ("key.pem", pem.key.as_str()),
        ] {
            fs::write(folder.join(name), text)?;
        }
        let pass = card();
        fs::write(folder.join("pass.json"), serde_json::to_vec(&pass)?)?;
        let mut sets = Vec::new();
        for (set, bits, images) in SETS {
            fs::create_dir_all(folder.join(set))?;
            let mut files = Vec::new();
            for (slot, width, height) in images {
                for scale in 1..=3 {
                    let suffix = if scale == 1 { String::new() } else { format!("@{scale}x") };
                    let name = format!("{slot}{suffix}.png");
                    let data = Bytes::from(noise(width * scale, height * scale, bits)?);
                    fs::write(folder.join(set).join(&name), &data)?;
                    files.push((name, data));
                }
            }
            sets.push((set, files));
        }
        Ok(Self { now, authority, identity, pass: Card(pass), sets })
    }
}

/// The card, of which every pass has a serial number of its own.
pub(crate) struct Card(Value);

impl Card {
    /// The bytes of `pass.json`.
    pub(crate) fn json(&mut self, serial: u64) -> Result<Vec<u8>> {
        self.0["serialNumber"] = serial.to_string().into();
        Ok(serde_json::to_vec(&self.0)?)
    }
}

/// The bytes of a PEM text.
pub(crate) fn der(pem: &str) -> Result<Vec<u8>> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(base64::engine::general_purpose::STANDARD.decode(body)?)
}

/// Prepares images anew, as a library without a cache must for every pass.
pub(crate) fn prepare(files: &[(String, Bytes)]) -> Result<Assets> {
    Ok(Assets::prepare(files.iter().cloned())?)
}

fn card() -> Value {
    json!({
        "formatVersion": 1, "passTypeIdentifier": PASS_TYPE, "teamIdentifier": TEAM, "serialNumber": "0",
        "organizationName": "Example Coffee", "description": "Loyalty card", "logoText": "Example Coffee",
        "webServiceURL": "https://passes.example.com/apple", "authenticationToken": "0123456789abcdef0123456789abcdef",
        "backgroundColor": "rgb(11, 61, 46)", "foregroundColor": "rgb(255, 255, 255)", "labelColor": "rgb(184, 224, 200)",
        "barcodes": [{"format": "PKBarcodeFormatQR", "message": "0", "messageEncoding": "iso-8859-1"}],
        "storeCard": {
            "primaryFields": [{"key": "points", "label": "Points", "value": 1250, "changeMessage": "You have %@ points"}],
            "secondaryFields": [
                {"key": "name", "label": "Member", "value": "Robin Example"},
                {"key": "tier", "label": "Tier", "value": "Gold"}
            ],
            "backFields": [
                {"key": "terms", "label": "Terms", "value": "Points are credited within a day and are good for two years after the last purchase."},
                {"key": "news", "label": "News", "value": "–", "changeMessage": "%@"}
            ]
        }
    })
}

/// A grey PNG of noise, which no encoder makes smaller.
pub(crate) fn noise(width: u32, height: u32, bits: u8) -> Result<Vec<u8>> {
    let row = (width * u32::from(bits)).div_ceil(8) as usize;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..height {
        let mut line = vec![0u8]; // no filter
        line.extend((0..row).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        }));
        zlib.write_all(&line)?;
    }
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[bits, 0, 0, 0, 0]].concat();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header), (b"IDAT", zlib.finish()?), (b"IEND", Vec::new())] {
        let chunk = [&name[..], &data].concat();
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(&chunk);
        out.extend(crc32fast::hash(&chunk).to_be_bytes());
    }
    Ok(out)
}
