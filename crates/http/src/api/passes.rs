//! `/v1/passes`: issued cards.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use domain::{
    Action, Amount, Answer, BalanceChange, ContactId, ContactInput, FieldValue, IfExists, Issue, LinkCode, Origin, PassChange,
    PassId, PassRef, ProjectId, Reactivation, Timestamp, Validity, VariantId,
};
use engine::Outcome;
use serde::{Deserialize, Deserializer, Serialize};
use store::PassFilter;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    commands::{Acted, ERASED, Once},
    config::{self, IfMatch, Shown},
    contacts::ContactSchema,
    cursor::{Cursor, Place},
    page::{Limit, Page, Paging, page_by},
    pass_view::{StateName, View},
    schema::{self, AmountInput, IdText, TimeText},
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
};

/// Most bytes of a campaign parameter or referrer.
const MAX_ORIGIN_BYTES: usize = 512;
/// Most campaign parameters.
const MAX_UTM: usize = 10;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(issue, list)).routes(routes!(counts)).routes(routes!(get, update, delete))
}

/// What a new pass is made of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct IssueInput {
    /// Its project.
    #[schema(value_type = IdText)]
    project: ProjectId,
    /// Its variant; the project's first unless given.
    #[schema(value_type = Option<String>)]
    variant: Option<VariantId>,
    /// The id that your own systems know it by, unique in the project: at most 256 bytes.
    external_id: Option<String>,
    /// What to do when the project has a pass of that external id already.
    #[serde(default)]
    #[schema(value_type = IfExistsName, required = false)]
    if_exists: IfExists,
    /// Who holds it.
    #[schema(value_type = Option<ContactSchema>)]
    contact: Option<ContactInput>,
    /// Its own fields.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, schema::FieldValue>)]
    fields: BTreeMap<String, FieldValue>,
    /// Its balances, over the project's starting ones.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, AmountInput>)]
    balances: BTreeMap<String, Amount>,
    /// Not before.
    #[schema(value_type = Option<TimeText>)]
    starts_at: Option<Timestamp>,
    /// Not from then on.
    #[schema(value_type = Option<TimeText>)]
    expires_at: Option<Timestamp>,
    /// Most uses; the project's limit unless given.
    #[schema(minimum = 1)]
    uses_limit: Option<u32>,
    /// Whether it waits to be activated.
    #[serde(default)]
    inactive: bool,
    /// Campaign parameters without their `utm_` prefix.
    #[serde(default)]
    utm: BTreeMap<String, String>,
    /// The page that led there.
    referrer: Option<String>,
}

/// `reject`: answer 409; `keep`: leave it as it is and answer with it; `update`: change its fields, variant, validity and
/// contact to what is given and keep its balances, and its state: one that was revoked stays so; `reactivate`: as `update`, and
/// one that was revoked is active again.
#[derive(ToSchema)]
#[schema(as = IfExists, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `domain::IfExists` in the document")]
enum IfExistsName {
    Reject,
    Keep,
    Update,
    Reactivate,
}

/// What changes about a pass; only what is given is changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PassUpdate {
    /// Move it to another variant.
    #[schema(value_type = Option<String>)]
    variant: Option<VariantId>,
    /// Give it an external id.
    external_id: Option<String>,
    /// Who holds it.
    #[schema(value_type = Option<ContactSchema>)]
    contact: Option<ContactInput>,
    /// Fields to set; null removes.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, schema::FieldChange>)]
    fields: BTreeMap<String, Option<FieldValue>>,
    /// Balances to change: `{"points": {"add": "10"}}` or `{"points": {"set": "0"}}`.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, BalanceChangeName>)]
    balances: BTreeMap<String, BalanceChange>,
    /// Not before; null lifts it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<TimeText>)]
    starts_at: Option<Option<Timestamp>>,
    /// Not from then on; null lifts it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<TimeText>)]
    expires_at: Option<Option<Timestamp>>,
    /// Most uses; null lifts the limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    uses_limit: Option<Option<u32>>,
    /// A lock-screen message that goes with the change: at most 500 characters.
    message: Option<String>,
}

/// What happens to a balance.
#[derive(ToSchema)]
#[schema(as = BalanceChange, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `domain::BalanceChange` in the document")]
enum BalanceChangeName {
    /// It becomes this.
    Set(AmountInput),
    /// This is added; it may be negative. The result must not be below zero.
    Add(AmountInput),
}

