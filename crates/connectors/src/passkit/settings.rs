//! What can be set for a webhook; the values live in [`domain::Target`].

use domain::Target;

use crate::kit::headers::{self, HeaderProblem};
use crate::kit::{ENABLED, STRICT, Setting, Takes, USER, webhook};

/// The settings of a source.
pub const SOURCE_SETTINGS: &[Setting] = &[ENABLED, STRICT, USER];

/// The settings of a webhook.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "url", value: "URL", takes: Takes::Own, default: "required", about: "Where to send." },
    Setting {
        name: "project",
        value: "project id",
        takes: Takes::Own,
        default: "all projects",
        about: "Only events of this project.",
    },
    webhook::WALLET,
    webhook::TEMPLATES,
    Setting { name: "events", value: "list of event types", takes: Takes::Own, default: "all", about: "Which events are sent." },
    webhook::FILTER,
    Setting {
        name: "headers",
        value: "names and values",
        takes: Takes::Own,
        default: "none",
        about: "Headers to add, for example a token of the receiver. At most 32 and 8 KiB; those of the connection and ours \
                are refused.",
    },
    webhook::AUTH,
    webhook::CERTIFICATE,
    webhook::PACE,
    webhook::SWITCH_OFF,
    webhook::EGRESS,
    Setting {
        name: "post_only",
        value: "true or false",
        takes: Takes::Own,
        default: "false",
        about: "Send everything by POST, for receivers that know no PUT and DELETE.",
    },
    Setting {
        name: "uninstall_name",
        value: "`uninstalled` or `record_updated`",
        takes: Takes::Own,
        default: "`uninstalled`",
        about: "Whether an uninstall is called `PASS_EVENT_UNINSTALLED`, as in PassKit's list of events, or \
                `PASS_EVENT_RECORD_UPDATED`, as in its published sample.",
    },
    Setting {
        name: "without_standard_headers",
        value: "true or false",
        takes: Takes::Own,
        default: "false",
        about: "Leave out `webhook-id`, `webhook-timestamp` and `webhook-signature`.",
    },
];

/// Checks what the type of [`Target`] leaves open, when it is configured.
pub fn check(target: &Target) -> Result<(), HeaderProblem> {
    headers::check(&target.headers).map(drop)
}
