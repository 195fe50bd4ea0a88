//! How a design looks in the OpenAPI document, see [`super::schema`].
#![allow(dead_code, reason = "these types exist for their schema")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// What a pass looks like and says. Texts may hold placeholders such as `{{fields.points}}`, `{{balances.points}}`,
/// `{{contact.name}}`, `{{pass.code}}`, `{{variant.name}}` and `{{project.name}}`.
#[derive(ToSchema)]
#[schema(as = Design)]
#[serde(deny_unknown_fields)]
pub(crate) struct Design {
    /// Who issues it: Apple `organizationName`, Google `issuerName`.
    issuer: String,
    /// What it is called: Apple `logoText`, Google programme, offer or event name.
    title: String,
    /// What VoiceOver says: Apple `description`.
    description: String,
    /// Its colours.
    #[schema(required = false)]
    colors: Colors,
    /// Its images by role: `icon`, `logo`, `strip`, `thumbnail`, `background`, `footer`, `artwork`, `primary_logo`,
    /// `secondary_logo`, `personalization_logo`.
    #[schema(required = false)]
    images: BTreeMap<String, ImageSet>,
    /// What it says, in order; at most 40.
    #[schema(required = false)]
    fields: Vec<DesignField>,
    /// Its barcode.
    #[schema(required = false)]
    barcode: Option<Barcode>,
    /// Links on its back.
    #[schema(required = false)]
    links: Vec<Link>,
    /// Label of the back field that shows the last message to the holder.
    #[schema(required = false, default = "News")]
    message_label: String,
    /// BCP 47 tag of the language that its texts are written in.
    #[schema(required = false, default = "en")]
    language: String,
    /// Its texts and images in other languages, by BCP 47 tag.
    #[schema(required = false)]
    translations: BTreeMap<String, Translation>,
    /// When and where a phone brings it up.
    #[schema(required = false)]
    relevance: Relevance,
    /// By what a boarding or transit pass travels.
    transit: Option<TransitMode>,
    /// The newer look that a phone shows where it can; older ones show the classic style.
    rich_style: Option<RichStyle>,
    /// Machine-readable facts by Apple's semantic tags; their texts may hold placeholders.
    #[schema(required = false, value_type = Object)]
    semantics: serde_json::Map<String, serde_json::Value>,
    /// What a contactless reader gets.
    nfc: Option<Nfc>,
    /// What Apple Wallet asks the holder for when a pass without a contact is added; needs `nfc`.
    personalization: Option<Personalization>,
    /// Keys of Apple's pass.json that are set as they stand, over everything else; their texts may hold placeholders. In the
    /// pictures of `upcomingPassInformation`, `{"image": {"x2": sha256, "x3": sha256}}` names uploaded images: phones get their
    /// addresses here, with their hashes.
    #[schema(required = false, value_type = Object)]
    apple: serde_json::Map<String, serde_json::Value>,
    /// Keys of Google's class that are set as they stand, over everything else. The class is what all passes of the template
    /// share; where each flight has one of its own, their texts may hold placeholders.
    #[schema(required = false, value_type = Object)]
    google: serde_json::Map<String, serde_json::Value>,
    /// Keys of Google's object, what one holder has, that are set as they stand, over everything else: `notifications`,
    /// `appLinkData`, `groupingInfo` and so on; their texts may hold placeholders.
    #[schema(required = false, value_type = Object)]
    google_object: serde_json::Map<String, serde_json::Value>,
}

/// Colours as `#RRGGBB`.
#[derive(ToSchema)]
#[schema(as = Colors)]
#[serde(deny_unknown_fields)]
pub(crate) struct Colors {
    /// Behind everything.
    background: Option<String>,
    /// Of values.
    foreground: Option<String>,
    /// Of labels.
    label: Option<String>,
}

/// An image at one, two and three pixels a point: the `sha256` of uploaded images.
#[derive(ToSchema)]
#[schema(as = ImageSet)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageSet {
    /// One pixel a point.
    x1: Option<String>,
    /// Two pixels a point.
    x2: Option<String>,
    /// Three pixels a point.
    x3: Option<String>,
    /// In the size that Google asks for; without it the largest of the others is taken.
    google: Option<String>,
}

