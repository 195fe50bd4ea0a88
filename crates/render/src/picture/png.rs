//! PNG by its chunks, without unpacking it: a picture that would fill the memory is refused by what its header says, and
//! what is not picture (text, EXIF, dates, private chunks) is left out. Source: W3C *PNG Specification*, sections 5 and 11.

use flate2::{Decompress, FlushDecompress, Status};

use super::PictureFault;
use super::probe::Size;

/// Most chunks.
const MAX_CHUNKS: usize = 16_384;
/// Longest colour profile as it is packed, in bytes.
const MAX_PROFILE_BYTES: usize = 256 << 10;

pub(super) const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
/// Chunks that change how the pixels look; the others are dropped.
const KEPT: [&[u8; 4]; 10] = [b"IHDR", b"PLTE", b"tRNS", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"IDAT", b"IEND"];
/// Bytes of a chunk beside its data: length, name, checksum.
const CHUNK_FRAME: usize = 12;

/// Bytes that are unpacked at a time to be counted.
const UNPACKED_AT_ONCE: usize = 64 << 10;

/// A PNG without what is not picture.
pub(super) struct Plain {
    pub(super) bytes: Vec<u8>,
    pub(super) size: Size,
    /// Bytes of its rows, unpacked.
    row_bytes: u64,
}

