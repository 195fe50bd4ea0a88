//! Signed passes per processor second on one core, beside the machine's own RSA rate and the peers.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use bytes::Bytes;
use pkpass::{Limits, Package, build, verify};

use crate::Size;
use crate::cpu::rate;
use crate::fixture::{Fixture, der, prepare};
use crate::peers;
use crate::stats::{Line, median};

/// Packages that the openssl command checks as well.
const OPENSSL_CHECKED: usize = 200;
/// How long after the start of a run its passes may carry their signing time.
const PATIENCE_SECONDS: i64 = 7200;
pub(crate) fn run(size: Size, folder: &Path, peers: Option<&Path>) -> Result<Vec<Line>> {
    let mut fixture = Fixture::create(folder)?;
    let mut lines = Vec::new();
    let (seconds, now) = (size.cpu_seconds, fixture.now);
    // rounds of everything in turn, so that a busy minute of the machine falls on all alike
    let sets = fixture.sets.clone();
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); 1 + 2 * sets.len()];
    let mut serial = 0u64;
    for _ in 0..size.rounds {
        rates[0].push(rsa_rate(folder, seconds)?);
        for (at, (_, files)) in sets.iter().enumerate() {
            let prepared = prepare(files)?;
            let (root, identity) = (fixture.authority.root_der(), &fixture.identity);
            let look = |bytes: &Vec<u8>| check(bytes, root, now);
            let mut next = || {
                serial += 1;
                fixture.pass.json(serial)
            };
            rates[1 + 2 * at].push(rate(seconds, || Ok(build(&next()?, &prepared, identity, now)?), look)?);
            rates[2 + 2 * at].push(rate(seconds, || Ok(build(&next()?, &prepare(files)?, identity, now)?), look)?);
        }
    }
    let rsa = median(&rates[0]);
    lines.push(Line::new("RSA-2048 signatures, aws-lc, in this process", rsa, "/CPU-s"));
    lines.push(Line::new("RSA-2048 signatures, `openssl speed`", openssl_speed()?, "/CPU-s"));
    for (at, (set, files)) in sets.iter().enumerate() {
        let bytes: usize = files.iter().map(|(_, data)| data.len()).sum();
        let (with, without) = (median(&rates[1 + 2 * at]), median(&rates[2 + 2 * at]));
        let name = |what: &str| format!("Passbridge, {set} ({} KB of images), {what}", bytes / 1000);
        lines.push(Line::new(name("prepared"), with, "/CPU-s"));
        lines.push(Line::new(name("not prepared"), without, "/CPU-s"));
        let share = Line::new(format!("Passbridge, {set}, prepared, share of the RSA rate"), 100.0 * with / rsa, "%");
        lines.push(share.at_least(80.0));
        if let Some(peers) = peers {
            for peer in PEERS {
                let rate = peer_rate(peer, peers, folder, set, seconds, &fixture)?;
                lines.push(Line::new(format!("{}, {set}", peer.name), rate, "/CPU-s"));
                lines.push(Line::new(format!("Passbridge, {set}, prepared, to {}", peer.name), with / rate, "times"));
            }
        }
    }
    lines.push(Line::new("passes signed and verified by the library", serial as f64, ""));
    lines.push(Line::new("… of these verified by openssl too", openssl_checks(folder, &mut fixture, &sets)? as f64, ""));
    Ok(lines)
}

fn rsa_rate(folder: &Path, seconds: f64) -> Result<f64> {
    let key = der(&fs::read_to_string(folder.join("key.pem"))?)?;
    let pair = RsaKeyPair::from_pkcs8(&key).ok().context("key.pem is no RSA key")?;
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = SystemRandom::new();
    let message = [7u8; 110]; // as long as the signed attributes of a pass
    let sign = || pair.sign(&RSA_PKCS1_SHA256, &random, &message, &mut signature).ok().context("signing failed");
    rate(seconds, sign, |()| Ok(()))
}

/// Signatures per processor second, as the openssl command counts them.
fn openssl_speed() -> Result<f64> {
    let output =
        Command::new("openssl").args(["speed", "-seconds", "3", "rsa2048"]).output().context("openssl is not installed")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with("rsa 2048 bits")).context("`openssl speed` has an unknown form")?;
    line.split_whitespace().nth(5).and_then(|rate| rate.parse().ok()).context("`openssl speed` has an unknown form")
}

fn check(bytes: &[u8], root: &[u8], now: i64) -> Result<()> {
    let report = verify(&Package::parse(bytes, &Limits::PASS)?, &[root], now);
    match report.failures().next() {
        Some((check, reason)) => bail!("a pass does not verify: {}: {reason}", check.name()),
        None => Ok(()),
    }
}

/// Has the openssl command check that many new passes of both sets; gives how many.
fn openssl_checks(folder: &Path, fixture: &mut Fixture, sets: &[(&'static str, Vec<(String, Bytes)>)]) -> Result<usize> {
    let out = folder.join("openssl");
    fs::create_dir_all(&out)?;
    let now = fixture.now;
    for n in 0..OPENSSL_CHECKED {
        let (_, files) = &sets[n % sets.len()];
        let bytes = build(&fixture.pass.json(n as u64)?, &prepare(files)?, &fixture.identity, now)?;
        openssl_check(&bytes, &out, &folder.join("root.pem"))?;
    }
    Ok(OPENSSL_CHECKED)
}

fn openssl_check(bytes: &[u8], out: &Path, root: &Path) -> Result<()> {
    let package = Package::parse(bytes, &Limits::PASS)?;
    let (signature, manifest) = (out.join("signature"), out.join("manifest.json"));
    fs::write(&signature, package.file("signature").context("no signature")?)?;
    fs::write(&manifest, package.file("manifest.json").context("no manifest")?)?;
    let output = Command::new("openssl")
        .args(["cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-out", "/dev/null"])
        .args([Path::new("-in"), &signature, Path::new("-content"), &manifest, Path::new("-CAfile"), root])
        .output()?;
    ensure!(output.status.success(), "openssl does not verify a pass: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A peer's script.
struct Peer {
    name: &'static str,
    script: &'static str,
}

const PEERS: &[Peer] = &[
    Peer { name: "passkit-generator 3.6.1 (npm)", script: "passkit-generator.mjs" },
    Peer { name: "@walletpass/pass-js 7.2.0 (npm)", script: "pass-js.mjs" },
    Peer { name: "wallet-py3k 0.0.4 (PyPI)", script: "wallet_py3k.py" },
];

fn peer_rate(peer: &Peer, peers: &Path, folder: &Path, set: &str, seconds: f64, fixture: &Fixture) -> Result<f64> {
    let out = folder.join(format!("peer-{set}"));
    let seconds = seconds.to_string();
    let arguments = [folder.as_os_str(), OsStr::new(set), OsStr::new(&seconds), out.as_os_str()];
    let rate = peers::rate(peers, peer.script, &arguments)?;
    let first = folder.join(format!("peer-{set}-0.pkpass"));
    check(&fs::read(&first)?, fixture.authority.root_der(), fixture.now + PATIENCE_SECONDS)
        .with_context(|| format!("{}'s pass", peer.name))?;
    fs::remove_file(first)?;
    Ok(rate)
}
