//! Images: which there must be, which the style shows, and how large they may be.

use serde_json::Value;

use super::{File, Report};
use crate::model::{PERSONALIZATION_FILE, PersonalField, Personalization};
use crate::path;

/// A place for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSlot {
    /// File name without scale and extension.
    pub name: &'static str,
    /// Width in points: exactly this, or at most.
    pub width: u32,
    /// Height in points: exactly this, or at most.
    pub height: u32,
    /// Whether the image fills the slot; else it is fitted in.
    pub is_exact: bool,
}

const fn slot_of(name: &'static str, width: u32, height: u32, is_exact: bool) -> ImageSlot {
    ImageSlot { name, width, height, is_exact }
}

/// Apple's places for images, as its own pass builder checks them.
pub const IMAGE_SLOTS: &[ImageSlot] = &[
    slot_of("artwork", 358, 448, true),
    slot_of("background", 345, 505, true),
    slot_of("footer", 286, 15, false),
    slot_of("icon", 38, 38, true),
    slot_of("logo", 160, 50, false),
    slot_of("personalizationLogo", 150, 40, false),
    slot_of("primaryLogo", 126, 30, false),
    slot_of("secondaryLogo", 135, 12, false),
    slot_of("strip", 375, 144, true),
    slot_of("thumbnail", 90, 90, true),
];

/// Slots that each style shows besides icon and logo.
const SHOWN: &[(&str, &[&str])] = &[
    ("boardingPass", &["footer"]),
    ("coupon", &["strip"]),
    ("eventTicket", &["strip", "background", "thumbnail", "artwork", "primaryLogo", "secondaryLogo"]),
    ("generic", &["thumbnail", "artwork", "background", "primaryLogo", "secondaryLogo"]),
    ("storeCard", &["strip"]),
];

const SIDES: [&str; 2] = ["icon", "logo"];

/// Slot and scale of an image's path; another file has a slot that is none.
pub(super) fn slot(path: &str) -> (&str, u32) {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.strip_suffix(".png").unwrap_or("");
    match stem.rsplit_once('@') {
        Some((stem, "2x")) => (stem, 2),
        Some((stem, "3x")) => (stem, 3),
        _ => (stem, 1),
    }
}

pub(super) fn check(report: &mut Report, pass: &Value, files: &[File<'_>]) {
    check_icon(report, files);
    let shown = SHOWN.iter().find(|(style, _)| pass.get(*style).is_some());
    for file in files {
        if path::is_junk(file.path) {
            report.advice(
                file.path,
                "junk_file",
                "every phone fetches a leftover of the file manager",
                "leave it out when packing",
            );
        }
        let (name, scale) = slot(file.path);
        let Some(ImageSlot { width, height, is_exact, .. }) = IMAGE_SLOTS.iter().find(|slot| slot.name == name) else { continue };
        if let Some((style, slots)) = shown
            && !SIDES.contains(&name)
            && name != "personalizationLogo"
            && !slots.contains(&name)
        {
            report.lost(
                file.path,
                "image_not_shown",
                format!("passes of the style {style} have no {name}"),
                "leave the file out, or choose another style",
            );
        }
        if let Some(size) = file.size
            && (size.width > width * scale || size.height > height * scale)
        {
            report.lost(
                file.path,
                "image_too_large",
                "the image is scaled down or cut",
                format!(
                    "it has {} by {} pixels; scale it to at most {} by {}",
                    size.width,
                    size.height,
                    width * scale,
                    height * scale
                ),
            );
        } else if let Some(size) = file.size
            && *is_exact
            && (size.width != width * scale || size.height != height * scale)
        {
            report.advice(
                file.path,
                "image_size",
                format!("the image has {} by {} pixels and is scaled up", size.width, size.height),
                format!("make it {} by {} pixels", width * scale, height * scale),
            );
        }
    }
    check_ticket(report, pass, files);
    if let Some(file) = files.iter().find(|file| file.path == PERSONALIZATION_FILE) {
        check_personalization(report, pass, file.data);
    }
}

fn check_personalization(report: &mut Report, pass: &Value, json: &[u8]) {
    if pass["nfc"].is_null() {
        report.refused(PERSONALIZATION_FILE, "personalization_without_nfc", "add `nfc`, or leave the file out");
        return;
    }
    let mut faulty = |mend: String| {
        report.lost(PERSONALIZATION_FILE, "personalization_form", "the phone does not ask the holder to sign up", mend);
    };
    match serde_json::from_slice::<Personalization>(&crate::json::forgive(json)) {
        Err(fault) => faulty(format!("give `requiredPersonalizationFields` and `description`: {fault}")),
        Ok(form) => {
            let unknown = |field: &&PersonalField| matches!(field, PersonalField::Other(_));
            if form.required_personalization_fields.is_empty() || form.description.trim().is_empty() {
                faulty("ask for at least one field and describe the programme".to_owned());
            } else if let Some(field) = form.required_personalization_fields.iter().find(unknown) {
                faulty(format!("`{}` is none of {}", field.as_str(), PersonalField::KNOWN.join(", ")));
            }
        }
    }
}

fn check_icon(report: &mut Report, files: &[File<'_>]) {
    let has = |scale| files.iter().any(|file| !file.path.contains('/') && slot(file.path) == ("icon", scale));
    if ![1, 2, 3].into_iter().any(has) {
        report.refused("icon.png", "icon_missing", "add `icon@2x.png` (76 by 76 pixels) and `icon@3x.png` (114 by 114)");
        return;
    }
    for (scale, path) in [(2, "icon@2x.png"), (3, "icon@3x.png")] {
        if !has(scale) {
            report.advice(
                path,
                "icon_scale",
                "the icon is blurred on some phones",
                format!("add it at {} by {} pixels", 38 * scale, 38 * scale),
            );
        }
    }
}

fn check_ticket(report: &mut Report, pass: &Value, files: &[File<'_>]) {
    let find = |name: &str| files.iter().find(|file| slot(file.path).0 == name);
    if pass.get("eventTicket").is_some()
        && find("strip").is_some()
        && let Some(other) = find("background").or_else(|| find("thumbnail"))
    {
        report.lost(other.path, "strip_and_background", "only the strip is shown", "give a strip, or background and thumbnail");
    }
}
