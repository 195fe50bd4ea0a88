//! `/v1/signing-requests`: a key made here, the request for its certificate, and Apple's answer to it. The key never leaves.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{SignerId, Timestamp};
use http::StatusCode;
use pkpass::{Identity, RequestError, SigningRequest};
use serde::{Deserialize, Serialize};
use store::{NameKind, OrgCatalog, Stored, StoredSigner, StoredSigningRequest};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    once::{MAX_RACES, Made},
    page::{Page, Paging},
    schema::{IdText, TimeText},
    signers,
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

/// Most requests of an organization that wait for an answer.
const MAX_WAITING: usize = 50;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, delete)).routes(routes!(answer))
}

/// Whose request it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = SigningRequestInput)]
#[serde(deny_unknown_fields)]
struct RequestInput {
    /// An e-mail address; Apple's portal reads it and writes its own into the certificate.
    #[schema(examples("passes@example.com"))]
    email: String,
    /// A name by which to know the key, 1 to 64 characters.
    #[schema(examples("Bean & Co passes"))]
    name: String,
    /// The signer that the answer is to renew; left out for a new pass type.
    #[schema(value_type = Option<IdText>)]
    signer: Option<SignerId>,
}

/// A request that waits for its answer. Its key is sealed and never shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SigningRequest)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: SignerId,
    /// The e-mail address in it.
    email: String,
    /// The name in it.
    name: String,
    /// The signer that the answer is to renew.
    #[schema(value_type = Option<IdText>)]
    signer: Option<SignerId>,
    /// The request, PEM: what to upload in Apple's developer portal, under Identifiers, Pass Type IDs, Create Certificate.
    request: String,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl View {
    fn of(request: &StoredSigningRequest) -> Self {
        Self {
            id: request.id,
            email: request.email.clone(),
            name: request.name.clone(),
            signer: request.signer,
            request: request.request.clone(),
            created_at: request.created_at,
        }
    }
}

/// Apple's answer.
#[derive(Deserialize, ToSchema)]
#[schema(as = SigningAnswerInput)]
#[serde(deny_unknown_fields)]
struct AnswerInput {
    /// The certificate: Apple's `.cer` in base64, or PEM.
    certificate: String,
    /// The intermediate certificate, PEM or base64; may be left out for Apple's WWDR G4.
    intermediate: Option<String>,
}

/// Make a key and a signing request.
///
/// RSA with 2048 bits, as Apple wants it. The key stays here, sealed; upload the request in Apple's developer portal and give the
/// answer to this request.
#[utoipa::path(post, path = "/v1/signing-requests", tag = "Signers", security(("key" = ["config_write"])),
    request_body = RequestInput, responses((status = 201, body = View, description = "Made.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<RequestInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let RequestInput { email, name, signer } = body.value;
    let catalog = config::org(&app, can.org)?;
    if let Some(signer) = signer {
        config::one(&catalog.signers, signer.uuid(), "signer")?;
    }
    room(&catalog)?;
    let (now, asked) = (app.now(), (email.clone(), name.clone()));
    let made = tokio::task::spawn_blocking(move || SigningRequest::create(&asked.0, &asked.1)).await;
    let made = made.map_err(|_| Problem::Internal("making a key was cut off".to_owned()))?.map_err(|fault| refused(&fault))?;
    let id = SignerId::mint(now, &*app.entropy);
    let request = StoredSigningRequest {
        id,
        email,
        name,
        signer,
        request: made.pem,
        sealed_key: app.store.seal_for::<StoredSigningRequest>(can.org, id.uuid(), made.key.as_bytes())?,
        created_at: now,
    };
    for _ in 0..MAX_RACES {
        let catalog = app.store.catalog();
        room(config::part(&catalog, can.org)?)?;
        let mut write = app.store.config_write(&config::change(&app, &can), &request, 0, false)?;
        write.unchanged = vec![catalog.unchanged::<StoredSigningRequest>(can.org)];
        let shown = Shown::new(format!("/v1/signing-requests/{id}"), View::of(&request));
        if let Some(made) = once.write_unless_raced(&app, &can, &body.bytes, write, shown).await? {
            return Ok(made);
        }
    }
    Err(Problem::raced())
}

/// Refuses one more than may wait.
fn room(catalog: &OrgCatalog) -> Result<(), Problem> {
    if catalog.signing_requests.len() < MAX_WAITING {
        return Ok(());
    }
    let detail = format!("{MAX_WAITING} requests wait for an answer already: remove those that will get none");
    Err(Problem::Conflict { code: Conflict::LimitReached, detail })
}

fn refused(fault: &RequestError) -> Problem {
    match fault {
        RequestError::Email => Problem::field("email", fault.to_string()),
        RequestError::Name => Problem::field("name", fault.to_string()),
        RequestError::Key => Problem::Internal(fault.to_string()),
    }
}

/// List signing requests that wait for their answers.
#[utoipa::path(get, path = "/v1/signing-requests", tag = "Signers", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    Ok(Json(paging.of(&config::org(&app, can.org)?.signing_requests, |stored| View::of(&stored.value))))
}

