//! What the webhooks of every shape have in common: the headers around a body, and its signatures.

use bytes::Bytes;
use domain::{EventKind, Target, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{Owed, Pace, Request, Secrets, Sending, Sent, Setting, Takes, Verdict, headers, retry, settings, signature};
use crate::catalog::Destination;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
pub(crate) const AGENT: HeaderValue = HeaderValue::from_static(concat!("Passbridge/", env!("CARGO_PKG_VERSION")));

/// An event in a vendor's words.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) method: Method,
    pub(crate) media: &'static str,
    /// The vendor's own headers.
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
}

impl Told {
    /// A JSON body, sent by POST.
    pub(crate) fn json(body: &impl serde::Serialize) -> Option<Self> {
        Some(Self::of(serde_json::to_vec(body).ok()?.into()))
    }
    /// A JSON body that is the same for every target of a shape.
    pub(crate) fn same<B: serde::Serialize>(
        owed: &Owed<'_>,
        shape: &'static str,
        body: impl FnOnce() -> Option<B>,
    ) -> Option<Self> {
        owed.body(shape, || Some(serde_json::to_vec(&body()?).ok()?.into())).map(Self::of)
    }
    fn of(body: Bytes) -> Self {
        Self { method: Method::POST, media: "application/json", headers: Vec::new(), body }
    }
    /// With one header more.
    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }
}

/// The settings that webhooks of every shape have.
macro_rules! settings_with {
    ($($own:expr),* $(,)?) => {
        $crate::kit::webhook::settings_with!($crate::kit::webhook::PACE, $crate::kit::webhook::SWITCH_OFF; $($own),*)
    };
    // Of a shape with limits of its vendor's.
    ($pace:expr, $switch_off:expr; $($own:expr),* $(,)?) => {
        &[
            $crate::kit::webhook::URL,
            $crate::kit::webhook::PROJECT,
            $crate::kit::webhook::WALLET,
            $crate::kit::webhook::TEMPLATES,
            $crate::kit::webhook::EVENTS,
            $crate::kit::webhook::FILTER,
            $crate::kit::webhook::HEADERS,
            $crate::kit::webhook::AUTH,
            $crate::kit::webhook::CERTIFICATE,
            $pace,
            $switch_off,
            $crate::kit::webhook::EGRESS,
            $($own,)*
            $crate::kit::webhook::WITHOUT_STANDARD_HEADERS,
        ]
    };
}
pub(crate) use settings_with;

const fn own(name: &'static str, value: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting { name, value, takes: Takes::Own, default, about }
}

pub(crate) const URL: Setting = own("url", "URL", "required", "Where to send.");
pub(crate) const PROJECT: Setting = own("project", "project id", "all projects", "Only events of this project.");
pub(crate) const WALLET: Setting = own(
    "wallet",
    "`apple` or `google`",
    "both",
    "Only events of installations in this wallet, and of passes that it holds at the time.",
);
pub(crate) const TEMPLATES: Setting =
    own("templates", "list of template ids", "all templates", "Only events of passes of these templates, at most 50.");
pub(crate) const EVENTS: Setting =
    own("events", "list of event types", "all that the shape has a name for", "Which events are sent.");
