//! Barcodes as inline SVG.
//!
//! QR codes and Code 128 are drawn as they are. PDF417 and Aztec are drawn as a QR code of the same value, which any
//! two-dimensional reader takes, and the caller is told so. Source of Code 128: ISO/IEC 15417.

use domain::BarcodeFormat;
use qrcode::{Color, EcLevel, QrCode};

/// White modules around a QR code that readers need.
const QR_QUIET: usize = 4;
/// White modules beside a Code 128 that readers need.
const BAR_QUIET: usize = 10;
/// Height of a Code 128 in modules of its viewBox.
const BAR_HEIGHT: usize = 60;
/// Most characters of a Code 128 that still fit a phone.
const MAX_BAR_CHARACTERS: usize = 48;

/// A drawn barcode.
pub(crate) struct Drawing {
    /// An `svg` element without a label of its own.
    pub(crate) svg: String,
    /// The symbology that was drawn.
    pub(crate) drawn: BarcodeFormat,
}

/// Draws a barcode; nothing when the value is too long for any symbol.
pub(crate) fn draw(format: BarcodeFormat, value: &str) -> Option<Drawing> {
    if format == BarcodeFormat::Code128
        && let Some(svg) = code128(value)
    {
        return Some(Drawing { svg, drawn: BarcodeFormat::Code128 });
    }
    qr(value).map(|svg| Drawing { svg, drawn: BarcodeFormat::Qr })
}

fn qr(value: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(value, EcLevel::M).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (index, row) in code.to_colors().chunks(width).enumerate() {
        let runs = runs(row.iter().map(|color| *color == Color::Dark));
        push_runs(&mut path, &runs, QR_QUIET, index + QR_QUIET, 1);
    }
    let side = width + 2 * QR_QUIET;
    Some(svg(side, side, &path))
}

/// Start and length of each run of dark modules.
fn runs(modules: impl Iterator<Item = bool>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (index, _) in modules.enumerate().filter(|(_, dark)| *dark) {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == index => *length += 1,
            _ => runs.push((index, 1)),
        }
    }
    runs
}

fn push_runs(path: &mut String, runs: &[(usize, usize)], left: usize, top: usize, height: usize) {
    for (start, length) in runs {
        path.push_str(&format!("M{} {top}h{length}v{height}h-{length}z", start + left));
    }
}

fn svg(width: usize, height: usize, path: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" shape-rendering=\"crispEdges\" aria-hidden=\"true\" \
         focusable=\"false\"><rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/><path fill=\"#000\" d=\"{path}\"/></svg>"
    )
}

/// Code 128, set C for runs of digits at the start or all along, else set B; nothing when the value has other characters.
fn code128(value: &str) -> Option<String> {
    if value.is_empty() || value.len() > MAX_BAR_CHARACTERS || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return None;
    }
    let mut modules: Vec<bool> = Vec::new();
    for symbol in symbols(value.as_bytes()) {
        let mut dark = true;
        for width in WIDTHS[symbol].bytes() {
            modules.extend(std::iter::repeat_n(dark, usize::from(width - b'0')));
            dark = !dark;
        }
    }
    let mut path = String::new();
    push_runs(&mut path, &runs(modules.iter().copied()), BAR_QUIET, 0, BAR_HEIGHT);
    Some(svg(modules.len() + 2 * BAR_QUIET, BAR_HEIGHT, &path))
}

const START_B: usize = 104;
const START_C: usize = 105;
const STOP: usize = 106;

/// Start, data, check and stop symbols.
fn symbols(bytes: &[u8]) -> Vec<usize> {
    let digits = bytes.iter().all(u8::is_ascii_digit) && bytes.len().is_multiple_of(2);
    let mut symbols = vec![if digits { START_C } else { START_B }];
    if digits {
        symbols.extend(bytes.chunks(2).map(|pair| usize::from(pair[0] - b'0') * 10 + usize::from(pair[1] - b'0')));
    } else {
        symbols.extend(bytes.iter().map(|byte| usize::from(byte - b' ')));
    }
    let sum: usize = symbols.iter().enumerate().map(|(index, symbol)| symbol * index.max(1)).sum();
    symbols.push(sum % 103);
    symbols.push(STOP);
    symbols
}

/// Widths of bars and spaces in modules, by symbol value.
#[rustfmt::skip]
const WIDTHS: [&str; 107] = [
    "212222", "222122", "222221", "121223", "121322", "131222", "122213", "122312", "132212", "221213", "221312", "231212", "112232",
    "122132", "122231", "113222", "123122", "123221", "223211", "221132", "221231", "213212", "223112", "312131", "311222", "321122",
    "321221", "312212", "322112", "322211", "212123", "212321", "232121", "111323", "131123", "131321", "112313", "132113", "132311",
    "211313", "231113", "231311", "112133", "112331", "132131", "113123", "113321", "133121", "313121", "211331", "231131", "213113",
    "213311", "213131", "311123", "311321", "331121", "312113", "312311", "332111", "314111", "221411", "431111", "111224", "111422",
    "121124", "121421", "141122", "141221", "112214", "112412", "122114", "122411", "142112", "142211", "241211", "221114", "413111",
    "241112", "134111", "111242", "121142", "121241", "114212", "124112", "124211", "411212", "421112", "421211", "212141", "214121",
    "412121", "111143", "111341", "131141", "114113", "114311", "411113", "411311", "113141", "114131", "311141", "411131", "211412",
    "211214", "211232", "2331112",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_is_eleven_modules_wide_and_unique() {
        for (value, widths) in WIDTHS.iter().enumerate() {
            let sum: u32 = widths.bytes().map(|width| u32::from(width - b'0')).sum();
            assert_eq!(sum, if value == STOP { 13 } else { 11 }, "{value}");
            let bars: u32 = widths.bytes().step_by(2).map(|width| u32::from(width - b'0')).sum();
            assert!(value == STOP || bars.is_multiple_of(2), "{value}: bars of a symbol have even width");
            assert_eq!(WIDTHS.iter().position(|other| other == widths), Some(value), "{value} is there twice");
        }
    }

    #[test]
    fn check_symbols_are_those_of_the_standard() {
        // The example that is published everywhere: PJJ123C has the check character 55.
        let drawn = symbols(b"PJJ123C");
        assert_eq!(drawn, [104, 48, 42, 42, 17, 18, 19, 35, 55, 106]);
        assert_eq!(symbols(b"1234"), [105, 12, 34, (105 + 12 + 68) % 103, 106]);
    }

    #[test]
    fn a_qr_code_is_one_path_with_a_quiet_zone() {
        let drawing = draw(BarcodeFormat::Aztec, "HELLO").unwrap();
        assert_eq!(drawing.drawn, BarcodeFormat::Qr, "drawn in place of Aztec");
        assert!(drawing.svg.contains("viewBox=\"0 0 29 29\"") && drawing.svg.contains("M4 4h7v1h-7z"), "{}", drawing.svg);
    }

    #[test]
    fn what_no_bar_can_hold_becomes_a_qr_code_and_what_none_can_hold_nothing() {
        assert_eq!(draw(BarcodeFormat::Code128, "A-1").unwrap().drawn, BarcodeFormat::Code128);
        assert_eq!(draw(BarcodeFormat::Code128, "größe").unwrap().drawn, BarcodeFormat::Qr);
        assert!(draw(BarcodeFormat::Qr, &"x".repeat(5000)).is_none());
    }
}
