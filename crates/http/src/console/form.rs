//! Forms of the console: what was typed, and what was wrong with it, each beside its field.
//!
//! A field's name is the path of the value in the API's body (`contact.email`), so that the errors of a problem find their
//! field by themselves.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::BytesMut;
use domain::Timestamp;
use http::{StatusCode, header};
use maud::{Markup, html};
use multer::{Constraints, Multipart, SizeLimit};
use serde_json::Value;

use super::ask::{Ask, Fault};
use crate::{App, extract::read_body};

/// Most bytes of a form without a file: what the API takes as JSON is written longer in a form.
const MAX_FORM_BYTES: usize = 4 << 20;
/// Most fields of a form.
const MAX_FIELDS: usize = 2_000;
/// What a form's own name is called; see [`Sheet::once`].
const ONCE: &str = "once";
/// What the version that a form was made from is called; see [`Sheet::version`].
const VERSION: &str = "if-match";
/// What the API says of a version that is not the last.
const CONFLICT: &str = "version_conflict";

/// A form as it was sent, or as it is to be filled in.
#[derive(Debug, Clone, Default)]
pub(super) struct Sheet {
    values: Vec<(String, String)>,
    fault: Option<Fault>,
    /// The page that shows what somebody else made of it meanwhile.
    overtaken: Option<String>,
}

/// A form that was sent as `application/x-www-form-urlencoded`.
pub(super) struct Sent(pub(super) Sheet);

impl FromRequest<Arc<App>> for Sent {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Fault> {
        let refused = |status, detail: String| Fault::new(status, "Form not readable", detail);
        let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !media.starts_with("application/x-www-form-urlencoded") {
            return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "A form was expected.".to_owned()));
        }
        let bytes = read_body(request, MAX_FORM_BYTES).await.map_err(|problem| refused(problem.status(), problem.to_string()))?;
        let values: Result<Vec<(String, String)>, _> = serde_urlencoded::from_bytes(&bytes);
        let values = values.map_err(|error| refused(StatusCode::BAD_REQUEST, error.to_string()))?;
        if values.len() > MAX_FIELDS {
            return Err(refused(StatusCode::BAD_REQUEST, format!("More than {MAX_FIELDS} fields.")));
        }
        Ok(Self(Sheet::of(values)))
    }
}

/// A form with a file, sent as `multipart/form-data`: the fields that stand before the file, then the file as it comes.
pub(super) struct Upload {
    /// The other fields.
    pub(super) sheet: Sheet,
    /// Its bytes as they arrive. To be read to its end or dropped.
    pub(super) file: Body,
}

impl Upload {
    /// Reads up to the file.
    ///
    /// # Errors
    /// When it is no such form, or has no file.
    pub(super) async fn read(request: Request) -> Result<Self, Fault> {
        let refused = |detail: String| Fault::new(StatusCode::BAD_REQUEST, "Form not readable", detail);
        let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(media).map_err(|error| refused(error.to_string()))?;
        let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(u64::MAX));
        let mut parts = Multipart::with_constraints(request.into_body().into_data_stream(), boundary, limits);
        let mut values = Vec::new();
        let mut length = 0;
        while let Some(mut part) = parts.next_field().await.map_err(|error| refused(error.to_string()))? {
            if part.file_name().is_some() {
                return Ok(Self { sheet: Sheet::of(values), file: Body::from_stream(part) });
            }
            let (name, mut value) = (part.name().unwrap_or_default().to_owned(), BytesMut::new());
            while let Some(piece) = part.chunk().await.map_err(|error| refused(error.to_string()))? {
                length += piece.len();
                if length > MAX_FORM_BYTES {
                    return Err(refused(format!("The fields before the file are longer than {MAX_FORM_BYTES} bytes.")));
                }
                value.extend_from_slice(&piece);
            }
            values.push((name, String::from_utf8_lossy(&value).into_owned()));
            if values.len() > MAX_FIELDS {
                return Err(refused(format!("More than {MAX_FIELDS} fields.")));
            }
        }
        Err(refused("There is no file in it.".to_owned()))
    }
}

/// How a field is filled in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'k> {
    /// One line, of an HTML input type such as `text`, `number`, `url`, `password` or `datetime-local`.
    Line(&'k str),
    /// Several lines, so many of them shown.
    Lines(u8),
    /// One of several: value and words.
    Choice(&'k [(&'k str, &'k str)]),
    /// Yes or no; sent as `true` or not at all.
    Tick,
}

/// A field of a form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'f> {
    /// The path of the value in the API's body.
    pub(super) name: &'f str,
    /// What people call it.
    pub(super) label: &'f str,
    /// How it is filled in.
    pub(super) kind: Kind<'f>,
    /// What helps to fill it in; empty for nothing.
    pub(super) hint: &'f str,
    /// Whether the form cannot be sent without it.
    pub(super) required: bool,
}

