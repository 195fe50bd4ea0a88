//! Pictures: one upload for a role becomes every size that the wallets need of it.
//!
//! A file is judged by its first bytes before it is unpacked, turned upright, brought to sRGB and eight bits, scaled, and
//! written as PNG without anything beside the pixels. The same file always gives the same bytes.

mod decode;
mod draw;
mod fit;
mod png;
mod probe;

use domain::{ImageRole, ImageSet};

use decode::decode;
pub use probe::PictureFormat;
use probe::Size;

/// Largest file that is read, in bytes.
pub const MAX_PICTURE_BYTES: usize = 10 << 20;
/// Most pixels of one side.
const MAX_SIDE_PX: u32 = 10_000;
/// Most pixels of an uploaded file from which sizes are made: a camera's 12 million, and some.
const MAX_PIXELS: u64 = 16_000_000;
/// Most pixels of a picture that is taken as it is; the largest slot, an artwork at three pixels a point, has 1.5 million.
const MAX_READY_PIXELS: u64 = 4_000_000;

/// What a size is for; the keys of an image in a design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureUse {
    /// Apple, one pixel a point.
    X1,
    /// Apple, two pixels a point.
    X2,
    /// Apple, three pixels a point.
    X3,
    /// Google Wallet and the web.
    Google,
}

impl PictureUse {
    /// Its key in a design.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::X1 => "x1",
            Self::X2 => "x2",
            Self::X3 => "x3",
            Self::Google => "google",
        }
    }

    /// Names an image's hash in a design.
    pub fn set(self, images: &mut ImageSet, sha256: String) {
        match self {
            Self::X1 => images.x1 = Some(sha256),
            Self::X2 => images.x2 = Some(sha256),
            Self::X3 => images.x3 = Some(sha256),
            Self::Google => images.google = Some(sha256),
        }
    }
}

/// A finished PNG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub bytes: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Something that whoever uploaded a picture should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureNote {
    /// Which size; `X1` stands for all of Apple's where their shape is meant.
    pub size: PictureUse,
    /// A stable name: `enlarged`, `left_out`, `small_for_google`, `cut` or `bars`.
    pub rule: &'static str,
    /// What was done.
    pub effect: String,
    /// What makes it better.
    pub mend: String,
}

impl PictureNote {
    fn enlarged(size: PictureUse, scale: f64, place: Size) -> Self {
        let effect = format!("drawn {scale:.1} times larger than the picture is, and so not sharp");
        Self { size, rule: "enlarged", effect, mend: at_least(place) }
    }

    fn left_out(size: PictureUse, place: Size) -> Self {
        let effect = "left out: it would show nothing that the smaller one does not".to_owned();
        Self { size, rule: "left_out", effect, mend: at_least(place) }
    }

    fn small_for_google(is: Size, place: Size) -> Self {
        let effect = format!("{} by {} pixels, Google recommends {} by {}", is.width, is.height, place.width, place.height);
        Self { size: PictureUse::Google, rule: "small_for_google", effect, mend: at_least(place) }
    }

    fn cut(size: PictureUse, share: f64, sides: bool, place: Size) -> Self {
        let edges = if sides { "left and right" } else { "above and below" };
        let effect = format!("{:.0} % of the picture is cut off, {edges} in equal parts", share * 100.0);
        let mend = format!("give a picture of the shape {} by {}", place.width, place.height);
        Self { size, rule: "cut", effect, mend }
    }

    fn bars(size: PictureUse, place: Size) -> Self {
        let effect = "transparent bars fill up what the picture's shape leaves free".to_owned();
        let mend = format!("give a picture of the shape {} by {}", place.width, place.height);
        Self { size, rule: "bars", effect, mend }
    }
}

fn at_least(place: Size) -> String {
    format!("give a picture of at least {} by {} pixels", place.width, place.height)
}

