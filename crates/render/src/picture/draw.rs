//! Drawing a planned size, and writing it as a PNG that says nothing but its pixels.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::png::{CompressionType, FilterType as RowFilter, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _};

use super::decode::Pixels;
use super::fit::Plan;
use super::probe::Size;
use super::{Picture, PictureFault};

/// Bytes of a pixel.
const PIXEL: usize = 4;

/// Draws one size.
pub(super) fn draw(source: &Pixels, plan: &Plan) -> Result<Picture, PictureFault> {
    let drawn = scaled(source, plan).map_err(|fault| PictureFault::Unreadable(fault.to_string()))?;
    let pixels = if plan.drawn == plan.canvas { drawn } else { framed(&drawn, plan) };
    encode(pixels, plan.canvas)
}

fn scaled(source: &Pixels, plan: &Plan) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let whole = [0.0, 0.0, f64::from(source.width), f64::from(source.height)];
    if plan.part == whole && plan.drawn == (Size { width: source.width, height: source.height }) {
        return Ok(source.data.clone());
    }
    let from = ImageRef::new(source.width, source.height, &source.data, PixelType::U8x4)?;
    let mut to = Image::new(plan.drawn.width, plan.drawn.height, PixelType::U8x4);
    let [left, top, width, height] = plan.part;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).crop(left, top, width, height);
    Resizer::new().resize(&from, &mut to, &options)?;
    Ok(to.into_vec())
}

/// What was drawn in the middle of a transparent canvas.
fn framed(drawn: &[u8], plan: &Plan) -> Vec<u8> {
    let row = plan.drawn.width as usize * PIXEL;
    let canvas_row = plan.canvas.width as usize * PIXEL;
    let left = (plan.canvas.width - plan.drawn.width) as usize / 2 * PIXEL;
    let top = (plan.canvas.height - plan.drawn.height) as usize / 2;
    let mut canvas = vec![0; canvas_row * plan.canvas.height as usize];
    for (from, to) in drawn.chunks_exact(row).zip(canvas.chunks_exact_mut(canvas_row).skip(top)) {
        to[left..left + row].copy_from_slice(from);
    }
    canvas
}

/// Writes pixels as a PNG, without opacity where everything is opaque.
fn encode(mut pixels: Vec<u8>, size: Size) -> Result<Picture, PictureFault> {
    let opaque = pixels.chunks_exact(PIXEL).all(|pixel| pixel[3] == u8::MAX);
    let color = if opaque { ExtendedColorType::Rgb8 } else { ExtendedColorType::Rgba8 };
    if opaque {
        pixels = pixels.chunks_exact(PIXEL).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    }
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, RowFilter::Adaptive);
    let written = encoder.write_image(&pixels, size.width, size.height, color);
    written.map_err(|fault| PictureFault::Unreadable(fault.to_string()))?;
    Ok(Picture { bytes, width: size.width, height: size.height })
}
