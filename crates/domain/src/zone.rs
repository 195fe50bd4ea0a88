//! Time zones by name, from the IANA database that is built in.

use std::{fmt, str::FromStr, time::Duration};

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Timestamp;

/// A time zone of the IANA database, for example `Europe/Berlin`; `UTC` unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneName {
    name: String,
    zone: TimeZone,
}

/// Text that names no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such time zone: expected a name of the IANA database, for example Europe/Berlin")]
pub struct ZoneError;

impl ZoneName {
    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The day that it is there at a time, as a number: 20261121 is 21 November 2026.
    pub fn day(&self, at: Timestamp) -> u32 {
        let date = jiff::Timestamp::from_microsecond(at.as_micros()).map(|at| self.zone.to_datetime(at).date());
        let number = |date: jiff::civil::Date| {
            let (year, month, day) = (i32::from(date.year()), i32::from(date.month()), i32::from(date.day()));
            u32::try_from(year * 10_000 + month * 100 + day).unwrap_or(0)
        };
        date.map_or(0, number)
    }

    /// A time as people there read it, to the minute that has begun by then: `15 January 2027, 09:00 (Europe/Berlin)`.
    pub fn told(&self, at: Timestamp) -> String {
        let minute = at.plus(Duration::from_micros(59_999_999));
        let there = jiff::Timestamp::from_microsecond(minute.as_micros()).map(|minute| self.zone.to_datetime(minute));
        there.map_or_else(|_| at.to_string(), |there| format!("{} ({})", there.strftime("%-d %B %Y, %H:%M"), self.name))
    }
}

impl Default for ZoneName {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }
}
impl FromStr for ZoneName {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        if name == "UTC" {
            return Ok(Self::default());
        }
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| ZoneError)?;
        let name = zone.iana_name().ok_or(ZoneError)?.to_owned();
        Ok(Self { name, zone })
    }
}
impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
impl Serialize for ZoneName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}
impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_of_its_zone() {
        let at: Timestamp = "2026-11-20T23:30:00Z".parse().unwrap();
        for (zone, day) in [("UTC", 20_261_120), ("Europe/Berlin", 20_261_121), ("America/Los_Angeles", 20_261_120)] {
            assert_eq!(zone.parse::<ZoneName>().unwrap().day(at), day, "{zone}");
        }
        let summer: Timestamp = "2026-07-01T22:30:00Z".parse().unwrap();
        assert_eq!("Europe/Berlin".parse::<ZoneName>().unwrap().day(summer), 20_260_702, "summer time");
        assert_eq!("Europe/Atlantis".parse::<ZoneName>(), Err(ZoneError));
        let berlin: ZoneName = "Europe/Berlin".parse().unwrap();
        assert_eq!(berlin.told(summer), "2 July 2026, 00:30 (Europe/Berlin)");
        assert_eq!(berlin.told("2026-12-31T22:59:00.5Z".parse().unwrap()), "1 January 2027, 00:00 (Europe/Berlin)");
        assert_eq!("europe/berlin".parse::<ZoneName>().unwrap().as_str(), "Europe/Berlin");
    }
}