pub(crate) const FILTER: Setting = own(
    "filter",
    "condition",
    "none",
    "Only events for which it holds, in the language of flows' conditions: `properties.pass.fields.tier = \"gold\"`. The event is in our own shape, its `data` are the `properties`.",
);
/// Only of shapes without a signature of the vendor's over the body.
pub(crate) const PAYLOAD: Setting = own(
    "payload",
    "`template`, `mapping` or `transformation`",
    "the shape's own body",
    "What makes the body of the event in our own shape: a text with placeholders, JSON with mapping directives, or a transformation. Signed as it is sent.",
);
pub(crate) const HEADERS: Setting = own(
    "headers",
    "names and values",
    "none",
    "Headers to add, for example a token of the receiver. At most 32 and 8 KiB; those of the connection and ours are refused.",
);
pub(crate) const AUTH: Setting = own(
    "auth",
    "`basic`, `bearer` or `oauth2`",
    "none",
    "How we prove who we are beside the signature: user and password, a token, or a token that is got by OAuth 2.0 client credentials. Kept sealed.",
);
pub(crate) const CERTIFICATE: Setting = own(
    "certificate",
    "`chain` and `private_key` in PEM",
    "none",
    "The certificate that we show where the receiver asks for one (mutual TLS). Kept sealed.",
);
pub(crate) const PACE: Setting = own(
    "pace",
    "`per_second`, `concurrency`, `timeout_seconds`, `in_order`",
    "no limit, 8, 15, false",
    "Most requests in a second and at once, seconds for one, and whether events of a pass wait for earlier ones.",
);
/// Where a request has thirty seconds.
pub(crate) const PACE_OF_30: Setting = Setting { default: "no limit, 8, 30, false", ..PACE };
/// Of streams, which are sent one batch after another in the order of each pass.
pub(crate) const PACE_OF_STREAM: Setting = own(
    "pace",
    "`per_second`, `timeout_seconds`",
    "no limit, 15",
    "Most events in a second, and seconds for one batch. Batches go one after another, and events of a pass always wait for earlier ones.",
);
pub(crate) const SWITCH_OFF: Setting = own(
    "switch_off",
    "`after_failures`, `after_hours`",
    "never, 120",
    "After how many deliveries that were given up one after another, or how many hours in which it took nothing, it is switched off.",
);
/// Where five deliveries that were given up are enough.
pub(crate) const SWITCH_OFF_AFTER_5: Setting = Setting { default: "5, 120", ..SWITCH_OFF };
pub(crate) const EGRESS: Setting = own(
    "egress",
    "name",
    "the server's own",
    "By which of the ways out that the operator configured (`[egress.NAME]`) it is sent to, for receivers that let in known addresses alone.",
);
pub(crate) const BACKFILL: Setting = own(
    "backfill_every_hours",
    "1 to 8760",
    "when somebody asks for it",
    "How often all contacts are compared with what it was told of them last, and told anew where that is something else. What was \
     changed there since is not seen: `backfill_everything` tells of everybody.",
);
/// Where what it holds can be read.
pub(crate) const BACKFILL_OF_HELD: Setting = Setting {
    about: "How often what it holds of all contacts is read and compared with the truth, and repaired where it is something else, also \
            where somebody changed it there.",
    ..BACKFILL
};
pub(crate) const BACKFILL_EVERYTHING: Setting = own(
    "backfill_everything",
    "true or false",
    "false",
    "Whether `backfill_every_hours` tells of everybody anew, whatever it was told last or holds.",
);
pub(crate) const WITHOUT_STANDARD_HEADERS: Setting = own(
    "without_standard_headers",
    "true or false",
    "false",
    "Leave out `webhook-id`, `webhook-timestamp` and `webhook-signature`.",
);

/// The requests that tell events one by one; those that `tell` has no words for are left out. Only the time and the signatures
/// differ from one attempt to the next.
pub(crate) fn render(
    owed: &[Owed<'_>],
    target: &Target,
    secrets: &Secrets,
    attempt_at: Timestamp,
    tell: impl Fn(&Owed<'_>) -> Option<Told>,
) -> Vec<Sending> {
    let one = |(index, owed): (usize, &Owed<'_>)| {
        let request = request(owed, tell(owed)?, target, secrets, attempt_at)?;
        Some(Sending::of_one(request, index))
    };
    owed.iter().enumerate().filter_map(one).collect()
}

/// The request that tells an event by a body that was made elsewhere; it is signed like any other.
pub fn made(
    owed: &Owed<'_>,
    target: &Target,
    secrets: &Secrets,
    attempt_at: Timestamp,
    media: &'static str,
    body: Bytes,
) -> Option<Request> {
    let told = Told { method: Method::POST, media, headers: Vec::new(), body };
    request(owed, told, target, secrets, attempt_at)
}

fn request(owed: &Owed<'_>, told: Told, target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Option<Request> {
    let mut all = HeaderMap::with_capacity(8 + told.headers.len() + target.headers.len());
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static(told.media));
    all.insert(header::USER_AGENT, AGENT);
    for (name, value) in told.headers {
        all.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    sign(&mut all, owed, target, secrets, attempt_at, &told.body)?;
    headers::add(&mut all, &target.headers);
    Some(Request { method: told.method, url: target.url.clone(), headers: all, body: told.body })
}

/// Adds the headers of Standard Webhooks, unless the target is without them.
pub(crate) fn sign(
    all: &mut HeaderMap,
    owed: &Owed<'_>,
    target: &Target,
    secrets: &Secrets,
    attempt_at: Timestamp,
    body: &Bytes,
) -> Option<()> {
    if target.without_standard_headers {
        return Some(());
    }
    let id = owed.delivery.to_string();
    let signed = match settings::text(&target.settings, "signature") {
        Some("ed25519") => signature::standard_ed25519(secrets, &id, attempt_at, body)?,
        _ => signature::standard(secrets, &id, attempt_at, body),
    };
    all.insert(SIGNATURE, HeaderValue::from_str(&signed).ok()?);
    all.insert(TIMESTAMP, HeaderValue::from(attempt_at.as_seconds()));
    all.insert(ID, HeaderValue::from_str(&id).ok()?);
    Some(())
}

/// What a reply means to each of the events: [`super::judge`].
pub(crate) fn judge(sent: &Sent<'_>) -> Verdict {
    sent.all(super::judge(sent.reply, sent.now))
}

/// The functions of a shape of webhook, retried as Standard Webhooks says.
pub(crate) const fn shape(
    wants: fn(EventKind) -> bool,
    render: fn(&[Owed<'_>], &Target, &Secrets, Timestamp) -> Vec<Sending>,
) -> Destination {
    Destination { wants, render, judge, profile: retry::Profile::STANDARD, pace: Pace::SINGLE, vendor: None }
}