impl<'f> Field<'f> {
    /// A line of text that may stay empty.
    pub(super) const fn line(name: &'f str, label: &'f str) -> Self {
        Self { name, label, kind: Kind::Line("text"), hint: "", required: false }
    }
    /// Of another kind.
    pub(super) const fn kind(self, kind: Kind<'f>) -> Self {
        Self { kind, ..self }
    }
    /// With a hint.
    pub(super) const fn hint(self, hint: &'f str) -> Self {
        Self { hint, ..self }
    }
    /// That cannot stay empty.
    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

impl Sheet {
    /// With these values.
    pub(super) fn of(values: Vec<(String, String)>) -> Self {
        Self { values, fault: None, overtaken: None }
    }

    /// The same, with what was wrong with it.
    pub(super) fn refused(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// The same, with why the API did not take it. Where somebody else was faster, what was typed stays, and when it is sent
    /// again it is meant for what there is now at this address; `page` shows that.
    pub(super) async fn refused_by(self, ask: &Ask, fault: Fault, api: &str, page: &str) -> Self {
        if fault.code != CONFLICT {
            return self.refused(fault);
        }
        match ask.get_version(api).await {
            Ok((_, version)) => Self { fault: Some(fault), overtaken: Some(page.to_owned()), ..self.with_version(version) },
            Err(gone) => self.refused(gone),
        }
    }

    /// With the version that it is made from, where the API gave one.
    pub(super) fn with_version(self, version: String) -> Self {
        self.with(VERSION, version)
    }

    /// With another value of a field.
    pub(super) fn with(mut self, name: &str, value: String) -> Self {
        self.values.retain(|(it, _)| it != name);
        self.values.push((name.to_owned(), value));
        self
    }

    /// The version that it was made from; empty where it was made from none.
    pub(super) fn version(&self) -> &str {
        self.value(VERSION)
    }

    /// The same, or `now` where it was made from none.
    pub(super) fn version_or<'v>(&'v self, now: &'v str) -> &'v str {
        if self.version().is_empty() { now } else { self.version() }
    }

    /// What was wrong with it.
    pub(super) const fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// The first value of a field; empty where there is none.
    pub(super) fn value(&self, name: &str) -> &str {
        self.values.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value)
    }

    /// All values of a field, such as of boxes that were ticked.
    pub(super) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.values.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Every field with its value, in the order of the form.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a box was ticked.
    pub(super) fn ticked(&self, name: &str) -> bool {
        self.value(name) == "true"
    }

    /// A moment of UTC, as a `datetime-local` field or RFC 3339 has it; null where none was given.
    ///
    /// # Errors
    /// When it is none, beside its field.
    pub(super) fn moment(&self, name: &str) -> Result<Value, Fault> {
        let typed = self.value(name).trim();
        if typed.is_empty() {
            return Ok(Value::Null);
        }
        let with = |end: &str| format!("{typed}{end}").parse::<Timestamp>().ok();
        let moment = ["", "Z", ":00Z"].into_iter().find_map(with);
        let moment = moment.ok_or_else(|| Fault::field(name, "expected a time such as 2026-11-22T06:00"))?;
        Ok(Value::String(moment.to_string()))
    }

    /// Sets a value, where none was given.
    pub(super) fn suggest(&mut self, name: &str, value: impl Into<String>) {
        if !self.values.iter().any(|(it, _)| it == name) {
            self.values.push((name.to_owned(), value.into()));
        }
    }

    /// The name under which what the form asks for happens once, as [`super::frame::Desk::once`] gave it.
    pub(super) fn once(&self) -> &str {
        self.value(ONCE)
    }

    /// What was wrong, above the form: the whole of it, with ways to the fields.
    pub(super) fn summary(&self) -> Markup {
        let Some(fault) = &self.fault else { return html! {} };
        if let Some(page) = &self.overtaken {
            return html! {
                div.faults role="alert" tabindex="-1" {
                    h2 { (fault.title) }
                    p {
                        "Somebody else changed this after you opened the form. Nothing was saved, and what you typed is still here. "
                        a href=(page) target="_blank" { "See how it is now" } ", then send the form again: it puts yours in its place."
                    }
                }
            };
        }
        html! {
            div.faults role="alert" tabindex="-1" {
                h2 { (fault.title) }
                @if fault.errors.is_empty() { p { (fault.detail) } } @else {
                    ul {
                        @for (path, message) in &fault.errors {
                            li { @if path.is_empty() { (message) } @else { a href={ "#f-" (path) } { code { (path) } ": " (message) } } }
                        }
                    }
                }
                @if let Some(request) = &fault.request_id { p.soft { "Request " code { (request) } } }
            }
        }
    }

