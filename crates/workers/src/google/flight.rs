//! What the class of a flight says: of each fact, what was said last by any of its passes.
//!
//! The facts stand in the class's row with the time since when they are said, so that what comes out is the same in whatever
//! order the passes are seen to, and however often.

use std::collections::BTreeMap;

use domain::PassId;
use render::FlightFact;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A fact as it was said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fact {
    /// What the design made it from.
    source: String,
    pub(super) value: Value,
    /// Since when it is said, microseconds since 1970.
    since: i64,
    /// The pass that said it.
    by: PassId,
}

impl Fact {
    /// Whether another says something else of the same.
    pub(super) fn is_contradicted_by(&self, other: &Self) -> bool {
        self.source == other.source && self.value != other.value
    }
}

/// Facts by their places.
pub(super) type Facts = BTreeMap<String, Fact>;

/// What is true of a flight when a pass says this of it. Of two passes that say different things since the same time, the first
/// that was heard stays.
pub(super) fn newest(held: &Facts, by: PassId, said: &[FlightFact]) -> Facts {
    let of = |fact: &FlightFact| {
        let held = held.get(&fact.place).filter(|held| held.source == fact.source);
        let since = fact.since.map(domain::Timestamp::as_micros);
        let is_newer = |held: &Fact, since: i64| since > held.since || (since == held.since && by == held.by);
        match (held, since) {
            (Some(held), since) if !since.is_some_and(|since| is_newer(held, since)) => Some(held.clone()),
            (_, Some(since)) => Some(Fact { source: fact.source.clone(), value: fact.value.clone(), since, by }),
            (_, None) => None,
        }
    };
    said.iter().filter_map(|fact| Some((fact.place.clone(), of(fact)?))).collect()
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    fn gate(source: &str, value: &str, since: Option<i64>) -> [FlightFact; 1] {
        let (place, source, value) = ("origin.gate".to_owned(), source.to_owned(), Value::from(value));
        [FlightFact { place, source, value, since: since.map(Timestamp::from_micros) }]
    }

    #[test]
    fn what_was_said_last_counts_in_any_order_and_of_one_design() {
        let pass = |id: u128| PassId::from_uuid(uuid::Uuid::from_u128(id));
        let said = [
            (pass(1), gate("{{fields.gate}}", "A1", Some(5))),
            (pass(2), gate("{{fields.gate}}", "B2", Some(9))),
            (pass(3), gate("{{fields.gate}}", "", None)),
        ];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let heard = order.iter().chain(&order).fold(Facts::new(), |held, at| newest(&held, said[*at].0, &said[*at].1));
            assert_eq!(heard["origin.gate"].value, "B2", "{order:?}");
        }
        let held = newest(&Facts::new(), pass(1), &said[0].1);
        let tie = newest(&held, pass(2), &gate("{{fields.gate}}", "C3", Some(5)));
        assert_eq!(tie, held, "the first stays");
        let own = newest(&held, pass(1), &gate("{{fields.gate}}", "C3", Some(5)));
        assert_eq!(own["origin.gate"].value, "C3", "a pass knows itself better");
        let redrawn = newest(&held, pass(1), &gate("Gate {{fields.gate}}", "Gate A1", Some(5)));
        assert_eq!(redrawn["origin.gate"].value, "Gate A1");
        assert!(newest(&held, pass(3), &gate("Gate {{fields.gate}}", "Gate", None)).is_empty());
    }
}
