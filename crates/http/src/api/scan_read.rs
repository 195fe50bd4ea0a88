//! What a text that a reader read may stand for.
//!
//! A barcode holds whatever a design says: an id, an external id, a person's number, an address of ours, or a signed code.
//! Each reading that is possible becomes a reference; the engine takes the first that there is. Where several projects know
//! a text, the one that was made first goes first, so that the same text is the same pass on every node and day. The only
//! look-up made here is that of a link code, which the directory alone knows.

use std::{collections::BTreeSet, sync::Arc};

use domain::{ContactRef, OrgId, PassId, PassRef, ProjectId, Proof, Timestamp};
use scan_code::{Reader, Rotation};
use store::{NameKind, OrgCatalog};

use crate::{App, Problem};

/// Most projects in which a bare external id is looked for when the reader names none.
const MAX_PROJECTS: usize = 200;
/// Most bytes of a serial number.
const MAX_SERIAL_BYTES: usize = 256;
/// Most bytes that a barcode can hold: those of a QR code of version 40.
pub(crate) const MAX_CODE_BYTES: usize = 2_953;

/// What was read.
pub(crate) struct Reading {
    /// What it may stand for, likeliest first.
    pub(crate) passes: Vec<PassRef>,
    /// What it proves.
    pub(crate) proof: Proof,
}

/// Reads a code.
pub(crate) async fn read(
    app: &Arc<App>,
    org: OrgId,
    catalog: &OrgCatalog,
    code: &str,
    project: Option<ProjectId>,
    at: Timestamp,
) -> Result<Reading, Problem> {
    let code = code.trim();
    if scan_code::is_ours(code) {
        return signed(app, org, catalog, code, at);
    }
    let mut readings = Readings::default();
    readings.named("pass.serial", code, None);
    readings.named("pass.code", link_code(code), None);
    let templates = catalog.templates.values().map(|stored| &stored.value);
    let mut templates: Vec<_> = templates.filter(|it| project.is_none_or(|only| only == it.project)).collect();
    templates.sort_unstable_by_key(|template| (template.project, template.id));
    for template in templates {
        let read = template.design.barcode.as_ref().and_then(|barcode| barcode.value.read_back(code));
        if let Some((name, value)) = read {
            readings.named(name, value, Some(template.project));
        }
    }
    let projects = catalog.projects.values().map(|stored| stored.value.id);
    let mut projects: Vec<_> = projects.filter(|id| project.is_none_or(|only| only == *id)).collect();
    projects.sort_unstable();
    for project in projects.into_iter().take(MAX_PROJECTS) {
        readings.named("pass.external_id", code, Some(project));
    }
    for serial in &readings.serials {
        if let Some(pass) = foreign(app, org, catalog, project, serial).await? {
            readings.passes.push(PassRef::Id(pass));
        }
    }
    for code in readings.codes {
        match app.store.look_up(NameKind::LinkCode, code.as_bytes()).await? {
            Some((owner, pass)) if owner == org => readings.passes.push(PassRef::Id(PassId::from_uuid(pass))),
            _ => {}
        }
    }
    Ok(Reading { passes: readings.passes, proof: Proof::None })
}

/// The link code in the address of a pass's page, also with what a campaign adds behind it; else the text itself.
fn link_code(text: &str) -> &str {
    let page = text.rsplit_once("/p/").map(|(_, code)| code.split(['?', '#']).next().unwrap_or(code));
    page.unwrap_or(text)
}

/// The pass that came with a serial number of its own, under any of the organization's pass types.
async fn foreign(
    app: &Arc<App>,
    org: OrgId,
    catalog: &OrgCatalog,
    project: Option<ProjectId>,
    serial: &str,
) -> Result<Option<PassId>, Problem> {
    let projects = catalog.projects.values().map(|stored| &stored.value).filter(|it| project.is_none_or(|only| only == it.id));
    let types: BTreeSet<&str> = projects.filter_map(|project| project.apple_pass_type.as_deref()).collect();
    for pass_type in types.into_iter().take(MAX_PROJECTS) {
        if let Some(pass) = crate::apple::foreign(app, org, pass_type, serial).await? {
            return Ok(Some(pass));
        }
    }
    Ok(None)
}

/// A code that claims to be signed by us. What proves to be is taken at its word about which pass it is, and nothing else:
/// the pass itself says when it is valid.
fn signed(app: &Arc<App>, org: OrgId, catalog: &OrgCatalog, code: &str, at: Timestamp) -> Result<Reading, Problem> {
    match reader(app, org, catalog)?.verify(code, at.as_seconds()) {
        Some(Ok(verified)) => {
            let proof = Proof::Signed { epoch: verified.ticket.epoch, stale: verified.rotation == Rotation::Stale };
            Ok(Reading { passes: vec![PassRef::Id(PassId::from_uuid(verified.ticket.pass))], proof })
        }
        _ => Ok(Reading { passes: Vec::new(), proof: Proof::Forged }),
    }
}

/// What verifies an organization's codes.
pub(crate) fn reader(app: &Arc<App>, org: OrgId, catalog: &OrgCatalog) -> Result<Reader, Problem> {
    let keys = catalog.scan_key_numbers().map(|number| app.packages.codes_of(app, org, number).map(|key| key.reader_key()));
    Ok(Reader { organization: org.uuid(), keys: keys.collect::<Result<_, _>>()? })
}

#[derive(Default)]
struct Readings {
    passes: Vec<PassRef>,
    codes: Vec<String>,
    /// Serial numbers that are not ours.
    serials: Vec<String>,
}

impl Readings {
    /// What a value of a placeholder of that name stands for; nothing for names that passes are not found by.
    fn named(&mut self, name: &str, value: &str, project: Option<ProjectId>) {
        if name == "pass.serial"
            && value.parse::<PassId>().is_err()
            && value.len() <= MAX_SERIAL_BYTES
            && !self.serials.iter().any(|known| known == value)
        {
            self.serials.push(value.to_owned());
        }
        let pass = match (name, project) {
            ("pass.id" | "pass.serial", _) => value.parse().ok().map(PassRef::Id),
            ("pass.code", _) => {
                let code = value.parse::<domain::LinkCode>().is_ok() && !self.codes.iter().any(|known| known == value);
                self.codes.extend(code.then(|| value.to_owned()));
                None
            }
            ("pass.external_id", Some(project)) => Some(PassRef::External { project, external_id: value.to_owned() }),
            ("contact.external_id", Some(project)) => {
                Some(PassRef::OfContact { project, contact: ContactRef::External(value.to_owned()) })
            }
            ("contact.email", Some(project)) => {
                Some(PassRef::OfContact { project, contact: ContactRef::Email(value.to_owned()) })
            }
            _ => None,
        };
        if let Some(pass) = pass.filter(|pass| !self.passes.contains(pass)) {
            self.passes.push(pass);
        }
    }
}