    /// A field with what was typed and what was wrong with it.
    pub(super) fn field(&self, field: &Field<'_>) -> Markup {
        let Field { name, label, kind, hint, required } = *field;
        let (at, hint_at, fault_at) = (format!("f-{name}"), format!("f-{name}-hint"), format!("f-{name}-fault"));
        let faults: Vec<&str> = self.fault.iter().flat_map(|fault| fault.at(name)).collect();
        let invalid = (!faults.is_empty()).then_some("true");
        let described = [(!hint.is_empty()).then_some(hint_at.as_str()), invalid.map(|_| fault_at.as_str())];
        let described: Vec<&str> = described.into_iter().flatten().collect();
        let described = (!described.is_empty()).then(|| described.join(" "));
        // What is secret is not sent back.
        let value = if matches!(kind, Kind::Line("password")) { "" } else { self.value(name) };
        html! {
            div.field.ticked[matches!(kind, Kind::Tick)] {
                label for=(at) { (label) @if required { span.soft title="required" aria-hidden="true" { " *" } } }
                @match kind {
                    Kind::Line(of) => {
                        input id=(at) name=(name) type=(of) value=(value) required[required] step=[(of == "number").then_some("any")]
                            aria-invalid=[invalid] aria-describedby=[described] autocomplete="off";
                    }
                    Kind::Lines(rows) => {
                        textarea id=(at) name=(name) rows=(rows) required[required] spellcheck="false"
                            aria-invalid=[invalid] aria-describedby=[described] { (value) }
                    }
                    Kind::Choice(choices) => {
                        select id=(at) name=(name) required[required] aria-invalid=[invalid] aria-describedby=[described] {
                            @for (choice, says) in choices { option value=(choice) selected[*choice == value] { (says) } }
                        }
                    }
                    Kind::Tick => {
                        input id=(at) name=(name) type="checkbox" value="true" checked[self.ticked(name)]
                            aria-invalid=[invalid] aria-describedby=[described];
                    }
                }
                @if !hint.is_empty() { p.hint id=(hint_at) { (hint) } }
                @if invalid.is_some() { p.fault id=(fault_at) { @for fault in &faults { (fault) " " } } }
            }
        }
    }
}

/// The hidden field with the version that a form was made from.
pub(super) fn version(version: &str) -> Markup {
    html! { @if !version.is_empty() { input type="hidden" name=(VERSION) value=(version); } }
}

/// The hidden field that names a form, so that sending it twice does what it asks for once.
pub(super) fn once(name: &str) -> Markup {
    html! { input type="hidden" name=(ONCE) value=(name); }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_stand_beside_their_fields_and_values_stay() {
        let sheet = Sheet::of(vec![("url".to_owned(), "\"><script>".to_owned()), ("secret".to_owned(), "s3".to_owned())]);
        let sheet = sheet.refused(Fault::field("url", "must be https"));
        let shown = sheet.field(&Field::line("url", "Address").required()).into_string();
        assert!(shown.contains("must be https") && shown.contains("aria-invalid=\"true\""), "{shown}");
        assert!(shown.contains("&quot;&gt;&lt;script&gt;") && !shown.contains("<script>"), "{shown}");
        let other = sheet.field(&Field::line("name", "Name")).into_string();
        assert!(!other.contains("must be https"), "{other}");
        let secret = sheet.field(&Field::line("secret", "Secret").kind(Kind::Line("password"))).into_string();
        assert!(!secret.contains("s3"), "{secret}");
        assert!(sheet.summary().into_string().contains("href=\"#f-url\""));
    }

    #[tokio::test]
    async fn a_file_comes_after_its_fields() {
        let sent = |body: &str| {
            let request = Request::builder().header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
            request.body(Body::from(body.replace('\n', "\r\n"))).unwrap()
        };
        let form = "--x\nContent-Disposition: form-data; name=\"format\"\n\ncsv\n--x\nContent-Disposition: form-data; \
                    name=\"file\"; filename=\"a.csv\"\nContent-Type: text/csv\n\na,b\n1,2\n--x--\n";
        let upload = Upload::read(sent(form)).await.unwrap();
        assert_eq!(upload.sheet.value("format"), "csv");
        let bytes = axum::body::to_bytes(upload.file, 100).await.unwrap();
        assert_eq!(bytes, "a,b\r\n1,2");
        let none = Upload::read(sent("--x\nContent-Disposition: form-data; name=\"a\"\n\nb\n--x--\n")).await;
        assert_eq!(none.err().map(|fault| fault.status), Some(StatusCode::BAD_REQUEST));
    }
}
