//! `/e/{project}`: the form that issues a pass to whoever fills it in, and the links that issue one to whoever opens them.
//!
//! Looking creates nothing, so link previews, prefetches and mail scanners do no harm: a link's page sends its form by itself
//! when a browser shows it. (A scanner that runs a page's scripts as a visible page is taken for a person.) Sending a form
//! twice issues once, and a link leads to the same pass whenever it is opened.

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::digest;
use axum::{
    Form as Sent,
    extract::{Query, State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
};
use domain::{
    Action, Actor, Cause, Command, CommandId, ContactId, ContactInput, Doors, IdempotencyKey, IfExists, Issue, LinkCode, OrgId,
    Origin, PassId, Prefill, Project, ProjectId, RejectCode, Validity,
};
use engine::EngineError;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use maud::html;
use store::NameKind;

use super::{
    form::{self, Answers, Form},
    missing, page, private,
};
use crate::{
    App, Client, PathParam, Problem,
    link::{self, Arrival, Link},
};

/// Longest slug that is looked up, in bytes.
const MAX_SLUG_BYTES: usize = 64;

async fn find(app: &App, kind: NameKind, slug: &str) -> Result<Option<(OrgId, Arc<Project>)>, Problem> {
    if slug.len() > MAX_SLUG_BYTES {
        return Ok(None);
    }
    let Some((org, id)) = app.store.look_up(kind, slug.as_bytes()).await? else { return Ok(None) };
    let catalog = app.store.catalog();
    let project = catalog.org(org).and_then(|catalog| catalog.project(ProjectId::from_uuid(id))).cloned();
    Ok(project.filter(|project| project.enrolment).map(|project| (org, project)))
}

/// The way from where a project's page was to where it is, with all that the address carries and a form that was sent there.
async fn moved(app: &App, slug: &str, uri: &Uri) -> Result<Response, Problem> {
    let Some((_, project)) = find(app, NameKind::FormerEnrolment, slug).await? else { return Ok(missing("enrolment form")) };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(private(Redirect::permanent(&format!("/e/{}{query}", project.slug)).into_response()))
}

/// The form, or what a link leads to.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    PathParam(slug): PathParam<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let Some((org, project)) = find(&app, NameKind::Enrolment, &slug).await? else { return moved(&app, &slug, &uri).await };
    let query = Query::<Vec<(String, String)>>::try_from_uri(&uri).map(|query| query.0).unwrap_or_default();
    let referrer = headers.get(header::REFERER).and_then(|value| value.to_str().ok());
    let arrival = link::find(&app, org, &project, &query)?;
    let form = Form::arriving(query, referrer);
    if let Some(closed) = closed(&app, &project, &arrival) {
        return Ok(closed);
    }
    match arrival {
        Arrival::None => draw(&app, org, &project, &form, false),
        Arrival::Broken => Ok(missing("card")),
        Arrival::Link(link) => match known(&app, org, &link, &headers)? {
            Some(code) => Ok(leads_to(&code)),
            None => draw_link(&app, org, &project, &form, &link),
        },
    }
}

/// The form as it was sent: issues the pass and leads to its page, or shows what needs another look.
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    PathParam(slug): PathParam<String>,
    client: Client,
    headers: HeaderMap,
    uri: Uri,
    sent: Result<Sent<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Problem> {
    let Some((org, project)) = find(&app, NameKind::Enrolment, &slug).await? else { return moved(&app, &slug, &uri).await };
    let Sent(pairs) = sent.map_err(|fault| Problem::Malformed(fault.body_text()))?;
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Problem::Malformed("the form was sent from another site: open it here and send it again".to_owned()));
    }
    let arrival = link::find(&app, org, &project, &pairs)?;
    let mut form = Form::sent(pairs);
    if let Some(closed) = closed(&app, &project, &arrival) {
        return Ok(closed);
    }
    form.admit(&project.enrolment_rules).await?;
    match arrival {
        Arrival::None => answered(&app, org, &project, &client, form).await,
        Arrival::Broken => Ok(missing("card")),
        Arrival::Link(link) if form.has_faults() => draw_link(&app, org, &project, &form, &link),
        Arrival::Link(link) if link.prefill.quantity.is_some() => match known(&app, org, &link, &headers)? {
            Some(code) => Ok(leads_to(&code)),
            None => visited_by_one_of_many(&app, org, &project, &client, form, *link).await,
        },
        Arrival::Link(link) => visited(&app, org, &project, &client, form, *link).await,
    }
}

