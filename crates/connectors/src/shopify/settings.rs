//! What can be set for a Shopify source.

use crate::kit::{ENABLED, STRICT, Setting, Takes, USER};

/// The settings.
pub const SETTINGS: &[Setting] = &[
    ENABLED,
    STRICT,
    Setting {
        name: "shop",
        value: "a domain such as `my-shop.myshopify.com`",
        takes: Takes::Text(253),
        default: "any shop that signs with the secret",
        about: "Whose webhooks are listened to, for an app that several shops have installed; those of others are left alone.",
    },
    USER,
];
