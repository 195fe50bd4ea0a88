//! Whose turn it is, for targets that want the events of a pass one after another, and for streams, whose readers count on it.
//!
//! An event waits while an earlier one of its pass is under way or kept for later. What is under way, or kept and perhaps not
//! written yet, is known here; what is written is asked of the store before each attempt. So the order holds over restarts too.

use std::{collections::HashMap, time::Duration};

use domain::{PassId, TargetId, Timestamp};

use super::send::Delivery;

/// How long a delivery waits before it is asked again whose turn it is.
const ASK_AGAIN: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(5);

/// A pass at a target.
pub(super) type Line = (TargetId, PassId);

/// What is known of the lines of one shard.
#[derive(Debug, Default)]
pub(super) struct Order(HashMap<Line, Turn>);

#[derive(Debug, Default)]
struct Turn {
    under_way: bool,
    /// Until when the last one that was kept is kept; until one of the line goes, as its row may not be written yet.
    kept: Option<Timestamp>,
}

/// The line that a delivery stands in, if its target wants one. Replays stand in none.
pub(super) fn line(delivery: &Delivery) -> Option<Line> {
    let target = delivery.to.target();
    let wanted = || target.pace.in_order || delivery.to.vendor().is_some_and(|vendor| vendor.in_order);
    let pass = delivery.event.pass.filter(|_| !delivery.behind && wanted())?;
    Some((target.id, pass))
}

/// How long to wait at a target that takes so long for a request.
pub(super) fn pause(pace: Duration) -> Duration {
    pace.clamp(*ASK_AGAIN.start(), *ASK_AGAIN.end())
}

impl Order {
    /// Whether a delivery may go now, else until when to keep it. One that comes out of the store was kept itself.
    pub(super) fn may_go(
        &self,
        line: Option<Line>,
        out_of_store: bool,
        now: Timestamp,
        pause: Duration,
    ) -> Result<(), Timestamp> {
        let Some(turn) = line.and_then(|line| self.0.get(&line)) else { return Ok(()) };
        match turn.kept {
            _ if turn.under_way => Err(now.plus(pause)),
            Some(until) if !out_of_store => Err(until.max(now).plus(pause)),
            _ => Ok(()),
        }
    }

    /// One of a line is under way.
    pub(super) fn goes(&mut self, line: Option<Line>) {
        if let Some(line) = line {
            *self.0.entry(line).or_default() = Turn { under_way: true, kept: None };
        }
    }

    /// It is under way no more.
    pub(super) fn ended(&mut self, line: Option<Line>) {
        let Some(line) = line else { return };
        if let Some(turn) = self.0.get_mut(&line) {
            turn.under_way = false;
            if turn.kept.is_none() {
                self.0.remove(&line);
            }
        }
    }

    /// One is kept for later.
    pub(super) fn kept(&mut self, line: Option<Line>, until: Timestamp) {
        if let Some(line) = line {
            self.0.entry(line).or_default().kept = Some(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_after_another() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let (line, pause) =
            (Some((TargetId::from_uuid(Default::default()), PassId::from_uuid(Default::default()))), Duration::from_secs(1));
        let mut order = Order::default();
        assert!(order.may_go(line, false, now, pause).is_ok());
        order.goes(line);
        assert_eq!(order.may_go(line, false, now, pause), Err(now.plus(pause)));
        assert_eq!(order.may_go(line, true, now, pause), Err(now.plus(pause)));
        assert!(order.may_go(None, false, now, pause).is_ok(), "others do not wait");
        let later = now.plus(Duration::from_secs(300));
        order.kept(line, later);
        order.ended(line);
        assert_eq!(order.may_go(line, false, now, pause), Err(later.plus(pause)), "a new one waits for the one that is kept");
        assert!(order.may_go(line, true, now, pause).is_ok(), "which goes when it is due");
        order.goes(line);
        order.kept(line, later);
        order.ended(line);
        assert!(
            order.may_go(line, false, now, pause).is_err(),
            "the second was kept while the first was taken; no third passes it"
        );
        order.goes(line);
        order.ended(line);
        assert!(order.may_go(line, false, now, pause).is_ok() && order.0.is_empty());
        assert_eq!(super::pause(Duration::ZERO), *ASK_AGAIN.start());
    }
}
