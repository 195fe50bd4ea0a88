//! New gates and times of a flight, which its class has: a patch of the class asks Google to notify all who hold a pass for it.
//!
//! All of them are told whatever else came with the change: a message that one of them is sent, or a new design. That message
//! notifies as well, since it says something else.
//!
//! As of an object, what was told is remembered, the patch is announced in the class's row before it is sent, and after a failure
//! the class is read back, so that nobody is told twice. What a class told counts among the three notifications a day of each of
//! its objects.

use domain::{Pass, Timestamp};
use google_wallet::rest::{Kind, Verdict};
use serde_json::{Map, Value};

use super::{
    flight::{Fact, Facts},
    lane::Lane,
    memory::Memory,
    news::holds,
    sync::{Drawn, Fault, Step, class_id_of, fingerprint},
};

impl Lane {
    /// Whether the next patch of a class shall notify; `held` is what is remembered of it.
    pub(super) async fn flight_news(&self, drawn: &Drawn, held: &mut Memory) -> Step<bool> {
        let (Some(noticed), Some(hash)) = (&drawn.noticed, told(drawn)?) else { return Ok(false) };
        let is_news = held.noticed.as_ref().is_some_and(|known| *known != hash);
        if !is_news {
            return Ok(false);
        }
        let now = self.shard.house.now();
        if held.noticing.as_ref() == Some(&hash) && self.class_holds(drawn, noticed).await? {
            held.has_notified(now);
            return Ok(false);
        }
        if !held.may_notify(now) {
            return Ok(false);
        }
        if held.noticing.as_ref() != Some(&hash) {
            held.noticing = Some(hash);
            self.note_class(drawn.thing, held.clone()).await?;
        }
        Ok(true)
    }

    /// Whether Google has what an earlier patch was to notify of: then it has notified, too.
    async fn class_holds(&self, drawn: &Drawn, noticed: &Map<String, Value>) -> Step<bool> {
        let (id, kind) = (class_id_of(&drawn.class)?, Kind::Class(drawn.class.vertical()));
        let (verdict, body) = self.request(|api| api.get(kind, &id)).await?;
        if verdict != Verdict::Done {
            return Ok(false);
        }
        let later = |error: serde_json::Error| Fault::Later(format!("Google's answer cannot be read: {error}"));
        let held: Value = serde_json::from_slice(&body).map_err(later)?;
        Ok(noticed.iter().all(|(key, value)| holds(&held[key], value)))
    }
}

/// Whether something that a class announces is said otherwise than it was held, not just made otherwise by another design.
pub(super) fn is_otherwise(drawn: &Drawn, held: &Facts) -> bool {
    let Some(noticed) = drawn.noticed.clone().map(Value::Object) else { return false };
    let announces = |place: &str| noticed.pointer(&format!("/{}", place.replace('.', "/"))).is_some();
    let differs = |place: &String, fact: &Fact| held.get(place).is_some_and(|held| held.is_contradicted_by(fact));
    drawn.facts.iter().any(|(place, fact)| announces(place) && differs(place, fact))
}

/// What a class tells of its flight, hashed; none where the design announces nothing of it.
pub(super) fn told(drawn: &Drawn) -> Step<Option<String>> {
    drawn.noticed.as_ref().map(fingerprint).transpose()
}

/// Counts what the class told since the holder has the pass among what the object told.
pub(super) fn count_in(memory: &mut Memory, pass: &Pass, told: &[i64]) {
    let Some(saved) = pass.google.first_installed_at.map(Timestamp::as_micros) else { return };
    let new = told.iter().copied().filter(|at| *at >= saved && !memory.notified.contains(at));
    let mut all: Vec<i64> = memory.notified.iter().copied().chain(new).collect();
    all.sort_unstable();
    let old = all.len().saturating_sub(store::NOTIFICATIONS as usize);
    memory.notified = all.split_off(old);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_class_told_counts_once_of_those_who_held_the_pass() {
        let (project, template) = ("0000000000000000000001", "0000000000000000000001");
        let at = "2026-11-20T09:30:00Z";
        let pass = json!({
            "id": "0000000000000000000001", "project": project, "template": template, "variant": "base", "serial": "s",
            "code": "0000000000000000000001", "shard": 0, "version": 1, "content_version": 1, "last_modified": 1, "token_epoch": 0,
            "lifecycle": domain::Lifecycle::Active, "fields": {}, "balances": {}, "validity": {}, "issued_at": at, "updated_at": at,
        });
        let mut pass: Pass = serde_json::from_value(pass).unwrap();
        let mut memory = Memory { notified: vec![20, 40], ..Memory::default() };
        count_in(&mut memory, &pass, &[30]);
        assert_eq!(memory.notified, [20, 40], "nobody has it");
        pass.google.first_installed_at = Some(Timestamp::from_micros(15));
        count_in(&mut memory, &pass, &[10, 40, 30, 50]);
        assert_eq!(memory.notified, [30, 40, 50], "the last three, each once");
    }
}
