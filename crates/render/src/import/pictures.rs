//! The images of a pass: taken as they are where they are PNG, else made of what there is.

use std::collections::BTreeMap;

use domain::{ImageRole, is_language};
use pkpass::Package;
use pkpass::model::PERSONALIZATION_FILE;

use super::{Notes, Outcome};
use crate::{Picture, PictureFault, PictureUse, picture_set, ready_picture};

/// Most images that are unpacked: every role in every size, in four languages.
const MAX_IMAGES: usize = 120;
/// Files that every package has, and that become nothing.
const EXPECTED: [&str; 5] = ["pass.json", "manifest.json", "signature", "tooling.json", PERSONALIZATION_FILE];

/// An image of the pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedPicture {
    /// The language that it is for; nothing for all.
    pub language: Option<String>,
    /// What it is for.
    pub role: ImageRole,
    /// In which size.
    pub usage: PictureUse,
    /// The picture.
    pub picture: Picture,
}

/// Where a file stands in a design.
struct Slot {
    language: Option<String>,
    role: ImageRole,
    usage: PictureUse,
}

pub(super) fn read(package: &Package, notes: &mut Notes) -> Vec<ImportedPicture> {
    let mut taken: Vec<ImportedPicture> = Vec::new();
    for (path, bytes) in package.files() {
        let Some(Slot { language, role, usage }) = slot(path) else {
            if !EXPECTED.contains(&path) && !path.ends_with(".lproj/pass.strings") && !pkpass::is_junk(path) {
                notes.left_out(path, why_not(path));
            }
            continue;
        };
        if taken.len() == MAX_IMAGES {
            notes.left_out(path, format!("at most {MAX_IMAGES} images are taken over"));
            continue;
        }
        match ready_picture(bytes) {
            Ok(picture) => taken.push(ImportedPicture { language, role, usage, picture }),
            Err(PictureFault::NotPng(_) | PictureFault::TooManyPixels { .. }) => match made(role, usage, bytes) {
                Some(picture) => {
                    notes.say(path, Outcome::Changed, "scaled to its slot and written as PNG");
                    taken.push(ImportedPicture { language, role, usage, picture });
                }
                None => notes.left_out(path, "it cannot be unpacked, or has far too many pixels"),
            },
            Err(fault) => notes.left_out(path, fault.to_string()),
        }
    }
    complete_icon(&mut taken, notes);
    taken
}

/// One size of a picture that is not as it should be.
fn made(role: ImageRole, usage: PictureUse, bytes: &[u8]) -> Option<Picture> {
    let set = picture_set(role, bytes).ok()?;
    set.pictures.into_iter().find(|(made, _)| *made == usage).map(|(_, picture)| picture)
}

/// A design needs its icon at two pixels a point.
fn complete_icon(taken: &mut Vec<ImportedPicture>, notes: &mut Notes) {
    let mut icons: BTreeMap<u32, &ImportedPicture> = BTreeMap::new();
    for icon in taken.iter().filter(|it| it.role == ImageRole::Icon && it.language.is_none()) {
        if icon.usage == PictureUse::X2 {
            return;
        }
        icons.insert(icon.picture.width, icon);
    }
    let largest = icons.into_values().last();
    if let Some(picture) = largest.and_then(|icon| made(ImageRole::Icon, PictureUse::X2, &icon.picture.bytes)) {
        notes.say("icon@2x.png", Outcome::Changed, "it was missing, and is made of the icon that there is");
        taken.push(ImportedPicture { language: None, role: ImageRole::Icon, usage: PictureUse::X2, picture });
    }
}

fn slot(path: &str) -> Option<Slot> {
    let (language, name) = match path.split_once(".lproj/") {
        Some((tag, name)) => (Some(tag.replace('_', "-")).filter(|tag| is_language(tag)).map(Some)?, name),
        None => (None, path),
    };
    let stem = name.strip_suffix(".png")?;
    let (stem, usage) = match stem.rsplit_once('@') {
        Some((stem, "2x")) => (stem, PictureUse::X2),
        Some((stem, "3x")) => (stem, PictureUse::X3),
        _ => (stem, PictureUse::X1),
    };
    let role = ImageRole::ALL.into_iter().find(|role| role.name() == stem)?;
    Some(Slot { language, role, usage })
}

fn why_not(path: &str) -> &'static str {
    if path.to_lowercase().ends_with(".pdf") {
        "images are taken over as PNG: export it as one"
    } else if path.to_lowercase().ends_with(".png") {
        "no wallet shows an image of this name"
    } else {
        "a design has no place for it"
    }
}
