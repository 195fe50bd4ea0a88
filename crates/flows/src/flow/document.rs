//! The flow as people write it.

use std::collections::BTreeMap;
use std::fmt;

use domain::{Channel, Late};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{MAX_DOCUMENT_BYTES, lines};
use crate::{Problem, strict::Strict};

/// A flow as it is written and stored. What it says is checked by [`Flow::check`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Short name, unique in the organization: lower case letters, digits and hyphens.
    pub slug: String,
    /// Name shown to people; the slug where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it runs.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// The project whose passes it changes: slug or id.
    pub project: String,
    /// The sources that it listens to, slugs or ids; all of them where none is named.
    #[serde(default, alias = "source", skip_serializing_if = "Names::is_empty")]
    pub sources: Names,
    /// A transformation that events go through before it looks at them: slug or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformation: Option<String>,
    /// What becomes of events that come late: whose own timestamp is older than what last changed the pass. `apply` (the
    /// default) does their steps like any others, `skip` leaves the pass as it is. Either way the trace tells of it.
    #[serde(default, skip_serializing_if = "is_apply")]
    pub late: Late,
    /// At most so many events in a time, such as `10/second`, `300/minute` or `5000/hour`; those above it wait their turn in the
    /// order of their arrival, and delay no other flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Which events it is for.
    pub when: When,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

/// Which events a flow is for; everything that is given must hold, and something must be given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Kinds of call: track, identify, page, screen, group, alias.
    #[serde(default, rename = "type", skip_serializing_if = "Names::is_empty")]
    pub types: Names,
    /// Event names, any of which fits.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub event: Names,
    /// Whether case and separators of the event name do not matter: `Order Completed` is `order_completed`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub loose: bool,
    /// A condition as text or as its JSON tree ([`crate::fql`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Value>,
}

/// One command of a flow. Every [`Value`] is a mapping ([`crate::mapping`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its id, unique in the flow and kept while the flow is edited: an event does a step once.
    pub id: String,
    /// What is done.
    pub action: StepAction,
    /// The step is passed over where this condition does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Value>,
    /// Issue: what happens when the project has a pass of that external id: `update` (the default), `reactivate`, `skip` or
    /// `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_exists: Option<IfExists>,
    /// Which pass; the newest of the person of the event where it is missing. Not for `issue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<Find>,
    /// Issue: the id that your systems know the pass by, the contact's external id where it is missing; null for none.
    /// Update: its new one.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub external_id: Option<Value>,
    /// The person: `external_id`, `email`, `name`, `phone`, `traits`. Issue takes what is missing from the event's userId
    /// and traits; null for a pass of nobody.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub contact: Option<Value>,
    /// The variant, by id or name.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub variant: Option<Value>,
    /// Fields of the pass; null removes one in an update.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub fields: Option<Value>,
    /// Balances: a value, or an object with one of `set`, `add`, `subtract` and, if wanted, `times` and `round`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub balances: BTreeMap<String, Value>,
    /// Send: by which way, `email` or `sms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Send: the destination that sends it, by name or id; the only one for this way where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Send: the subject of an e-mail instead of the sender's, a text as `message` is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Notify, update and send: a text for the holder ([`crate::message`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Wait: so long after the event: `90m`, `12h`, `30d`, `4w`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    /// Wait: until a time with its zone, such as `2026-11-20T09:30:00+01:00`: of the event as a mapping, `{pass:
    /// fields.departure}` of the pass, or `{contact: traits.renewal}` of its holder, as they are when the wait begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Value>,
    /// Record an install or uninstall: in which wallet, `apple` or `google`. Where it is missing, in whichever the pass is known to
    /// be, else in one that is not known.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub wallet: Option<Value>,
    /// Record: on which device, or with which scanner, as the source calls it. An install without one stands for all that the
    /// source knows of in that wallet.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub device: Option<Value>,
    /// Record: when, written as `starts_at`; when the event happened where it is missing.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub at: Option<Value>,
    /// Record a scan: who scanned.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub operator: Option<Value>,
    /// Record a scan: where.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub location: Option<Value>,
    /// Revoke: why. Record an uninstall: how the source knows, `told` (it does not say; the default), `unregistered` (Apple: the
    /// device takes no updates any more), `removed` (the wallet says so) or `token_dead` (a hint only).
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub reason: Option<Value>,
    /// Not valid before: RFC 3339, a date, or Unix seconds or milliseconds; null lifts it.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Value>,
    /// Not valid from then on, written as `starts_at`.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Value>,
    /// Not valid so long after the event: `90m`, `12h`, `30d`, `4w`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// Most uses; null lifts the limit.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub uses_limit: Option<Value>,
    /// Issue: whether the pass waits to be activated.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub inactive: Option<Value>,
    /// Whether later steps are done when this one cannot be.
    #[serde(default, skip_serializing_if = "OnError::is_stop")]
    pub on_error: OnError,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepAction {
    /// Issue a pass.
    Issue,
    /// Change a pass.
    Update,
    /// Switch a pass on.
    Activate,
    /// Call a pass back.
    Revoke,
    /// Remove a pass.
    Delete,
    /// Tell its holder something.
    Notify,
    /// Send its holder the address of its page, by e-mail or SMS.
    Send,
    /// Do the steps after it later. Later events of the customer are handled meanwhile.
    Wait,
    /// Note that another platform, whose account is mirrored here, says that a wallet holds the pass.
    RecordInstall,
    /// Note that it says that a wallet holds the pass no more.
    RecordUninstall,
    /// Note that the pass was accepted at a reader of that platform.
    RecordScan,
}

