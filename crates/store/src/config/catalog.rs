//! The snapshot of all configuration that every worker and request looks at.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

use domain::{ApiKey, OrgId, Organization, Project, ProjectId, Source, Template, TemplateId, Terms};
use uuid::Uuid;

use super::{
    Resource, ScanKeys, Stored, StoredDraft, StoredFlow, StoredFlowVersion, StoredGoogleAccount, StoredInspector, StoredSigner,
    StoredSigningRequest, StoredTransformation, StoredVersion,
};
use crate::{
    error::{Result, StoreError},
    kinds::ResourceKind,
    rows::{ResourceRow, Unchanged},
    syncs::StoredSync,
    targets::StoredTarget,
};

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
    /// The last terms of a target in each project and shape, for those after it that have the same.
    terms: HashMap<(Option<ProjectId>, String), Weak<Terms>>,
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
            Some(ResourceKind::Target) => {
                put(&mut self.targets, row)?;
                self.tighten(row.id);
            }
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

    /// Lets a target that was just put take no more memory than it needs, and hold its terms together with the one before of its
    /// project and shape: there may be thousands, of which most have nothing but an address of their own.
    fn tighten(&mut self, id: Uuid) {
        let Some(stored) = self.targets.get_mut(&id).and_then(|stored| Arc::get_mut(&mut stored.value)) else { return };
        stored.sealed_secrets.shrink_to_fit();
        let terms = &mut stored.target.terms;
        let last = self.terms.entry((terms.project, terms.dialect.clone())).or_default();
        match last.upgrade().filter(|held| held == terms) {
            Some(held) => *terms = held,
            None => *last = Arc::downgrade(terms),
        }
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

    /// Makes it the snapshot after some changes.
    pub(crate) fn apply(&mut self, rows: &[ResourceRow]) -> Result<()> {
        for row in rows {
            let org = self.orgs.entry(row.org).or_default();
            Arc::make_mut(org).apply(row)?;
            self.version = self.version.max(row.changed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::{Target, TargetId, Timestamp};

    use super::*;

    fn row(id: u128, url: &str, change: impl FnOnce(&mut Target)) -> ResourceRow {
        let at = Timestamp::from_seconds(0);
        let mut target = Target::new(TargetId::from_uuid(Uuid::from_u128(id)), "Hook", url, at);
        change(&mut target);
        let stored = StoredTarget {
            target,
            sealed_headers: BTreeMap::new(),
            sealed_credentials: BTreeMap::new(),
            sealed_settings: BTreeMap::new(),
            sealed_secrets: Vec::new(),
        };
        ResourceRow {
            org: OrgId::from_uuid(Uuid::from_u128(1)),
            kind: ResourceKind::Target.number(),
            id: Uuid::from_u128(id),
            slug: None,
            body: serde_json::to_string(&stored).unwrap(),
            revision: 1,
            changed: 1,
            deleted: false,
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn targets_hold_the_same_terms_once() {
        let filtered = |target: &mut Target| target.filter = Some("type = \"pass.created\"".to_owned());
        let rows = [
            row(1, "https://one.example.com", |_| ()),
            row(2, "https://two.example.com", |_| ()),
            row(3, "https://three.example.com", filtered),
            row(4, "https://four.example.com", filtered),
        ];
        let mut catalog = Catalog::default();
        catalog.apply(&rows[..1]).unwrap();
        let before = catalog.clone();
        catalog.apply(&rows[1..]).unwrap();
        let org = Arc::clone(catalog.org(rows[0].org).unwrap());
        let terms = |id: u128| &org.targets[&Uuid::from_u128(id)].value.target.terms;
        assert!(Arc::ptr_eq(terms(1), terms(2)) && Arc::ptr_eq(terms(3), terms(4)) && terms(1) != terms(3));
        assert_eq!(before.org(rows[0].org).unwrap().targets.len(), 1);
        let mut own = StoredTarget::clone(&org.targets[&Uuid::from_u128(1)].value).target;
        own.enabled = false;
        assert!(terms(2).enabled && own.url == "https://one.example.com", "what is changed is its own");
    }
}
