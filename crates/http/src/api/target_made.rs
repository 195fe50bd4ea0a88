//! What people write for their webhooks and destinations: the condition under which an event is sent, and what makes its body. Both
//! are checked and tried on a sample before they are saved.

use connectors::native;
use domain::{Payload, Target};
use flows::{
    fql::{self, Condition},
    payload::Body,
};
use script::Transformed;
use serde_json::Value;
use store::OrgCatalog;
use utoipa::ToSchema;

use super::transformations::{self, Indoors};
use crate::{FieldError, Problem};

/// What makes a body out of an event in our own shape: one of the three.
#[derive(ToSchema)]
#[schema(as = WebhookPayload, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `domain::Payload` in the document")]
pub(super) enum PayloadInput {
    /// A text with placeholders in Jinja's syntax: `{"name": {{ traits.name | tojson }}}`. At most 8 KiB, and 16 KiB once filled.
    #[schema(title = "ByTemplate")]
    Template {
        /// The text.
        #[schema(max_length = 8192)]
        text: String,
        /// What it is; JSON is checked for being some.
        #[schema(required = false, default = "json")]
        content: ContentInput,
    },
    /// JSON with directives of Segment's mapping kit among its values, as in flows.
    #[schema(title = "ByMapping", value_type = Value)]
    Mapping(Value),
    /// A transformation, slug or id: it is given the event and what it returns is sent as JSON; what it leaves out is not sent.
    #[schema(title = "ByTransformation")]
    Transformation(String),
}

/// What a body is.
#[derive(ToSchema)]
#[schema(as = WebhookContent, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `domain::Content` in the document")]
pub(super) enum ContentInput {
    /// `application/json`
    Json,
    /// `text/plain`
    Text,
    /// `application/xml`; values are escaped
    Xml,
    /// `application/x-www-form-urlencoded`; values are percent-encoded
    Form,
}

/// Refuses conditions and payloads that cannot work, with the place of the fault.
pub(super) async fn check(catalog: &OrgCatalog, target: &Target) -> Result<(), Problem> {
    if let Some(filter) = &target.filter {
        condition(filter)?;
    }
    let Some(payload) = &target.payload else { return Ok(()) };
    let shape = connectors::catalog::find(&target.dialect);
    if !shape.is_some_and(|shape| shape.settings.iter().any(|setting| setting.name == "payload")) {
        let detail = match shape.and_then(|shape| shape.destination?.vendor) {
            None => "this shape signs its own body: choose native, flat or standard-webhooks, or leave it out",
            Some(_) => "this service has a body of its own: choose http-call, or leave it out",
        };
        return Err(Problem::field("payload", detail));
    }
    match Body::compile(payload).map_err(problems)? {
        Some(body) => body.fill(&native::sample()).map(drop).map_err(|problem| problems(vec![problem])),
        None => code(catalog, payload).await,
    }
}

fn condition(text: &str) -> Result<(), Problem> {
    let condition: Condition = fql::parse(text).map_err(|error| Problem::field("filter", error.to_string()))?;
    condition.compile().map(drop).map_err(|found| {
        Problem::Invalid(found.into_iter().map(|problem| FieldError::new("filter", problem.to_string())).collect())
    })
}

fn problems(found: Vec<flows::Problem>) -> Problem {
    let field = |problem: flows::Problem| FieldError::new(problem.clone().under("payload").path, problem.message);
    Problem::Invalid(found.into_iter().map(field).collect())
}

async fn code(catalog: &OrgCatalog, payload: &Payload) -> Result<(), Problem> {
    let Payload::Transformation(name) = payload else { return Ok(()) };
    let at = "payload.transformation";
    let missing = || Problem::field(at, format!("there is no transformation `{name}` that is switched on: make it first"));
    let ready = transformations::of_flow(catalog, name).ok().flatten().ok_or_else(missing)?;
    let tried = transformations::blocking(move || {
        let event = native::sample();
        let arrived = [flows::transform::Arrived { event: &event, source: None, received_at: domain::Timestamp::default() }];
        ready.run(&arrived, Indoors::host(), &script::Limits::default()).events
    });
    match tried.await?.pop() {
        Some(Transformed::Failed(fault)) => Err(Problem::field(at, format!("it fails on a sample event: {fault}"))),
        _ => Ok(()),
    }
}
