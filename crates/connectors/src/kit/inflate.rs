//! Gzip bodies, whatever their label says.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

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
}

/// The first bytes of gzip (RFC 1952, 2.3.1): magic and the only method, deflate. No JSON text starts so.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
/// Expansion that the first buffer assumes; JSON events compress about so much.
const LIKELY_RATIO: usize = 6;

/// The body itself, or what it inflates to when it is gzip. Some SDKs label gzip as a form, so the label is not asked.
/// Never makes more than `limit` bytes and a little, whatever the body claims.
pub fn inflate(body: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, InflateError> {
    if body.len() > limit {
        return Err(InflateError::TooLarge { limit });
    }
    if !body.starts_with(&GZIP) {
        return Ok(Cow::Borrowed(body));
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

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 20 << 20]);
        assert!(bomb.len() < 128 << 10);
        assert_eq!(inflate(&bomb, 1 << 20), Err(InflateError::TooLarge { limit: 1 << 20 }));
        assert_eq!(inflate(&bomb, 20 << 20).map(|body| body.len()), Ok(20 << 20));
    }

    #[test]
    fn plain_damaged_and_oversized() {
        assert!(matches!(inflate(b"{}", 2), Ok(Cow::Borrowed(b"{}"))));
        assert_eq!(inflate(b"{ }", 2), Err(InflateError::TooLarge { limit: 2 }));
        let whole = gzip(b"{\"type\":\"track\"}");
        assert_eq!(inflate(&whole[..whole.len() - 4], 100), Err(InflateError::Damaged));
    }

    proptest! {
        #[test]
        fn round_trips(bytes in prop::collection::vec(any::<u8>(), 0..4_096)) {
            let packed = gzip(&bytes);
            let inflated = inflate(&packed, 1 << 16).unwrap();
            prop_assert_eq!(inflated.as_ref(), &bytes[..]);
        }

        #[test]
        fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = inflate(&bytes, 1_024);
            bytes.splice(0..0, GZIP);
            let _ = inflate(&bytes, 1_024);
        }
    }
}
