//! The linter: what a phone would refuse, and what it would take and silently leave out.
//!
//! It reads `pass.json` as it stands and not through [`crate::Pass`], so that a value of the wrong type is one finding among
//! others and not the end of reading. Rules follow Apple's *Wallet Passes* and the checks of Apple's own pass builder.

mod certificate;
mod dates;
mod fields;
mod files;
mod keys;
mod look;
mod newer;
mod semantic;
mod source;
mod strings;

pub use certificate::lint_certificates;
pub use files::{IMAGE_SLOTS, ImageSlot};
use serde_json::Value;

use crate::assets::Assets;
use crate::png::PngSize;
use crate::read::Package;
use crate::verify::{self, Check};
use crate::x509::Certificate;

/// Most findings that one run gives; a pass with more is beyond reading.
pub const MAX_FINDINGS: usize = 200;

/// Days before the end of a certificate from which on its end is a finding.
const CERTIFICATE_WARNING_DAYS: i64 = 90;
const SECONDS_A_DAY: i64 = 86_400;

/// What a finding means for the holder, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The phone does not take the pass.
    Refused,
    /// The phone takes the pass and leaves something out, or shows another thing than was meant.
    Lost,
    /// It works; it could be better, or depends on something outside of the pass.
    Advice,
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: a path in `pass.json` such as `storeCard.backFields[2].value`, or a file of the package.
    pub path: String,
    /// A stable name of the rule, such as `token_too_short`.
    pub rule: &'static str,
    /// The public page that the rule stands on.
    pub source: &'static str,
    /// What the phone does about it.
    pub consequence: String,
    /// What to change.
    pub mend: String,
}

/// Lints what is about to be built: `pass.json` and the files beside it. Sorted by severity, then by place.
pub fn lint(pass_json: &[u8], assets: &Assets) -> Vec<Finding> {
    let files: Vec<_> =
        assets.files().map(|asset| File { path: asset.path(), data: asset.data(), size: asset.png_size() }).collect();
    let mut report = Report::default();
    check_content(&mut report, Some(pass_json), &files);
    report.finish()
}

/// Lints a finished package, signature included, against trusted roots (DER) at a moment (unix seconds). Without roots, the
/// chain is followed up to the intermediate only.
pub fn lint_package(package: &Package, roots: &[&[u8]], now: i64) -> Vec<Finding> {
    let own = ["pass.json", "manifest.json", "signature"];
    let files = package.files().filter(|(path, _)| !own.contains(path));
    let size = |path: &str, data| crate::assets::has_extension(path, "png").then(|| crate::png::header(data));
    let mut report = Report::default();
    let mut list = Vec::new();
    for (path, data) in files {
        let size = size(path, data).transpose().unwrap_or_else(|fault| {
            report.lost(path, "image_unreadable", "the image is not shown", fault.to_string());
            None
        });
        list.push(File { path, data, size });
    }
    check_content(&mut report, package.pass_json(), &list);
    check_signature(&mut report, package, roots, now);
    report.finish()
}

/// One file beside `pass.json`, with its size in pixels where it is a PNG.
struct File<'a> {
    path: &'a str,
    data: &'a [u8],
    size: Option<PngSize>,
}

fn check_content(report: &mut Report, pass_json: Option<&[u8]>, files: &[File<'_>]) {
    let Some(bytes) = pass_json else {
        report.refused("pass.json", "pass_json_missing", "put a pass.json at the top of the package");
        return;
    };
    let pass: Value = match serde_json::from_slice(&crate::json::forgive(bytes)) {
        Ok(pass) => pass,
        Err(fault) => {
            report.refused("pass.json", "json", format!("write valid JSON: {fault}"));
            return;
        }
    };
    if !pass.is_object() {
        report.refused("pass.json", "json", "make the whole file one JSON object");
        return;
    }
    keys::check(report, &pass);
    look::check(report, &pass);
    fields::check(report, &pass);
    semantic::check(report, &pass, files);
    newer::check(report, &pass);
    files::check(report, &pass, files);
    strings::check(report, &pass, files);
}

fn check_signature(report: &mut Report, package: &Package, roots: &[&[u8]], now: i64) {
    let verification = verify::verify(package, roots, now);
    for (check, reason) in verification.failures() {
        let rootless = check == Check::Chain && roots.is_empty();
        if rootless && verify::holds_intermediate(package) {
            continue;
        }
        let path = match check {
            Check::Manifest | Check::Completeness | Check::Hashes => "manifest.json",
            Check::Identifiers => "pass.json",
            _ => "signature",
        };
        report.refused(path, check.name(), format!("{reason}; sign the package again once that is mended"));
    }
    if let Some(leaf) = &verification.leaf {
        check_remaining(report, leaf, now);
    }
    let generation = verification.leaf.as_ref().and_then(Certificate::wwdr_generation);
    if generation.is_some_and(|generation| generation != "G4") {
        report.refused(
            "signature",
            "intermediate_generation",
            "use a pass type certificate issued by Apple's WWDR G4; the others are for apps or have expired",
        );
    }
}

/// Says how long the certificate still signs, from 90 days before its end on.
fn check_remaining(report: &mut Report, leaf: &Certificate, now: i64) {
    let days = leaf.not_after().saturating_sub(now).div_euclid(SECONDS_A_DAY);
    if (0..CERTIFICATE_WARNING_DAYS).contains(&days) {
        report.advice(
            "signature",
            "certificate_ends",
            format!("the pass type certificate ends in {days} days; passes signed after that are refused"),
            "make a new certificate for the same pass type in time; passes that are installed stay",
        );
    }
}

/// What was found so far.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, severity: Severity, path: &str, rule: &'static str, consequence: String, mend: String) {
        if self.findings.len() < MAX_FINDINGS {
            let source = source::of(rule);
            self.findings.push(Finding { severity, path: path.to_owned(), rule, source, consequence, mend });
        }
    }

    fn refused(&mut self, path: &str, rule: &'static str, mend: impl Into<String>) {
        self.add(Severity::Refused, path, rule, "the phone does not take the pass".to_owned(), mend.into());
    }

    fn lost(&mut self, path: &str, rule: &'static str, consequence: impl Into<String>, mend: impl Into<String>) {
        self.add(Severity::Lost, path, rule, consequence.into(), mend.into());
    }

    fn advice(&mut self, path: &str, rule: &'static str, consequence: impl Into<String>, mend: impl Into<String>) {
        self.add(Severity::Advice, path, rule, consequence.into(), mend.into());
    }

    fn finish(mut self) -> Vec<Finding> {
        self.findings.sort_by(|a, b| (a.severity, &a.path, a.rule).cmp(&(b.severity, &b.path, b.rule)));
        self.findings
    }
}

/// The entries of a list, or none where there is no list.
fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
