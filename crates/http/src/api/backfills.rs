//! `/v1/backfills`: destinations compared with the truth, and repaired.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{BackfillId, ContactId, TargetId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Backfill, BackfillProgress, JobState};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, Shown},
    destinations, jobs,
    once::Made,
    page::{Page, Paging, page},
    schema::{IdText, TimeText},
    targets,
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
}

/// How to compare.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct BackfillInput {
    /// Whether everybody is told of anew, as if nothing were known of what the destination holds. Otherwise only whom it was last
    /// told of differently, or never; and of a service whose `state_is_read` (`GET /v1/connectors/{connector}`), whom it holds
    /// differently.
    everything: bool,
}

/// Where a backfill stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BackfillState {
    /// Contacts are being compared.
    Running,
    /// Halted until it is resumed: by somebody, or because the destination did not answer again and again.
    Paused,
    /// All were compared.
    Done,
    /// Ended by somebody, or because the destination was switched off.
    Cancelled,
}

/// A contact that the destination does not take.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackfillRefusal)]
struct Refusal {
    /// Who.
    #[schema(value_type = IdText)]
    contact: ContactId,
    /// Why.
    reason: String,
}

/// A contact that somebody changed at the destination.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackfillDrift)]
struct Drift {
    /// Who.
    #[schema(value_type = IdText)]
    contact: ContactId,
    /// The fields that were held otherwise, or `no record`.
    fields: String,
}

/// A walk over all contacts that makes a destination agree with the phones.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backfill)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: BackfillId,
    /// The destination.
    #[schema(value_type = IdText)]
    destination: TargetId,
    /// Whether everybody is told of anew.
    everything: bool,
    /// Where it stands.
    state: BackfillState,
    /// How many contacts were looked at.
    #[schema(minimum = 0)]
    looked_at: u64,
    /// How many of those the destination holds as they are.
    #[schema(minimum = 0)]
    matched: u64,
    /// How many it was told of anew, and took.
    #[schema(minimum = 0)]
    repaired: u64,
    /// How many of those it held otherwise although it had been told: somebody changed them there. Found where what it holds is
    /// read (`state_is_read` of `GET /v1/connectors/{connector}`).
    #[schema(minimum = 0)]
    drifted: u64,
    /// How many it will not take.
    #[schema(minimum = 0)]
    refused: u64,
    /// How many have nothing that a record could be found by.
    #[schema(minimum = 0)]
    nameless: u64,
    /// Up to 20 of those that it will not take.
    samples: Vec<Refusal>,
    /// Up to 20 of those that were changed there.
    drift: Vec<Drift>,
    /// What keeps it from going on, while something does.
    trouble: Option<String>,
    /// When it tries again, while something does.
    #[schema(value_type = Option<TimeText>)]
    not_before: Option<Timestamp>,
    /// When it began.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
    /// When it last came on.
    #[schema(value_type = TimeText)]
    updated_at: Timestamp,
}

impl View {
    fn of(backfill: &Backfill) -> Self {
        let progress = &backfill.progress;
        let refusal = |(contact, reason): &(ContactId, String)| Refusal { contact: *contact, reason: reason.clone() };
        let drift = |(contact, fields): &(ContactId, String)| Drift { contact: *contact, fields: fields.clone() };
        Self {
            id: backfill.id,
            destination: progress.target,
            everything: progress.everything,
            state: match backfill.state {
                JobState::Running => BackfillState::Running,
                JobState::Paused => BackfillState::Paused,
                JobState::Done => BackfillState::Done,
                JobState::Cancelled | JobState::Superseded | JobState::Failed => BackfillState::Cancelled,
            },
            looked_at: progress.looked_at,
            matched: progress.matched,
            repaired: progress.repaired,
            drifted: progress.drifted,
            refused: progress.refused,
            nameless: progress.nameless,
            samples: progress.samples.iter().map(refusal).collect(),
            drift: progress.drift.iter().map(drift).collect(),
            trouble: progress.trouble.clone(),
            not_before: progress.not_before,
            created_at: backfill.created_at,
            updated_at: backfill.updated_at,
        }
    }
}

