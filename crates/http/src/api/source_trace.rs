//! What the steps of a settled source event were given.
//!
//! A trace is kept without values of the event, which are personal and stand sealed in the inbox alone. A flow is a pure
//! function of the event, so that what its steps resolved can be told again for as long as flow and transformation are the
//! versions that ran.

use std::sync::Arc;

use domain::FlowId;
use flows::{
    flow::{Flow, Occasion, Plan},
    transform::{Arrived, Transformation},
};
use script::Transformed;
use serde_json::{Value, json};
use store::{InboxEntry, OrgCatalog};

use super::{
    config, flows as flow_api,
    transformations::{self, Indoors},
};
use crate::{App, Problem};

/// Adds `resolved` to the steps of the trace, and `input` to flows whose transformation made the event another one.
pub(super) async fn resolve(app: &App, entry: &InboxEntry, trace: &mut Value) -> Result<(), Problem> {
    let catalog = config::org(app, entry.org)?;
    let Some(event) = entry.payload.as_deref().and_then(|payload| serde_json::from_str::<Value>(payload).ok()) else {
        return Ok(());
    };
    let flows = trace.get_mut("flows").and_then(Value::as_array_mut);
    for flow in flows.into_iter().flatten().filter(|flow| flow["matched"] == true) {
        let Some((plan, transformation)) = as_it_ran(&catalog, flow)? else {
            flow["changed_since"] = json!(true);
            continue;
        };
        let part = flow["part"].as_u64().and_then(|part| u32::try_from(part).ok()).unwrap_or(0);
        let input = match transformation {
            None => event.clone(),
            Some(transformation) => match transformed(transformation, &catalog, entry, event.clone(), part).await? {
                Some(input) => {
                    flow["input"] = input.clone();
                    input
                }
                None => continue,
            },
        };
        let occasion = Occasion {
            org: entry.org,
            source: entry.source,
            event: entry.id,
            received_at: entry.received_at,
            occurred_at: entry.occurred_at,
            run: entry.run(),
            part,
            via: None,
            is_mirrored: catalog
                .sources
                .get(&entry.source.uuid())
                .is_some_and(|stored| connectors::catalog::is_mirror(&stored.value.kind)),
            entropy: &*app.entropy,
        };
        add(flow, &plan.run(&input, &occasion).preview());
    }
    Ok(())
}

/// The flow of a trace with its transformation, when both are the versions that ran.
fn as_it_ran(catalog: &OrgCatalog, ran: &Value) -> Result<Option<(Plan, Option<Transformation>)>, Problem> {
    let same = |slug: &str, revision: i64| ran["flow"] == slug && ran["version"] == revision;
    let Some(stored) = catalog.flows.values().find(|stored| same(&stored.value.slug, stored.version())) else { return Ok(None) };
    let id: FlowId = stored.value.id;
    let checked = Flow::from_json(&stored.value.document).ok().and_then(|flow| flow_api::checked(&flow, id, catalog).ok());
    let Some(plan) = checked else { return Ok(None) };
    let transformation = match plan.transformation() {
        Some(name) if catalog.transformation_named(name).is_some() => transformations::of_flow(catalog, name)?,
        Some(_) => return Ok(None),
        None => None,
    };
    let version = transformation.as_ref().map_or(Value::Null, |it| json!(it.version));
    Ok((ran["transformation"] == version).then_some((plan, transformation)))
}

/// What a transformation makes of the event; nothing where it did otherwise then, with what it fetched.
async fn transformed(
    transformation: Transformation,
    catalog: &OrgCatalog,
    entry: &InboxEntry,
    event: Value,
    part: u32,
) -> Result<Option<Value>, Problem> {
    let source = catalog.sources.get(&entry.source.uuid()).map(|stored| Arc::clone(&stored.value));
    let received_at = entry.received_at;
    let made = transformations::blocking(move || {
        let arrived = [Arrived { event: &event, source: source.as_deref(), received_at }];
        transformation.run(&arrived, Indoors::host(), &script::Limits::default())
    });
    let became = made.await?.events.into_iter().next();
    let Some(Transformed::Kept(events)) = became else { return Ok(None) };
    Ok(usize::try_from(part).ok().and_then(|part| events.into_iter().nth(part)))
}

fn add(flow: &mut Value, preview: &Value) {
    let steps = flow.get_mut("steps").and_then(Value::as_array_mut);
    for (step, shown) in steps.into_iter().flatten().zip(preview["steps"].as_array().into_iter().flatten()) {
        if step["step"] == shown["step"] && !shown["resolved"].is_null() {
            step["resolved"] = shown["resolved"].clone();
        }
    }
}
