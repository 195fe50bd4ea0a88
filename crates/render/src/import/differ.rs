//! What a design has no words for, found by drawing it: whatever comes out otherwise than it stood in the file becomes a key
//! that is set as it stands.

use domain::{Design, Project, Template, TemplateId, Text, Timestamp};
use pkpass::model::{Color, Fields};
use serde_json::{Map, Value};

use super::source::OF_ONE_PASS;
use super::{Notes, Outcome};
use crate::values::Moment;
use crate::{AppleContext, CodeSigner, MESSAGE_FIELD, PassView, apple, sample_contact, sample_pass};

/// What stands for the parts that only a real pass has.
const NOBODY: AppleContext<'static> =
    AppleContext { pass_type: "pass.example.sample", team: "SAMPLE1234", web_service_url: "", auth_token: "", image_url: None };
/// Keys that are drawn by rules of our own: fallbacks for older phones, both spellings of newer ones, what groups passes.
const BY_RULE: [&str; 6] = ["barcode", "barcodes", "relevantDate", "relevantDates", "semantics", "groupingIdentifier"];

/// Why a key is not kept.
const OTHER_TYPE: &str = "its value is of another type than Apple documents";

/// Draws a sample with the design. Nothing where the keys that it sets as they stand do not fit.
fn draw(project: &Project, design: &Design) -> Option<Value> {
    let template = template(project, design);
    let (pass, contact) = (sample_pass(project, &template).ok()?, sample_contact().ok()?);
    let codes = CodeSigner::new(project.id.uuid(), 0, &[0; 32], [0; 32]);
    let view = PassView { project, template: &template, pass: &pass, contact: Some(&contact), codes: codes.as_ref() };
    serde_json::to_value(apple(&view, &NOBODY).ok()?).ok()
}

fn template(project: &Project, design: &Design) -> Template {
    Template::draft(
        TemplateId::from_uuid(project.id.uuid()),
        project.id,
        String::new(),
        design.clone(),
        Timestamp::from_micros(0),
    )
}

/// Sets what the design does not draw as it stood in `whole`; `rest` is what nobody read.
pub(super) fn keep_the_rest(
    design: &mut Design,
    project: &Project,
    whole: &Map<String, Value>,
    rest: &Map<String, Value>,
    notes: &mut Notes,
) {
    let style = super::style_of_kind(project.kind);
    let Some(Value::Object(drawn)) = draw(project, design) else { return };
    fields(design, style, whole, &drawn, notes);
    drop_fields_that_do_not_fit(design, project, notes);
    let Some(Value::Object(mut drawn)) = draw(project, design) else { return };
    let mut whole = whole.clone();
    for styled in [style, "posterGeneric"] {
        forget_messages(drawn.get_mut(styled));
        forget_messages(whole.get_mut(styled));
    }
    let skipped = |key: &str| OF_ONE_PASS.contains(&key) || BY_RULE.contains(&key);
    for (key, wanted) in whole.iter().filter(|(key, wanted)| !skipped(key) && !wanted.is_null()) {
        let kept = if key == style {
            beside_fields(wanted, drawn.get(key))
        } else if rest.contains_key(key) || drawn.contains_key(key) {
            difference(wanted, drawn.get(key))
        } else {
            None // it was read and refused, with a word
        };
        if let Some(kept) = kept {
            design.apple.insert(key.clone(), kept);
        }
    }
    for key in drawn.keys().filter(|key| !skipped(key) && !whole.contains_key(*key)) {
        design.apple.insert(key.clone(), Value::Null);
    }
    drop_keys_that_do_not_fit(design, project, notes);
    say_kept(design, style, notes);
}

/// The message field is ours, and no pass of others has it.
fn forget_messages(style: Option<&mut Value>) {
    if let Some(fields) = style.and_then(|style| style.get_mut("backFields")?.as_array_mut()) {
        fields.retain(|field| field["key"] != MESSAGE_FIELD);
    }
}

fn find<'v>(style: &'v Value, key: &str) -> Option<&'v Value> {
    let groups = Fields::GROUPS.iter().filter_map(|group| style.get(*group)?.as_array());
    groups.flatten().find(|field| field["key"] == key)
}

/// Each field beside how it is drawn. A key that had to be changed is looked for by its place.
fn fields(design: &mut Design, style: &str, whole: &Map<String, Value>, drawn: &Map<String, Value>, notes: &mut Notes) {
    for field in &mut design.fields {
        let drawn = drawn.get(style).and_then(|style| find(style, &field.key));
        let wanted = [style, "posterGeneric"].iter().find_map(|style| find(whole.get(*style)?, &field.key));
        let (Some(Value::Object(wanted)), Some(Value::Object(drawn))) = (wanted, drawn) else {
            if drawn.is_none() {
                notes.say(&field.key, Outcome::Changed, "a field without a value is not shown");
            }
            continue;
        };
        let (mut wanted, mut drawn) = (wanted.clone(), drawn.clone());
        for style in ["dateStyle", "timeStyle"] {
            // what is not named is not shown
            if drawn.get(style).is_some_and(|style| style == "PKDateStyleNone") && !wanted.contains_key(style) {
                drawn.shift_remove(style);
            }
        }
        if wanted.get("label").is_some_and(|label| label == "") {
            wanted.shift_remove("label");
        }
        if wanted.get("changeMessage").and_then(Value::as_str).is_some_and(|message| !message.contains("%@")) {
            wanted.shift_remove("changeMessage");
        }
        if let Some(Value::Object(kept)) = difference(&Value::Object(wanted), Some(&Value::Object(drawn))) {
            field.apple = kept;
        }
    }
}

