//! What is wrong with a design, said before it is stored.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Design, DesignField, FieldPlace, ImageRole, NumberFormat, Relevance, RichStyle, is_language};
use crate::{Project, ProjectKind, Text, Timestamp};

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No wallet could make sense of it: it is not saved.
    Wrong,
    /// Something is not there yet: a draft may be saved so, and not be published.
    Missing,
}

/// A fault of a design.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesignProblem {
    /// How bad it is.
    pub fault: Fault,
    /// Which part, as a dotted path.
    pub path: String,
    /// What to change.
    pub message: String,
}

/// What was found so far.
struct Found(Vec<DesignProblem>);

impl Found {
    fn add(&mut self, fault: Fault, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(DesignProblem { fault, path: path.into(), message: message.into() });
    }

    fn wrong(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.add(Fault::Wrong, path, message);
    }

    fn missing(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.add(Fault::Missing, path, message);
    }
}

impl Design {
    /// Most fields of a design.
    pub const MAX_FIELDS: usize = 40;
    /// Most links of a design.
    pub const MAX_LINKS: usize = 20;
    /// Most languages that a design is translated into.
    pub const MAX_TRANSLATIONS: usize = 60;
    /// Longest NFC payload, in bytes, as far as it is known beforehand.
    const MAX_NFC_BYTES: usize = 64;

    /// The faults that would keep a wallet from showing its passes, or a placeholder from being filled.
    pub fn problems(&self, project: &Project) -> Vec<DesignProblem> {
        let mut found = Found(Vec::new());
        self.check_looks(project.is_google_alone(), &mut found);
        self.check_fields(&mut found);
        self.check_links(&mut found);
        self.check_relevance(&mut found);
        self.check_translations(&mut found);
        self.check_wallet_parts(project.kind, &mut found);
        for (path, text) in self.texts() {
            for name in text.names().filter(|name| !is_known_name(name, project)) {
                found.missing(path.clone(), format!("nothing is called {name:?}: see the project's fields and balances"));
            }
        }
        for (path, keys) in self.overrides() {
            check_texts_of_json(&path, keys, project, &mut found);
        }
        found.0
    }

    fn check_looks(&self, google_alone: bool, found: &mut Found) {
        for (path, text) in [("issuer", &self.issuer), ("description", &self.description)] {
            if text.trim().is_empty() {
                found.missing(path, "must not be empty: wallets refuse a pass without it");
            }
        }
        let colors =
            [("background", &self.colors.background), ("foreground", &self.colors.foreground), ("label", &self.colors.label)];
        for (name, color) in colors {
            if color.as_ref().is_some_and(|color| !is_hex_color(color)) {
                found.wrong(format!("colors.{name}"), "expected #RRGGBB");
            }
        }
        if !google_alone && self.images.get(&ImageRole::Icon).is_none_or(|icon| icon.x2.is_none()) {
            found.missing("images.icon.x2", "missing: Apple Wallet refuses a pass without an icon");
        }
    }

    fn check_fields(&self, found: &mut Found) {
        if self.fields.len() > Self::MAX_FIELDS {
            found.wrong("fields", format!("more than {} fields", Self::MAX_FIELDS));
        }
        let mut keys = BTreeSet::new();
        for (index, field) in self.fields.iter().enumerate() {
            let path = format!("fields.{index}");
            if field.key.is_empty() || !keys.insert(field.key.as_str()) {
                found.wrong(format!("{path}.key"), "empty or used twice: Apple Wallet refuses duplicate keys");
            }
            if field.change_message.as_ref().is_some_and(|message| !message.contains("%@")) {
                found.wrong(format!("{path}.change_message"), "must contain %@, which becomes the new value");
            }
            if field.alignment.is_some() && matches!(field.place, FieldPlace::Primary | FieldPlace::Back) {
                found.wrong(format!("{path}.alignment"), "primary and back fields have none: remove it");
            }
            check_formats(&path, field, found);
        }
    }

    fn check_links(&self, found: &mut Found) {
        if self.links.len() > Self::MAX_LINKS {
            found.wrong("links", format!("more than {} links", Self::MAX_LINKS));
        }
        for (index, link) in self.links.iter().enumerate() {
            if !["https://", "mailto:", "tel:"].iter().any(|scheme| link.url.starts_with(scheme)) {
                found.wrong(format!("links.{index}.url"), "must start with https://, mailto: or tel:");
            }
        }
    }

