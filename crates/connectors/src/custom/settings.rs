//! What can be set for a connector of one's own.

use crate::kit::{Setting, Takes, webhook};

/// The largest program, in bytes.
const MAX_CODE_BYTES: usize = 256 * 1_024;

/// The setting that holds the program.
pub const CODE: Setting = Setting {
    name: "code",
    value: "JavaScript",
    takes: Takes::Lines(MAX_CODE_BYTES),
    default: "required",
    about: "A module whose default export is given a `context` and registers functions.",
};
/// Where a program registers what is called when a wallet takes or drops a pass, and the functions.
pub const PASS_UPDATER: &str = "runtime.wallet.passUpdater";
/// See [`PASS_UPDATER`].
pub const INSTALLED: &str = "OnPassInstalled";
/// See [`PASS_UPDATER`].
pub const UNINSTALLED: &str = "OnPassUninstalled";
/// The settings that hold its secrets.
pub const SECRET: Setting = Setting {
    name: "secret",
    value: "`secret.NAME`: text",
    takes: Takes::Secrets(4_096),
    default: "none",
    about: "What `getSecret(\"NAME\")` gives.",
};

/// The settings.
pub const SETTINGS: &[Setting] = &[
    webhook::PROJECT,
    webhook::WALLET,
    webhook::TEMPLATES,
    webhook::EVENTS,
    webhook::FILTER,
    webhook::SWITCH_OFF,
    webhook::EGRESS,
    CODE,
    SECRET,
];
