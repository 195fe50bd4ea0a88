//! Templates: one design that renders to Apple and to Google.

mod check;
mod field;
mod image;
mod more;
mod translation;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ProjectId, TemplateId, Text, Timestamp, pass::is_zero};

pub use check::{DesignProblem, Fault};
pub use field::{Alignment, DateFormat, DateLength, DesignField, FieldPlace, NumberFormat};
pub use image::{ImageRole, ImageSet};
pub use more::{
    Barcode, BarcodeFormat, Link, NearBeacon, NearPlace, Nfc, Personalization, PersonalizationField, Relevance, RelevantTime,
    RichStyle, TransitMode,
};
pub use translation::{Translation, is_language};

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
    /// How often its passes were drawn anew without another version, because something else changed that they show: the name of
    /// their project or variant, or the key that signs their codes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redrawn: u32,
    /// When this version was published, if its passes were drawn anew since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
}

impl Template {
    /// One that was never published.
    #[must_use]
    pub const fn draft(id: TemplateId, project: ProjectId, name: String, design: Design, now: Timestamp) -> Self {
        let status = TemplateStatus::Draft;
        Self { id, project, name, version: 0, status, design, created_at: now, redrawn: 0, published_at: None }
    }
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
    /// BCP 47 tag of the language that its texts are written in.
    #[serde(default = "default_language", skip_serializing_if = "is_default_language")]
    pub language: String,
    /// Its texts and images in other languages, by BCP 47 tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub translations: BTreeMap<String, Translation>,
    /// When and where a phone brings it up.
    #[serde(default, skip_serializing_if = "Relevance::is_empty")]
    pub relevance: Relevance,
    /// By what a boarding or transit pass travels; none means by air for a boarding pass and by train for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transit: Option<TransitMode>,
    /// The newer look that a phone shows where it can; older ones show the classic style.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rich_style: Option<RichStyle>,
    /// Machine-readable facts by Apple's semantic tags; their texts may hold placeholders.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub semantics: Map<String, Value>,
    /// What a contactless reader gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfc: Option<Nfc>,
    /// What Apple Wallet asks the holder for when a pass without a contact is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personalization: Option<Personalization>,
    /// Keys of Apple's pass.json that are set as they stand, over everything else; their texts may hold placeholders.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub apple: Map<String, Value>,
    /// Keys of Google's class that are set as they stand, over everything else; where each flight has a class of its own, their
    /// texts may hold placeholders.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub google: Map<String, Value>,
    /// Keys of Google's object that are set as they stand, over everything else; their texts may hold placeholders.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub google_object: Map<String, Value>,
}

fn default_message_label() -> String {
    "News".to_owned()
}

fn default_language() -> String {
    "en".to_owned()
}

fn is_default_language(language: &String) -> bool {
    language == "en"
}

impl Design {
    /// A design with nothing but its names.
    #[must_use]
    pub fn new(issuer: impl Into<String>, title: Text, description: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            title,
            description: description.into(),
            colors: Colors::default(),
            images: BTreeMap::new(),
            fields: Vec::new(),
            barcode: None,
            links: Vec::new(),
            message_label: default_message_label(),
            language: default_language(),
            translations: BTreeMap::new(),
            relevance: Relevance::default(),
            transit: None,
            rich_style: None,
            semantics: Map::new(),
            nfc: None,
            personalization: None,
            apple: Map::new(),
            google: Map::new(),
            google_object: Map::new(),
        }
    }

    /// The hashes of all its images, those of its translations included, each with its place as a dotted path.
    pub fn image_hashes(&self) -> impl Iterator<Item = (String, &str)> {
        let own = self.images.iter().map(|(role, set)| (format!("images.{}", role.key()), set));
        let translated = self.translations.iter().flat_map(|(language, translation)| {
            translation.images.iter().map(move |(role, set)| (format!("translations.{language}.images.{}", role.key()), set))
        });
        let sets = own.chain(translated);
        let packed = sets.flat_map(|(path, set)| set.hashes().map(move |(size, hash)| (format!("{path}.{size}"), hash)));
        packed.chain(self.fetched_images())
    }

    /// The images among them that phones fetch, those of upcoming events:
    /// `apple.upcomingPassInformation.0.images.headerImage.image.x2`.
    pub fn fetched_images(&self) -> impl Iterator<Item = (String, &str)> {
        let entries = self.apple.get("upcomingPassInformation").and_then(Value::as_array);
        let pictures = entries.into_iter().flatten().enumerate().flat_map(|(at, entry)| {
            let images = entry["images"].as_object().into_iter().flatten();
            images.map(move |(name, picture)| {
                (format!("apple.upcomingPassInformation.{at}.images.{name}.image"), &picture["image"])
            })
        });
        pictures.flat_map(|(path, image)| {
            let sizes = image.as_object().into_iter().flatten();
            sizes.filter_map(move |(size, hash)| Some((format!("{path}.{size}"), hash.as_str()?)))
        })
    }
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
