//! Says when the certificate of a signer nears its end: at 90, 30 and 7 days, and once it has come; in the log, and as the event
//! `signer.expiring` to those who ask for it by name.
//!
//! What was told is noted with the signer, so that each is told once, whatever starts and ends in between. The event has a key,
//! so that a crash before that note does not tell it twice. A certificate that takes the place of another begins anew.

use domain::{Actor, Facts, OrgId, Timestamp};
use store::{ConfigChange, Ending, StoreError, Stored, StoredSigner, ToldEnding};

use crate::{notes::note, shard::House};

/// Tells what is new of all signers.
pub(crate) async fn look(house: &House) -> Result<(), StoreError> {
    let (catalog, now) = (house.catalog().await?, house.now());
    for (org, config) in catalog.orgs() {
        for stored in config.signers.values() {
            let not_after = stored.value.not_after;
            let Some(ending) = Ending::of(not_after, now) else { continue };
            let told = stored.value.told.filter(|told| told.not_after == not_after);
            if told.is_none_or(|told| told.ending < ending) {
                tell(house, org, stored, ToldEnding { not_after, ending }).await?;
            }
        }
    }
    Ok(())
}

async fn tell(house: &House, org: OrgId, stored: &Stored<StoredSigner>, told: ToldEnding) -> Result<(), StoreError> {
    let signer = &*stored.value;
    let ToldEnding { not_after, ending } = told;
    let facts = Facts::SignerExpiring {
        signer: signer.id,
        pass_type: signer.pass_type.clone(),
        ends_at: not_after,
        within_days: ending.days(),
    };
    let key = format!("expiring/{}/{}/{}", signer.id, not_after.as_seconds(), ending.days());
    note(house, org, "signers", key, facts).await?;
    let actor = serde_json::to_string(&Actor::System).map_err(|error| StoreError::Internal(error.to_string()))?;
    let change = ConfigChange { org, actor, now: house.now(), names: Vec::new(), removed_names: Vec::new() };
    let noted = StoredSigner { told: Some(told), ..signer.clone() };
    // Whoever changed it meanwhile is not overruled: it is looked at again in a minute.
    if house.store.put(&change, &noted, stored.revision).await? {
        say(org, &signer.pass_type, not_after, ending, house.now());
    }
    Ok(())
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
