//! What can be set for messages through Twilio.

use crate::kit::{Setting, Takes, vendor, webhook};

pub(super) const ACCOUNT: Setting =
    Setting { name: "account_sid", value: "`AC…`", takes: Takes::Text(34), default: "required", about: "The account." };
pub(super) const KEY: Setting = Setting {
    name: "api_key",
    value: "`SK…`",
    takes: Takes::Text(34),
    default: "the account",
    about: "The API key whose secret `auth_token` is.",
};
pub(super) const TOKEN: Setting = Setting {
    name: "auth_token",
    value: "text",
    takes: Takes::Secret(128),
    default: "required",
    about: "The account's auth token, or the secret of `api_key`.",
};
pub(super) const ACCOUNT_TOKEN: Setting = Setting {
    name: "account_token",
    value: "text",
    takes: Takes::Secret(128),
    default: "`auth_token`, without `api_key`",
    about: "The account's auth token beside an `api_key`: what Twilio tells of messages later is signed with it. Without it Twilio is \
            not asked to tell.",
};
pub(super) const FROM: Setting = Setting {
    name: "from",
    value: "`+14155552671` or a sender's name",
    takes: Takes::Text(20),
    default: "none",
    about: "Who writes. Give this or `messaging_service_sid`.",
};
pub(super) const SERVICE: Setting = Setting {
    name: "messaging_service_sid",
    value: "`MG…`",
    takes: Takes::Text(34),
    default: "none",
    about: "The service that finds a sender.",
};
pub(super) const TEXT: Setting = crate::kit::sms::TEXT;

/// The settings.
pub const SETTINGS: &[Setting] =
    &[webhook::PROJECT, webhook::EGRESS, vendor::URL, ACCOUNT, KEY, TOKEN, ACCOUNT_TOKEN, FROM, SERVICE, TEXT];
