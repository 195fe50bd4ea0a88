//! The little ASN.1 that CMS needs: a walker over BER (Apple's own tools write indefinite lengths) and DER writing.
//! Source: ITU-T X.690.

/// Deepest nesting of indefinite-length values that is followed.
const MAX_INDEFINITE_DEPTH: usize = 16;

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// Bytes that are not the ASN.1 they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ASN.1 structure is damaged or not what stands here in CMS and X.509")]
pub(crate) struct Malformed;

/// One value: its tag byte, its content, and the whole encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    pub(crate) raw: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// A reader over the values inside.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader { rest: self.value }
    }
}

/// Walks over values that stand one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn next(&mut self) -> Result<Tlv<'a>, Malformed> {
        let extent = measure(self.rest, 0)?;
        let (raw, rest) = self.rest.split_at_checked(extent.total).ok_or(Malformed)?;
        self.rest = rest;
        Ok(Tlv { tag: raw[0], value: &raw[extent.header..extent.header + extent.content], raw })
    }

    pub(crate) fn expect(&mut self, tag: u8) -> Result<Tlv<'a>, Malformed> {
        self.next().and_then(|tlv| if tlv.tag == tag { Ok(tlv) } else { Err(Malformed) })
    }

    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, Malformed> {
        if self.rest.first() == Some(&tag) { self.next().map(Some) } else { Ok(None) }
    }
}

struct Extent {
    header: usize,
    content: usize,
    total: usize,
}

fn measure(bytes: &[u8], depth: usize) -> Result<Extent, Malformed> {
    let [tag, length, rest @ ..] = bytes else { return Err(Malformed) };
    if tag & 0x1f == 0x1f {
        return Err(Malformed); // multi-byte tags do not occur in CMS or X.509
    }
    let (header, content) = match *length {
        0x80 => return measure_indefinite(*tag, rest, depth),
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            let digits = rest.get(..count).filter(|_| count <= 4).ok_or(Malformed)?;
            (2 + count, digits.iter().fold(0usize, |sum, digit| sum << 8 | usize::from(*digit)))
        }
    };
    let total = header.checked_add(content).filter(|total| *total <= bytes.len()).ok_or(Malformed)?;
    Ok(Extent { header, content, total })
}

fn measure_indefinite(tag: u8, content: &[u8], depth: usize) -> Result<Extent, Malformed> {
    if tag & 0x20 == 0 || depth >= MAX_INDEFINITE_DEPTH {
        return Err(Malformed);
    }
    let mut at = 0;
    loop {
        let rest = content.get(at..).ok_or(Malformed)?;
        if rest.starts_with(&[0, 0]) {
            return Ok(Extent { header: 2, content: at, total: 2 + at + 2 });
        }
        at += measure(rest, depth + 1)?.total;
    }
}

/// How many bytes tag and length take in front of a content of this many bytes.
pub(crate) fn header_len(content: usize) -> usize {
    match content {
        0..=0x7f => 2,
        0x80..=0xff => 3,
        0x100..=0xffff => 4,
        0x1_0000..=0xff_ffff => 5,
        _ => 6,
    }
}

/// Writes tag and definite length.
pub(crate) fn push_header(out: &mut Vec<u8>, tag: u8, content: usize) {
    out.push(tag);
    let digits = header_len(content) - 2;
    if digits == 0 {
        out.push(content as u8);
    } else {
        out.push(0x80 | digits as u8);
        out.extend_from_slice(&(content as u32).to_be_bytes()[4 - digits..]);
    }
}

/// One DER value whose content is the parts one after another.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(header_len(content) + content);
    push_header(&mut out, tag, content);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A moment (unix seconds) as the CMS `Time`: `UTCTime` through 2049, `GeneralizedTime` after (RFC 5652, 11.3).
pub(crate) fn time(unix_seconds: i64) -> Result<Vec<u8>, Malformed> {
    let t = date_time(unix_seconds)?;
    let tail = format!("{:02}{:02}{:02}{:02}{:02}Z", t.month(), t.day(), t.hour(), t.minutes(), t.seconds());
    Ok(match t.year() {
        year @ 1970..=2049 => tlv(UTC_TIME, &[format!("{:02}{tail}", year % 100).as_bytes()]),
        year => tlv(GENERALIZED_TIME, &[format!("{year:04}{tail}").as_bytes()]),
    })
}

/// A moment (unix seconds) as people read it: `2026-11-20T09:30:00Z`.
pub(crate) fn written(unix_seconds: i64) -> String {
    date_time(unix_seconds).map_or_else(|_| format!("{unix_seconds} (unix seconds)"), |time| time.to_string())
}

/// Reads a `UTCTime` or `GeneralizedTime` into unix seconds.
pub(crate) fn read_time(tlv: &Tlv<'_>) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(tlv.value).ok().and_then(|text| text.strip_suffix('Z')).ok_or(Malformed)?;
    let (year, tail) = match tlv.tag {
        UTC_TIME => {
            text.split_at_checked(2).map(|(year, tail)| (format!("{}{year}", if year < "50" { "20" } else { "19" }), tail))
        }
        GENERALIZED_TIME => text.split_at_checked(4).map(|(year, tail)| (year.to_owned(), tail)),
        _ => None,
    }
    .ok_or(Malformed)?;
    if !tail.is_ascii() || tail.len() < 8 || !tail.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    let two = |at: usize| tail.get(at..at + 2).map_or(Ok(0), |part| part.parse::<u8>().map_err(|_| Malformed));
    let year = year.parse().map_err(|_| Malformed)?;
    der::DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?)
        .map_err(|_| Malformed)
        .and_then(|t| i64::try_from(t.unix_duration().as_secs()).map_err(|_| Malformed))
}

/// Unix seconds as a calendar date and time in UTC, for 1970 to 9999.
pub(crate) fn date_time(unix_seconds: i64) -> Result<der::DateTime, Malformed> {
    let seconds = u64::try_from(unix_seconds).map_err(|_| Malformed)?;
    der::DateTime::from_unix_duration(std::time::Duration::from_secs(seconds)).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_and_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000] {
            let bytes = tlv(OCTET_STRING, &[&vec![7; length]]);
            let read = Reader::new(&bytes).next().unwrap();
            assert_eq!((read.value.len(), read.raw.len()), (length, bytes.len()));
        }
    }

    #[test]
    fn indefinite_lengths_are_followed() {
        let bytes = [0x30, 0x80, 0x30, 0x80, 0x02, 0x01, 0x05, 0, 0, 0, 0, 0x05, 0x00];
        let mut outer = Reader::new(&bytes);
        let value = outer.expect(SEQUENCE).unwrap().inside().expect(SEQUENCE).unwrap();
        assert_eq!(value.value, [0x02, 0x01, 0x05]);
        assert_eq!(outer.next().unwrap().tag, NULL);
        assert!(Reader::new(&[0x30, 0x80].repeat(40)).next().is_err());
    }

    #[test]
    fn times_round_trip_across_the_2050_border() {
        for (seconds, tag) in
            [(0, UTC_TIME), (1_796_000_000, UTC_TIME), (2_524_607_999, UTC_TIME), (2_524_608_000, GENERALIZED_TIME)]
        {
            let bytes = time(seconds).unwrap();
            let read = Reader::new(&bytes).next().unwrap();
            assert_eq!((read.tag, read_time(&read)), (tag, Ok(seconds)));
        }
        assert!(time(-1).is_err() && time(i64::MAX).is_err());
    }
}
