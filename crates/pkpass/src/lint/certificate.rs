//! Certificates by themselves: whether passes can be signed with them, and until when.

use super::{CERTIFICATE_WARNING_DAYS, Finding, Report, SECONDS_A_DAY};
use crate::identity::{self, IdentityError};
use crate::x509::{Certificate, KeyKind};

/// What a phone does with a pass that is signed with such a certificate.
const REFUSED: &str = "a phone refuses every pass that is signed with it";

/// Judges the certificates of a file: of a pass type, the intermediate beside it, or a `.p12` with the key, against trusted
/// roots (DER) at a moment (unix seconds). Sorted as [`super::lint`] sorts. The leaf, where there is one, comes along.
///
/// # Errors
/// When the file holds no certificate, or cannot be opened.
pub fn lint_certificates(
    file: &[u8],
    password: Option<&str>,
    roots: &[&[u8]],
    now: i64,
) -> Result<(Vec<Finding>, Option<Certificate>), IdentityError> {
    let identity::Contents { key, certificates } = identity::contents(file, password)?;
    let certificates: Vec<Certificate> = certificates
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<_, _>>()
        .map_err(|fault| IdentityError::Chain(crate::ChainError::Certificate { which: "certificate", fault }))?;
    if certificates.is_empty() {
        return Err(IdentityError::NoCertificate("file"));
    }
    let is_pass_type = |it: &&Certificate| it.pass_type_identifier().is_some_and(|uid| uid.starts_with("pass."));
    let leaf = certificates.iter().find(is_pass_type).or_else(|| certificates.iter().find(|it| !it.is_authority()));
    let mut report = Report::default();
    match leaf {
        Some(leaf) => {
            check_leaf(&mut report, leaf, now);
            let issuer = check_issuer(&mut report, leaf, &certificates);
            if let Some(issuer) = &issuer {
                check_intermediate(&mut report, issuer, roots, now);
            }
            if let Some(key) = key
                && key.public_key() != leaf.public_key()
            {
                let mend = "use the key that the certificate's signing request was made with";
                refused(&mut report, "key", "key_mismatch", mend);
            }
        }
        None => certificates.iter().for_each(|it| {
            check_generation(&mut report, "intermediate", it.own_generation());
            check_intermediate(&mut report, it, roots, now);
        }),
    }
    Ok((report.finish(), leaf.cloned()))
}

fn refused(report: &mut Report, path: &str, rule: &'static str, mend: impl Into<String>) {
    report.add(super::Severity::Refused, path, rule, REFUSED.to_owned(), mend.into());
}

fn check_leaf(report: &mut Report, leaf: &Certificate, now: i64) {
    let uid = leaf.pass_type_identifier().filter(|uid| uid.starts_with("pass."));
    if uid.is_none() {
        let mend = format!(
            "`{}` has no subject UID that starts with `pass.`: create a Pass Type ID and its certificate in Apple's developer portal",
            leaf.name()
        );
        refused(report, "leaf", "certificate_kind", mend);
    }
    if leaf.team_identifier().is_none() {
        refused(report, "leaf", "certificate_team", "its subject names no team (OU): have Apple issue it again");
    }
    if !matches!(leaf.key_kind(), Ok(KeyKind::Rsa | KeyKind::P256)) {
        refused(report, "leaf", "certificate_key", "make the signing request with an RSA key of 2048 bits");
    }
    check_generation(report, "leaf", leaf.wwdr_generation());
    check_dates(report, "leaf", leaf, now);
}

fn check_generation(report: &mut Report, path: &str, generation: Option<String>) {
    if let Some(generation) = generation.filter(|generation| generation != "G4") {
        let mend = format!("use a pass type certificate that WWDR G4 issued, and G4 beside it; {generation} is for other things");
        refused(report, path, "intermediate_generation", mend);
    }
}

/// The leaf's issuer: out of the file, else Apple's.
fn check_issuer(report: &mut Report, leaf: &Certificate, certificates: &[Certificate]) -> Option<Certificate> {
    let apple = Certificate::from_der(crate::APPLE_WWDR_G4).ok();
    let issuer = certificates.iter().chain(&apple).find(|other| leaf.check_issued_by(other).is_ok());
    if issuer.is_none() {
        let mend = format!("`{}` issued it, and is not in the file: give that beside it", leaf.issuer());
        refused(report, "intermediate", "chain", mend);
    }
    issuer.cloned()
}

fn check_intermediate(report: &mut Report, intermediate: &Certificate, roots: &[&[u8]], now: i64) {
    let leads_to = |root: &&[u8]| Certificate::from_der(root).is_ok_and(|root| intermediate.check_issued_by(&root).is_ok());
    let is_root = |root: &&[u8]| intermediate.der() == *root;
    if !roots.is_empty() && !roots.iter().any(|root| leads_to(root) || is_root(root)) {
        let mend = format!(
            "`{}` does not lead to a root that phones trust: good for development alone; get a certificate from Apple",
            intermediate.name()
        );
        refused(report, "intermediate", "chain", mend);
    }
    check_dates(report, "intermediate", intermediate, now);
}

fn check_dates(report: &mut Report, path: &str, certificate: &Certificate, now: i64) {
    let (name, days) = (certificate.name(), certificate.not_after().saturating_sub(now).div_euclid(SECONDS_A_DAY));
    if now < certificate.not_before() {
        let hours = certificate.not_before().saturating_sub(now).div_euclid(3600) + 1;
        refused(report, path, "validity", format!("`{name}` is valid only in about {hours} hours: wait, or set the clock"));
    } else if days < 0 {
        refused(report, path, "validity", format!("`{name}` ended {} days ago: get a new one from Apple", -days));
    } else if days < CERTIFICATE_WARNING_DAYS {
        let consequence = format!("`{name}` ends in {days} days; passes signed after that are refused");
        report.advice(
            path,
            "certificate_ends",
            consequence,
            "get a new one for the same pass type in time; installed passes stay",
        );
    }
}