/// Begin a backfill.
///
/// All contacts are walked in the background; what the destination should hold of each is worked out anew and compared with what it
/// took last, and it is told where that is something else. What a service holds whose `state_is_read` (`GET
/// /v1/connectors/{connector}`) is compared, too, so that what somebody changed there is repaired and reported; of the others
/// `everything` does that unseen. Events go out meanwhile. One of a destination runs at a time: while one is running or paused,
/// another is refused (`under_way`). A destination's `backfill_every_hours` begins them on its own.
#[utoipa::path(post, path = "/v1/destinations/{destination}/backfill", tag = "Destinations", security(("key" = ["config_write"])),
    params(("destination" = IdText, Path, description = "Its id.")), request_body = BackfillInput,
    responses((status = 202, body = View, description = "Under way.")))]
async fn begin(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    PathParam(id): PathParam<TargetId>,
    body: Body<BackfillInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let catalog = config::org(&app, can.org)?;
    let target = &destinations::one(&catalog, id)?.value.target;
    let refused = |detail: &str| Err(Problem::Conflict { code: Conflict::NotAllowed, detail: detail.to_owned() });
    if targets::vendor(target).is_none_or(|vendor| vendor.state.is_none()) {
        return refused("it holds no state of contacts that could be compared: it is told of events alone");
    }
    if !target.enabled {
        return refused("the destination is switched off: switch it on first");
    }
    let newest = app.store.newest_job::<BackfillProgress>(can.org, id.uuid()).await?;
    if let Some(held) = newest.filter(|newest| !newest.state.is_over()) {
        let state = if held.state == JobState::Paused { "paused" } else { "running" };
        let detail = format!("backfill {} of this destination is {state}: wait until it is done, or cancel it", held.id);
        return Err(Problem::Conflict { code: Conflict::UnderWay, detail });
    }
    let (backfill, write) = app.store.begin_backfill(can.org, id, body.value.everything, app.now())?;
    once.write(&app, &can, &body.bytes, write, Shown::later(View::of(&backfill))).await
}

/// List backfills, newest first.
#[utoipa::path(get, path = "/v1/backfills", tag = "Destinations", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    let before = paging.after().map(BackfillId::from_uuid);
    let rows = app.store.jobs::<BackfillProgress>(can.org, before, paging.limit.and_one()).await?;
    Ok(Json(page(&rows, paging.limit, |row| row.id.uuid(), View::of)))
}

/// Read a backfill: how far it is, and what it changed.
#[utoipa::path(get, path = "/v1/backfills/{backfill}", tag = "Destinations", security(("key" = ["config_read"])),
    params(("backfill" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BackfillId>,
) -> Result<Json<View>, Problem> {
    Ok(Json(View::of(&jobs::find(&app, &can, id, "backfill").await?)))
}

async fn turn(app: &App, caller: &Caller, id: BackfillId, from: &[JobState], to: JobState) -> Result<Json<View>, Problem> {
    Ok(Json(View::of(&jobs::turn::<BackfillProgress>(app, caller, id, "backfill", from, to).await?)))
}

/// Pause a backfill.
///
/// The batch that is under way is finished.
#[utoipa::path(post, path = "/v1/backfills/{backfill}/pause", tag = "Destinations", security(("key" = ["config_write"])),
    params(("backfill" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = View, description = "Paused.")))]
async fn pause(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BackfillId>,
) -> Result<Json<View>, Problem> {
    turn(&app, &can, id, &[JobState::Running], JobState::Paused).await
}

/// Resume a backfill that was paused.
///
/// It goes on where it was.
#[utoipa::path(post, path = "/v1/backfills/{backfill}/resume", tag = "Destinations", security(("key" = ["config_write"])),
    params(("backfill" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = View, description = "Running.")))]
async fn resume(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BackfillId>,
) -> Result<Json<View>, Problem> {
    turn(&app, &can, id, &[JobState::Paused], JobState::Running).await
}

/// Cancel a backfill.
///
/// Whom it told of stays told of.
#[utoipa::path(post, path = "/v1/backfills/{backfill}/cancel", tag = "Destinations", security(("key" = ["config_write"])),
    params(("backfill" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = View, description = "Cancelled.")))]
async fn cancel(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BackfillId>,
) -> Result<Json<View>, Problem> {
    turn(&app, &can, id, &[JobState::Running, JobState::Paused], JobState::Cancelled).await
}