/// Read a signing request.
#[utoipa::path(get, path = "/v1/signing-requests/{signing_request}", tag = "Signers", security(("key" = ["config_read"])),
    params(("signing_request" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.signing_requests, id.uuid(), "signing request")?;
    Ok(Shown::at(stored.revision, View::of(&stored.value)))
}

/// Remove a signing request, and with it the key.
#[utoipa::path(delete, path = "/v1/signing-requests/{signing_request}", tag = "Signers", security(("key" = ["config_write"])),
    params(("signing_request" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 204, description = "Removed.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.signing_requests, id.uuid(), "signing request")?;
    if_match.check(stored.revision)?;
    config::remove(&app, &config::change(&app, &can), stored).await
}

/// Give Apple's answer to a signing request.
///
/// The certificate must be for the key of this request, valid, and issued by the intermediate (of Apple's: WWDR G4). For a pass
/// type without a signer a signer is made, with this request's id; else the signer of the pass type is renewed, as a PUT of it
/// does. The request is gone then.
#[utoipa::path(post, path = "/v1/signing-requests/{signing_request}/answer", tag = "Signers",
    security(("key" = ["config_write"])), params(("signing_request" = IdText, Path, description = "Its id.")),
    request_body = AnswerInput, responses((status = 201, body = signers::View, description = "A signer was made."),
        (status = 200, body = signers::View, description = "The signer of the pass type was renewed.")))]
async fn answer(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
    once: Once,
    body: Body<AnswerInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let now = app.now();
    let catalog = config::org(&app, can.org)?;
    let request = config::one(&catalog.signing_requests, id.uuid(), "signing request")?;
    let key = app.store.open_of::<StoredSigningRequest>(can.org, id.uuid(), &request.value.sealed_key)?;
    let certificate = signers::file("certificate", &body.value.certificate)?;
    let intermediate = body.value.intermediate.as_ref().map(|text| signers::file("intermediate", text)).transpose()?;
    let identity = Identity::from_pem(&certificate, &key, None, &intermediate.unwrap_or_default());
    let identity = identity.map_err(|fault| Problem::field("certificate", fault.to_string()))?;
    identity.check_valid_at(now.as_seconds()).map_err(|fault| Problem::field("certificate", fault.to_string()))?;

    let mut change = config::change(&app, &can);
    let (signer, revision) = match renews(&catalog, &request.value, &identity) {
        Some(held) => (signers::renewed(&app, can.org, &held.value, &identity, now)?, held.revision),
        None => {
            let signer = signers::stored(&app, can.org, id, &identity, now)?;
            change.names.push((NameKind::PassType, signer.pass_type.as_bytes().to_vec(), id.uuid()));
            (signer, 0)
        }
    };
    let write = app.store.config_write(&change, &signer, revision, false)?;
    let answered = app.store.config_write(&config::change(&app, &can), &*request.value, request.revision, true)?;
    let view = signers::View::of(&signer, now);
    let shown = match revision {
        0 => Shown::new(format!("/v1/signers/{}", signer.id), view),
        _ => Shown::at(revision + 1, view),
    };
    once.write(&app, &can, &body.bytes, write.and(answered), shown).await
}

/// The signer that an answer renews: the one that was named, as long as it is there, else that of the pass type.
fn renews<'a>(catalog: &'a OrgCatalog, request: &StoredSigningRequest, identity: &Identity) -> Option<&'a Stored<StoredSigner>> {
    let named = request.signer.and_then(|signer| catalog.signers.get(&signer.uuid()));
    named.or_else(|| catalog.signer_of(identity.pass_type_identifier()))
}
