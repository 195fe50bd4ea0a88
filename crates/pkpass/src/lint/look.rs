//! Colours and barcodes.

use serde_json::Value;

use super::{Report, items};
use crate::model::{BarcodeFormat, Color};

/// Symbologies that every iOS shows; the others need iOS 27.
const EVERYWHERE: &[&str] = &["PKBarcodeFormatQR", "PKBarcodeFormatPDF417", "PKBarcodeFormatAztec", "PKBarcodeFormatCode128"];

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
    let shown = |barcode: &Value| barcode["format"].as_str().is_some_and(|format| EVERYWHERE.contains(&format));
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