/// What an image is for: its key among the images of a design.
#[derive(ToSchema)]
#[schema(as = ImageRole, rename_all = "snake_case")]
pub(crate) enum ImageRole {
    Icon,
    Logo,
    Strip,
    Thumbnail,
    Background,
    Footer,
    Artwork,
    PrimaryLogo,
    SecondaryLogo,
    PersonalizationLogo,
}

/// Something the pass says.
#[derive(ToSchema)]
#[schema(as = DesignField)]
#[serde(deny_unknown_fields)]
pub(crate) struct DesignField {
    /// Its key, unique in the design.
    key: String,
    /// Its label.
    #[schema(required = false)]
    label: String,
    /// Its value, may hold placeholders.
    value: String,
    /// Where it stands; the names of Apple's groups.
    place: FieldPlace,
    /// What the lock screen says when it changes; must contain `%@`, which becomes the new value.
    change_message: Option<String>,
    /// How a number is written.
    number: Option<NumberFormat>,
    /// How a time is written.
    date: Option<DateFormat>,
    /// To which side it is aligned; not for primary and back fields.
    alignment: Option<Alignment>,
    /// Keys of Apple's field that are set as they stand, over everything else; their texts may hold placeholders.
    #[schema(required = false, value_type = Object)]
    apple: serde_json::Map<String, serde_json::Value>,
}

/// How a time is written: the day, the hour, relative to now, and by the clocks of the place that it was given in.
#[derive(ToSchema)]
#[schema(as = DateFormat)]
#[serde(deny_unknown_fields)]
pub(crate) struct DateFormat {
    /// The day.
    date: Option<DateLength>,
    /// The hour.
    time: Option<DateLength>,
    /// Relative to now, such as “in 2 days”.
    #[schema(required = false)]
    relative: bool,
    /// By the clocks of the place that the time was given in, wherever the holder is.
    #[schema(required = false)]
    local: bool,
}

/// How much of a day or an hour is written.
#[derive(ToSchema)]
#[schema(as = DateLength, rename_all = "snake_case")]
pub(crate) enum DateLength {
    None,
    Short,
    Medium,
    Long,
    Full,
}

/// To which side a field is aligned.
#[derive(ToSchema)]
#[schema(as = Alignment, rename_all = "snake_case")]
pub(crate) enum Alignment {
    Left,
    Center,
    Right,
    Natural,
}

/// Where a field stands.
#[derive(ToSchema)]
#[schema(as = FieldPlace, rename_all = "snake_case")]
pub(crate) enum FieldPlace {
    Header,
    Primary,
    Secondary,
    Auxiliary,
    Back,
    AdditionalInfo,
    Footer,
}

/// How a number is written: by the holder's locale, as a percentage, or as money of an ISO 4217 code.
#[derive(ToSchema)]
#[schema(as = NumberFormat, rename_all = "snake_case")]
pub(crate) enum NumberFormat {
    Decimal,
    Percent,
    /// As money of this ISO 4217 code.
    Currency(String),
}

/// A barcode.
#[derive(ToSchema)]
#[schema(as = Barcode)]
#[serde(deny_unknown_fields)]
pub(crate) struct Barcode {
    /// Its symbology.
    format: BarcodeFormat,
    /// What it encodes, may hold placeholders.
    value: String,
    /// The text below it, may hold placeholders.
    alt_text: Option<String>,
}

/// Symbologies. A wallet that does not draw one shows a QR code of the same value.
#[derive(ToSchema)]
#[schema(as = BarcodeFormat, rename_all = "snake_case")]
pub(crate) enum BarcodeFormat {
    Qr,
    Pdf417,
    Aztec,
    Code128,
    Code39,
    Codabar,
    Ean13,
    Itf,
    Ean8,
    UpcA,
    DataMatrix,
}

/// A link on the back.
#[derive(ToSchema)]
#[schema(as = Link)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// What it says.
    label: String,
    /// Where it leads: https, mailto or tel.
    url: String,
}

