//! Who sent a request of Segment's.

use crate::kit::signature::{Hash, is_hmac, unhex};
use crate::kit::{Authentic, Entrance, Inbound, Lock, Refused, SharedSecret, tracking};

/// HMAC-SHA1 of the body in hexadecimal, keyed by the shared secret (Segment's documentation of its webhook destination).
const SIGNATURE: &str = "x-signature";

/// SDKs show the write key; the webhook destination signs with the shared secret, once the source has one.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    match inbound.entrance {
        Entrance::Api => lock.by_key(inbound, tracking::credential),
        Entrance::Webhook => lock.by_signature_or_key(inbound, SIGNATURE, fits),
    }
}

fn fits(secret: &SharedSecret, inbound: &Inbound) -> bool {
    let given = inbound.header(SIGNATURE).and_then(|hex| unhex(hex.trim()));
    given.is_some_and(|given| is_hmac(Hash::Sha1, secret.expose().as_bytes(), &[&inbound.body], &given))
}