    fn check_relevance(&self, found: &mut Found) {
        let relevance = &self.relevance;
        for (index, date) in relevance.dates.iter().enumerate() {
            for (key, time) in date.times() {
                check_time(&format!("relevance.dates.{index}.{key}"), time, found);
            }
        }
        for (count, key) in [(relevance.locations.len(), "locations"), (relevance.beacons.len(), "beacons")] {
            if count > Relevance::MAX_PLACES {
                let path = format!("relevance.{key}.{}", Relevance::MAX_PLACES);
                found.wrong(path, "wallets look at ten entries and ignore the rest: keep the ten most important");
            }
        }
        for (index, place) in relevance.locations.iter().enumerate() {
            let path = format!("relevance.locations.{index}");
            for (key, number, bound) in [("latitude", &place.latitude, 90.0), ("longitude", &place.longitude, 180.0)] {
                if number.as_f64().is_none_or(|degrees| degrees.abs() > bound) {
                    found.wrong(format!("{path}.{key}"), format!("expected degrees from -{bound} to {bound}"));
                }
            }
        }
        if relevance.max_distance.as_ref().is_some_and(|metres| metres.as_f64().is_none_or(|metres| metres <= 0.0)) {
            found.wrong("relevance.max_distance", "expected metres, more than 0");
        }
    }

    fn check_translations(&self, found: &mut Found) {
        if !is_language(&self.language) {
            found.wrong("language", "expected a language tag such as en, pt-BR or zh-Hans");
        }
        if self.translations.len() > Self::MAX_TRANSLATIONS {
            found.wrong("translations", format!("more than {} languages", Self::MAX_TRANSLATIONS));
        }
        for (language, translation) in &self.translations {
            let path = format!("translations.{language}");
            if !is_language(language) {
                found.wrong(&path, "expected a language tag such as de, pt-BR or zh-Hans");
            } else if *language == self.language {
                found.wrong(&path, "the design itself is written in this language");
            }
            for source in translation.texts.keys() {
                if let Err(fault) = Text::parse(source) {
                    found.wrong(format!("{path}.texts"), format!("{source:?}: {fault}"));
                }
            }
        }
    }

    fn check_wallet_parts(&self, kind: ProjectKind, found: &mut Found) {
        if let Some(nfc) = &self.nfc
            && nfc.message.names().next().is_none()
            && nfc.message.source().len() > Self::MAX_NFC_BYTES
        {
            found.wrong("nfc.message", "longer than 64 bytes: a reader gets the rest cut off");
        }
        if let Some(form) = &self.personalization {
            if form.fields.is_empty() || form.description.trim().is_empty() {
                found.missing("personalization", "ask for at least one field and describe the programme");
            }
            if self.nfc.is_none() {
                found.missing("personalization", "Apple Wallet asks only for passes with `nfc`: add it");
            }
        }
        let wanted = match self.rich_style {
            Some(RichStyle::PosterEventTicket) => Some((ProjectKind::EventTicket, "event tickets")),
            Some(RichStyle::SemanticBoardingPass) => Some((ProjectKind::BoardingPass, "boarding passes")),
            Some(RichStyle::PosterGeneric) => Some((ProjectKind::Generic, "generic passes")),
            None => None,
        };
        if let Some((wanted, what)) = wanted
            && wanted != kind
        {
            found.wrong("rich_style", format!("this look is for {what} only"));
        }
        if self.transit.is_some() && !matches!(kind, ProjectKind::BoardingPass | ProjectKind::Transit) {
            found.wrong("transit", "only boarding and transit passes travel: remove it");
        }
    }

