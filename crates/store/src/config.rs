//! Configuration in domain words, and the snapshot of it that every worker and request looks at.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{
    ApiKey, FlowId, InspectorId, OrgId, Organization, Project, ProjectId, SignerId, Source, Target, Template, TemplateId,
    Timestamp, TransformationId,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    kinds::ResourceKind,
    rows::{ResourceRow, Unchanged},
    syncs::StoredSync,
};

/// Something that is configured.
pub trait Resource: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Its kind.
    const KIND: ResourceKind;
    /// Its id.
    fn id(&self) -> Uuid;
    /// The one of that id in an organization's configuration.
    fn held(org: &OrgCatalog, id: Uuid) -> Option<&Stored<Self>>;
    /// Its slug, unique among those of its kind in the organization.
    fn slug(&self) -> Option<&str> {
        None
    }
}

/// A flow as it was saved: the checked document of `crates/flows`, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredFlow {
    /// Its id.
    pub id: FlowId,
    /// Its slug.
    pub slug: String,
    /// The flow document.
    pub document: serde_json::Value,
    /// A document that is being worked on: it does not run until it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<serde_json::Value>,
    /// The number of the document: the revision of this row that it came with. Missing where that is the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// When the document came; missing where that is when the row last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// When it was last switched on again; what waited in it from before is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// JavaScript that flows run events through, or a library that such code imports; as it was checked by `crates/script`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTransformation {
    /// Its id.
    pub id: TransformationId,
    /// What flows call it; a library's is what code imports it by.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
    /// Whether it is a library.
    #[serde(default)]
    pub library: bool,
    /// The code that runs.
    pub code: String,
    /// Code that is being worked on; it runs in tests alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
    /// Whether it runs; when not, events pass by it unchanged.
    pub enabled: bool,
    /// Whether it exports `transformBatch`, not `transformEvent`.
    #[serde(default)]
    pub batch: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An Apple signer: certificates in the clear, the private key sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSigner {
    /// Its id.
    pub id: SignerId,
    /// The pass type identifier that it signs for.
    pub pass_type: String,
    /// The team that it belongs to.
    pub team: String,
    /// Leaf and intermediate, PEM.
    pub certificates: String,
    /// End of the leaf's validity.
    pub not_after: Timestamp,
    /// PKCS#8 private key, PEM, sealed by [`crate::Store::seal_for`].
    pub sealed_key: String,
    /// The certificate before this one, while it is valid: there to go back to, and to push with where this one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSigner>,
    /// What was told last of the end of its validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ToldEnding>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What was told of the end of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldEnding {
    /// The end that was told of.
    pub not_after: Timestamp,
    /// How near it was then.
    pub ending: Ending,
}

/// A certificate that another one of the same pass type and team took the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSigner {
    /// Leaf and intermediate, PEM.
    pub certificates: String,
    /// End of the leaf's validity.
    pub not_after: Timestamp,
    /// PKCS#8 private key, PEM, sealed as [`StoredSigner::sealed_key`] is.
    pub sealed_key: String,
    /// When the other one took its place.
    pub replaced_at: Timestamp,
}

/// How near the end of a certificate is, the farthest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// In at most 90 days.
    Within90Days,
    /// In at most 30 days.
    Within30Days,
    /// In at most 7 days.
    Within7Days,
    /// It has come.
    Past,
}

impl Ending {
    /// How near an end is, when it is near.
    pub fn of(end: Timestamp, now: Timestamp) -> Option<Self> {
        match end.as_seconds().saturating_sub(now.as_seconds()) {
            ..=0 => Some(Self::Past),
            left if left <= 7 * SECONDS_A_DAY => Some(Self::Within7Days),
            left if left <= 30 * SECONDS_A_DAY => Some(Self::Within30Days),
            left if left <= 90 * SECONDS_A_DAY => Some(Self::Within90Days),
            _ => None,
        }
    }
    /// Within how many days it comes; 0 when it has come.
    pub const fn days(self) -> u32 {
        match self {
            Self::Within90Days => 90,
            Self::Within30Days => 30,
            Self::Within7Days => 7,
            Self::Past => 0,
        }
    }
    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Within90Days => "within_90_days",
            Self::Within30Days => "within_30_days",
            Self::Within7Days => "within_7_days",
            Self::Past => "past",
        }
    }
}

const SECONDS_A_DAY: i64 = 86_400;

