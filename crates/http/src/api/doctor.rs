//! `/v1/doctor`: what phones and Google would say to a pass, a certificate or a design, and what is amiss with the whole set-up.
//!
//! Nothing is dialled here: what a phone meets at an address is asked by `passbridge doctor URL` from where a phone could be.

use std::sync::Arc;

use axum::{Json, extract::State};
use base64::Engine as _;
use domain::{Design, OrgId, ProjectId, Template, TemplateId, Timestamp};
use pkpass::{Finding, Limits, Package, Severity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{
    config, doctor_checks,
    schema::{IdText, TimeText},
    schema_design, signers,
    template_report::{self, FindingView, LossView, severity},
};
use crate::{
    App, Body, Problem,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(set_up, examine))
}

/// One thing that is amiss.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DoctorFinding)]
pub(super) struct Found {
    /// What it is about: `pass`, `certificate`, `template`, `server`, `signers`, `projects`, `flows`, `google`,
    /// `webhooks` or `sources`.
    pub(super) area: &'static str,
    /// `refused`: it does not work for a holder. `lost`: part of it does not. `advice`: it could be better, or will not last.
    pub(super) severity: &'static str,
    /// Where: a place in the file, or the name of the thing.
    pub(super) path: String,
    /// A stable name of the rule.
    pub(super) rule: String,
    /// What a holder or you meet because of it.
    pub(super) consequence: String,
    /// What to change.
    pub(super) mend: String,
    /// The page that the rule stands on.
    pub(super) source: String,
}

impl Found {
    pub(super) fn of(area: &'static str, place: &str, finding: Finding) -> Self {
        Self {
            area,
            severity: severity(finding.severity),
            path: if place.is_empty() { finding.path } else { format!("{place}: {}", finding.path) },
            rule: finding.rule.to_owned(),
            consequence: finding.consequence,
            mend: finding.mend,
            source: finding.source.to_owned(),
        }
    }

    pub(super) fn of_design(place: &str, finding: FindingView) -> Self {
        let FindingView { severity, path, rule, source, consequence, mend, .. } = finding;
        let path = if place.is_empty() { path } else { format!("{place}: {path}") };
        Self { area: "template", severity, path, rule, consequence, mend, source: source.to_owned() }
    }
}

/// Something that ends by itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DoctorEnding)]
pub(super) struct Ends {
    /// `certificate`, `intermediate` or `api_key`.
    pub(super) kind: &'static str,
    /// Which one.
    pub(super) name: String,
    /// When.
    #[schema(value_type = TimeText)]
    pub(super) at: Timestamp,
    /// Whole days until then; negative when it has passed.
    pub(super) in_days: i64,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
struct Diagnosis {
    /// The worst of the findings: `refused`, `lost`, `advice` or `well`.
    verdict: &'static str,
    /// What is amiss, the worst first.
    findings: Vec<Found>,
    /// What each wallet and system does not show of a design.
    #[serde(skip_serializing_if = "Option::is_none")]
    losses: Option<Vec<LossView>>,
    /// What ends by itself, the earliest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    calendar: Option<Vec<Ends>>,
    /// Where phones reach this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_url: Option<String>,
    /// The time by this server's clock.
    #[schema(value_type = TimeText)]
    checked_at: Timestamp,
}

impl Diagnosis {
    fn of(mut findings: Vec<Found>, now: Timestamp) -> Self {
        let rank = |found: &Found| ["refused", "lost", "advice"].iter().position(|name| *name == found.severity);
        findings.sort_by_key(rank);
        let verdict = findings.first().map_or("well", |worst| worst.severity);
        Self { verdict, findings, losses: None, calendar: None, public_url: None, checked_at: now }
    }
}

/// What to examine: one of the three.
#[derive(Deserialize, ToSchema)]
#[schema(as = DoctorSubject)]
#[serde(deny_unknown_fields)]
struct Subject {
    /// A `.pkpass`, in base64.
    package: Option<String>,
    /// A certificate: PEM, or a `.cer` or `.p12` in base64.
    certificate: Option<String>,
    /// The password of the `.p12` or of a key beside the certificate.
    #[schema(value_type = Option<String>)]
    password: Option<Zeroizing<String>>,
    /// A design that is not saved.
    template: Option<Trial>,
}

/// A design and the project that it is for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DoctorTrial)]
#[serde(deny_unknown_fields)]
struct Trial {
    /// The project whose passes it would draw.
    #[schema(value_type = IdText)]
    project: ProjectId,
    /// Name shown to people; it makes no difference.
    #[serde(default)]
    #[allow(dead_code, reason = "so that the body of `POST /v1/templates` can be sent as it is")]
    name: String,
    /// The design.
    #[schema(value_type = schema_design::Design)]
    design: Design,
}

/// Examine the set-up.
///
/// The public address, signers and what ends when, projects without a wallet or a published design, flows that do not fit their
/// project any more, Google accounts, webhooks that were switched off, sources with parked events, designs that a wallet refuses.
#[utoipa::path(get, path = "/v1/doctor", tag = "Doctor", security(("key" = ["config_read"])),
    responses((status = 200, body = Diagnosis, description = "What was found.")))]
