//! `/v1/syncs`: batches that are saved, whose rows a query finds in a user's database.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Project, ProjectId, SyncId, Timestamp};
use flows::batch::{Batch as Document, Schedule};
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value, json};
use store::{Incremental, Removed, RemovedAction, StoredSync};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{
    batches::Start,
    commands::Once,
    config::{self, IfMatch, Shown},
    flows::refused,
    once::Made,
    page::{Page, Paging},
    schema::{IdText, TimeText},
    targets, text,
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
    restated::Restated,
};

/// Longest statement, in bytes.
const MAX_QUERY: usize = 64 << 10;
/// Longest certificates, in bytes.
const MAX_AUTHORITIES: usize = 256 << 10;
/// Longest role name and password, in bytes.
const MAX_ACCOUNT: usize = 1_024;
/// Longest name of a column, in bytes.
const MAX_COLUMN: usize = 128;
/// The most seconds that rows are read again for: 30 days.
const MAX_OVERLAP: u32 = 30 * 86_400;
/// The most seconds that a server may work on a stretch of rows: an hour.
const MAX_PATIENCE: u32 = 3_600;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, replace, delete))
}

/// How a connection to a database is made, in the words of destinations' settings. `true` and `false`, which syncs had before, are
/// taken as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[schema(as = SyncTls)]
#[serde(rename_all = "lowercase")]
enum Tls {
    /// Encrypted, the server's certificate and name are checked.
    #[default]
    Verify,
    /// As it is, for a network that you trust.
    Off,
}

impl<'de> Deserialize<'de> for Tls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(true) => Ok(Self::Verify),
            Value::Bool(false) => Ok(Self::Off),
            Value::String(word) if word == "verify" => Ok(Self::Verify),
            Value::String(word) if word == "off" => Ok(Self::Off),
            _ => Err(D::Error::custom("expected `verify` or `off`")),
        }
    }
}

/// A PostgreSQL, or what speaks its protocol, with an account that may read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DatabaseInput {
    /// `postgresql://host:5432/database`, without user and password.
    #[schema(examples("postgresql://warehouse.example.com/analytics"))]
    url: String,
    /// Who reads: a role that may `SELECT` what the query names, and no more.
    user: String,
    /// Its password. Kept sealed and never shown; when it is left out the one that is kept stays.
    #[schema(value_type = Option<String>)]
    password: Option<Zeroizing<String>>,
    /// Whether the connection is encrypted and the server's certificate and name are checked.
    #[serde(default)]
    #[schema(required = false, default = "verify")]
    tls: Tls,
    /// Authorities that the server's certificate is checked against instead of those that the system trusts, PEM.
    authorities: Option<String>,
}

/// What tells that a row changed: a run reads the rows that changed since the last one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SyncIncremental)]
#[serde(deny_unknown_fields)]
struct IncrementalInput {
    /// The column that rises with every change: a time, a date or a number. Rows without a value are always read.
    #[schema(min_length = 1, max_length = 128, examples("updated_at"))]
    column: String,
    /// Of times: how many seconds before the last one rows are read again, for changes that were committed later than others.
    #[serde(default = "overlap")]
    #[schema(required = false, default = 300, minimum = 0, maximum = 2_592_000)]
    overlap_seconds: u32,
}

const fn overlap() -> u32 {
    300
}

/// What becomes of passes of which an earlier run had a row, and a run that reads all rows without a failure has none.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = SyncRemoved)]
#[serde(deny_unknown_fields)]
struct RemovedInput {
    /// What.
    action: RemovedActionName,
    /// When they are more of the sync's passes than this, nothing becomes of any: a query that was edited, or a table that is
    /// being filled, voids nobody.
    #[serde(default = "at_most_percent")]
    #[schema(required = false, default = 10, minimum = 1, maximum = 100)]
    at_most_percent: u8,
}

const fn at_most_percent() -> u8 {
    10
}

/// What becomes of a pass whose row is gone.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = SyncRemovedAction)]
#[serde(rename_all = "snake_case")]
enum RemovedActionName {
    /// It is revoked.
    Revoke,
    /// It is deleted.
    Delete,
}

