//! What can be set for a Google Sheet.

use crate::kit::vendor::vendor_settings;
use crate::kit::{Setting, Takes};

pub(super) const KEY_FILE: Setting = Setting {
    name: "key_file",
    value: "a service account's key file",
    takes: Takes::Secret(16 * 1_024),
    default: "required",
    about: "JSON. The sheet is shared with the account's `client_email` as with an editor.",
};
pub(super) const SPREADSHEET: Setting = Setting {
    name: "spreadsheet",
    value: "a spreadsheet's id",
    takes: Takes::Text(128),
    default: "required",
    about: "What stands between `/d/` and `/edit` in its address.",
};
pub(super) const SHEET: Setting = Setting {
    name: "sheet",
    value: "a tab's name",
    takes: Takes::Text(100),
    default: "`Sheet1`",
    about: "Where the rows are added, below what is there.",
};
pub(super) const COLUMNS: Setting = Setting {
    name: "columns",
    value: "paths with commas between them",
    takes: Takes::Text(2_000),
    default: "`occurred_at`, `title`, `contact.external_id`, `contact.email`, `contact.name`, `pass.project.name`, `pass.external_id`, `facts.wallet`",
    about: "What stands in the columns after the first, which is always the event's id: `event`, `title`, `occurred_at`, and what is below `facts`, `pass` \
            and `contact` in the native shape.",
};

pub(super) const KEY: Setting = Setting {
    name: "key",
    value: "one of the `columns`",
    takes: Takes::Text(200),
    default: "none: a row for every event",
    about: "A row for every value of this column instead: it shows the newest event that has it. An event without a value is not told.",
};

/// The settings.
pub const SETTINGS: &[Setting] = vendor_settings![KEY_FILE, SPREADSHEET, SHEET, COLUMNS, KEY];