/// Texts and images of a design in one language.
#[derive(ToSchema)]
#[schema(as = Translation)]
#[serde(deny_unknown_fields)]
pub(crate) struct Translation {
    /// What each text of the design, or each value that a pass may show, is in this language.
    #[schema(required = false)]
    texts: BTreeMap<String, String>,
    /// Images that are others in this language, by role; Apple only.
    #[schema(required = false)]
    images: BTreeMap<String, ImageSet>,
}

/// When and where a phone brings a pass up.
#[derive(ToSchema)]
#[schema(as = Relevance)]
#[serde(deny_unknown_fields)]
pub(crate) struct Relevance {
    /// Moments and intervals of at most 24 hours.
    #[schema(required = false)]
    dates: Vec<RelevantTime>,
    /// Places, at most ten.
    #[schema(required = false, max_items = 10)]
    locations: Vec<NearPlace>,
    /// iBeacons, at most ten; Apple only.
    #[schema(required = false, max_items = 10)]
    beacons: Vec<NearBeacon>,
    /// Radius around the places in metres; Apple only.
    max_distance: Option<f64>,
    /// Google only: whether the holder of a generic pass is told shortly before it begins, which is its validity's beginning or
    /// else the first of the dates.
    #[schema(required = false)]
    tell_before_start: bool,
    /// Google only: whether the holder of a generic pass is told shortly before its validity ends.
    #[schema(required = false)]
    tell_before_end: bool,
}

/// A moment as `at`, or an interval as `start` and `end`: each one placeholder, or a time with its zone.
#[derive(ToSchema)]
#[schema(as = RelevantTime)]
#[serde(untagged)]
pub(crate) enum RelevantTime {
    /// A moment.
    At {
        /// When.
        at: String,
    },
    /// An interval.
    Between {
        /// From when.
        start: String,
        /// Until when.
        end: String,
    },
}

/// A place where a pass is relevant.
#[derive(ToSchema)]
#[schema(as = NearPlace)]
#[serde(deny_unknown_fields)]
pub(crate) struct NearPlace {
    /// Degrees north.
    #[schema(minimum = -90, maximum = 90)]
    latitude: f64,
    /// Degrees east.
    #[schema(minimum = -180, maximum = 180)]
    longitude: f64,
    /// Metres above sea level.
    altitude: Option<f64>,
    /// What the lock screen says there; Apple only.
    text: Option<String>,
}

/// An iBeacon near which a pass is relevant.
#[derive(ToSchema)]
#[schema(as = NearBeacon)]
#[serde(deny_unknown_fields)]
pub(crate) struct NearBeacon {
    /// UUID of its region.
    #[schema(value_type = uuid::Uuid)]
    uuid: uuid::Uuid,
    /// Major number; all when absent.
    major: Option<u16>,
    /// Minor number; all when absent.
    minor: Option<u16>,
    /// What the lock screen says there.
    text: Option<String>,
}

/// By what one travels.
#[derive(ToSchema)]
#[schema(as = TransitMode, rename_all = "snake_case")]
pub(crate) enum TransitMode {
    Air,
    Train,
    Bus,
    Boat,
    Generic,
}

/// A newer look: event tickets as posters (iOS 18), boarding passes drawn from semantic tags (iOS 26), generic passes as
/// posters (iOS 27).
#[derive(ToSchema)]
#[schema(as = RichStyle, rename_all = "snake_case")]
pub(crate) enum RichStyle {
    PosterEventTicket,
    SemanticBoardingPass,
    PosterGeneric,
}

/// What a contactless reader gets.
#[derive(ToSchema)]
#[schema(as = Nfc)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nfc {
    /// The payload, at most 64 bytes, may hold placeholders.
    message: String,
    /// Apple: the reader's P-256 key as base64 of its SubjectPublicKeyInfo.
    encryption_public_key: Option<String>,
    /// Apple: whether Face ID, Touch ID or the passcode is asked for first.
    requires_authentication: Option<bool>,
}

