//! Colours and barcodes.

use serde_json::Value;

use super::{Report, items};
use crate::model::{BarcodeFormat, Color};

pub(super) fn check(report: &mut Report, pass: &Value) {
    for key in ["backgroundColor", "foregroundColor", "labelColor", "stripColor", "footerBackgroundColor"] {
        if let Some(color) = pass.get(key)
            && color.as_str().is_none_or(|text| text.parse::<Color>().is_err())
        {
            report.lost(key, "color", "the colour is ignored", "write `rgb(23, 187, 82)` or `#17BB52`");
        }
    }
    if pass["useAutomaticColors"] == true && pass.get("labelColor").is_some() {
        report.lost(
            "labelColor",
            "label_color_automatic",
            "the colour is ignored",
            "remove `labelColor`, or `useAutomaticColors`",
        );
    }
    if pass["sharingProhibited"] == true {
        report.advice(
            "sharingProhibited",
            "sharing",
            "the share button is hidden; the pass can still be passed on",
            "check the holder where it matters",
        );
    }
    check_barcodes(report, pass);
}

fn check_barcodes(report: &mut Report, pass: &Value) {
    let barcodes = items(&pass["barcodes"]);
    for (at, barcode) in barcodes.iter().enumerate() {
        check_barcode(report, &format!("barcodes[{at}]"), barcode);
    }
    if let Some(barcode) = pass.get("barcode") {
        check_barcode(report, "barcode", barcode);
        if barcodes.is_empty() {
            report.advice("barcode", "barcode_singular", "the key is deprecated", "move it into the list `barcodes`");
        }
    }
    let shown =
        |barcode: &Value| barcode["format"].as_str().is_some_and(|format| BarcodeFormat::from(format.to_owned()).is_everywhere());
    if !barcodes.is_empty() && !barcodes.iter().any(shown) {
        report.lost(
            "barcodes",
            "barcode_new_only",
            "phones before iOS 27 show no barcode",
            "append a QR code with the same message",
        );
    }
}

fn check_barcode(report: &mut Report, path: &str, barcode: &Value) {
    match barcode["format"].as_str() {
        Some(format) if BarcodeFormat::KNOWN.contains(&format) => {}
        _ => report.lost(
            &format!("{path}.format"),
            "unknown_word",
            "the barcode is not shown",
            format!("write one of {}", BarcodeFormat::KNOWN.join(", ")),
        ),
    }
    for key in ["message", "messageEncoding"] {
        if !barcode[key].is_string() {
            report.refused(&format!("{path}.{key}"), "barcode_incomplete", format!("give `{key}` as a text"));
        }
    }
    if let (Some(format), Some(message)) = (barcode["format"].as_str(), barcode["message"].as_str())
        && let Some(mend) = unfit(&BarcodeFormat::from(format.to_owned()), message)
    {
        report.lost(&format!("{path}.message"), "barcode_content", "the symbol cannot hold the message and is not shown", mend);
    }
    let latin_only = barcode["messageEncoding"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("iso-8859-1"));
    if latin_only && barcode["message"].as_str().is_some_and(|text| text.chars().any(|c| c as u32 > 0xff)) {
        report.lost(
            &format!("{path}.messageEncoding"),
            "barcode_encoding",
            "the barcode cannot hold the message and is not shown",
            "set the encoding to `utf-8`",
        );
    }
}

/// What to change about a message that its symbology cannot hold.
fn unfit(format: &BarcodeFormat, message: &str) -> Option<&'static str> {
    let of = |more: &str| !message.is_empty() && message.chars().all(|c| c.is_ascii_digit() || more.contains(c));
    match format {
        BarcodeFormat::Code128 if !message.is_ascii() => Some("Code 128 holds ASCII only; use a QR code for other scripts"),
        BarcodeFormat::Code39 if !of("ABCDEFGHIJKLMNOPQRSTUVWXYZ -.$/+%") => {
            Some("Code 39 holds capital letters, digits, blanks and -.$/+% only")
        }
        BarcodeFormat::Codabar if !of("-$:/.+ABCDabcd") => Some("Codabar holds digits and -$:/.+ between A, B, C or D only"),
        BarcodeFormat::I2of5 if !of("") || !message.len().is_multiple_of(2) => {
            Some("Interleaved 2 of 5 holds an even number of digits; put a 0 before")
        }
        BarcodeFormat::Ean13 if !is_ean13(message) => Some("EAN-13 holds 12 digits and their check digit"),
        _ => None,
    }
}

/// Thirteen digits whose last one is the check digit of the others (GS1 General Specifications, 7.9).
fn is_ean13(message: &str) -> bool {
    let digits: Vec<u32> = message.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits.iter().enumerate().map(|(at, digit)| if at % 2 == 0 { *digit } else { 3 * digit }).sum();
    digits.len() == 13 && message.len() == 13 && sum.is_multiple_of(10)
}
