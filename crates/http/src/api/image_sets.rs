//! `/v1/image-sets/{role}`: one picture in, every size that the wallets need of it out.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use bytes::Bytes;
use domain::{ImageRole, ImageSet, OrgId};
use http::header;
use render::{PictureNote, PictureSet};
use serde::Serialize;
use store::ConfigWrite;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, Shown},
    images,
    once::Made,
    schema_design,
};
use crate::{
    App, PathParam, Problem,
    auth::{Caller, Can, scope},
    extract::read_body,
};

/// What a picture may be announced as; what it is, its bytes say.
const TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "application/octet-stream"];

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(make))
}

/// Every size of one picture.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadedImageSet)]
struct View {
    /// What it is for.
    #[schema(value_type = schema_design::ImageRole)]
    role: ImageRole,
    /// What to give as `images.<role>` of a design.
    #[schema(value_type = schema_design::ImageSet)]
    set: ImageSet,
    /// The picture that was sent.
    source: Source,
    /// The images that were made of it.
    images: Vec<SizeView>,
    /// What was enlarged, left out or cut, and what makes it better.
    notes: Vec<NoteView>,
}

/// A picture as it was sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImageSource)]
struct Source {
    /// `png`, `jpeg` or `webp`, whatever it was announced as.
    format: &'static str,
    /// Width in pixels, upright.
    width: u32,
    /// Height in pixels, upright.
    height: u32,
}

/// An image and what it is for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SizedImage)]
struct SizeView {
    /// `x1`, `x2`, `x3` or `google`.
    size: &'static str,
    #[serde(flatten)]
    image: images::View,
}

/// Something to know about a size.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImageNote)]
pub(crate) struct NoteView {
    /// `x1`, `x2`, `x3` or `google`; `x1` stands for all of Apple's where their shape is meant.
    size: &'static str,
    /// `enlarged`, `left_out`, `small_for_google`, `cut` or `bars`.
    rule: &'static str,
    /// What was done.
    effect: String,
    /// What makes it better.
    mend: String,
}

impl From<PictureNote> for NoteView {
    fn from(note: PictureNote) -> Self {
        Self { size: note.size.key(), rule: note.rule, effect: note.effect, mend: note.mend }
    }
}

/// A picture that was read whole, within its limit.
struct Upload(Bytes);

impl FromRequest<Arc<App>> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Problem> {
        let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let declared = declared.split(';').next().unwrap_or_default().trim();
        if !TYPES.iter().any(|known| declared.eq_ignore_ascii_case(known)) {
            return Err(Problem::MediaType("image/png, image/jpeg or image/webp"));
        }
        Ok(Self(read_body(request, render::MAX_PICTURE_BYTES).await?))
    }
}

/// Upload a picture for a role.
///
/// The body is one PNG, JPEG or WebP of at most 10 MiB and 16 million pixels. It becomes Apple's sizes at one, two and three
/// pixels a point, and what Google shows of the role, each an image of its own: give `set` as `images.<role>` of a design.
/// Photos are turned upright, colours brought to sRGB, and nothing is kept beside the pixels. Where the picture is too small
/// or of another shape, `notes` says what was done about it. Use `background` at least 1035 by 1515 pixels, `artwork` 1074 by
/// 1344, `strip` 1125 by 432, `thumbnail` 270 by 270, `icon` 660 by 660, `logo` 1280 by 400, `footer` 858 by 45,
/// `primary_logo` 378 by 90, `secondary_logo` 405 by 36, `personalization_logo` 450 by 120.
#[utoipa::path(post, path = "/v1/image-sets/{role}", tag = "Images", security(("key" = ["config_write"])),
    params(("role" = schema_design::ImageRole, Path, description = "What it is for.")),
    request_body(description = "The picture.", content(
        (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 201, body = View, description = "Kept.")))]
async fn make(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(role): PathParam<ImageRole>,
    once: Once,
    Upload(bytes): Upload,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &bytes).await? {
        return Ok(made);
    }
    let given = bytes.clone();
    let made = app.packages.draw(move || render::picture_set(role, &given)).await?;
    let made = made.map_err(|fault| Problem::field(format!("images.{}", role.key()), fault.to_string()))?;
    let source = Source { format: made.format.name(), width: made.source[0], height: made.source[1] };
    let Kept { set, images, notes, write } = keep(&app, &can, made)?;
    let view = View { role, set, source, images, notes };
    once.write(&app, &can, &bytes, write, Shown::made(view)).await
}

/// Sizes of a picture, and the rows that keep them.
struct Kept {
    set: ImageSet,
    images: Vec<SizeView>,
    notes: Vec<NoteView>,
    write: ConfigWrite,
}

fn keep(app: &App, caller: &Caller, made: PictureSet) -> Result<Kept, Problem> {
    let org: OrgId = caller.org;
    let change = config::change(app, caller);
    let mut kept = Kept {
        set: ImageSet::default(),
        images: Vec::new(),
        notes: made.notes.into_iter().map(NoteView::from).collect(),
        write: ConfigWrite::default(),
    };
    let mut seen = Vec::new();
    for (usage, picture) in made.pictures {
        let (hash, write) = app.store.blob_write(&change, "image/png", picture.bytes.clone())?;
        // two sizes may come out the same
        if !seen.contains(&hash) {
            seen.push(hash);
            kept.write = kept.write.and(write);
        }
        usage.set(&mut kept.set, images::hex(hash));
        kept.images.push(SizeView { size: usage.key(), image: images::View::of(app, org, hash, &picture.bytes)? });
    }
    Ok(kept)
}
