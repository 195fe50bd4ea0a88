//! Which of Google's slots each field of a design takes.
//!
//! A slot follows from the design alone, never from a pass, because the class lays out the rows for all its objects.

use domain::{Design, DesignField, FieldPlace, NumberFormat};
use google_wallet::Vertical;
use google_wallet::model::{ClassTemplateInfo, MAX_CARD_ROWS, MAX_ROW_ITEMS};

/// Where a field is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The large line of a generic pass, with its label above.
    Header,
    /// The points of a loyalty card.
    Points,
    /// The second balance of a loyalty card.
    SecondPoints,
    /// The balance of a gift card.
    Balance,
    /// A labelled text.
    Text,
}

/// A field of the design in its slot; `id` names its text module.
pub(crate) struct Slotted<'a> {
    pub(crate) field: &'a DesignField,
    pub(crate) slot: Slot,
    pub(super) id: String,
}

pub(crate) fn slots(vertical: Vertical, design: &Design) -> Vec<Slotted<'_>> {
    let mut free = match vertical {
        Vertical::Generic => vec![Slot::Header],
        Vertical::Loyalty => vec![Slot::SecondPoints, Slot::Points],
        Vertical::GiftCard => vec![Slot::Balance],
        _ => Vec::new(),
    };
    let mut slotted = Vec::with_capacity(design.fields.len());
    for (index, field) in design.fields.iter().enumerate() {
        let slot = if free.last().is_some_and(|slot| fits(*slot, field)) { free.pop() } else { None };
        slotted.push(Slotted { field, slot: slot.unwrap_or(Slot::Text), id: module_id(&field.key, index) });
    }
    slotted
}

fn fits(slot: Slot, field: &DesignField) -> bool {
    let balance = !field.place.is_behind() && field.value.sole_name().is_some_and(|name| name.starts_with("balances."));
    match slot {
        Slot::Header => field.place == FieldPlace::Primary,
        Slot::Points | Slot::SecondPoints => balance,
        Slot::Balance => balance && matches!(field.number, Some(NumberFormat::Currency(_))),
        Slot::Text => true,
    }
}

/// The key where it can stand in a field path, else made so and kept unique by its index.
fn module_id(key: &str, index: usize) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(safe) {
        return key.to_owned();
    }
    let mended: String = key.chars().map(|c| if safe(c) { c } else { '_' }).collect();
    format!("{mended}.{index}")
}

/// The rows on the front: primary fields, then header and secondary ones, then auxiliary ones, three in a row.
pub(super) fn rows(vertical: Vertical, design: &Design) -> Option<ClassTemplateInfo> {
    let slotted = slots(vertical, design);
    let groups: [&[FieldPlace]; 3] =
        [&[FieldPlace::Primary], &[FieldPlace::Header, FieldPlace::Secondary], &[FieldPlace::Auxiliary, FieldPlace::Footer]];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for places in groups {
        let paths: Vec<String> =
            slotted.iter().filter(|slotted| places.contains(&slotted.field.place)).filter_map(Slotted::path).collect();
        rows.extend(paths.chunks(MAX_ROW_ITEMS).map(<[String]>::to_vec));
    }
    rows.truncate(MAX_CARD_ROWS);
    if rows.is_empty() { None } else { Some(ClassTemplateInfo::rows(&rows)) }
}

impl Slotted<'_> {
    fn path(&self) -> Option<String> {
        match self.slot {
            Slot::Header => None,
            Slot::Points => Some("object.loyaltyPoints.balance".to_owned()),
            Slot::SecondPoints => Some("object.secondaryLoyaltyPoints.balance".to_owned()),
            Slot::Balance => Some("object.balance".to_owned()),
            Slot::Text => Some(format!("object.textModulesData['{}']", self.id)),
        }
    }
}
