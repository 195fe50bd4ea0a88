//! Targets: endpoints that are owed events.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Channel, Event, EventKind, Facts, FieldValue, ProjectId, TargetId, TemplateId, Timestamp, Wallet};

/// A webhook that is owed events. The signing secret is sealed beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// Name shown to people.
    pub name: String,
    /// Where to send.
    pub url: String,
    /// When it was made; events before that are not owed.
    pub created_at: Timestamp,
    /// What else it was given. Many have it in common, and hold it once together.
    #[serde(flatten)]
    pub terms: Arc<Terms>,
}

/// What of a target is not its own alone: what it is owed, and how that is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Only events of this project; none means all of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    /// In which shape: the slug of its connector in the catalog.
    #[serde(default = "first_dialect")]
    pub dialect: String,
    /// What was set for its connector, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, FieldValue>,
    /// Only events of installations in this wallet, and of passes that it holds at the time; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<Wallet>,
    /// Only events of passes of these templates; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<TemplateId>,
    /// Which way of messages to holders it is, when it is one: then it is told of messages alone that are for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sends: Option<Channel>,
    /// By which of the operator's named ways out it is sent to; none means the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
    /// Which events.
    pub events: TargetEvents,
    /// Only events for which this condition holds, in the language of flows' conditions; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What the body is made by instead of the shape's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// Headers to send beside the signature. They may be credentials: the store keeps them sealed beside the target and
    /// leaves this empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether every event is sent by POST instead of PassKit's POST, PUT and DELETE.
    #[serde(default)]
    pub post_only: bool,
    /// How an uninstall is named.
    #[serde(default)]
    pub uninstall_name: UninstallName,
    /// Whether Standard Webhooks headers are left out.
    #[serde(default)]
    pub without_standard_headers: bool,
    /// Whether deliveries are made; while not, none are owed.
    pub enabled: bool,
    /// How we prove who we are, beside the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<TargetAuth>,
    /// The certificate that we show where the receiver asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ClientCertificate>,
    /// How fast it is sent to.
    #[serde(default)]
    pub pace: TargetPace,
    /// After how much failure we switch it off.
    #[serde(default)]
    pub switch_off: SwitchOff,
    /// Every how many hours all contacts are compared with what it holds of them or was told; none means when somebody asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill_every_hours: Option<u32>,
    /// Whether it is told of everybody anew then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backfill_everything: bool,
    /// Why it was switched off by us, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Since when it may have missed events that were never replayed: when it took the last one before it was switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_since: Option<Timestamp>,
}

impl Deref for Target {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.terms
    }
}

/// What is changed is its own from then on.
impl DerefMut for Target {
    fn deref_mut(&mut self) -> &mut Terms {
        Arc::make_mut(&mut self.terms)
    }
}

/// The shape of targets that were made before there were others.
fn first_dialect() -> String {
    "passkit".to_owned()
}

/// A credential; it does not show itself.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// How we prove to a target who we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TargetAuth {
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Hidden,
    },
    /// A fixed bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: Hidden,
    },
    /// A bearer token got by OAuth 2.0 client credentials (RFC 6749, 4.4).
    Oauth2 {
        /// The token endpoint.
        token_url: String,
        /// Who asks.
        client_id: String,
        /// The proof.
        client_secret: Hidden,
        /// For what.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
        /// For whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
        /// Whether id and secret go in the body instead of HTTP Basic.
        #[serde(default)]
        in_body: bool,
    },
}

/// A certificate that we show to a target, with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// The chain in PEM, leaf first.
    pub chain: String,
    /// The leaf's key in PEM.
    pub private_key: Hidden,
}

/// How fast a target is sent to; what is left out is as for every target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TargetPace {
    /// Most requests in a second, of each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
    /// Most requests at once, of each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u16>,
    /// Seconds for one request, from resolving the name to the last byte of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u16>,
    /// Whether an event of a pass waits until earlier ones of the same pass were taken or given up.
    #[serde(default)]
    pub in_order: bool,
}

/// After how much failure a target is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SwitchOff {
    /// Deliveries that were given up one after another; none leaves it to the shape, which may have such a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_failures: Option<u32>,
    /// Hours in which it took nothing and failed at least [`SwitchOff::FEWEST`] times; none means never.
    pub after_hours: Option<u32>,
}

impl SwitchOff {
    /// Failed attempts that it takes at least before time alone switches a target off.
    pub const FEWEST: u32 = 5;
}

/// Never by number, after five days.
impl Default for SwitchOff {
    fn default() -> Self {
        Self { after_failures: None, after_hours: Some(120) }
    }
}

/// What makes a body out of an event in our own shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// A text with placeholders.
    Template {
        /// The text.
        text: String,
        /// What it is.
        #[serde(default)]
        content: Content,
    },
    /// JSON with directives among its values.
    Mapping(Value),
    /// A transformation: its slug or the text of its id.
    Transformation(String),
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// JSON.
    #[default]
    Json,
    /// Text.
    Text,
    /// XML.
    Xml,
    /// A form's fields.
    Form,
}

