//! Apple's side: `pass.json` from template and pass, and the files beside it.

use bytes::Bytes;
use domain::{BarcodeFormat, Design, DesignField, FieldPlace, ImageRole, Message, NumberFormat, ProjectKind};
use pkpass::Assets;
use pkpass::model::{
    Barcode, BarcodeFormat as AppleFormat, DateStyle, Field, FieldValue, Fields, NumberStyle, Pass, PassIdentity, Style,
    TransitType,
};
use serde_json::json;

use crate::overlay::{self, OverlayError};
use crate::values::{Value, amount, formatted, micros, wallet_time};
use crate::{PassView, RenderError};

/// Key of the back field that carries messages to the holder.
pub const MESSAGE_FIELD: &str = "passbridge.message";
/// What the message field says before the first message: Wallet announces a change of a field, not its arrival.
const NO_MESSAGE: &str = "–";
/// Invisible characters that tell two messages of the same text apart.
const INVISIBLE: [char; 4] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}'];
/// How many of them a message carries; 4^6 = 4096 different ends.
const INVISIBLE_LENGTH: u32 = 6;
/// Keys of `pass.json` that a design cannot set: they name the pass, or prove who asks for it.
const PROTECTED: [&str; 6] =
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
}

/// Draws `pass.json`.
pub fn apple(view: &PassView<'_>, context: &AppleContext<'_>) -> Result<Pass, RenderError> {
    let design = &view.template.design;
    let identity = PassIdentity {
        pass_type_identifier: context.pass_type.to_owned(),
        team_identifier: context.team.to_owned(),
        serial_number: view.pass.serial.clone(),
    };
    let mut pass = Pass::new(identity, design.issuer.clone(), design.description.clone(), style(view));
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
    }
    if matches!(pass.style, Style::EventTicket(_) | Style::BoardingPass(_)) {
        pass.grouping_identifier = Some(view.project.id.to_string());
    }
    if design.apple.is_empty() { Ok(pass) } else { overlaid(&pass, design) }
}

fn overlaid(pass: &Pass, design: &Design) -> Result<Pass, RenderError> {
    let fault = |fault: serde_json::Error| OverlayError { part: "apple", fault: fault.to_string() };
    let mut value = serde_json::to_value(pass).map_err(fault)?;
    overlay::merge(&mut value, &design.apple, &PROTECTED);
    Ok(serde_json::from_value(value).map_err(fault)?)
}

fn style(view: &PassView<'_>) -> Style {
    let mut fields = Fields::default();
    if !view.is_blank() {
        fill(view, &mut fields);
    }
    match view.project.kind {
        ProjectKind::Membership | ProjectKind::GiftCard => Style::StoreCard(fields),
        ProjectKind::Coupon => Style::Coupon(fields),
        ProjectKind::EventTicket => Style::EventTicket(fields),
        ProjectKind::BoardingPass => Style::BoardingPass(Fields { transit_type: Some(TransitType::Air), ..fields }),
        ProjectKind::Transit => Style::BoardingPass(Fields { transit_type: Some(TransitType::Train), ..fields }),
        ProjectKind::Generic => Style::Generic(fields),
    }
}

fn fill(view: &PassView<'_>, fields: &mut Fields) {
    let design = &view.template.design;
    for design_field in &design.fields {
        let Some(field) = field(view, design_field) else { continue };
        match design_field.place {
            FieldPlace::Header => fields.header_fields.push(field),
            FieldPlace::Primary => fields.primary_fields.push(field),
            FieldPlace::Secondary => fields.secondary_fields.push(field),
            FieldPlace::Auxiliary => fields.auxiliary_fields.push(field),
            FieldPlace::Back => fields.back_fields.push(field),
        }
    }
    for (index, link) in design.links.iter().enumerate() {
        let mut field = Field::new(format!("passbridge.link.{index}"), link.url.as_str());
        let anchor = format!("<a href=\"{}\">{}</a>", escaped(&link.url), escaped(&link.label));
        field.attributed_value = Some(FieldValue::Text(anchor));
        fields.back_fields.push(field);
    }
    if !design.fields.iter().any(shows_message) {
        let text = view.pass.message.as_ref().map_or_else(|| NO_MESSAGE.to_owned(), distinct);
        fields.back_fields.push(Field::new(MESSAGE_FIELD, text).label(design.message_label.as_str()).change_message("%@"));
    }
}

