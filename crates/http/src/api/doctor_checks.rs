//! What is amiss with a set-up as a whole.

use domain::{OrgId, Timestamp};
use pkpass::Certificate;
use store::{InboxFilter, InboxStatus, OrgCatalog, StoredSigner};

use super::{
    doctor::{Ends, Found},
    flows, template_report,
};
use crate::{App, Problem, app::Fitness};

const SERVICE: &str = "https://developer.apple.com/documentation/walletpasses/adding-a-web-service-to-update-passes";
const BUILDING: &str = "https://developer.apple.com/documentation/walletpasses/building-a-pass";
const GOOGLE: &str = "https://developers.google.com/wallet/generic/test-and-go-live/request-publishing-access";
const DOCS: &str = "/docs";
const SECONDS_A_DAY: i64 = 86_400;
/// How far back parked events are a finding, in days.
const PARKED_DAYS: i64 = 7;
/// How long a signing request may wait until it is a finding, in days.
const WAITING_DAYS: i64 = 30;
/// Most designs, and most sources, that are looked at.
const MOST: usize = 50;

fn finding(area: &'static str, severity: &'static str, path: impl Into<String>, rule: &str, source: &str) -> Found {
    let (consequence, mend) = (String::new(), String::new());
    Found { area, severity, path: path.into(), rule: rule.to_owned(), consequence, mend, source: source.to_owned() }
}

impl Found {
    fn meaning(mut self, consequence: impl Into<String>) -> Self {
        self.consequence = consequence.into();
        self
    }
    fn mended_by(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }
}

/// The server itself: its address and its workers.
pub(super) fn server(app: &App) -> Vec<Found> {
    let mut found = Vec::new();
    let url = &app.settings.public_url;
    if !url.starts_with("https://") {
        found.push(
            finding("server", "refused", "public_url", "public_url_http", SERVICE)
                .meaning(format!("phones refuse passes whose web service is {url}/apple"))
                .mended_by("set `public_url` to an https address, behind a proxy or with `tls_certificate` and `tls_key`"),
        );
    }
    let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host);
    if is_private(host) {
        found.push(
            finding("server", "refused", "public_url", "public_url_private", SERVICE)
                .meaning(format!(
                    "phones elsewhere cannot reach {host}: passes are never updated, and nobody counts as installed"
                ))
                .mended_by("set `public_url` to a name that the whole internet reaches"),
        );
    }
    if let Some(fault) = app.settings.fitness.as_ref().and_then(Fitness::fault) {
        found.push(
            finding("server", "refused", "workers", "workers_unfit", DOCS)
                .meaning(fault)
                .mended_by("see the log of this node; `/readyz` says the same"),
        );
    }
    found
}

/// Whether a host, perhaps with its port, is out of reach for a phone elsewhere.
fn is_private(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    match name.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => address.is_private() || address.is_loopback() || address.is_link_local(),
        Ok(std::net::IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => [".local", ".internal", ".lan", ".test"].iter().any(|end| name.ends_with(end)) || !name.contains('.'),
    }
}

/// What is configured and does not fit together.
pub(super) fn configuration(catalog: &OrgCatalog, now: Timestamp) -> Vec<Found> {
    let mut found = Vec::new();
    for signer in catalog.signers.values() {
        found.extend(of_signer(&signer.value, now));
    }
    for request in catalog.signing_requests.values() {
        let days = days(request.value.created_at, now);
        if -days > WAITING_DAYS {
            found.push(
                finding("signers", "advice", request.value.name.clone(), "signing_request_waits", BUILDING)
                    .meaning(format!("a signing request waits for Apple's answer since {} days", -days))
                    .mended_by("give the answer with `passbridge signer answer`, or remove the request"),
            );
        }
    }
    projects(catalog, &mut found);
    for (slug, problems) in flows::broken(catalog) {
        let told: Vec<String> = problems.iter().map(|it| format!("{}: {}", it.path, it.message)).collect();
        found.push(
            finding("flows", "lost", slug, "flow_broken", DOCS)
                .meaning(format!("it does not run, and events that it is for are parked: {}", told.join("; ")))
                .mended_by("change the flow or what it names, then replay what was parked"),
        );
    }
    for account in catalog.google_accounts.values().filter(|account| account.value.development) {
        found.push(
            finding("google", "advice", account.value.issuer.clone(), "google_development", GOOGLE)
                .meaning("Google does not know this account: its save links lead nowhere")
                .mended_by("add the key file of a service account with `passbridge google-account add`"),
        );
    }
    for webhook in catalog.targets.values().map(|stored| &stored.value.target).filter(|target| !target.enabled) {
        if let Some(reason) = &webhook.disabled_reason {
            found.push(
                finding("webhooks", "lost", webhook.name.clone(), "webhook_disabled", DOCS)
                    .meaning(format!("nothing is delivered to {} any more: {reason}", webhook.url))
                    .mended_by("mend the receiver, enable the webhook again, and replay what it missed"),
            );
        }
    }
    found
}

fn of_signer(signer: &StoredSigner, now: Timestamp) -> Vec<Found> {
    let roots = [pkpass::APPLE_ROOT];
    match pkpass::lint_certificates(signer.certificates.as_bytes(), None, &roots, now.as_seconds()) {
        Ok((findings, _)) => findings.into_iter().map(|finding| Found::of("signers", &signer.pass_type, finding)).collect(),
        Err(fault) => vec![
            finding("signers", "refused", signer.pass_type.clone(), "certificate_unreadable", BUILDING)
                .meaning("no pass of this type can be made")
                .mended_by(fault.to_string()),
        ],
    }
}

