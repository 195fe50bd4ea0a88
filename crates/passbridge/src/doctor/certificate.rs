//! A certificate, an intermediate or a `.p12`.

use anyhow::{Context as _, bail};
use domain::Clock as _;
use pkpass::IdentityError;
use serde_json::json;

use super::{Args, report::Report, roots};
use crate::system::SystemClock;

pub(super) fn of_file(args: &Args, name: &str, bytes: &[u8]) -> anyhow::Result<Report> {
    let password = match &args.password_file {
        Some(file) => Some(std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?),
        None => None,
    };
    let password = password.as_ref().map(|password| password.trim_end_matches(['\r', '\n']));
    let (roots, now) = (roots(args)?, SystemClock.now().as_seconds());
    let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
    let found = pkpass::lint_certificates(bytes, password, &roots, now);
    let (findings, leaf) = match found {
        Err(IdentityError::NoCertificate("file")) => {
            bail!("{name}: it is no pass (.pkpass), no design (JSON) and no certificate (.cer, PEM or .p12)")
        }
        found => found.with_context(|| name.to_owned())?,
    };
    let mut report = Report::new(name, findings.into_iter().map(Into::into).collect());
    if let Some(leaf) = leaf {
        let days = leaf.not_after().saturating_sub(now).div_euclid(86_400);
        let (pass_type, team) = (leaf.pass_type_identifier().unwrap_or_default(), leaf.team_identifier().unwrap_or_default());
        report.notes.push(format!("{}: pass type {pass_type}, team {team}, ends in {days} days", leaf.name()));
        report.more.insert("certificate".to_owned(), json!({"pass_type": pass_type, "team": team, "ends_in_days": days}));
    }
    Ok(report)
}
