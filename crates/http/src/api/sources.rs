//! `/v1/sources`: what sends business events.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use connectors::{
    catalog::{self, Proof},
    kit::{SharedSecret, check_settings},
};
use domain::{FieldValue, OrgId, Source, SourceId, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{Catalog, NameKind, OrgCatalog, Stored, StoredFlow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    flows,
    once::Made,
    page::{Page, Paging},
    schema::{self, IdText, TimeText},
    text,
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{self, Can, scope},
    restated::Restated,
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, replace, delete))
        .routes(routes!(rotate, end_rotation))
        .routes(routes!(add_secret, end_secret_rotation))
}

/// What a source is made of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SourceInput {
    /// Short name, unique in the organization, used in flows: lower case letters, digits and inner hyphens.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9-]+$")]
    slug: String,
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Which connector reads it: a slug of `GET /v1/connectors`. It cannot be changed.
    #[serde(default = "rudderstack")]
    #[schema(default = "rudderstack", pattern = "^[a-z0-9-]+$", max_length = 64, examples("stripe"))]
    kind: String,
    /// Whether its events are taken.
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
    /// Whether one event that cannot be read fails its whole request. Otherwise the good ones are taken and the bad one is
    /// kept with its reason.
    #[serde(default)]
    strict: bool,
    /// What is set for its connector: see `GET /v1/connectors/{connector}`.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, schema::FieldValue>, required = false)]
    settings: BTreeMap<String, FieldValue>,
    /// The secret that the sender signs with; never shown. In a replacement it takes the place of those that are there, and
    /// they stay where it is left out.
    #[serde(default, skip_serializing)]
    #[schema(write_only, min_length = 8, max_length = 512)]
    secret: Option<String>,
}

fn rudderstack() -> String {
    "rudderstack".to_owned()
}
const fn yes() -> bool {
    true
}

/// Something that sends business events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Source)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: SourceId,
    #[serde(flatten)]
    input: SourceInput,
    /// First characters of its write key, to recognise it by; null where the connector knows no write keys.
    #[schema(required = true)]
    key_prefix: Option<String>,
    /// How many signing secrets are in force: two while one is being rotated.
    secrets: usize,
    /// Where its webhooks go.
    webhook_url: String,
    /// What its SDKs are given as their data plane; null where there are none.
    #[schema(required = true)]
    api_url: Option<String>,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

/// A source with its credentials.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewSource)]
struct Created {
    #[serde(flatten)]
    source: View,
    /// The write key: shown this once. Missing where the connector knows no write keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("pbw_..."))]
    write_key: Option<String>,
    /// A signing secret that we made, to be typed in at the sender: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("pbs_..."))]
    secret: Option<String>,
}

impl View {
    fn of(app: &App, source: &Source) -> Self {
        let Source { slug, name, kind, enabled, strict, settings, .. } = source.clone();
        let has_api = connector(&kind).is_ok_and(|connector| connector.api);
        Self {
            id: source.id,
            key_prefix: Some(source.key_prefix.clone()).filter(|prefix| !prefix.is_empty()),
            secrets: source.sealed_secrets.len(),
            webhook_url: app.url(&format!("/ingest/{}", source.id)),
            api_url: has_api.then(|| app.url(&format!("/{kind}"))),
            input: SourceInput { slug, name, kind, enabled, strict, settings, secret: None },
            created_at: source.created_at,
        }
    }
}

/// The source side of a connector.
fn connector(kind: &str) -> Result<catalog::Source, Problem> {
    catalog::find(kind).and_then(|connector| connector.source).ok_or_else(|| {
        let known: Vec<_> = catalog::CONNECTORS.iter().filter(|it| it.source.is_some()).map(|it| it.slug).collect();
        Problem::field("kind", format!("there is no such source: expected one of {}", known.join(", ")))
    })
}

