//! `/v1/passes/{pass}/reach`: what the holder would see of a message that is sent now.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{PassId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::schema::{IdText, TimeText};
use crate::{
    App, PathParam, Problem,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(reach))
}

/// What the holder would see of a message that is sent now, in each wallet.
#[derive(Debug, Serialize, ToSchema)]
struct Reach {
    /// Apple Wallet.
    apple: AppleReach,
    /// Google Wallet.
    google: GoogleReach,
}

/// Apple Wallet shows the line of a changed field with a change message; every message changes one.
#[derive(Debug, Serialize, ToSchema)]
struct AppleReach {
    /// Devices that hold the pass.
    devices: u32,
    /// What they show.
    shows: Shows,
}

/// Google Wallet notifies of three messages per pass in 24 hours; further ones stand on the pass silently.
#[derive(Debug, Serialize, ToSchema)]
struct GoogleReach {
    /// Whether somebody holds the pass.
    held: bool,
    /// What they are shown.
    shows: Shows,
    /// Messages that may still notify within 24 hours.
    notifications_left: u32,
    /// Whether Google has the pass as it is now.
    up_to_date: bool,
    /// When Google is told, or told again, what it does not have yet.
    #[schema(value_type = Option<TimeText>)]
    due_at: Option<Timestamp>,
    /// Why the last try failed, and what to change.
    problem: Option<String>,
}

/// What a holder sees.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Shows {
    /// A line on the lock screen.
    Notification,
    /// The message on the pass, without a notification.
    Silent,
    /// Nothing: nobody holds the pass there.
    Nothing,
}

/// Read what a message would be seen as.
///
/// For each wallet: who holds the pass, and whether a message sent now would be shown on the lock screen.
#[utoipa::path(get, path = "/v1/passes/{pass}/reach", tag = "Passes", security(("key" = ["passes_read"])),
    params(("pass" = IdText, Path, description = "Its id.")), responses((status = 200, body = Reach, description = "It.")))]
async fn reach(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
) -> Result<Json<Reach>, Problem> {
    let pass = app.store.pass(can.org, id).await?.ok_or_else(|| Problem::no_such("pass"))?;
    let row = app.store.backend().google_thing(can.org, id.uuid()).await?;
    let note = row.as_ref().map(|row| row.note()).unwrap_or_default();
    let left = note.notifications_left(app.now());
    let (devices, held) = (pass.apple.active, pass.google.active > 0);
    let google = match (held, left) {
        (false, _) => Shows::Nothing,
        (true, 0) => Shows::Silent,
        (true, _) => Shows::Notification,
    };
    Ok(Json(Reach {
        apple: AppleReach { devices, shows: if devices > 0 { Shows::Notification } else { Shows::Nothing } },
        google: GoogleReach {
            held,
            shows: google,
            notifications_left: left,
            up_to_date: row.as_ref().is_some_and(|row| row.synced_seq > 0 && row.synced_seq >= row.wanted_seq),
            due_at: row.as_ref().and_then(|row| row.due_at),
            problem: note.problem,
        },
    }))
}
