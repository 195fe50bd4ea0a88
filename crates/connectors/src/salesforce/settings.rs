//! What can be set for a Salesforce destination.

use crate::kit::crm::crm_settings;
use crate::kit::{Setting, Takes, webhook};

pub(super) const DOMAIN: Setting = Setting {
    name: "domain",
    value: "`acme.my.salesforce.com`",
    takes: Takes::Text(200),
    default: "required",
    about: "Your My Domain.",
};
pub(super) const CLIENT_ID: Setting = Setting {
    name: "client_id",
    value: "consumer key",
    takes: Takes::Text(512),
    default: "required",
    about: "Of a connected app with the client credentials flow switched on.",
};
pub(super) const CLIENT_SECRET: Setting = Setting {
    name: "client_secret",
    value: "consumer secret",
    takes: Takes::Secret(512),
    default: "required",
    about: "Of the same app.",
};
pub(super) const EXTERNAL_ID_FIELD: Setting = Setting {
    name: "external_id_field",
    value: "API name of a field marked as external id",
    takes: Takes::Text(100),
    default: "required",
    about: "Which field holds what `key` names.",
};
pub(super) const OBJECT: Setting = Setting {
    name: "object",
    value: "API name of an object",
    takes: Takes::Text(100),
    default: "`Contact`",
    about: "What the records are.",
};
pub(super) const API_VERSION: Setting = Setting {
    name: "api_version",
    value: "`v62.0`",
    takes: Takes::Text(8),
    default: "`v62.0`",
    about: "Version of the REST API.",
};

/// The settings.
pub const SETTINGS: &[Setting] = crm_settings![
    webhook::BACKFILL_OF_HELD;
    "Wallet_Status__c", "Apple_Wallet_Installed_At__c", "Google_Wallet_Installed_At__c", "Wallet_Last_Changed_At__c", "Wallet_Last_Event__c";
    DOMAIN, CLIENT_ID, CLIENT_SECRET, EXTERNAL_ID_FIELD, OBJECT, API_VERSION,
];