async fn set_up(can: Can<scope::ConfigRead>, State(app): State<Arc<App>>) -> Result<Json<Diagnosis>, Problem> {
    let (now, catalog) = (app.now(), config::org(&app, can.org)?);
    let mut findings = doctor_checks::server(&app);
    findings.extend(doctor_checks::configuration(&catalog, now));
    findings.extend(doctor_checks::designs(&app, can.org, &catalog).await?);
    findings.extend(doctor_checks::traffic(&app, can.org, &catalog, now).await?);
    let calendar = Some(doctor_checks::calendar(&catalog, now));
    let public_url = Some(app.settings.public_url.clone());
    Ok(Json(Diagnosis { calendar, public_url, ..Diagnosis::of(findings, now) }))
}

/// Examine a pass, a certificate or a design.
///
/// Each finding says where it is, what a phone or Google does about it, and what to change. Nothing is kept.
#[utoipa::path(post, path = "/v1/doctor", tag = "Doctor", security(("key" = ["config_read"])),
    request_body = Subject, responses((status = 200, body = Diagnosis, description = "What was found.")))]
async fn examine(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    body: Body<Subject>,
) -> Result<Json<Diagnosis>, Problem> {
    let now = app.now();
    match body.value {
        Subject { package: Some(package), certificate: None, template: None, .. } => {
            let bytes = base64("package", &package)?;
            let findings = aside(move || package_findings(&bytes, now)).await??;
            Ok(Json(Diagnosis::of(findings, now)))
        }
        Subject { package: None, certificate: Some(certificate), password, template: None } => {
            let bytes = signers::file("certificate", &certificate)?;
            let password = password.as_ref().map(|password| password.as_str());
            let found = pkpass::lint_certificates(&bytes, password, &[pkpass::APPLE_ROOT], now.as_seconds());
            let (found, _) = found.map_err(|fault| Problem::field("certificate", fault.to_string()))?;
            let findings = found.into_iter().map(|finding| Found::of("certificate", "", finding)).collect();
            Ok(Json(Diagnosis::of(findings, now)))
        }
        Subject { package: None, certificate: None, template: Some(trial), .. } => design(&app, can.org, trial, now).await,
        _ => Err(Problem::field("", "give one of `package`, `certificate` and `template`")),
    }
}

fn base64(path: &'static str, text: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let compact: String = text.split_ascii_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(compact);
    bytes.map(Zeroizing::new).map_err(|_| Problem::field(path, "not base64"))
}

/// On a thread where it holds nobody up.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::Internal("an examination was cut off".to_owned()))
}

fn package_findings(bytes: &[u8], now: Timestamp) -> Result<Vec<Found>, Problem> {
    let package = Package::parse(bytes, &Limits::PASS).map_err(|fault| Problem::field("package", fault.to_string()))?;
    let found = pkpass::lint_package(&package, &[pkpass::APPLE_ROOT], now.as_seconds());
    Ok(found.into_iter().map(|finding| Found::of("pass", "", finding)).collect())
}

async fn design(app: &App, org: OrgId, trial: Trial, now: Timestamp) -> Result<Json<Diagnosis>, Problem> {
    let catalog = config::org(app, org)?;
    let project = catalog.project(trial.project).ok_or_else(|| Problem::field("template.project", "there is no such project"))?;
    let template = Template::draft(TemplateId::mint(now, &*app.entropy), trial.project, trial.name, trial.design, now);
    let problems = template.design.problems(project).into_iter().map(|problem| Found {
        area: "template",
        severity: severity(Severity::Refused),
        path: format!("design.{}", problem.path),
        rule: "design".to_owned(),
        consequence: "it cannot be published".to_owned(),
        mend: problem.message,
        source: "/docs".to_owned(),
    });
    let mut findings: Vec<Found> = problems.collect();
    let said = template_report::findings(app, org, &template, &catalog).await?;
    findings.extend(said.into_iter().map(|finding| Found::of_design("", finding)));
    let losses = Some(template_report::losses(project, &template.design));
    Ok(Json(Diagnosis { losses, ..Diagnosis::of(findings, now) }))
}
