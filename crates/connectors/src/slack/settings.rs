//! What can be set for a Slack destination.

use crate::kit::vendor::vendor_settings;
use crate::kit::{Setting, Takes};

pub(super) const WEBHOOK: Setting = Setting {
    name: "webhook_url",
    value: "`https://hooks.slack.com/services/…`",
    takes: Takes::Secret(512),
    default: "required",
    about: "The address of an incoming webhook; who has it can post.",
};
pub(super) const TEXT: Setting = Setting {
    name: "text",
    value: "template",
    takes: Takes::Lines(crate::kit::template::MAX_TEMPLATE_BYTES),
    default: "what happened, to whose pass",
    about: "The line for an event, in Jinja's syntax: `{{ contact.name }} added the card`. There are `event`, `title`, `occurred_at`, `facts`, \
            `pass` and `contact` as in the native shape. Names are shown without Slack's markup unless the template adds it. An empty line leaves the event out.",
};

/// The settings.
pub const SETTINGS: &[Setting] = vendor_settings![WEBHOOK, TEXT];