impl RemovedInput {
    fn stored(self, operation: &Value) -> Result<Removed, Problem> {
        if !(1..=100).contains(&self.at_most_percent) {
            return Err(Problem::field("removed.at_most_percent", "expected 1 to 100"));
        }
        if !["issue", "update"].contains(&operation.as_str().unwrap_or_default()) {
            return Err(Problem::field(
                "removed",
                "has no meaning where rows neither issue nor update passes (`batch.operation`)",
            ));
        }
        let action = match self.action {
            RemovedActionName::Revoke => RemovedAction::Revoke,
            RemovedActionName::Delete => RemovedAction::Delete,
        };
        Ok(Removed { action, at_most_percent: self.at_most_percent })
    }

    const fn of(removed: Removed) -> Self {
        let action = match removed.action {
            RemovedAction::Revoke => RemovedActionName::Revoke,
            RemovedAction::Delete => RemovedActionName::Delete,
        };
        Self { action, at_most_percent: removed.at_most_percent }
    }
}

impl IncrementalInput {
    fn stored(self) -> Result<Incremental, Problem> {
        if !(1..=MAX_COLUMN).contains(&self.column.len()) || self.column.contains('\0') {
            return Err(Problem::field("incremental.column", format!("expected 1 to {MAX_COLUMN} bytes")));
        }
        if self.overlap_seconds > MAX_OVERLAP {
            return Err(Problem::field("incremental.overlap_seconds", format!("expected 0 to {MAX_OVERLAP}")));
        }
        Ok(Incremental { column: self.column, overlap_seconds: self.overlap_seconds })
    }

    fn of(incremental: Incremental) -> Self {
        Self { column: incremental.column, overlap_seconds: incremental.overlap_seconds }
    }
}

/// A saved batch whose rows a query finds.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SyncInput {
    /// What people call it by.
    #[schema(examples("members"))]
    slug: String,
    /// Name shown to people.
    name: String,
    /// Where the rows are.
    database: DatabaseInput,
    /// By which of the ways out that the operator of this server configured for this organization (`[egress.NAME]`) the database is
    /// reached, and never by another. Null means the server's own.
    #[schema(max_length = 64, examples("office"))]
    egress: Option<String>,
    /// One statement that gives rows, run in a read-only transaction.
    #[schema(examples("SELECT member_no AS external_id, email, tier FROM members WHERE active"))]
    query: String,
    /// What tells that a row changed; without, every run reads all rows. A sync that was changed reads all once, and rows
    /// of a run in which one failed are read again.
    incremental: Option<IncrementalInput>,
    /// What becomes of passes whose rows are gone; without, nothing. An incremental sync finds them when it is run in full.
    removed: Option<RemovedInput>,
    /// What is done for each row: `project`, `operation`, `map` and the like, as of `POST /v1/batches`; nothing about a file.
    #[schema(value_type = Object)]
    batch: Map<String, Value>,
    /// When a run goes on that was checked.
    #[serde(default = "always")]
    #[schema(required = false, default = "always")]
    start: Start,
    /// When it runs by itself: `{"every_minutes": 60}` or `{"cron": "0 3 * * *", "zone": "Europe/Berlin"}`; only when told,
    /// without.
    #[schema(value_type = Option<Object>)]
    schedule: Option<Schedule>,
    /// How many seconds the server may work on a stretch of rows.
    #[serde(default = "patience")]
    #[schema(required = false, default = 300, minimum = 1, maximum = 3600)]
    patience_seconds: u32,
    /// Whether it runs by its schedule.
    #[serde(default = "yes")]
    #[schema(required = false, default = true)]
    enabled: bool,
}

const fn yes() -> bool {
    true
}

const fn always() -> Start {
    Start::Always
}

const fn patience() -> u32 {
    300
}

/// A database, without its password.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncDatabase)]
struct DatabaseView {
    /// Where it is.
    url: String,
    /// Who reads.
    user: String,
    /// Whether the connection is encrypted and the server is checked.
    tls: Tls,
    /// Authorities that its certificate is checked against.
    authorities: Option<String>,
}