/// A key that was made and the request for its certificate, until Apple's answer to it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSigningRequest {
    /// Its id; of a new pass type's signer it becomes the id.
    pub id: SignerId,
    /// The e-mail address in it.
    pub email: String,
    /// The common name in it.
    pub name: String,
    /// The signer that the answer renews, where it is to renew one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerId>,
    /// The request, PEM.
    pub request: String,
    /// PKCS#8 private key, PEM, sealed by [`crate::Store::seal_for`].
    pub sealed_key: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A Google service account and the issuer it acts for, the key file sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredGoogleAccount {
    /// Its id.
    pub id: SignerId,
    /// The issuer id.
    pub issuer: String,
    /// The account's e-mail address.
    pub client_email: String,
    /// The key file (JSON), sealed by [`crate::Store::seal_for`].
    pub sealed_key: String,
    /// Whether it is a development key that Google does not know.
    #[serde(default)]
    pub development: bool,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A target with its credentials sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTarget {
    /// The target, without the values of its headers.
    pub target: Target,
    /// Its headers: each value sealed by [`crate::Store::seal_for`] under its name, because it may be a credential.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed_headers: BTreeMap<String, String>,
    /// Its other credentials ([`Target::credentials`]), each sealed likewise under its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed_credentials: BTreeMap<String, String>,
    /// Those of its settings that are credentials, each value sealed alike under its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed_settings: BTreeMap<String, String>,
    /// Signing secrets; the first is the present one, others are still valid in a rotation, until they end.
    pub sealed_secrets: Vec<SealedSecret>,
}

/// A signing secret of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SealedSecretForm", into = "SealedSecretForm")]
pub struct SealedSecret {
    /// Its text (`whsec_...`), sealed by [`crate::Store::seal_for`].
    pub sealed: String,
    /// When it ends; without one it stays until somebody ends the rotation.
    pub until: Option<Timestamp>,
}

impl From<String> for SealedSecret {
    fn from(sealed: String) -> Self {
        Self { sealed, until: None }
    }
}

/// How it is written: one without an end is its text alone, as it was before there were ends.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SealedSecretForm {
    Open(String),
    Ending { sealed: String, until: Timestamp },
}

impl From<SealedSecretForm> for SealedSecret {
    fn from(form: SealedSecretForm) -> Self {
        match form {
            SealedSecretForm::Open(sealed) => sealed.into(),
            SealedSecretForm::Ending { sealed, until } => Self { sealed, until: Some(until) },
        }
    }
}

impl From<SealedSecret> for SealedSecretForm {
    fn from(SealedSecret { sealed, until }: SealedSecret) -> Self {
        match until {
            None => Self::Open(sealed),
            Some(until) => Self::Ending { sealed, until },
        }
    }
}

impl StoredTarget {
    /// The earlier signing secrets that are still signed with at a time, newest first.
    pub fn earlier_secrets(&self, now: Timestamp) -> impl Iterator<Item = &SealedSecret> {
        self.sealed_secrets.iter().skip(1).filter(move |earlier| earlier.until.is_none_or(|until| now < until))
    }

    /// Puts a new signing secret first. Those that were in force end at a time, if they would not have ended before; at most
    /// `most` of them are kept.
    pub fn rotate_secret(&mut self, sealed: String, until: Timestamp, most: usize, now: Timestamp) {
        let ends =
            |earlier: SealedSecret| SealedSecret { until: Some(earlier.until.map_or(until, |own| own.min(until))), ..earlier };
        let held = std::mem::take(&mut self.sealed_secrets).into_iter().map(ends);
        let kept = held.filter(|earlier| earlier.until.is_some_and(|until| now < until)).take(most);
        self.sealed_secrets = std::iter::once(SealedSecret::from(sealed)).chain(kept).collect();
    }
}

/// What is to follow a published template; the template itself changes only when a draft is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDraft {
    /// Its id.
    pub id: TemplateId,
    /// The text of the template's id: a template has one draft.
    pub slug: String,
    /// The template.
    pub template: TemplateId,
    /// Name shown to people.
    pub name: String,
    /// The design.
    pub design: domain::Design,
}

/// A version of a template that was published and is not any more. Its design is a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVersion {
    /// Its id.
    pub id: TemplateId,
    /// The template.
    pub template: TemplateId,
    /// Its number, from 1.
    pub version: u32,
    /// Name shown to people.
    pub name: String,
    /// SHA-256 of its design as JSON, under which that is kept.
    pub design: [u8; 32],
    /// When it was published.
    pub published_at: Timestamp,
    /// When the next one was.
    pub superseded_at: Timestamp,
}

