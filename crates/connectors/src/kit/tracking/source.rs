//! Requests of the tracking protocol: who sent them, and which events are in them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::normal::{self, Problem, Shared};
use super::time;
use super::wire::{Call, MAX_BODY_BYTES, MAX_DECODED_BYTES, MAX_EVENTS, Words};
use crate::kit::json::{self, Object};
use crate::kit::{Answer, Arrival, Authentic, Decoded, Entrance, Fault, Inbound, WriteKey, head};

/// The byte order mark that some tools write before JSON.
const MARK: &str = "\u{feff}";

/// The write key that a request carries: the user name of HTTP Basic (a missing colon is forgiven), a Bearer token,
/// `X-Write-Key`, `?writeKey=`, or as Segment's SDKs do `writeKey` in the body.
pub fn credential(inbound: &Inbound) -> Option<WriteKey> {
    in_authorization(inbound.header("authorization").unwrap_or_default())
        .or_else(|| WriteKey::new(inbound.header("x-write-key")?.trim()))
        .or_else(|| WriteKey::new(inbound.parameter("writeKey")?))
        .or_else(|| in_body(&inbound.body))
}

fn in_authorization(header: &str) -> Option<WriteKey> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return WriteKey::new(rest);
    }
    if !scheme.eq_ignore_ascii_case("basic") || rest.len() > 2 * WriteKey::MAX_BYTES {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    WriteKey::new(pair.split_once(':').map_or(pair.as_str(), |(user, _)| user))
}

fn in_body(body: &[u8]) -> Option<WriteKey> {
    #[derive(Deserialize)]
    struct Keyed<'a> {
        #[serde(rename = "writeKey", borrow)]
        key: Cow<'a, str>,
    }
    if body.len() > MAX_BODY_BYTES {
        return None;
    }
    let body = body.strip_prefix(MARK.as_bytes()).unwrap_or(body);
    serde_json::from_slice::<Keyed<'_>>(body).ok().and_then(|found| WriteKey::new(&found.key))
}

/// The events of a request, in their normal form. Total: whatever cannot be read is a fault, and the answer says so.
///
/// The answer is 200 when any event is good; the bad ones are kept. When none is, an SDK is answered with a 4xx that names
/// the first fault. A webhook is answered 200 all the same, as its sender gives an event up for good at a 4xx and we have
/// kept it. A strict source answers one bad event with RudderStack's own 400 and takes none.
pub fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    let body = authentic.inbound().body.as_ref();
    let split = split(authentic.inbound());
    let (shared, items) = match split {
        Ok(split) => split,
        Err(problem) => return refuse_whole(authentic, body, problem, arrival.strict),
    };
    let mut events = Vec::with_capacity(items.len());
    let mut faults = Vec::new();
    let mut worst = None;
    let mut switched_off = 0;
    let mut bytes = 0;
    for (number, (place, text)) in items.iter().enumerate() {
        match normal::normalise(text, number, &shared, arrival) {
            Ok(Some(event)) => {
                bytes += event.payload.len();
                events.push(event);
            }
            Ok(None) => switched_off += 1,
            Err(problem) => {
                worst.get_or_insert(problem.words);
                faults.push(fault(authentic, *place, text, &problem));
            }
        }
        if bytes > MAX_DECODED_BYTES {
            let message = format!(
                "the events come to more than {MAX_DECODED_BYTES} bytes with their batch's context: send fewer per request"
            );
            return refuse_whole(authentic, body, Problem::new(Words::TooLarge, "batch", message), arrival.strict);
        }
    }
    let answer = match worst {
        Some(words) if arrival.strict => {
            events.clear();
            Answer { status: 400, text: words.text().to_owned() }
        }
        Some(words) if events.is_empty() && switched_off == 0 => answer_to(words, faults.first(), authentic.inbound().entrance),
        _ => Answer::ok(),
    };
    Decoded { events, faults, switched_off, answer }
}

/// Where an event stands in its request.
#[derive(Debug, Clone, Copy)]
enum Place {
    Whole,
    Item(usize),
    InBatch(usize),
}

impl Place {
    fn path(self, below: &str) -> String {
        let base = match self {
            Self::Whole => String::new(),
            Self::Item(number) => format!("[{number}]"),
            Self::InBatch(number) => format!("batch[{number}]"),
        };
        match (base.is_empty(), below.is_empty()) {
            (true, _) => below.to_owned(),
            (false, true) => base,
            (false, false) => format!("{base}.{below}"),
        }
    }
}

type Items<'a> = Vec<(Place, &'a str)>;

/// Takes a request apart into events, each still text.
fn split(inbound: &Inbound) -> Result<(Shared<'_>, Items<'_>), Problem> {
    let call = match inbound.entrance {
        Entrance::Webhook => None,
        Entrance::Api => Some(Call::from_path(&inbound.path).ok_or_else(|| {
            let message = "no such call: expected v1/ and identify, track, page, screen, group, alias or batch";
            Problem::new(Words::NoSuchPath, "", message)
        })?),
    };
    let text = text_of(&inbound.body)?;
    let mut shared = Shared {
        entrance: inbound.entrance,
        call: call.filter(|call| *call != Call::Batch),
        context: Object::default(),
        integrations: Object::default(),
        sent: None,
        bytes: 0,
    };
    let single = call.is_some_and(|call| call != Call::Batch);
    let items = match (text.as_bytes().first(), call) {
        (Some(b'['), None) => {
            let items = serde_json::from_str(text).map_err(|error| normal::unreadable(text, &error))?;
            enumerate(items, "", Place::Item)?
        }
        (Some(b'{'), _) if !single && (call.is_some() || is_batch(text)) => batch(text, &mut shared)?,
        (Some(b'{'), _) => vec![(Place::Whole, text)],
        _ => {
            serde_json::from_str::<&RawValue>(text).map_err(|error| normal::unreadable(text, &error))?;
            let expected = if call.is_none() { "an object or an array of objects" } else { "an object" };
            let message = format!("expected {expected}, found {}", json::kind(text).name());
            return Err(Problem::new(Words::NotAnEvent, "", message));
        }
    };
    Ok((shared, items))
}

