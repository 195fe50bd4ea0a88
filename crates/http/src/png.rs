//! Whether bytes are a PNG that wallets can show, judged by its chunks and without unpacking it: a picture that would fill
//! the memory is refused by what its header says. Source: W3C *PNG Specification*, sections 5 and 11.

/// Most pixels of one side.
const MAX_SIDE: u32 = 4_096;
/// Most pixels in all; the largest slot, a background at three pixels a point, has 1.6 million.
const MAX_PIXELS: u64 = 4_000_000;
/// Most chunks.
const MAX_CHUNKS: usize = 4_096;
/// Most bytes of a chunk that is not picture data: text, colour profiles and the like may be packed too.
const MAX_EXTRA_BYTES: usize = 256 * 1024;

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Width.
    pub(crate) width: u32,
    /// Height.
    pub(crate) height: u32,
}

/// Why bytes are no usable PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Another format.
    #[error("not a PNG: export the picture as PNG, renaming a file is not enough")]
    NotPng,
    /// Too many pixels.
    #[error("{0} by {1} pixels: each side must have 1 to 4096, and the whole at most 4000000")]
    TooManyPixels(u32, u32),
    /// The chunks do not add up.
    #[error("damaged after {0} bytes: export the picture again")]
    Damaged(usize),
    /// A chunk that no picture needs.
    #[error("the chunk after {0} bytes is longer than pictures need: export the picture without metadata")]
    Extra(usize),
}

/// Walks the chunks; the header is judged before anything else is looked at.
pub(crate) fn check(png: &[u8]) -> Result<Size, Fault> {
    if !png.starts_with(&SIGNATURE) {
        return Err(Fault::NotPng);
    }
    let mut at = SIGNATURE.len();
    let mut size = None;
    let mut has_picture = false;
    for _ in 0..MAX_CHUNKS {
        let (kind, data) = chunk(png, at).ok_or(Fault::Damaged(at))?;
        match (kind, size) {
            (b"IHDR", None) => size = Some(header(data, at)?),
            (b"IHDR", Some(_)) | (_, None) => return Err(Fault::Damaged(at)),
            (b"IDAT", _) => has_picture = true,
            (b"IEND", Some(size)) => {
                let ends_here = at + 12 + data.len() == png.len();
                return if has_picture && data.is_empty() && ends_here { Ok(size) } else { Err(Fault::Damaged(at)) };
            }
            _ if data.len() > MAX_EXTRA_BYTES => return Err(Fault::Extra(at)),
            _ => {}
        }
        at += 12 + data.len();
    }
    Err(Fault::Damaged(at))
}

/// The chunk at a place, if it is whole and its checksum is right.
fn chunk(png: &[u8], at: usize) -> Option<(&[u8; 4], &[u8])> {
    let rest = png.get(at..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let body = rest.get(..length.checked_add(4)?)?;
    let (sum, _) = rest.get(body.len()..)?.split_first_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_be_bytes(*sum) {
        return None;
    }
    body.split_first_chunk::<4>()
}

fn header(data: &[u8], at: usize) -> Result<Size, Fault> {
    let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, color, compression, filter, interlace] = data else {
        return Err(Fault::Damaged(at));
    };
    let (width, height) = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Fault::TooManyPixels(width, height));
    }
    let known = matches!((color, depth), (0, 1 | 2 | 4 | 8 | 16) | (3, 1 | 2 | 4 | 8) | (2 | 4 | 6, 8 | 16));
    if !known || compression != 0 || filter != 0 || interlace > 1 {
        return Err(Fault::Damaged(at));
    }
    Ok(Size { width, height })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let body = [kind.as_slice(), data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
    }

    fn png(width: u32, height: u32, extra: &[Vec<u8>]) -> Vec<u8> {
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
        let mut out = [SIGNATURE.as_slice(), &piece(b"IHDR", &header)].concat();
        extra.iter().for_each(|chunk| out.extend(chunk));
        out.extend(piece(b"IDAT", &[1, 2, 3]));
        out.extend(piece(b"IEND", &[]));
        out
    }

    #[test]
    fn names_each_fault() {
        assert_eq!(check(&png(76, 38, &[])), Ok(Size { width: 76, height: 38 }));
        assert_eq!(check(b"\xff\xd8\xff\xe0 JFIF"), Err(Fault::NotPng));
        assert_eq!(check(&png(60_000, 60_000, &[])), Err(Fault::TooManyPixels(60_000, 60_000)), "a bomb by its header");
        assert_eq!(check(&png(4_000, 4_000, &[])), Err(Fault::TooManyPixels(4_000, 4_000)));
        assert_eq!(check(&png(0, 1, &[])), Err(Fault::TooManyPixels(0, 1)));
        let packed_text = piece(b"zTXt", &vec![0; MAX_EXTRA_BYTES + 1]);
        assert!(matches!(check(&png(1, 1, &[packed_text])), Err(Fault::Extra(_))));
        let mut trailing = png(1, 1, &[]);
        trailing.extend(b"PK\x03\x04");
        assert!(matches!(check(&trailing), Err(Fault::Damaged(_))), "nothing may ride along");
        let whole = png(76, 38, &[]);
        for cut in 8..whole.len() {
            assert!(matches!(check(&whole[..cut]), Err(Fault::Damaged(_))), "{cut}");
        }
        let many: Vec<Vec<u8>> = (0..=MAX_CHUNKS).map(|_| piece(b"tEXt", b"")).collect();
        assert!(matches!(check(&png(1, 1, &many)), Err(Fault::Damaged(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, flip in 0usize..200) {
            let _ = check(&bytes);
            let mut damaged = png(76, 38, &[piece(b"tEXt", b"Comment\0hello")]);
            let at = flip % damaged.len();
            damaged[at] ^= 0x40;
            prop_assert!(check(&damaged).is_err());
        }
    }
}
