//! `/v1/signers`: Apple pass type certificates with their keys. Keys are sealed and never shown again.

use std::sync::Arc;

use axum::{Json, extract::State};
use base64::Engine as _;
use domain::{Project, SignerId, Timestamp};
use http::StatusCode;
use pkpass::{Certificate, Identity};
use serde::{Deserialize, Serialize};
use store::{Catalog, Ending, NameKind, PreviousSigner, Stored, StoredSigner};
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
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Can, scope},
    restated::Restated,
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, replace, delete)).routes(routes!(roll_back))
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
    /// The certificate: PEM, or Apple's `.cer` in base64.
    certificate: Option<String>,
    /// Its private key, PEM.
    #[schema(value_type = Option<String>)]
    private_key: Option<Zeroizing<String>>,
    /// The intermediate certificate, PEM or base64; may be left out when the `.p12` holds it, or when it is Apple's WWDR G4.
    intermediate: Option<String>,
}

/// An Apple signer, without its key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Signer)]
pub(super) struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: SignerId,
    /// The pass type identifier that it signs for.
    #[schema(examples("pass.com.example.loyalty"))]
    pass_type: String,
    /// The team that it belongs to.
    team: String,
    /// Leaf and intermediate, PEM. This certificate signs every package and is the client's at APNs.
    certificates: String,
    /// The leaf's serial number, as Apple's developer portal shows it.
    #[schema(examples("5D1E8A0C3B7F2964"))]
    serial: String,
    /// End of the leaf's validity: renew it before then.
    #[schema(value_type = TimeText)]
    expires_at: Timestamp,
    /// Whether that has passed.
    expired: bool,
    /// Whole days until then; negative when it has passed.
    expires_in_days: i64,
    /// How near the end is, when it is: `within_90_days`, `within_30_days`, `within_7_days` or `past`.
    warning: Option<&'static str>,
    /// The certificate before this one, while it is valid; a rollback takes it again.
    previous: Option<PreviousView>,
    /// When it was added.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

/// The certificate that was in force before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreviousSigner)]
struct PreviousView {
    /// The leaf's serial number.
    serial: String,
    /// End of its validity.
    #[schema(value_type = TimeText)]
    expires_at: Timestamp,
    /// When another one took its place.
    #[schema(value_type = TimeText)]
    replaced_at: Timestamp,
}

impl View {
    pub(super) fn of(signer: &StoredSigner, now: Timestamp) -> Self {
        let previous = signer.previous.as_ref().filter(|previous| previous.not_after > now);
        Self {
            id: signer.id,
            pass_type: signer.pass_type.clone(),
            team: signer.team.clone(),
            certificates: signer.certificates.clone(),
            serial: serial(&signer.certificates),
            expires_at: signer.not_after,
            expired: signer.not_after <= now,
            expires_in_days: signer.not_after.as_seconds().saturating_sub(now.as_seconds()).div_euclid(SECONDS_A_DAY),
            warning: Ending::of(signer.not_after, now).map(Ending::name),
            previous: previous.map(|previous| PreviousView {
                serial: serial(&previous.certificates),
                expires_at: previous.not_after,
                replaced_at: previous.replaced_at,
            }),
            created_at: signer.created_at,
        }
    }
}

/// The serial number of the first certificate of a PEM text.
fn serial(certificates: &str) -> String {
    let leaf = pkpass::certificates(certificates.as_bytes()).ok().and_then(|all| all.into_iter().next());
    leaf.and_then(|der| Certificate::from_der(&der).ok()).map(|leaf| leaf.serial()).unwrap_or_default()
}

const SECONDS_A_DAY: i64 = 86_400;

impl SignerInput {
    fn identity(&self, now: Timestamp) -> Result<Identity, Problem> {
        let password = self.password.as_ref().map(|password| password.as_str());
        let identity = match (&self.p12, &self.certificate, &self.private_key) {
            (Some(p12), None, None) => {
                let compact: Zeroizing<String> = p12.split_ascii_whitespace().collect::<String>().into();
                let bytes = base64::engine::general_purpose::STANDARD.decode(compact.as_bytes());
                let bytes = Zeroizing::new(bytes.map_err(|_| Problem::field("p12", "not base64"))?);
                let intermediate = self.intermediate.as_ref().map(|text| file("intermediate", text)).transpose()?;
                Identity::from_p12(&bytes, password.unwrap_or_default(), intermediate.as_deref())
                    .map_err(|fault| Problem::field("p12", fault.to_string()))
            }
            (None, Some(certificate), Some(key)) => {
                let leaf = file("certificate", certificate)?;
                let intermediate = self.intermediate.as_ref().map(|text| file("intermediate", text)).transpose()?;
                Identity::from_pem(&leaf, key.as_bytes(), password, &intermediate.unwrap_or_default())
                    .map_err(|fault| Problem::field("certificate", fault.to_string()))
            }
            _ => Err(Problem::field("", "give either `p12`, or `certificate` and `private_key`")),
        }?;
        identity.check_valid_at(now.as_seconds()).map_err(|fault| Problem::field("certificate", fault.to_string()))?;
        Ok(identity)
    }
}