/// A value that was written down, even when it is null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Which passes to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only of this project.
    #[param(value_type = Option<IdText>)]
    project: Option<ProjectId>,
    /// Only of this contact.
    #[param(value_type = Option<IdText>)]
    contact: Option<ContactId>,
    /// Only those with this external id: one of `project`, or else one of each project that has it.
    external_id: Option<String>,
    /// Only those that are installed: in Apple Wallet, in Google Wallet, in any of the two, or in none.
    #[param(inline)]
    installed: Option<Installed>,
    /// Only those in this state.
    #[param(inline)]
    state: Option<StateName>,
    /// Only those that changed at this time or later. They come in the order of their last change then: one that changes while you
    /// read comes again, and to go on later, ask since a minute before you last asked.
    #[param(value_type = Option<TimeText>)]
    updated_since: Option<Timestamp>,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before, with the same filters.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<PassPlace>>,
}

/// Where passes are installed.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Installed {
    Apple,
    Google,
    Any,
    None,
}

impl Installed {
    /// The numbers of the ways that are meant, see [`store::wallets_number`].
    fn ways(self) -> Vec<i16> {
        let known = [(true, false, false), (false, true, false), (true, true, false)];
        let all = [(false, false, false), (false, false, true)].into_iter().chain(known);
        let meant = all.filter(|(apple, google, unknown)| match self {
            Self::Apple => *apple,
            Self::Google => *google,
            Self::Any => *apple || *google || *unknown,
            Self::None => !apple && !google && !unknown,
        });
        meant.map(|(apple, google, unknown)| store::wallets_number(apple, google, unknown)).collect()
    }
}

/// A place among passes: by their ids, or by when they changed.
#[derive(Debug, Clone, Copy)]
struct PassPlace {
    at: Option<Timestamp>,
    id: PassId,
}

impl Place for PassPlace {
    fn read(place: &[u8]) -> Option<Self> {
        let (id, at) = place.split_at_checked(16)?;
        let id = PassId::from_uuid(Uuid::from_slice(id).ok()?);
        let at = if at.is_empty() { None } else { Some(Timestamp::from_micros(i64::from_be_bytes(at.try_into().ok()?))) };
        Some(Self { at, id })
    }
}

impl Filter {
    fn wanted(&self) -> Result<PassFilter, Problem> {
        let after = match self.cursor.map(|cursor| cursor.0) {
            Some(place) if place.at.is_some() != self.updated_since.is_some() => {
                return Err(Problem::parameter("cursor", "it is of a list with other filters: give `updated_since` as it was"));
            }
            place => place.map(|place| (place.at.unwrap_or(Timestamp::from_micros(0)), place.id)),
        };
        Ok(PassFilter {
            project: self.project,
            contact: self.contact,
            state: self.state.map(Into::into),
            installed: self.installed.map(Installed::ways).unwrap_or_default(),
            updated_since: self.updated_since,
            after,
        })
    }

    /// Where the next page begins after a pass.
    fn place(&self, pass: &domain::Pass) -> Vec<u8> {
        let at = self.updated_since.map(|_| pass.updated_at.as_micros().to_be_bytes());
        [pass.id.uuid().as_bytes().as_slice(), at.as_ref().map_or(&[][..], |at| at.as_slice())].concat()
    }
}

impl IssueInput {
    fn action(self, app: &App) -> Result<Action, Problem> {
        let too_long = self.utm.iter().any(|(name, value)| name.len() > MAX_ORIGIN_BYTES || value.len() > MAX_ORIGIN_BYTES);
        if self.utm.len() > MAX_UTM || too_long {
            return Err(Problem::field("utm", "at most 10, each name and value at most 512 bytes"));
        }
        if self.referrer.as_ref().is_some_and(|referrer| referrer.len() > MAX_ORIGIN_BYTES) {
            return Err(Problem::field("referrer", "at most 512 bytes"));
        }
        if self.uses_limit == Some(0) {
            return Err(Problem::field("uses_limit", "at least 1"));
        }
        let now = app.now();
        Ok(Action::Issue(Box::new(Issue {
            id: PassId::mint(now, &*app.entropy),
            code: LinkCode::mint(&*app.entropy),
            project: self.project,
            variant: self.variant,
            external_id: self.external_id,
            contact: self.contact,
            new_contact: ContactId::mint(now, &*app.entropy),
            fields: self.fields,
            balances: self.balances,
            validity: Validity { starts_at: self.starts_at, expires_at: self.expires_at },
            uses_limit: self.uses_limit,
            inactive: self.inactive,
            origin: Origin { utm: self.utm, referrer: self.referrer, ip: None, via: Vec::new() },
            if_exists: self.if_exists,
            undoes: None,
        })))
    }
}

