//! From a file to pixels: upright, eight bits, in sRGB.

use std::io::Cursor;

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, Limits};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::probe::{self, PictureFormat, Size};
use super::{MAX_SIDE_PX, PictureFault, png};

/// Most memory that a decoder may take, in bytes: the pixels at 16 bits, and what it needs beside them.
const MAX_MEMORY_BYTES: u64 = 256 << 20;
/// Longest colour profile, in bytes.
const MAX_PROFILE_BYTES: usize = 1 << 20;

/// Pixels: red, green, blue and opacity, a byte each, row by row.
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) data: Vec<u8>,
}

/// Unpacks a picture of at most so many pixels. What its bytes say about its size is judged first.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<(PictureFormat, Pixels), PictureFault> {
    let format = probe::format(bytes)?;
    let pixels = match format {
        PictureFormat::Png => {
            let plain = png::plain(bytes, max_pixels)?;
            plain.check_length()?;
            read(PngDecoder::with_limits(Cursor::new(plain.bytes), limits()).map_err(|error| unreadable(&error))?)
        }
        PictureFormat::Jpeg => {
            probe::jpeg(bytes, max_pixels)?;
            read(JpegDecoder::new(Cursor::new(bytes)).map_err(|error| unreadable(&error))?)
        }
        PictureFormat::WebP => {
            let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map_or(0, u32::from_le_bytes);
            if length as usize > bytes.len() - 8 {
                return Err(PictureFault::Damaged { at: bytes.len() });
            }
            let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| unreadable(&error))?;
            let (width, height) = decoder.dimensions();
            Size { width, height }.check(max_pixels)?;
            if decoder.has_animation() {
                return Err(PictureFault::Animated);
            }
            read(decoder)
        }
    };
    Ok((format, pixels?))
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE_PX);
    limits.max_image_height = Some(MAX_SIDE_PX);
    limits.max_alloc = Some(MAX_MEMORY_BYTES);
    limits
}

fn unreadable(error: &ImageError) -> PictureFault {
    PictureFault::Unreadable(error.to_string().chars().take(120).collect())
}

fn read(mut decoder: impl ImageDecoder) -> Result<Pixels, PictureFault> {
    decoder.set_limits(limits()).map_err(|error| unreadable(&error))?;
    // a camera that was held upright says so beside the pixels, and what stands beside them is not kept
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten().filter(|profile| profile.len() <= MAX_PROFILE_BYTES);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| unreadable(&error))?;
    picture.apply_orientation(orientation);
    let pixels = picture.into_rgba8();
    let (width, height) = pixels.dimensions();
    let mut data = pixels.into_raw();
    if let Some(profile) = profile {
        data = to_srgb(&profile, data);
    }
    Ok(Pixels { width, height, data })
}

/// The same colours without the profile: phones take what has none for sRGB. A profile that cannot be read, or is not one of
/// red, green and blue, is passed over.
fn to_srgb(profile: &[u8], data: Vec<u8>) -> Vec<u8> {
    let Ok(profile) = ColorProfile::new_from_slice(profile) else { return data };
    if profile.color_space != DataColorSpace::Rgb {
        return data;
    }
    let transform =
        profile.create_transform_8bit(Layout::Rgba, &ColorProfile::new_srgb(), Layout::Rgba, TransformOptions::default());
    let mut out = vec![0; data.len()];
    match transform.and_then(|transform| transform.transform(&data, &mut out)) {
        Ok(()) => out,
        Err(_) => data,
    }
}
