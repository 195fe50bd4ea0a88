//! What can be set for a call of any HTTP API.

use crate::kit::template::MAX_TEMPLATE_BYTES;
use crate::kit::{Setting, Takes, webhook};

const URL: Setting = Setting {
    name: "url",
    value: "URL, a template after its host",
    takes: Takes::Own,
    default: "required",
    about: "Where to: `https://api.example.com/members/{{ contact.external_id | url }}`.",
};
pub(super) const METHOD: Setting = Setting {
    name: "method",
    value: "`POST`, `PUT`, `PATCH`, `GET` or `DELETE`",
    takes: Takes::Choice(&["POST", "PUT", "PATCH", "GET", "DELETE"]),
    default: "POST",
    about: "How.",
};
pub(super) const BODY: Setting = Setting {
    name: "body",
    value: "template",
    takes: Takes::Lines(MAX_TEMPLATE_BYTES),
    default: "the event as JSON; nothing with `GET` and `DELETE`",
    about: "What: `{\"id\": {{ contact.external_id | tojson }}, \"wallet\": {{ facts.wallet | tojson }}}`. One that becomes empty leaves the event out.",
};
pub(super) const CONTENT_TYPE: Setting = Setting {
    name: "content_type",
    value: "media type",
    takes: Takes::Text(100),
    default: "application/json",
    about: "Of the body. With JSON, a body that is none is not sent and its event given up.",
};
const PAYLOAD: Setting = Setting {
    name: "payload",
    value: "`template`, `mapping` or `transformation`",
    takes: Takes::Own,
    default: "`body`",
    about: "What makes the body instead of `body`, with its media type: as of a webhook, a text with placeholders, JSON with mapping directives, or a transformation (code), of the event in our own shape. What code leaves out is not sent.",
};
const HEADERS: Setting = Setting {
    name: "headers",
    value: "names and values, values are templates",
    takes: Takes::Own,
    default: "none",
    about: "Headers to add, for example a token. They are kept sealed. At most 32 and 8 KiB; those of the connection and ours are refused.",
};

/// The settings.
pub const SETTINGS: &[Setting] = &[
    webhook::PROJECT,
    webhook::WALLET,
    webhook::TEMPLATES,
    webhook::EVENTS,
    webhook::FILTER,
    webhook::AUTH,
    webhook::CERTIFICATE,
    webhook::PACE,
    webhook::SWITCH_OFF,
    webhook::EGRESS,
    URL,
    METHOD,
    BODY,
    CONTENT_TYPE,
    PAYLOAD,
    HEADERS,
    webhook::WITHOUT_STANDARD_HEADERS,
];