/// Whether the design has a place of its own for messages.
fn shows_message(field: &DesignField) -> bool {
    field.change_message.is_some() && field.value.names().any(|name| name == "pass.message")
}

/// The message with an invisible end by its time: Wallet is silent when a field's value did not change, and the same
/// words may well be sent twice.
fn distinct(message: &Message) -> String {
    let mut bits = message.at.as_millis().unsigned_abs();
    let mut text = message.text.clone();
    for _ in 0..INVISIBLE_LENGTH {
        text.push(INVISIBLE[usize::try_from(bits & 3).unwrap_or(0)]);
        bits >>= 2;
    }
    text
}

fn field(view: &PassView<'_>, design: &DesignField) -> Option<Field> {
    let value = view.value(&design.value)?;
    let mut field = match (&value, &design.number) {
        (Value::Text(text), None) => Field::new(&design.key, text.as_str()),
        (Value::Time(time), _) => {
            let mut field = Field::new(&design.key, time.wallet());
            field.date_style = Some(DateStyle::Medium);
            field.time_style = Some(if time.is_day() { DateStyle::None } else { DateStyle::Short });
            field.ignores_time_zone = time.is_local().then_some(true);
            field
        }
        (Value::Number(number), None) => Field::new(&design.key, number.clone()),
        (value, Some(format)) => number_field(design, value, format),
    };
    field.label = Some(design.label.clone()).filter(|label| !label.is_empty());
    field.change_message.clone_from(&design.change_message);
    Some(field)
}

fn number_field(design: &DesignField, value: &Value, format: &NumberFormat) -> Field {
    let exact = match value {
        Value::Text(text) => text.parse().ok().map(amount),
        other => Some(other.clone()),
    };
    let Some(Value::Number(number)) = exact else {
        return Field::new(&design.key, formatted(value, Some(format)));
    };
    let mut field = Field::new(&design.key, number);
    match format {
        NumberFormat::Decimal => field.number_style = Some(NumberStyle::Decimal),
        NumberFormat::Percent => field.number_style = Some(NumberStyle::Percent),
        NumberFormat::Currency(code) => {
            field.currency_code = Some(code.clone());
            let is_balance = design.value.sole_name().is_some_and(|name| name.starts_with("balances."));
            if let Some(amount) = micros(value).filter(|_| is_balance) {
                let amount = domain::Amount::from_micros(amount).to_string();
                field.semantics.insert("balance", json!({"amount": amount, "currencyCode": code}));
            }
        }
    }
    field
}

fn barcode(view: &PassView<'_>) -> Option<Barcode> {
    let design = view.template.design.barcode.as_ref()?;
    let message = view.text(&design.value);
    if message.is_empty() {
        return None;
    }
    let format = match design.format {
        BarcodeFormat::Qr => AppleFormat::Qr,
        BarcodeFormat::Pdf417 => AppleFormat::Pdf417,
        BarcodeFormat::Aztec => AppleFormat::Aztec,
        BarcodeFormat::Code128 => AppleFormat::Code128,
    };
    let mut barcode = Barcode::new(format, message);
    barcode.alt_text = design.alt_text.as_ref().map(|text| view.text(text)).filter(|text| !text.trim().is_empty());
    Some(barcode)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Prepares a design's images, once per template version. `image` gives the bytes of a hash.
pub fn apple_assets(design: &Design, image: impl Fn(&str) -> Option<Bytes>) -> Result<Assets, AssetsError> {
    let mut files = Vec::new();
    for (role, set) in &design.images {
        for (scale, hash) in set.each() {
            let missing = || AssetsError::Missing { role: role.name(), scale, hash: hash.to_owned() };
            files.push((file_name(*role, scale), image(hash).ok_or_else(missing)?));
        }
    }
    Ok(Assets::prepare(files)?)
}

fn file_name(role: ImageRole, scale: u8) -> String {
    match scale {
        1 => format!("{}.png", role.name()),
        scale => format!("{}@{scale}x.png", role.name()),
    }
}

/// Why a design's images cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssetsError {
    /// An image is not there.
    #[error("images.{role}.x{scale}: no image with the hash {hash} was uploaded; upload it or name another")]
    Missing {
        /// What it is for.
        role: &'static str,
        /// Pixels a point.
        scale: u8,
        /// Its SHA-256.
        hash: String,
    },
    /// An image is there and cannot be used.
    #[error(transparent)]
    Unusable(#[from] pkpass::AssetError),
}
