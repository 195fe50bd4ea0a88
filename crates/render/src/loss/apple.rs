//! What Apple Wallet leaves out, by system.

use domain::{BarcodeFormat, Design, DesignField, FieldPlace, ImageRole, ProjectKind, RelevantTime, RichStyle};
use pkpass::model::{BOARDING_LINKS, GUIDE_LINKS};

use super::{APPLE, BEFORE_18, BEFORE_26, BEFORE_27, Losses, System, WATCH, apple_shows};

/// Header fields that Apple shows.
const HEADER_FIELDS: usize = 3;
/// Secondary and auxiliary fields that Apple shows together on cards and coupons, and each on other styles.
const ROW_FIELDS: usize = 4;
/// Auxiliary fields that Apple shows on a boarding pass.
const BOARDING_AUXILIARY_FIELDS: usize = 5;

pub(super) fn check(kind: ProjectKind, design: &Design, losses: &mut Losses) {
    fields(kind, design, losses);
    images(kind, design, losses);
    look(design, losses);
    barcode(design, losses);
    newer_keys(design, losses);
    watch(design, losses);
}

pub(super) fn is_poster(design: &Design) -> bool {
    matches!(design.rich_style, Some(RichStyle::PosterEventTicket | RichStyle::PosterGeneric))
}

fn fields(kind: ProjectKind, design: &Design, losses: &mut Losses) {
    let boarding = matches!(kind, ProjectKind::BoardingPass | ProjectKind::Transit);
    let mut over = |places: &[FieldPlace], limit: usize, what: &str| {
        for (index, _) in placed(design, places).skip(limit) {
            let effect = format!("not shown: Apple Wallet shows at most {limit} {what} on this style");
            losses.add(APPLE, format!("fields.{index}"), effect);
        }
    };
    over(&[FieldPlace::Header], HEADER_FIELDS, "header fields");
    over(&[FieldPlace::Primary], if boarding { 2 } else { 1 }, "primary fields");
    let third = [FieldPlace::Auxiliary, FieldPlace::Footer];
    if matches!(kind, ProjectKind::Membership | ProjectKind::GiftCard | ProjectKind::Coupon) {
        let both = [FieldPlace::Secondary, FieldPlace::Auxiliary, FieldPlace::Footer];
        over(&both, ROW_FIELDS, "secondary and auxiliary fields together");
    } else {
        over(&[FieldPlace::Secondary], ROW_FIELDS, "secondary fields");
        over(&third, if boarding { BOARDING_AUXILIARY_FIELDS } else { ROW_FIELDS }, "auxiliary fields");
    }
    let poster_ticket = design.rich_style == Some(RichStyle::PosterEventTicket);
    for (index, _) in placed(design, &[FieldPlace::AdditionalInfo]) {
        let systems = if poster_ticket { BEFORE_18 } else { APPLE };
        losses.add(systems, format!("fields.{index}"), "shown on the back: only poster tickets have a place below them");
    }
    let poster = design.rich_style == Some(RichStyle::PosterGeneric);
    for (at, (index, _)) in placed(design, &[FieldPlace::Footer]).enumerate() {
        let path = format!("fields.{index}");
        losses.add(
            if poster { BEFORE_27 } else { APPLE },
            &path,
            "shown among the auxiliary fields: only generic posters have a foot",
        );
        if poster && at > 0 {
            losses.add(&[System::Ios27], path, "not shown: a poster shows one footer field");
        }
    }
}

fn placed<'a>(design: &'a Design, places: &'a [FieldPlace]) -> impl Iterator<Item = (usize, &'a DesignField)> {
    design.fields.iter().enumerate().filter(|(_, field)| places.contains(&field.place))
}