/// A certificate file as it stands in a body: PEM as it is, DER in base64.
pub(super) fn file(path: &'static str, text: &str) -> Result<Vec<u8>, Problem> {
    if text.contains("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    let compact: String = text.split_ascii_whitespace().collect();
    let neither =
        |_| Problem::field(path, "neither PEM nor base64: give the text of a PEM file, or the bytes of a .cer in base64");
    base64::engine::general_purpose::STANDARD.decode(compact).map_err(neither)
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

/// A new signer.
pub(super) fn stored(
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
        previous: None,
        told: None,
        created_at,
    })
}

/// A signer with another certificate of the same pass type and team. From the commit on this one signs and pushes; passes that
/// are installed stay as they are, for neither their tokens nor their topic come from a certificate. The one before is kept
/// as long as it is valid.
pub(super) fn renewed(
    app: &App,
    org: domain::OrgId,
    held: &StoredSigner,
    identity: &Identity,
    now: Timestamp,
) -> Result<StoredSigner, Problem> {
    for (what, new, old) in
        [("pass type", identity.pass_type_identifier(), &held.pass_type), ("team", identity.team_identifier(), &held.team)]
    {
        if new != old {
            let message = format!("is for the {what} {new}, and this signer for {old}: phones would lose their passes");
            return Err(Problem::field("certificate", message));
        }
    }
    let signer = stored(app, org, held.id, identity, held.created_at)?;
    let previous = if signer.certificates == held.certificates { held.previous.clone() } else { Some(replaced(held, now)) };
    Ok(StoredSigner { previous: previous.filter(|previous| previous.not_after > now), ..signer })
}

/// What a signer has now, as what it had.
fn replaced(held: &StoredSigner, now: Timestamp) -> PreviousSigner {
    PreviousSigner {
        certificates: held.certificates.clone(),
        not_after: held.not_after,
        sealed_key: held.sealed_key.clone(),
        replaced_at: now,
    }
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
/// For the renewal before a certificate ends; pass type and team stay the same. The new certificate signs and pushes from now
/// on, installed passes go on as they are. The one before is kept while it is valid, to push with where APNs refuses the new
/// one, and to go back to.
#[utoipa::path(put, path = "/v1/signers/{signer}", tag = "Signers", security(("key" = ["config_write"])),
    params(("signer" = IdText, Path, description = "Its id."), IfMatch),
    request_body = SignerInput, responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
    if_match: IfMatch,
    body: Restated<SignerInput, View>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let held: &Stored<StoredSigner> = config::one(&catalog.signers, id.uuid(), "signer")?;
    if_match.check(held.revision)?;
    let now = app.now();
    let signer = renewed(&app, can.org, &held.value, &body.value.identity(now)?, now)?;
    config::put(&app, &config::change(&app, &can), &signer, held.revision).await?;
    Ok(Shown::at(held.revision + 1, View::of(&signer, now)))
}

/// Go back to the certificate before.
///
/// It signs and pushes again from now on; the other one is kept in its place. For when the new one turns out to lack something,
/// such as Apple's grant for NFC. 409 when there is none that is still valid.
#[utoipa::path(post, path = "/v1/signers/{signer}/rollback", tag = "Signers", security(("key" = ["config_write"])),
    params(("signer" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "As it is now.")))]
async fn roll_back(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
    once: Once,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, b"").await? {
        return Ok(made);
    }
    let catalog = config::org(&app, can.org)?;
    let held: &Stored<StoredSigner> = config::one(&catalog.signers, id.uuid(), "signer")?;
    let now = app.now();
    let previous = held.value.previous.clone().filter(|previous| previous.not_after > now);
    let previous = previous.ok_or_else(|| Problem::Conflict {
        code: Conflict::NotAllowed,
        detail: "there is no earlier certificate that is still valid: give another one with PUT".to_owned(),
    })?;
    let signer = StoredSigner {
        certificates: previous.certificates,
        not_after: previous.not_after,
        sealed_key: previous.sealed_key,
        previous: Some(replaced(&held.value, now)),
        ..(*held.value).clone()
    };
    let write = app.store.config_write(&config::change(&app, &can), &signer, held.revision, false)?;
    once.write(&app, &can, b"", write, Shown::at(held.revision + 1, View::of(&signer, now))).await
}

/// Remove a signer that no project uses.
#[utoipa::path(delete, path = "/v1/signers/{signer}", tag = "Signers", security(("key" = ["config_write"])),
    params(("signer" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Removed.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let (app, can) = (&app, &can);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let stored = config::one(&org.signers, id.uuid(), "signer")?;
        if_match.check(stored.revision)?;
        let pass_type = &stored.value.pass_type;
        if let Some(user) = org.projects.values().find(|it| it.value.apple_pass_type.as_ref() == Some(pass_type)) {
            return Err(Problem::Conflict { code: Conflict::InUse, detail: format!("the project {} uses it", user.value.slug) });
        }
        let mut change = config::change(app, can);
        change.removed_names.push((NameKind::PassType, pass_type.as_bytes()));
        let mut write = app.store.config_write(&change, &*stored.value, stored.revision, true)?;
        write.unchanged = vec![catalog.unchanged::<Project>(can.org)];
        config::write_unless_raced(app, write, StatusCode::NO_CONTENT).await
    })
    .await
}
