//! Projects: one programme, campaign, event or route.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{Amount, EnrolmentRules, FieldValue, ProjectId, ScanRules, TemplateId, Timestamp, ZoneName};

/// What a project's passes are. Decides the pass style in each wallet and PassKit's protocol number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectKind {
    /// Loyalty and membership cards: Apple store card, Google loyalty.
    Membership,
    /// Offers: Apple coupon, Google offer.
    Coupon,
    /// Tickets: Apple and Google event ticket.
    EventTicket,
    /// Flights: Apple boarding pass, Google flight.
    BoardingPass,
    /// Stored value: Apple store card, Google gift card.
    GiftCard,
    /// Rail, bus and boat: Apple boarding pass, Google transit.
    Transit,
    /// Anything else.
    Generic,
}

/// One programme, campaign, event or route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Short name, unique in the organization, used in flows and links: lower case letters, digits and hyphens.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
    /// What its passes are.
    pub kind: ProjectKind,
    /// Tiers, offers, ticket types or fares; the first is the default.
    pub variants: Vec<Variant>,
    /// The fields its passes have beside the built-in ones.
    #[serde(default)]
    pub fields: Vec<FieldDef>,
    /// The balances its passes start with, by name: points, stamps, money.
    #[serde(default)]
    pub balances: BTreeMap<String, Amount>,
    /// How often one pass may be used; none means as often as liked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_limit: Option<u32>,
    /// What a scan does.
    #[serde(default, skip_serializing_if = "ScanRules::is_plain")]
    pub scan: ScanRules,
    /// Where its days begin and end.
    #[serde(default)]
    pub time_zone: ZoneName,
    /// Apple pass type identifier whose signer signs its passes; none means no Apple passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apple_pass_type: Option<String>,
    /// Google issuer id under which its classes and objects live; none means no Google passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub google_issuer: Option<String>,
    /// Whether `/e/{slug}` issues passes to whoever fills in the form.
    #[serde(default)]
    pub enrolment: bool,
    /// Who may take one there, and when.
    #[serde(default, skip_serializing_if = "EnrolmentRules::is_plain")]
    pub enrolment_rules: EnrolmentRules,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Project {
    /// Whether its passes are Google's alone: what Apple would refuse hinders nobody then.
    pub fn is_google_alone(&self) -> bool {
        self.google_issuer.is_some() && self.apple_pass_type.is_none()
    }

    /// The variant of that id, or the default one when none is asked for.
    pub fn variant(&self, id: Option<&VariantId>) -> Option<&Variant> {
        match id {
            Some(id) => self.variants.iter().find(|variant| &variant.id == id),
            None => self.variants.first(),
        }
    }

    /// What a scan of a pass of that variant does.
    pub fn scan_rules(&self, variant: &VariantId) -> &ScanRules {
        self.variant(Some(variant)).and_then(|variant| variant.scan.as_deref()).unwrap_or(&self.scan)
    }

    /// The definition of a field.
    pub fn field(&self, key: &str) -> Option<&FieldDef> {
        self.fields.iter().find(|field| field.key == key)
    }
}

/// A tier, offer, ticket type or fare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its id within the project.
    pub id: VariantId,
    /// Name shown to people.
    pub name: String,
    /// The design of passes that are issued in it, or set to it, from now on.
    pub template: TemplateId,
    /// How often one pass of it may be used, in place of the project's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_limit: Option<u32>,
    /// What a scan does, in place of the project's rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Box<ScanRules>>,
}

/// The id of a variant within its project: 1 to 64 characters without blanks or control characters, case kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct VariantId(String);

impl VariantId {
    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for VariantId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=64).contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if fits { Ok(Self(text.to_owned())) } else { Err("a variant id has 1 to 64 bytes and no blanks") }
    }
}
impl fmt::Display for VariantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for VariantId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A field that every pass of a project has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDef {
    /// Its key in `fields`: letters, digits, `_` and `-`.
    pub key: String,
    /// Label shown to people.
    pub label: String,
    /// What it holds.
    #[serde(rename = "type", default)]
    pub field_type: FieldType,
    /// Whether a pass cannot be issued without it.
    #[serde(default)]
    pub required: bool,
    /// Its value where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<FieldValue>,
    /// Whether the enrolment form asks for it.
    #[serde(default)]
    pub on_form: bool,
}

impl FieldDef {
    /// Why a value does not fit, or nothing when it does. A field that every pass must have is not had by a blank text.
    pub fn misfit(&self, value: &FieldValue) -> Option<&'static str> {
        let is_blank = matches!(value, FieldValue::Text(text) if text.trim().is_empty());
        match self.field_type.misfit(value) {
            None if self.required && is_blank => Some("is required: give it a text that is not empty"),
            misfit => misfit,
        }
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Text of at most 4,096 bytes.
    #[default]
    Text,
    /// A JSON number.
    Number,
    /// True or false.
    Flag,
    /// A time with its zone, RFC 3339.
    Time,
}

impl FieldType {
    /// Why a value does not fit, or nothing when it does.
    pub fn misfit(self, value: &FieldValue) -> Option<&'static str> {
        match (self, value) {
            (Self::Text, _) | (Self::Number, FieldValue::Number(_)) | (Self::Flag, FieldValue::Flag(_)) => None,
            (Self::Time, FieldValue::Text(text)) if text.parse::<Timestamp>().is_ok() => None,
            (Self::Number, _) => Some("expected a number"),
            (Self::Flag, _) => Some("expected true or false"),
            (Self::Time, _) => Some("expected a time with its zone, for example 2026-11-20T09:30:00Z"),
        }
    }
}
