//! What Google was ever sent, as keys alone: a patch leaves alone what it does not name, so what a design has no more is emptied
//! by name.
//!
//! One row of an account holds the keys for each kind of class and object. A pass may move to another design, so they are not
//! kept for each design; a key that was never there is emptied without harm.

use std::collections::BTreeMap;

use google_wallet::rest::{Kind, Shape};
use serde::Serialize;
use serde_json::{Map, Value};
use store::GoogleOutcome;
use uuid::Uuid;

use super::{
    lane::Lane,
    memory::Memory,
    sync::{Fault, Step},
};

/// Shapes by collection: `loyaltyObject` and so on.
pub(super) type Shapes = BTreeMap<String, Shape>;

impl Lane {
    /// What is sent, as a patch that also empties what was sent once; written down before it is sent.
    pub(super) async fn sent<T: Serialize>(&self, kind: Kind, thing: &T) -> Step<Map<String, Value>> {
        let value = serde_json::to_value(thing).map_err(|error| Fault::Later(error.to_string()))?;
        let Value::Object(mut keys) = value else { return Err(Fault::Later("what is drawn is no object".to_owned())) };
        let row = Uuid::new_v5(&self.id, b"shapes");
        let mut held = self.shapes.lock().await;
        if held.is_none() {
            let backend = self.shard.house.store.backend();
            let known = self.shard.insist("read what was sent", || backend.google_thing(self.org, row)).await?;
            *held = Some(known.map(|row| Memory::read(&row.body).shapes).unwrap_or_default());
        }
        let shapes = held.get_or_insert_default();
        let shape = shapes.entry(kind.collection()).or_default();
        let grew = shape.learn(&keys);
        shape.clear(&mut keys);
        if grew {
            let body = Memory { shapes: shapes.clone(), ..Memory::default() }.write();
            let (org, account, synced_seq) = (self.org, self.id, Some(1));
            self.settle(vec![GoogleOutcome { org, thing: row, account, seen_due_at: None, synced_seq, retry_at: None, body }])
                .await?;
        }
        Ok(keys)
    }
}
