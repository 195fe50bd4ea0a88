//! `/v1/publications`: how far template versions that were published anew have come on the phones.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{PublicationId, TemplateId, Timestamp};
use serde::Serialize;
use store::{JobState, Progress, Publication};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    jobs,
    page::{Page, Paging, page},
    schema::{IdText, TimeText},
};
use crate::{
    App, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
}

/// Where a publication stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PublicationState {
    /// Phones are being woken.
    Running,
    /// Halted until it is resumed.
    Paused,
    /// Every phone was woken that could be, and Google is being told.
    Done,
    /// Ended by somebody. Phones that were not woken see the new version when they ask by themselves.
    Cancelled,
    /// A later version of the template took its place.
    Superseded,
}

/// The waking of the phones that hold a pass of a template that was published anew.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Publication)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: PublicationId,
    /// The template.
    #[schema(value_type = IdText)]
    template: TemplateId,
    /// The version.
    version: u32,
    /// Where it stands.
    state: PublicationState,
    /// How many devices of the organization there are to look at; null before they were counted.
    #[schema(minimum = 0)]
    devices: Option<u64>,
    /// How many were looked at.
    #[schema(minimum = 0)]
    looked_at: u64,
    /// How many of those hold such a pass and were woken.
    #[schema(minimum = 0)]
    pushed: u64,
    /// How many of those could not be reached then, and are tried again by themselves.
    #[schema(minimum = 0)]
    retrying: u64,
    /// Whether every pass of the template gets an event `pass.updated`.
    updated_events: bool,
    /// How many passes of the template were looked at, once the phones were: for those events, and for Google.
    #[schema(minimum = 0)]
    passes: u64,
    /// How many of those Google is told of anew, at its pace of 20 a second.
    #[schema(minimum = 0)]
    google: u64,
    /// When it began.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
    /// When it last came on.
    #[schema(value_type = TimeText)]
    updated_at: Timestamp,
}

impl View {
    fn of(publication: &Publication) -> Self {
        let progress = &publication.progress;
        Self {
            id: publication.id,
            template: progress.template,
            version: progress.version,
            state: match publication.state {
                JobState::Running => PublicationState::Running,
                JobState::Paused => PublicationState::Paused,
                JobState::Done => PublicationState::Done,
                JobState::Cancelled => PublicationState::Cancelled,
                // None can.
                JobState::Superseded | JobState::Failed => PublicationState::Superseded,
            },
            devices: progress.devices,
            looked_at: progress.looked_at,
            pushed: progress.pushed,
            retrying: progress.retrying,
            updated_events: progress.updated_events,
            passes: progress.passes,
            google: progress.google,
            created_at: publication.created_at,
            updated_at: publication.updated_at,
        }
    }
}

async fn find(app: &App, caller: &Caller, id: PublicationId) -> Result<Publication, Problem> {
    jobs::find(app, caller, id, "publication").await
}

/// List publications, newest first.
#[utoipa::path(get, path = "/v1/publications", tag = "Publications", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    let before = paging.after().map(PublicationId::from_uuid);
    let rows = app.store.jobs::<Progress>(can.org, before, paging.limit.and_one()).await?;
    Ok(Json(page(&rows, paging.limit, |row| row.id.uuid(), View::of)))
}

/// Read a publication: how far it is.
#[utoipa::path(get, path = "/v1/publications/{publication}", tag = "Publications", security(("key" = ["config_read"])),
    params(("publication" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PublicationId>,
) -> Result<Json<View>, Problem> {
    Ok(Json(View::of(&find(&app, &can, id).await?)))
}

async fn turn(app: &App, caller: &Caller, id: PublicationId, from: &[JobState], to: JobState) -> Result<Json<View>, Problem> {
    Ok(Json(View::of(&jobs::turn::<Progress>(app, caller, id, "publication", from, to).await?)))
}

/// Pause a publication.
///
/// The batch that is under way is finished. Every pass is drawn with the new version all the same.
#[utoipa::path(post, path = "/v1/publications/{publication}/pause", tag = "Publications", security(("key" = ["config_write"])),
    params(("publication" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = View, description = "Paused.")))]
async fn pause(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PublicationId>,
) -> Result<Json<View>, Problem> {
    turn(&app, &can, id, &[JobState::Running], JobState::Paused).await
}

/// Resume a publication that was paused.
///
/// It goes on where it was.
#[utoipa::path(post, path = "/v1/publications/{publication}/resume", tag = "Publications", security(("key" = ["config_write"])),
    params(("publication" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = View, description = "Running.")))]
async fn resume(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PublicationId>,
) -> Result<Json<View>, Problem> {
    turn(&app, &can, id, &[JobState::Paused], JobState::Running).await
}

/// Cancel a publication.
///
/// No more phones are woken. The version stays published: publish the one before again to go back to it.
#[utoipa::path(post, path = "/v1/publications/{publication}/cancel", tag = "Publications", security(("key" = ["config_write"])),
    params(("publication" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = View, description = "Cancelled.")))]
async fn cancel(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PublicationId>,
) -> Result<Json<View>, Problem> {
    turn(&app, &can, id, &[JobState::Running, JobState::Paused], JobState::Cancelled).await
}