fn projects(catalog: &OrgCatalog, found: &mut Vec<Found>) {
    for project in catalog.projects.values().map(|stored| &stored.value) {
        if project.apple_pass_type.is_none() && project.google_issuer.is_none() {
            found.push(
                finding("projects", "advice", project.slug.clone(), "project_without_wallet", DOCS)
                    .meaning("its passes are in no wallet: their page has no button")
                    .mended_by("set `apple_pass_type` or `google_issuer`"),
            );
        }
        let is_published = |id| catalog.template(id).is_some_and(|template| template.version > 0);
        let bare = project.variants.iter().find(|variant| !is_published(variant.template));
        if bare.is_some() || project.variants.is_empty() {
            let place = bare.map_or(project.slug.clone(), |variant| format!("{}, variant {}", project.slug, variant.id));
            found.push(
                finding("projects", "refused", place, "project_without_design", DOCS)
                    .meaning("no pass can be issued")
                    .mended_by("publish a template and name it in a variant of the project"),
            );
        }
    }
}

/// What the wallets refuse of the designs that are in use.
pub(super) async fn designs(app: &App, org: OrgId, catalog: &OrgCatalog) -> Result<Vec<Found>, Problem> {
    let mut found = Vec::new();
    let published = catalog.templates.values().filter(|stored| stored.value.version > 0);
    for stored in published.take(MOST) {
        let said = template_report::findings(app, org, &stored.value, catalog).await?;
        let worse = said.into_iter().filter(|finding| finding.severity != "advice");
        found.extend(worse.map(|finding| Found::of_design(&stored.value.name, finding)));
        let problems = catalog.project(stored.value.project).map(|project| stored.value.design.problems(project));
        found.extend(problems.into_iter().flatten().map(|problem| {
            finding("template", "lost", format!("{}: design.{}", stored.value.name, problem.path), "design_outdated", DOCS)
                .meaning("passes show nothing there: their project changed since the design was published")
                .mended_by(problem.message)
        }));
    }
    Ok(found)
}

/// What does not get through: parked events, and comparisons that Google refuses.
pub(super) async fn traffic(app: &App, org: OrgId, catalog: &OrgCatalog, now: Timestamp) -> Result<Vec<Found>, Problem> {
    let mut found = Vec::new();
    for source in catalog.sources.values().map(|stored| &stored.value).take(MOST) {
        let filter = InboxFilter { source: Some(source.id), status: Some(InboxStatus::Parked.number()), before: None };
        let last = app.store.source_events(org, &filter, 1).await?.into_iter().next();
        if let Some(event) = last.filter(|event| -days(event.received_at, now) <= PARKED_DAYS) {
            found.push(
                finding("sources", "lost", source.slug.clone(), "source_parked", DOCS)
                    .meaning(format!("events were parked, the last one of {:?} at {}", event.name, event.received_at))
                    .mended_by(format!("see why with `passbridge event show {}`, mend the flow and replay them", event.id)),
            );
        }
    }
    for account in catalog.google_accounts.values().map(|stored| &stored.value) {
        let row = app.store.backend().google_thing(org, account.id.uuid()).await?;
        if let Some(problem) = row.and_then(|row| row.note().problem) {
            found.push(
                finding("google", "lost", account.issuer.clone(), "google_refuses", GOOGLE)
                    .meaning(format!("Google refuses this account: {problem}"))
                    .mended_by("give the service account access in Google's business console, as a developer of the issuer"),
            );
        }
    }
    Ok(found)
}

/// What ends by itself, the earliest first.
pub(super) fn calendar(catalog: &OrgCatalog, now: Timestamp) -> Vec<Ends> {
    let mut all = Vec::new();
    let mut note = |kind, name: String, at: Timestamp| all.push(Ends { kind, name, at, in_days: days(at, now) });
    for signer in catalog.signers.values().map(|stored| &stored.value) {
        note("certificate", signer.pass_type.clone(), signer.not_after);
        let issuers = pkpass::certificates(signer.certificates.as_bytes()).unwrap_or_default().into_iter().skip(1);
        for issuer in issuers.filter_map(|der| Certificate::from_der(&der).ok()) {
            note("intermediate", issuer.name(), Timestamp::from_seconds(issuer.not_after()));
        }
    }
    for key in catalog.keys.values().map(|stored| &stored.value) {
        if let Some(at) = key.expires_at {
            note("api_key", key.name.clone(), at);
        }
    }
    all.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
    all.dedup_by(|a, b| (a.kind, a.at, &a.name) == (b.kind, b.at, &b.name));
    all
}

/// Whole days from now until then; negative when it has passed.
fn days(then: Timestamp, now: Timestamp) -> i64 {
    then.as_seconds().saturating_sub(now.as_seconds()).div_euclid(SECONDS_A_DAY)
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn phones_elsewhere_do_not_reach_these() {
        for host in ["localhost:8080", "127.0.0.1", "10.0.0.7:443", "192.168.1.2", "[::1]:8080", "[fd00::1]", "shop", "pi.local"]
        {
            assert!(is_private(host), "{host}");
        }
        for host in ["passes.example.com", "passes.example.com:8443", "203.0.113.7", "[2001:db8::1]"] {
            assert!(!is_private(host), "{host}");
        }
    }
}
