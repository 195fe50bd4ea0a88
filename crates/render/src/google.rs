//! Google's side: a class per template, an object per pass.
//!
//! The class depends on the template and the project alone, so that a thousand passes share one and a new version of the
//! template patches one. Which vertical a pass takes follows from the project's kind; a boarding pass is a flight only
//! when the design's `google` keys name the flight, because at Google one class is one flight on one day.
//!
//! Image slots differ: Google's logo is a round crop, so Apple's square icon goes there, and Apple's wide logo goes to
//! the wide logo of the same shape.

mod class;
mod facts;
mod notice;
mod object;
mod patch;
pub(crate) mod slots;
pub(crate) mod travel;

use domain::{BarcodeFormat, Design, ImageRole, Pass, Project, ProjectKind};
use google_wallet::model::{Barcode, BarcodeType, Image, LocalizedString};
use google_wallet::{IdError, ResourceId, Vertical};

pub(crate) use class::PROTECTED as PROTECTED_OF_CLASS;
pub use class::{google_class, shared_class};
pub use facts::{FlightFact, flight_facts, with_flight_facts};
pub use notice::{google_class_notice, google_notice};
pub(crate) use notice::{noticed, tells_of_flight};
pub(crate) use object::PROTECTED as PROTECTED_OF_OBJECT;
pub use object::{google_message, google_object};
pub use patch::google_patch;
pub(crate) use travel::unnamed_flight;
pub use travel::{class_id, flight_of, has_flights, sample_flight};

use crate::PassView;

/// Digits of an ITF-14.
const ITF_14_DIGITS: usize = 14;

/// What Google's side needs beside the pass.
#[derive(Clone, Copy)]
pub struct GoogleContext<'a> {
    /// The issuer's number.
    pub issuer_id: &'a str,
    /// BCP 47 tag of the language that texts of our own are written in; the design's texts are in the design's.
    pub language: &'a str,
    /// Where Google reports that a pass was saved or deleted, https; none to leave it out.
    pub callback_url: Option<&'a str>,
    /// The public https address of an image, by its hash.
    pub image_url: &'a dyn Fn(&str) -> String,
}

impl GoogleContext<'_> {
    fn localized(&self, text: impl Into<String>) -> LocalizedString {
        LocalizedString::new(self.language, text)
    }

    /// The first of the roles that the design has an image for, as Google wants it or else at the highest resolution.
    fn image(&self, design: &Design, roles: &[ImageRole]) -> Option<Image> {
        let hash = roles.iter().find_map(|role| design.images.get(role)?.for_web())?;
        Some(Image::at((self.image_url)(hash)).described(self.localized(design.issuer.as_str())))
    }
}

/// The vertical of a project's passes.
#[must_use]
pub fn vertical(project: &Project, design: &Design) -> Vertical {
    match project.kind {
        ProjectKind::Membership => Vertical::Loyalty,
        ProjectKind::Coupon => Vertical::Offer,
        ProjectKind::EventTicket => Vertical::EventTicket,
        ProjectKind::BoardingPass => travel::vertical(design),
        ProjectKind::Generic => Vertical::Generic,
        ProjectKind::GiftCard => Vertical::GiftCard,
        ProjectKind::Transit => Vertical::Transit,
    }
}

/// The id of a pass's object.
pub fn object_id(issuer_id: &str, pass: &Pass) -> Result<ResourceId, IdError> {
    ResourceId::new(issuer_id, &pass.id.to_string())
}

/// A code that changes by itself, where the design asks for one in a symbology that Google rotates. Source: the reference of
/// `RotatingBarcode`.
fn rotating(view: &PassView<'_>) -> Option<serde_json::Value> {
    let design = view.template.design.barcode.as_ref().filter(|barcode| barcode.value.sole_name() == Some("pass.rotating"))?;
    let kind = match design.format {
        BarcodeFormat::Qr => "QR_CODE",
        BarcodeFormat::Pdf417 => "PDF_417",
        _ => return None,
    };
    let (codes, ticket) = (view.codes?, view.ticket());
    let mut rotating = serde_json::json!({
        "type": kind,
        "valuePattern": format!("{}{{totp_value_0}}", codes.rotating_prefix(&ticket)),
        "totpDetails": {
            "periodMillis": (scan_code::PERIOD_SECONDS * 1_000).to_string(),
            "algorithm": "TOTP_SHA1",
            "parameters": [{"key": codes.secret(&ticket).to_hex(), "valueLength": scan_code::DIGITS}],
        },
    });
    let below = design.alt_text.as_ref().map(|text| view.text(text)).filter(|text| !text.trim().is_empty());
    if let Some(below) = below {
        rotating["alternateText"] = below.into();
    }
    Some(rotating)
}

/// The one barcode that stays as it is.
fn barcode(view: &PassView<'_>) -> Option<Barcode> {
    let design = view.template.design.barcode.as_ref()?;
    let value = view.text(&design.value);
    if value.is_empty() {
        return None;
    }
    let kind = match design.format {
        BarcodeFormat::Qr => BarcodeType::QrCode,
        BarcodeFormat::Pdf417 => BarcodeType::Pdf417,
        BarcodeFormat::Aztec => BarcodeType::Aztec,
        BarcodeFormat::Code128 => BarcodeType::Code128,
        BarcodeFormat::Code39 => BarcodeType::Code39,
        BarcodeFormat::Codabar => BarcodeType::Codabar,
        BarcodeFormat::Ean13 => BarcodeType::Ean13,
        BarcodeFormat::Ean8 => BarcodeType::Ean8,
        BarcodeFormat::UpcA => BarcodeType::UpcA,
        BarcodeFormat::DataMatrix => BarcodeType::DataMatrix,
        // Google knows the form of fourteen digits alone
        BarcodeFormat::Itf if value.len() == ITF_14_DIGITS => BarcodeType::Itf14,
        BarcodeFormat::Itf => BarcodeType::QrCode,
    };
    let latin = value.chars().all(|c| u32::from(c) < 0x100);
    Some(Barcode {
        kind: Some(kind),
        value: Some(value),
        alternate_text: design.alt_text.as_ref().map(|text| view.text(text)).filter(|text| !text.trim().is_empty()),
        render_encoding: (!latin).then(|| "UTF_8".to_owned()),
        ..Barcode::default()
    })
}
