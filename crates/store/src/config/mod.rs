//! Configuration in domain words: what is configured, each a kind of its own, and the snapshot of it.

mod catalog;
mod flows;
mod signers;
mod templates;

use std::sync::Arc;

use domain::{ApiKey, InspectorId, Organization, Project, Source, Template, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub use catalog::{Catalog, OrgCatalog};
pub use flows::{StoredFlow, StoredFlowVersion, StoredTransformation};
pub use signers::{Ending, PreviousSigner, ScanKeys, StoredGoogleAccount, StoredSigner, StoredSigningRequest, ToldEnding};
pub use templates::{StoredDraft, StoredVersion};

use crate::{kinds::ResourceKind, syncs::StoredSync, targets::StoredTarget};

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

macro_rules! resource {
    (@held $org:ident $key:ident organization) => {
        $org.organization.as_ref().filter(|stored| stored.value.id.uuid() == $key)
    };
    (@held $org:ident $key:ident $map:ident) => {
        $org.$map.get(&$key)
    };
    ($type:ty, $kind:ident, $map:ident, $($id:ident).+ $(, slug: $slug:ident)?) => {
        impl Resource for $type {
            const KIND: ResourceKind = ResourceKind::$kind;
            fn id(&self) -> Uuid {
                self.$($id).+.uuid()
            }
            fn held(org: &OrgCatalog, id: Uuid) -> Option<&Stored<Self>> {
                resource!(@held org id $map)
            }
            $(fn slug(&self) -> Option<&str> {
                Some(&self.$slug)
            })?
        }
    };
}
resource!(Organization, Organization, organization, id);
resource!(ApiKey, Key, keys, id);
resource!(Project, Project, projects, id, slug: slug);
resource!(Template, Template, templates, id);
resource!(StoredDraft, Draft, drafts, id, slug: slug);
resource!(StoredVersion, TemplateVersion, versions, id);
resource!(StoredSigner, Signer, signers, id, slug: pass_type);
resource!(StoredSigningRequest, SigningRequest, signing_requests, id);
resource!(StoredGoogleAccount, GoogleAccount, google_accounts, id, slug: issuer);
resource!(ScanKeys, ScanKeys, scan_keys, id);
resource!(Source, Source, sources, id, slug: slug);
resource!(StoredFlow, Flow, flows, id, slug: slug);
resource!(StoredFlowVersion, FlowVersion, flow_versions, id);
resource!(StoredTransformation, Transformation, transformations, id, slug: slug);
resource!(StoredTarget, Target, targets, target.id);
resource!(StoredSync, Sync, syncs, id, slug: slug);
resource!(StoredInspector, Inspector, inspectors, id, slug: bin);
