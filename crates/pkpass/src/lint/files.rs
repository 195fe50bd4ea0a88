//! Images: which there must be, which the style shows, and how large they may be.

use serde_json::Value;

use super::{File, Report};
use crate::path;

/// Width and height in points that a slot takes at most.
const SLOTS: &[(&str, u32, u32)] = &[
    ("artwork", 358, 448),
    ("background", 345, 505),
    ("footer", 286, 15),
    ("icon", 38, 38),
    ("logo", 160, 50),
    ("personalizationLogo", 150, 40),
    ("primaryLogo", 126, 30),
    ("secondaryLogo", 135, 12),
    ("strip", 375, 144),
    ("thumbnail", 90, 90),
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
    let shown = SHOWN.iter().find(|(style, _)| pass.get(style).is_some());
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
        let Some((_, width, height)) = SLOTS.iter().find(|(known, ..)| *known == name) else { continue };
        if let Some((style, slots)) = shown
            && !SIDES.contains(&name)
            && name != "personalizationLogo"
            && !slots.contains(&name)
        {
            report.lost(
                file.path,
                "image_not_shown",
                format!("a {style} has no {name}"),
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
        }
    }
    check_ticket(report, pass, files);
    let personal = files.iter().any(|file| file.path == "personalization.json");
    if personal && pass["nfc"].is_null() {
        report.refused("personalization.json", "personalization_without_nfc", "add `nfc`, or leave the file out");
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
