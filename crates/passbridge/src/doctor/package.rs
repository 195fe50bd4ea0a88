//! A finished pass, or a bundle of them.

use std::path::Path;

use anyhow::Context as _;
use domain::Clock as _;
use pkpass::{Limits, Package};
use serde_json::json;

use super::{Args, has_extension, report::Report, roots};
use crate::system::SystemClock;

pub(super) fn of_file(args: &Args, path: &Path, bytes: &[u8]) -> anyhow::Result<Vec<Report>> {
    let name = path.display().to_string();
    let packages = if has_extension(path, "pkpasses") {
        let all = Package::parse_bundle(bytes, &Limits::BUNDLE);
        all.map(|all| all.into_iter().map(|(path, it)| (format!("{name}/{path}"), it)).collect())
    } else {
        Package::parse(bytes, &Limits::PASS).map(|package| vec![(name.clone(), package)])
    };
    let packages: Vec<(String, Package)> = packages.with_context(|| format!("{name}: a phone would refuse it"))?;
    packages.iter().map(|(name, package)| of(args, name, package)).collect()
}

/// One pass.
pub(super) fn of(args: &Args, name: &str, package: &Package) -> anyhow::Result<Report> {
    let (roots, now) = (roots(args)?, SystemClock.now().as_seconds());
    let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
    let lines = pkpass::lint_package(package, &roots, now).into_iter().map(Into::into).collect();
    let mut report = Report::new(name, lines);
    if let Some(leaf) = pkpass::verify(package, &roots, now).leaf {
        let days = leaf.not_after().saturating_sub(now).div_euclid(86_400);
        let pass_type = leaf.pass_type_identifier().unwrap_or_default();
        let team = leaf.team_identifier().unwrap_or_default();
        report.notes.push(format!("signed by {pass_type} for team {team}; the certificate ends in {days} days"));
        report.more.insert("signed_by".to_owned(), json!({"pass_type": pass_type, "team": team, "ends_in_days": days}));
    }
    Ok(report)
}
