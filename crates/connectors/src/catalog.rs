//! The connectors there are, alphabetical. A new one is a folder and a line here.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use domain::{Contact, ContactId, EventKind, Target, Timestamp};

use crate::kit::{
    Account, Answer, Arrival, Authentic, BrokerAccount, Bucket, Credentials, Decoded, Inbound, Lock, Login, Messenger, Owed,
    Pace, Refused, Reply, Request, Secrets, Sending, Sent, Setting, SettingProblem, SharedSecret, State, StreamAccount, Verdict,
    WriteKey, retry,
};
use crate::{
    airtable, cloudevents, custom, flat, generic, google_sheets, http_call, hubspot, kafka, mail_alerts, native, nats, parquet,
    passengine, passkit, passslot, postgresql, rudderstack, salesforce, segment, shopify, slack, sms_http, smtp,
    standard_webhooks, stripe, twilio, walletcrew, woocommerce,
};

/// Every connector.
pub const CONNECTORS: &[Descriptor] = &[
    airtable::DESCRIPTOR,
    cloudevents::DESCRIPTOR,
    custom::DESCRIPTOR,
    flat::DESCRIPTOR,
    generic::DESCRIPTOR,
    google_sheets::DESCRIPTOR,
    http_call::DESCRIPTOR,
    hubspot::DESCRIPTOR,
    kafka::DESCRIPTOR,
    mail_alerts::DESCRIPTOR,
    native::DESCRIPTOR,
    nats::DESCRIPTOR,
    parquet::DESCRIPTOR,
    passengine::DESCRIPTOR,
    passkit::DESCRIPTOR,
    passslot::DESCRIPTOR,
    postgresql::DESCRIPTOR,
    rudderstack::DESCRIPTOR,
    salesforce::DESCRIPTOR,
    segment::DESCRIPTOR,
    shopify::DESCRIPTOR,
    slack::DESCRIPTOR,
    sms_http::DESCRIPTOR,
    smtp::DESCRIPTOR,
    standard_webhooks::DESCRIPTOR,
    stripe::DESCRIPTOR,
    twilio::DESCRIPTOR,
    walletcrew::DESCRIPTOR,
    woocommerce::DESCRIPTOR,
];

/// The connector of that slug.
pub fn find(slug: &str) -> Option<&'static Descriptor> {
    CONNECTORS.iter().find(|connector| connector.slug == slug)
}

/// Whether events of that connector's sources tell of another platform's passes, which is what its preset mirrors.
pub fn is_mirror(slug: &str) -> bool {
    find(slug).is_some_and(|connector| connector.presets.iter().any(|preset| preset.slug == "mirrors-passes"))
}

/// What a connector is and can do.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// Its name in configuration: lower case letters, digits and hyphens.
    pub slug: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// How far it has come.
    pub maturity: Maturity,
    /// Hosts of the vendor that it may call; empty when it calls none, or only what a user configures.
    pub hosts: &'static [&'static str],
    /// What can be set for a source.
    pub source_settings: &'static [Setting],
    /// What can be set for a webhook.
    pub settings: &'static [Setting],
    /// Ready-made flows for its events.
    pub presets: &'static [Preset],
    /// Set-up at the vendor, limits and retries, in Markdown.
    pub readme: &'static str,
    /// What takes events from the vendor.
    pub source: Option<Source>,
    /// What sends events to the vendor, or in its shape.
    pub destination: Option<Destination>,
}

impl Descriptor {
    /// Among the hosts: files in a folder of the server's own.
    pub const OWN_FOLDER: &'static str = "file://localhost";

    /// Whether it may send a request of a target's to this address: to the vendor's own hosts, or to the host that the target
    /// names.
    pub fn may_call(&self, target: &Target, url: &str) -> bool {
        let host = |url: &str| {
            url.parse::<http::Uri>().ok().and_then(|uri| Some((uri.scheme_str()?.to_owned(), uri.authority()?.clone())))
        };
        let Some((scheme, authority)) = host(url) else { return false };
        if !target.url.is_empty() {
            let own = target.url.split("{{").next().and_then(host);
            return own.is_some_and(|own| own == (scheme, authority));
        }
        if scheme == "file" {
            return authority == "localhost" && self.hosts.contains(&Self::OWN_FOLDER);
        }
        let named = |known: &str| match known.strip_prefix('*') {
            Some(end) => authority.host().ends_with(end),
            None => authority.host() == known,
        };
        scheme == "https" && authority.port().is_none() && self.hosts.iter().any(|known| named(known))
    }
}

/// How far a connector has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maturity {
    /// Tried with the vendor's own clients.
    Ready,
    /// Built to public documentation, not yet tried with the vendor.
    Beta,
}

/// A ready-made flow.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name: lower case letters, digits and hyphens.
    pub slug: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// The flow in YAML, with `my-project` where the project belongs.
    pub flow: &'static str,
}

