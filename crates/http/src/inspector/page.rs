//! The inspector's page.

use maud::{Markup, html};

use super::Captured;
use crate::document::html_document;

pub(super) const STYLE: &str = include_str!("../../assets/inspector.css");
pub(super) const SCRIPT: &str = include_str!("../../assets/inspector.js");

pub(super) fn page(bin: &str, address: &str, requests: &[Captured]) -> Markup {
    let body = html! {
        header {
            h1 { "Inspector" }
            p { "Shows any request that is sent to " code { (address) } ", newest first." }
        }
        main id="requests" data-newest=(requests.first().map_or("", |it| it.id.as_str())) aria-live="polite" {
            @if requests.is_empty() {
                p.empty { "Nothing yet. Send something: " code { "curl -d '{\"hello\": \"world\"}' " (address) } }
            }
            @for (index, captured) in requests.iter().enumerate() {
                (request(captured, index == 0))
            }
        }
    };
    html_document(&format!("Inspector {bin} · Passbridge"), &["/assets/inspector.css"], &["/assets/inspector.js"], &body)
}

fn request(captured: &Captured, open: bool) -> Markup {
    let json: Option<serde_json::Value> = serde_json::from_str(&captured.body).ok();
    let event = json.as_ref().and_then(|json| json["event"].as_str().or(json["type"].as_str()));
    html! {
        details.request open[open] id=(captured.id) {
            summary {
                span class={ "method " (captured.method.to_lowercase()) } { (captured.method) }
                span.name { (event.unwrap_or(&captured.path)) }
                @for checked in &captured.signatures {
                    span.badge.valid[checked.valid].invalid[!checked.valid] title=(checked.says) {
                        @if checked.valid { "✓ " } @else { "✗ " } (checked.header)
                    }
                }
                time datetime=(captured.at) { (captured.at) }
            }
            section {
                @for checked in &captured.signatures {
                    p.verdict.valid[checked.valid].invalid[!checked.valid] { strong { (checked.header) } ": " (checked.says) }
                }
                h2 { "Headers" }
                table {
                    tbody {
                        tr { th scope="row" { "from" } td { (captured.from) } }
                        tr { th scope="row" { "path" } td { (captured.path) } }
                        @for (name, value) in &captured.headers {
                            tr { th scope="row" { (name) } td { (value) } }
                        }
                    }
                }
                h2 { "Body, " (captured.size) " bytes" }
                @match json.as_ref().and_then(|json| serde_json::to_string_pretty(json).ok()) {
                    Some(pretty) => { pre { code { (pretty) } } }
                    None if captured.body.is_empty() => { p.empty { "empty" } }
                    None => { pre { code { (captured.body) } } }
                }
            }
        }
    }
}