/// The body as text without blanks around it, nor a byte order mark.
fn text_of(body: &[u8]) -> Result<&str, Problem> {
    if body.len() > MAX_BODY_BYTES {
        let message = format!("the request has {} bytes, more than {MAX_BODY_BYTES}: send fewer events with it", body.len());
        return Err(Problem::new(Words::TooLarge, "", message));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        Problem::new(Words::InvalidJson, "", format!("byte {} is not UTF-8: send JSON as UTF-8", error.valid_up_to()))
    })?;
    let text = text.strip_prefix(MARK).unwrap_or(text).trim_ascii();
    if text.is_empty() {
        return Err(Problem::new(Words::NoBody, "", "the body is empty: send JSON"));
    }
    Ok(text)
}

/// Whether an object at the webhook is a batch and no event: it has `batch` and no `type`.
fn is_batch(text: &str) -> bool {
    text.contains("\"batch\"")
        && Object::parse(text).is_ok_and(|object| object.given("type").is_none() && object.given("batch").is_some())
}

/// A batch call's body. Read in one go, as batches are the bulk of the traffic.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    batch: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    integrations: Option<&'a RawValue>,
    #[serde(borrow)]
    sent_at: Option<&'a RawValue>,
}

fn batch<'a>(text: &'a str, shared: &mut Shared<'a>) -> Result<Items<'a>, Problem> {
    let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|error| normal::unreadable(text, &error))?;
    for (key, given, slot) in
        [("context", envelope.context, &mut shared.context), ("integrations", envelope.integrations, &mut shared.integrations)]
    {
        if let Some(value) = given {
            check(value.get(), key)?;
            *slot = normal::member_object(Some(value.get()), key)?;
            shared.bytes += value.get().len();
        }
    }
    shared.sent = envelope.sent_at.and_then(|value| time::parse(value.get()));
    let items = envelope.batch.ok_or_else(|| Problem::new(Words::EmptyBatch, "batch", "expected an array of events in batch"))?;
    enumerate(items, "batch", Place::InBatch)
}

fn check(value: &str, key: &str) -> Result<(), Problem> {
    json::scan(value).map_err(|trouble| {
        let below = json::path_at(value, trouble.at);
        let path = if below.is_empty() { key.to_owned() } else { format!("{key}.{below}") };
        Problem::new(Words::InvalidJson, &path, trouble.kind.to_string())
    })
}

fn enumerate<'a>(raw: Vec<&'a RawValue>, path: &str, place: fn(usize) -> Place) -> Result<Items<'a>, Problem> {
    match raw.len() {
        0 => Err(Problem::new(Words::EmptyBatch, path, "the array has no events")),
        1..=MAX_EVENTS => Ok(raw.into_iter().enumerate().map(|(number, raw)| (place(number), raw.get())).collect()),
        count => {
            Err(Problem::new(Words::TooLarge, path, format!("{count} events in one request, at most {MAX_EVENTS}: send fewer")))
        }
    }
}

fn fault(authentic: &Authentic, place: Place, text: &str, problem: &Problem) -> Fault {
    Fault {
        path: place.path(&problem.path),
        message: problem.message.clone(),
        raw: authentic.blot(head(text, Fault::MAX_RAW_BYTES)),
    }
}

fn refuse_whole(authentic: &Authentic, body: &[u8], problem: Problem, strict: bool) -> Decoded {
    let kept = String::from_utf8_lossy(&body[..body.len().min(Fault::MAX_RAW_BYTES)]);
    let fault = Fault { raw: authentic.blot(&kept), path: problem.path, message: problem.message };
    let answer = if strict {
        Answer { status: problem.words.status(), text: problem.words.text().to_owned() }
    } else if problem.words == Words::TooLarge {
        // What is kept of it is its beginning.
        refusal(problem.words, Some(&fault))
    } else {
        answer_to(problem.words, Some(&fault), authentic.inbound().entrance)
    };
    Decoded { events: Vec::new(), faults: vec![fault], switched_off: 0, answer }
}

/// A webhook's sender gives up at a refusal; what is kept is kept.
fn answer_to(words: Words, fault: Option<&Fault>, entrance: Entrance) -> Answer {
    if let (Entrance::Webhook, Some(fault)) = (entrance, fault) {
        return Answer::parked(fault);
    }
    refusal(words, fault)
}

/// RudderStack's words, and where and what for those who read on.
fn refusal(words: Words, fault: Option<&Fault>) -> Answer {
    let detail = match fault {
        Some(Fault { path, message, .. }) if path.is_empty() => format!(": {message}"),
        Some(Fault { path, message, .. }) => format!(": {path}: {message}"),
        None => String::new(),
    };
    Answer { status: words.status(), text: format!("{}{detail}", words.text()) }
}
