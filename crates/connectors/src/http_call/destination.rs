//! One request an event: method, address, headers and body from templates.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::{EventKind, Target, Timestamp};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use serde_json::Value;

use super::settings::{BODY, CONTENT_TYPE, METHOD};
use crate::kit::{Credentials, Owed, Request, Secrets, Sending, SettingProblem, headers, settings, template, vendor, webhook};

const JSON: &str = "application/json";

/// Every event can be told.
pub(super) const fn wants(_: EventKind) -> bool {
    true
}

pub(super) fn check(target: &Target, _: &Credentials) -> Result<(), SettingProblem> {
    template::check(&target.url).map_err(|problem| vendor::problem("url", problem))?;
    if origin(&target.url).is_none() {
        return Err(vendor::problem("url", "scheme and host cannot come from a template: begin with https://host/"));
    }
    if let Some(body) = settings::text(&target.settings, BODY.name) {
        template::check(body).map_err(|problem| vendor::problem(BODY.name, problem))?;
    }
    if HeaderValue::from_str(vendor::text(target, CONTENT_TYPE.name, JSON)).is_err() {
        return Err(vendor::problem(CONTENT_TYPE.name, "expected a media type, for example application/json"));
    }
    if let Some(name) = [BODY.name, CONTENT_TYPE.name].into_iter().find(|name| target.settings.contains_key(*name))
        && target.payload.is_some()
    {
        return Err(vendor::problem(name, "`payload` makes the body and says what it is: leave one of the two out"));
    }
    for (name, value) in &target.headers {
        template::check(value).map_err(|problem| vendor::problem(&format!("headers.{name}"), problem))?;
    }
    Ok(())
}

/// Scheme and host of an address, where no template is in them.
fn origin(url: &str) -> Option<&str> {
    let host = url.find("://")? + 3;
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    let origin = &url[..end];
    (end > host && !origin.contains(['{', '}'])).then_some(origin)
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, now: Timestamp) -> Vec<Sending> {
    let one = |(event, owed): (usize, &Owed<'_>)| match request(owed, target, secrets, now) {
        Ok(request) => request.map(|request| Sending::of_one(request, event)),
        Err(why) => Some(Sending::never(why, event)),
    };
    owed.iter().enumerate().filter_map(one).collect()
}

fn request(owed: &Owed<'_>, target: &Target, secrets: &Secrets, now: Timestamp) -> Result<Option<Request>, String> {
    let values = vendor::told(owed.event, owed.public_url);
    let bare = [Method::GET, Method::DELETE].contains(&method(target)?);
    let media = vendor::text(target, CONTENT_TYPE.name, JSON);
    let body = match settings::text(&target.settings, BODY.name) {
        Some(text) => match template::render(text, &values).map_err(|why| format!("its body: {why}"))? {
            body if body.trim().is_empty() => return Ok(None),
            body => body,
        },
        None if bare => String::new(),
        None => values.to_string(),
    };
    if media == JSON && !body.is_empty() && serde_json::from_str::<serde::de::IgnoredAny>(&body).is_err() {
        return Err("its body is no JSON: put values into the template by `| tojson`".to_owned());
    }
    whole(owed, target, secrets, now, (media, Bytes::from(body)), &values).map(Some)
}

/// A request with a body that its owner made.
pub(super) fn around(
    owed: &Owed<'_>,
    target: &Target,
    secrets: &Secrets,
    now: Timestamp,
    media: &'static str,
    body: Bytes,
) -> Result<Request, String> {
    whole(owed, target, secrets, now, (media, body), &vendor::told(owed.event, owed.public_url))
}

fn method(target: &Target) -> Result<Method, String> {
    vendor::text(target, METHOD.name, "POST").parse().map_err(|_| "no such method".to_owned())
}

/// The request around a body.
fn whole(
    owed: &Owed<'_>,
    target: &Target,
    secrets: &Secrets,
    now: Timestamp,
    (media, body): (&str, Bytes),
    values: &Value,
) -> Result<Request, String> {
    let (method, url) = (method(target)?, address(&target.url, values)?);
    let mut all = HeaderMap::with_capacity(8 + target.headers.len());
    all.insert(header::USER_AGENT, webhook::AGENT);
    if !body.is_empty() {
        all.insert(header::CONTENT_TYPE, HeaderValue::from_str(media).map_err(|_| "its media type is none".to_owned())?);
    }
    webhook::sign(&mut all, owed, target, secrets, now, &body).ok_or("it cannot be signed")?;
    let mut own = BTreeMap::new();
    for (name, value) in &target.headers {
        own.insert(name.clone(), template::render(value, values).map_err(|why| format!("its header {name}: {why}"))?);
    }
    headers::add(&mut all, &own);
    Ok(Request { method, url, headers: all, body })
}

/// The address; its host stays the one that was configured.
fn address(text: &str, values: &Value) -> Result<String, String> {
    let url = template::render(text, values).map_err(|why| format!("its address: {why}"))?;
    let wrong = || "its address is none with this event: put values into the template by `| url`".to_owned();
    let parsed: Uri = url.parse().map_err(|_| wrong())?;
    let configured: Uri = origin(text).and_then(|origin| origin.parse().ok()).ok_or_else(wrong)?;
    if parsed.authority() == configured.authority() && parsed.scheme() == configured.scheme() { Ok(url) } else { Err(wrong()) }
}
