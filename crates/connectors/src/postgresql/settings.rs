//! What can be set for a PostgreSQL destination.

use crate::kit::{Setting, Takes, crm, webhook};

const URL: Setting = Setting {
    name: "url",
    value: "`postgresql://host:5432/database`",
    takes: Takes::Own,
    default: "required",
    about: "The database, without user and password.",
};
pub(super) const USER: Setting = Setting {
    name: "user",
    value: "a role's name",
    takes: Takes::Text(63),
    default: "required",
    about: "Who writes. It needs `CREATE` on the schema, or on the database where the schema is not there yet.",
};
pub(super) const PASSWORD: Setting = Setting {
    name: "password",
    value: "its password",
    takes: Takes::Secret(1_024),
    default: "required",
    about: "SCRAM-SHA-256 or MD5, as the server asks.",
};
pub(super) const SCHEMA: Setting = Setting {
    name: "schema",
    value: "a schema's name",
    takes: Takes::Text(63),
    default: "`passbridge`",
    about: "Where the tables are. One of its own, for the tables of others lack the keys that make writes happen once.",
};
pub(super) const TLS: Setting = Setting {
    name: "tls",
    value: "`verify` or `off`",
    takes: Takes::Choice(&["verify", "off"]),
    default: "verify",
    about: "Whether the connection is encrypted and the server's certificate and name are checked. `off` for a network that you trust.",
};
pub(super) const AUTHORITIES: Setting = Setting {
    name: "authorities",
    value: "PEM certificates",
    takes: Takes::Lines(256 * 1_024),
    default: "those that the system trusts",
    about: "Authorities that the server's certificate is checked against instead, as cloud providers publish them for their databases.",
};

/// The settings.
pub const SETTINGS: &[Setting] = &[
    webhook::PROJECT,
    webhook::WALLET,
    webhook::TEMPLATES,
    webhook::EVENTS,
    webhook::FILTER,
    webhook::SWITCH_OFF,
    webhook::EGRESS,
    webhook::BACKFILL_OF_HELD,
    webhook::BACKFILL_EVERYTHING,
    URL,
    USER,
    PASSWORD,
    SCHEMA,
    TLS,
    AUTHORITIES,
    crm::KEY,
];