/// A version of a flow that ran and does not any more. Its document is a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFlowVersion {
    /// Its id.
    pub id: FlowId,
    /// The flow.
    pub flow: FlowId,
    /// Its number; later ones are greater.
    pub version: i64,
    /// SHA-256 of its document as JSON, under which that is kept.
    pub document: [u8; 32],
    /// When it began to run.
    pub published_at: Timestamp,
    /// When the next one did.
    pub superseded_at: Timestamp,
}

/// An inspector bin: a place to send requests to, and to look at them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredInspector {
    /// Its id.
    pub id: InspectorId,
    /// Its name in addresses; whoever knows it may send.
    pub bin: String,
    /// Name shown to people.
    pub name: String,
    /// SHA-256 of the key that looking at it takes; without one whoever knows the address may look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_key: Option<[u8; 32]>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

impl StoredInspector {
    /// How the names of rings begin in which requests are kept; adapters have it in their SQL.
    pub(crate) const RINGS: &str = "inspector/";

    /// The ring in which the newest requests that it took are kept.
    pub fn ring(bin: &str) -> String {
        format!("{}{bin}", Self::RINGS)
    }
}

/// Which keys sign an organization's scan codes. The keys themselves are derived from the organization's own; an organization
/// that never renewed them has number 0 alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanKeys {
    /// The organization.
    pub id: OrgId,
    /// The number of the key that signs now.
    pub current: u8,
    /// The lowest number that is still taken.
    pub oldest: u8,
}

macro_rules! resource {
    (@held $org:ident $key:ident organization) => {
        $org.organization.as_ref().filter(|stored| stored.value.id.uuid() == $key)
    };
    (@held $org:ident $key:ident $map:ident) => {
        $org.$map.get(&$key)
    };
    ($type:ty, $kind:ident, $map:ident, |$it:ident| $id:expr, $slug:expr) => {
        impl Resource for $type {
            const KIND: ResourceKind = ResourceKind::$kind;
            fn id(&self) -> Uuid {
                let $it = self;
                $id.uuid()
            }
            fn held(org: &OrgCatalog, id: Uuid) -> Option<&Stored<Self>> {
                resource!(@held org id $map)
            }
            fn slug(&self) -> Option<&str> {
                let $it = self;
                $slug
            }
        }
    };
}
resource!(Organization, Organization, organization, |it| it.id, {
    let _ = it;
    None
});
resource!(ApiKey, Key, keys, |it| it.id, {
    let _ = it;
    None
});
resource!(Project, Project, projects, |it| it.id, Some(&it.slug));
resource!(Template, Template, templates, |it| it.id, {
    let _ = it;
    None
});
resource!(StoredSigner, Signer, signers, |it| it.id, Some(&it.pass_type));
resource!(StoredSigningRequest, SigningRequest, signing_requests, |it| it.id, {
    let _ = it;
    None
});
resource!(StoredGoogleAccount, GoogleAccount, google_accounts, |it| it.id, Some(&it.issuer));
resource!(Source, Source, sources, |it| it.id, Some(&it.slug));
resource!(StoredFlow, Flow, flows, |it| it.id, Some(&it.slug));
resource!(StoredTransformation, Transformation, transformations, |it| it.id, Some(&it.slug));
resource!(StoredSync, Sync, syncs, |it| it.id, Some(&it.slug));
resource!(ScanKeys, ScanKeys, scan_keys, |it| it.id, {
    let _ = it;
    None
});
resource!(StoredTarget, Target, targets, |it| it.target.id, {
    let _ = it;
    None
});

resource!(StoredDraft, Draft, drafts, |it| it.id, Some(&it.slug));
resource!(StoredVersion, TemplateVersion, versions, |it| it.id, {
    let _ = it;
    None
});

resource!(StoredFlowVersion, FlowVersion, flow_versions, |it| it.id, {
    let _ = it;
    None
});

resource!(StoredInspector, Inspector, inspectors, |it| it.id, Some(&it.bin));

/// One configured thing with its place in the store.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    /// The thing.
    pub value: Arc<T>,
    /// Counts its changes, from 1.
    pub revision: i64,
    /// The store-wide configuration version that it was last changed in. Of a template, which changes only when its
    /// passes are drawn anew, this is the number of its publication: they have a new content since then.
    pub changed: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Stored<StoredFlow> {
    /// The number of its document.
    pub fn version(&self) -> i64 {
        self.value.version.unwrap_or(self.revision)
    }
}

