//! Batches for Segment's tracking API: at most 500 KB, each call at most 32 KB.
//! Source: `src/connections/sources/catalog/libraries/server/http-api/index.md` of <https://github.com/segmentio/segment-docs>.

use domain::{Target, Timestamp};

use super::settings::REGION;
use crate::kit::tracking::destination as outgoing;
use crate::kit::{Credentials, Owed, Secrets, Sending, SettingProblem, vendor};

const MAX_BATCH_BYTES: usize = 500_000;

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    outgoing::check(target, credentials)
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, now: Timestamp) -> Vec<Sending> {
    let home = match vendor::text(target, REGION.name, "us") {
        "eu" => "https://events.eu1.segmentapis.com",
        _ => "https://api.segment.io",
    };
    outgoing::render(owed, target, secrets, now, vendor::base(target, home), MAX_BATCH_BYTES)
}
