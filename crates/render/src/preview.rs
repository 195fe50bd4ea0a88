//! The card as HTML: what a holder sees before a wallet has it, and an operator before it is published.
//!
//! The markup carries no style of its own, so that a page may forbid inline styles: [`preview_css`] goes into a style
//! sheet or a style element with a nonce. Everything a person reads is text; pictures are decoration.

use domain::{BarcodeFormat, Design, DesignField, FieldPlace, ImageRole, Lifecycle, ProjectKind};
use maud::{Markup, PreEscaped, html};

use crate::loss::apple_shows;
use crate::values::as_shown;
use crate::{PassView, barcode};

/// The sheet that all cards share.
const SHEET: &str = include_str!("preview.css");
/// Behind everything when the design names no colour.
const BACKGROUND: &str = "#20242c";
/// Text on a light card.
const DARK_TEXT: &str = "#14161a";
/// Text on a dark card.
const LIGHT_TEXT: &str = "#ffffff";
/// Least contrast of text and background, by WCAG 2 for normal text at level AA.
const MIN_CONTRAST: f64 = 4.5;

/// What the preview needs beside the pass.
#[derive(Clone, Copy)]
pub struct PreviewContext<'a> {
    /// The address of an image, by its hash.
    pub image_url: &'a dyn Fn(&str) -> String,
}

/// A field that has a value.
pub(crate) struct Shown<'a> {
    pub(crate) label: &'a str,
    pub(crate) value: String,
}

/// Draws the front, and the back behind a disclosure.
#[must_use]
pub fn preview_html(view: &PassView<'_>, context: &PreviewContext<'_>) -> Markup {
    let design = &view.template.design;
    let shown = |place| if view.is_blank() { Vec::new() } else { shown(view, place) };
    let title = if view.is_blank() { String::new() } else { view.text(&design.title) };
    html! {
        article.pb-pass.{ "pb-" (style(view.project.kind)) } .pb-void[view.pass.lifecycle.is_void()] aria-label=(design.description) {
            (picture(view, ImageRole::Background, "pb-backdrop", context))
            div.pb-head {
                (picture(view, ImageRole::Logo, "pb-logo", context))
                @if !title.trim().is_empty() { p.pb-title { (title) } }
                (fields("pb-header", &shown(FieldPlace::Header)))
            }
            (state(&view.pass.lifecycle))
            div.pb-main {
                (picture(view, ImageRole::Strip, "pb-strip", context))
                (fields("pb-primary", &shown(FieldPlace::Primary)))
                (picture(view, ImageRole::Thumbnail, "pb-thumbnail", context))
            }
            (fields("pb-secondary", &shown(FieldPlace::Secondary)))
            (fields("pb-auxiliary", &shown(FieldPlace::Auxiliary)))
            (fields("pb-auxiliary", &shown(FieldPlace::Footer)))
            (picture(view, ImageRole::Footer, "pb-footer", context))
            (code(view))
            (back(view, &shown(FieldPlace::Back)))
        }
    }
}

/// The style sheet of a design's cards: the shared sheet and the design's colours. Google Wallet has the background alone of
/// them, and chooses a text colour that fits it.
#[must_use]
pub fn preview_css(design: &Design) -> String {
    let background = color(design.colors.background.as_deref()).unwrap_or(BACKGROUND);
    let fitting = if contrast(LIGHT_TEXT, background) >= contrast(DARK_TEXT, background) { LIGHT_TEXT } else { DARK_TEXT };
    let readable = |wanted: Option<&str>| match color(wanted) {
        Some(text) if contrast(text, background) >= MIN_CONTRAST => text.to_owned(),
        _ => fitting.to_owned(),
    };
    let foreground = readable(design.colors.foreground.as_deref());
    let label = readable(design.colors.label.as_deref().or(design.colors.foreground.as_deref()));
    format!(
        "{SHEET}.pb-pass{{--pb-background:{background};--pb-foreground:{foreground};--pb-label:{label}}}\n\
         .pb-google{{--pb-foreground:{fitting};--pb-label:{fitting}}}\n"
    )
}

pub(crate) fn style(kind: ProjectKind) -> &'static str {
    match kind {
        ProjectKind::Membership | ProjectKind::GiftCard => "store-card",
        ProjectKind::Coupon => "coupon",
        ProjectKind::EventTicket => "event-ticket",
        ProjectKind::BoardingPass | ProjectKind::Transit => "boarding-pass",
        ProjectKind::Generic => "generic",
    }
}

pub(crate) fn shown<'a>(view: &PassView<'a>, place: FieldPlace) -> Vec<Shown<'a>> {
    let design: &'a Design = &view.template.design;
    let of_place = design.fields.iter().filter(|field| field.place == place);
    let show = |field: &'a DesignField| {
        let value = as_shown(&view.value(&field.value)?, field);
        Some(Shown { label: &field.label, value })
    };
    of_place.filter_map(show).collect()
}

