//! Templates: one design that renders to Apple and to Google.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Project, ProjectId, TemplateId, Text, Timestamp};

/// One version of a design. Immutable once published; a change makes a new version that supersedes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its id, the same over all versions.
    pub id: TemplateId,
    /// The project whose passes it draws.
    pub project: ProjectId,
    /// Name shown to people.
    pub name: String,
    /// Number of the published version, from 1; 0 while it was never published.
    pub version: u32,
    /// Where it stands.
    pub status: TemplateStatus,
    /// The design.
    pub design: Design,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateStatus {
    /// May be changed; passes cannot be issued with it.
    Draft,
    /// In use.
    Published,
}

/// What a pass looks like and says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// Who issues it: Apple `organizationName`, Google `issuerName`.
    pub issuer: String,
    /// What it is called: Apple `logoText`, Google programme, offer or event name.
    pub title: Text,
    /// What VoiceOver says: Apple `description`.
    pub description: String,
    /// Its colours.
    #[serde(default)]
    pub colors: Colors,
    /// Its images by role.
    #[serde(default)]
    pub images: BTreeMap<ImageRole, ImageSet>,
    /// What it says, in order.
    #[serde(default)]
    pub fields: Vec<DesignField>,
    /// Its barcode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barcode: Option<Barcode>,
    /// Links on its back.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Label of the back field that shows the last message to the holder.
    #[serde(default = "default_message_label")]
    pub message_label: String,
    /// Keys of Apple's pass.json that are set as they stand, over everything else.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub apple: serde_json::Map<String, serde_json::Value>,
    /// Keys of Google's class that are set as they stand, over everything else.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub google: serde_json::Map<String, serde_json::Value>,
}

fn default_message_label() -> String {
    "News".to_owned()
}

/// Colours as `#RRGGBB`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Colors {
    /// Behind everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
    /// Of values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreground: Option<String>,
    /// Of labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// What an image is for; the names of Apple's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageRole {
    /// Notifications and lists; Apple refuses a pass without it.
    Icon,
    /// At the top left.
    Logo,
    /// Across the front behind the primary field.
    Strip,
    /// A picture beside the fields.
    Thumbnail,
    /// Behind the whole front.
    Background,
    /// Above the barcode of a boarding pass.
    Footer,
}

impl ImageRole {
    /// Apple's file stem.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Icon => "icon",
            Self::Logo => "logo",
            Self::Strip => "strip",
            Self::Thumbnail => "thumbnail",
            Self::Background => "background",
            Self::Footer => "footer",
        }
    }
}

/// An image at one, two and three pixels a point, each the lower-case hex SHA-256 of an uploaded PNG.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageSet {
    /// One pixel a point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x1: Option<String>,
    /// Two pixels a point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x2: Option<String>,
    /// Three pixels a point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x3: Option<String>,
}

impl ImageSet {
    /// What is there: pixels a point and hash, ascending.
    pub fn each(&self) -> impl Iterator<Item = (u8, &str)> {
        [(1, &self.x1), (2, &self.x2), (3, &self.x3)]
            .into_iter()
            .filter_map(|(scale, hash)| hash.as_deref().map(|hash| (scale, hash)))
    }
}

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
}

/// How a number is written; only for values that consist of one placeholder.
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

/// A barcode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barcode {
    /// Its symbology.
    pub format: BarcodeFormat,
    /// What it encodes.
    pub value: Text,
    /// The text below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt_text: Option<Text>,
}

/// Symbologies that both wallets show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarcodeFormat {
    /// QR code.
    Qr,
    /// PDF417.
    Pdf417,
    /// Aztec.
    Aztec,
    /// Code 128.
    Code128,
}

/// A link on the back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What it says.
    pub label: String,
    /// Where it leads: https, mailto or tel.
    pub url: String,
}

/// A fault of a design.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesignProblem {
    /// Which part, as a dotted path.
    pub path: String,
    /// What to change.
    pub message: String,
}

impl Design {
    /// Most fields of a design.
    pub const MAX_FIELDS: usize = 40;

    /// The faults that would keep a wallet from showing its passes, or a placeholder from being filled.
    pub fn problems(&self, project: &Project) -> Vec<DesignProblem> {
        let mut found = Vec::new();
        let mut fault = |path: String, message: &str| found.push(DesignProblem { path, message: message.to_owned() });
        for (path, text) in [("issuer", &self.issuer), ("description", &self.description)] {
            if text.trim().is_empty() {
                fault(path.to_owned(), "must not be empty: wallets refuse a pass without it");
            }
        }
        let colors =
            [("background", &self.colors.background), ("foreground", &self.colors.foreground), ("label", &self.colors.label)];
        for (name, color) in colors {
            if color.as_ref().is_some_and(|color| !is_hex_color(color)) {
                fault(format!("colors.{name}"), "expected #RRGGBB");
            }
        }
        if self.images.get(&ImageRole::Icon).is_none_or(|icon| icon.x2.is_none()) {
            fault("images.icon.x2".to_owned(), "missing: Apple Wallet refuses a pass without an icon");
        }
        if self.fields.len() > Self::MAX_FIELDS {
            fault("fields".to_owned(), "more than 40 fields");
        }
        let mut keys = BTreeSet::new();
        for (index, field) in self.fields.iter().enumerate() {
            if field.key.is_empty() || !keys.insert(field.key.as_str()) {
                fault(format!("fields.{index}.key"), "empty or used twice: Apple Wallet refuses duplicate keys");
            }
            if field.change_message.as_ref().is_some_and(|message| !message.contains("%@")) {
                fault(format!("fields.{index}.change_message"), "must contain %@, which becomes the new value");
            }
            if field.number.is_some() && field.value.sole_name().is_none() {
                fault(format!("fields.{index}.number"), "only for a value that is one placeholder and nothing else");
            }
        }
        for (index, link) in self.links.iter().enumerate() {
            if !["https://", "mailto:", "tel:"].iter().any(|scheme| link.url.starts_with(scheme)) {
                fault(format!("links.{index}.url"), "must start with https://, mailto: or tel:");
            }
        }
        for (path, text) in self.texts() {
            for name in text.names().filter(|name| !is_known_name(name, project)) {
                fault(path.clone(), &format!("nothing is called {name:?}: see the project's fields and balances"));
            }
        }
        found
    }

    fn texts(&self) -> Vec<(String, &Text)> {
        let mut texts = vec![("title".to_owned(), &self.title)];
        texts.extend(self.fields.iter().enumerate().map(|(index, field)| (format!("fields.{index}.value"), &field.value)));
        if let Some(barcode) = &self.barcode {
            texts.push(("barcode.value".to_owned(), &barcode.value));
            texts.extend(barcode.alt_text.as_ref().map(|text| ("barcode.alt_text".to_owned(), text)));
        }
        texts
    }
}

fn is_hex_color(color: &str) -> bool {
    color.len() == 7 && color.starts_with('#') && color.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit())
}

fn is_known_name(name: &str, project: &Project) -> bool {
    match name.split_once('.') {
        Some(("fields", key)) => project.field(key).is_some(),
        Some(("balances", key)) => project.balances.contains_key(key),
        Some(("contact", key)) => matches!(key, "name" | "email" | "phone" | "external_id"),
        Some(("pass", key)) => {
            matches!(key, "id" | "external_id" | "serial" | "code" | "signed" | "rotating" | "message" | "expires_at")
        }
        Some(("variant", key)) => matches!(key, "id" | "name"),
        Some(("project", key)) => key == "name",
        _ => false,
    }
}