impl PassUpdate {
    fn change(self, app: &App) -> Result<PassChange, Problem> {
        if self.uses_limit == Some(Some(0)) {
            return Err(Problem::field("uses_limit", "at least 1, or null for no limit"));
        }
        Ok(PassChange {
            variant: self.variant,
            external_id: self.external_id,
            new_contact: self.contact.as_ref().map(|_| ContactId::mint(app.now(), &*app.entropy)),
            contact: self.contact,
            fields: self.fields,
            balances: self.balances,
            starts_at: self.starts_at,
            expires_at: self.expires_at,
            uses_limit: self.uses_limit,
            message: self.message,
            reactivation: Reactivation::Never,
        })
    }
}

/// The pass after a command, as it was then.
pub(crate) fn shown(app: &App, caller: &Caller, outcome: &Outcome) -> Result<View, Problem> {
    let pass = outcome.pass.as_ref().ok_or(ERASED)?;
    Ok(View::of(app, &*config::org(app, caller.org)?, pass))
}

/// An answer with the pass after a command.
pub(crate) fn acted(app: &App, caller: &Caller, outcome: &Outcome) -> Result<Acted<Shown<View>>, Problem> {
    let view = shown(app, caller, outcome)?;
    let created = matches!(outcome.answer, Answer::Done { created: true, .. });
    let answer = if created {
        Shown::new(format!("/v1/passes/{}", view.id), view)
    } else {
        Shown::at(i64::try_from(view.version).unwrap_or_default(), view)
    };
    Ok(Acted::new(outcome.replayed, answer))
}

/// Issue a pass.
#[utoipa::path(post, path = "/v1/passes", tag = "Passes", security(("key" = ["passes_write"])),
    request_body = IssueInput, responses((status = 201, body = View, description = "Issued."),
        (status = 200, body = View, description = "There was one already, and `if_exists` says to answer with it.")))]
async fn issue(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<IssueInput>,
) -> Result<Acted<Shown<View>>, Problem> {
    let action = body.value.action(&app)?;
    let outcome = once.submit(&app, &can, &body.bytes, action).await?;
    acted(&app, &can, &outcome)
}

/// A page of passes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Passes)]
struct Passes {
    /// The things.
    data: Vec<View>,
    /// Give this as `cursor` to get the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// With `contact`: the Apple passes of this page in one file (`.pkpasses`), ten at most, which Safari and Mail add in one step;
    /// null where there are not several.
    #[schema(required = true)]
    apple_bundle: Option<String>,
}

impl Passes {
    fn of(page: Page<View>, apple_bundle: Option<String>) -> Json<Self> {
        Json(Self { data: page.data, next_cursor: page.next_cursor, apple_bundle })
    }
}

/// The address of several Apple passes in one file.
fn bundle<'a>(app: &App, catalog: &store::OrgCatalog, passes: impl Iterator<Item = &'a domain::Pass>) -> Option<String> {
    let is_apple = |pass: &&domain::Pass| catalog.project(pass.project).is_some_and(|project| project.apple_pass_type.is_some());
    let held = passes.filter(|pass| !pass.lifecycle.is_void()).filter(is_apple);
    let codes: Vec<&str> = held.take(pkpass::MAX_BUNDLE_PASSES).map(|pass| pass.code.as_str()).collect();
    (codes.len() > 1).then(|| app.url(&format!("/p/{}/passes.pkpasses", codes.join(","))))
}

/// List passes.
///
/// Deleted ones are listed too, with the state `deleted`; an external id finds only one that is not.
#[utoipa::path(get, path = "/v1/passes", tag = "Passes", security(("key" = ["passes_read"])),
    params(Filter), responses((status = 200, body = Passes, description = "A page.")))]
