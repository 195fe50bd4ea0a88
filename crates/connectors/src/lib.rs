//! Sources and destinations, one folder per vendor, as pure functions: bytes and settings in, values out.
//!
//! A source turns a request into [`domain::SourceEvent`]s, a destination turns [`domain::Event`]s into requests and
//! a reply into an outcome. Nothing here opens a socket, reads a clock, draws randomness or touches the store: the
//! time, the fresh ids and the secrets are handed in, so the same input always gives the same bytes.
//!
//! [`catalog`] lists what there is; [`kit`] holds what all of them share.

pub mod airtable;
pub mod catalog;
pub mod cloudevents;
pub mod custom;
pub mod flat;
pub mod generic;
pub mod google_sheets;
pub mod http_call;
pub mod hubspot;
pub mod kafka;
pub mod kit;
pub mod mail_alerts;
pub mod native;
pub mod nats;
pub mod parquet;
pub mod passengine;
pub mod passkit;
pub mod passslot;
pub mod postgresql;
pub mod rudderstack;
pub mod salesforce;
pub mod segment;
pub mod shopify;
pub mod slack;
pub mod sms_http;
pub mod smtp;
pub mod standard_webhooks;
pub mod stripe;
pub mod twilio;
pub mod walletcrew;
pub mod woocommerce;
