//! A pass that somebody else made becomes a design: `pass.json`, its images and its languages.
//!
//! Two steps keep it honest. What a design has words for is taken over; then the design is drawn, and whatever comes out
//! otherwise than it stood in the file is kept as a key that is set as it stands for Apple. What cannot be kept is said, with
//! its place. So a pass that is taken in and built again has the same `pass.json`, but for what names one pass.
//!
//! Files of Apple's own samples are not faultless; what Wallet forgives is forgiven here too.

mod bind;
mod differ;
mod fields;
mod pictures;
mod source;
mod words;

use domain::{
    BarcodeFormat, Colors, Design, NearBeacon, NearPlace, Nfc, Personalization, PersonalizationField, Project, ProjectKind,
    Relevance, RelevantTime, RichStyle, Text, TransitMode, is_language,
};
use pkpass::Package;
use pkpass::model::{Color, PERSONALIZATION_FILE, PersonalField, Style};
use serde_json::{Map, Value};

pub use pictures::ImportedPicture;
use source::Source;

use crate::values::Moment;

/// How a pass is taken in.
#[derive(Debug, Clone, Copy)]
pub struct ImportOptions<'a> {
    /// The project whose passes the design is to draw.
    pub project: &'a Project,
    /// The language that the design's texts shall be in; nothing when the file does not say and nobody else does.
    pub language: Option<&'a str>,
    /// Whether values that the project has under a field's key, or that name the pass, become placeholders.
    pub bind: bool,
}

/// A design that was read out of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The design, without its images.
    pub design: Design,
    /// Its images.
    pub pictures: Vec<ImportedPicture>,
    /// What became of the parts that a design has no words for.
    pub notes: Vec<ImportNote>,
}

/// What became of a part of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is not in the design.
    LeftOut,
    /// It is in the design in another form.
    Changed,
    /// It is kept as it stands, for Apple alone.
    AppleOnly,
    /// It became a placeholder.
    Bound,
    /// It is in the design as it stands, the same on every pass.
    Constant,
}

impl Outcome {
    /// A stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeftOut => "left_out",
            Self::Changed => "changed",
            Self::AppleOnly => "apple_only",
            Self::Bound => "bound",
            Self::Constant => "constant",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportNote {
    /// Where in the file: a path in `pass.json`, or a file's name.
    pub path: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, and what to do about it.
    pub reason: String,
}

/// What is to be said so far.
#[derive(Default)]
pub(crate) struct Notes(Vec<ImportNote>);

impl Notes {
    /// Most lines of a report.
    const MOST: usize = 500;

    fn say(&mut self, path: impl Into<String>, outcome: Outcome, reason: impl Into<String>) {
        if self.0.len() < Self::MOST {
            self.0.push(ImportNote { path: path.into(), outcome, reason: reason.into() });
        }
    }

    fn left_out(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.say(path, Outcome::LeftOut, reason);
    }
}

/// Why a file cannot become a design.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It has no `pass.json`.
    #[error("there is no pass.json in it: give a .pkpass, or a zipped .pass or .pkpasstemplate folder")]
    NoPass,
    /// `pass.json` cannot be read, even leniently.
    #[error("pass.json cannot be read: {0}")]
    Json(String),
    /// It has no style key.
    #[error("pass.json has none of the styles {}: it draws nothing", Style::KEYS.join(", "))]
    NoStyle,
    /// Its style is not the project's.
    #[error(
        "its style is {found}, and passes of this project are drawn as {wanted}: import it into a project of the kind {kinds}"
    )]
    OtherStyle {
        /// The file's.
        found: String,
        /// The project's.
        wanted: &'static str,
        /// The kinds of projects that would do.
        kinds: &'static str,
    },
    /// The language that was asked for is none.
    #[error("{0:?} is no language tag: give one such as en, pt-BR or zh-Hans")]
    Language(String),
}

