//! Enrolment links: the address of a project's form with what the pass will say, sealed by us or encrypted as PassKit's
//! SmartPass. Both keys come from the organization's key, the project and its link epoch, so that nothing is kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use connectors::passkit::smart_pass;
use domain::{OrgId, Prefill, Project};

use crate::{App, Problem};

/// What a link carries its text in: ours, and PassKit's two.
pub(crate) const SEALED: &str = "link";
const DATA: &str = "data";
const IV: &str = "iv";
/// Longest text that is looked at, in bytes.
const MAX_BYTES: usize = 16 << 10;

/// A link that somebody came by.
#[derive(Debug)]
pub(crate) struct Link {
    /// What it knows.
    pub(crate) prefill: Prefill,
    /// What it carried, to be sent with the form.
    pub(crate) parts: Vec<(&'static str, String)>,
}

/// What was found among the parameters of a request.
pub(crate) enum Arrival {
    /// No link.
    None,
    /// A link that is not ours, or does not fit its project any more.
    Broken,
    /// A link.
    Link(Box<Link>),
}

/// Finds the link among parameters.
pub(crate) fn find(app: &App, org: OrgId, project: &Project, pairs: &[(String, String)]) -> Result<Arrival, Problem> {
    let value = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str());
    let (prefill, parts) = if let Some(sealed) = value(SEALED) {
        (open(app, org, project, sealed)?, vec![(SEALED, sealed.to_owned())])
    } else if let (Some(data), Some(iv)) = (value(DATA), value(IV)) {
        let parts = vec![(DATA, data.to_owned()), (IV, iv.to_owned())];
        (open_smart_pass(app, org, project, data, iv)?, parts)
    } else {
        return Ok(Arrival::None);
    };
    Ok(prefill.map_or(Arrival::Broken, |prefill| Arrival::Link(Box::new(Link { prefill, parts }))))
}

fn open_smart_pass(app: &App, org: OrgId, project: &Project, data: &str, iv: &str) -> Result<Option<Prefill>, Problem> {
    if data.len() > MAX_BYTES {
        return Ok(None);
    }
    let Some(names) = smart_pass::open(&smart_pass_key(app, org, project)?, data, iv) else { return Ok(None) };
    match smart_pass::read(&names, project) {
        Ok(prefill) => Ok(Some(prefill)),
        Err(fault) => {
            tracing::warn!(%org, project = %project.id, fault, "a SmartPass link does not fit its project");
            Ok(None)
        }
    }
}

fn open(app: &App, org: OrgId, project: &Project, sealed: &str) -> Result<Option<Prefill>, Problem> {
    if sealed.len() > MAX_BYTES {
        return Ok(None);
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(sealed) else { return Ok(None) };
    let opened = app.store.keyring().open_secret(org, context(project).as_bytes(), &bytes);
    Ok(opened.ok().and_then(|text| serde_json::from_slice(&text).ok()))
}

/// The address that issues such a pass.
pub(crate) fn seal(app: &App, org: OrgId, project: &Project, prefill: &Prefill) -> Result<String, Problem> {
    let text = serde_json::to_vec(prefill).map_err(|error| Problem::Internal(error.to_string()))?;
    let sealed = app.store.keyring().seal_secret(org, context(project).as_bytes(), &text)?;
    Ok(format!("{}?{SEALED}={}", page(app, project), URL_SAFE_NO_PAD.encode(sealed)))
}

/// The address of a project's form, which links begin with.
pub(crate) fn page(app: &App, project: &Project) -> String {
    app.url(&format!("/e/{}", project.slug))
}

/// The key that SmartPass generators need.
pub(crate) fn smart_pass_key(app: &App, org: OrgId, project: &Project) -> Result<[u8; 32], Problem> {
    let mut key = [0; 32];
    for (half, place) in key.chunks_exact_mut(16).enumerate() {
        place.copy_from_slice(&app.store.keyring().blind(org, "SmartPass key", &format!("{} {half}", context(project)))?);
    }
    Ok(key)
}

fn context(project: &Project) -> String {
    format!("enrolment link {} {}", project.id, project.enrolment_rules.link_epoch)
}

impl Link {
    /// The cookie that keeps which pass a visitor got by a link for many.
    pub(crate) fn cookie(&self, app: &App, org: OrgId) -> Result<String, Problem> {
        Ok(format!("card-{}", self.external_id(app, org)?))
    }

    /// Names the link's pass in the project, where the link does not: whoever opens it again finds the same pass.
    pub(crate) fn external_id(&self, app: &App, org: OrgId) -> Result<String, Problem> {
        if let Some(given) = &self.prefill.external_id {
            return Ok(given.clone());
        }
        let whole: Vec<&str> = self.parts.iter().map(|part| part.1.as_str()).collect();
        let hash = app.store.keyring().blind(org, "enrolment link", &whole.join(" "))?;
        Ok(format!("link-{}", URL_SAFE_NO_PAD.encode(hash)))
    }
}
