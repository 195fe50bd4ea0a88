//! Repairs what missed call-backs left behind: compares Google's `hasUsers` of every object with what we know.
//!
//! Call-backs are best effort. Google's list of a class's objects says of each whether anybody holds it; where that differs
//! from our installations, an install or an uninstall is recorded, the latter with the reason `drift`.

use std::{collections::HashSet, time::Duration};

use domain::{
    Action, Actor, Answer, Cause, Command, CommandId, Pass, PassId, PassRef, Sighting, TemplateId, Timestamp, UninstallReason,
    Wallet,
};
use google_wallet::{
    ResourceId, Vertical,
    rest::{Kind, Verdict},
};
use serde_json::{Value, json};
use store::{GoogleDrift, GoogleThingRow};

use super::{
    lane::{Lane, Outcome},
    memory::Memory,
    sync::Fault,
};
use crate::shard::End;

/// Objects on one page of Google's list.
const PAGE: u32 = 200;
/// How long after its departure a flight is compared still; then what is remembered of its class is forgotten.
const FLOWN_WITHIN: Duration = Duration::from_secs(30 * 86_400);
/// What happened so recently may not be in Google's list yet, or be on its way to us.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);

/// Sees to it that an account is compared now and then.
pub(super) async fn schedule(lane: &Lane) -> Result<(), End> {
    let house = &lane.shard.house;
    let backend = house.store.backend();
    let row = lane.shard.insist("read an account's work", || backend.google_thing(lane.org, lane.id)).await?;
    if row.is_some_and(|row| row.due_at.is_some()) {
        return Ok(());
    }
    let due_at = Some(house.now().plus(house.google.drift_every));
    let row = GoogleThingRow {
        org: lane.org,
        thing: lane.id,
        account: lane.id,
        urgency: 1,
        wanted_seq: 0,
        synced_seq: 0,
        due_at,
        body: String::new(),
    };
    lane.shard.insist("note an account's work", || backend.ask_google(vec![row.clone()], true)).await
}

/// Compares all objects of an account's classes.
pub(super) async fn run(lane: &Lane, row: GoogleThingRow) -> Result<Outcome, End> {
    let house = &lane.shard.house;
    let mut memory = Memory::read(&row.body);
    let started = house.now();
    let mut report = GoogleDrift { at: started, ..GoogleDrift::default() };
    let step = compare(lane, started, &mut report).await;
    if step.is_ok() {
        tracing::info!(issuer = lane.issuer, ?report, "compared with Google");
        memory.drift = Some(report);
    }
    let outcome = lane.outcome(&row, memory, step, None)?;
    Ok(outcome.map(|mut outcome| {
        outcome.retry_at.get_or_insert(started.plus(house.google.drift_every));
        outcome
    }))
}

async fn compare(lane: &Lane, started: Timestamp, report: &mut GoogleDrift) -> Result<(), Fault> {
    let house = &lane.shard.house;
    let catalog = lane.shard.insist("read the configuration", || house.catalog()).await?;
    let Some(config) = catalog.org(lane.org) else { return Ok(()) };
    let mut flown = HashSet::new();
    for stored in config.templates.values() {
        let template = &stored.value;
        let project = config.project(template.project).filter(|it| it.google_issuer.as_deref() == Some(lane.issuer.as_str()));
        let (Some(project), Ok(class)) = (project, render::class_id(&lane.issuer, template)) else { continue };
        if render::has_flights(project, &template.design) {
            flown.insert(template.id);
            continue;
        }
        let backend = house.store.backend();
        if lane.shard.insist("read a class", || backend.google_thing(lane.org, template.id.uuid())).await?.is_none() {
            continue; // Google never heard of it
        }
        compare_class(lane, &class, render::vertical(project, &template.design), started, report).await?;
    }
    if flown.is_empty() { Ok(()) } else { compare_flights(lane, &flown, started, report).await }
}

