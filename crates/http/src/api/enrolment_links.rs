//! `/v1/projects/{project}/links`: addresses that issue a pass on the first visit, with what it will say.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use domain::{Amount, ContactInput, FieldValue, Prefill, Project, ProjectId, Timestamp, Validity, VariantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config,
    contacts::ContactSchema,
    schema::{self, AmountInput, IdText, TimeText},
};
use crate::{
    App, Body, FieldError, PathParam, Problem,
    auth::{Can, scope},
    link,
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(key, make))
}

/// What a link's pass will say.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LinkInput)]
#[serde(deny_unknown_fields)]
struct LinkInput {
    /// Who will hold it.
    #[serde(default)]
    #[schema(value_type = ContactSchema, required = false)]
    contact: ContactInput,
    /// The id that your own systems know the pass by: every link with it leads to the same pass. Without it, this link is one.
    external_id: Option<String>,
    /// Its variant; the project's first unless given.
    #[schema(value_type = Option<String>)]
    variant: Option<VariantId>,
    /// Its own fields.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, schema::FieldValue>)]
    fields: BTreeMap<String, FieldValue>,
    /// Its balances, over the project's starting ones.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, AmountInput>)]
    balances: BTreeMap<String, Amount>,
    /// The pass is not valid before.
    #[schema(value_type = Option<TimeText>)]
    starts_at: Option<Timestamp>,
    /// The pass is not valid from then on.
    #[schema(value_type = Option<TimeText>)]
    expires_at: Option<Timestamp>,
    /// Campaign parameters without their `utm_` prefix.
    #[serde(default)]
    utm: BTreeMap<String, String>,
    /// For a link that many may open: how many passes it issues at most, one for each visitor. Without it a link issues one
    /// pass, and whoever opens it finds that. A pass that is deleted makes room for another.
    #[schema(minimum = 1, maximum = 100_000)]
    quantity: Option<u32>,
}

/// Most passes of one link.
const MAX_QUANTITY: u32 = 100_000;

/// An enrolment link.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EnrolmentLink)]
struct View {
    /// Its address.
    url: String,
}

/// What PassKit's SmartPass generators are given, to make links by themselves.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SmartPass)]
struct SmartPass {
    /// The address that links begin with; generators call it the distribution URL.
    url: String,
    /// The AES-256 key as 64 hexadecimal digits. Whoever has it can issue passes of this project.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    key: String,
}

impl LinkInput {
    fn check(self, project: &Project) -> Result<Prefill, Problem> {
        let mut faults = Vec::new();
        let mut fault = |path: String, message: &str| faults.push(FieldError::new(path, message));
        if self.variant.is_some() && project.variant(self.variant.as_ref()).is_none() {
            fault("variant".to_owned(), "no such variant of this project");
        }
        for (key, value) in &self.fields {
            match project.field(key).map(|field| field.misfit(value)) {
                None => fault(format!("fields.{key}"), "no such field of this project"),
                Some(Some(misfit)) => fault(format!("fields.{key}"), misfit),
                Some(None) => {}
            }
        }
        for field in project.fields.iter().filter(|field| field.required && field.default.is_none()) {
            if !self.fields.contains_key(&field.key) {
                fault(format!("fields.{}", field.key), "the project's passes cannot be without it");
            }
        }
        for name in self.balances.keys().filter(|name| !project.balances.contains_key(*name)) {
            fault(format!("balances.{name}"), "no such balance of this project");
        }
        if self.quantity.is_some_and(|quantity| !(1..=MAX_QUANTITY).contains(&quantity)) {
            fault("quantity".to_owned(), "expected 1 to 100000 passes");
        }
        if self.quantity.is_some() && self.external_id.is_some() {
            fault("external_id".to_owned(), "would lead all visitors to one pass: leave it or `quantity` out");
        }
        if self.quantity.is_some() && self.contact != ContactInput::default() {
            fault("contact".to_owned(), "would be the holder of every visitor's pass: leave it or `quantity` out");
        }
        if !project.enrolment {
            fault(String::new(), "the project has no enrolment page: set `enrolment` of the project to true");
        }
        if !faults.is_empty() {
            return Err(Problem::Invalid(faults));
        }
        Ok(Prefill {
            contact: self.contact,
            external_id: self.external_id,
            variant: self.variant,
            fields: self.fields,
            balances: self.balances,
            validity: Validity { starts_at: self.starts_at, expires_at: self.expires_at },
            utm: self.utm,
            quantity: self.quantity,
        })
    }
}

fn project(app: &Arc<App>, org: domain::OrgId, id: ProjectId) -> Result<Arc<Project>, Problem> {
    let catalog = config::org(app, org)?;
    Ok(config::one(&catalog.projects, id.uuid(), "project")?.value.clone())
}

/// Make an enrolment link.
///
/// Its address carries what the pass will say, sealed. The pass is issued when somebody opens the link, and whoever opens it
/// again finds the same pass. Nothing is kept until then: links cost nothing, and are void when the project's `link_epoch` changes.
#[utoipa::path(post, path = "/v1/projects/{project}/links", tag = "Projects", security(("key" = ["passes_write"])),
    params(("project" = IdText, Path, description = "Its id.")),
    request_body = LinkInput, responses((status = 200, body = View, description = "The link.")))]
async fn make(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ProjectId>,
    body: Body<LinkInput>,
) -> Result<Json<View>, Problem> {
    let project = project(&app, can.org, id)?;
    let prefill = body.value.check(&project)?;
    Ok(Json(View { url: link::seal(&app, can.org, &project, &prefill)? }))
}

/// Read what SmartPass generators need.
///
/// PassKit's published generators make links to this project when they are given this address and key; both of their encodings are
/// read. The key changes with the project's `link_epoch`.
#[utoipa::path(get, path = "/v1/projects/{project}/links", tag = "Projects", security(("key" = ["passes_write"])),
    params(("project" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = SmartPass, description = "Address and key.")))]
async fn key(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ProjectId>,
) -> Result<Json<SmartPass>, Problem> {
    let project = project(&app, can.org, id)?;
    let key = link::smart_pass_key(&app, can.org, &project)?;
    Ok(Json(SmartPass { url: link::page(&app, &project), key: key.iter().map(|byte| format!("{byte:02x}")).collect() }))
}