impl Plain {
    /// Refuses what unpacks to more than its rows are: a few kilobytes may hold gigabytes, and phones would unpack them. Nothing
    /// is kept meanwhile, and nothing beyond what the rows need is unpacked. What cannot be unpacked is left to the decoder.
    pub(super) fn check_length(&self) -> Result<(), PictureFault> {
        let mut inflate = Decompress::new(true);
        let mut scrap = vec![0; UNPACKED_AT_ONCE];
        let mut at = SIGNATURE.len();
        while let Some((kind, data)) = chunk(&self.bytes, at) {
            at += CHUNK_FRAME + data.len();
            if kind == b"IDAT" && !self.goes_on(&mut inflate, data, &mut scrap)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Unpacks a part; whether there may be another.
    fn goes_on(&self, inflate: &mut Decompress, mut data: &[u8], scrap: &mut [u8]) -> Result<bool, PictureFault> {
        loop {
            let (read, written) = (inflate.total_in(), inflate.total_out());
            let Ok(status) = inflate.decompress(data, scrap, FlushDecompress::None) else { return Ok(false) };
            let taken = usize::try_from(inflate.total_in() - read).unwrap_or(data.len());
            data = data.get(taken..).unwrap_or_default();
            if inflate.total_out() > self.row_bytes {
                return Err(PictureFault::Overlong);
            }
            if status == Status::StreamEnd {
                return Ok(false);
            }
            if taken == 0 && inflate.total_out() == written {
                return Ok(true);
            }
        }
    }
}

/// Walks the chunks and keeps those that a picture needs; the header is judged before anything else is looked at. What
/// follows the last chunk is cut off.
pub(super) fn plain(png: &[u8], max_pixels: u64) -> Result<Plain, PictureFault> {
    let mut out = SIGNATURE.to_vec();
    let mut at = SIGNATURE.len();
    let mut size = None;
    let mut row_bytes = 0;
    let mut has_pixels = false;
    for _ in 0..MAX_CHUNKS {
        let (kind, data) = chunk(png, at).ok_or(PictureFault::Damaged { at })?;
        match (kind, size) {
            (b"IHDR", None) => {
                let known = header(data, at, max_pixels)?;
                row_bytes = rows(known, data);
                size = Some(known);
            }
            (b"IHDR", Some(_)) | (_, None) => return Err(PictureFault::Damaged { at }),
            (b"acTL", _) => return Err(PictureFault::Animated),
            (b"iCCP", _) if data.len() > MAX_PROFILE_BYTES => return Err(PictureFault::Profile),
            (b"IDAT", _) => has_pixels = true,
            _ => {}
        }
        let end = at + CHUNK_FRAME + data.len();
        if KEPT.contains(&kind) {
            out.extend_from_slice(&png[at..end]);
        } else if kind[0].is_ascii_uppercase() {
            // a chunk that a reader has to understand, and none that the specification knows
            return Err(PictureFault::Damaged { at });
        }
        match size {
            Some(size) if kind == b"IEND" => {
                return if has_pixels { Ok(Plain { bytes: out, size, row_bytes }) } else { Err(PictureFault::Damaged { at }) };
            }
            _ => at = end,
        }
    }
    Err(PictureFault::Damaged { at })
}

/// The chunk at a place, if it is whole and its checksum is right.
fn chunk(png: &[u8], at: usize) -> Option<(&[u8; 4], &[u8])> {
    let (length, rest) = png.get(at..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let body = rest.get(..length.checked_add(4)?)?;
    let (sum, _) = rest.get(body.len()..)?.split_first_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_be_bytes(*sum) {
        return None;
    }
    body.split_first_chunk::<4>()
}

fn header(data: &[u8], at: usize, max_pixels: u64) -> Result<Size, PictureFault> {
    let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, color, compression, filter, interlace] = data else {
        return Err(PictureFault::Damaged { at });
    };
    let size = Size { width: u32::from_be_bytes([w0, w1, w2, w3]), height: u32::from_be_bytes([h0, h1, h2, h3]) };
    size.check(max_pixels)?;
    let known = matches!((color, depth), (0, 1 | 2 | 4 | 8 | 16) | (3, 1 | 2 | 4 | 8) | (2 | 4 | 6, 8 | 16));
    if !known || compression != 0 || filter != 0 || interlace > 1 {
        return Err(PictureFault::Damaged { at });
    }
    Ok(size)
}

/// Bytes of the rows of a picture whose header was judged already: each has its filter before it, and an interlaced picture is
/// seven smaller ones.
fn rows(size: Size, header: &[u8]) -> u64 {
    /// First column and row, and steps between them, of each pass (section 8.2).
    const PASSES: [[u32; 4]; 7] =
        [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
    let of = |at: usize| header.get(at).copied().unwrap_or_default();
    let samples = match of(9) {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let bits = u64::from(of(8)) * samples;
    let bytes = |[x, y, dx, dy]: [u32; 4]| {
        let (width, height) = (size.width.saturating_sub(x).div_ceil(dx), size.height.saturating_sub(y).div_ceil(dy));
        if width == 0 { 0 } else { u64::from(height) * (1 + (u64::from(width) * bits).div_ceil(8)) }
    };
    if of(12) == 1 { PASSES.into_iter().map(bytes).sum() } else { bytes([0, 0, 1, 1]) }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIXELS: u64 = 4_000_000;

    pub(in crate::picture) fn piece(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let body = [kind.as_slice(), data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
    }

    /// A PNG by its chunks; its pixels are none.
    pub(in crate::picture) fn png(width: u32, height: u32, extra: &[Vec<u8>]) -> Vec<u8> {
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
        let mut out = [SIGNATURE.as_slice(), &piece(b"IHDR", &header)].concat();
        extra.iter().for_each(|chunk| out.extend(chunk));
        out.extend(piece(b"IDAT", &[1, 2, 3]));
        out.extend(piece(b"IEND", &[]));
        out
    }

    fn fault(bytes: &[u8]) -> PictureFault {
        plain(bytes, PIXELS).err().unwrap()
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(plain(&png(76, 38, &[]), PIXELS).unwrap().size, Size { width: 76, height: 38 });
        assert!(matches!(fault(&png(60_000, 60_000, &[])), PictureFault::TooManyPixels { width: 60_000, .. }), "by its header");
        assert!(matches!(fault(&png(4_000, 4_000, &[])), PictureFault::TooManyPixels { .. }));
        assert!(matches!(fault(&png(0, 1, &[])), PictureFault::TooManyPixels { .. }));
        assert!(matches!(fault(&png(1, 1, &[piece(b"acTL", &[0; 8])])), PictureFault::Animated));
        assert!(matches!(fault(&png(1, 1, &[piece(b"iCCP", &vec![0; MAX_PROFILE_BYTES + 1])])), PictureFault::Profile));
        assert!(matches!(fault(&png(1, 1, &[piece(b"CgBI", &[0; 4])])), PictureFault::Damaged { .. }), "as Xcode squeezes them");
        let whole = png(76, 38, &[]);
        for cut in 8..whole.len() {
            assert!(matches!(fault(&whole[..cut]), PictureFault::Damaged { .. }), "{cut}");
        }
        let many: Vec<Vec<u8>> = (0..=MAX_CHUNKS).map(|_| piece(b"tEXt", b"")).collect();
        assert!(matches!(fault(&png(1, 1, &many)), PictureFault::Damaged { .. }));
    }

    #[test]
    fn what_is_no_picture_is_left_out() {
        let noise =
            [piece(b"tEXt", b"Author\0me"), piece(b"eXIf", b"gps"), piece(b"zTXt", &vec![0; 1 << 20]), piece(b"sRGB", &[0])];
        let mut riding = png(76, 38, &noise);
        riding.extend(b"PK\x03\x04");
        assert_eq!(plain(&riding, PIXELS).unwrap().bytes, png(76, 38, &noise[3..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, flip in 0usize..200) {
            let _ = plain(&bytes, PIXELS);
            let mut damaged = png(76, 38, &[piece(b"tEXt", b"Comment\0hello")]);
            let at = 8 + flip % (damaged.len() - 8);
            damaged[at] ^= 0x40;
            prop_assert!(plain(&damaged, PIXELS).is_err());
        }
    }
}
