//! The pieces that classes and objects are made of.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Keys that this version does not know; they survive a round trip unchanged.
pub type Extra = Map<String, Value>;

/// A text in one language.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TranslatedString {
    /// BCP 47 language tag, as `en-GB`.
    pub language: String,
    /// The text.
    pub value: String,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A text and its translations; Google shows the one that fits the phone's language.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalizedString {
    /// Shown when no translation fits. Required by Google.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_value: Option<TranslatedString>,
    /// The translations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub translated_values: Vec<TranslatedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Where Google fetches an image from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageUri {
    /// A public https address of a PNG or JPEG.
    pub uri: String,
    /// Spoken by screen readers; Google keeps it for old clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_description: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image that Google fetches and keeps by its address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_uri: Option<ImageUri>,
    /// Spoken by screen readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_description: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The symbology of a barcode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarcodeType {
    /// Aztec.
    #[serde(rename = "AZTEC", alias = "aztec")]
    Aztec,
    /// Code 39.
    #[serde(rename = "CODE_39", alias = "code39")]
    Code39,
    /// Code 128.
    #[serde(rename = "CODE_128", alias = "code128")]
    Code128,
    /// Codabar.
    #[serde(rename = "CODABAR", alias = "codabar")]
    Codabar,
    /// Data Matrix, which Apple Wallet cannot show.
    #[serde(rename = "DATA_MATRIX", alias = "dataMatrix")]
    DataMatrix,
    /// EAN-8, which Apple Wallet cannot show.
    #[serde(rename = "EAN_8", alias = "ean8")]
    Ean8,
    /// EAN-13.
    #[serde(rename = "EAN_13", alias = "ean13", alias = "EAN13")]
    Ean13,
    /// ITF-14.
    #[serde(rename = "ITF_14", alias = "itf14")]
    Itf14,
    /// PDF417.
    #[serde(rename = "PDF_417", alias = "pdf417", alias = "PDF417")]
    Pdf417,
    /// QR code.
    #[serde(rename = "QR_CODE", alias = "qrCode", alias = "qrcode")]
    QrCode,
    /// UPC-A, which Apple Wallet cannot show.
    #[serde(rename = "UPC_A", alias = "upcA")]
    UpcA,
    /// No symbol, only the text.
    #[serde(rename = "TEXT_ONLY", alias = "textOnly")]
    TextOnly,
    /// A value that this version does not know, kept as it came.
    #[serde(untagged)]
    Other(String),
}

/// The one barcode of an object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Barcode {
    /// The symbology.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<BarcodeType>,
    /// What a scanner reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The line below the symbol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternate_text: Option<String>,
    /// `UTF_8` when the value is not Latin-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub render_encoding: Option<String>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A labelled text on the card's details.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TextModule {
    /// Names the module, so that a template row can point at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The label in several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_header: Option<LocalizedString>,
    /// The text in several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_body: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A link, a telephone number (`tel:`) or an e-mail address (`mailto:`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Uri {
    /// Names the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// What the holder reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the holder reads, in several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_description: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The links below the details.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LinksModule {
    /// In the order in which they are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<Uri>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A full-width image among the details.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageModule {
    /// Names the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_image: Option<Image>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An instant or a local time, as Google writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DateTime {
    /// ISO 8601, with or without an offset, as `2026-11-20T20:00:00Z`.
    pub date: String,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A span of time, open at the ends that are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TimeInterval {
    /// Its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<DateTime>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<DateTime>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a message does when it arrives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageType {
    /// It is shown on the card.
    #[serde(rename = "TEXT", alias = "text")]
    Text,
    /// It is shown on the card and as an Android notification: three per pass in 24 hours.
    #[serde(rename = "TEXT_AND_NOTIFY")]
    TextAndNotify,
    /// A value that this version does not know, kept as it came.
    #[serde(untagged)]
    Other(String),
}

/// A message to the holder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Message {
    /// Names the message; the same id replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The headline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether the phone shows a notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_type: Option<MessageType>,
    /// When it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_interval: Option<TimeInterval>,
    /// The headline in several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_header: Option<LocalizedString>,
    /// The text in several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_body: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A place near which the phone may offer the pass.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MerchantLocation {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Where Google reports that a pass was saved or deleted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallbackOptions {
    /// An https address whose robots.txt lets Google's crawler in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Keeps passes of one issuer together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupingInfo {
    /// Passes with the same id are grouped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grouping_id: Option<String>,
    /// The order within the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_index: Option<i32>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

impl LocalizedString {
    /// A text without translations.
    #[must_use]
    pub fn new(language: &str, text: impl Into<String>) -> Self {
        let value = TranslatedString { language: language.to_owned(), value: text.into(), extra: Extra::new() };
        Self { default_value: Some(value), ..Self::default() }
    }

    /// The text that is shown when no translation fits; empty when there is none.
    #[must_use]
    pub fn text(&self) -> &str {
        self.default_value.as_ref().map_or("", |text| &text.value)
    }
}

impl Image {
    /// An image at a public https address.
    #[must_use]
    pub fn at(uri: impl Into<String>) -> Self {
        let source = ImageUri { uri: uri.into(), ..ImageUri::default() };
        Self { source_uri: Some(source), ..Self::default() }
    }

    /// The same image with words for screen readers.
    #[must_use]
    pub fn described(mut self, description: LocalizedString) -> Self {
        self.content_description = Some(description);
        self
    }
}

impl TextModule {
    /// A labelled text that a template row can point at by its id.
    #[must_use]
    pub fn new(id: impl Into<String>, header: impl Into<String>, body: impl Into<String>) -> Self {
        Self { id: Some(id.into()), header: Some(header.into()), body: Some(body.into()), ..Self::default() }
    }
}

impl DateTime {
    /// An instant or local time in ISO 8601.
    #[must_use]
    pub fn at(date: impl Into<String>) -> Self {
        Self { date: date.into(), extra: Extra::new() }
    }
}
