//! Events as PassKit would send them, signed, and what a receiver's reply means.

use bytes::Bytes;
use domain::{Event, EventKind, Facts, Lifecycle, Target, Timestamp, UninstallName};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::record::record;
use super::wire::{Metadata, Payload, Person, Record, protocol};
use crate::kit::{Outcome, Owed, Reply, Request, Secrets, Sending, headers, json, signature};

const SIGNATURE: HeaderName = HeaderName::from_static("x-passkit-signature");
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const STANDARD_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("Passbridge/", env!("CARGO_PKG_VERSION")));

/// PassKit's events (`io.PassEventId`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Created,
    Installed,
    Updated,
    Uninstalled,
    Invalidated,
    Deleted,
}

/// Whether PassKit's shape has a word for a kind of event. It has none for what leaves the record as it is (a page that
/// was shown, a scan that was refused, a message), and none for contacts.
pub const fn wants(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::PassCreated
            | EventKind::PassInstalled
            | EventKind::PassUninstalled
            | EventKind::PassUpdated
            | EventKind::PassActivated
            | EventKind::PassScanned
            | EventKind::PassScanUndone
            | EventKind::PassExpired
            | EventKind::PassRevoked
            | EventKind::PassDeleted
    )
}

impl Word {
    fn of(event: &Event) -> Option<Self> {
        let spent = || event.image.pass.as_ref().is_some_and(|pass| matches!(pass.lifecycle, Lifecycle::Used { .. }));
        match event.facts {
            Facts::PassCreated => Some(Self::Created),
            Facts::PassInstalled { .. } => Some(Self::Installed),
            Facts::PassUninstalled { .. } => Some(Self::Uninstalled),
            Facts::PassScanned { .. } if spent() => Some(Self::Invalidated),
            Facts::PassUpdated { .. } | Facts::PassActivated | Facts::PassScanned { .. } | Facts::PassScanUndone { .. } => {
                Some(Self::Updated)
            }
            Facts::PassExpired | Facts::PassRevoked { .. } => Some(Self::Invalidated),
            Facts::PassDeleted => Some(Self::Deleted),
            Facts::PassRendered { .. }
            | Facts::PassScanRefused { .. }
            | Facts::ScanUnknown { .. }
            | Facts::PassNotified { .. }
            | Facts::PassMessageDropped { .. }
            | Facts::ContactCreated
            | Facts::ContactUpdated
            | Facts::ContactErased
            | Facts::ContactWalletStatusChanged { .. }
            | Facts::MessageRequested { .. }
            | Facts::MessageSent { .. }
            | Facts::MessageDelivered { .. }
            | Facts::MessageFailed { .. }
            | Facts::MessageUnknown { .. }
            | Facts::WebhookTested { .. }
            | Facts::WebhookFailing { .. }
            | Facts::WebhookDisabled { .. }
            | Facts::SignerExpiring { .. }
            | Facts::BackfillFailed { .. }
            | Facts::SyncFailed { .. }
            | Facts::BatchFailed { .. } => None,
        }
    }

    const fn name(self, uninstall: UninstallName) -> &'static str {
        match (self, uninstall) {
            (Self::Created, _) => "PASS_EVENT_RECORD_CREATED",
            (Self::Installed, _) => "PASS_EVENT_INSTALLED",
            (Self::Updated, _) | (Self::Uninstalled, UninstallName::RecordUpdated) => "PASS_EVENT_RECORD_UPDATED",
            (Self::Uninstalled, UninstallName::Uninstalled) => "PASS_EVENT_UNINSTALLED",
            (Self::Invalidated, _) => "PASS_EVENT_INVALIDATED",
            (Self::Deleted, _) => "PASS_EVENT_RECORD_DELETED",
        }
    }

    const fn method(self) -> Method {
        match self {
            Self::Created => Method::POST,
            Self::Installed | Self::Updated | Self::Uninstalled | Self::Invalidated => Method::PUT,
            Self::Deleted => Method::DELETE,
        }
    }
}

/// The body that tells an event, the same bytes whenever it is asked for; nothing when PassKit has no word for it or the
/// event holds no image of a pass.
pub fn body(event: &Event, uninstall: UninstallName) -> Option<Bytes> {
    let word = Word::of(event)?;
    let pass = event.image.pass.as_ref()?;
    let payload = Payload {
        event: word.name(uninstall),
        pass: Record {
            id: pass.id.to_string(),
            class_id: pass.project.to_string(),
            protocol: protocol(event.image.project.as_ref().map_or(domain::ProjectKind::Generic, |project| project.kind)),
            person_details: Person::of(event.image.contact.as_ref()),
            metadata: Metadata::of(pass),
            record_data: record(pass, &event.image),
            external_id: pass.external_id.as_deref().unwrap_or_default(),
        },
    };
    json::to_go_json(&payload).ok().map(Bytes::from)
}

/// The request that tells an event to a target; nothing when there is no word for it. Only the Standard Webhooks
/// timestamp and signature differ from one attempt to the next.
pub fn render(owed: &Owed<'_>, target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Option<Request> {
    let word = Word::of(owed.event)?;
    let method = if target.post_only { Method::POST } else { word.method() };
    let body = owed.body(word.name(target.uninstall_name), || body(owed.event, target.uninstall_name))?;
    let mut headers = HeaderMap::with_capacity(6 + target.headers.len());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, AGENT);
    headers.insert(SIGNATURE, value(&signature::hex_hmac(&secrets.current, &body))?);
    if !target.without_standard_headers {
        let id = owed.delivery.to_string();
        headers.insert(STANDARD_SIGNATURE, value(&signature::standard(secrets, &id, attempt_at, &body))?);
        headers.insert(TIMESTAMP, HeaderValue::from(attempt_at.as_seconds()));
        headers.insert(ID, value(&id)?);
    }
    headers::add(&mut headers, &target.headers);
    Some(Request { method, url: target.url.clone(), headers, body })
}

/// Ids, hex and base64 are always fit for a header.
fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

/// What a receiver's reply means: [`crate::kit::judge`].
pub fn judge(reply: Option<&Reply>, now: Timestamp) -> Outcome {
    crate::kit::judge(reply, now)
}

pub(super) fn render_all(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    let one = |(index, owed): (usize, &Owed<'_>)| {
        render(owed, target, secrets, attempt_at).map(|request| Sending::of_one(request, index))
    };
    owed.iter().enumerate().filter_map(one).collect()
}
