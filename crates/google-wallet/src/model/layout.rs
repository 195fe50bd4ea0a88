//! How the front of a card is laid out: rows of fields that the class chooses.

use serde::{Deserialize, Serialize};

use super::parts::Extra;

/// Rows that Google shows on the front of a card; what does not fit goes to the details.
pub const MAX_CARD_ROWS: usize = 3;
/// Items that fit into one row.
pub const MAX_ROW_ITEMS: usize = 3;

/// What the class shows where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClassTemplateInfo {
    /// The rows on the front.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_template_override: Option<CardTemplateOverride>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The rows on the front.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CardTemplateOverride {
    /// From top to bottom.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub card_row_template_infos: Vec<CardRow>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One row; exactly one of the three is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CardRow {
    /// A row of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_item: Option<OneItem>,
    /// A row of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_items: Option<TwoItems>,
    /// A row of three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub three_items: Option<ThreeItems>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A row of one item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OneItem {
    /// The item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<TemplateItem>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A row of two items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TwoItems {
    /// At the start of the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_item: Option<TemplateItem>,
    /// At its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_item: Option<TemplateItem>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A row of three items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ThreeItems {
    /// At the start of the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_item: Option<TemplateItem>,
    /// In the middle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub middle_item: Option<TemplateItem>,
    /// At its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_item: Option<TemplateItem>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What stands in one place of a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateItem {
    /// The first value that is not empty is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_value: Option<FieldSelector>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Fields of the object, the first that is not empty wins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldSelector {
    /// In order of preference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldReference>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One field of the class or object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldReference {
    /// As `object.textModulesData['tier']`.
    pub field_path: String,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

impl ClassTemplateInfo {
    /// Lays out rows of field paths, at most [`MAX_ROW_ITEMS`] in each of at most [`MAX_CARD_ROWS`]; the rest is left to the
    /// details.
    #[must_use]
    pub fn rows(rows: &[Vec<String>]) -> Self {
        let infos = rows.iter().filter(|row| !row.is_empty()).take(MAX_CARD_ROWS).map(|row| CardRow::of(row)).collect();
        Self {
            card_template_override: Some(CardTemplateOverride { card_row_template_infos: infos, extra: Extra::new() }),
            extra: Extra::new(),
        }
    }
}

impl CardRow {
    fn of(paths: &[String]) -> Self {
        let item = |index: usize| paths.get(index).map(|path| TemplateItem::field(path));
        match paths.len() {
            0 | 1 => Self { one_item: Some(OneItem { item: item(0), ..OneItem::default() }), ..Self::default() },
            2 => {
                let two = TwoItems { start_item: item(0), end_item: item(1), ..TwoItems::default() };
                Self { two_items: Some(two), ..Self::default() }
            }
            _ => {
                let three = ThreeItems { start_item: item(0), middle_item: item(1), end_item: item(2), ..ThreeItems::default() };
                Self { three_items: Some(three), ..Self::default() }
            }
        }
    }
}

impl TemplateItem {
    /// An item that shows one field.
    #[must_use]
    pub fn field(path: &str) -> Self {
        let reference = FieldReference { field_path: path.to_owned(), extra: Extra::new() };
        Self { first_value: Some(FieldSelector { fields: vec![reference], extra: Extra::new() }), extra: Extra::new() }
    }
}
