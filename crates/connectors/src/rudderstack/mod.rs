//! RudderStack as a destination, through its data plane, and as a source, through its webhook destination and as the data plane
//! of its SDKs; Segment's SDKs speak the same protocol. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use std::time::Duration;

use crate::catalog::{Descriptor, Destination, Maturity, Preset, Proof, Source, Vendor};
use crate::kit::tracking::destination as outgoing;
use crate::kit::{Authentic, Inbound, Lock, Pace, Refused, retry, tracking, vendor};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "rudderstack",
    label: "RudderStack",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: settings::SETTINGS,
    settings: settings::DESTINATION,
    presets: &[
        Preset {
            slug: "membership-signed-up-issues",
            about: "Issues a card with points and the date of joining, or switches the one of a member who comes back on again.",
            flow: include_str!("presets/membership-signed-up-issues.yaml"),
        },
        Preset {
            slug: "purchase-completed-adds-points",
            about: "Adds a point to the card for every whole unit of money of a purchase.",
            flow: include_str!("presets/purchase-completed-adds-points.yaml"),
        },
        Preset {
            slug: "tier-upgraded-changes-the-variant",
            about: "Moves the card to the variant that the event names.",
            flow: include_str!("presets/tier-upgraded-changes-the-variant.yaml"),
        },
        Preset {
            slug: "membership-cancelled-revokes",
            about: "Revokes the card of a member who leaves.",
            flow: include_str!("presets/membership-cancelled-revokes.yaml"),
        },
    ],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::Key,
        api: true,
        credential: tracking::credential,
        secret_form: None,
        greet: None,
        verify,
        decode: tracking::decode,
        max_body_bytes: tracking::MAX_BODY_BYTES,
    }),
    destination: Some(Destination {
        wants: outgoing::wants,
        render: destination::render,
        judge: vendor::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace { events: 100, linger: Duration::from_millis(50), pause: Duration::ZERO, rest: Duration::ZERO },
        vendor: Some(Vendor { takes_url: true, state: Some(outgoing::identified), ..Vendor::new(destination::check) }),
    }),
};

/// Lets a request in when it carries the source's write key.
fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    lock.by_key(inbound, tracking::credential)
}