/// A saved batch whose rows a query finds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sync)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: SyncId,
    /// What people call it by.
    slug: String,
    /// Name shown to people.
    name: String,
    /// Where the rows are.
    database: DatabaseView,
    /// By which of the operator's ways out the database is reached; null means the server's own.
    egress: Option<String>,
    /// The statement.
    query: String,
    /// What tells that a row changed.
    incremental: Option<IncrementalInput>,
    /// What becomes of passes whose rows are gone.
    removed: Option<RemovedInput>,
    /// What is done for each row.
    #[schema(value_type = Object)]
    batch: Value,
    /// When a run goes on that was checked.
    start: Start,
    /// When it runs by itself.
    #[schema(value_type = Option<Object>)]
    schedule: Option<Value>,
    /// How many seconds the server may work on a stretch of rows.
    patience_seconds: u32,
    /// Whether it runs by its schedule.
    enabled: bool,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl View {
    fn of(sync: &StoredSync) -> Self {
        let sync = sync.clone();
        let mut batch = sync.document;
        // How its rows are kept is not the user's to say.
        if let Some(document) = batch.as_object_mut() {
            document.remove("format");
        }
        Self {
            id: sync.id,
            slug: sync.slug,
            name: sync.name,
            database: DatabaseView {
                url: sync.url,
                user: sync.user,
                tls: if sync.tls { Tls::Verify } else { Tls::Off },
                authorities: sync.authorities,
            },
            egress: sync.egress,
            query: sync.query,
            incremental: sync.incremental.map(IncrementalInput::of),
            removed: sync.removed.map(RemovedInput::of),
            batch,
            start: Start::of(sync.start),
            schedule: sync.schedule,
            patience_seconds: sync.patience_seconds,
            enabled: sync.enabled,
            created_at: sync.created_at,
        }
    }
}

/// What a file has and a query does not.
const OF_FILES: [&str; 3] = ["format", "delimiter", "encoding"];

fn document(app: &App, caller: &Caller, mut batch: Map<String, Value>) -> Result<(Value, ProjectId), Problem> {
    if let Some(key) = OF_FILES.iter().copied().chain(["start"]).find(|key| batch.contains_key(*key)) {
        return Err(Problem::field(format!("batch.{key}"), "has no meaning here: rows come from a query"));
    }
    batch.insert("format".to_owned(), json!("ndjson"));
    let under = |problem: flows::Problem| problem.under("batch");
    let document = Document::from_json(&Value::Object(batch)).map_err(|problem| refused(vec![under(problem)]))?;
    let project = project(app, caller, &document).map_err(|found| refused(found.into_iter().map(under).collect()))?;
    let document = serde_json::to_value(&document).map_err(|error| Problem::Internal(error.to_string()))?;
    Ok((document, project))
}

/// The project that a batch is about, when it can be run.
pub(super) fn project(app: &App, caller: &Caller, document: &Document) -> Result<ProjectId, Vec<flows::Problem>> {
    let projects: Vec<Project> = app
        .store
        .catalog()
        .org(caller.org)
        .map(|catalog| catalog.projects.values().map(|stored| (*stored.value).clone()).collect())
        .unwrap_or_default();
    document.check(&projects, None).map(|plan| plan.project())
}

impl DatabaseInput {
    fn check(&self, app: &App) -> Result<(), Problem> {
        let judged = app.settings.address_policy.check_database(&self.url);
        judged.map_err(|refusal| Problem::field("database.url", refusal.to_string()))?;
        let fits = |text: &str| (1..=MAX_ACCOUNT).contains(&text.len()) && !text.contains('\0');
        if !fits(&self.user) {
            return Err(Problem::field("database.user", format!("expected 1 to {MAX_ACCOUNT} bytes")));
        }
        if self.password.as_ref().is_some_and(|password| !fits(password)) {
            return Err(Problem::field("database.password", format!("expected 1 to {MAX_ACCOUNT} bytes")));
        }
        if self.authorities.as_ref().is_some_and(|pem| pem.len() > MAX_AUTHORITIES) {
            return Err(Problem::field("database.authorities", format!("at most {MAX_AUTHORITIES} bytes")));
        }
        Ok(())
    }
}

