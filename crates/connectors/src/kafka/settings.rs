//! What can be set for a topic of Kafka.

use crate::kit::{Setting, Takes, stream, webhook};

const URL: Setting = Setting {
    name: "url",
    value: "`kafka://host:9092`",
    takes: Takes::Own,
    default: "required",
    about: "A broker that names the others, without user and password; better a name that stands for several.",
};
pub(super) const TOPIC: Setting = Setting {
    name: "topic",
    value: "a template",
    takes: Takes::Text(500),
    default: "`passbridge.events`",
    about: "Where a record goes, for example `wallets.{{ event }}`. It knows `organization`, `project`, `event`, `wallet`, `template`, `variant`, `pass` and \
            `contact`: ids, or `none`.",
};
pub(super) const MECHANISM: Setting = Setting {
    name: "mechanism",
    value: "`plain`, `scram-sha-256` or `scram-sha-512`",
    takes: Takes::Choice(&["plain", "scram-sha-256", "scram-sha-512"]),
    default: "`scram-sha-512`",
    about: "How user and password are shown (SASL). `plain` sends the password, so it goes with TLS alone.",
};
pub(super) const PASSWORD: Setting = Setting {
    name: "password",
    value: "its password",
    takes: Takes::Secret(1_024),
    default: "none",
    about: "With `user`; of Confluent Cloud the key's secret.",
};
pub(super) const TLS: Setting = Setting {
    name: "tls",
    value: "`verify` or `off`",
    takes: Takes::Choice(&["verify", "off"]),
    default: "verify",
    about: "Whether connections are encrypted and the brokers' certificates and names are checked. `off` for a network that you trust.",
};

/// The settings.
pub const SETTINGS: &[Setting] = &[
    webhook::PROJECT,
    webhook::WALLET,
    webhook::TEMPLATES,
    webhook::EVENTS,
    webhook::FILTER,
    webhook::EGRESS,
    webhook::PACE_OF_STREAM,
    webhook::SWITCH_OFF,
    URL,
    TOPIC,
    stream::SHAPE,
    MECHANISM,
    stream::USER,
    PASSWORD,
    TLS,
    stream::AUTHORITIES,
];
