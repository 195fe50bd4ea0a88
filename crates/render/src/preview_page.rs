//! The preview as a page of its own: the card, and what each system will not show of it or will show otherwise.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{Loss, PassView, PreviewContext, System, loss_report, preview_css, preview_html};

const SHEET: &str = "\
body{margin:0;padding:2rem 1rem;background:#eceae5;color:#1c1f24;font:1rem/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto}
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
                    (preview_html(view, context))
                    @for system in System::ALL {
                        (section(system, &losses))
                    }
                }
            }
        }
    }
}

fn section(system: System, losses: &[Loss]) -> Markup {
    let of_system: Vec<&Loss> = losses.iter().filter(|loss| loss.systems.contains(&system)).collect();
    html! {
        section {
            h2 { (label(system)) }
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
