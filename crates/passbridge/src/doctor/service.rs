//! A web service or a pass at an address, asked as a phone would ask. Nothing is written there.

use std::time::Duration;

use domain::{Clock as _, LinkCode};
use pkpass::{Limits, MIME_PKPASS, Package, Severity};
use serde_json::{Value, json};
use simulators::{
    conformance::{Credential, Depth, Played, Subject, Verdict, play},
    iphone::Network,
};

use super::{
    Args, package,
    report::{Line, Report},
};
use crate::{
    conformance::network,
    system::{SystemClock, SystemEntropy},
};

const SERVICE: &str = "https://developer.apple.com/documentation/walletpasses/adding-a-web-service-to-update-passes";
const DISTRIBUTING: &str = "https://developer.apple.com/documentation/walletpasses/distributing-and-updating-a-pass";

/// What stands at an address: a pass with the web service that it names, or a web service.
pub(super) async fn at(args: &Args, url: &str) -> anyhow::Result<Vec<Report>> {
    let network = network(&args.tls_root)?;
    let answer = match network.browse(url).await {
        Ok(answer) => answer,
        Err(none) => return Ok(vec![Report::new(url, vec![unreachable(url, &none.detail)])]),
    };
    if !answer.body.starts_with(super::ZIP) {
        let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        let mut report = asked(&network, url, None).await;
        if is_page && report.is_refused() {
            report.notes.push("there is a page at this address: give that of the pass itself, or of the web service".to_owned());
        }
        return Ok(vec![report]);
    }
    let mut report = match Package::parse(&answer.body, &Limits::PASS) {
        Ok(read) => package::of(args, url, &read)?,
        Err(fault) => {
            Report::new(url, vec![line(Severity::Refused, url, "package", &fault.to_string(), "send a .pkpass", DISTRIBUTING)])
        }
    };
    if answer.header("content-type") != Some(MIME_PKPASS) {
        let kind = answer.header("content-type").unwrap_or("none");
        let consequence = format!("the phone keeps a file in place of showing the pass: the content type is {kind}");
        let mend = format!("send it as {MIME_PKPASS}");
        report.lines.insert(0, line(Severity::Refused, "content-type", "mime_type", &consequence, &mend, DISTRIBUTING));
    }
    let mut reports = vec![report];
    reports.extend(of_pass(args, &answer.body).await?);
    Ok(reports)
}

/// The web service that a pass names; nothing where it names none, or is none.
pub(super) async fn of_pass(args: &Args, pkpass: &[u8]) -> anyhow::Result<Option<Report>> {
    let Ok((pass, service)) = Credential::read(pkpass) else { return Ok(None) };
    Ok(Some(asked(&network(&args.tls_root)?, &service, Some(pass)).await))
}

/// A web service, with a pass of it or without.
pub(super) async fn asked(network: &Network, url: &str, pass: Option<Credential>) -> Report {
    let service = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
    let has_pass = pass.is_some();
    let subject = Subject {
        service: service.clone(),
        pass,
        other: None,
        update: None,
        end: None,
        apns: None,
        phones: 1,
        patience: Duration::ZERO,
        now: SystemClock.now().as_seconds(),
        run: LinkCode::mint(&SystemEntropy).to_string(),
    };
    let all = play(&subject, network, Depth::Look, |_| ()).await;
    let mut lines: Vec<Line> = all.iter().filter_map(Line::of).collect();
    if !has_pass && all.iter().filter(|played| is_404(played)).count() == 2 {
        let consequence = "it answers 404 to whatever a phone asks: most likely there is no web service at this address";
        let mend = "give the address as it stands in `webServiceURL`, without /v1";
        lines.push(line(Severity::Refused, &service, "service_absent", consequence, mend, SERVICE));
    }
    lines.sort_by_key(|line| line.severity);
    let mut report = Report::new(service, lines);
    for played in &all {
        match &played.verdict {
            Verdict::Passed(seen) => report.notes.push(format!("✓ {}: {seen}", played.case.name)),
            Verdict::Skipped(what) => report.notes.push(format!("– {}: not asked, {what}", played.case.name)),
            Verdict::Failed(_) => {}
        }
    }
    let asked: Vec<Value> = all.iter().map(|played| json!({"case": played.case.name, "holds": holds(&played.verdict)})).collect();
    report.more.insert("asked".to_owned(), asked.into());
    report
}

fn is_404(played: &Played) -> bool {
    matches!(&played.verdict, Verdict::Passed(seen) if seen.ends_with("404"))
}

/// Null for what could not be asked.
fn holds(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::Passed(_) => Some(true),
        Verdict::Failed(_) => Some(false),
        Verdict::Skipped(_) => None,
    }
}

fn unreachable(url: &str, detail: &str) -> Line {
    let consequence = format!("no phone reaches it: {detail}");
    let mend =
        "see that the name resolves, the port is open, and the certificate is valid for the name and leads to a known root";
    line(Severity::Refused, url, "service_unreachable", &consequence, mend, SERVICE)
}

fn line(severity: Severity, place: &str, rule: &str, consequence: &str, mend: &str, source: &str) -> Line {
    Line {
        severity,
        place: place.to_owned(),
        rule: rule.to_owned(),
        consequence: consequence.to_owned(),
        mend: mend.to_owned(),
        source: source.to_owned(),
    }
}