/// All configuration of one organization.
#[derive(Debug, Clone, Default)]
pub struct OrgCatalog {
    /// The organization.
    pub organization: Option<Stored<Organization>>,
    /// API keys.
    pub keys: HashMap<Uuid, Stored<ApiKey>>,
    /// Projects.
    pub projects: HashMap<Uuid, Stored<Project>>,
    /// Templates.
    pub templates: HashMap<Uuid, Stored<Template>>,
    /// Apple signers.
    pub signers: HashMap<Uuid, Stored<StoredSigner>>,
    /// Requests for certificates that are not answered yet.
    pub signing_requests: HashMap<Uuid, Stored<StoredSigningRequest>>,
    /// Google accounts.
    pub google_accounts: HashMap<Uuid, Stored<StoredGoogleAccount>>,
    /// Sources.
    pub sources: HashMap<Uuid, Stored<Source>>,
    /// Flows.
    pub flows: HashMap<Uuid, Stored<StoredFlow>>,
    /// Targets.
    pub targets: HashMap<Uuid, Stored<StoredTarget>>,
    /// Transformations and libraries.
    pub transformations: HashMap<Uuid, Stored<StoredTransformation>>,
    /// Syncs.
    pub syncs: HashMap<Uuid, Stored<StoredSync>>,
    /// Drafts of what follows published templates.
    pub drafts: HashMap<Uuid, Stored<StoredDraft>>,
    /// Superseded versions of templates.
    pub versions: HashMap<Uuid, Stored<StoredVersion>>,
    /// Superseded versions of flows.
    pub flow_versions: HashMap<Uuid, Stored<StoredFlowVersion>>,
    /// Inspector bins.
    pub inspectors: HashMap<Uuid, Stored<StoredInspector>>,
    /// Which scan keys are in force; at most one.
    pub scan_keys: HashMap<Uuid, Stored<ScanKeys>>,
}

impl OrgCatalog {
    /// A project.
    pub fn project(&self, id: ProjectId) -> Option<&Arc<Project>> {
        self.projects.get(&id.uuid()).map(|stored| &stored.value)
    }
    /// A project by its slug or the text of its id.
    pub fn project_named(&self, name: &str) -> Option<&Arc<Project>> {
        match name.parse::<ProjectId>() {
            Ok(id) => self.project(id),
            Err(_) => self.projects.values().map(|stored| &stored.value).find(|project| project.slug == name),
        }
    }
    /// A template.
    pub fn template(&self, id: TemplateId) -> Option<&Arc<Template>> {
        self.templates.get(&id.uuid()).map(|stored| &stored.value)
    }
    /// A transformation, no library, by its slug or the text of its id.
    pub fn transformation_named(&self, name: &str) -> Option<&Stored<StoredTransformation>> {
        let is = |it: &StoredTransformation| !it.library && (it.slug == name || name.parse() == Ok(it.id));
        self.transformations.values().find(|stored| is(&stored.value))
    }
    /// The code of every library, by the name that it is imported by.
    pub fn libraries(&self) -> BTreeMap<String, String> {
        let libraries = self.transformations.values().map(|stored| &stored.value).filter(|it| it.library && it.enabled);
        libraries.map(|library| (library.slug.clone(), library.code.clone())).collect()
    }
    /// The draft of what follows a published template.
    pub fn draft_of(&self, template: TemplateId) -> Option<&Stored<StoredDraft>> {
        self.drafts.values().find(|stored| stored.value.template == template)
    }
    /// How often passes of a project's templates were drawn anew: by another version, or by another name or key that they show.
    /// It rises with every publication, whichever variant a pass has and moves to, so that added to a pass's own times it makes
    /// none repeat.
    pub fn publications_of(&self, project: ProjectId) -> i64 {
        let of_project = self.templates.values().map(|stored| &stored.value).filter(|template| template.project == project);
        of_project.map(|template| i64::from(template.version.saturating_sub(1)) + i64::from(template.redrawn)).sum()
    }
    /// The number of the publication that a pass of this template is drawn by, see [`Stored::changed`]; 0 without one.
    pub fn publication_of(&self, template: TemplateId) -> i64 {
        self.templates.get(&template.uuid()).map_or(0, |stored| stored.changed)
    }
    /// The signer of a pass type.
    pub fn signer_of(&self, pass_type: &str) -> Option<&Stored<StoredSigner>> {
        self.signers.values().find(|stored| stored.value.pass_type == pass_type)
    }
    /// The numbers of the scan keys that are taken; the last one signs.
    pub fn scan_key_numbers(&self) -> std::ops::RangeInclusive<u8> {
        self.scan_keys.values().next().map_or(0..=0, |stored| stored.value.oldest..=stored.value.current)
    }
    /// The account of a Google issuer.
    pub fn google_account_of(&self, issuer: &str) -> Option<&Stored<StoredGoogleAccount>> {
        self.google_accounts.values().find(|stored| stored.value.issuer == issuer)
    }

