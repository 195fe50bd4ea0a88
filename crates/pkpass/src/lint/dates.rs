//! Dates as Wallet reads them: `YYYY-MM-DDTHH:MM[:SS[.fff]]`, then `Z` or `±HH:MM`, and nothing more.

use serde_json::Value;

use super::Report;

/// Unix seconds of a date that Wallet reads; nothing for any other text.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (day, rest) = text.split_once('T')?;
    let mut parts = day.split('-');
    let (year, month, date) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let mut parts_of_clock = clock.split(':');
    let (hour, minute) = (digits(parts_of_clock.next()?, 2)?, digits(parts_of_clock.next()?, 2)?);
    let second = match parts_of_clock.next().map(|text| text.split_once('.').unwrap_or((text, "0"))) {
        None => 0,
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) && !fraction.is_empty() => {
            digits(whole, 2)?
        }
        Some(_) => return None,
    };
    if parts.next().is_some() || parts_of_clock.next().is_some() {
        return None;
    }
    let moment = der::DateTime::new(year, month as u8, date as u8, hour as u8, minute as u8, second as u8).ok()?;
    let seconds = i64::try_from(moment.unix_duration().as_secs()).ok()?;
    Some(seconds - offset_seconds(zone)?)
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
    Some(if sign == "-" { -seconds } else { seconds })
}

fn digits(text: &str, count: usize) -> Option<u16> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Checks a date that must be readable; gives it as unix seconds.
pub(super) fn check(report: &mut Report, path: &str, value: &Value) -> Option<i64> {
    let read = value.as_str().and_then(parse);
    if read.is_none() {
        report.refused(path, "date", "write the date with its zone, such as `2026-11-20T18:30:00+01:00`");
    }
    read
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_forms_that_wallet_reads() {
        for text in [
            "2026-11-20T18:30Z",
            "2026-11-20T18:30:00Z",
            "2026-11-20T18:30:00.5Z",
            "2026-11-20T19:30:00+01:00",
            "2026-11-20T13:00-05:30",
        ] {
            assert_eq!(parse(text), Some(1_795_199_400), "{text}");
        }
        for text in [
            "",
            "2026-11-20",
            "2026-11-20T18:30",
            "2026-11-20T18:30:00",
            "2026-11-20 18:30:00Z",
            "2026-11-20T18:30:00Zulu",
            "2026-13-20T18:30Z",
            "2026-11-20T18:30:00+0100",
            "2026-11-20T18:30:00+1:00",
            "2026-1-2T18:30Z",
            "2026-11-20T18:30:00.Z",
            "2026-11-20T1830Z",
            "T-Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
