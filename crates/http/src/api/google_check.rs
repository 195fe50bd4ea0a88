//! `/v1/templates/{template}/google-check`: Google itself is asked whether it would take the passes of a design.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use domain::{TemplateId, Timestamp};
use http::StatusCode;
use serde::Serialize;
use store::{GoogleThingRow, OrgCatalog, dry_run_thing};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    config,
    schema::{IdText, TimeText},
};
use crate::{
    App, Conflict, PathParam, Problem,
    auth::{Can, scope},
};

/// How long an answer is waited for.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
/// How often it is looked whether it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(check))
}

/// What Google says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum GoogleVerdict {
    /// It would take such passes.
    Accepted,
    /// It would not.
    Refused,
    /// It could not be asked.
    NotAsked,
}

/// What Google says of a design.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GoogleCheck)]
struct View {
    /// Its verdict; null while it is being asked.
    verdict: Option<GoogleVerdict>,
    /// Google's words, or why it could not be asked.
    why: Option<String>,
    /// What to change.
    mend: Option<String>,
    /// When it was asked.
    #[schema(value_type = Option<TimeText>)]
    checked_at: Option<Timestamp>,
}

impl View {
    fn of(row: Option<&GoogleThingRow>, asked: Timestamp) -> Self {
        let checked = row.and_then(|row| row.note().checked).filter(|checked| checked.at >= asked);
        let Some(checked) = checked else { return Self { verdict: None, why: None, mend: None, checked_at: None } };
        let verdict = match (checked.asked, &checked.refused) {
            (false, _) => GoogleVerdict::NotAsked,
            (true, None) => GoogleVerdict::Accepted,
            (true, Some(_)) => GoogleVerdict::Refused,
        };
        let mend = Some(checked.mend).filter(|mend| !mend.is_empty());
        Self { verdict: Some(verdict), why: checked.refused, mend, checked_at: Some(checked.at) }
    }
}

/// The account that speaks for a template's project.
fn account(catalog: &OrgCatalog, template: TemplateId) -> Result<Uuid, Problem> {
    let held = &config::one(&catalog.templates, template.uuid(), "template")?.value;
    let project = catalog.project(held.project).ok_or_else(|| Problem::no_such("project"))?;
    let refuse = |detail: &str| Problem::Conflict { code: Conflict::NotAllowed, detail: detail.to_owned() };
    let issuer = project.google_issuer.as_deref().ok_or_else(|| refuse("its project has no Google issuer"))?;
    let account = catalog.google_account_of(issuer).ok_or_else(|| refuse("no Google account has the project's issuer"))?;
    Ok(account.value.id.uuid())
}

/// Have Google examine a template.
///
/// Google is asked (`jwt.validate`) whether it would take a class and a sample pass of the draft, or of the template where there
/// is no draft. Nothing is kept there. Answers 200 with Google's verdict when that comes within seconds, else 202 without one:
/// ask again later. A project without a Google account answers 409.
#[utoipa::path(post, path = "/v1/templates/{template}/google-check", tag = "Templates", security(("key" = ["config_read"])),
    params(("template" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = View, description = "What Google says."),
        (status = 202, body = View, description = "Google has not answered yet.")))]
async fn check(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
) -> Result<(StatusCode, Json<View>), Problem> {
    let catalog = config::org(&app, can.org)?;
    let account = account(&catalog, id)?;
    let (asked, backend) = (app.now(), app.store.backend());
    let row = dry_run_thing(can.org, id, account, asked);
    let thing = row.thing;
    backend.ask_google(vec![row], true).await?;
    let deadline = tokio::time::Instant::now() + ANSWERED_WITHIN;
    loop {
        let row = backend.google_thing(can.org, thing).await?;
        let shown = View::of(row.as_ref(), asked);
        if shown.verdict.is_some() {
            return Ok((StatusCode::OK, Json(shown)));
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok((StatusCode::ACCEPTED, Json(shown)));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
