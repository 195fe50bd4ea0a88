//! The PNG header (signature and IHDR), read without decoding. Source: W3C *PNG Specification*, sections 5.2 and 11.2.1.

/// Largest width or height of an image in a pass, in pixels; the largest slot (background @3x) is 1035 by 1515.
pub const MAX_IMAGE_SIDE_PX: u32 = 4096;

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
const IHDR_DATA_BYTES: u32 = 13;

/// Width and height from a PNG's header, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PngSize {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Why bytes are not a usable PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PngError {
    /// The signature is missing: another format under a PNG's name, or a truncated file.
    #[error("it does not start with the PNG signature; export it as PNG, renaming a JPEG is not enough")]
    NotPng,
    /// The header chunk is missing, damaged or has a wrong checksum.
    #[error("its header is damaged; export the image again")]
    Damaged,
    /// A side is zero or over the limit.
    #[error("it measures {0} by {1} pixels, each side must be 1 to 4096; scale it to its slot")]
    Size(u32, u32),
}

/// Reads the size of a PNG from its first 33 bytes.
pub(crate) fn header(data: &[u8]) -> Result<PngSize, PngError> {
    let rest = data.strip_prefix(&SIGNATURE).ok_or(PngError::NotPng)?;
    let (length, rest) = word(rest)?;
    let chunk = rest.get(..4 + IHDR_DATA_BYTES as usize).ok_or(PngError::Damaged)?;
    let (checksum, _) = word(&rest[chunk.len()..])?;
    if length != IHDR_DATA_BYTES || !chunk.starts_with(b"IHDR") || crc32fast::hash(chunk) != checksum {
        return Err(PngError::Damaged);
    }
    let (width, rest) = word(&chunk[4..])?;
    let (height, _) = word(rest)?;
    let usable = 1..=MAX_IMAGE_SIDE_PX;
    if !usable.contains(&width) || !usable.contains(&height) {
        return Err(PngError::Size(width, height));
    }
    Ok(PngSize { width, height })
}

fn word(data: &[u8]) -> Result<(u32, &[u8]), PngError> {
    let (head, rest) = data.split_first_chunk::<4>().ok_or(PngError::Damaged)?;
    Ok((u32::from_be_bytes(*head), rest))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A header-only PNG of the given size: enough for every check that this crate does.
    pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
        let mut chunk = b"IHDR".to_vec();
        chunk.extend(width.to_be_bytes());
        chunk.extend(height.to_be_bytes());
        chunk.extend([8, 6, 0, 0, 0]);
        let mut out = SIGNATURE.to_vec();
        out.extend(13u32.to_be_bytes());
        out.extend(&chunk);
        out.extend(crc32fast::hash(&chunk).to_be_bytes());
        out
    }

    #[test]
    fn reads_the_size_and_names_each_fault() {
        assert_eq!(header(&png(76, 38)), Ok(PngSize { width: 76, height: 38 }));
        assert_eq!(header(b"\xff\xd8\xff\xe0 JFIF"), Err(PngError::NotPng));
        assert_eq!(header(&png(76, 38)[..20]), Err(PngError::Damaged));
        let mut flipped = png(76, 38);
        flipped[18] ^= 1;
        assert_eq!(header(&flipped), Err(PngError::Damaged));
        assert_eq!(header(&png(60_000, 60_000)), Err(PngError::Size(60_000, 60_000)));
        assert_eq!(header(&png(0, 1)), Err(PngError::Size(0, 1)));
    }
}
