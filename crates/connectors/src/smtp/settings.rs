//! What can be set for a sender of e-mails.

use crate::kit::template::MAX_TEMPLATE_BYTES;
use crate::kit::{Setting, Takes, webhook};

const URL: Setting = Setting {
    name: "url",
    value: "`smtp://host:587`, `smtps://host:465`",
    takes: Takes::Own,
    default: "required",
    about: "The mail server: with STARTTLS, with TLS from the start, or `smtp+plain://host:25` without either, for a relay on your own \
            network.",
};
pub(super) const USER: Setting = Setting {
    name: "user",
    value: "text",
    takes: Takes::Text(256),
    default: "none",
    about: "Who we are to the server, where it asks. Not without encryption.",
};
pub(super) const PASSWORD: Setting = Setting {
    name: "password",
    value: "text",
    takes: Takes::Secret(512),
    default: "none",
    about: "The proof, by AUTH PLAIN or LOGIN.",
};
pub(super) const FROM: Setting = Setting {
    name: "from",
    value: "`Coffee Club <passes@example.com>`",
    takes: Takes::Text(320),
    default: "required",
    about: "Who writes. `Message-ID`s end in its domain.",
};
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
