//! `/docs`: the OpenAPI document as a page to read, rendered here. Nothing is loaded from elsewhere, and without scripts only
//! the search field is missing.

use std::sync::Arc;

use axum::{Router, response::IntoResponse, routing::get};
use http::header;
use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use crate::{App, document::html_document, problem};

const STYLE: &str = include_str!("../../assets/docs.css");
const SCRIPT: &str = include_str!("../../assets/docs.js");
/// The groups in the order in which a newcomer needs them; others follow.
const ORDER: [&str; 26] = [
    "Passes",
    "Scans",
    "Contacts",
    "Events",
    "Projects",
    "Templates",
    "Publications",
    "Images",
    "Connectors",
    "Sources",
    "Flows",
    "Mappings",
    "Transformations",
    "Batches",
    "Syncs",
    "Webhooks",
    "Destinations",
    "Deliveries",
    "Inspectors",
    "Doctor",
    "Signers",
    "Google accounts",
    "Phone logs",
    "API keys",
    "Organizations",
    "Audit",
];
/// How deep schemas are unfolded.
const MAX_DEPTH: usize = 6;

/// The page and its two files.
pub(crate) fn routes(document: &Value) -> Router<Arc<App>> {
    let page: Arc<str> = page(document).into_string().into();
    Router::new()
        .route(
            "/docs",
            get(async move || ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.to_string()).into_response()),
        )
        .route("/docs/docs.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .route("/docs/docs.js", get(async || ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)))
}

struct Operation<'d> {
    method: &'d str,
    path: &'d str,
    body: &'d Value,
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        format!("{}-{}", self.method, self.path.trim_start_matches("/v1/").chars().map(plain).collect::<String>())
    }
    fn tag(&self) -> &str {
        self.body["tags"][0].as_str().unwrap_or("Other")
    }
}

fn page(document: &Value) -> Markup {
    let groups = groups(document);
    let body = html! {
        a.skip href="#main" { "Skip to content" }
        nav aria-label="Operations" {
            p.brand { "Passbridge " span { "API" } }
            input #search type="search" placeholder="Search operations" aria-label="Search operations" hidden;
            p #nothing hidden { "Nothing of that name." }
            ul { li { a href="#start" { "Getting started" } } li { a href="#problems" { "Problems" } } }
            @for (tag, operations) in &groups {
                section.group {
                    h2 { (tag) }
                    ul { @for operation in operations { (entry(operation)) } }
                }
            }
            p.foot { a href="/v1/openapi.json" { "OpenAPI document" } }
        }
        main #main {
            (start(document))
            @for (tag, operations) in &groups {
                section { h1 { (tag) } @for operation in operations { (details(document, operation)) } }
            }
            (problems())
        }
    };
    html_document("Passbridge API", &["/docs/docs.css"], &["/docs/docs.js"], &body)
}

fn groups(document: &Value) -> Vec<(String, Vec<Operation<'_>>)> {
    let mut groups: Vec<(String, Vec<Operation<'_>>)> = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, body) in methods.as_object().into_iter().flatten() {
            let operation = Operation { method, path, body };
            match groups.iter_mut().find(|(tag, _)| tag == operation.tag()) {
                Some((_, list)) => list.push(operation),
                None => groups.push((operation.tag().to_owned(), vec![operation])),
            }
        }
    }
    groups.sort_by_key(|(tag, _)| ORDER.iter().position(|known| known == tag).unwrap_or(ORDER.len()));
    groups
}

fn entry(operation: &Operation<'_>) -> Markup {
    let summary = operation.body["summary"].as_str().unwrap_or(operation.path).trim_end_matches('.');
    html! {
        li data-find={ (operation.method) " " (operation.path) " " (summary) } {
            a href={ "#" (operation.anchor()) } { span.method.(operation.method) { (operation.method) } span { (summary) } }
        }
    }
}

fn start(document: &Value) -> Markup {
    let info = &document["info"];
    html! {
        section #start {
            h1 { "Passbridge API" }
            @for paragraph in info["description"].as_str().unwrap_or_default().split("\n\n") { p { (code(paragraph)) } }
            h2 { "A first pass" }
            pre { code {
    "curl $SERVER/v1/passes \\\n  -H 'Authorization: Bearer pbk_...' \\\n  -H 'Content-Type: application/json' \\\n  -H 'Idempotency-Key: order-1001' \\\n  -d '{\"project\": \"...\", \"external_id\": \"card-1001\", \"contact\": {\"email\": \"ada@example.com\"}}'"
            } }
        }
    }
}