/// Every size of one picture for one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureSet {
    /// What was uploaded.
    pub format: PictureFormat,
    /// Width and height of what was uploaded, upright, in pixels.
    pub source: [u32; 2],
    /// The sizes.
    pub pictures: Vec<(PictureUse, Picture)>,
    /// What whoever uploaded it should know.
    pub notes: Vec<PictureNote>,
}

/// Makes every size that the wallets need of a picture in this role.
///
/// # Errors
/// When it cannot be read, is too large to unpack, or is far too small for its place.
pub fn picture_set(role: ImageRole, bytes: &[u8]) -> Result<PictureSet, PictureFault> {
    let (format, pixels) = decode(bytes, MAX_PIXELS)?;
    let (plans, notes) = fit::plans(role, Size { width: pixels.width, height: pixels.height })?;
    let drawn = plans.iter().map(|plan| Ok((plan.usage, draw::draw(&pixels, plan)?)));
    let pictures = drawn.collect::<Result<_, PictureFault>>()?;
    Ok(PictureSet { format, source: [pixels.width, pixels.height], pictures, notes })
}

/// A PNG that was made for its place, pixel by pixel as it is, without what stands beside the pixels.
///
/// # Errors
/// When it is no PNG, cannot be unpacked or has more pixels than any place.
pub fn ready_picture(bytes: &[u8]) -> Result<Picture, PictureFault> {
    match probe::format(bytes)? {
        PictureFormat::Png => {}
        PictureFormat::Jpeg => return Err(PictureFault::NotPng("a JPEG")),
        PictureFormat::WebP => return Err(PictureFault::NotPng("a WebP")),
    }
    let plain = png::plain(bytes, MAX_READY_PIXELS)?;
    decode(&plain.bytes, MAX_READY_PIXELS)?;
    Ok(Picture { bytes: plain.bytes, width: plain.size.width, height: plain.size.height })
}

/// Width and height of a PNG, in pixels, told by its chunks.
///
/// # Errors
/// When it is no whole PNG.
pub fn picture_size(png: &[u8]) -> Result<[u32; 2], PictureFault> {
    let size = png::plain(png, MAX_PIXELS)?.size;
    Ok([size.width, size.height])
}

/// Why a picture cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureFault {
    /// Another format, whatever the file is called.
    #[error("it is {0}: export it as PNG, JPEG or WebP; renaming a file is not enough")]
    Format(&'static str),
    /// A format that is read only where sizes are made from it.
    #[error("it is {0}: a picture that is taken as it is must be a PNG; upload it for its role instead")]
    NotPng(&'static str),
    /// A side is zero or too long, or there are too many pixels.
    #[error(
        "{width} by {height} pixels: each side must have 1 to {MAX_SIDE_PX}, and the whole at most {max_pixels}; scale it down"
    )]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The bound of the whole.
        max_pixels: u64,
    },
    /// Fewer pixels than make sense in its place.
    #[error(
        "{width} by {height} pixels are too few for its place of {} by {}: give a larger picture, an enlarged one is a blur",
        place[0], place[1]
    )]
    TooSmall {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Width and height of the place in pixels.
        place: [u32; 2],
    },
    /// It moves.
    #[error("it is animated, and wallets show one picture: export a single frame")]
    Animated,
    /// Its colours are those of printing inks.
    #[error("its colours are for print (CMYK), and phones would show others: export it in RGB")]
    ForPrint,
    /// Its colour profile is longer than any camera's.
    #[error("its colour profile is too long: export it in sRGB")]
    Profile,
    /// The file breaks off, or its parts do not add up.
    #[error("damaged or cut off at byte {at}: export it again")]
    Damaged {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// It holds more than its pixels.
    #[error("it unpacks to more than its width and height need, which phones would have to do too: export it again")]
    Overlong,
    /// Its pixels cannot be unpacked.
    #[error("it cannot be unpacked ({0}): export it again")]
    Unreadable(String),
}

#[cfg(test)]
mod tests;
