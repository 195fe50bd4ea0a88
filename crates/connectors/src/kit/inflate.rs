//! Gzip bodies, whatever their label says, and what is packed in ways that nobody here unpacks.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header::CONTENT_ENCODING};

/// A body that cannot be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Larger than may be, as sent or inflated.
    #[error("the body is larger than {limit} bytes: send fewer events per request")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It begins as gzip and goes on as something else.
    #[error("the body starts like gzip (RFC 1952) but is cut short or damaged")]
    Damaged,
    /// It is packed in a way that is not taken.
    #[error(
        "the body has a Content-Encoding and is no gzip, which alone is unpacked here: send gzip, or text without that header"
    )]
    OtherCoding,
}

impl InflateError {
    /// The status that says so to whoever sent it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::Damaged => 400,
            Self::OtherCoding => 415,
        }
    }
}

/// The first bytes of gzip (RFC 1952, 2.3.1): magic and the only method, deflate. No JSON text starts so.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
/// Expansion that the first buffer assumes; JSON events compress about so much.
const LIKELY_RATIO: usize = 6;

/// The body itself, or what it inflates to when it is gzip. Some SDKs label gzip as a form, and middlemen unpack bodies and leave
/// the label, so that is asked last: what is labelled as packed otherwise and is no text is not taken.
/// Never makes more than `limit` bytes and a little, whatever the body claims.
pub fn inflate<'b>(body: &'b [u8], headers: &HeaderMap, limit: usize) -> Result<Cow<'b, [u8]>, InflateError> {
    if body.len() > limit {
        return Err(InflateError::TooLarge { limit });
    }
    if !body.starts_with(&GZIP) {
        let is_packed = || headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity");
        return if is_packed() && std::str::from_utf8(body).is_err() {
            Err(InflateError::OtherCoding)
        } else {
            Ok(Cow::Borrowed(body))
        };
    }
    let mut out = Vec::with_capacity(body.len().saturating_mul(LIKELY_RATIO).min(limit));
    let stop = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body).take(stop).read_to_end(&mut out).map_err(|_| InflateError::Damaged)?;
    if out.len() > limit { Err(InflateError::TooLarge { limit }) } else { Ok(Cow::Owned(out)) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn plain(body: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, InflateError> {
        inflate(body, &HeaderMap::new(), limit)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 20 << 20]);
        assert!(bomb.len() < 128 << 10);
        assert_eq!(plain(&bomb, 1 << 20), Err(InflateError::TooLarge { limit: 1 << 20 }));
        assert_eq!(plain(&bomb, 20 << 20).map(|body| body.len()), Ok(20 << 20));
    }

    #[test]
    fn plain_damaged_and_oversized() {
        assert!(matches!(plain(b"{}", 2), Ok(Cow::Borrowed(b"{}"))));
        assert_eq!(plain(b"{ }", 2), Err(InflateError::TooLarge { limit: 2 }));
        let whole = gzip(b"{\"type\":\"track\"}");
        assert_eq!(plain(&whole[..whole.len() - 4], 100), Err(InflateError::Damaged));
    }

    #[test]
    fn what_is_packed_otherwise_is_told_and_a_label_alone_condemns_nothing() {
        let labelled = |body: &[u8], coding: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, http::HeaderValue::from_static(coding))]);
            inflate(body, &headers, 100).map(Cow::into_owned)
        };
        // `{}` as Brotli and as Zstandard
        let (br, zstd) = (&b"\x0b\x00\x80{}\x03"[..], &b"\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00{}"[..]);
        assert_eq!(labelled(br, "br"), Err(InflateError::OtherCoding));
        assert_eq!(labelled(zstd, "zstd"), Err(InflateError::OtherCoding));
        assert_eq!(labelled(b"{}", "br"), Ok(b"{}".to_vec()), "a middleman unpacked it");
        assert_eq!(labelled(&gzip(b"{}"), "br"), Ok(b"{}".to_vec()));
        assert_eq!(labelled(b"\xff", "identity"), Ok(b"\xff".to_vec()), "that is for whoever reads it");
        assert_eq!(plain(br, 100), Ok(Cow::Borrowed(br)));
    }

    proptest! {
        #[test]
        fn round_trips(bytes in prop::collection::vec(any::<u8>(), 0..4_096)) {
            let packed = gzip(&bytes);
            let inflated = plain(&packed, 1 << 16).unwrap();
            prop_assert_eq!(inflated.as_ref(), &bytes[..]);
        }

        #[test]
        fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = plain(&bytes, 1_024);
            bytes.splice(0..0, GZIP);
            let _ = plain(&bytes, 1_024);
        }
    }
}