/// What an issue does when there is such a pass already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfExists {
    /// Change it to what is given. One that is revoked, used up or expired stays so; the step's outcome is `still_revoked`,
    /// `still_used` or `still_expired` then.
    Update,
    /// Change it to what is given, and switch it on again where it was revoked: for customers who come back.
    Reactivate,
    /// Leave it as it is.
    Skip,
    /// Park the event.
    Reject,
}

/// What becomes of later steps when one cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// They wait until the event is replayed.
    #[default]
    Stop,
    /// They are done.
    Continue,
}

impl OnError {
    fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

/// How the pass of a step is found: by the first of these that has a value, in this order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// By its own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Value>,
    /// By the id that your systems know the pass by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<Value>,
    /// The newest pass of the person of that external id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Value>,
    /// The newest pass of the person of that e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Value>,
}

/// One name or several; one is written without a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names(pub Vec<String>);

impl Names {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [single] => serializer.serialize_str(single),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Names, E> {
                Ok(Names(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

fn yes() -> bool {
    true
}

fn is_true(flag: &bool) -> bool {
    *flag
}

fn is_apply(late: &Late) -> bool {
    *late == Late::Apply
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A value that was written down, even when it is null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// YAML as JSON.
pub(crate) fn from_yaml(text: &str) -> Result<Value, Problem> {
    serde_saphyr::from_str(text).map_err(|error| {
        let plain = error.without_snippet();
        let mut problem = Problem::new("", plain.render_with_formatter(&serde_saphyr::UserMessageFormatter));
        problem.line = plain.location().and_then(|location| usize::try_from(location.line()).ok());
        problem
    })
}

impl Flow {
    /// Reads a flow from its JSON document.
    ///
    /// # Errors
    /// The first key that is unknown, missing or of the wrong type, with its place.
    pub fn from_json(document: &Value) -> Result<Self, Problem> {
        serde_path_to_error::deserialize(Strict(document)).map_err(|error| Problem::unread(&error))
    }

    /// Reads a flow from YAML.
    ///
    /// # Errors
    /// What is wrong, with its line where it can be found.
    pub fn from_yaml(text: &str) -> Result<Self, Problem> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(Problem::new("", format!("a flow has at most {MAX_DOCUMENT_BYTES} bytes, this one has {}", text.len())));
        }
        let document = from_yaml(text)?;
        Self::from_json(&document).map_err(|problem| lines::located(text, problem))
    }

    /// Adds to each problem its line in the YAML text that the flow was read from.
    #[must_use]
    pub fn locate(yaml: &str, problems: Vec<Problem>) -> Vec<Problem> {
        problems.into_iter().map(|problem| lines::located(yaml, problem)).collect()
    }

    /// The document as JSON, with nothing in it that is the default.
    ///
    /// # Errors
    /// Never for a flow that was read; for one that was built, when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Value, Problem> {
        serde_json::to_value(self).map_err(|error| Problem::new("", error.to_string()))
    }
}
