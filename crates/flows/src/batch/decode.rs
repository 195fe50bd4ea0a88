//! A file's bytes become UTF-8, piece by piece, or the first byte that cannot is named.

use encoding_rs::{Decoder as Whatwg, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes that a character of UTF-8 has at most.
const LONGEST: usize = 4;
/// What other files begin with, and what they are.
const OTHER_FILES: [(&[u8], &str); 5] = [
    (b"PK\x03\x04", "a spreadsheet or another zip file: save it as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as CSV (UTF-8)"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard: unpack it first"),
    (b"PAR1", "Parquet: give `format` (--format parquet)"),
];

/// Why a file cannot be read as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    /// Its bytes are not of that encoding.
    #[error("byte {byte} (line {line}) is no {encoding}{hint}")]
    Encoding {
        /// The byte, counted from 1.
        byte: u64,
        /// Its line, counted from 1.
        line: u64,
        /// What it was read as.
        encoding: &'static str,
        /// What to try.
        hint: &'static str,
    },
    /// It is something else.
    #[error("the file is {0}")]
    Other(&'static str),
}

/// The encoding of a label; UTF-8 without one.
pub(super) fn encoding(label: Option<&str>) -> Result<&'static Encoding, String> {
    let Some(label) = label else { return Ok(UTF_8) };
    Encoding::for_label(label.as_bytes())
        .filter(|encoding| *encoding != encoding_rs::REPLACEMENT)
        .ok_or_else(|| "is no known encoding: there are utf-8, windows-1252, iso-8859-1, utf-16le, shift_jis …".to_owned())
}

/// Makes UTF-8 of a file's bytes. A byte order mark decides over what was declared, and is left out.
pub struct Decoder {
    encoding: &'static Encoding,
    /// Other encodings than UTF-8.
    whatwg: Option<Whatwg>,
    /// Bytes that cannot be judged yet: the start of the file, or the start of a character.
    kept: Vec<u8>,
    is_begun: bool,
    /// Bytes that were judged.
    bytes: u64,
    lines: u64,
}

impl Decoder {
    /// A decoder of an encoding by its label, UTF-8 without one.
    ///
    /// # Errors
    /// When there is no such encoding.
    pub fn new(label: Option<&str>) -> Result<Self, String> {
        Ok(Self { encoding: encoding(label)?, whatwg: None, kept: Vec::new(), is_begun: false, bytes: 0, lines: 1 })
    }

    /// Adds what a piece says to `out`; `last` with the last piece, which may be empty.
    ///
    /// # Errors
    /// The first byte that is not of the encoding.
    pub fn push(&mut self, piece: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), Misread> {
        if !self.is_begun {
            self.kept.extend_from_slice(piece);
            if self.kept.len() < LONGEST && !last {
                return Ok(());
            }
            let start = std::mem::take(&mut self.kept);
            let skipped = self.begin(&start)?;
            return self.decode(&start[skipped..], last, out);
        }
        self.decode(piece, last, out)
    }

    /// Judges the first bytes; how many of them are a byte order mark.
    fn begin(&mut self, start: &[u8]) -> Result<usize, Misread> {
        self.is_begun = true;
        if let Some((_, what)) = OTHER_FILES.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(Misread::Other(what));
        }
        let marked = Encoding::for_bom(start);
        let (encoding, skipped) = marked.unwrap_or((self.encoding, 0));
        if encoding == UTF_8
            && let Some(what) = unmarked(start)
        {
            return Err(Misread::Other(what));
        }
        self.encoding = encoding;
        self.bytes = skipped as u64;
        self.whatwg = (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling());
        Ok(skipped)
    }

    fn decode(&mut self, piece: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), Misread> {
        let before = out.len();
        let result = match self.whatwg.take() {
            Some(mut whatwg) => {
                let result = self.decode_other(&mut whatwg, piece, last, out);
                self.whatwg = Some(whatwg);
                result
            }
            None => self.check(piece, last, out),
        };
        self.lines += memchr::memchr_iter(b'\n', &out[before..]).count() as u64;
        result.map_err(|byte| Misread::Encoding { byte, line: self.lines, encoding: self.encoding.name(), hint: self.hint() })
    }

    fn hint(&self) -> &'static str {
        match self.encoding {
            it if it == UTF_8 => {
                ": the file is probably windows-1252, as Excel writes it; give `encoding` (--encoding windows-1252), or save it as UTF-8"
            }
            it if it == UTF_16LE || it == UTF_16BE => ": the file is damaged, or of another encoding",
            _ => ": give another `encoding`, or save the file as UTF-8",
        }
    }

    /// UTF-8 stays as it is.
    fn check(&mut self, piece: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), u64> {
        let mut rest = piece;
        if !self.kept.is_empty() {
            // A character that was cut in two.
            let mut whole = std::mem::take(&mut self.kept);
            let taken = rest.len().min(LONGEST);
            whole.extend_from_slice(&rest[..taken]);
            let kept = whole.len() - taken;
            let good = match std::str::from_utf8(&whole) {
                Ok(_) => whole.len(),
                Err(error) if error.valid_up_to() > kept => error.valid_up_to(),
                Err(error) if error.error_len().is_none() && !last && taken == rest.len() => {
                    self.kept = whole;
                    return Ok(());
                }
                Err(error) => return Err(self.bytes + error.valid_up_to() as u64 + 1),
            };
            out.extend_from_slice(&whole[..good]);
            self.bytes += good as u64;
            rest = &rest[good - kept..];
        }
        match std::str::from_utf8(rest) {
            Ok(_) => {
                out.extend_from_slice(rest);
                self.bytes += rest.len() as u64;
                Ok(())
            }
            Err(error) => {
                let (good, tail) = rest.split_at(error.valid_up_to());
                out.extend_from_slice(good);
                self.bytes += good.len() as u64;
                if error.error_len().is_some() || last {
                    return Err(self.bytes + 1);
                }
                self.kept = tail.to_vec();
                Ok(())
            }
        }
    }

    fn decode_other(&mut self, whatwg: &mut Whatwg, mut rest: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), u64> {
        let mut room = [0; 4_096];
        loop {
            let (result, read, written) = whatwg.decode_to_utf8_without_replacement(rest, &mut room, last);
            out.extend_from_slice(&room[..written]);
            self.bytes += read as u64;
            rest = &rest[read..];
            match result {
                DecoderResult::InputEmpty => return Ok(()),
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(length, after) => {
                    return Err((self.bytes + 1).saturating_sub(u64::from(length) + u64::from(after)));
                }
            }
        }
    }
}

/// What text is that begins with two letters of ASCII, each with a zero beside it.
const fn unmarked(start: &[u8]) -> Option<&'static str> {
    match start {
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => {
            Some("UTF-16 without a byte order mark: give `encoding` (--encoding utf-16le), or save it as UTF-8")
        }
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => {
            Some("UTF-16 without a byte order mark: give `encoding` (--encoding utf-16be), or save it as UTF-8")
        }
        _ => None,
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("encoding", &self.encoding.name()).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