/// A form that was filled in.
async fn answered(app: &App, org: OrgId, project: &Project, client: &Client, mut form: Form) -> Result<Response, Problem> {
    if let Some(answers) = form.read(app, org, project)? {
        match issue(app, org, client, from_answers(app, project, answers)).await {
            Ok(code) => return Ok(leads_to(&code)),
            Err(Problem::Rejected(reject)) if reject.code == RejectCode::KeyReused => {
                form.fault = Some("This form was sent before with other answers. Send it again to get another pass.".to_owned());
                return draw(app, org, project, &form, false);
            }
            Err(Problem::Rejected(reject)) => form.refuse(&reject.path, &reject.message),
            Err(problem) => return Err(problem),
        }
    }
    draw(app, org, project, &form, true)
}

/// A link that was opened, for the first time or again.
async fn visited(app: &App, org: OrgId, project: &Project, client: &Client, form: Form, link: Link) -> Result<Response, Problem> {
    let external_id = link.external_id(app, org)?;
    match issue(app, org, client, from_link(app, project, &form, link.prefill, external_id)).await {
        Ok(code) => Ok(leads_to(&code)),
        Err(Problem::Rejected(reject)) => {
            tracing::warn!(%org, project = %project.id, path = reject.path, fault = reject.message, "a link does not fit its project");
            Ok(missing("card"))
        }
        Err(problem) => Err(problem),
    }
}

/// A link for many that was opened: issues a pass while there are any left, once for each form that we gave.
///
/// The passes of a link are numbered in their external ids, which are unique in the project: so no two visitors get one number,
/// and there are never more than there are numbers, whoever comes at the same time and to whichever node.
async fn visited_by_one_of_many(
    app: &App,
    org: OrgId,
    project: &Project,
    client: &Client,
    mut form: Form,
    link: Link,
) -> Result<Response, Problem> {
    let Some(nonce) = form.nonce(app, org, project)? else {
        form.fault = Some("This page has been open for too long. Try it again.".to_owned());
        return draw_link(app, org, project, &form, &link);
    };
    let (most, name) = (link.prefill.quantity.unwrap_or(1), link.external_id(app, org)?);
    let numbered = |number: u32| format!("{name}-{number}");
    let key = IdempotencyKey { principal: format!("link {name}"), key: nonce, fingerprint: [0; 32], keep_image: true };
    // Who sends a form again has a pass already, also when all are gone.
    let first = first_free(app, org, project.id, most, &numbered).await?.min(most);
    for number in first..=most {
        let (wish, _) = from_link(app, project, &form, link.prefill.clone(), numbered(number));
        let wish = Issue { if_exists: IfExists::Reject, ..wish };
        match issue(app, org, client, (wish, Some(key.clone()))).await {
            Ok(code) => return remembered(app, org, &link, &code),
            Err(Problem::Rejected(reject)) if reject.code == RejectCode::AlreadyExists => {}
            Err(Problem::Rejected(reject)) => {
                tracing::warn!(%org, project = %project.id, path = reject.path, fault = reject.message, "a link does not fit its project");
                return Ok(missing("card"));
            }
            Err(problem) => return Err(problem),
        }
    }
    Ok(notice(project, "All cards of this link are gone."))
}

/// The first number of a link's passes that is free, or one more than there are: they are taken in order.
async fn first_free(
    app: &App,
    org: OrgId,
    project: ProjectId,
    most: u32,
    numbered: &impl Fn(u32) -> String,
) -> Result<u32, Problem> {
    let (mut low, mut high) = (1, most + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match app.store.pass_by_external_id(org, project, &numbered(middle)).await? {
            Some(_) => low = middle + 1,
            None => high = middle,
        }
    }
    Ok(low)
}

/// The pass that a visitor got by this link before, where their browser tells.
fn known(app: &App, org: OrgId, link: &Link, headers: &HeaderMap) -> Result<Option<LinkCode>, Problem> {
    if link.prefill.quantity.is_none() {
        return Ok(None);
    }
    let name = link.cookie(app, org)?;
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = sent.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    Ok(pairs.find(|(found, _)| *found == name).and_then(|(_, code)| code.parse().ok()))
}

