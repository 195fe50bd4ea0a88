//! Values of one pass become placeholders, so that every pass shows its own.

use domain::{Design, Project, Text};
use serde_json::{Map, Value};

use super::{Notes, Outcome};

/// Puts placeholders in the place of values that the project has under a field's key, and of the pass's serial number.
pub(super) fn bind(design: &mut Design, project: &Project, whole: &Map<String, Value>, notes: &mut Notes) {
    for field in &mut design.fields {
        if field.value.names().next().is_some() {
            continue;
        }
        let key = &field.key;
        let group = match (project.field(key).is_some(), project.balances.contains_key(key)) {
            (true, _) => "fields",
            (false, true) => "balances",
            (false, false) => continue,
        };
        let placeholder = format!("{{{{{group}.{key}}}}}");
        let Ok(text) = Text::parse(&placeholder) else { continue };
        notes.say(key, Outcome::Bound, format!("the project has it: the value is {placeholder} now"));
        field.value = text;
        field.apple.shift_remove("value");
        if let Some(tags) = field.apple.get_mut("semantics").and_then(Value::as_object_mut) {
            tags.shift_remove("balance");
            if tags.is_empty() {
                field.apple.shift_remove("semantics");
            }
        }
    }
    let Some(serial) = whole.get("serialNumber").and_then(Value::as_str).filter(|serial| !serial.is_empty()) else { return };
    let Ok(placeholder) = Text::parse("{{pass.serial}}") else { return };
    let mut say = |path: &str| notes.say(path, Outcome::Bound, "it was the serial number: the value is {{pass.serial}} now");
    let barcode = design.barcode.iter_mut().flat_map(|barcode| {
        let alt_text = barcode.alt_text.as_mut().map(|text| ("barcodes[0].altText", text));
        [("barcodes[0].message", &mut barcode.value)].into_iter().chain(alt_text)
    });
    let nfc = design.nfc.iter_mut().map(|nfc| ("nfc.message", &mut nfc.message));
    for (path, text) in barcode.chain(nfc).filter(|(_, text)| text.source() == serial) {
        say(path);
        *text = placeholder.clone();
    }
    for field in design.fields.iter_mut().filter(|field| field.value.source() == serial) {
        say(&field.key);
        field.value = placeholder.clone();
        field.apple.shift_remove("value");
    }
}

/// Says what is the same on every pass and should probably not be.
pub(super) fn say_constants(design: &Design, notes: &mut Notes) {
    let constant = |text: &Text| text.names().next().is_none();
    if design.barcode.as_ref().is_some_and(|barcode| constant(&barcode.value)) {
        let reason = "every pass has the same barcode: put a placeholder such as {{pass.signed}} or {{pass.external_id}} into it";
        notes.say("barcodes[0].message", Outcome::Constant, reason);
    }
    if design.nfc.as_ref().is_some_and(|nfc| constant(&nfc.message)) {
        notes.say("nfc.message", Outcome::Constant, "every pass says the same to a reader: put a placeholder into it");
    }
    for field in design.fields.iter().filter(|field| constant(&field.value) && !field.place.is_behind()) {
        let reason = "the same on every pass: put a placeholder into its value where it is not, such as {{fields.…}}";
        notes.say(&field.key, Outcome::Constant, reason);
    }
}