/// Reads a design out of a pass.
///
/// # Errors
/// When the file has nothing that could become a design of this project.
pub fn import_pass(package: &Package, options: &ImportOptions<'_>) -> Result<Import, ImportError> {
    if let Some(language) = options.language.filter(|language| !is_language(language)) {
        return Err(ImportError::Language(language.to_owned()));
    }
    let mut notes = Notes::default();
    let mut json = pass_json(package)?;
    let words = words::read(package, options.language, &mut json, &mut notes);
    let style = style_of(&mut json, options.project.kind, &mut notes)?;
    let whole = json.clone();
    let mut source = Source::new(json, &mut notes);
    let mut design = looks(&mut source);
    words.write(&mut design);
    parts(&mut source, &mut design, options.project.kind);
    fields::read(&mut source, &mut design, style);
    design.personalization = personalization(package, source.notes);
    if design.personalization.is_some() && design.nfc.is_none() {
        design.personalization = None;
        source.notes.left_out(PERSONALIZATION_FILE, "Apple Wallet asks only for passes with `nfc`");
    }
    let rest = source.rest();
    differ::keep_the_rest(&mut design, options.project, &whole, &rest, &mut notes);
    if options.bind {
        bind::bind(&mut design, options.project, &whole, &mut notes);
    }
    bind::say_constants(&design, &mut notes);
    let pictures = pictures::read(package, &mut notes);
    Ok(Import { design, pictures, notes: notes.0 })
}

fn pass_json(package: &Package) -> Result<Map<String, Value>, ImportError> {
    let bytes = package.pass_json().ok_or(ImportError::NoPass)?;
    match pkpass::read_json(bytes) {
        Ok(Value::Object(json)) => Ok(json),
        Ok(_) => Err(ImportError::Json("it is no object".to_owned())),
        Err(fault) => Err(ImportError::Json(fault.to_string())),
    }
}

/// The project's style key and the kinds that share it.
fn style_of_kind(kind: ProjectKind) -> &'static str {
    match kind {
        ProjectKind::Membership | ProjectKind::GiftCard => "storeCard",
        ProjectKind::Coupon => "coupon",
        ProjectKind::EventTicket => "eventTicket",
        ProjectKind::BoardingPass | ProjectKind::Transit => "boardingPass",
        ProjectKind::Generic => "generic",
    }
}

fn kinds_of_style(style: &str) -> &'static str {
    match style {
        "storeCard" => "membership or gift_card",
        "coupon" => "coupon",
        "eventTicket" => "event_ticket",
        "boardingPass" => "boarding_pass or transit",
        _ => "generic",
    }
}

/// The style key of the pass, which has to be the project's.
fn style_of(json: &mut Map<String, Value>, kind: ProjectKind, notes: &mut Notes) -> Result<&'static str, ImportError> {
    let wanted = style_of_kind(kind);
    if !Style::KEYS.iter().any(|key| json.contains_key(*key))
        && let Some(poster) = json.remove("posterGeneric")
    {
        notes.say("posterGeneric", Outcome::Changed, "it stood alone: older phones get the same fields as `generic`");
        json.insert("generic".to_owned(), poster.clone());
        json.insert("posterGeneric".to_owned(), poster);
    }
    let found = Style::KEYS.iter().filter(|key| json.contains_key(**key)).copied();
    let mut found: Vec<&str> = found.collect();
    if let Some(at) = found.iter().position(|key| *key == wanted) {
        found.remove(at);
        for other in found {
            json.remove(other);
            notes.left_out(other, format!("a pass has one style, and the project's is {wanted}"));
        }
        return Ok(wanted);
    }
    match found.first() {
        None => Err(ImportError::NoStyle),
        Some(found) => Err(ImportError::OtherStyle { found: (*found).to_owned(), wanted, kinds: kinds_of_style(found) }),
    }
}

/// Names and colours.
fn looks(source: &mut Source<'_>) -> Design {
    let issuer = source.text("organizationName").unwrap_or_default();
    let title = source.template("logoText").or_else(|| Text::parse(&issuer).ok()).unwrap_or_default();
    let description = source.text("description").unwrap_or_default();
    let mut design = Design::new(issuer, title, description);
    let mut color = |key: &str| {
        let text = source.text(key)?;
        match text.parse::<Color>() {
            Ok(Color { red, green, blue }) => Some(format!("#{red:02X}{green:02X}{blue:02X}")),
            Err(fault) => {
                source.notes.left_out(key, fault.to_string());
                None
            }
        }
    };
    design.colors =
        Colors { background: color("backgroundColor"), foreground: color("foregroundColor"), label: color("labelColor") };
    design
}

