//! The HTML document around every page that a browser is shown.

use maud::{DOCTYPE, Markup, html};

/// A page of `body` with the style sheets and modules at these addresses. No page of ours is for search engines: each is
/// somebody's pass, or an operator's.
pub(crate) fn html_document(title: &str, styles: &[&str], scripts: &[&str], body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex, nofollow";
                title { (title) }
                @for style in styles { link rel="stylesheet" href=(style); }
                @for script in scripts { script type="module" src=(script) {} }
            }
            body { (body) }
        }
    }
}
