//! What can be set for a webhook; the values live in [`domain::Target`].

use domain::Target;

use crate::kit::Setting;
use crate::kit::headers::{self, HeaderProblem};

/// The settings.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "url", value: "URL", default: "required", about: "Where to send." },
    Setting { name: "project", value: "project id", default: "all projects", about: "Only events of this project." },
    Setting { name: "events", value: "list of event types", default: "all", about: "Which events are sent." },
    Setting {
        name: "headers",
        value: "names and values",
        default: "none",
        about: "Headers to add, for example a token of the receiver. At most 32 and 8 KiB; those of the connection and ours \
                are refused.",
    },
    Setting {
        name: "post_only",
        value: "true or false",
        default: "false",
        about: "Send everything by POST, for receivers that know no PUT and DELETE.",
    },
    Setting {
        name: "uninstall_name",
        value: "`uninstalled` or `record_updated`",
        default: "`uninstalled`",
        about: "Whether an uninstall is called `PASS_EVENT_UNINSTALLED`, as in PassKit's list of events, or \
                `PASS_EVENT_RECORD_UPDATED`, as in its published sample.",
    },
    Setting {
        name: "without_standard_headers",
        value: "true or false",
        default: "false",
        about: "Leave out `webhook-id`, `webhook-timestamp` and `webhook-signature`.",
    },
];

/// Checks what the type of [`Target`] leaves open, when it is configured.
pub fn check(target: &Target) -> Result<(), HeaderProblem> {
    headers::check(&target.headers).map(drop)
}
