//! `/v1/me`: whose key it is that asks, and where it works.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use domain::OrgId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{config, keys, schema::IdText};
use crate::{App, Problem, auth::Caller};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(me))
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Me)]
struct View {
    /// The key.
    key: keys::View,
    /// The organization that its requests work in.
    organization: Place,
}

/// An organization by its name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyOrganization)]
struct Place {
    /// Its id.
    #[schema(value_type = IdText)]
    id: OrgId,
    /// Name shown to people.
    name: String,
}

/// Read whose key it is.
///
/// The key that asks, with its scopes, and the organization that it works in: its own, or the one that an operator's key names
/// in `Passbridge-Organization`. Any valid key may ask.
#[utoipa::path(get, path = "/v1/me", tag = "API keys", security(("key" = [])),
    responses((status = 200, body = View, description = "They.")))]
async fn me(Extension(caller): Extension<Caller>, State(app): State<Arc<App>>) -> Result<Json<View>, Problem> {
    let catalog = config::org(&app, caller.org)?;
    let name = catalog.organization.as_ref().map(|stored| stored.value.name.clone()).unwrap_or_default();
    Ok(Json(View { key: keys::View::of(&caller.key), organization: Place { id: caller.org, name } }))
}
