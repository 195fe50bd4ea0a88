//! Says in the log when the certificate of a signer nears its end: at 90, 30 and 7 days, and once it has come.

use std::collections::HashMap;

use domain::{OrgId, Timestamp};
use store::{Catalog, Ending};
use uuid::Uuid;

/// What was said of each signer, by the revision that it was said of. Lost with the process: then it is said once more.
#[derive(Default)]
pub(crate) struct Told(HashMap<(OrgId, Uuid), (i64, Ending)>);

impl Told {
    /// Says what is new, and forgets the signers that are gone or renewed.
    pub(crate) fn look(&mut self, catalog: &Catalog, now: Timestamp) {
        let mut near = HashMap::new();
        for (org, config) in catalog.orgs() {
            for (id, signer) in &config.signers {
                let Some(ending) = Ending::of(signer.value.not_after, now) else { continue };
                let state = (signer.revision, ending);
                near.insert((org, *id), state);
                if self.0.get(&(org, *id)) != Some(&state) {
                    say(org, &signer.value.pass_type, signer.value.not_after, ending, now);
                }
            }
        }
        self.0 = near;
    }
}

fn say(org: OrgId, pass_type: &str, end: Timestamp, ending: Ending, now: Timestamp) {
    let days = end.as_seconds().saturating_sub(now.as_seconds()).div_euclid(86_400);
    let mend = "make a request with `passbridge signer request --signer` and give Apple's answer with `passbridge signer answer`";
    match ending {
        Ending::Past => {
            tracing::error!(%org, pass_type, mend, "the certificate of a signer has ended: no pass of it can be made, nothing is pushed");
        }
        Ending::Within7Days => tracing::error!(%org, pass_type, days, mend, "the certificate of a signer ends within 7 days"),
        Ending::Within30Days => tracing::warn!(%org, pass_type, days, mend, "the certificate of a signer ends within 30 days"),
        Ending::Within90Days => tracing::warn!(%org, pass_type, days, mend, "the certificate of a signer ends within 90 days"),
    }
}
