//! What bytes are, and how large the picture in them would be, told from their first parts and before anything is unpacked.

use super::{MAX_SIDE_PX, PictureFault, png};

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Size {
    pub(super) fn check(self, max_pixels: u64) -> Result<(), PictureFault> {
        let sides = 1..=MAX_SIDE_PX;
        let is_small = u64::from(self.width) * u64::from(self.height) <= max_pixels;
        if sides.contains(&self.width) && sides.contains(&self.height) && is_small {
            return Ok(());
        }
        Err(PictureFault::TooManyPixels { width: self.width, height: self.height, max_pixels })
    }
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// PNG.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// WebP, lossy or lossless.
    WebP,
}

impl PictureFormat {
    /// A stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::WebP => "webp",
        }
    }
}

/// What bytes are by how they begin, whatever their name says.
pub(super) fn format(bytes: &[u8]) -> Result<PictureFormat, PictureFault> {
    if bytes.starts_with(&png::SIGNATURE) {
        return Ok(PictureFormat::Png);
    }
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        return Ok(PictureFormat::Jpeg);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(PictureFormat::WebP);
    }
    Err(PictureFault::Format(known_by(bytes)))
}

/// A name for what else people upload.
fn known_by(bytes: &[u8]) -> &'static str {
    const BEGINNINGS: [(&[u8], &str); 11] = [
        (b"GIF8", "a GIF"),
        (b"%PDF", "a PDF"),
        (b"BM", "a BMP"),
        (b"II*\0", "a TIFF"),
        (b"MM\0*", "a TIFF"),
        (b"8BPS", "a Photoshop file"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\0\0\x01\0", "an icon of Windows"),
        (b"\xff\x0a", "a JPEG XL"),
        (b"<svg", "an SVG"),
        (b"<?xml", "an XML file, perhaps an SVG"),
    ];
    match bytes.get(4..12) {
        _ if bytes.is_empty() => "empty",
        Some(b"ftypheic" | b"ftypheix" | b"ftypmif1") => "a HEIC picture",
        Some(b"ftypavif") => "an AVIF picture",
        _ => BEGINNINGS.iter().find(|(start, _)| bytes.starts_with(start)).map_or("no picture that we know", |(_, name)| *name),
    }
}

/// The size of a JPEG by its frame header; refuses one for print and one that breaks off. Source: ITU-T T.81, annex B.
pub(super) fn jpeg(bytes: &[u8], max_pixels: u64) -> Result<Size, PictureFault> {
    let mut at = 2;
    let mut size = None;
    loop {
        let damaged = || PictureFault::Damaged { at };
        let marker = match bytes.get(at..at + 2).ok_or_else(damaged)? {
            [0xff, 0xff] => {
                at += 1; // fill bytes before a marker
                continue;
            }
            [0xff, marker] => *marker,
            _ => return Err(damaged()),
        };
        if matches!(marker, 0x01 | 0xd0..=0xd7) {
            at += 2;
            continue;
        }
        let length = match bytes.get(at + 2..at + 4) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => return Err(damaged()),
        };
        let segment = bytes.get(at + 4..at + 2 + length.max(2)).ok_or_else(damaged)?;
        match marker {
            // start of a frame; C4, C8 and CC are tables and extensions
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let frame = frame(segment).ok_or_else(damaged)?;
                frame.check(max_pixels)?;
                size = Some(frame);
                if segment.get(5) == Some(&4) {
                    return Err(PictureFault::ForPrint);
                }
            }
            // start of a scan: what follows is packed pixels, in which an end marker cannot occur by chance
            0xda => {
                let rest = bytes.get(at..).unwrap_or_default();
                let ends = rest.windows(2).any(|pair| pair == [0xff, 0xd9]);
                return size.filter(|_| ends).ok_or(PictureFault::Damaged { at: bytes.len() });
            }
            0xd9 => return Err(damaged()),
            _ => {}
        }
        at += 2 + length.max(2);
    }
}

fn frame(segment: &[u8]) -> Option<Size> {
    let &[_, h0, h1, w0, w1, ..] = segment else { return None };
    Some(Size { width: u32::from(u16::from_be_bytes([w0, w1])), height: u32::from(u16::from_be_bytes([h0, h1])) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The markers of a JPEG of so many components, without pixels.
    fn markers(width: u16, height: u16, components: u8) -> Vec<u8> {
        let [h0, h1] = height.to_be_bytes();
        let [w0, w1] = width.to_be_bytes();
        let frame = [0xff, 0xc2, 0, 8 + 3 * components, 8, h0, h1, w0, w1, components];
        let parts = vec![7; usize::from(3 * components)];
        [&[0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2][..], &frame, &parts, &[0xff, 0xff, 0xda, 0, 4, 0, 0, 9, 9, 0xff, 0xd9]].concat()
    }

    #[test]
    fn a_format_is_told_by_its_bytes() {
        assert_eq!(format(&markers(1, 1, 3)), Ok(PictureFormat::Jpeg));
        assert_eq!(format(b"RIFF\x10\0\0\0WEBPVP8 "), Ok(PictureFormat::WebP));
        for (bytes, name) in [
            (&b"GIF89a"[..], "a GIF"),
            (b"%PDF-1.7", "a PDF"),
            (b"\0\0\0\x18ftypheic\0\0", "a HEIC picture"),
            (b"<svg xmlns", "an SVG"),
            (b"", "empty"),
            (b"hello", "no picture that we know"),
        ] {
            assert_eq!(format(bytes), Err(PictureFault::Format(name)));
        }
    }

    #[test]
    fn a_jpegs_size_is_read_and_faults_are_named() {
        assert_eq!(jpeg(&markers(750, 288, 3), 1 << 24), Ok(Size { width: 750, height: 288 }));
        assert_eq!(jpeg(&markers(750, 288, 4), 1 << 24), Err(PictureFault::ForPrint));
        assert!(matches!(jpeg(&markers(60_000, 60_000, 3), 1 << 24), Err(PictureFault::TooManyPixels { .. })));
        let whole = markers(750, 288, 3);
        for cut in 3..whole.len() {
            assert!(matches!(jpeg(&whole[..cut], 1 << 24), Err(PictureFault::Damaged { .. })), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, cut in 0usize..40) {
            let _ = format(&bytes);
            let whole = markers(750, 288, 3);
            let _ = jpeg(&[&whole[..cut.min(whole.len())], &bytes].concat(), 1 << 24);
        }
    }
}
