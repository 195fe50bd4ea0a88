//! Which keys were ever sent for a kind of thing. A patch leaves alone what it does not name, at every depth, so whoever wants a
//! thing to be what is drawn now has to name what was sent before and is no more.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Keys of a shape that are remembered at most; further ones are not, and stay at Google when they go.
const MAX_KEYS: usize = 2_000;
/// What is no state of a thing: messages are added one by one, a preference is about one request.
const NO_STATE: [&str; 2] = ["messages", "notifyPreference"];

/// Keys of objects within objects. Lists are replaced whole, so nothing is remembered of what is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Map<String, Value>);

impl Shape {
    /// Remembers the keys of what is sent; whether any is new.
    pub fn learn(&mut self, sent: &Map<String, Value>) -> bool {
        let mut left = MAX_KEYS.saturating_sub(count(&self.0));
        let before = left;
        let state = sent.iter().filter(|(key, _)| !NO_STATE.contains(&key.as_str()));
        learn(&mut self.0, state, &mut left);
        left < before
    }

    /// Adds to a patch, as `null`, what was sent once and is not in it.
    pub fn clear(&self, patch: &mut Map<String, Value>) {
        clear(&self.0, patch);
    }
}

fn count(keys: &Map<String, Value>) -> usize {
    keys.values().map(|inner| 1 + inner.as_object().map_or(0, count)).sum()
}

fn learn<'a>(known: &mut Map<String, Value>, sent: impl Iterator<Item = (&'a String, &'a Value)>, left: &mut usize) {
    for (key, value) in sent.filter(|(_, value)| !value.is_null()) {
        if !known.contains_key(key) {
            if *left == 0 {
                continue;
            }
            *left -= 1;
        }
        let inner = known.entry(key.as_str()).or_insert_with(|| Value::Object(Map::new()));
        if let (Value::Object(inner), Value::Object(value)) = (inner, value) {
            learn(inner, value.iter(), left);
        }
    }
}

fn clear(known: &Map<String, Value>, patch: &mut Map<String, Value>) {
    for (key, inner) in known {
        match (patch.get_mut(key), inner) {
            (None, _) => drop(patch.insert(key.clone(), Value::Null)),
            (Some(Value::Object(patch)), Value::Object(inner)) => clear(inner, patch),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(keys) = value else { panic!("{value} is no object") };
        keys
    }

    #[test]
    fn what_is_gone_is_emptied_at_every_depth() {
        let mut shape = Shape::default();
        let first = json!({"id": "1.a", "seatInfo": {"seat": {"defaultValue": {"value": "4"}}, "gate": {}}, "links": [{"a": 1}],
            "messages": [{}], "notifyPreference": "NOTIFY_ON_UPDATE"});
        assert!(shape.learn(&object(first.clone())));
        assert!(!shape.learn(&object(first)), "known");
        let mut patch = object(json!({"id": "1.a", "seatInfo": {"seat": {"other": 1}}}));
        shape.clear(&mut patch);
        let expected =
            json!({"id": "1.a", "links": null, "seatInfo": {"gate": null, "seat": {"defaultValue": null, "other": 1}}});
        assert_eq!(Value::Object(patch), expected);
    }

    #[test]
    fn a_shape_is_bounded() {
        let mut shape = Shape::default();
        for number in 0..2 * MAX_KEYS {
            shape.learn(&object(json!({format!("key-{number}"): {"a": 1}})));
        }
        assert_eq!(count(&shape.0), MAX_KEYS);
        assert!(!shape.learn(&object(json!({"more": 1}))));
    }

    /// As Google applies a patch.
    fn merge(held: &mut Map<String, Value>, patch: &Map<String, Value>) {
        for (key, change) in patch {
            match (held.get_mut(key), change) {
                (_, Value::Null) => drop(held.remove(key)),
                (Some(Value::Object(held)), Value::Object(change)) => merge(held, change),
                (_, Value::Object(change)) => {
                    let mut fresh = Map::new();
                    merge(&mut fresh, change);
                    held.insert(key.clone(), Value::Object(fresh));
                }
                _ => drop(held.insert(key.clone(), change.clone())),
            }
        }
    }

    fn json_object() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![any::<u8>().prop_map(Value::from), Just(json!([{"a": 1}])), Just(json!("x"))];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        /// However often a thing is drawn anew, Google has what was drawn last, and nothing else.
        #[test]
        fn a_patch_makes_it_what_is_drawn(drawn in prop::collection::vec(json_object(), 1..6)) {
            let (mut shape, mut held) = (Shape::default(), Map::new());
            for thing in drawn {
                shape.learn(&thing);
                let mut patch = thing.clone();
                shape.clear(&mut patch);
                merge(&mut held, &patch);
                prop_assert_eq!(&held, &thing);
            }
        }
    }
}
