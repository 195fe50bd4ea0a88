//! `/v1/images`: pictures of designs, PNG, kept under their SHA-256. `/images/...` gives them to wallets and pages.
//! `super::image_sets` makes all that a role needs of one upload.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    extract::{FromRequest, Request, State},
    response::{IntoResponse, Response},
    routing,
};
use bytes::Bytes;
use domain::OrgId;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, Shown},
    once::Made,
};
use crate::{
    App, PathParam, Problem,
    auth::{Can, scope},
    extract::read_body,
};

/// Images never change under their name.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(get))
}

/// The addresses that need no key.
pub(crate) fn public_routes() -> Router<Arc<App>> {
    Router::new().route("/images/{org}/{file}", routing::get(show))
}

/// The address of an image for wallets and pages.
pub(crate) fn url(app: &App, org: OrgId, sha256: &str) -> String {
    app.url(&format!("/images/{org}/{sha256}.png"))
}

/// An uploaded image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Image)]
pub(crate) struct View {
    /// SHA-256 of its bytes in lower-case hex: its name in designs.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    /// Where wallets and pages get it.
    url: String,
    /// Width in pixels.
    width: u32,
    /// Height in pixels.
    height: u32,
    /// Its length.
    bytes: u64,
}

impl View {
    pub(crate) fn of(app: &App, org: OrgId, hash: [u8; 32], bytes: &[u8]) -> Result<Self, Problem> {
        let [width, height] = render::picture_size(bytes).map_err(|fault| Problem::Internal(format!("a kept image: {fault}")))?;
        let sha256 = hex(hash);
        Ok(Self { url: url(app, org, &sha256), sha256, width, height, bytes: bytes.len() as u64 })
    }
}

/// What says that it is a PNG, read whole within its limit.
struct Png(Bytes);

impl FromRequest<Arc<App>> for Png {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !declared.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("image/png") {
            return Err(Problem::MediaType("image/png"));
        }
        Ok(Self(read_body(request, app.settings.image_bytes).await?))
    }
}

/// Upload an image.
///
/// The body is a PNG that was made for its place, at most 4 MiB and 4 million pixels; `POST /v1/image-sets/{role}` makes
/// every size of one picture. Its pixels are kept as they are; text, EXIF and whatever else stands beside them is left out
/// before it is hashed. The same picture again is the same image.
#[utoipa::path(post, path = "/v1/images", tag = "Images", security(("key" = ["config_write"])),
    request_body(content = Vec<u8>, content_type = "image/png", description = "The PNG."),
    responses((status = 201, body = View, description = "Kept.")))]
async fn upload(can: Can<scope::ConfigWrite>, State(app): State<Arc<App>>, once: Once, Png(bytes): Png) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &bytes).await? {
        return Ok(made);
    }
    let given = bytes.clone();
    let picture = app.packages.draw(move || render::ready_picture(&given)).await?;
    let picture = picture.map_err(|fault| Problem::field("", fault.to_string()))?;
    let (hash, write) = app.store.blob_write(&config::change(&app, &can), "image/png", picture.bytes.clone())?;
    let view = View::of(&app, can.org, hash, &picture.bytes)?;
    let shown = Shown::new(format!("/v1/images/{}", view.sha256), view);
    once.write(&app, &can, &bytes, write, shown).await
}

/// Read about an image.
#[utoipa::path(get, path = "/v1/images/{sha256}", tag = "Images", security(("key" = ["config_read"])),
    params(("sha256" = String, Path, description = "Its SHA-256 in hex.", pattern = "^[0-9a-fA-F]{64}$")),
    responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(sha256): PathParam<String>,
) -> Result<Shown<View>, Problem> {
    let hash = parse_hash(&sha256).ok_or_else(|| Problem::no_such("image"))?;
    let blob = app.store.backend().blob(can.org, hash).await?.filter(is_image).ok_or_else(|| Problem::no_such("image"))?;
    Ok(Shown::at(1, View::of(&app, can.org, hash, &blob.bytes)?))
}

/// `/images/{org}/{sha256}.png`.
async fn show(
    State(app): State<Arc<App>>,
    PathParam((org, file)): PathParam<(OrgId, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let hash = file.strip_suffix(".png").and_then(parse_hash).ok_or_else(|| Problem::no_such("image"))?;
    let etag = format!("\"{}\"", hex(hash));
    let cached = [(header::CACHE_CONTROL, FOR_EVER.to_owned()), (header::ETAG, etag.clone())];
    let seen = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if seen.is_some_and(|seen| seen.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)) {
        return Ok((StatusCode::NOT_MODIFIED, cached).into_response());
    }
    let blob = app.store.backend().blob(org, hash).await?.filter(is_image).ok_or_else(|| Problem::no_such("image"))?;
    Ok((cached, [(header::CONTENT_TYPE, blob.media_type)], blob.bytes).into_response())
}

/// Other files lie beside the images.
pub(crate) fn is_image(blob: &store::BlobRow) -> bool {
    blob.media_type.starts_with("image/")
}

/// 64 hex digits.
pub(crate) fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(hash)
}

pub(crate) fn hex(hash: [u8; 32]) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
