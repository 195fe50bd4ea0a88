//! What can be set for a HubSpot destination.

use crate::kit::{Setting, Takes};
use crate::kit::{crm::crm_settings, webhook};

pub(super) const TOKEN: Setting = Setting {
    name: "access_token",
    value: "the token of a private app",
    takes: Takes::Secret(512),
    default: "required",
    about: "It needs the scopes `crm.objects.contacts.read` and `crm.objects.contacts.write`.",
};

pub(super) const KEY_PROPERTY: Setting = Setting {
    name: "key_property",
    value: "`email`, or the internal name of a property with unique values",
    takes: Takes::Text(100),
    default: "email",
    about: "Which property of HubSpot's contacts holds what `key` names. With `email`, one contact that HubSpot refuses costs its whole \
            request a second try; a property of yours with unique values is better.",
};

/// The settings.
pub const SETTINGS: &[Setting] = crm_settings![
    webhook::BACKFILL_OF_HELD;
    "wallet_status", "apple_wallet_installed_at", "google_wallet_installed_at", "wallet_last_changed_at", "wallet_last_event";
    TOKEN, KEY_PROPERTY,
];