impl SourceInput {
    /// The source that is asked for; `held` is what is to be kept of the one before.
    fn check(self, app: &App, org: OrgId, held: Source) -> Result<Source, Problem> {
        text::slug(&self.slug, "slug")?;
        let name = text::name(self.name, "name")?;
        let found = connector(&self.kind)?;
        let known = catalog::find(&self.kind).map_or(&[][..], |connector| connector.source_settings);
        check_settings(known, &self.settings)
            .map_err(|problem| Problem::field(format!("settings.{}", problem.name), problem.message))?;
        let sealed_secrets = match self.secret {
            Some(text) => vec![seal(app, org, held.id, &secret(found, &text)?)?],
            None => held.sealed_secrets,
        };
        Ok(Source {
            slug: self.slug,
            name,
            kind: self.kind,
            enabled: self.enabled,
            strict: self.strict,
            settings: self.settings,
            sealed_secrets,
            ..held
        })
    }
}

/// A signing secret as somebody typed it in.
fn secret(connector: catalog::Source, text: &str) -> Result<SharedSecret, Problem> {
    if !connector.proof.has_secret() {
        return Err(Problem::field("secret", "this connector knows no signing secrets: its senders show the write key"));
    }
    let length =
        || Problem::field("secret", format!("expected {} to {} bytes", SharedSecret::MIN_BYTES, SharedSecret::MAX_BYTES));
    let secret = SharedSecret::new(text).ok_or_else(length)?;
    if let Some(Err(expected)) = connector.secret_form.map(|form| form(&secret)) {
        return Err(Problem::field("secret", expected));
    }
    Ok(secret)
}

fn seal(app: &App, org: OrgId, id: SourceId, secret: &SharedSecret) -> Result<String, Problem> {
    Ok(app.store.seal_for::<Source>(org, id.uuid(), secret.expose().as_bytes())?)
}

/// What marks a signing secret that we made.
const SECRET_PREFIX: &str = "pbs_";

/// A signing secret that we make, sealed and in the clear.
fn mint_secret(app: &App, org: OrgId, id: SourceId) -> Result<(String, String), Problem> {
    let text = auth::mint(SECRET_PREFIX, &*app.entropy).secret;
    let secret = SharedSecret::new(&text).ok_or(Problem::NotReady("no secret could be made"))?;
    Ok((seal(app, org, id, &secret)?, text))
}

/// Make a source.
///
/// Sources of which the connector says `key` or `secret_or_key` get a write key; those of which it says `our_secret` get a
/// signing secret unless one is given. The secret of a sender that shows its own only once the webhook is made there is added
/// later: until then the sender is answered 503, so that it comes again.
#[utoipa::path(post, path = "/v1/sources", tag = "Sources", security(("key" = ["config_write"])),
    request_body = SourceInput,
    responses((status = 201, body = Created, description = "Made. This answer alone shows the credentials.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<SourceInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let now = app.now();
    let minted = auth::mint(auth::WRITE_KEY_PREFIX, &*app.entropy);
    let fresh = Source {
        id: SourceId::mint(now, &*app.entropy),
        slug: String::new(),
        name: String::new(),
        kind: String::new(),
        key_prefix: String::new(),
        previous_key_prefix: None,
        sealed_secrets: Vec::new(),
        settings: BTreeMap::new(),
        enabled: true,
        strict: false,
        created_at: now,
    };
    let mut source = body.value.clone().check(&app, can.org, fresh)?;
    let proof = connector(&source.kind)?.proof;
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::Source, source.id.uuid().as_bytes().to_vec(), source.id.uuid()));
    if proof.has_key() {
        change.names.push((NameKind::WriteKey, minted.hash.to_vec(), source.id.uuid()));
        source.key_prefix = minted.prefix;
    }
    let mut made = None;
    if proof == Proof::OurSecret && source.sealed_secrets.is_empty() {
        let (sealed, text) = mint_secret(&app, can.org, source.id)?;
        source.sealed_secrets.push(sealed);
        made = Some(text);
    }
    let write_key = proof.has_key().then_some(minted.secret);
    let view = Created { source: View::of(&app, &source), write_key, secret: made };
    let write = app.store.config_write(&change, &source, 0, false)?;
    once.write(&app, &can, &body.bytes, write, Shown::new(format!("/v1/sources/{}", source.id), view)).await
}

