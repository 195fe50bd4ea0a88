//! Changes that notify the holder by themselves: Google's *field updates*, which a patch asks for.
//!
//! They count among the three notifications a day like messages do. What was told is remembered as a keyed hash; a
//! notification is announced in the row before it is asked for, and after a failure the object is read back.

use domain::Pass;
use google_wallet::{
    Object,
    rest::{Kind, Verdict},
};
use serde_json::{Map, Value};
use store::GoogleThingRow;

use super::{
    lane::Lane,
    memory::Memory,
    sync::{Fault, Step, id_of, read_object},
};

impl Lane {
    /// The hash of what the next patch shall notify of; none when it is to be silent.
    pub(super) async fn news(
        &self,
        row: &GoogleThingRow,
        memory: &mut Memory,
        object: &Object,
        pass: &Pass,
        noticed: Option<Map<String, Value>>,
    ) -> Step<Option<String>> {
        let Some(noticed) = noticed else {
            (memory.noticed, memory.noticing) = (None, None);
            return Ok(None);
        };
        let keyring = self.shard.house.store.keyring();
        let text = format!("{}{}", pass.id, Value::Object(noticed.clone()));
        let hash = keyring.blind(self.org, "google notice", &text).map_err(|error| Fault::Later(error.to_string()))?;
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        if memory.noticed.as_ref() == Some(&hash) {
            return Ok(None);
        }
        // A message that comes with the change notifies of both; whoever does not hold the pass is not disturbed.
        let has_message = pass.message.as_ref().is_some_and(|message| memory.message_at < Some(message.at.as_micros()));
        let is_known = memory.noticed.is_some() && row.synced_seq > 0 && pass.google.active > 0;
        let arrived = memory.noticing.as_ref() == Some(&hash) && self.has_changed(object, &noticed).await?;
        if arrived {
            memory.has_notified(self.shard.house.now());
        }
        if arrived || has_message || !is_known || !memory.may_notify(self.shard.house.now()) {
            memory.noticed = Some(hash);
            memory.noticing = None;
            return Ok(None);
        }
        if memory.noticing.as_ref() != Some(&hash) {
            memory.noticing = Some(hash.clone());
            self.remember(row, memory).await?;
        }
        Ok(Some(hash))
    }

    /// Whether Google has what an earlier patch was to notify of: then it has notified, too.
    async fn has_changed(&self, object: &Object, noticed: &Map<String, Value>) -> Step<bool> {
        let (id, vertical) = (id_of(object)?, object.vertical());
        let (verdict, body) = self.request(|api| api.get(Kind::Object(vertical), &id)).await?;
        if verdict != Verdict::Done {
            return Ok(false);
        }
        let held = serde_json::to_value(read_object(vertical, &body)?).map_err(|error| Fault::Later(error.to_string()))?;
        Ok(noticed.iter().all(|(key, value)| holds(&held[key], value)))
    }
}

/// Whether what Google has says all that was sent; it may add to it.
pub(super) fn holds(held: &Value, sent: &Value) -> bool {
    match (held, sent) {
        (Value::Object(held), Value::Object(sent)) => {
            sent.iter().all(|(key, value)| held.get(key).is_some_and(|held| holds(held, value)))
        }
        _ => held == sent,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn google_may_add_to_what_was_sent() {
        let sent = json!({"balance": {"int": 5}});
        assert!(holds(&json!({"balance": {"int": 5, "kind": "x"}, "label": "Points"}), &sent));
        assert!(!holds(&json!({"balance": {"int": 6}}), &sent));
        assert!(!holds(&Value::Null, &sent));
    }
}
