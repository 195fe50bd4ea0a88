//! When a saved batch runs by itself.

use std::time::Duration;

use cronexpr::{Crontab, MakeTimestamp, parse_crontab};
use domain::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Problem;

/// The most minutes between two runs: four weeks.
const MAX_MINUTES: u32 = 4 * 7 * 24 * 60;

/// The begin of 2024, which has a 29th of February.
const A_LEAP_YEAR: Timestamp = Timestamp::from_micros(1_704_067_200_000_000);

/// When a saved batch runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Schedule {
    /// So long after the last run was begun.
    Every {
        /// Minutes.
        every_minutes: u32,
    },
    /// When a clock somewhere shows a time; one that a change of the clock leaves out is left out.
    Cron {
        /// Minute, hour, day of the month, month and day of the week, as crontab(5) has them; also `L`, `15W`, `5#3`.
        cron: String,
        /// The clock's zone, a name of the IANA database.
        #[serde(default = "utc")]
        zone: String,
    },
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Schedule {
    /// Looks whether it says a time.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn check(&self) -> Result<(), Problem> {
        match self {
            Self::Every { every_minutes } if !(1..=MAX_MINUTES).contains(every_minutes) => {
                Err(Problem::new("every_minutes", format!("expected 1 to {MAX_MINUTES}")))
            }
            Self::Every { .. } => Ok(()),
            Self::Cron { cron, zone } => {
                crontab(cron, zone)?;
                let comes = self.after(A_LEAP_YEAR).is_some();
                comes.then_some(()).ok_or_else(|| Problem::new("cron", "never comes: no month has such a day"))
            }
        }
    }

    /// The first time after another; none where there is none any more.
    #[must_use]
    pub fn after(&self, last: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every { every_minutes } => Some(last.plus(Duration::from_secs(u64::from(*every_minutes) * 60))),
            Self::Cron { cron, zone } => {
                let from = MakeTimestamp::from_microsecond(last.as_micros()).ok()?;
                let next = crontab(cron, zone).ok()?.find_next(from).ok()?;
                Some(Timestamp::from_micros(next.timestamp().as_microsecond()))
            }
        }
    }
}

fn crontab(cron: &str, zone: &str) -> Result<Crontab, Problem> {
    // Told apart, so that each is blamed for its own faults.
    parse_crontab(&format!("* * * * * {zone}"))
        .map_err(|_| Problem::new("zone", "is no time zone: expected a name such as Europe/Berlin".to_owned()))?;
    parse_crontab(&format!("{cron} {zone}")).map_err(|error| Problem::new("cron", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(cron: &str, zone: &str) -> Schedule {
        Schedule::Cron { cron: cron.to_owned(), zone: zone.to_owned() }
    }

    #[test]
    fn times_are_those_of_the_zone_through_both_changes_of_its_clock() {
        let nightly = cron("30 2 * * *", "Europe/Berlin");
        let mut times = Vec::new();
        let mut last = at("2027-03-26T12:00:00Z");
        for _ in 0..3 {
            last = nightly.after(last).unwrap();
            times.push(last.to_string());
        }
        let expected = ["2027-03-27T01:30:00Z", "2027-03-29T00:30:00Z", "2027-03-30T00:30:00Z"];
        assert_eq!(times, expected, "there is no half past two on the 28th");
        assert_eq!(nightly.after(at("2027-10-31T03:00:00Z")).unwrap(), at("2027-11-01T01:30:00Z"));
    }

    #[test]
    fn hours_are_counted_from_the_last_run() {
        let hourly: Schedule = serde_json::from_str(r#"{"every_minutes": 60}"#).unwrap();
        assert_eq!(hourly.after(at("2027-01-01T00:10:00Z")).unwrap(), at("2027-01-01T01:10:00Z"));
    }

    #[test]
    fn what_says_no_time_is_named() {
        for (wrong, place) in [
            (cron("99 * * * *", "UTC"), "cron"),
            (cron("* * * *", "UTC"), "cron"),
            (cron("", "UTC"), "cron"),
            (cron("0 0 30 2 *", "UTC"), "cron"),
            (cron("0 0 31 4,6,9,11 *", "Europe/Berlin"), "cron"),
            (cron("* * * * *", "Mars/Olympus"), "zone"),
            (Schedule::Every { every_minutes: 0 }, "every_minutes"),
            (Schedule::Every { every_minutes: MAX_MINUTES + 1 }, "every_minutes"),
        ] {
            assert_eq!(wrong.check().unwrap_err().path, place, "{wrong:?}");
        }
        assert!(cron("0 3 L * *", "America/New_York").check().is_ok());
        assert!(cron("0 3 29 2 *", "Asia/Kathmandu").check().is_ok());
        assert!(serde_json::from_str::<Schedule>(r#"{"every_minutes": 5, "cron": "* * * * *"}"#).is_err());
    }
}
