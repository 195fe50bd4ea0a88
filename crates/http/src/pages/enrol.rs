//! `/e/{project}`: a plain form that issues a pass. Only sending it issues one, so link previews and mail scanners create
//! nothing; sending the same form twice shows the same pass.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Form,
    extract::{RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use domain::{
    Action, Actor, Cause, Command, CommandId, ContactId, ContactInput, FieldDef, FieldType, FieldValue, Id, IdempotencyKey,
    IfExists, Issue, LinkCode, OrgId, Origin, PassId, Project, ProjectId, Reject, Validity,
};
use engine::EngineError;
use http::{HeaderMap, StatusCode, header};
use maud::{Markup, html};
use store::NameKind;

use super::{missing, page, private};
use crate::{App, Client, PathParam, Problem, seen};

/// Most bytes of one campaign parameter or of the referrer.
const MAX_ORIGIN_BYTES: usize = 256;
const UTM: [&str; 5] = ["source", "medium", "campaign", "term", "content"];

async fn find(app: &App, slug: &str) -> Result<Option<(OrgId, Arc<Project>)>, Problem> {
    let Some((org, project)) = app.store.look_up(NameKind::Enrolment, slug.as_bytes()).await? else { return Ok(None) };
    let catalog = app.store.catalog();
    let project = catalog.org(org).and_then(|config| config.project(ProjectId::from_uuid(project)).cloned());
    Ok(project.filter(|project| project.enrolment).map(|project| (org, project)))
}

/// The form. What the link carries about the campaign travels on in hidden fields.
pub(super) async fn form(
    State(app): State<Arc<App>>,
    PathParam(slug): PathParam<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some((_, project)) = find(&app, &slug).await? else { return Ok(missing("enrolment form")) };
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let pairs =
        query.as_deref().and_then(|query| serde_urlencoded::from_str::<Vec<(String, String)>>(query).ok()).unwrap_or_default();
    for (name, value) in pairs {
        if UTM.iter().any(|utm| name == format!("utm_{utm}")) {
            values.insert(name, cut(&value));
        }
    }
    if let Some(referrer) = headers.get(header::REFERER).and_then(|value| value.to_str().ok()) {
        values.insert("referrer".to_owned(), cut(referrer));
    }
    // The same form sent twice is one enrolment.
    values.insert("form".to_owned(), LinkCode::mint(&*app.entropy).to_string());
    Ok(private(draw(&project, &values, None).into_response()))
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_ORIGIN_BYTES)].to_owned()
}

fn draw(project: &Project, values: &BTreeMap<String, String>, fault: Option<&Reject>) -> Markup {
    let value = |name: &str| values.get(name).map_or("", String::as_str);
    let wrong = |path: &str| fault.filter(|fault| fault.path == path).map(|fault| fault.message.as_str());
    let body = html! {
        main.enrol {
            h1 { (project.name) }
            p { "Fill this in and put your card into your phone's wallet." }
            @if let Some(fault) = fault {
                p.fault role="alert" { (fault.message) }
            }
            form method="post" {
                (input("name", "Name", "text", "name", value("name"), true, wrong("contact.name")))
                (input("email", "E-mail", "email", "email", value("email"), true, wrong("contact.email")))
                @for field in project.fields.iter().filter(|field| field.on_form) {
                    (own_field(field, value(&format!("field_{}", field.key)), wrong(&format!("fields.{}", field.key))))
                }
                @for (name, value) in values.iter().filter(|(name, _)| is_hidden(name)) {
                    input type="hidden" name=(name) value=(value);
                }
                button type="submit" { "Get my card" }
            }
        }
    };
    page(&project.name, &[], &body)
}

fn is_hidden(name: &str) -> bool {
    name == "form" || name == "referrer" || name.starts_with("utm_")
}

fn input(name: &str, label: &str, kind: &str, autocomplete: &str, value: &str, required: bool, wrong: Option<&str>) -> Markup {
    let note = format!("{name}-fault");
    html! {
        label for=(name) { (label) }
        input id=(name) name=(name) type=(kind) autocomplete=(autocomplete) value=(value) required[required] maxlength="512"
            aria-invalid=[wrong.map(|_| "true")] aria-describedby=[wrong.map(|_| note.as_str())];
        @if let Some(wrong) = wrong {
            p.fault id=(note) { (wrong) }
        }
    }
}

