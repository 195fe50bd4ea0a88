use std::io::Cursor;

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbaImage};

use super::*;

/// A picture with a red left half and a blue right half; opacity as asked for.
fn halves(width: u32, height: u32, opacity: u8) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, _| {
        image::Rgba(if x < width / 2 { [200, 30, 40, opacity] } else { [20, 60, 180, opacity] })
    })
}

fn png(picture: &RgbaImage) -> Vec<u8> {
    let mut out = Vec::new();
    PngEncoder::new(&mut out).write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgba8).unwrap();
    out
}

fn jpeg(picture: &RgbaImage) -> Vec<u8> {
    let mut out = Vec::new();
    let rgb = image::DynamicImage::from(picture.clone()).into_rgb8();
    JpegEncoder::new_with_quality(&mut out, 95).encode_image(&rgb).unwrap();
    out
}

fn webp(picture: &RgbaImage) -> Vec<u8> {
    let mut out = Vec::new();
    WebPEncoder::new_lossless(&mut out).encode(picture, picture.width(), picture.height(), ExtendedColorType::Rgba8).unwrap();
    out
}

fn read(bytes: &[u8]) -> RgbaImage {
    image::load(Cursor::new(bytes), image::ImageFormat::Png).unwrap().into_rgba8()
}

/// The names of a PNG's chunks.
fn chunks(png: &[u8]) -> Vec<String> {
    let mut at = 8;
    let mut names = Vec::new();
    while at < png.len() {
        let length = u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
        names.push(String::from_utf8(png[at + 4..at + 8].to_vec()).unwrap());
        at += 12 + length;
    }
    names.dedup();
    names
}

fn close(one: &image::Rgba<u8>, other: [u8; 4]) -> bool {
    one.0.iter().zip(other).all(|(one, other)| one.abs_diff(other) <= 6)
}

#[test]
fn every_size_comes_out_as_planned_from_every_format() {
    let source = halves(1200, 460, 255);
    for (bytes, format) in
        [(png(&source), PictureFormat::Png), (jpeg(&source), PictureFormat::Jpeg), (webp(&source), PictureFormat::WebP)]
    {
        let made = picture_set(ImageRole::Strip, &bytes).unwrap();
        assert_eq!((made.format, made.source), (format, [1200, 460]));
        let sizes: Vec<_> = made.pictures.iter().map(|(usage, picture)| (usage.key(), picture.width, picture.height)).collect();
        assert_eq!(sizes, [("x1", 375, 144), ("x2", 750, 288), ("x3", 1125, 432), ("google", 1032, 336)]);
        for (_, picture) in &made.pictures {
            let drawn = read(&picture.bytes);
            assert_eq!(drawn.dimensions(), (picture.width, picture.height));
            assert!(close(drawn.get_pixel(3, 3), [200, 30, 40, 255]), "{format:?} {:?}", drawn.get_pixel(3, 3));
            assert!(close(drawn.get_pixel(picture.width - 4, picture.height - 4), [20, 60, 180, 255]), "{format:?}");
            assert_eq!(chunks(&picture.bytes), ["IHDR", "IDAT", "IEND"], "nothing but pixels");
        }
        assert_eq!(made, picture_set(ImageRole::Strip, &bytes).unwrap(), "the same file, the same bytes");
    }
}

#[test]
fn bars_are_transparent_and_edges_keep_their_colour() {
    let made = picture_set(ImageRole::Icon, &png(&halves(400, 200, 255))).unwrap();
    let icon = read(&made.pictures[2].1.bytes);
    assert_eq!((icon.dimensions(), icon.get_pixel(57, 5)[3], icon.get_pixel(20, 57)[3]), ((114, 114), 0, 255));
    // what nobody sees has a colour too; it must not be mixed into what is seen
    let clear = RgbaImage::from_fn(400, 400, |x, _| image::Rgba(if x < 200 { [255, 0, 0, 255] } else { [0, 255, 0, 0] }));
    let made = picture_set(ImageRole::Logo, &png(&clear)).unwrap();
    let logo = read(&made.pictures[0].1.bytes);
    assert!(logo.pixels().all(|pixel| pixel[3] < 8 || pixel[1] < 8), "no green at the edge");
}

#[test]
fn a_photo_is_turned_upright_and_says_nothing_of_its_place() {
    let photo = jpeg(&halves(600, 300, 255));
    // APP1 with one entry of EXIF: orientation 6, to be turned clockwise
    let exif: &[u8] = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let turned = [&photo[..2], &[0xff, 0xe1], &length, exif, &photo[2..]].concat();
    let made = picture_set(ImageRole::Thumbnail, &turned).unwrap();
    assert_eq!(made.source, [300, 600]);
    let drawn = read(&made.pictures[2].1.bytes);
    assert!(close(drawn.get_pixel(5, 5), [200, 30, 40, 255]) && close(drawn.get_pixel(264, 264), [20, 60, 180, 255]));
    assert!(made.pictures.iter().all(|(_, picture)| !picture.bytes.windows(4).any(|word| word == b"Exif")));
}

