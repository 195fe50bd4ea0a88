//! One message a request, its body from a template.

use bytes::Bytes;
use domain::{FieldValue, MessageFault, Target, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::json;

use super::settings::{BODY, CONTENT_TYPE, KNOWS_AGAIN};
pub(super) use crate::kit::sms::wants;
use crate::kit::{
    Came, Credentials, Owed, Reply, Request, Secrets, Sending, Sent, SettingProblem, Verdict, head, headers, message, sms,
    template, vendor, webhook,
};

const JSON: &str = "application/json";
const DEFAULT_BODY: &str = "{\"id\":{{ id | tojson }},\"to\":{{ to | tojson }},\"text\":{{ text | tojson }}}";
/// The header by which services know a request again.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Most bytes of the service's words that are kept.
const MAX_SAID_BYTES: usize = 500;

pub(super) fn check(target: &Target, _: &Credentials) -> Result<(), SettingProblem> {
    if target.url.is_empty() || target.url.contains("{{") {
        return Err(vendor::problem("url", "expected an address without placeholders"));
    }
    if HeaderValue::from_str(vendor::text(target, CONTENT_TYPE.name, JSON)).is_err() {
        return Err(vendor::problem(CONTENT_TYPE.name, "expected a media type, for example application/json"));
    }
    template::check(vendor::text(target, BODY.name, DEFAULT_BODY)).map_err(|problem| vendor::problem(BODY.name, problem))?;
    sms::check(target)
}

/// Whether a repetition does no harm.
pub(super) fn knows_again(target: &Target) -> bool {
    target.settings.get(KNOWS_AGAIN.name) == Some(&FieldValue::Flag(true))
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, _: &Secrets, _: Timestamp) -> Vec<Sending> {
    let one = |(number, owed): (usize, &Owed<'_>)| {
        let to = sms::to(owed.event)?;
        Some(match request(owed, to, target) {
            Ok(request) => Sending::of_one(request, number),
            Err(why) => Sending::never(why, number),
        })
    };
    owed.iter().enumerate().filter_map(one).collect()
}

fn request(owed: &Owed<'_>, to: &str, target: &Target) -> Result<Request, String> {
    let id = owed.delivery.to_string();
    let values = json!({ "id": id, "to": to, "text": sms::text(owed, target)? });
    let body =
        template::render(vendor::text(target, BODY.name, DEFAULT_BODY), &values).map_err(|why| format!("its body: {why}"))?;
    let media = vendor::text(target, CONTENT_TYPE.name, JSON);
    if media == JSON && serde_json::from_str::<serde::de::IgnoredAny>(&body).is_err() {
        return Err("its body is no JSON: put values into the template by `| tojson`".to_owned());
    }
    let mut all = HeaderMap::with_capacity(4 + target.headers.len());
    all.insert(header::CONTENT_TYPE, HeaderValue::from_str(media).map_err(|_| "its media type is none")?);
    all.insert(header::USER_AGENT, webhook::AGENT);
    all.insert(KEY, HeaderValue::from_str(&id).map_err(|_| "its id is none")?);
    headers::add(&mut all, &target.headers);
    Ok(Request { method: Method::POST, url: target.url.clone(), headers: all, body: Bytes::from(body) })
}

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    message::judged(sent, read)
}

/// 429 was never processed (RFC 6585), a login that is not taken can be mended; a redirect sent nothing. Of 5xx nobody knows.
pub(super) fn read(sent: &Sent<'_>) -> Came {
    let Some(reply) = sent.reply else { return Came::Unknown { said: "no answer came".to_owned() } };
    match reply.status {
        200..=299 => Came::Sent { server_id: named(reply) },
        300..=399 | 401 | 403 | 407 | 425 | 429 => Came::Later,
        400..=499 => Came::Never { reason: MessageFault::Refused, said: said(reply) },
        status => Came::Unknown { said: format!("the service answered {status} {}", said(reply)).trim().to_owned() },
    }
}

fn said(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(&reply.body);
    head(text.trim(), MAX_SAID_BYTES).to_owned()
}

/// What the service calls the message, where it answers with JSON that says so.
fn named(reply: &Reply) -> Option<String> {
    let body = vendor::body(reply);
    let id = ["id", "message_id", "messageId", "sid"].into_iter().find_map(|name| body[name].as_str())?;
    Some(head(id, 64).to_owned())
}
