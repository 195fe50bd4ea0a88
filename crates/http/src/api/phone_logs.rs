//! `/v1/phone-logs`: what phones say went wrong with our passes.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{EventId, Timestamp};
use serde::{Deserialize, Serialize};
use store::Capture;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    page::{Limit, Page},
    schema::{IdText, TimeText},
};
use crate::{
    App, Problem, QueryParams, apple,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What a phone sent to `POST /apple/v1/log`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhoneLog)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: EventId,
    /// When it came.
    #[schema(value_type = TimeText)]
    at: Timestamp,
    /// The pass type that its lines name.
    pass_type: String,
    /// The lines, in iOS's words.
    lines: Vec<String>,
}

#[derive(Deserialize)]
struct Kept {
    pass_type: String,
    lines: Vec<String>,
}

impl View {
    fn of(capture: &Capture) -> Option<Self> {
        let Kept { pass_type, lines } = serde_json::from_slice(&capture.body).ok()?;
        Some(Self { id: EventId::from_uuid(capture.id), at: capture.at, pass_type, lines })
    }
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Newest {
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
}

/// Read phones' logs, newest first.
///
/// iOS tells the issuer when it cannot update a pass: what it asked, and what went wrong. The newest 200 reports that name a
/// pass type of the organization are kept. They come without proof of who sent them.
#[utoipa::path(get, path = "/v1/phone-logs", tag = "Phone logs", security(("key" = ["passes_read"])),
    params(Newest), responses((status = 200, body = Page<View>, description = "The newest.")))]
async fn list(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(newest): QueryParams<Newest>,
) -> Result<Json<Page<View>>, Problem> {
    let kept = app.store.captures(can.org, apple::LOG_RING, newest.limit.get()).await?;
    Ok(Json(Page { data: kept.iter().filter_map(View::of).collect(), next_cursor: None }))
}
