//! What can be set for a sender of e-mails.

use crate::kit::mail::{FROM, PASSWORD, URL, USER};
use crate::kit::template::MAX_TEMPLATE_BYTES;
use crate::kit::{Setting, Takes, webhook};

pub(super) const REPLY_TO: Setting =
    Setting { name: "reply_to", value: "address", takes: Takes::Text(320), default: "`from`", about: "Where answers go." };
pub(super) const UNSUBSCRIBE: Setting = Setting {
    name: "unsubscribe",
    value: "template of a URL or `mailto:` address",
    takes: Takes::Text(1_024),
    default: "a page of ours",
    about: "Where the holder says that they want no more, if that is elsewhere than here: the header `List-Unsubscribe` (RFC 2369) and \
            `unsubscribe_link`. `https://example.com/unsubscribe?id={{ contact.external_id | url }}`",
};
pub(super) const SUBJECT: Setting = Setting {
    name: "subject",
    value: "template",
    takes: Takes::Text(1_024),
    default: "`Your pass`, with the project's name",
    about: "The subject, in Jinja's syntax.",
};
pub(super) const TEXT: Setting = Setting {
    name: "text",
    value: "template",
    takes: Takes::Lines(MAX_TEMPLATE_BYTES),
    default: "greeting, message, links",
    about: "The text. There are `message` (what the flow or the caller says), `link` (the pass's page), `apple_link` and `google_link` \
            (each where the project offers that wallet), `unsubscribe_link` (none in a test), `pass` and `contact` as in the native shape.",
};
pub(super) const HTML: Setting = Setting {
    name: "html",
    value: "template",
    takes: Takes::Lines(MAX_TEMPLATE_BYTES),
    default: "the same with a button for each wallet",
    about: "The same in HTML. Values are escaped already.",
};
pub(super) const ATTACH: Setting = Setting {
    name: "attach",
    value: "true or false",
    takes: Takes::Flag,
    default: "true",
    about: "Attach the `.pkpass`, which Mail on iPhone and Mac shows at once, where the project offers Apple Wallet.",
};

/// The settings.
pub const SETTINGS: &[Setting] =
    &[webhook::PROJECT, webhook::EGRESS, URL, USER, PASSWORD, FROM, REPLY_TO, UNSUBSCRIBE, SUBJECT, TEXT, HTML, ATTACH];
