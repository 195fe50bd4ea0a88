//! The preview as a page of its own: the card as each system draws it, and beside it what that system will not show of it or will
//! show otherwise.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::preview_system::pictures;
use crate::{Loss, PassView, PreviewContext, System, loss_report, preview_css};

const SHEET: &str = "\
body{margin:0;padding:2rem 1rem;background:#eceae5;color:#1c1f24;font:1rem/1.5 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto}
.page-pair{display:grid;grid-template-columns:minmax(0,24rem) minmax(0,1fr);gap:1rem 2rem;align-items:start}
.page-pictures{display:grid;gap:1rem}
@media (max-width:48rem){.page-pair{grid-template-columns:minmax(0,1fr)}}
h3{margin:.75rem 0 .25rem;font-size:.95rem}
h1{font-size:1.25rem;text-align:center}
h2{margin:2.5rem 0 .5rem;font-size:1.05rem}
section ul{margin:0;padding-left:1.2rem}
code{font-size:.85em}
@media (prefers-color-scheme:dark){body{background:#15171b;color:#e8e6e1}}
";

/// Draws the page. It loads nothing but what the context's addresses name.
#[must_use]
pub fn preview_page(view: &PassView<'_>, context: &PreviewContext<'_>) -> Markup {
    let design = &view.template.design;
    let losses = loss_report(view.project, design);
    let drawn = drawn(view, context, &losses);
    html! {
        (DOCTYPE)
        html lang=(design.language) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (view.template.name) }
                style { (PreEscaped(SHEET)) (PreEscaped(preview_css(design))) }
            }
            body {
                main {
                    h1 { (view.template.name) }
                    @for (systems, picture) in &drawn {
                        section {
                            h2 { (names(systems)) }
                            div.page-pair {
                                div.page-pictures { (picture) }
                                div { @for system in systems { (report(*system, systems.len() > 1, &losses)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The pictures of all systems; those that draw the same stand together.
fn drawn(view: &PassView<'_>, context: &PreviewContext<'_>, losses: &[Loss]) -> Vec<(Vec<System>, Markup)> {
    let mut all: Vec<(Vec<System>, Markup)> = Vec::new();
    for system in System::ALL {
        let picture = pictures(view, context, system, losses);
        match all.iter_mut().find(|(_, held)| held.0 == picture.0) {
            Some((systems, _)) => systems.push(system),
            None => all.push((vec![system], picture)),
        }
    }
    all
}

fn names(systems: &[System]) -> String {
    systems.iter().map(|system| label(*system)).collect::<Vec<_>>().join(", ")
}

/// What a system will not show, beside its picture.
fn report(system: System, named: bool, losses: &[Loss]) -> Markup {
    let of_system: Vec<&Loss> = losses.iter().filter(|loss| loss.systems.contains(&system)).collect();
    html! {
        @if named { h3 { (label(system)) } }
        @if of_system.is_empty() {
            p { "Shows all of it." }
        } @else {
            ul {
                @for loss in of_system {
                    li { code { (loss.path) } ": " (loss.effect) }
                }
            }
        }
    }
}

fn label(system: System) -> &'static str {
    match system {
        System::Ios17 => "iOS 17 and older",
        System::Ios18 => "iOS 18",
        System::Ios26 => "iOS 26",
        System::Ios27 => "iOS 27",
        System::WatchOs => "Apple Watch",
        System::Google => "Google Wallet",
    }
}
