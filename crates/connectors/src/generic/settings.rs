//! What can be set for a source of any JSON.

use crate::kit::{ENABLED, STRICT, Setting, Takes};

/// The settings.
pub const SETTINGS: &[Setting] = &[
    ENABLED,
    STRICT,
    Setting {
        name: "secret_as",
        value: "`hmac` or `token`",
        takes: Takes::Choice(&["hmac", "token"]),
        default: "`hmac`",
        about: "What a signing secret of the source is for: to check a signature over the body, or to be shown as it is (as a Bearer \
                token, as password or user of HTTP Basic, in `signature_header`, or in the query parameter `token`).",
    },
    Setting {
        name: "signature_header",
        value: "a header name",
        takes: Takes::Header,
        default: "`X-Signature`",
        about: "Where the signature, or the token, stands.",
    },
    Setting {
        name: "signature_hash",
        value: "`sha256`, `sha512` or `sha1`",
        takes: Takes::Choice(&["sha256", "sha512", "sha1"]),
        default: "`sha256`",
        about: "The hash of the HMAC.",
    },
    Setting {
        name: "signature_encoding",
        value: "`hex` or `base64`",
        takes: Takes::Choice(&["hex", "base64"]),
        default: "`hex`",
        about: "How the signature is written. A prefix such as `sha256=` or `v1=` before it does not matter.",
    },
    Setting {
        name: "timestamp_header",
        value: "a header name",
        takes: Takes::Header,
        default: "none: the body alone is signed",
        about: "The header with the time of signing, seconds since 1970. Then `time.body` is what is signed, and requests older or newer \
                than five minutes are refused.",
    },
    Setting {
        name: "items",
        value: "a path",
        takes: Takes::Path,
        default: "the body is one event, or an array of events",
        about: "Where the array of events stands in a body that holds several.",
    },
    Setting {
        name: "event",
        value: "a path",
        takes: Takes::Path,
        default: "`event`, `type`, `name`, `topic` or `action`, the first that is there",
        about: "Where the name of what happened stands.",
    },
    Setting {
        name: "event_name",
        value: "text, at most 100 bytes",
        takes: Takes::Text(100),
        default: "none: an event without a name cannot be read",
        about: "What events are called that have no name at that place.",
    },
    Setting {
        name: "id",
        value: "a path",
        takes: Takes::Path,
        default: "`id`, `event_id`, `eventId`, `messageId` or `uuid`, the first that is there",
        about: "Where the id of the event stands, by which one that comes again is recognised.",
    },
    Setting {
        name: "timestamp",
        value: "a path",
        takes: Takes::Path,
        default: "`timestamp`, `time`, `occurred_at`, `occurredAt`, `created_at` or `createdAt`",
        about: "Where the time of the event stands: RFC 3339, or seconds or milliseconds since 1970.",
    },
    Setting {
        name: "user",
        value: "a path",
        takes: Takes::Path,
        default: "`userId`, `user_id`, `customer_id`, `customerId`, `user.id` or `customer.id`",
        about: "Where your id of the customer stands. It becomes `userId`.",
    },
    Setting {
        name: "email",
        value: "a path",
        takes: Takes::Path,
        default: "`email`, `user.email` or `customer.email`",
        about: "Where the customer's e-mail address stands. It becomes `traits.email`.",
    },
];