/// List sources.
#[utoipa::path(get, path = "/v1/sources", tag = "Sources", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    Ok(Json(paging.of(&config::org(&app, can.org)?.sources, |stored| View::of(&app, &stored.value))))
}

/// Read a source.
#[utoipa::path(get, path = "/v1/sources/{source}", tag = "Sources", security(("key" = ["config_read"])),
    params(("source" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.sources, id.uuid(), "source")?;
    Ok(Shown::at(stored.revision, View::of(&app, &stored.value)))
}

/// Replace a source.
///
/// Its address, write key and kind stay, and its signing secrets unless one is given. Refused (409) where a flow that runs names
/// it by the slug that would change.
#[utoipa::path(put, path = "/v1/sources/{source}", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id."), IfMatch),
    request_body = SourceInput, responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceId>,
    if_match: IfMatch,
    body: Restated<SourceInput, View>,
) -> Result<Shown<View>, Problem> {
    let (app, can, body) = (&app, &can, &body);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let stored = config::one(&org.sources, id.uuid(), "source")?;
        if_match.check(stored.revision)?;
        if body.value.kind != stored.value.kind {
            return Err(Problem::field("kind", format!("it is {} and stays so: make another source", stored.value.kind)));
        }
        let source = body.value.clone().check(app, can.org, (*stored.value).clone())?;
        let mut after = OrgCatalog::clone(org);
        after.sources.insert(id.uuid(), Stored { value: Arc::new(source.clone()), ..stored.clone() });
        flows::survive(org, &after)?;
        let mut write = app.store.config_write(&config::change(app, can), &source, stored.revision, false)?;
        write.unchanged = vec![catalog.unchanged::<StoredFlow>(can.org)];
        config::write_unless_raced(app, write, Shown::at(stored.revision + 1, View::of(app, &source))).await
    })
    .await
}

/// Delete a source.
///
/// Its events stay in the inbox until they are swept. Refused (409) while a flow that runs names it.
#[utoipa::path(delete, path = "/v1/sources/{source}", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Deleted.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let (app, can) = (&app, &can);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let stored = config::one(&org.sources, id.uuid(), "source")?;
        if_match.check(stored.revision)?;
        let mut after = OrgCatalog::clone(org);
        after.sources.remove(&id.uuid());
        flows::survive(org, &after)?;
        let name = id.uuid();
        let mut change = config::change(app, can);
        change.removed_names.push((NameKind::Source, name.as_bytes()));
        let mut write = app.store.config_write(&change, &*stored.value, stored.revision, true)?;
        write.unchanged = vec![catalog.unchanged::<StoredFlow>(can.org)];
        config::write_unless_raced(app, write, StatusCode::NO_CONTENT).await
    })
    .await
}

/// How a write key is rotated.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Rotation {
    /// Whether the key before stays in force beside the new one, until `DELETE` on this path ends that.
    #[serde(default)]
    overlap: bool,
}

/// Rotate a source's write key.
///
/// The one before stops working at once, unless `overlap` is true.
#[utoipa::path(post, path = "/v1/sources/{source}/rotate", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id."), Rotation),
    responses((status = 200, body = Created, description = "Rotated. This answer alone shows the write key.")))]
