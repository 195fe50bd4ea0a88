//! Bytes of the protocol: big-endian numbers, texts and lists with their lengths before them.
//! Source: <https://kafka.apache.org/protocol#protocol_types>.

use bytes::{BufMut as _, Bytes, BytesMut};

/// What came ends before it should, or is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads what a broker says.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(super) fn i8(&mut self) -> Result<i8, Malformed> {
        self.number().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, Malformed> {
        self.number().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.number().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.number().map(i64::from_be_bytes)
    }

    /// A text; empty where there is none.
    pub(super) fn text(&mut self) -> Result<&'b str, Malformed> {
        let length = self.i16()?;
        let bytes = self.take(usize::try_from(length).unwrap_or(0))?;
        std::str::from_utf8(bytes).map_err(|_| Malformed)
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        let length = self.i32()?;
        self.take(usize::try_from(length).unwrap_or(0))
    }

    /// A list. Every element takes a byte at least, so that a length which lies ends the reading.
    pub(super) fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let count = usize::try_from(self.i32()?).unwrap_or(0);
        if count > self.0.len() {
            return Err(Malformed);
        }
        (0..count).map(|_| element(self)).collect()
    }
}

/// Writes what a broker is told.
#[derive(Default)]
pub(super) struct Writer(BytesMut);

impl Writer {
    pub(super) fn i8(&mut self, value: i8) -> &mut Self {
        self.0.put_i8(value);
        self
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.0.put_i16(value);
        self
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.0.put_i32(value);
        self
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.0.put_i64(value);
        self
    }

    /// A length or a count.
    pub(super) fn length(&mut self, count: usize) -> &mut Self {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// A text of fewer than 32 KiB.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.i16(i16::try_from(text.len()).unwrap_or(i16::MAX)).raw(text.as_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len()).raw(bytes)
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.put_slice(bytes);
        self
    }

    /// A number of few bytes where it is small, as records have them.
    pub(super) fn varint(&mut self, value: i64) -> &mut Self {
        let mut left = (value << 1 ^ value >> 63).cast_unsigned();
        while left >= 0x80 {
            self.0.put_u8((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        self.0.put_u8((left & 0x7f) as u8);
        self
    }

    /// Bytes with their length as a varint before them.
    pub(super) fn counted(&mut self, bytes: &[u8]) -> &mut Self {
        self.varint(i64::try_from(bytes.len()).unwrap_or(i64::MAX)).raw(bytes)
    }

    pub(super) fn done(&mut self) -> Bytes {
        std::mem::take(&mut self.0).freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_zigzag() {
        for (value, bytes) in [(0, &[0][..]), (-1, &[1]), (1, &[2]), (63, &[126]), (64, &[128, 1]), (300, &[0xd8, 4])] {
            assert_eq!(Writer::default().varint(value).done(), bytes, "{value}");
        }
        assert_eq!(Writer::default().varint(i64::MIN).done().len(), 10);
    }

    #[test]
    fn what_lies_about_its_length_is_malformed() {
        for bytes in [&[][..], &[0, 5, b'a'], &[0, 1, 0xff]] {
            assert_eq!(Reader::new(bytes).text(), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[0x7f, 0xff, 0xff, 0xff, 1]).list(Reader::i8), Err(Malformed));
        assert_eq!(Reader::new(&[0xff, 0xff]).text(), Ok(""), "none");
    }
}
