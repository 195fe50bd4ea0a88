//! `/v1/audit`: who changed which configuration, with what stood there before and after.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{EventId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use store::{AUDITED_BATCH, AUDITED_BLOB, AuditRow, ResourceKind};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    page::{Page, Paging, page},
    schema::{self, IdText, TimeText},
};
use crate::{
    App, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Who changed what.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: EventId,
    /// When.
    #[schema(value_type = TimeText)]
    at: Timestamp,
    /// Who.
    #[schema(value_type = schema::Actor)]
    actor: Value,
    /// `create`, `update` or `delete`.
    action: String,
    /// What kind of thing.
    kind: &'static str,
    /// The thing.
    #[schema(value_type = IdText)]
    resource: EventId,
    /// What stood there before, without secrets.
    #[schema(value_type = Value)]
    before: Value,
    /// What stands there now, without secrets.
    #[schema(value_type = Value)]
    after: Value,
}

const fn kind_name(kind: i16) -> &'static str {
    if kind == AUDITED_BLOB {
        return "image";
    }
    if kind == AUDITED_BATCH {
        return "batch";
    }
    match ResourceKind::from_number(kind) {
        Some(ResourceKind::Organization) => "organization",
        Some(ResourceKind::Key) => "api_key",
        Some(ResourceKind::Project) => "project",
        Some(ResourceKind::Template) => "template",
        Some(ResourceKind::Signer) => "signer",
        Some(ResourceKind::GoogleAccount) => "google_account",
        Some(ResourceKind::Source) => "source",
        Some(ResourceKind::Flow) => "flow",
        Some(ResourceKind::Target) => "webhook",
        Some(ResourceKind::Transformation) => "transformation",
        Some(ResourceKind::ScanKeys) => "scan_keys",
        Some(ResourceKind::Sync) => "sync",
        Some(ResourceKind::Draft) => "template_draft",
        Some(ResourceKind::TemplateVersion) => "template_version",
        Some(ResourceKind::FlowVersion) => "flow_version",
        Some(ResourceKind::Inspector) => "inspector",
        Some(ResourceKind::SigningRequest) => "signing_request",
        None => "unknown",
    }
}

/// The body of a thing without what is sealed in it; of named values that are sealed the names.
fn open(body: Option<&str>) -> Value {
    unsealed(body.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default())
}

fn unsealed(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let shown = fields.into_iter().filter_map(|(name, value)| match (name.strip_prefix("sealed_"), value) {
        (None, value) => Some((name, unsealed(value))),
        (Some(plain), Value::Object(named)) => Some((plain.to_owned(), named.keys().cloned().collect())),
        (Some(_), _) => None,
    });
    Value::Object(shown.collect())
}

/// Who it was; whoever is no key acted on the server itself.
fn actor(text: &str) -> Value {
    let known = serde_json::from_str(text).ok().filter(|actor: &Value| actor["type"].is_string());
    known.unwrap_or_else(|| serde_json::json!({ "type": "system" }))
}

impl View {
    fn of(row: &AuditRow) -> Self {
        Self {
            id: EventId::from_uuid(row.id),
            at: row.at,
            actor: actor(&row.actor),
            action: row.action.clone(),
            kind: kind_name(row.kind),
            resource: EventId::from_uuid(row.resource),
            before: open(row.before.as_deref()),
            after: open(row.after.as_deref()),
        }
    }
}

/// List changes of the configuration.
///
/// Newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "Audit", security(("key" = ["admin"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::Admin>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    let rows = app.store.backend().audit(can.org, paging.after(), paging.limit.and_one()).await?;
    Ok(Json(page(&rows, paging.limit, |row| row.id, View::of)))
}