fn details(document: &Value, operation: &Operation<'_>) -> Markup {
    let body = operation.body;
    let scopes: Vec<&str> = body["security"][0]["key"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let parameters: Vec<&Value> = body["parameters"].as_array().into_iter().flatten().collect();
    html! {
        article id=(operation.anchor()) {
            h2 { (body["summary"].as_str().unwrap_or_default().trim_end_matches('.')) }
            p.path { span.method.(operation.method) { (operation.method) } " " code { (operation.path) } }
            @if let Some(text) = body["description"].as_str() { @for paragraph in text.split("\n\n") { p { (code(paragraph)) } } }
            p.scope { "Scope: " @for scope in &scopes { code { (scope) } " " } }
            @if !parameters.is_empty() {
                h3 { "Parameters" }
                dl { @for parameter in parameters { (field(
                    parameter["name"].as_str().unwrap_or_default(), &parameter["schema"], document,
                    parameter["required"].as_bool().unwrap_or(false), parameter["description"].as_str(), MAX_DEPTH,
                    parameter["in"].as_str())) } }
            }
            @for (media, content) in body["requestBody"]["content"].as_object().into_iter().flatten() {
                h3 { "Body " code { (media) } }
                (shape(document, &content["schema"], 0))
            }
            h3 { "Answers" }
            @for (status, answer) in body["responses"].as_object().into_iter().flatten() { (response(document, status, answer)) }
        }
    }
}

fn response(document: &Value, status: &str, answer: &Value) -> Markup {
    let description = answer["description"].as_str().unwrap_or_default();
    let schema = answer["content"]["application/json"].get("schema");
    html! {
        @if let Some(schema) = schema.filter(|_| status.starts_with('2')) {
            details {
                summary { span.status { (status) } " " (code(description)) }
                (shape(document, schema, 0))
            }
        } @else {
            p.answer { span.status.bad[!status.starts_with('2')] { (status) } " " (code(description)) }
        }
    }
}

fn resolve<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

/// The fields of an object, or what else it is.
fn shape(document: &Value, schema: &Value, depth: usize) -> Markup {
    let resolved = resolve(document, schema);
    let inner = [&resolved["items"], &resolved["additionalProperties"]].into_iter().find(|inner| inner.is_object());
    let choice =
        resolved["oneOf"].as_array().into_iter().flatten().find(|choice| resolve(document, choice)["properties"].is_object());
    html! {
        @if depth < MAX_DEPTH {
            @if let Some(properties) = resolved["properties"].as_object() {
                dl {
                    @for (name, property) in properties {
                        @let required = resolved["required"].as_array().is_some_and(|list| list.iter().any(|it| it == name));
                        (field(name, property, document, required, None, depth, None))
                    }
                }
            } @else if let Some(inner) = inner { (shape(document, inner, depth + 1)) }
            @else if let Some(choice) = choice { (shape(document, choice, depth + 1)) }
        }
    }
}

fn field(
    name: &str,
    schema: &Value,
    document: &Value,
    required: bool,
    description: Option<&str>,
    depth: usize,
    place: Option<&str>,
) -> Markup {
    let own = schema["description"].as_str().or_else(|| resolve(document, schema)["description"].as_str());
    html! {
        dt {
            code { (name) } " "
            span.type { (type_of(document, schema, 0)) }
            @if let Some(place) = place { span.type { ", " (place) } }
            @if required { span.required { "required" } }
        }
        dd {
            @if let Some(text) = description.or(own) { p { (code(text)) } }
            @if depth + 1 < MAX_DEPTH { (shape(document, schema, depth + 1)) }
        }
    }
}

fn type_of(document: &Value, schema: &Value, depth: usize) -> String {
    let resolved = resolve(document, schema);
    if depth > MAX_DEPTH {
        return "object".to_owned();
    }
    if let Some(names) = resolved["enum"].as_array() {
        return names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ");
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = resolved[key].as_array() {
            let mut names: Vec<String> = choices.iter().map(|choice| type_of(document, choice, depth + 1)).collect();
            names.dedup();
            return names.join(" | ");
        }
    }
    let plain = match &resolved["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | "),
        _ => "any".to_owned(),
    };
    match (plain.as_str(), resolved["format"].as_str()) {
        ("array", _) => format!("list of {}", type_of(document, &resolved["items"], depth + 1)),
        ("string", Some("date-time")) => "time".to_owned(),
        _ => plain,
    }
}

fn problems() -> Markup {
    html! {
        section #problems {
            h1 { "Problems" }
            p { "Errors are " code { "application/problem+json" } ". Programs look at " code { "code" } "." }
            dl {
                @for (code, status, title) in problem::KINDS {
                    dt id={ "problem-" (code) } { code { (code) } " " span.status.bad { (status) } }
                    dd { p { (title) "." } }
                }
            }
        }
    }
}

/// Text in which backticks mark code.
fn code(text: &str) -> Markup {
    let parts = text.split('`').enumerate().map(|(index, part)| {
        if index % 2 == 1 {
            html! { code { (part) } }
        } else {
            html! { (part) }
        }
    });
    PreEscaped(parts.map(PreEscaped::into_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_operation_and_loads_nothing_foreign() {
        let document = crate::openapi();
        let page = page(&document).into_string();
        let mut count = 0;
        for (_, operations) in groups(&document) {
            for operation in operations {
                assert!(page.contains(&format!("id=\"{}\"", operation.anchor())), "{} {}", operation.method, operation.path);
                count += 1;
            }
        }
        assert!(count > 50, "{count}");
        let groups = groups(&document);
        assert_eq!(groups.iter().map(|(tag, _)| tag.as_str()).collect::<Vec<_>>(), ORDER);
        for text in [&page, STYLE, SCRIPT] {
            assert!(!text.contains("src=\"http") && !text.contains("href=\"http") && !text.contains("url("));
        }
        assert_eq!(code("a `b` <c>").into_string(), "a <code>b</code> &lt;c&gt;");
    }
}