async fn list(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(filter): QueryParams<Filter>,
) -> Result<Json<Passes>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let view = |pass: &domain::Pass| View::of(&app, &catalog, pass);
    if let Some(external_id) = &filter.external_id {
        let mut projects: Vec<ProjectId> = catalog.projects.keys().copied().map(ProjectId::from_uuid).collect();
        projects.retain(|project| filter.project.is_none_or(|only| only == *project));
        projects.sort_unstable();
        let found = app.store.passes_by_external_id(can.org, &projects, external_id).await?;
        let wanted = filter.wanted()?;
        let found = found.iter().filter(|pass| fits(&wanted, pass));
        return Ok(Passes::of(Page { data: found.map(view).collect(), next_cursor: None }, None));
    }
    let rows = app.store.find_passes(can.org, &filter.wanted()?, filter.limit.and_one()).await?;
    let shown = rows.iter().take(filter.limit.get() as usize);
    let apple_bundle = filter.contact.and_then(|_| bundle(&app, &catalog, shown));
    Ok(Passes::of(page_by(&rows, filter.limit, |pass| filter.place(pass), view), apple_bundle))
}

/// Whether a pass of an external id fulfils the rest of a filter.
fn fits(filter: &PassFilter, pass: &domain::Pass) -> bool {
    let installed = store::wallets_number(pass.apple.active > 0, pass.google.active > 0, pass.unknown.active > 0);
    filter.contact.is_none_or(|contact| pass.contact == Some(contact))
        && filter.state.is_none_or(|state| store::PassState::of(&pass.lifecycle) == state)
        && (filter.installed.is_empty() || filter.installed.contains(&installed))
        && filter.updated_since.is_none_or(|since| pass.updated_at >= since)
}

/// Most passes of a project that are counted.
const COUNTED: u32 = 100_000;

/// How many passes a project has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PassCount)]
struct CountView {
    /// The project.
    #[schema(value_type = IdText)]
    project: ProjectId,
    /// How many passes, deleted ones included; at most 100,000 are counted.
    passes: u32,
    /// Whether there may be more than were counted.
    more: bool,
}

/// Count passes.
///
/// Of each project, in the order of their ids.
#[utoipa::path(get, path = "/v1/passes/counts", tag = "Passes", security(("key" = ["passes_read"])),
    params(Paging), responses((status = 200, body = Page<CountView>, description = "A page.")))]
async fn counts(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<CountView>>, Problem> {
    let projects = paging.of(&config::org(&app, can.org)?.projects, |stored| stored.value.id);
    let mut data = Vec::with_capacity(projects.data.len());
    for project in projects.data {
        let passes = app.store.backend().count_passes(can.org, project, COUNTED).await?;
        data.push(CountView { project, passes, more: passes >= COUNTED });
    }
    Ok(Json(Page { data, next_cursor: projects.next_cursor }))
}

/// Read a pass.
#[utoipa::path(get, path = "/v1/passes/{pass}", tag = "Passes", security(("key" = ["passes_read"])),
    params(("pass" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
) -> Result<Shown<View>, Problem> {
    let pass = app.store.pass(can.org, id).await?.ok_or_else(|| Problem::no_such("pass"))?;
    let view = View::of(&app, &*config::org(&app, can.org)?, &pass);
    Ok(Shown::at(i64::try_from(view.version).unwrap_or_default(), view))
}

/// Change a pass.
///
/// What wallets show of it is brought up to date by itself.
#[utoipa::path(patch, path = "/v1/passes/{pass}", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id."), IfMatch),
    request_body = PassUpdate, responses((status = 200, body = View, description = "As it is now.")))]
async fn update(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    if_match: IfMatch,
    once: Once,
    body: Body<PassUpdate>,
) -> Result<Acted<Shown<View>>, Problem> {
    let change = Box::new(body.value.change(&app)?);
    let action = Action::Update { pass: PassRef::Id(id), change, expected_version: if_match.0 };
    let outcome = once.submit(&app, &can, &body.bytes, action).await?;
    acted(&app, &can, &outcome)
}

/// Delete a pass.
///
/// It becomes void and blank in every wallet; no wallet lets us remove it.
#[utoipa::path(delete, path = "/v1/passes/{pass}", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 200, body = View, description = "Its tombstone.")))]
async fn delete(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    if_match: IfMatch,
    once: Once,
) -> Result<Acted<Shown<View>>, Problem> {
    let action = Action::Delete { pass: PassRef::Id(id), expected_version: if_match.0 };
    let outcome = once.submit(&app, &can, b"", action).await?;
    acted(&app, &can, &outcome)
}