fn images(kind: ProjectKind, design: &Design, losses: &mut Losses) {
    for role in design.images.keys() {
        let path = format!("images.{}", role.key());
        if !apple_shows(kind, design, *role) {
            losses.add(APPLE, path, "not shown: this style has no such image, or another image takes its place");
        } else if matches!(role, ImageRole::Artwork | ImageRole::PrimaryLogo | ImageRole::SecondaryLogo) {
            let systems = if design.rich_style == Some(RichStyle::PosterGeneric) { BEFORE_27 } else { BEFORE_18 };
            losses.add(systems, path, "not shown: this system draws no posters");
        }
    }
}

fn look(design: &Design, losses: &mut Losses) {
    let (systems, effect) = match design.rich_style {
        Some(RichStyle::PosterEventTicket) => (BEFORE_18, "shown as a classic event ticket"),
        Some(RichStyle::SemanticBoardingPass) => (BEFORE_26, "shown as a classic boarding pass"),
        Some(RichStyle::PosterGeneric) => (BEFORE_27, "shown as a classic generic pass"),
        None => return,
    };
    losses.add(systems, "rich_style", effect);
    if design.rich_style == Some(RichStyle::PosterEventTicket) && design.nfc.is_none() {
        let effect = "shown as a classic event ticket: before iOS 27 a poster ticket needs `nfc`";
        losses.add(&[System::Ios18, System::Ios26], "rich_style", effect);
    }
}

fn barcode(design: &Design, losses: &mut Losses) {
    let Some(barcode) = &design.barcode else { return };
    match barcode.format {
        BarcodeFormat::Code39 | BarcodeFormat::Codabar | BarcodeFormat::Ean13 | BarcodeFormat::Itf | BarcodeFormat::UpcA => {
            losses.add(BEFORE_27, "barcode.format", "shown as a QR code of the same value");
        }
        BarcodeFormat::Ean8 | BarcodeFormat::DataMatrix => {
            losses.add(APPLE, "barcode.format", "shown as a QR code of the same value: Apple Wallet does not draw it");
        }
        BarcodeFormat::Code128 => losses.add(WATCH, "barcode.format", "not shown: a watch does not draw Code 128"),
        BarcodeFormat::Qr | BarcodeFormat::Pdf417 | BarcodeFormat::Aztec => {}
    }
    if barcode.alt_text.is_some() {
        losses.add(WATCH, "barcode.alt_text", "not shown");
    }
}

/// Keys that a design sets on Apple's side and that older systems do not know.
fn newer_keys(design: &Design, losses: &mut Losses) {
    for key in design.apple.keys() {
        let systems = match key.as_str() {
            "featuredActions" | "posterGeneric" | "logoSymbolName" => BEFORE_27,
            "upcomingPassInformation" => BEFORE_26,
            key if BOARDING_LINKS.contains(&key) => BEFORE_26,
            "eventLogoText" | "auxiliaryStoreIdentifiers" | "relevantDates" => BEFORE_18,
            key if GUIDE_LINKS.contains(&key) => BEFORE_18,
            _ => continue,
        };
        losses.add(systems, format!("apple.{key}"), "not shown: this system does not know it");
    }
    let effect = match design.relevance.dates.as_slice() {
        [] | [RelevantTime::At { .. }] => return,
        [RelevantTime::Between { .. }] => "the start counts alone: intervals are known from iOS 18 on",
        _ => "the first alone counts: several dates are known from iOS 18 on",
    };
    losses.add(&[System::Ios17], "relevance.dates", effect);
}

fn watch(design: &Design, losses: &mut Losses) {
    for (index, field) in design.fields.iter().enumerate() {
        if field.change_message.is_some() {
            losses.add(WATCH, format!("fields.{index}.change_message"), "silent on the watch; the phone notifies");
        }
        if field.apple.contains_key("attributedValue") {
            losses.add(WATCH, format!("fields.{index}.apple.attributedValue"), "the plain value is shown");
        }
    }
    if !design.links.is_empty() {
        losses.add(WATCH, "links", "shown as plain addresses");
    }
    if design.personalization.is_some() {
        losses.add(WATCH, "personalization", "the holder signs up on the phone");
    }
}
