//! Apple's side: `pass.json` from template and pass, and the files beside it.

mod assets;
mod fields;
mod hosted;

use domain::{BarcodeFormat, Design, RelevantTime, RichStyle, Text};
use pkpass::model::{Barcode, BarcodeFormat as AppleFormat, Beacon, Location, Nfc, Pass, PassIdentity, RelevantDate, Style};
use serde_json::Map;

pub(crate) use assets::file_name;
pub use assets::{AssetsError, apple_assets, asks_to_sign_up};

use crate::overlay::{self, Keys};
use crate::values::{Moment, wallet_time};
use crate::{PassView, RenderError, fill};

/// Key of the back field that carries messages to the holder.
pub const MESSAGE_FIELD: &str = "passbridge.message";
/// Keys of `pass.json` that a design cannot set: they name the pass, or prove who asks for it.
pub(crate) const PROTECTED: [&str; 6] =
    ["formatVersion", "passTypeIdentifier", "teamIdentifier", "serialNumber", "authenticationToken", "webServiceURL"];

/// What Apple's side needs beside the pass.
#[derive(Clone, Copy)]
pub struct AppleContext<'a> {
    /// The pass type identifier; equals the certificate's.
    pub pass_type: &'a str,
    /// The team identifier; equals the certificate's.
    pub team: &'a str,
    /// Base address of the web service, without `/v1`. Wallet wants https.
    pub web_service_url: &'a str,
    /// The pass's token for the web service.
    pub auth_token: &'a str,
    /// The public https address of an image, by its hash; none where pictures that phones fetch are left out.
    pub image_url: Option<&'a dyn Fn(&str) -> String>,
}

/// Draws `pass.json`.
pub fn apple(view: &PassView<'_>, context: &AppleContext<'_>) -> Result<Pass, RenderError> {
    let design = &view.template.design;
    let identity = PassIdentity {
        pass_type_identifier: context.pass_type.to_owned(),
        team_identifier: context.team.to_owned(),
        serial_number: view.pass.serial.clone(),
    };
    let mut pass = Pass::new(identity, design.issuer.clone(), design.description.clone(), fields::style(view)?);
    pass.web_service_url = Some(context.web_service_url.to_owned());
    pass.authentication_token = Some(context.auth_token.to_owned());
    pass.background_color = design.colors.background.as_deref().and_then(|color| color.parse().ok());
    pass.foreground_color = design.colors.foreground.as_deref().and_then(|color| color.parse().ok());
    pass.label_color = design.colors.label.as_deref().and_then(|color| color.parse().ok());
    pass.voided = view.pass.lifecycle.is_void().then_some(true);
    if !view.is_blank() {
        let title = view.text(&design.title);
        pass.logo_text = Some(title).filter(|title| !title.trim().is_empty());
        pass.expiration_date = view.pass.validity.expires_at.map(wallet_time);
        pass.barcodes.extend(barcode(view));
        pass.nfc = nfc(view);
        pass.semantics = fill::fill_semantics(view, &design.semantics).into();
        relevance(view, &mut pass);
    }
    if matches!(pass.style, Style::EventTicket(_) | Style::BoardingPass(_)) {
        pass.grouping_identifier = Some(view.project.id.to_string());
    }
    rich_style(view, &mut pass)?;
    if !design.apple.is_empty() {
        pass = overlaid(view, &pass, design, context.image_url)?;
    }
    pass.complete_for_every_system();
    Ok(pass)
}

/// Names the newer look first and the classic style as what to fall back to.
fn rich_style(view: &PassView<'_>, pass: &mut Pass) -> Result<(), RenderError> {
    let schemes: &[&str] = match (view.template.design.rich_style, &pass.style) {
        (Some(RichStyle::PosterEventTicket), Style::EventTicket(_)) => &["posterEventTicket", "eventTicket"],
        (Some(RichStyle::SemanticBoardingPass), Style::BoardingPass(_)) => &["semanticBoardingPass", "boardingPass"],
        (Some(RichStyle::PosterGeneric), Style::Generic(_)) => {
            pass.poster_generic = Some(fields::poster(view, &pass.style)?);
            &[]
        }
        _ => &[],
    };
    pass.preferred_style_schemes = schemes.iter().map(|scheme| (*scheme).to_owned()).collect();
    Ok(())
}