fn own_field(field: &FieldDef, value: &str, wrong: Option<&str>) -> Markup {
    let kind = match field.field_type {
        FieldType::Number => "number",
        FieldType::Flag => "checkbox",
        FieldType::Text | FieldType::Time => "text",
    };
    if kind == "checkbox" {
        let name = format!("field_{}", field.key);
        return html! {
            label.check { input type="checkbox" name=(name) value="true" checked[value == "true"]; " " (field.label) }
        };
    }
    input(&format!("field_{}", field.key), &field.label, kind, "off", value, field.required, wrong)
}

/// Issues the pass and leads to its page.
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    PathParam(slug): PathParam<String>,
    client: Client,
    headers: HeaderMap,
    form: Result<Form<BTreeMap<String, String>>, axum::extract::rejection::FormRejection>,
) -> Result<Response, Problem> {
    let Some((org, project)) = find(&app, &slug).await? else { return Ok(missing("enrolment form")) };
    let Form(values) = form.map_err(|_| Problem::Malformed("the form cannot be read".to_owned()))?;
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Problem::Malformed("the form was sent from another site: open it here and send it again".to_owned()));
    }
    let key = values.get("form").filter(|form| form.parse::<LinkCode>().is_ok());
    let Some(key) = key else {
        return Err(Problem::Malformed("the form is incomplete: open it again".to_owned()));
    };
    let command = command(&app, org, &project, &values, key, &client);
    match app.engine.submit(command).await {
        Ok(outcome) => {
            let pass = match outcome.pass {
                Some(pass) => Some(*pass),
                None => match outcome.answer.pass() {
                    Some(id) => app.store.pass(org, id).await?,
                    None => None,
                },
            };
            let pass = pass.ok_or_else(|| Problem::Internal("an enrolment without a pass".to_owned()))?;
            Ok(private(Redirect::to(&format!("/p/{}", pass.code)).into_response()))
        }
        Err(EngineError::Rejected(fault)) => {
            let page = draw(&project, &values, Some(&fault));
            Ok(private((StatusCode::UNPROCESSABLE_ENTITY, page).into_response()))
        }
        Err(unavailable) => Err(unavailable.into()),
    }
}

fn command(app: &App, org: OrgId, project: &Project, values: &BTreeMap<String, String>, form: &str, client: &Client) -> Command {
    let now = app.now();
    let text = |name: &str| values.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let field = |def: &FieldDef| {
        let given = text(&format!("field_{}", def.key));
        let value = match def.field_type {
            FieldType::Flag => Some(FieldValue::Flag(given.is_some())),
            FieldType::Number => given.and_then(|text| serde_json::from_str(&text).ok().map(FieldValue::Number)),
            FieldType::Text | FieldType::Time => given.map(FieldValue::Text),
        };
        value.map(|value| (def.key.clone(), value))
    };
    let utm = UTM.iter().filter_map(|utm| text(&format!("utm_{utm}")).map(|value| ((*utm).to_owned(), cut(&value))));
    let sighting = seen::sighting(app, client);
    let issue = Issue {
        id: PassId::mint(now, &*app.entropy),
        code: LinkCode::mint(&*app.entropy),
        project: project.id,
        variant: None,
        external_id: None,
        contact: Some(ContactInput { name: text("name"), email: text("email"), ..ContactInput::default() }),
        new_contact: ContactId::mint(now, &*app.entropy),
        fields: project.fields.iter().filter(|def| def.on_form).filter_map(field).collect(),
        balances: BTreeMap::new(),
        validity: Validity::default(),
        uses_limit: None,
        inactive: false,
        origin: Origin { utm: utm.collect(), referrer: text("referrer").map(|it| cut(&it)), ip: sighting.ip },
        if_exists: IfExists::Reject,
    };
    Command {
        id: CommandId::mint(now, &*app.entropy),
        org,
        actor: Actor::Holder,
        cause: Cause::Page,
        key: Some(IdempotencyKey {
            principal: format!("enrolment/{}", Id::to_string(&project.id)),
            key: form.to_owned(),
            fingerprint: [0; 32],
            keep_image: false,
        }),
        action: Action::Issue(Box::new(issue)),
    }
}