/// Everything beside fields and looks that a design has words for.
fn parts(source: &mut Source<'_>, design: &mut Design, kind: ProjectKind) {
    design.barcode = barcode(source);
    design.nfc = nfc(source);
    design.relevance = relevance(source);
    design.semantics = source.object("semantics").unwrap_or_default();
    let schemes = source.peek("preferredStyleSchemes").and_then(|schemes| schemes[0].as_str()).unwrap_or_default();
    design.rich_style = match (schemes, kind) {
        ("posterEventTicket", ProjectKind::EventTicket) => Some(RichStyle::PosterEventTicket),
        ("semanticBoardingPass", ProjectKind::BoardingPass) => Some(RichStyle::SemanticBoardingPass),
        _ if kind == ProjectKind::Generic && source.peek("posterGeneric").is_some() => Some(RichStyle::PosterGeneric),
        _ => None,
    };
    if matches!(kind, ProjectKind::BoardingPass | ProjectKind::Transit) {
        design.transit = match source.peek("boardingPass").and_then(|style| style["transitType"].as_str()) {
            Some("PKTransitTypeAir") => Some(TransitMode::Air),
            Some("PKTransitTypeTrain") => Some(TransitMode::Train),
            Some("PKTransitTypeBus") => Some(TransitMode::Bus),
            Some("PKTransitTypeBoat") => Some(TransitMode::Boat),
            Some("PKTransitTypeGeneric") => Some(TransitMode::Generic),
            _ => None,
        };
    }
}

/// The first barcode that a design knows; the wallets' own fallbacks are added when the pass is drawn.
fn barcode(source: &mut Source<'_>) -> Option<domain::Barcode> {
    let single = source.take("barcode");
    let mut all = source.list("barcodes");
    if all.is_empty() {
        all.extend(single);
    }
    let mut taken = None;
    for (index, code) in all.iter().enumerate() {
        let path = format!("barcodes[{index}]");
        let format = match code["format"].as_str().unwrap_or_default() {
            "PKBarcodeFormatQR" => BarcodeFormat::Qr,
            "PKBarcodeFormatPDF417" => BarcodeFormat::Pdf417,
            "PKBarcodeFormatAztec" => BarcodeFormat::Aztec,
            "PKBarcodeFormatCode128" => BarcodeFormat::Code128,
            "PKBarcodeFormatCode39" => BarcodeFormat::Code39,
            "PKBarcodeFormatCodabar" => BarcodeFormat::Codabar,
            "PKBarcodeFormatEAN13" => BarcodeFormat::Ean13,
            "PKBarcodeFormatI2of5" => BarcodeFormat::Itf,
            other => {
                source.notes.left_out(path, format!("the format {other:?} is none of Apple's"));
                continue;
            }
        };
        let Some(value) = code["message"].as_str() else {
            source.notes.left_out(path, "it has no message");
            continue;
        };
        if taken.is_some() {
            source.notes.left_out(path, "a design has one barcode; phones that cannot draw it get a QR code of the same value");
            continue;
        }
        source.only(&path, code, &["format", "message", "messageEncoding", "altText"]);
        let value = source.parse(&format!("{path}.message"), value);
        let alt_text = code["altText"].as_str().map(|text| source.parse(&format!("{path}.altText"), text));
        taken = Some(domain::Barcode { format, value, alt_text });
    }
    taken
}

fn nfc(source: &mut Source<'_>) -> Option<Nfc> {
    let nfc = source.peek("nfc")?.clone();
    let message = nfc["message"].as_str().unwrap_or_default();
    if message.is_empty() || message.len() > 64 {
        source.notes.left_out("nfc", "its message has to have 1 to 64 bytes");
        source.take("nfc");
        return None;
    }
    Some(Nfc {
        message: source.parse("nfc.message", message),
        encryption_public_key: nfc["encryptionPublicKey"].as_str().map(str::to_owned),
        requires_authentication: nfc["requiresAuthentication"].as_bool(),
    })
}