async fn rotate(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    PathParam(id): PathParam<SourceId>,
    QueryParams(rotation): QueryParams<Rotation>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, b"").await? {
        return Ok(made);
    }
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.sources, id.uuid(), "source")?;
    if !connector(&stored.value.kind)?.proof.has_key() {
        let detail = "its senders sign, there is no write key: add a signing secret instead".to_owned();
        return Err(Problem::Conflict { code: Conflict::NotAllowed, detail });
    }
    let minted = auth::mint(auth::WRITE_KEY_PREFIX, &*app.entropy);
    let mut source = (*stored.value).clone();
    source.previous_key_prefix = rotation.overlap.then_some(source.key_prefix).filter(|prefix| !prefix.is_empty());
    source.key_prefix = minted.prefix;
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::WriteKey, minted.hash.to_vec(), id.uuid()));
    let view = Created { source: View::of(&app, &source), write_key: Some(minted.secret), secret: None };
    let write = app.store.config_write(&change, &source, stored.revision, false)?;
    once.write(&app, &can, b"", write, Shown::at(stored.revision + 1, view)).await
}

/// End a rotation of write keys.
///
/// Only the newest stays in force.
#[utoipa::path(delete, path = "/v1/sources/{source}/rotate", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 200, body = View, description = "As it is now.")))]
async fn end_rotation(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceId>,
    if_match: IfMatch,
) -> Result<Shown<View>, Problem> {
    changed(&app, &can, id, if_match, |source| source.previous_key_prefix = None).await
}

/// A signing secret to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SourceSecretInput)]
struct SecretInput {
    /// The one that the sender shows; where it is left out, one is made, to be typed in there.
    #[serde(default)]
    #[schema(write_only, min_length = 8, max_length = 512)]
    secret: Option<String>,
}

/// Most signing secrets in force at once.
const MAX_SECRETS: usize = 2;

/// Add a signing secret to a source.
///
/// The one before stays in force beside it until `DELETE` on this path ends the rotation, so that nothing is refused while the
/// sender changes over.
#[utoipa::path(post, path = "/v1/sources/{source}/secrets", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id.")), request_body = SecretInput,
    responses((status = 200, body = Created, description = "Added. This answer alone shows a secret that was made.")))]
async fn add_secret(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    PathParam(id): PathParam<SourceId>,
    body: Body<SecretInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.sources, id.uuid(), "source")?;
    let connector = connector(&stored.value.kind)?;
    let mut source = (*stored.value).clone();
    let (sealed, made) = match &body.value.secret {
        Some(text) => (seal(&app, can.org, id, &secret(connector, text)?)?, None),
        None if matches!(connector.proof, Proof::OurSecret | Proof::SecretOrKey) => {
            let (sealed, text) = mint_secret(&app, can.org, id)?;
            (sealed, Some(text))
        }
        None => return Err(Problem::field("secret", "give the one that the sender shows")),
    };
    source.sealed_secrets.insert(0, sealed);
    source.sealed_secrets.truncate(MAX_SECRETS);
    let write = app.store.config_write(&config::change(&app, &can), &source, stored.revision, false)?;
    let view = Created { source: View::of(&app, &source), write_key: None, secret: made };
    once.write(&app, &can, &body.bytes, write, Shown::at(stored.revision + 1, view)).await
}

/// End a rotation of signing secrets.
///
/// Only the newest stays in force.
#[utoipa::path(delete, path = "/v1/sources/{source}/secrets", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 200, body = View, description = "As it is now.")))]
async fn end_secret_rotation(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceId>,
    if_match: IfMatch,
) -> Result<Shown<View>, Problem> {
    changed(&app, &can, id, if_match, |source| source.sealed_secrets.truncate(1)).await
}

async fn changed(
    app: &App,
    can: &auth::Caller,
    id: SourceId,
    if_match: IfMatch,
    change: impl FnOnce(&mut Source),
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(app, can.org)?;
    let stored = config::one(&catalog.sources, id.uuid(), "source")?;
    if_match.check(stored.revision)?;
    let mut source = (*stored.value).clone();
    change(&mut source);
    config::put(app, &config::change(app, can), &source, stored.revision).await?;
    Ok(Shown::at(stored.revision + 1, View::of(app, &source)))
}
