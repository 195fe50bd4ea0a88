//! What can be set for an Airtable destination.

use crate::kit::crm::crm_settings;
use crate::kit::{Setting, Takes, webhook};

pub(super) const TOKEN: Setting = Setting {
    name: "access_token",
    value: "a personal access token",
    takes: Takes::Secret(512),
    default: "required",
    about: "With the scopes `data.records:read` and `data.records:write` for the base.",
};
pub(super) const BASE: Setting = Setting {
    name: "base",
    value: "`app…`",
    takes: Takes::Text(64),
    default: "required",
    about: "The base's id, as it stands in its address.",
};
pub(super) const TABLE: Setting = Setting {
    name: "table",
    value: "`tbl…`, or the table's name",
    takes: Takes::Text(200),
    default: "required",
    about: "The table.",
};
pub(super) const KEY_FIELD: Setting = Setting {
    name: "key_field",
    value: "a field's name",
    takes: Takes::Text(200),
    default: "`Member`",
    about: "Which field holds what `key` names. Its values have to be unique.",
};

/// The settings.
pub const SETTINGS: &[Setting] = crm_settings![
    webhook::BACKFILL_OF_HELD;
    "Wallet status", "Apple Wallet installed at", "Google Wallet installed at", "Wallet last changed at", "Wallet last event";
    TOKEN, BASE, TABLE, KEY_FIELD,
];
