//! `/v1/signers`: Apple pass type certificates with their keys. Keys are sealed and never shown again.

use std::sync::Arc;

use axum::{Json, extract::State};
use base64::Engine as _;
use domain::{SignerId, Timestamp};
use http::StatusCode;
use pkpass::Identity;
use serde::{Deserialize, Serialize};
use store::{NameKind, Stored, StoredSigner};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    once::Made,
    page::{Page, Paging},
    schema::{IdText, TimeText},
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, replace, delete))
}

/// A pass type certificate with its key: either `p12`, or `certificate` and `private_key`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignerInput {
    /// A `.p12` with certificate and key, as Keychain Access exports it, in base64.
    #[schema(value_type = Option<String>)]
    p12: Option<Zeroizing<String>>,
    /// The password of the `.p12`, or of an encrypted PEM key.
    #[schema(value_type = Option<String>)]
    password: Option<Zeroizing<String>>,
    /// The certificate, PEM.
    certificate: Option<String>,
    /// Its private key, PEM.
    #[schema(value_type = Option<String>)]
    private_key: Option<Zeroizing<String>>,
    /// The intermediate certificate, PEM (for Apple: WWDR G4); may be left out when the `.p12` holds it.
    intermediate: Option<String>,
}

/// An Apple signer, without its key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Signer)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: SignerId,
    /// The pass type identifier that it signs for.
    #[schema(examples("pass.com.example.loyalty"))]
    pass_type: String,
    /// The team that it belongs to.
    team: String,
    /// Leaf and intermediate, PEM.
    certificates: String,
    /// End of the leaf's validity: replace it before then.
    #[schema(value_type = TimeText)]
    expires_at: Timestamp,
    /// Whether that has passed.
    expired: bool,
    /// When it was added.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl View {
    fn of(signer: &StoredSigner, now: Timestamp) -> Self {
        Self {
            id: signer.id,
            pass_type: signer.pass_type.clone(),
            team: signer.team.clone(),
            certificates: signer.certificates.clone(),
            expires_at: signer.not_after,
            expired: signer.not_after <= now,
            created_at: signer.created_at,
        }
    }
}

impl SignerInput {
    fn identity(&self, now: Timestamp) -> Result<Identity, Problem> {
        let password = self.password.as_ref().map(|password| password.as_str());
        let identity = match (&self.p12, &self.certificate, &self.private_key) {
            (Some(p12), None, None) => {
                let compact: Zeroizing<String> = p12.split_ascii_whitespace().collect::<String>().into();
                let bytes = base64::engine::general_purpose::STANDARD.decode(compact.as_bytes());
                let bytes = Zeroizing::new(bytes.map_err(|_| Problem::field("p12", "not base64"))?);
                let intermediate = self.intermediate.as_ref().map(|pem| pem.as_bytes());
                Identity::from_p12(&bytes, password.unwrap_or_default(), intermediate)
                    .map_err(|fault| Problem::field("p12", fault.to_string()))
            }
            (None, Some(certificate), Some(key)) => {
                let missing =
                    || Problem::field("intermediate", "missing: give the certificate that issued yours (Apple: WWDR G4)");
                let intermediate = self.intermediate.as_ref().ok_or_else(missing)?;
                Identity::from_pem(certificate.as_bytes(), key.as_bytes(), password, intermediate.as_bytes())
                    .map_err(|fault| Problem::field("certificate", fault.to_string()))
            }
            _ => Err(Problem::field("", "give either `p12`, or `certificate` and `private_key`")),
        }?;
        identity.check_valid_at(now.as_seconds()).map_err(|fault| Problem::field("certificate", fault.to_string()))?;
        Ok(identity)
    }
}

fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    let mut text = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    for line in body.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn stored(
    app: &App,
    org: domain::OrgId,
    id: SignerId,
    identity: &Identity,
    created_at: Timestamp,
) -> Result<StoredSigner, Problem> {
    let key = pem("PRIVATE KEY", &identity.private_key_der());
    let certificates = identity.chain_der().map(|der| pem("CERTIFICATE", der).to_string()).concat();
    Ok(StoredSigner {
        id,
        pass_type: identity.pass_type_identifier().to_owned(),
        team: identity.team_identifier().to_owned(),
        certificates,
        not_after: Timestamp::from_seconds(identity.not_after()),
        sealed_key: app.store.seal_for::<StoredSigner>(org, id.uuid(), key.as_bytes())?,
        created_at,
    })
}

/// Add a signer.
///
/// Its pass type belongs to this organization from then on; a pass type that another one has answers 409.
#[utoipa::path(post, path = "/v1/signers", tag = "Signers", security(("key" = ["config_write"])),
    request_body = SignerInput, responses((status = 201, body = View, description = "Added.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<SignerInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let now = app.now();
    let identity = body.value.identity(now)?;
    let signer = stored(&app, can.org, SignerId::mint(now, &*app.entropy), &identity, now)?;
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::PassType, signer.pass_type.as_bytes().to_vec(), signer.id.uuid()));
    let write = app.store.config_write(&change, &signer, 0, false)?;
    let shown = Shown::new(format!("/v1/signers/{}", signer.id), View::of(&signer, now));
    once.write(&app, &can, &body.bytes, write, shown).await
}

/// List signers.
#[utoipa::path(get, path = "/v1/signers", tag = "Signers", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    let now = app.now();
    Ok(Json(paging.of(&config::org(&app, can.org)?.signers, |stored| View::of(&stored.value, now))))
}

/// Read a signer.
#[utoipa::path(get, path = "/v1/signers/{signer}", tag = "Signers", security(("key" = ["config_read"])),
    params(("signer" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.signers, id.uuid(), "signer")?;
    Ok(Shown::at(stored.revision, View::of(&stored.value, app.now())))
}

/// Replace a signer's certificate and key.
///
/// For the renewal before a certificate ends; the pass type stays the same.
#[utoipa::path(put, path = "/v1/signers/{signer}", tag = "Signers", security(("key" = ["config_write"])),
    params(("signer" = IdText, Path, description = "Its id.")),
    request_body = SignerInput, responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
    if_match: IfMatch,
    body: Body<SignerInput>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let held: &Stored<StoredSigner> = config::one(&catalog.signers, id.uuid(), "signer")?;
    let now = app.now();
    let identity = body.value.identity(now)?;
    if identity.pass_type_identifier() != held.value.pass_type {
        let message = format!("is for {}, not for {}", identity.pass_type_identifier(), held.value.pass_type);
        return Err(Problem::field("certificate", message));
    }
    let signer = stored(&app, can.org, id, &identity, held.value.created_at)?;
    if_match.check(held.revision)?;
    config::put(&app, &config::change(&app, &can), &signer, held.revision).await?;
    Ok(Shown::at(held.revision + 1, View::of(&signer, now)))
}

/// Remove a signer that no project uses.
#[utoipa::path(delete, path = "/v1/signers/{signer}", tag = "Signers", security(("key" = ["config_write"])),
    params(("signer" = IdText, Path, description = "Its id.")), responses((status = 204, description = "Removed.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.signers, id.uuid(), "signer")?;
    if_match.check(stored.revision)?;
    let pass_type = &stored.value.pass_type;
    if let Some(user) = catalog.projects.values().find(|it| it.value.apple_pass_type.as_ref() == Some(pass_type)) {
        return Err(Problem::Conflict { code: "in_use", detail: format!("the project {} uses it", user.value.slug) });
    }
    let mut change = config::change(&app, &can);
    change.removed_names.push((NameKind::PassType, pass_type.as_bytes()));
    config::remove(&app, &change, stored).await
}