/// How the senders of a source prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By the write key that we make.
    Key,
    /// By signing with a secret; by write key as long as the source has none.
    SecretOrKey,
    /// By signing with a secret that the sender shows once the webhook is made there.
    SenderSecret,
    /// By signing with a secret that is typed in at the sender; we make one unless there is one.
    OurSecret,
}

impl Proof {
    /// Whether write keys mean something to it.
    pub const fn has_key(self) -> bool {
        matches!(self, Self::Key | Self::SecretOrKey)
    }
    /// Whether signing secrets mean something to it.
    pub const fn has_secret(self) -> bool {
        !matches!(self, Self::Key)
    }
}

/// Whether a signing secret has the form of a vendor's; the error says what was expected.
pub type SecretForm = fn(&SharedSecret) -> Result<(), &'static str>;

/// The functions of a source.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// How senders prove who they are.
    pub proof: Proof,
    /// Whether its vendor's SDKs can send to us, at `/{slug}/v1/...`.
    pub api: bool,
    /// The write key that a request carries.
    pub credential: fn(&Inbound) -> Option<WriteKey>,
    /// What a signing secret has to look like, where it has a form; the error says what was expected.
    pub secret_form: Option<SecretForm>,
    /// Answers a handshake, which comes before anything is proved: a sender that asks whether somebody is there.
    pub greet: Option<fn(&Inbound) -> Option<Greeting>>,
    /// Lets a request in, or not.
    pub verify: fn(Inbound, &Lock<'_>) -> Result<Authentic, Refused>,
    /// The events of a request. Never panics.
    pub decode: fn(&Authentic, &Arrival<'_>) -> Decoded,
    /// Most bytes of a request, inflated.
    pub max_body_bytes: usize,
}

/// The answer to a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Status and body.
    pub answer: Answer,
    /// Headers: names in lower case, and values that fit into a header.
    pub headers: Vec<(&'static str, String)>,
}

/// The functions of a destination, all of them pure.
#[derive(Debug, Clone, Copy)]
pub struct Destination {
    /// Whether it has a word for a kind of event.
    pub wants: fn(EventKind) -> bool,
    /// The requests that carry the events, in their order and within the vendor's limits. Events that the destination has no word
    /// for are covered by none.
    pub render: fn(&[Owed<'_>], &Target, &Secrets, Timestamp) -> Vec<Sending>,
    /// What the reply to a request means for each of the records that it carries. Total.
    pub judge: fn(&Sent<'_>) -> Verdict,
    /// How it is retried unless a target says otherwise.
    pub profile: retry::Profile,
    /// How much it takes.
    pub pace: Pace,
    /// What makes it a service of its own; nothing for shapes of webhooks, which go wherever their user says.
    pub vendor: Option<Vendor>,
}

/// What a destination is that is more than a shape of webhook: a service with an account, where its user has credentials.
#[derive(Debug, Clone, Copy)]
pub struct Vendor {
    /// Whether a target needs an address: nothing of ours knows where it is.
    pub takes_url: bool,
    /// Whether its requests are signed with the target's secret.
    pub signs: bool,
    /// Checks what the settings cannot say one by one.
    pub check: fn(&Target, &Credentials) -> Result<(), SettingProblem>,
    /// How a token is got that requests carry.
    pub login: Option<fn(&Target, &Credentials) -> Option<Login>>,
    /// What of a contact the vendor holds, where it holds a state: then the present state is sent, whatever it was at the
    /// event, and all contacts can be compared and repaired.
    pub state: Option<StateOf>,
    /// What makes the fields that are written to, where the service lets that be made.
    pub makes: Option<Makes>,
    /// How what it holds of contacts is read, where that can be: then a comparison sees what somebody changed there.
    pub holds: Option<Holds>,
    /// What is read there before anything is written, where what is written depends on it.
    pub looks: Option<Looks>,
    /// Which function of the target's code an event calls, where it is code that tells it.
    pub call: Option<fn(&Owed<'_>, &Target) -> Option<Call>>,
    /// How its requests get there.
    pub carrier: Carrier,
    /// Whether events of a pass wait for earlier ones whatever the target wishes, because its readers count on their order.
    pub in_order: bool,
    /// What makes it a sender of messages to holders, when it is one.
    pub messenger: Option<Messenger>,
    /// What puts a body of its owner's making into a request, where that is taken: the body and its media type.
    pub around: Option<Around>,
    /// The least time between two requests of all nodes together, of one that is told of the running of things alone: of all of
    /// that, unless it names some. What happens in between waits for the next.
    pub alerts_every: Option<fn(&Target) -> Duration>,
}

impl Vendor {
    /// A service whose hosts are known, that takes events by HTTP and needs nothing else; a connector names what is different.
    pub const fn new(check: fn(&Target, &Credentials) -> Result<(), SettingProblem>) -> Self {
        Self {
            takes_url: false,
            signs: false,
            check,
            login: None,
            state: None,
            makes: None,
            holds: None,
            looks: None,
            call: None,
            carrier: Carrier::Http,
            in_order: false,
            messenger: None,
            around: None,
            alerts_every: None,
        }
    }

    /// Whether several contacts may be one record of a target: it holds a state of each, found by what several may have.
    pub fn may_share(&self, target: &Target) -> bool {
        self.state.is_some() && crate::kit::crm::may_share(target)
    }
}

/// How requests get to a service.
#[derive(Debug, Clone, Copy)]
pub enum Carrier {
    /// By HTTP.
    Http,
    /// Into a PostgreSQL database: a request's body are rows, as [`crate::kit::rows`] writes them, and the reply is 200, or 400
    /// with the server's SQLSTATE and words as JSON. Rows under `compare` instead of `rows` are not written: the reply's body is
    /// a list of those that are held otherwise, each with its `id` and the `columns`, none where there is no such row.
    Database(fn(&Target, &Credentials) -> Account),
    /// As files into object storage: a request's body are rows, and the reply is 200, or the storage's status with its word as
    /// JSON.
    Objects(fn(&Target, &Credentials) -> Bucket),
    /// Into a stream of NATS JetStream: a request's body are messages, as [`crate::kit`]'s streams write them, and the reply is
    /// 200 with an answer for each as JSON, or 400 with why none was sent.
    Nats(fn(&Target, &Credentials) -> StreamAccount),
    /// Into topics of Kafka, as into a stream of NATS.
    Kafka(fn(&Target, &Credentials) -> BrokerAccount),
    /// To a mail server: a request's body is a [`crate::kit::Mail`], its address that of the server, and the reply is the
    /// server's code and words.
    Mail,
}

/// A request with a body that its owner made; why not, when it cannot be made.
pub type Around = fn(&Owed<'_>, &Target, &Secrets, Timestamp, &'static str, Bytes) -> Result<Request, String>;

/// What of a contact a target holds; why nothing, when its record cannot be found.
pub type StateOf = fn(&Contact, &Target) -> Result<State, String>;

/// What makes the fields at a service that are written to. That is asked for before anything is written, once by each process
/// for each change of a target; fields that are there already, and tokens that may not make any, are no fault.
#[derive(Debug, Clone, Copy)]
pub struct Makes {
    /// One request for all; why not, when it cannot be made.
    pub all: fn(&Target, &Secrets) -> Result<Request, String>,
    /// One for each, where the one for all is refused because some are there.
    pub each: fn(&Target, &Secrets) -> Result<Vec<Request>, String>,
}

/// What a service holds otherwise of each contact, by the names of its fields and without values, or that it has no record;
/// nothing where it holds what it should.
pub type Differences = Vec<Option<String>>;

/// How what a service holds of contacts is read and compared.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    /// Most contacts of one request.
    pub most: usize,
    /// Whether the service counts reads like writes: then they keep to its pace.
    pub paced: bool,
    /// The request that asks what it holds of these; why not, when it cannot be made.
    pub ask: fn(&[&Contact], &Target, &Secrets) -> Result<Request, String>,
    /// What it holds otherwise of each of them; why that cannot be told, when the reply is none to the question. Total.
    pub differs: fn(&[&Contact], &Sharing, &Target, &Reply) -> Result<Differences, String>,
}

/// Who is found by the same key as a contact and is one record with it, itself among them. A contact that is not told of shares its
/// record with more than are known.
pub type Sharing = HashMap<ContactId, Vec<ContactId>>;

impl Holds {
    /// What is said of a contact that a service has no record of.
    pub const MISSING: &'static str = "no record";
}

/// What is to be sent, or why that is not known.
pub type Rendered = Result<Vec<Sending>, String>;

/// What is read at a service before something is written there, for each request anew: which of the records that are to be told
/// it has, and where. One question and its answer, within the same pace; a service that finds a record by a key itself needs
/// none. Between the two somebody else may write: what depends on that not happening is said where it is rendered.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// The request that asks; none where the target's settings want nothing read, or why it cannot be made.
    pub ask: fn(&Target, &Secrets) -> Option<Result<Request, String>>,
    /// As [`Destination::render`], given the reply that was a success; why nothing can be written now, where it says nothing.
    /// Events that no request covers are over: the service holds something newer. Total.
    pub render: fn(&[Owed<'_>], &Target, &Secrets, &Reply) -> Rendered,
}

/// A function of a target's code, with what it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What the code registered for.
    pub point: &'static str,
    /// The function's name.
    pub function: &'static str,
    /// Its arguments by name, in their order.
    pub arguments: Vec<(&'static str, serde_json::Value)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_other_platforms() {
        let mirrors: Vec<_> = CONNECTORS.iter().map(|connector| connector.slug).filter(|slug| is_mirror(slug)).collect();
        assert_eq!(mirrors, ["passengine", "passkit", "passslot", "walletcrew"]);
        assert!(!is_mirror("segment") && !is_mirror("nobody"));
    }
}