impl SyncInput {
    /// As it is kept. `held` is what it replaces.
    fn stored(self, app: &App, caller: &Caller, held: Option<&StoredSync>) -> Result<StoredSync, Problem> {
        text::slug(&self.slug, "slug")?;
        let name = text::name(self.name, "name")?;
        self.database.check(app)?;
        let query = self.query.trim().trim_end_matches(';').trim_end().to_owned();
        if query.is_empty() || query.len() > MAX_QUERY || query.contains('\0') {
            return Err(Problem::field("query", format!("expected one statement of at most {MAX_QUERY} bytes")));
        }
        if !(1..=MAX_PATIENCE).contains(&self.patience_seconds) {
            return Err(Problem::field("patience_seconds", format!("expected 1 to {MAX_PATIENCE}")));
        }
        if let Some(schedule) = &self.schedule {
            schedule.check().map_err(|problem| refused(vec![problem.under("schedule")]))?;
        }
        let (document, _) = document(app, caller, self.batch)?;
        let (id, created_at) = match held {
            Some(held) => (held.id, held.created_at),
            None => (SyncId::mint(app.now(), &*app.entropy), app.now()),
        };
        let sealed_password = match (&self.database.password, held) {
            (Some(password), _) => app.store.seal_for::<StoredSync>(caller.org, id.uuid(), password.as_bytes())?,
            // A password goes to the server that it was given for.
            (None, Some(held)) if held.url == self.database.url && held.user == self.database.user => {
                held.sealed_password.clone()
            }
            (None, _) => return Err(Problem::field("database.password", "this is required for a database or user that is new")),
        };
        let schedule = self.schedule.map(serde_json::to_value).transpose();
        let removed = self.removed.map(|removed| removed.stored(&document["operation"])).transpose()?;
        Ok(StoredSync {
            id,
            slug: self.slug,
            name,
            document,
            start: self.start.stored(),
            url: self.database.url,
            user: self.database.user,
            sealed_password,
            tls: self.database.tls == Tls::Verify,
            authorities: self.database.authorities,
            egress: targets::egress(app, caller.org, self.egress)?,
            query,
            incremental: self.incremental.map(IncrementalInput::stored).transpose()?,
            removed,
            patience_seconds: self.patience_seconds,
            schedule: schedule.map_err(|error| Problem::Internal(error.to_string()))?,
            enabled: self.enabled,
            created_at,
        })
    }
}

/// Make a sync.
///
/// Nothing is read from the database until it is tried or run.
#[utoipa::path(post, path = "/v1/syncs", tag = "Syncs", security(("key" = ["config_write"])),
    request_body = SyncInput, responses((status = 201, body = View, description = "Made.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<SyncInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let sync = body.value.stored(&app, &can, None)?;
    let write = app.store.config_write(&config::change(&app, &can), &sync, 0, false)?;
    once.write(&app, &can, &body.bytes, write, Shown::new(format!("/v1/syncs/{}", sync.id), View::of(&sync))).await
}

/// List syncs.
#[utoipa::path(get, path = "/v1/syncs", tag = "Syncs", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    Ok(Json(paging.of(&config::org(&app, can.org)?.syncs, |stored| View::of(&stored.value))))
}

/// Read a sync.
#[utoipa::path(get, path = "/v1/syncs/{sync}", tag = "Syncs", security(("key" = ["config_read"])),
    params(("sync" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SyncId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.syncs, id.uuid(), "sync")?;
    Ok(Shown::at(stored.revision, View::of(&stored.value)))
}

/// Replace a sync.
///
/// A run that is under way goes on as it began, except that its rows are read as the sync says when they are read.
#[utoipa::path(put, path = "/v1/syncs/{sync}", tag = "Syncs", security(("key" = ["config_write"])),
    params(("sync" = IdText, Path, description = "Its id."), IfMatch), request_body = SyncInput,
    responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SyncId>,
    if_match: IfMatch,
    body: Restated<SyncInput, View>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let held = config::one(&catalog.syncs, id.uuid(), "sync")?;
    if_match.check(held.revision)?;
    let sync = body.value.stored(&app, &can, Some(&held.value))?;
    config::put(&app, &config::change(&app, &can), &sync, held.revision).await?;
    Ok(Shown::at(held.revision + 1, View::of(&sync)))
}

/// Delete a sync.
///
/// A run that has begun to read goes on.
#[utoipa::path(delete, path = "/v1/syncs/{sync}", tag = "Syncs", security(("key" = ["config_write"])),
    params(("sync" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Deleted.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SyncId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.syncs, id.uuid(), "sync")?;
    if_match.check(stored.revision)?;
    let deleted = config::remove(&app, &config::change(&app, &can), stored).await?;
    app.store.forget_mirrored(can.org, id).await?;
    Ok(deleted)
}