pub(crate) fn fields(class: &str, fields: &[Shown<'_>]) -> Markup {
    html! {
        @if !fields.is_empty() {
            dl.pb-fields.(class) {
                @for field in fields {
                    div {
                        dt { (field.label) }
                        dd { (field.value) }
                    }
                }
            }
        }
    }
}

pub(crate) fn picture(view: &PassView<'_>, role: ImageRole, class: &str, context: &PreviewContext<'_>) -> Markup {
    let design = &view.template.design;
    if !apple_shows(view.project.kind, design, role) {
        return html! {};
    }
    let largest = design.images.get(&role).and_then(|set| set.each().last().map(|(_, hash)| hash));
    let source = largest.map(|hash| (context.image_url)(hash));
    html! {
        @if let Some(source) = source { img.(class) src=(source) alt=""; }
    }
}

fn state(lifecycle: &Lifecycle) -> Markup {
    let words = match lifecycle {
        Lifecycle::Active => return html! {},
        Lifecycle::Inactive => "Not active yet",
        Lifecycle::Used { .. } => "Used",
        Lifecycle::Expired { .. } => "Expired",
        Lifecycle::Revoked { .. } => "No longer valid",
        Lifecycle::Deleted { .. } => "Removed",
    };
    html! { p.pb-state { (words) } }
}

pub(crate) fn code(view: &PassView<'_>) -> Markup {
    let Some(design) = view.template.design.barcode.as_ref().filter(|_| !view.is_blank()) else { return html! {} };
    let value = view.text(&design.value);
    let Some(drawing) = (!value.is_empty()).then(|| barcode::draw(design.format, &value)).flatten() else { return html! {} };
    let caption = design.alt_text.as_ref().map(|text| view.text(text)).filter(|text| !text.trim().is_empty());
    let class = if drawing.drawn == BarcodeFormat::Code128 { "pb-bars" } else { "pb-square" };
    html! {
        figure.pb-code {
            div.(class) role="img" aria-label={ (name(drawing.drawn)) @if let Some(caption) = &caption { ": " (caption) } } { (PreEscaped(drawing.svg)) }
            @if let Some(caption) = &caption { figcaption { (caption) } }
            @if drawing.drawn != design.format {
                p.pb-note { "Shown as a " (name(drawing.drawn)) " here; the wallet shows " (name(design.format)) "." }
            }
        }
    }
}

fn name(format: BarcodeFormat) -> &'static str {
    match format {
        BarcodeFormat::Qr => "QR code",
        BarcodeFormat::Pdf417 => "PDF417",
        BarcodeFormat::Aztec => "Aztec",
        BarcodeFormat::Code128 => "Code 128",
        BarcodeFormat::Code39 => "Code 39",
        BarcodeFormat::Codabar => "Codabar",
        BarcodeFormat::Ean13 => "EAN-13",
        BarcodeFormat::Itf => "Interleaved 2 of 5",
        BarcodeFormat::Ean8 => "EAN-8",
        BarcodeFormat::UpcA => "UPC-A",
        BarcodeFormat::DataMatrix => "Data Matrix",
    }
}

pub(crate) fn back(view: &PassView<'_>, shown: &[Shown<'_>]) -> Markup {
    let design = &view.template.design;
    if view.is_blank() {
        return html! {};
    }
    let message = view.pass.message.as_ref();
    html! {
        @if !shown.is_empty() || !design.links.is_empty() || message.is_some() {
            details.pb-back open[message.is_some()] {
                summary { "Details" }
                @if let Some(message) = message {
                    dl.pb-fields.pb-message { div { dt { (design.message_label) } dd { (message.text) } } }
                }
                (fields("pb-details", shown))
                (fields("pb-details", &self::shown(view, FieldPlace::AdditionalInfo)))
                @if !design.links.is_empty() {
                    ul.pb-links {
                        @for link in &design.links {
                            li { a href=(link.url) rel="noopener noreferrer" { (link.label) } }
                        }
                    }
                }
            }
        }
    }
}

/// The colour, if it is one; nothing else may reach a style sheet.
fn color(text: Option<&str>) -> Option<&str> {
    text.filter(|text| text.len() == 7 && text.starts_with('#') && text.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit()))
}

/// Contrast ratio of two colours, 1 to 21 (WCAG 2, relative luminance).
fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(color: &str) -> f64 {
    let part = |at: usize| {
        let value = color.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or(0);
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_the_guidelines() {
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
        assert!((contrast("#777777", "#ffffff") - 4.478).abs() < 0.001);
    }
}
