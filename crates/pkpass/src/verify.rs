//! Verification of a package the way a phone does it: manifest, hashes, signature, chain, validity, identifiers.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::asn1::written;
use crate::assets::sha1_hex;
use crate::cms::SignedData;
use crate::read::Package;
use crate::x509::Certificate;

/// How far a signing time may lie in the future, in seconds: clocks of servers and phones differ.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// What is checked, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// `manifest.json` is there and maps paths to hashes.
    Manifest,
    /// The manifest lists every file, and every listed file is there.
    Completeness,
    /// Every file has the hash that the manifest says.
    Hashes,
    /// `signature` is there and is a CMS signature with one signer, whose certificate is inside.
    SignatureForm,
    /// The signature covers this manifest and is by the leaf's key.
    Signature,
    /// It carries a signing time that is not in the future and lies in the leaf's validity.
    SigningTime,
    /// Leaf, embedded intermediate and a trusted root issue one another.
    Chain,
    /// All certificates of the chain are valid now.
    Validity,
    /// The leaf's UID and OU are pass type and team of `pass.json`.
    Identifiers,
}

impl Check {
    /// A stable name for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Completeness => "completeness",
            Self::Hashes => "hashes",
            Self::SignatureForm => "signature_form",
            Self::Signature => "signature",
            Self::SigningTime => "signing_time",
            Self::Chain => "chain",
            Self::Validity => "validity",
            Self::Identifiers => "identifiers",
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not; a phone refuses the pass. Says why.
    Failed(String),
    /// It could not be done, because an earlier one failed.
    NotRun,
}

/// One check with its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// What was checked.
    pub check: Check,
    /// How it ended.
    pub outcome: Outcome,
}

/// All checks, and what the signature says about its maker.
#[derive(Debug, Clone)]
pub struct Verification {
    /// In the order of [`Check`], each exactly once.
    pub results: Vec<CheckResult>,
    /// Signing time, unix seconds, where there is one.
    pub signed_at: Option<i64>,
    /// The signer's certificate, where it is inside.
    pub leaf: Option<Certificate>,
}

impl Verification {
    /// True when every check passed.
    pub fn is_valid(&self) -> bool {
        self.results.iter().all(|result| result.outcome == Outcome::Passed)
    }

    /// The outcome of one check.
    pub fn outcome(&self, check: Check) -> &Outcome {
        self.results.iter().find(|result| result.check == check).map_or(&Outcome::NotRun, |result| &result.outcome)
    }

    /// The checks that failed, with the reason.
    pub fn failures(&self) -> impl Iterator<Item = (Check, &str)> {
        self.results.iter().filter_map(|result| match &result.outcome {
            Outcome::Failed(reason) => Some((result.check, reason.as_str())),
            _ => None,
        })
    }

    fn record(&mut self, check: Check, outcome: Result<(), String>) {
        let outcome = outcome.map_or_else(Outcome::Failed, |()| Outcome::Passed);
        self.results.push(CheckResult { check, outcome });
    }

    fn skip(&mut self, checks: &[Check]) {
        self.results.extend(checks.iter().map(|check| CheckResult { check: *check, outcome: Outcome::NotRun }));
    }
}

/// Checks a package against trusted roots (DER) at a moment (unix seconds). An unreadable root is passed over.
pub fn verify(package: &Package, roots: &[&[u8]], now: i64) -> Verification {
    let mut report = Verification { results: Vec::with_capacity(9), signed_at: None, leaf: None };
    match read_manifest(package) {
        Ok(manifest) => {
            report.record(Check::Manifest, Ok(()));
            report.record(Check::Completeness, check_completeness(package, &manifest));
            report.record(Check::Hashes, check_hashes(package, &manifest));
        }
        Err(reason) => {
            report.record(Check::Manifest, Err(reason));
            report.skip(&[Check::Completeness, Check::Hashes]);
        }
    }
    const AFTER_FORM: [Check; 5] = [Check::Signature, Check::SigningTime, Check::Chain, Check::Validity, Check::Identifiers];
    let (signed, leaf) = match read_signature(package) {
        Ok(found) => found,
        Err(reason) => {
            report.record(Check::SignatureForm, Err(reason));
            report.skip(&AFTER_FORM);
            return report;
        }
    };
    report.record(Check::SignatureForm, Ok(()));
    report.signed_at = signed.signer.signing_time;
    report.record(Check::Signature, check_signature(package, &signed, &leaf));
    report.record(Check::SigningTime, check_signing_time(signed.signer.signing_time, &leaf, now));
    let roots: Vec<_> = roots.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    match find_chain(&leaf, &signed.certificates, &roots) {
        Ok(chain) => {
            report.record(Check::Chain, Ok(()));
            report.record(Check::Validity, check_validity(&chain, now));
        }
        Err(reason) => {
            report.record(Check::Chain, Err(reason));
            report.record(Check::Validity, check_validity(&[&leaf], now));
        }
    }
    report.record(Check::Identifiers, check_identifiers(package, &leaf));
    report.leaf = Some(leaf);
    report
}

fn read_manifest(package: &Package) -> Result<BTreeMap<String, String>, String> {
    let bytes = package.file("manifest.json").ok_or("there is no manifest.json")?;
    serde_json::from_slice(bytes).map_err(|fault| format!("manifest.json is not an object of paths and hashes: {fault}"))
}

