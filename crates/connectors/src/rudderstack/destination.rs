//! Batches for a data plane of RudderStack: at most 4 MB, each call at most 32 KB.
//! Source: <https://www.rudderstack.com/docs/api/http-api/>.

use domain::{Target, Timestamp};

use crate::kit::tracking::destination as outgoing;
use crate::kit::{Credentials, Owed, Secrets, Sending, SettingProblem, vendor};

const MAX_BATCH_BYTES: usize = 4_000_000;

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    if target.url.is_empty() {
        return Err(vendor::problem("url", "give the address of your data plane"));
    }
    outgoing::check(target, credentials)
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, now: Timestamp) -> Vec<Sending> {
    outgoing::render(owed, target, secrets, now, vendor::base(target, ""), MAX_BATCH_BYTES)
}
