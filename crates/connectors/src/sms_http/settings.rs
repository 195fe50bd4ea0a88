//! What can be set for messages through any HTTP API.

use crate::kit::template::MAX_TEMPLATE_BYTES;
use crate::kit::{Setting, Takes, webhook};

const URL: Setting = Setting { name: "url", value: "URL", takes: Takes::Own, default: "required", about: "Where to post." };
pub(super) const BODY: Setting = Setting {
    name: "body",
    value: "template",
    takes: Takes::Lines(MAX_TEMPLATE_BYTES),
    default: "`{\"id\": …, \"to\": …, \"text\": …}`",
    about: "What is posted. There are `id` (the same on every attempt), `to` (a number such as `+4930901820`) and `text`: \
            `{\"recipient\": {{ to | tojson }}, \"content\": {{ text | tojson }}}`, or `to={{ to | url }}&text={{ text | url }}` for a form.",
};
pub(super) const CONTENT_TYPE: Setting = Setting {
    name: "content_type",
    value: "media type",
    takes: Takes::Text(100),
    default: "application/json",
    about: "Of the body. With JSON, a body that is none is not sent.",
};
const HEADERS: Setting = Setting {
    name: "headers",
    value: "names and values",
    takes: Takes::Own,
    default: "none",
    about: "Headers to add, for example a token. They are kept sealed. At most 32 and 8 KiB.",
};
pub(super) const KNOWS_AGAIN: Setting = Setting {
    name: "idempotent",
    value: "true or false",
    takes: Takes::Flag,
    default: "false",
    about: "Whether the service knows a message again by its `id`, which also comes as the header `Idempotency-Key`. Then one whose \
            outcome is not known is sent again; otherwise it never is.",
};

/// The settings.
pub const SETTINGS: &[Setting] =
    &[webhook::PROJECT, webhook::EGRESS, URL, BODY, CONTENT_TYPE, crate::kit::sms::TEXT, HEADERS, KNOWS_AGAIN];