impl Content {
    /// Its media type.
    pub const fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Xml => "application/xml",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

/// All events in PassKit's shape, with nothing more asked for.
impl Default for Terms {
    fn default() -> Self {
        Self {
            project: None,
            dialect: first_dialect(),
            settings: BTreeMap::new(),
            wallet: None,
            templates: Vec::new(),
            sends: None,
            egress: None,
            events: TargetEvents::All,
            filter: None,
            payload: None,
            headers: BTreeMap::new(),
            post_only: false,
            uninstall_name: UninstallName::default(),
            without_standard_headers: false,
            enabled: true,
            auth: None,
            certificate: None,
            pace: TargetPace::default(),
            switch_off: SwitchOff::default(),
            backfill_every_hours: None,
            backfill_everything: false,
            disabled_reason: None,
            missed_since: None,
        }
    }
}

impl Target {
    /// A target of all events in PassKit's shape, with nothing more asked of it.
    pub fn new(id: TargetId, name: &str, url: &str, created_at: Timestamp) -> Self {
        Self { id, name: name.to_owned(), url: url.to_owned(), created_at, terms: Arc::default() }
    }

    /// Its credentials by their names, but for its headers. The store keeps them sealed beside the target and leaves them empty.
    pub fn credentials(&mut self) -> impl Iterator<Item = (&'static str, &mut Hidden)> {
        let terms = Arc::make_mut(&mut self.terms);
        let of_auth = terms.auth.as_mut().map(|auth| match auth {
            TargetAuth::Basic { password, .. } => ("auth.password", password),
            TargetAuth::Bearer { token } => ("auth.token", token),
            TargetAuth::Oauth2 { client_secret, .. } => ("auth.client_secret", client_secret),
        });
        let of_certificate =
            terms.certificate.as_mut().map(|certificate| ("certificate.private_key", &mut certificate.private_key));
        of_auth.into_iter().chain(of_certificate)
    }

    /// Whether an event passes the target's own filters: switched on, made before it, kind, project, wallet and template. What is
    /// about the running of things has neither project nor pass, and of its own state a target is not told.
    pub fn is_for(&self, event: &Event) -> bool {
        if !self.may_want(event.kind(), event.project, event.recorded_at) {
            return false;
        }
        match &event.facts {
            Facts::MessageRequested { message } => message.sender == self.id,
            Facts::WebhookTested { webhook } => *webhook == self.id,
            Facts::WebhookFailing { webhook, .. } | Facts::WebhookDisabled { webhook, .. } => *webhook != self.id,
            facts if facts.kind().is_operational() => true,
            _ => self.is_about(event),
        }
    }

    /// Whether [`Target::is_for`] may be true of an event, by what is known of it before it is opened.
    pub fn may_want(&self, kind: EventKind, project: Option<ProjectId>, recorded_at: Timestamp) -> bool {
        if !self.enabled || self.created_at > recorded_at {
            return false;
        }
        match kind {
            EventKind::MessageRequested => true,
            _ if self.sends.is_some() => false,
            EventKind::WebhookTested => true,
            kind if kind.is_operational() => self.events.contain(kind),
            kind => self.events.contain(kind) && self.project.is_none_or(|only| project == Some(only)),
        }
    }

    fn is_about(&self, event: &Event) -> bool {
        self.wallet.is_none_or(|wallet| concerns(event, wallet))
            && (self.templates.is_empty()
                || event.image.pass.as_ref().is_some_and(|pass| self.templates.contains(&pass.template)))
    }
}

/// Whether an event is about a wallet: about an installation in it, or else about a pass that it holds.
fn concerns(event: &Event, wallet: Wallet) -> bool {
    match &event.facts {
        Facts::PassInstalled { wallet: of, .. } | Facts::PassUninstalled { wallet: of, .. } => *of == wallet,
        _ => event.image.pass.as_ref().is_some_and(|pass| pass.holding(wallet).active > 0),
    }
}

/// Which events a target is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetEvents {
    /// All about passes and contacts that its dialect has a name for.
    All,
    /// All about the running of things.
    Operational,
    /// These.
    Only(Vec<EventKind>),
}

impl TargetEvents {
    /// Whether a kind is among them.
    pub fn contain(&self, kind: EventKind) -> bool {
        match self {
            Self::All => !kind.is_operational(),
            Self::Operational => kind.is_operational(),
            Self::Only(kinds) => kinds.contains(&kind),
        }
    }
}

/// How PassKit's shape names an uninstall: its enum has one name, its published sample shows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UninstallName {
    /// `PASS_EVENT_UNINSTALLED`, as the enum has it.
    #[default]
    Uninstalled,
    /// `PASS_EVENT_RECORD_UPDATED`, as the published sample has it.
    RecordUpdated,
}