#[test]
fn wide_colours_are_brought_to_srgb() {
    let plain = RgbaImage::from_pixel(200, 200, image::Rgba([180, 120, 60, 255]));
    let tagged = |profile: moxcms::ColorProfile| {
        let mut out = Vec::new();
        let mut encoder = PngEncoder::new(&mut out);
        encoder.set_icc_profile(profile.encode().unwrap()).unwrap();
        encoder.write_image(&plain, 200, 200, ExtendedColorType::Rgba8).unwrap();
        let made = picture_set(ImageRole::Icon, &out).unwrap();
        *read(&made.pictures[1].1.bytes).get_pixel(30, 30)
    };
    assert!(close(&tagged(moxcms::ColorProfile::new_srgb()), [180, 120, 60, 255]));
    let wide = tagged(moxcms::ColorProfile::new_display_p3());
    assert!(wide[0] > 184 && wide[2] < 58, "more colourful in the smaller space: {wide:?}");
}

#[test]
fn what_is_ready_is_kept_pixel_by_pixel() {
    let icon = png(&halves(76, 76, 128));
    let noisy = [&icon[..33], &png::tests::piece(b"tEXt", b"Author\0me"), &icon[33..], b"PK"].concat();
    let ready = ready_picture(&noisy).unwrap();
    assert_eq!((&ready.bytes, ready.width, ready.height), (&icon, 76, 76));
    assert_eq!(ready_picture(&jpeg(&halves(76, 76, 255))), Err(PictureFault::NotPng("a JPEG")));
    assert!(matches!(ready_picture(&png::tests::png(76, 76, &[])), Err(PictureFault::Unreadable(_))), "no pixels in it");
}

#[test]
fn what_unpacks_to_more_than_its_rows_is_refused_before_it_is_unpacked() {
    use std::io::Write as _;
    let packed = |bytes: usize| {
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        let block = vec![0; 1 << 16];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(block.len());
            out.write_all(&block[..now]).unwrap();
            left -= now;
        }
        out.finish().unwrap()
    };
    // width and height, bits of a sample, colour, interlaced, bytes of its rows
    let table = [(10, 10, 8, 6, 0, 410), (10, 10, 8, 6, 1, 420), (10, 3, 1, 0, 0, 9), (1, 1, 16, 2, 1, 7), (9, 9, 4, 3, 1, 64)];
    for (width, height, depth, color, interlace, rows) in table {
        let whole = |bytes: usize| {
            let header = [&u32::to_be_bytes(width)[..], &u32::to_be_bytes(height), &[depth, color, 0, 0, interlace]].concat();
            let data = packed(bytes);
            // in parts, as encoders write it
            let parts: Vec<u8> = data.chunks(7).flat_map(|part| png::tests::piece(b"IDAT", part)).collect();
            let palette = if color == 3 { png::tests::piece(b"PLTE", &[0, 0, 0]) } else { Vec::new() };
            [&png::SIGNATURE[..], &png::tests::piece(b"IHDR", &header), &palette, &parts, &png::tests::piece(b"IEND", &[])]
                .concat()
        };
        let picture = format!("{width} by {height}, {depth} bits, colour {color}, interlaced {interlace}");
        assert!(ready_picture(&whole(rows)).is_ok(), "{picture}: {:?}", ready_picture(&whole(rows)));
        assert_eq!(ready_picture(&whole(rows + 1)), Err(PictureFault::Overlong), "{picture}");
    }
    let bomb = [png::tests::piece(b"IDAT", &packed(20_000_000))];
    let bomb = png::tests::png(10, 10, &bomb);
    assert_eq!(ready_picture(&bomb), Err(PictureFault::Overlong));
    assert_eq!(picture_set(ImageRole::Icon, &bomb).unwrap_err(), PictureFault::Overlong);
}

#[test]
fn what_cannot_be_unpacked_is_refused() {
    let source = halves(400, 300, 255);
    for whole in [png(&source), jpeg(&source), webp(&source)] {
        for cut in [whole.len() / 3, whole.len() / 2, whole.len() - 3] {
            let fault = picture_set(ImageRole::Strip, &whole[..cut]).unwrap_err();
            assert!(matches!(fault, PictureFault::Damaged { .. } | PictureFault::Unreadable(_)), "{cut}: {fault}");
        }
    }
    for bomb in [png::tests::png(10_000, 10_000, &[]), png::tests::png(4_001, 4_000, &[])] {
        assert!(matches!(picture_set(ImageRole::Strip, &bomb), Err(PictureFault::TooManyPixels { .. })));
    }
    // 16 million pixels by its header, and none in it
    assert!(matches!(picture_set(ImageRole::Strip, &png::tests::png(4_000, 4_000, &[])), Err(PictureFault::Unreadable(_))));
}

#[test]
fn what_moves_is_refused() {
    let still = webp(&halves(40, 40, 255));
    let chunk = |kind: &[u8; 4], data: &[u8]| [&kind[..], &(data.len() as u32).to_le_bytes(), data].concat();
    let size = [39, 0, 0, 39, 0, 0];
    let frame = [&[0; 6][..], &size, &[100, 0, 0, 0], &still[12..]].concat();
    let body = [
        chunk(b"VP8X", &[&[0x02, 0, 0, 0][..], &size].concat()),
        chunk(b"ANIM", &[0; 6]),
        chunk(b"ANMF", &frame),
        chunk(b"ANMF", &frame),
    ]
    .concat();
    let moving = [&b"RIFF"[..], &(body.len() as u32 + 4).to_le_bytes(), b"WEBP", &body].concat();
    assert_eq!(picture_set(ImageRole::Icon, &moving), Err(PictureFault::Animated));
    assert_eq!(picture_set(ImageRole::Icon, b"GIF89a...."), Err(PictureFault::Format("a GIF")));
}