/// Leads to the pass, and has the browser keep which it was.
fn remembered(app: &App, org: OrgId, link: &Link, code: &LinkCode) -> Result<Response, Problem> {
    const SECONDS: u32 = 365 * 86_400;
    let secure = if app.url("/").starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{}={code}; Path=/e/; Max-Age={SECONDS}; HttpOnly; SameSite=Lax{secure}", link.cookie(app, org)?);
    let value = HeaderValue::from_str(&cookie).map_err(|error| Problem::Internal(error.to_string()))?;
    let mut response = leads_to(code);
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(response)
}

fn leads_to(code: &LinkCode) -> Response {
    private(Redirect::to(&format!("/p/{code}")).into_response())
}

/// The page for who comes at the wrong time, or without a link where one is needed.
fn closed(app: &App, project: &Project, arrival: &Arrival) -> Option<Response> {
    let text = match project.enrolment_rules.doors(app.now()) {
        Doors::NotYet(opens) => format!("Come back later: this opens on {}.", project.time_zone.told(opens)),
        Doors::Closed => "No more cards are given out here.".to_owned(),
        Doors::Open if project.enrolment_rules.links_only && matches!(arrival, Arrival::None) => {
            "Cards are given out by personal links here. Ask whoever told you of this page for yours.".to_owned()
        }
        Doors::Open => return None,
    };
    Some(notice(project, &text))
}

fn notice(project: &Project, text: &str) -> Response {
    let body = html! { main.notice { h1 { (project.name) } p { (text) } } };
    private((StatusCode::FORBIDDEN, page(&project.name, &[], &body)).into_response())
}

/// What a filled-in form asks for, once for each form.
fn from_answers(app: &App, project: &Project, answers: Answers) -> (Issue, Option<IdempotencyKey>) {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(format!("{:?} {:?}", answers.contact, answers.fields).as_bytes());
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(hash.finish().as_ref());
    let principal = format!("enrolment {}", project.id);
    let key = IdempotencyKey { principal, key: answers.nonce, fingerprint, keep_image: true };
    let issue = Issue { contact: Some(answers.contact), fields: answers.fields, origin: answers.origin, ..blank(app, project) };
    (issue, Some(key))
}

/// What a link asks for, once for each external id.
fn from_link(
    app: &App,
    project: &Project,
    form: &Form,
    prefill: Prefill,
    external_id: String,
) -> (Issue, Option<IdempotencyKey>) {
    let mut origin = form.origin();
    origin.utm.extend(prefill.utm);
    let issue = Issue {
        external_id: Some(external_id),
        variant: prefill.variant,
        contact: Some(prefill.contact).filter(|contact| *contact != ContactInput::default()),
        fields: prefill.fields,
        balances: prefill.balances,
        validity: prefill.validity,
        origin,
        if_exists: IfExists::Keep,
        ..blank(app, project)
    };
    (issue, None)
}

fn blank(app: &App, project: &Project) -> Issue {
    let now = app.now();
    Issue {
        id: PassId::mint(now, &*app.entropy),
        code: LinkCode::mint(&*app.entropy),
        project: project.id,
        variant: None,
        external_id: None,
        contact: None,
        new_contact: ContactId::mint(now, &*app.entropy),
        fields: BTreeMap::new(),
        balances: BTreeMap::new(),
        validity: Validity::default(),
        uses_limit: None,
        inactive: false,
        origin: Origin::default(),
        if_exists: IfExists::Reject,
        undoes: None,
    }
}

/// Issues the pass; the code of its page.
async fn issue(
    app: &App,
    org: OrgId,
    client: &Client,
    (mut issue, key): (Issue, Option<IdempotencyKey>),
) -> Result<LinkCode, Problem> {
    issue.origin.ip = client.ip.map(|ip| ip.to_string());
    let command = Command {
        id: CommandId::mint(app.now(), &*app.entropy),
        org,
        actor: Actor::Holder,
        cause: Cause::Page,
        key,
        told: None,
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

fn draw_link(app: &App, org: OrgId, project: &Project, form: &Form, link: &Link) -> Result<Response, Problem> {
    let token = link.prefill.quantity.map(|_| form::mint(app, org, project, app.now())).transpose()?;
    let body = html! {
        main.enrol {
            h1 { (project.name) }
            p {
                @if let Some(name) = &link.prefill.contact.name { (name) ", your" } @else { "Your" }
                " card is ready for your phone's wallet."
            }
            (form.draw_link(link, &project.enrolment_rules, token.as_deref()))
        }
    };
    let status = if form.has_faults() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(private((status, page(&project.name, &[], &body)).into_response()))
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