fn check_completeness(package: &Package, manifest: &BTreeMap<String, String>) -> Result<(), String> {
    if let Some((path, _)) =
        package.files().find(|(path, _)| !matches!(*path, "manifest.json" | "signature") && !manifest.contains_key(*path))
    {
        return Err(format!("`{path}` is in the package and not in manifest.json"));
    }
    match manifest.keys().find(|path| package.file(path).is_none()) {
        Some(path) => Err(format!("`{path}` is in manifest.json and not in the package")),
        None if !manifest.contains_key("pass.json") => Err("there is no pass.json".to_owned()),
        None => Ok(()),
    }
}

fn check_hashes(package: &Package, manifest: &BTreeMap<String, String>) -> Result<(), String> {
    let differs = |(path, hash): &(&String, &String)| {
        package.file(path).is_some_and(|data| !hash.as_bytes().eq_ignore_ascii_case(&sha1_hex(data)))
    };
    match manifest.iter().find(differs) {
        Some((path, _)) => Err(format!("`{path}` was changed after the manifest was made: its SHA-1 is another one")),
        None => Ok(()),
    }
}

fn read_signature(package: &Package) -> Result<(SignedData, Certificate), String> {
    let bytes = package.file("signature").ok_or("there is no signature: the pass is unsigned")?;
    let signed = SignedData::parse(bytes).map_err(|_| "the signature is not a CMS signature with one signer, DER or BER")?;
    let leaf = signed.leaf().cloned().ok_or("the signer's certificate is not inside the signature")?;
    Ok((signed, leaf))
}

fn check_signature(package: &Package, signed: &SignedData, leaf: &Certificate) -> Result<(), String> {
    let manifest = package.file("manifest.json").ok_or("there is no manifest.json that it could cover")?;
    if !signed.signer.covers(manifest) {
        return Err("manifest.json was changed after it was signed: the signed digest is another one".to_owned());
    }
    if !signed.signer.is_signed_by(leaf, manifest) {
        return Err(format!("the signature is not by the key of `{}`", leaf.name()));
    }
    Ok(())
}

fn check_signing_time(time: Option<i64>, leaf: &Certificate, now: i64) -> Result<(), String> {
    let time = time.ok_or("the signature carries no signing time, which Wallet demands")?;
    if time > now.saturating_add(CLOCK_SKEW_SECONDS) {
        return Err(format!("the signing time {time} lies in the future; the pass is invalid until then"));
    }
    if !leaf.is_valid_at(time) {
        return Err(format!("the certificate was not valid at the signing time {time}"));
    }
    Ok(())
}

/// Leaf, intermediate, root.
fn find_chain<'a>(
    leaf: &'a Certificate,
    embedded: &'a [Certificate],
    roots: &'a [Certificate],
) -> Result<[&'a Certificate; 3], String> {
    let named = embedded.iter().filter(|candidate| candidate.raw_subject() == leaf.raw_issuer());
    let mut fault = format!("the intermediate certificate `{}` is not inside the signature", leaf.issuer());
    for intermediate in named {
        match leaf.check_issued_by(intermediate) {
            Ok(()) => {}
            Err(other) => {
                fault = other.to_string();
                continue;
            }
        }
        match roots.iter().find(|root| intermediate.check_issued_by(root).is_ok()) {
            Some(root) => return Ok([leaf, intermediate, root]),
            None => {
                fault =
                    format!("`{}` is not issued by a trusted root; it names `{}`", intermediate.name(), intermediate.issuer());
            }
        }
    }
    Err(fault)
}

/// True when the leaf's issuer is inside the signature, whoever trusts it.
pub(crate) fn holds_intermediate(package: &Package) -> bool {
    read_signature(package)
        .is_ok_and(|(signed, leaf)| signed.certificates.iter().any(|other| leaf.check_issued_by(other).is_ok()))
}

fn check_validity(chain: &[&Certificate], now: i64) -> Result<(), String> {
    match chain.iter().find(|certificate| !certificate.is_valid_at(now)) {
        Some(certificate) if now > certificate.not_after() => {
            Err(format!("`{}` expired at {}", certificate.name(), written(certificate.not_after())))
        }
        Some(certificate) => Err(format!("`{}` is valid only from {}", certificate.name(), written(certificate.not_before()))),
        None => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identifiers {
    pass_type_identifier: String,
    team_identifier: String,
}

fn check_identifiers(package: &Package, leaf: &Certificate) -> Result<(), String> {
    let bytes = package.pass_json().ok_or("there is no pass.json")?;
    let ids: Identifiers = serde_json::from_slice(&crate::json::forgive(bytes))
        .map_err(|fault| format!("pass.json has no readable identifiers: {fault}"))?;
    let (uid, team) = (leaf.pass_type_identifier().unwrap_or_default(), leaf.team_identifier().unwrap_or_default());
    if uid != ids.pass_type_identifier {
        return Err(format!("pass.json says pass type `{}`, the certificate `{uid}`", ids.pass_type_identifier));
    }
    if team != ids.team_identifier {
        return Err(format!("pass.json says team `{}`, the certificate `{team}`", ids.team_identifier));
    }
    Ok(())
}