    pub(crate) fn apply(&mut self, row: &ResourceRow) -> Result<()> {
        match ResourceKind::from_number(row.kind) {
            Some(ResourceKind::Organization) => {
                let mut one = HashMap::new();
                put(&mut one, row)?;
                self.organization = one.into_values().next();
            }
            Some(ResourceKind::Key) => put(&mut self.keys, row)?,
            Some(ResourceKind::Project) => put(&mut self.projects, row)?,
            Some(ResourceKind::Template) => put(&mut self.templates, row)?,
            Some(ResourceKind::Signer) => put(&mut self.signers, row)?,
            Some(ResourceKind::GoogleAccount) => put(&mut self.google_accounts, row)?,
            Some(ResourceKind::Source) => put(&mut self.sources, row)?,
            Some(ResourceKind::Flow) => put(&mut self.flows, row)?,
            Some(ResourceKind::Target) => put(&mut self.targets, row)?,
            Some(ResourceKind::Transformation) => put(&mut self.transformations, row)?,
            Some(ResourceKind::Sync) => put(&mut self.syncs, row)?,
            Some(ResourceKind::Draft) => put(&mut self.drafts, row)?,
            Some(ResourceKind::TemplateVersion) => put(&mut self.versions, row)?,
            Some(ResourceKind::FlowVersion) => put(&mut self.flow_versions, row)?,
            Some(ResourceKind::Inspector) => put(&mut self.inspectors, row)?,
            Some(ResourceKind::ScanKeys) => put(&mut self.scan_keys, row)?,
            Some(ResourceKind::SigningRequest) => put(&mut self.signing_requests, row)?,
            None => return Err(inconsistent(row, "kind", format!("{} is no kind of resource", row.kind))),
        }
        Ok(())
    }
}

fn put<T: Resource>(map: &mut HashMap<Uuid, Stored<T>>, row: &ResourceRow) -> Result<()> {
    if row.deleted {
        map.remove(&row.id);
        return Ok(());
    }
    let value: T = serde_json::from_str(&row.body).map_err(|error| inconsistent(row, "body", error.to_string()))?;
    let stored = Stored {
        value: Arc::new(value),
        revision: row.revision,
        changed: row.changed,
        created_at: row.created_at,
        updated_at: row.updated_at,
    };
    map.insert(row.id, stored);
    Ok(())
}

fn inconsistent(row: &ResourceRow, column: &'static str, why: String) -> StoreError {
    StoreError::Inconsistent { table: "resources", column, row: format!("{} {}", row.kind, row.id), why }
}

/// A snapshot of all configuration, immutable and shared.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The configuration version that it shows.
    pub version: i64,
    orgs: HashMap<OrgId, Arc<OrgCatalog>>,
}

impl Catalog {
    /// An organization's part.
    pub fn org(&self, org: OrgId) -> Option<&Arc<OrgCatalog>> {
        self.orgs.get(&org)
    }
    /// All of one kind in an organization as this snapshot shows it, for a change that is decided on how many there are.
    pub fn unchanged<T: Resource>(&self, org: OrgId) -> Unchanged {
        Unchanged { org, kind: T::KIND.number(), since: self.version }
    }
    /// Every organization's part.
    pub fn orgs(&self) -> impl Iterator<Item = (OrgId, &Arc<OrgCatalog>)> {
        self.orgs.iter().map(|(id, org)| (*id, org))
    }

    /// The snapshot after some changes.
    pub(crate) fn after(&self, rows: &[ResourceRow]) -> Result<Self> {
        let mut next = self.clone();
        for row in rows {
            let org = next.orgs.entry(row.org).or_default();
            Arc::make_mut(org).apply(row)?;
            next.version = next.version.max(row.changed);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_near_from_90_days_before_it_on() {
        let (now, day) = (Timestamp::from_seconds(1_800_000_000), 86_400);
        let of = |seconds: i64| Ending::of(Timestamp::from_seconds(now.as_seconds() + seconds), now).map(Ending::name);
        for (left, expected) in [
            (90 * day + 1, None),
            (90 * day, Some("within_90_days")),
            (30 * day + 1, Some("within_90_days")),
            (30 * day, Some("within_30_days")),
            (7 * day, Some("within_7_days")),
            (1, Some("within_7_days")),
            (0, Some("past")),
            (-day, Some("past")),
        ] {
            assert_eq!(of(left), expected, "{left}");
        }
    }
}