/// What Apple Wallet asks the holder for.
#[derive(ToSchema)]
#[schema(as = Personalization)]
#[serde(deny_unknown_fields)]
pub(crate) struct Personalization {
    /// What the programme is.
    description: String,
    /// What is asked for.
    fields: Vec<PersonalizationField>,
    /// Terms to accept; may be HTML.
    terms: Option<String>,
}

/// What a sign-up form asks for.
#[derive(ToSchema)]
#[schema(as = PersonalizationField, rename_all = "snake_case")]
pub(crate) enum PersonalizationField {
    Name,
    Email,
    Phone,
    PostalCode,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_design_has_the_domains_fields() {
        let full = json!({
            "issuer": "Café", "title": "Card", "description": "A card",
            "colors": {"background": "#000000", "foreground": "#ffffff", "label": "#cccccc"},
            "images": {"icon": {"x1": "a", "x2": "b", "x3": "c", "google": "d"}},
            "fields": [{"key": "k", "label": "l", "value": "{{balances.points}}", "place": "header",
                        "change_message": "%@", "number": "decimal", "alignment": "right", "apple": {"row": 1},
                        "date": {"date": "long", "time": "none", "relative": true, "local": true}}],
            "barcode": {"format": "qr", "value": "{{pass.code}}", "alt_text": "a"},
            "links": [{"label": "l", "url": "https://example.com"}],
            "language": "de", "translations": {"en": {"texts": {"a": "b"}, "images": {"logo": {"x1": "a"}}}},
            "relevance": {
                "dates": [{"at": "{{fields.t}}"}, {"start": "2026-11-20T18:30:00Z", "end": "2026-11-20T19:30:00Z"}],
                "locations": [{"latitude": 52.5, "longitude": 13.4, "altitude": 34, "text": "t"}],
                "beacons": [{"uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 1, "minor": 2, "text": "t"}],
                "max_distance": 100, "tell_before_start": true, "tell_before_end": true
            },
            "transit": "bus", "rich_style": "poster_generic", "semantics": {"eventName": "e"},
            "nfc": {"message": "m", "encryption_public_key": "k", "requires_authentication": true},
            "personalization": {"description": "d", "fields": ["name", "email", "phone", "postal_code"], "terms": "t"},
            "message_label": "News", "apple": {"k": 1}, "google": {"k": 1}, "google_object": {"k": 1},
        });
        let design: domain::Design = serde_json::from_value(full.clone()).unwrap();
        assert_eq!(serde_json::to_value(&design).unwrap(), full);
        let keys = |schema: Value| -> Vec<String> { schema["properties"].as_object().unwrap().keys().cloned().collect() };
        let sorted = |mut keys: Vec<String>| {
            keys.sort();
            keys
        };
        let of = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        let schema = |value: utoipa::openapi::RefOr<utoipa::openapi::Schema>| keys(serde_json::to_value(value).unwrap());
        assert_eq!(sorted(schema(Design::schema())), sorted(of(&full)));
        assert_eq!(sorted(schema(DesignField::schema())), sorted(of(&full["fields"][0])));
        assert_eq!(sorted(schema(Barcode::schema())), sorted(of(&full["barcode"])));
        assert_eq!(sorted(schema(Colors::schema())), sorted(of(&full["colors"])));
        assert_eq!(sorted(schema(ImageSet::schema())), sorted(of(&full["images"]["icon"])));
        assert_eq!(sorted(schema(DateFormat::schema())), sorted(of(&full["fields"][0]["date"])));
        assert_eq!(sorted(schema(Translation::schema())), sorted(of(&full["translations"]["en"])));
        assert_eq!(sorted(schema(Relevance::schema())), sorted(of(&full["relevance"])));
        assert_eq!(sorted(schema(NearPlace::schema())), sorted(of(&full["relevance"]["locations"][0])));
        assert_eq!(sorted(schema(NearBeacon::schema())), sorted(of(&full["relevance"]["beacons"][0])));
        assert_eq!(sorted(schema(Nfc::schema())), sorted(of(&full["nfc"])));
        assert_eq!(sorted(schema(Personalization::schema())), sorted(of(&full["personalization"])));
    }
}
