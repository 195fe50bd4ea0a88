//! Style, field groups and fields.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::{DataDetector, DateStyle, NumberStyle, Semantics, TextAlignment, TransitType};

/// The style key of a pass: exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Style {
    /// Flight, train, bus, ship; carries [`Fields::transit_type`].
    BoardingPass(Fields),
    /// A discount.
    Coupon(Fields),
    /// A concert, a match, a film.
    EventTicket(Fields),
    /// Anything else.
    Generic(Fields),
    /// Loyalty, gift and membership cards.
    StoreCard(Fields),
}

impl Style {
    /// The keys that name a style in `pass.json`.
    pub const KEYS: &'static [&'static str] = &["boardingPass", "coupon", "eventTicket", "generic", "storeCard"];

    /// The key under which it stands in `pass.json`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::BoardingPass(_) => "boardingPass",
            Self::Coupon(_) => "coupon",
            Self::EventTicket(_) => "eventTicket",
            Self::Generic(_) => "generic",
            Self::StoreCard(_) => "storeCard",
        }
    }

    /// Its fields.
    pub fn fields(&self) -> &Fields {
        let (Self::BoardingPass(fields)
        | Self::Coupon(fields)
        | Self::EventTicket(fields)
        | Self::Generic(fields)
        | Self::StoreCard(fields)) = self;
        fields
    }

    /// Its fields, to change.
    pub fn fields_mut(&mut self) -> &mut Fields {
        let (Self::BoardingPass(fields)
        | Self::Coupon(fields)
        | Self::EventTicket(fields)
        | Self::Generic(fields)
        | Self::StoreCard(fields)) = self;
        fields
    }
}

/// The field groups of a style.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fields {
    /// Means of transport; required on a boarding pass and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transit_type: Option<TransitType>,
    /// Top right; the only ones that show in the stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub header_fields: Vec<Field>,
    /// The most prominent ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primary_fields: Vec<Field>,
    /// The row below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secondary_fields: Vec<Field>,
    /// One or two further rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auxiliary_fields: Vec<Field>,
    /// The back of the pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub back_fields: Vec<Field>,
    /// Further information of poster passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_info_fields: Vec<Field>,
    /// Footer of a generic poster; only the first is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub footer_fields: Vec<Field>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Fields {
    /// The names of the groups in `pass.json`.
    pub const GROUPS: &'static [&'static str] = &[
        "headerFields",
        "primaryFields",
        "secondaryFields",
        "auxiliaryFields",
        "backFields",
        "additionalInfoFields",
        "footerFields",
    ];

    /// The groups in the order of [`Self::GROUPS`].
    pub fn groups(&self) -> [&[Field]; 7] {
        [
            &self.header_fields,
            &self.primary_fields,
            &self.secondary_fields,
            &self.auxiliary_fields,
            &self.back_fields,
            &self.additional_info_fields,
            &self.footer_fields,
        ]
    }

    /// The groups to change, in the order of [`Self::GROUPS`].
    pub fn groups_mut(&mut self) -> [&mut Vec<Field>; 7] {
        [
            &mut self.header_fields,
            &mut self.primary_fields,
            &mut self.secondary_fields,
            &mut self.auxiliary_fields,
            &mut self.back_fields,
            &mut self.additional_info_fields,
            &mut self.footer_fields,
        ]
    }
}

/// One field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Unique in the whole pass.
    pub key: String,
    /// Small caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What is shown; a date is a text with zone.
    pub value: FieldValue,
    /// Shown in place of the value; only `<a href>` is understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributed_value: Option<FieldValue>,
    /// Text of the notification when the value changes; must hold `%@`. Without it nobody is notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_message: Option<String>,
    /// Links to detect, back fields only; absent means all, empty means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_detector_types: Option<Vec<DataDetector>>,
    /// Alignment; not for primary and back fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_alignment: Option<TextAlignment>,
    /// How the date is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_style: Option<DateStyle>,
    /// How the time is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_style: Option<DateStyle>,
    /// Shows the date relative to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_relative: Option<bool>,
    /// Shows the date in its own zone and not in the device's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignores_time_zone: Option<bool>,
    /// How a number is shown; not beside `currency_code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_style: Option<NumberStyle>,
    /// ISO 4217 code of an amount; not beside `number_style`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency_code: Option<String>,
    /// Row of an auxiliary field, 0 or 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u8>,
    /// Machine-readable facts of this field.
    #[serde(default, skip_serializing_if = "Semantics::is_empty")]
    pub semantics: Semantics,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Field {
    /// A field with key and value.
    pub fn new(key: impl Into<String>, value: impl Into<FieldValue>) -> Self {
        Self {
            key: key.into(),
            label: None,
            value: value.into(),
            attributed_value: None,
            change_message: None,
            data_detector_types: None,
            text_alignment: None,
            date_style: None,
            time_style: None,
            is_relative: None,
            ignores_time_zone: None,
            number_style: None,
            currency_code: None,
            row: None,
            semantics: Semantics::default(),
            extra: Map::new(),
        }
    }

    /// The same field with a label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same field with the text of its change notification, holding `%@`.
    #[must_use]
    pub fn change_message(mut self, message: impl Into<String>) -> Self {
        self.change_message = Some(message.into());
        self
    }
}

/// Value of a field: a text (dates too) or a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// A text, or a date with zone.
    Text(String),
    /// A number, kept as it is written.
    Number(Number),
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for FieldValue {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl From<Number> for FieldValue {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}