fn overlaid(
    view: &PassView<'_>,
    pass: &Pass,
    design: &Design,
    image_url: Option<&dyn Fn(&str) -> String>,
) -> Result<Pass, RenderError> {
    // what a design says of a pass may be personal
    let mut keys = if view.is_blank() { fill::constants(&design.apple) } else { fill::fill(view, &design.apple) };
    hosted::resolve(&mut keys, image_url);
    let set = Keys { part: "apple", keys: &keys, protected: &PROTECTED };
    Ok(overlay::overlaid(pass, &set, |_| {}, serde_json::from_value)?)
}

fn barcode(view: &PassView<'_>) -> Option<Barcode> {
    let design = view.template.design.barcode.as_ref()?;
    let message = view.text(&design.value);
    if message.is_empty() {
        return None;
    }
    let (format, message) = match design.format {
        BarcodeFormat::Pdf417 => (AppleFormat::Pdf417, message),
        BarcodeFormat::Aztec => (AppleFormat::Aztec, message),
        BarcodeFormat::Code128 => (AppleFormat::Code128, message),
        BarcodeFormat::Code39 => (AppleFormat::Code39, message),
        BarcodeFormat::Codabar => (AppleFormat::Codabar, message),
        BarcodeFormat::Ean13 => (AppleFormat::Ean13, message),
        BarcodeFormat::Itf => (AppleFormat::I2of5, message),
        // a UPC-A is the EAN-13 that begins with 0 (GS1 General Specifications, 5.2)
        BarcodeFormat::UpcA => (AppleFormat::Ean13, format!("0{message}")),
        BarcodeFormat::Qr | BarcodeFormat::Ean8 | BarcodeFormat::DataMatrix => (AppleFormat::Qr, message),
    };
    let mut barcode = Barcode::new(format, message);
    barcode.alt_text = design.alt_text.as_ref().map(|text| view.text(text)).filter(|text| !text.trim().is_empty());
    Some(barcode)
}

fn nfc(view: &PassView<'_>) -> Option<Nfc> {
    let nfc = view.template.design.nfc.as_ref()?;
    let message = view.text(&nfc.message);
    (!message.is_empty()).then(|| Nfc {
        message,
        encryption_public_key: nfc.encryption_public_key.clone(),
        requires_authentication: nfc.requires_authentication,
        extra: Map::new(),
    })
}

fn relevance(view: &PassView<'_>, pass: &mut Pass) {
    let relevance = &view.template.design.relevance;
    let text = |text: &Option<Text>| text.as_ref().map(|text| view.text(text)).filter(|text| !text.trim().is_empty());
    pass.relevant_dates = relevance.dates.iter().filter_map(|date| relevant_date(view, date)).collect();
    pass.locations = relevance
        .locations
        .iter()
        .filter_map(|place| {
            Some(Location {
                latitude: place.latitude.as_f64()?,
                longitude: place.longitude.as_f64()?,
                altitude: place.altitude.as_ref().and_then(serde_json::Number::as_f64),
                relevant_text: text(&place.text),
                extra: Map::new(),
            })
        })
        .collect();
    pass.beacons = relevance
        .beacons
        .iter()
        .map(|beacon| Beacon {
            proximity_uuid: beacon.uuid.hyphenated().to_string().to_uppercase(),
            major: beacon.major,
            minor: beacon.minor,
            relevant_text: text(&beacon.text),
            extra: Map::new(),
        })
        .collect();
    pass.max_distance = relevance.max_distance.as_ref().and_then(serde_json::Number::as_f64);
}

/// Nothing while one of its times is not known yet.
fn relevant_date(view: &PassView<'_>, date: &RelevantTime) -> Option<RelevantDate> {
    let time = |text: &Text| view.moment(text).map(Moment::wallet);
    Some(match date {
        RelevantTime::At { at } => RelevantDate::at(time(at)?),
        RelevantTime::Between { start, end } => RelevantDate::between(time(start)?, time(end)?),
    })
}
