//! The style of a pass and its fields.

use domain::{
    Alignment, DateFormat, DateLength, DesignField, FieldPlace, Message, NumberFormat, ProjectKind, RichStyle, TransitMode,
};
use pkpass::model::{DateStyle, Field, FieldValue, Fields, NumberStyle, Style, TextAlignment, TransitType};
use serde_json::{Value as Json, json};

use super::MESSAGE_FIELD;
use crate::overlay::{self, Keys, OverlayError};
use crate::values::{Moment, Value, amount, formatted, micros};
use crate::{PassView, RenderError, fill};

/// What the message field says before the first message: Wallet announces a change of a field, not its arrival.
const NO_MESSAGE: &str = "–";
/// Invisible characters that tell two messages of the same text apart.
const INVISIBLE: [char; 4] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}'];
/// How many of them a message carries; 4^6 = 4096 different ends.
const INVISIBLE_LENGTH: u32 = 6;
/// The key of a field, which a design cannot change on one wallet alone.
const PROTECTED: [&str; 1] = ["key"];

pub(super) fn style(view: &PassView<'_>) -> Result<Style, RenderError> {
    let mut fields = Fields::default();
    if !view.is_blank() {
        fill_in(view, &mut fields)?;
    }
    let transit = match (view.template.design.transit, view.project.kind) {
        (Some(TransitMode::Air), _) | (None, ProjectKind::BoardingPass) => TransitType::Air,
        (Some(TransitMode::Bus), _) => TransitType::Bus,
        (Some(TransitMode::Boat), _) => TransitType::Boat,
        (Some(TransitMode::Generic), _) => TransitType::Generic,
        (Some(TransitMode::Train) | None, _) => TransitType::Train,
    };
    Ok(match view.project.kind {
        ProjectKind::Membership | ProjectKind::GiftCard => Style::StoreCard(fields),
        ProjectKind::Coupon => Style::Coupon(fields),
        ProjectKind::EventTicket => Style::EventTicket(fields),
        ProjectKind::BoardingPass | ProjectKind::Transit => Style::BoardingPass(Fields { transit_type: Some(transit), ..fields }),
        ProjectKind::Generic => Style::Generic(fields),
    })
}

/// The poster of iOS 27 beside a generic style: the same fields, with a foot of its own.
pub(super) fn poster(view: &PassView<'_>, style: &Style) -> Result<Fields, RenderError> {
    let mut poster = style.fields().clone();
    if !view.is_blank() {
        for design in view.template.design.fields.iter().filter(|field| field.place == FieldPlace::Footer) {
            poster.auxiliary_fields.retain(|field| field.key != design.key);
            poster.footer_fields.extend(field(view, design)?);
        }
    }
    Ok(poster)
}

fn fill_in(view: &PassView<'_>, fields: &mut Fields) -> Result<(), RenderError> {
    let design = &view.template.design;
    let poster_ticket = design.rich_style == Some(RichStyle::PosterEventTicket);
    for design_field in &design.fields {
        let Some(field) = field(view, design_field)? else { continue };
        match design_field.place {
            FieldPlace::Header => fields.header_fields.push(field),
            FieldPlace::Primary => fields.primary_fields.push(field),
            FieldPlace::Secondary => fields.secondary_fields.push(field),
            FieldPlace::Auxiliary | FieldPlace::Footer => fields.auxiliary_fields.push(field),
            FieldPlace::AdditionalInfo if poster_ticket => fields.additional_info_fields.push(field),
            FieldPlace::Back | FieldPlace::AdditionalInfo => fields.back_fields.push(field),
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
    Ok(())
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

fn field(view: &PassView<'_>, design: &DesignField) -> Result<Option<Field>, RenderError> {
    let Some(value) = view.value(&design.value) else { return Ok(None) };
    let mut field = match (&value, &design.number, &design.date) {
        (Value::Text(text), None, Some(format)) => match Moment::parse(text) {
            Some(time) => time_field(design, time, Some(format)),
            None => Field::new(&design.key, text.as_str()),
        },
        (Value::Text(text), None, None) => Field::new(&design.key, text.as_str()),
        (Value::Time(time), _, format) => time_field(design, *time, format.as_ref()),
        (Value::Number(number), None, _) => Field::new(&design.key, number.clone()),
        (value, Some(format), _) => number_field(design, value, format),
    };
    field.label = Some(design.label.clone()).filter(|label| !label.is_empty());
    field.change_message.clone_from(&design.change_message);
    field.text_alignment = design.alignment.map(|side| match side {
        Alignment::Left => TextAlignment::Left,
        Alignment::Center => TextAlignment::Center,
        Alignment::Right => TextAlignment::Right,
        Alignment::Natural => TextAlignment::Natural,
    });
    if !design.apple.is_empty() {
        field = overlaid(view, &field, design)?;
    }
    Ok(Some(field))
}

fn overlaid(view: &PassView<'_>, field: &Field, design: &DesignField) -> Result<Field, RenderError> {
    let mut keys = fill::fill(view, &design.apple);
    if let Some(Json::Object(tags)) = design.apple.get("semantics") {
        keys.insert("semantics".to_owned(), Json::Object(fill::fill_semantics(view, tags)));
    }
    let set = Keys { part: "apple", keys: &keys, protected: &PROTECTED };
    Ok(overlay::overlaid(field, &set, |_| {}, serde_json::from_value).map_err(|fault| {
        let index = view.template.design.fields.iter().position(|other| other.key == design.key).unwrap_or_default();
        OverlayError { path: format!("fields.{index}.{}", fault.path), ..fault }
    })?)
}

fn time_field(design: &DesignField, time: Moment, format: Option<&DateFormat>) -> Field {
    let mut field = Field::new(&design.key, time.wallet());
    let asked = format.copied().unwrap_or_default();
    let hour = if time.is_day() { DateStyle::None } else { DateStyle::Short };
    field.date_style = Some(asked.date.map_or(DateStyle::Medium, style_of_length));
    field.time_style = Some(asked.time.map_or(hour, style_of_length));
    field.is_relative = asked.relative.then_some(true);
    field.ignores_time_zone = (asked.local || time.is_local()).then_some(true);
    field
}

fn style_of_length(length: DateLength) -> DateStyle {
    match length {
        DateLength::None => DateStyle::None,
        DateLength::Short => DateStyle::Short,
        DateLength::Medium => DateStyle::Medium,
        DateLength::Long => DateStyle::Long,
        DateLength::Full => DateStyle::Full,
    }
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
