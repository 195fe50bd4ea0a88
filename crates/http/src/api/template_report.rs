//! `/v1/templates/{template}/report`: what the wallets would refuse of a design, and what each of them will not show.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State};
use bytes::Bytes;
use domain::{Fault, OrgId, Template, TemplateId};
use pkpass::Severity;
use render::{CheckError, Finding, Loss, System};
use serde::Serialize;
use store::OrgCatalog;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config, images,
    schema::IdText,
    template_export::{Which, design},
};
use crate::{
    App, FieldError, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(report))
}

/// One thing that a wallet would refuse or leave out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Finding)]
pub(crate) struct FindingView {
    /// `apple` or `google`.
    wallet: &'static str,
    /// `refused`: the wallet does not take the pass. `lost`: it leaves something out. `advice`: it could be better.
    pub(super) severity: &'static str,
    /// Which part of the design, as a dotted path.
    #[schema(examples("design.fields.2.value"))]
    pub(super) path: String,
    /// A stable name of the rule.
    #[schema(examples("field_key_twice"))]
    pub(super) rule: String,
    /// The public page that the rule stands on.
    pub(super) source: &'static str,
    /// What the wallet does about it.
    pub(super) consequence: String,
    /// What to change.
    pub(super) mend: String,
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        Self {
            wallet: wallet(finding.wallet),
            severity: severity(finding.severity),
            path: format!("design.{}", finding.path),
            rule: finding.rule,
            source: finding.source,
            consequence: finding.consequence,
            mend: finding.mend,
        }
    }
}

/// Something that one wallet does not show, or shows in another way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Loss)]
pub(crate) struct LossView {
    /// `apple` or `google`.
    wallet: &'static str,
    /// On which systems: `ios_17`, `ios_18`, `ios_26`, `ios_27`, `watch_os`, `google`.
    systems: Vec<&'static str>,
    /// Which part of the design, as a dotted path.
    #[schema(examples("design.barcode.format"))]
    path: String,
    /// What happens to it.
    effect: String,
}

impl From<Loss> for LossView {
    fn from(loss: Loss) -> Self {
        Self {
            wallet: wallet(loss.wallet),
            systems: loss.systems.iter().copied().map(System::name).collect(),
            path: format!("design.{}", loss.path),
            effect: loss.effect,
        }
    }
}

fn wallet(wallet: domain::Wallet) -> &'static str {
    match wallet {
        domain::Wallet::Apple => "apple",
        domain::Wallet::Google => "google",
        domain::Wallet::Unknown => "unknown",
    }
}

pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Refused => "refused",
        Severity::Lost => "lost",
        Severity::Advice => "advice",
    }
}

/// What the wallets make of a template.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateReport)]
struct Report {
    /// What keeps a draft from being published.
    problems: Vec<FieldError>,
    /// What the wallets would refuse or leave out, found on a sample pass.
    findings: Vec<FindingView>,
    /// What each wallet and system will not show, or will show in another way.
    losses: Vec<LossView>,
}

/// Report on a template.
///
/// What the wallets would refuse, and what each system of Apple's and Google Wallet will not show of it.
#[utoipa::path(get, path = "/v1/templates/{template}/report", tag = "Templates", security(("key" = ["config_read"])),
    params(("template" = IdText, Path, description = "Its id."), Which),
    responses((status = 200, body = Report, description = "It.")))]
async fn report(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
    QueryParams(which): QueryParams<Which>,
) -> Result<Json<Report>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let template = &design(&catalog, id, &which)?;
    let project = catalog.project(template.project).ok_or_else(|| Problem::no_such("project"))?;
    let problems = template.design.problems(project).into_iter();
    Ok(Json(Report {
        problems: problems.map(|problem| FieldError::new(format!("design.{}", problem.path), problem.message)).collect(),
        findings: findings(&app, can.org, template, &catalog).await?,
        losses: losses(project, &template.design),
    }))
}

/// What each system will not show.
pub(crate) fn losses(project: &domain::Project, design: &domain::Design) -> Vec<LossView> {
    render::loss_report(project, design).into_iter().map(LossView::from).collect()
}

/// What the wallets would say; empty when the design cannot even be drawn, which [`check`] refuses.
pub(crate) async fn findings(
    app: &App,
    org: OrgId,
    template: &Template,
    catalog: &OrgCatalog,
) -> Result<Vec<FindingView>, Problem> {
    let found = tried(app, org, template, catalog).await?.unwrap_or_default();
    Ok(found.into_iter().map(FindingView::from).collect())
}

/// Refuses what no wallet could make sense of; what is merely missing is left to publishing. Gives what is left to say.
pub(crate) async fn check(app: &App, org: OrgId, template: &Template, catalog: &OrgCatalog) -> Result<Vec<FindingView>, Problem> {
    let project = catalog.project(template.project).ok_or_else(|| Problem::no_such("project"))?;
    let (wrong, missing): (Vec<_>, Vec<_>) =
        template.design.problems(project).into_iter().partition(|problem| problem.fault == Fault::Wrong);
    let at = |path: &str, message: String| FieldError::new(format!("design.{path}"), message);
    if !wrong.is_empty() {
        return Err(Problem::Invalid(wrong.into_iter().map(|problem| at(&problem.path, problem.message)).collect()));
    }
    let found = match tried(app, org, template, catalog).await? {
        Ok(found) => found,
        Err(CheckError::Render(fault)) => return Err(Problem::field("design", fault.to_string())),
        Err(CheckError::Assets(fault)) => return Err(Problem::field("design.images", fault.to_string())),
    };
    // a draft that lacks something is refused by every wallet: that is said as a problem
    let is_whole = missing.is_empty();
    let refused = |finding: &&Finding| finding.severity == Severity::Refused && (is_whole || finding.rule == render::MISFIT_RULE);
    let errors: Vec<FieldError> = found
        .iter()
        .filter(refused)
        .map(|finding| at(&finding.path, format!("{} ({}: {})", finding.mend, finding.rule, finding.source)))
        .collect();
    if !errors.is_empty() {
        return Err(Problem::Invalid(errors));
    }
    Ok(found.into_iter().map(FindingView::from).collect())
}

async fn tried(
    app: &App,
    org: OrgId,
    template: &Template,
    catalog: &OrgCatalog,
) -> Result<Result<Vec<Finding>, CheckError>, Problem> {
    let project = catalog.project(template.project).ok_or_else(|| Problem::no_such("project"))?;
    let files = load(app, org, template).await?;
    Ok(render::check_design(project, template, |hash| files.get(hash).cloned()))
}

/// The images that a template names, by hash; those that are not there are left out.
pub(crate) async fn load(app: &App, org: OrgId, template: &Template) -> Result<HashMap<String, Bytes>, Problem> {
    let mut files = HashMap::new();
    for (_, hash) in template.design.image_hashes() {
        let Some(sha256) = images::parse_hash(hash).filter(|_| !files.contains_key(hash)) else { continue };
        if let Some(blob) = app.store.backend().blob(org, sha256).await? {
            files.insert(hash.to_owned(), Bytes::from(blob.bytes));
        }
    }
    Ok(files)
}
