//! `/e/{project}`: the form that issues a pass to whoever fills it in. Looking at it creates nothing, so link previews and
//! mail scanners do no harm; sending it twice issues once.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::{
    Form as Sent,
    extract::{Query, State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
};
use domain::{
    Action, Actor, Cause, Command, CommandId, ContactId, IdempotencyKey, IfExists, Issue, LinkCode, OrgId, PassId, Project,
    ProjectId, RejectCode, Validity,
};
use engine::EngineError;
use http::{HeaderMap, StatusCode, Uri, header};
use maud::html;
use store::NameKind;

use super::{
    form::{Answers, Form},
    missing, page, private,
};
use crate::{App, Client, PathParam, Problem};

/// Longest slug that is looked up, in bytes.
const MAX_SLUG_BYTES: usize = 64;

async fn find(app: &App, slug: &str) -> Result<Option<(OrgId, Arc<Project>)>, Problem> {
    if slug.len() > MAX_SLUG_BYTES {
        return Ok(None);
    }
    let Some((org, id)) = app.store.look_up(NameKind::Enrolment, slug.as_bytes()).await? else { return Ok(None) };
    let catalog = app.store.catalog();
    let project = catalog.org(org).and_then(|catalog| catalog.project(ProjectId::from_uuid(id))).cloned();
    Ok(project.filter(|project| project.enrolment).map(|project| (org, project)))
}

/// The form.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    PathParam(slug): PathParam<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let Some((org, project)) = find(&app, &slug).await? else { return Ok(missing("enrolment form")) };
    let query = Query::<Vec<(String, String)>>::try_from_uri(&uri).map(|query| query.0).unwrap_or_default();
    let referrer = headers.get(header::REFERER).and_then(|value| value.to_str().ok());
    draw(&app, org, &project, &Form::arriving(query, referrer), false)
}

/// The form as it was sent: issues the pass and leads to its page, or shows what needs another look.
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    PathParam(slug): PathParam<String>,
    client: Client,
    headers: HeaderMap,
    sent: Result<Sent<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Problem> {
    let Some((org, project)) = find(&app, &slug).await? else { return Ok(missing("enrolment form")) };
    let Sent(pairs) = sent.map_err(|fault| Problem::Malformed(fault.body_text()))?;
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Problem::Malformed("the form was sent from another site: open it here and send it again".to_owned()));
    }
    let mut form = Form::sent(pairs);
    if let Some(answers) = form.read(&app, org, &project)? {
        match issue(&app, org, &project, &client, answers).await {
            Ok(code) => return Ok(private(Redirect::to(&format!("/p/{code}")).into_response())),
            Err(Problem::Rejected(reject)) if reject.code == RejectCode::KeyReused => {
                form.fault = Some("This form was sent before with other answers. Send it again to get another pass.".to_owned());
                return draw(&app, org, &project, &form, false);
            }
            Err(Problem::Rejected(reject)) => form.refuse(&reject.path, &reject.message),
            Err(problem) => return Err(problem),
        }
    }
    draw(&app, org, &project, &form, true)
}

/// Issues the pass, once for each form; the code of its page.
async fn issue(app: &App, org: OrgId, project: &Project, client: &Client, answers: Answers) -> Result<LinkCode, Problem> {
    let now = app.now();
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(format!("{:?} {:?}", answers.contact, answers.fields).as_bytes());
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(hash.finish().as_ref());
    let principal = format!("enrolment {}", project.id);
    let mut origin = answers.origin;
    origin.ip = client.ip.map(|ip| ip.to_string());
    let issue = Issue {
        id: PassId::mint(now, &*app.entropy),
        code: LinkCode::mint(&*app.entropy),
        project: project.id,
        variant: None,
        external_id: None,
        contact: Some(answers.contact),
        new_contact: ContactId::mint(now, &*app.entropy),
        fields: answers.fields,
        balances: std::collections::BTreeMap::new(),
        validity: Validity::default(),
        uses_limit: None,
        inactive: false,
        origin,
        if_exists: IfExists::Reject,
    };
    let command = Command {
        id: CommandId::mint(now, &*app.entropy),
        org,
        actor: Actor::Holder,
        cause: Cause::Page,
        key: Some(IdempotencyKey { principal, key: answers.nonce, fingerprint, keep_image: true }),
        action: Action::Issue(Box::new(issue)),
    };
    let outcome = app.engine.submit(command).await.map_err(|error: EngineError| Problem::from(error))?;
    let lost = || Problem::Internal("a pass was issued and is not there".to_owned());
    match (outcome.pass, outcome.answer.pass()) {
        (Some(pass), _) => Ok(pass.code),
        (None, Some(id)) => Ok(app.store.pass(org, id).await?.ok_or_else(lost)?.code),
        (None, None) => Err(lost()),
    }
}

fn draw(app: &App, org: OrgId, project: &Project, form: &Form, keep_token: bool) -> Result<Response, Problem> {
    let body = html! {
        main.enrol {
            h1 { (project.name) }
            p { "Fill this in and put your card into your phone's wallet." }
            (form.draw(app, org, project, keep_token)?)
        }
    };
    let status = if form.has_faults() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(private((status, page(&project.name, &[], &body)).into_response()))
}