fn relevance(source: &mut Source<'_>) -> Relevance {
    let mut relevance = Relevance::default();
    let single = source.take("relevantDate");
    let mut dates = source.list("relevantDates");
    match single {
        Some(single) if dates.is_empty() => dates.push(serde_json::json!({"date": single})),
        Some(single) if !["date", "relevantDate", "startDate"].iter().any(|key| differ::same(&dates[0][key], &single)) => {
            source.notes.left_out("relevantDate", "phones that look at it get the first of `relevantDates`");
        }
        _ => {}
    }
    for (index, date) in dates.iter().enumerate() {
        source.only(&format!("relevantDates[{index}]"), date, &["date", "relevantDate", "startDate", "endDate"]);
        let time = |key: &str| {
            let text = date[key].as_str()?;
            Moment::parse(text).and_then(|moment| Text::parse(&moment.wallet()).ok())
        };
        match (time("date").or_else(|| time("relevantDate")), time("startDate"), time("endDate")) {
            (Some(at), _, _) => relevance.dates.push(RelevantTime::At { at }),
            (None, Some(start), Some(end)) => relevance.dates.push(RelevantTime::Between { start, end }),
            _ => source.notes.left_out(format!("relevantDates[{index}]"), "it has no time with a zone, or no end"),
        }
    }
    relevance.locations = places(source, "locations", near_place);
    relevance.beacons = places(source, "beacons", near_beacon);
    relevance.max_distance = match source.take("maxDistance") {
        Some(Value::Number(metres)) if metres.as_f64().is_some_and(|metres| metres > 0.0) => Some(metres),
        None => None,
        Some(_) => {
            source.notes.left_out("maxDistance", "it is no number of metres, and so phones do not read it either");
            None
        }
    };
    relevance
}

fn places<T>(source: &mut Source<'_>, key: &str, read: impl Fn(&mut Source<'_>, &str, &Value) -> Option<T>) -> Vec<T> {
    let listed = source.list(key);
    let mut taken = Vec::new();
    for (index, place) in listed.iter().enumerate() {
        let path = format!("{key}[{index}]");
        if taken.len() == Relevance::MAX_PLACES {
            source.notes.left_out(path, "phones look at ten entries and ignore the rest");
            continue;
        }
        match read(source, &path, place) {
            Some(place) => taken.push(place),
            None => source.notes.left_out(path, "it has no place that could be found"),
        }
    }
    taken
}

fn near_place(source: &mut Source<'_>, path: &str, place: &Value) -> Option<NearPlace> {
    let degrees = |key: &str, bound: f64| {
        let Value::Number(number) = &place[key] else { return None };
        number.as_f64().filter(|degrees| degrees.abs() <= bound).map(|_| number.clone())
    };
    Some(NearPlace {
        latitude: degrees("latitude", 90.0)?,
        longitude: degrees("longitude", 180.0)?,
        altitude: degrees("altitude", f64::MAX),
        text: place["relevantText"].as_str().map(|text| source.parse(&format!("{path}.relevantText"), text)),
    })
}

fn near_beacon(source: &mut Source<'_>, path: &str, beacon: &Value) -> Option<NearBeacon> {
    let number = |key: &str| beacon[key].as_u64().and_then(|number| u16::try_from(number).ok());
    Some(NearBeacon {
        uuid: serde_json::from_value(beacon["proximityUUID"].clone()).ok()?,
        major: number("major"),
        minor: number("minor"),
        text: beacon["relevantText"].as_str().map(|text| source.parse(&format!("{path}.relevantText"), text)),
    })
}

fn personalization(package: &Package, notes: &mut Notes) -> Option<Personalization> {
    let file = package.file(PERSONALIZATION_FILE)?;
    let form: Option<pkpass::model::Personalization> =
        pkpass::read_json(file).ok().and_then(|json| serde_json::from_value(json).ok());
    let Some(form) = form else {
        notes.left_out(PERSONALIZATION_FILE, "it has no `requiredPersonalizationFields` and `description`");
        return None;
    };
    let mut fields = Vec::new();
    for field in &form.required_personalization_fields {
        fields.push(match field {
            PersonalField::Name => PersonalizationField::Name,
            PersonalField::EmailAddress => PersonalizationField::Email,
            PersonalField::PhoneNumber => PersonalizationField::Phone,
            PersonalField::PostalCode => PersonalizationField::PostalCode,
            PersonalField::Other(word) => {
                notes.left_out(PERSONALIZATION_FILE, format!("{word:?} is nothing that Wallet asks for"));
                continue;
            }
        });
    }
    Some(Personalization { description: form.description, fields, terms: form.terms_and_conditions })
}

#[cfg(test)]
mod tests;