/// What stands in a style beside its groups of fields.
fn beside_fields(wanted: &Value, drawn: Option<&Value>) -> Option<Value> {
    let without = |style: &Value| -> Value {
        let kept = style.as_object().into_iter().flatten().filter(|(key, _)| !Fields::GROUPS.contains(&key.as_str()));
        Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    difference(&without(wanted), drawn.map(without).as_ref())
}

/// The keys that make `drawn` into `wanted` when they are set over it; nothing where both are the same.
fn difference(wanted: &Value, drawn: Option<&Value>) -> Option<Value> {
    match (wanted, drawn) {
        (Value::Object(wanted), Some(Value::Object(drawn))) => {
            let changed = wanted.iter().filter(|(_, value)| !value.is_null());
            let changed = changed.filter_map(|(key, value)| Some((key.clone(), difference(value, drawn.get(key))?)));
            let gone = drawn.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null));
            let keys: Map<String, Value> = changed.chain(gone).collect();
            (!keys.is_empty()).then_some(Value::Object(keys))
        }
        (wanted, Some(drawn)) if same(wanted, drawn) => None,
        (wanted, _) => Some(wanted.clone()),
    }
}

/// Whether a phone would see the same.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::String(one), Value::String(other)) => {
            let colors = || matches!((one.parse::<Color>(), other.parse::<Color>()), (Ok(one), Ok(other)) if one == other);
            let times = || {
                let (one, other) = (Moment::parse(one).map(Moment::wallet), Moment::parse(other).map(Moment::wallet));
                one.is_some() && one == other
            };
            let uuids = || uuid::Uuid::parse_str(one).is_ok_and(|one| uuid::Uuid::parse_str(other) == Ok(one));
            one == other || colors() || times() || uuids()
        }
        (one, other) => one == other,
    }
}

/// Whether braces in it open placeholders, where there are any.
fn reads(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains("{{") || Text::parse(text).is_ok(),
        Value::Array(items) => items.iter().all(reads),
        Value::Object(keys) => keys.values().all(reads),
        _ => true,
    }
}

/// A key of the wrong type would keep the whole pass from being drawn; phones do not read it either.
fn drop_fields_that_do_not_fit(design: &mut Design, project: &Project, notes: &mut Notes) {
    for field in &mut design.fields {
        drop_braces(&mut field.apple, &format!("{}.", field.key), notes);
    }
    if draw(project, design).is_some() {
        return;
    }
    let mut bare = design.clone();
    bare.fields.iter_mut().for_each(|field| field.apple = Map::new());
    for (at, field) in design.fields.iter_mut().enumerate() {
        let key = field.key.clone();
        field.apple.retain(|name, value| {
            let mut one = bare.clone();
            one.fields[at].apple.insert(name.clone(), value.clone());
            let fits = draw(project, &one).is_some();
            if !fits {
                notes.left_out(format!("{key}.{name}"), OTHER_TYPE);
            }
            fits
        });
    }
}

/// What is set as it stands may hold placeholders too.
fn drop_braces(keys: &mut Map<String, Value>, of: &str, notes: &mut Notes) {
    keys.retain(|name, value| {
        let fits = reads(value);
        if !fits {
            notes.left_out(format!("{of}{name}"), "`{{` opens a placeholder in a design, and this is none");
        }
        fits
    });
}

/// As [`drop_fields_that_do_not_fit`], for the keys beside the fields.
fn drop_keys_that_do_not_fit(design: &mut Design, project: &Project, notes: &mut Notes) {
    drop_braces(&mut design.apple, "", notes);
    if draw(project, design).is_some() {
        return;
    }
    let bare = Design { apple: Map::new(), ..design.clone() };
    design.apple.retain(|name, value| {
        let mut one = bare.clone();
        one.apple.insert(name.clone(), value.clone());
        let fits = draw(project, &one).is_some();
        if !fits {
            notes.left_out(name, OTHER_TYPE);
        }
        fits
    });
}

fn say_kept(design: &Design, style: &str, notes: &mut Notes) {
    for field in design.fields.iter().filter(|field| !field.apple.is_empty()) {
        let names: Vec<&str> = field.apple.keys().map(String::as_str).collect();
        let reason = format!("kept as it stands under the field's `apple`: {}", names.join(", "));
        notes.say(format!("{style}: {}", field.key), Outcome::AppleOnly, reason);
    }
    for (key, value) in &design.apple {
        let reason = if value.is_null() { "not drawn, as in the file" } else { "kept as it stands under the design's `apple`" };
        notes.say(key, Outcome::AppleOnly, reason);
    }
}