/// Compares the flights of some templates, which Google lists, and has Google call us where it called an address of before.
/// Google keeps classes for ever; we forget those of flights that are long over, whichever template they were of.
async fn compare_flights(
    lane: &Lane,
    templates: &HashSet<TemplateId>,
    started: Timestamp,
    report: &mut GoogleDrift,
) -> Result<(), Fault> {
    let since = started.minus(FLOWN_WITHIN).to_string();
    let since: String = since.chars().filter(char::is_ascii_alphanumeric).collect();
    let callback = lane.shard.house.google.callback_url.as_deref();
    let mut page: Option<String> = None;
    loop {
        let (verdict, body) = lane.request(|api| api.list_classes(&lane.issuer, Vertical::Flight, PAGE, page.as_deref())).await?;
        if verdict != Verdict::Done {
            return Ok(());
        }
        let list = read_list(&body)?;
        let mut over = Vec::new();
        for class in list["resources"].as_array().into_iter().flatten() {
            let Some(id) = class["id"].as_str().and_then(|id| id.parse::<ResourceId>().ok()) else { continue };
            let Some((template, leaves)) = render::flight_of(&id) else { continue };
            if leaves < since.as_str() {
                over.push(store::google_class_thing(template, id.as_str()));
                continue;
            }
            if !templates.contains(&template) {
                continue;
            }
            if callback.is_some_and(|callback| class["callbackOptions"]["url"] != callback) {
                let keys = json!({"callbackOptions": {"url": callback}, "reviewStatus": "UNDER_REVIEW"});
                let keys = keys.as_object().cloned().unwrap_or_default();
                lane.request(|api| api.patch(Kind::Class(Vertical::Flight), &id, &keys)).await?;
            }
            compare_class(lane, &id, Vertical::Flight, started, report).await?;
        }
        if !over.is_empty() {
            let (shard, backend) = (&lane.shard, lane.shard.house.store.backend());
            shard.insist("forget flights", || backend.forget_google(shard.lease, lane.org, over.clone())).await?;
        }
        match next_page(&list, page.as_deref()) {
            Some(next) => page = Some(next),
            None => return Ok(()),
        }
    }
}

fn read_list(body: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::Later(format!("Google's list cannot be read: {error}")))
}

fn next_page(list: &Value, page: Option<&str>) -> Option<String> {
    let next = list["pagination"]["nextPageToken"].as_str().filter(|token| !token.is_empty() && page != Some(*token));
    next.map(str::to_owned)
}

async fn compare_class(
    lane: &Lane,
    class: &ResourceId,
    vertical: Vertical,
    started: Timestamp,
    report: &mut GoogleDrift,
) -> Result<(), Fault> {
    let mut page: Option<String> = None;
    loop {
        let (verdict, body) = lane.request(|api| api.list_objects(class, vertical, PAGE, page.as_deref())).await?;
        if verdict != Verdict::Done {
            return Ok(()); // there is no such class
        }
        let list = read_list(&body)?;
        let mut commands = Vec::new();
        for object in list["resources"].as_array().into_iter().flatten() {
            commands.extend(compare_object(lane, object, started, report).await?);
        }
        let installs: Vec<bool> = commands.iter().map(|it: &Command| matches!(it.action, Action::RecordInstall { .. })).collect();
        for (is_install, verdict) in installs.into_iter().zip(lane.shard.house.engine.submit_all(commands).await) {
            match verdict {
                Ok(outcome) if !matches!(outcome.answer, Answer::Done { .. }) => {}
                Ok(_) if is_install => report.installed += 1,
                Ok(_) => report.uninstalled += 1,
                Err(engine::EngineError::Unavailable(error)) => {
                    return Err(Fault::Later(format!("the store cannot take what Google says: {error}")));
                }
                Err(engine::EngineError::Rejected(_)) => {}
            }
        }
        match next_page(&list, page.as_deref()) {
            Some(next) => page = Some(next),
            None => return Ok(()),
        }
    }
}

async fn compare_object(
    lane: &Lane,
    object: &Value,
    started: Timestamp,
    report: &mut GoogleDrift,
) -> Result<Option<Command>, Fault> {
    let house = &lane.shard.house;
    report.compared += 1;
    let id = object["id"].as_str().and_then(|id| id.split_once('.')?.1.parse::<PassId>().ok());
    let pass = match id {
        Some(id) => lane.shard.insist("read a pass", || house.store.pass(lane.org, id)).await?,
        None => None,
    };
    let Some(pass) = pass else {
        report.foreign += 1;
        return Ok(None);
    };
    let Some(has_users) = object["hasUsers"].as_bool() else { return Ok(None) };
    let action = repair(&pass, has_users, started);
    Ok(action.map(|action| Command {
        id: CommandId::mint(house.now(), &*house.entropy),
        org: lane.org,
        actor: Actor::System,
        cause: Cause::Schedule,
        key: None,
        told: None,
        action,
    }))
}

/// What makes us know what Google says, if it differs and had time to be told by a call-back. What another platform tells of is
/// about another object than ours: it is left alone.
fn repair(pass: &Pass, has_users: bool, now: Timestamp) -> Option<Action> {
    let (holding, wallet, device) = (&pass.google, Wallet::Google, String::new());
    let settled = |at: Option<Timestamp>| at.is_none_or(|at| at.plus(SETTLES_WITHIN) <= now);
    let pass = PassRef::Id(pass.id);
    match (has_users, holding.active > 0) {
        (true, false) if settled(holding.last_uninstalled_at) => {
            let sighting = Sighting { at: now, ..Sighting::default() };
            Some(Action::RecordInstall { pass, wallet, device, push_token: None, sighting })
        }
        (false, true) if settled(holding.last_installed_at) => {
            Some(Action::RecordUninstall { pass, wallet, device, reason: UninstallReason::Drift })
        }
        _ => None,
    }
}
