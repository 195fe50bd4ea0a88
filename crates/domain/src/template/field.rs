//! Fields of a design.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Text;

/// Something the pass says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesignField {
    /// Its key, unique in the design.
    pub key: String,
    /// Its label.
    #[serde(default)]
    pub label: String,
    /// Its value.
    pub value: Text,
    /// Where it stands.
    pub place: FieldPlace,
    /// What the lock screen says when it changes; must contain `%@`, which becomes the new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_message: Option<String>,
    /// How a number is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<NumberFormat>,
    /// How a time is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<DateFormat>,
    /// To which side it is aligned; not for primary and back fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<Alignment>,
    /// Keys of Apple's field that are set as they stand, over everything else; their texts may hold placeholders.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub apple: Map<String, Value>,
}

impl DesignField {
    /// A field with nothing but its key, value and place.
    #[must_use]
    pub fn new(key: impl Into<String>, value: Text, place: FieldPlace) -> Self {
        Self {
            key: key.into(),
            label: String::new(),
            value,
            place,
            change_message: None,
            number: None,
            date: None,
            alignment: None,
            apple: Map::new(),
        }
    }
}

/// Where a field stands; the names of Apple's groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldPlace {
    /// Top right, the only ones seen in the stack.
    Header,
    /// Largest.
    Primary,
    /// Below the primary ones.
    Secondary,
    /// Below the secondary ones.
    Auxiliary,
    /// On the back.
    Back,
    /// Below a poster ticket, iOS 18 and later; on the back elsewhere.
    AdditionalInfo,
    /// At the foot of a generic poster, iOS 27 and later; below the front fields elsewhere.
    Footer,
}

impl FieldPlace {
    /// Whether it is read only after the pass was opened.
    #[must_use]
    pub const fn is_behind(self) -> bool {
        matches!(self, Self::Back | Self::AdditionalInfo)
    }
}

/// How a number is written; for values that are one placeholder, or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberFormat {
    /// By the holder's locale.
    Decimal,
    /// As a percentage: 1 is 100 %.
    Percent,
    /// As money of this ISO 4217 code.
    Currency(String),
}

/// How a time is written; for values that are one placeholder, or a time with its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DateFormat {
    /// The day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<DateLength>,
    /// The hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<DateLength>,
    /// Relative to now, such as “in 2 days”.
    pub relative: bool,
    /// By the clocks of the place that the time was given in, wherever the holder is.
    pub local: bool,
}

/// How much of a day or an hour is written; the names of Apple's styles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateLength {
    /// Nothing.
    None,
    /// Such as 11/23/37 or 3:30 PM.
    Short,
    /// Such as Nov 23, 1937 or 3:30:32 PM.
    Medium,
    /// Such as November 23, 1937.
    Long,
    /// With weekday or zone.
    Full,
}

/// To which side a field is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// To the left.
    Left,
    /// To the middle.
    Center,
    /// To the right.
    Right,
    /// By the direction of the script.
    Natural,
}
