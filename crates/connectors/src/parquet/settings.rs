//! What can be set for Parquet files.

use crate::kit::vendor::vendor_settings;
use crate::kit::{Setting, Takes, crm, webhook};

pub(super) const STORE: Setting = Setting {
    name: "store",
    value: "`s3`, `gcs`, `azure` or `folder`",
    takes: Takes::Choice(&["s3", "gcs", "azure", "folder"]),
    default: "s3",
    about: "Which storage: S3 and what speaks like it (with `url`), Google Cloud Storage, Azure Blob Storage, or a folder on the \
            server's own disk, where its operator allows one.",
};
pub(super) const BUCKET: Setting = Setting {
    name: "bucket",
    value: "a bucket's or container's name",
    takes: Takes::Text(63),
    default: "required, but for `folder`",
    about: "Where the files are.",
};
pub(super) const PREFIX: Setting = Setting {
    name: "prefix",
    value: "a path",
    takes: Takes::Text(500),
    default: "`passbridge`",
    about: "What stands before the tables' folders.",
};
pub(super) const REGION: Setting =
    Setting { name: "region", value: "a region's name", takes: Takes::Text(63), default: "us-east-1", about: "Of S3." };
pub(super) const ACCESS_KEY_ID: Setting = Setting {
    name: "access_key_id",
    value: "`AKIA…`",
    takes: Takes::Text(256),
    default: "required for `s3`",
    about: "Of a user who may `s3:PutObject` below the prefix, and no more.",
};
pub(super) const SECRET_ACCESS_KEY: Setting = Setting {
    name: "secret_access_key",
    value: "the key's secret",
    takes: Takes::Secret(512),
    default: "required for `s3`",
    about: "Requests are signed with it; it is not sent.",
};
pub(super) const KEY_FILE: Setting = Setting {
    name: "key_file",
    value: "a service account's key file",
    takes: Takes::Secret(16 * 1_024),
    default: "required for `gcs`",
    about: "JSON, of an account with the role Storage Object User on the bucket.",
};
pub(super) const ACCOUNT: Setting = Setting {
    name: "account",
    value: "a storage account's name",
    takes: Takes::Text(63),
    default: "required for `azure`",
    about: "Of Azure.",
};
pub(super) const ACCOUNT_KEY: Setting = Setting {
    name: "account_key",
    value: "its key",
    takes: Takes::Secret(512),
    default: "required for `azure`",
    about: "Base64, as Azure shows it.",
};

/// The settings.
pub const SETTINGS: &[Setting] = vendor_settings![
    webhook::BACKFILL,
    webhook::BACKFILL_EVERYTHING,
    STORE,
    BUCKET,
    PREFIX,
    REGION,
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    KEY_FILE,
    ACCOUNT,
    ACCOUNT_KEY,
    crm::KEY,
];