    /// Every text that may hold placeholders, with its place.
    pub fn texts(&self) -> Vec<(String, &Text)> {
        let mut texts = vec![("title".to_owned(), &self.title)];
        texts.extend(self.fields.iter().enumerate().map(|(index, field)| (format!("fields.{index}.value"), &field.value)));
        if let Some(barcode) = &self.barcode {
            texts.push(("barcode.value".to_owned(), &barcode.value));
            texts.extend(barcode.alt_text.as_ref().map(|text| ("barcode.alt_text".to_owned(), text)));
        }
        if let Some(nfc) = &self.nfc {
            texts.push(("nfc.message".to_owned(), &nfc.message));
        }
        for (index, date) in self.relevance.dates.iter().enumerate() {
            texts.extend(date.times().into_iter().map(|(key, time)| (format!("relevance.dates.{index}.{key}"), time)));
        }
        let places = self.relevance.locations.iter().map(|place| ("locations", &place.text));
        let beacons = self.relevance.beacons.iter().map(|beacon| ("beacons", &beacon.text));
        for (index, (key, text)) in places.enumerate().chain(beacons.enumerate()) {
            texts.extend(text.as_ref().map(|text| (format!("relevance.{key}.{index}.text"), text)));
        }
        for (language, translation) in &self.translations {
            texts.extend(translation.texts.values().map(|text| (format!("translations.{language}.texts"), text)));
        }
        texts
    }

    /// Whether anything that it says asks for one of these names, such as `variant.name`.
    #[must_use]
    pub fn asks_for(&self, names: &[&str]) -> bool {
        let in_texts = self.texts().iter().any(|(_, text)| text.names().any(|name| names.contains(&name)));
        in_texts || self.overrides().into_iter().any(|(_, keys)| keys.values().any(|value| value_asks_for(value, names)))
    }

    /// The keys that are set as they stand and may hold placeholders, with their place.
    fn overrides(&self) -> Vec<(String, &Map<String, Value>)> {
        let parts = [
            ("apple", &self.apple),
            ("semantics", &self.semantics),
            ("google", &self.google),
            ("google_object", &self.google_object),
        ];
        let mut all: Vec<_> = parts.map(|(part, keys)| (part.to_owned(), keys)).into();
        all.extend(self.fields.iter().enumerate().map(|(index, field)| (format!("fields.{index}.apple"), &field.apple)));
        all
    }
}

fn value_asks_for(value: &Value, names: &[&str]) -> bool {
    match value {
        Value::String(text) => Text::parse(text).is_ok_and(|text| text.names().any(|name| names.contains(&name))),
        Value::Array(entries) => entries.iter().any(|entry| value_asks_for(entry, names)),
        Value::Object(keys) => keys.values().any(|entry| value_asks_for(entry, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn check_formats(path: &str, field: &DesignField, found: &mut Found) {
    let constant = field.value.names().next().is_none();
    let is_number = constant && field.value.source().trim().parse::<f64>().is_ok_and(f64::is_finite);
    if field.number.is_some() && field.value.sole_name().is_none() && !is_number {
        found.wrong(format!("{path}.number"), "only for a value that is one placeholder, or a number, and nothing else");
    }
    if let Some(NumberFormat::Currency(code)) = &field.number
        && !(code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        found.wrong(format!("{path}.number"), "expected an ISO 4217 code such as EUR");
    }
    if field.date.is_some() {
        if field.number.is_some() {
            found.wrong(format!("{path}.date"), "a value is a number or a time, not both: remove one");
        } else if constant || field.value.sole_name().is_some() {
            check_time(&format!("{path}.value"), &field.value, found);
        } else {
            found.wrong(format!("{path}.date"), "only for a value that is one placeholder, or a time, and nothing else");
        }
    }
}

/// A time that is written out must have its zone.
fn check_time(path: &str, text: &Text, found: &mut Found) {
    let is_constant = text.names().next().is_none();
    if is_constant && text.source().parse::<Timestamp>().is_err() || !is_constant && text.sole_name().is_none() {
        found.wrong(path, "expected one placeholder, or a time with its zone such as 2026-11-20T18:30:00+01:00");
    }
}

fn check_texts_of_json(path: &str, keys: &Map<String, Value>, project: &Project, found: &mut Found) {
    for (key, value) in keys {
        check_json(&format!("{path}.{key}"), value, project, found);
    }
}

fn check_json(path: &str, value: &Value, project: &Project, found: &mut Found) {
    match value {
        Value::Object(inner) => check_texts_of_json(path, inner, project, found),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| check_json(&format!("{path}.{index}"), item, project, found));
        }
        Value::String(source) if source.contains("{{") => match Text::parse(source) {
            Err(fault) => found.wrong(path, fault.to_string()),
            Ok(text) => {
                for name in text.names().filter(|name| !is_known_name(name, project)) {
                    found.missing(path, format!("nothing is called {name:?}: see the project's fields and balances"));
                }
            }
        },
        _ => {}
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
