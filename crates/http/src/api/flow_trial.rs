//! `/v1/flows/test`: what a flow would do with an event, and what the engine would say to it. Nothing is done.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Answer, Command, FlowId, OrgId, Scope, SourceEventId, SourceId};
use engine::{EngineError, Outcome};
use flows::{
    flow::{Flow, Occasion, OnError, Plan, Run, StepOutcome, still},
    transform::{self, Arrived},
};
use script::Transformed;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config,
    flows::{Document, checked, refused},
    schema::IdText,
    transformations::{self, Indoors},
};
use crate::{
    App, Body, Problem,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(test))
}

/// A sample to try a flow on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Trial {
    /// The source event, as the source sends it: for example a `track` call with `event`, `userId` and `properties`.
    #[schema(value_type = Option<Object>)]
    event: Option<serde_json::Map<String, Value>>,
    /// Try it on this event out of the inbox; either this or `event`. Needs the scope `passes_read` too.
    #[schema(value_type = Option<IdText>)]
    source_event: Option<SourceEventId>,
    /// Try this document instead of a flow that was saved.
    #[schema(value_type = Option<Document>)]
    document: Option<Value>,
    /// Try this flow; either this or `document`.
    #[schema(value_type = Option<IdText>)]
    flow: Option<FlowId>,
    /// Try the draft of `flow`.
    #[serde(default)]
    draft: bool,
}

/// Try a flow on a sample.
///
/// Says which steps would do what with which values. With the scope `passes_read` it also says what would become of each against
/// the passes as they are: `result` is `created`, `changed`, `unchanged`, `done`, or `still_revoked`, `still_used` or
/// `still_expired` where an issue would meet a void pass, and a step that would be refused is `rejected` with the `error`.
/// `decided` tells whether that was asked. Steps after a wait are decided as if its time had come. Nothing is changed.
#[utoipa::path(post, path = "/v1/flows/test", tag = "Flows", security(("key" = ["config_read"])),
    request_body = Trial, responses((status = 200, body = Object, description = "What it would do: whether the event is for \
        the flow, and every step with its outcome and the values that were resolved.")))]
async fn test(can: Can<scope::ConfigRead>, State(app): State<Arc<App>>, body: Body<Trial>) -> Result<Json<Value>, Problem> {
    let Trial { event, source_event, document, flow, draft } = body.value;
    let catalog = config::org(&app, can.org)?;
    let (event, came) = match (event, source_event) {
        (Some(event), None) => (Value::Object(event), None),
        (None, Some(_)) if !can.key.may(Scope::PassesRead) => return Err(Problem::Forbidden(Scope::PassesRead)),
        (None, Some(id)) => {
            let (event, source, at) = transformations::stored_event(&app, can.org, id).await?;
            (event, Some((source, at)))
        }
        _ => return Err(Problem::field("", "give either `event` or `source_event`")),
    };
    let under = |problems: Vec<flows::Problem>| refused(problems.into_iter().map(|problem| problem.under("document")).collect());
    let (id, document) = match (document, flow) {
        (Some(document), None) => (FlowId::from_uuid(uuid::Uuid::nil()), document),
        (None, Some(id)) => {
            let stored = &config::one(&catalog.flows, id.uuid(), "flow")?.value;
            let none = || Problem::field("draft", "the flow has no draft");
            (id, if draft { stored.draft.clone().ok_or_else(none)? } else { stored.document.clone() })
        }
        _ => return Err(Problem::field("", "give either `flow` or `document`")),
    };
    let flow = Flow::from_json(&document).map_err(|problem| under(vec![problem]))?;
    let plan = checked(&flow, id, &catalog).map_err(under)?;
    let sender = came.as_ref().and_then(|(source, _)| catalog.sources.get(&source.uuid()));
    let is_mirrored = sender.is_some_and(|stored| connectors::catalog::is_mirror(&stored.value.kind));
    let occasion = Occasion { is_mirrored, ..occasion(&app, can.org) };
    let asks = can.key.may(Scope::PassesRead);
    let through = match plan.transformation() {
        Some(name) => transformations::of_flow(&catalog, name)?,
        None => None,
    };
    let Some(transformation) = through else {
        let told = tell(&app, &[plan.run(&event, &occasion)], asks).await?;
        return Ok(Json(only(told, &plan, asks)));
    };
    // What `metadata(event)` says of an event out of the inbox is what it said when that arrived.
    let source = came.and_then(|(source, _)| catalog.sources.get(&source.uuid()).map(|stored| Arc::clone(&stored.value)));
    let received_at = came.map_or(occasion.received_at, |(_, at)| at);
    let ran = transformations::blocking(move || {
        let arrived = [Arrived { event: &event, source: source.as_deref(), received_at }];
        transformation.run(&arrived, Indoors::host(), &script::Limits::default())
    });
    let ran = ran.await?;
    let Some(became) = ran.events.first() else { return Ok(Json(Value::Null)) };
    let mut out = match became {
        Transformed::Kept(events) => {
            let runs: Vec<Run> = (0..).zip(events).map(|(part, event)| plan.run(event, &Occasion { part, ..occasion })).collect();
            only(tell(&app, &runs, asks).await?, &plan, asks)
        }
        Transformed::Dropped | Transformed::Failed(_) => json!({"flow": plan.slug(), "matched": false}),
    };
    out["transformation"] = transform::shown(became, &ran.log, ran.log_left_out);
    Ok(Json(out))
}

/// The account of the only run, or those of several.
fn only(mut told: Vec<Value>, plan: &Plan, asks: bool) -> Value {
    let mut out = if told.len() == 1 { told.swap_remove(0) } else { json!({"flow": plan.slug(), "matched": true, "runs": told}) };
    out["decided"] = json!(asks);
    out
}

/// The accounts of runs, with what the engine would say to each command where it is asked.
async fn tell(app: &App, runs: &[Run], asks: bool) -> Result<Vec<Value>, Problem> {
    let mut told: Vec<Value> = runs.iter().map(Run::preview).collect();
    let mut asked: Vec<Asked<'_>> = if asks { asked(runs) } else { Vec::new() };
    loop {
        let commands: Vec<Command> = asked.iter().map(|it| it.command.clone()).collect();
        let verdicts = engine::preview(&app.store, &*app.clock, &commands).await?;
        let Some(stop) = stop(&asked, &verdicts) else {
            asked.iter().zip(&verdicts).for_each(|(it, verdict)| note(&mut told[it.run]["steps"][it.step], verdict));
            return Ok(told);
        };
        // What an earlier step stops changes nothing for what comes after: without it, the others are asked again.
        let (run, step) = (asked[stop].run, asked[stop].step);
        asked.retain(|it| it.run != run || it.step <= step);
        for (left, shown) in runs[run].steps.iter().zip(told[run]["steps"].as_array_mut().into_iter().flatten()).skip(step + 1) {
            if matches!(left.outcome, StepOutcome::Command(_) | StepOutcome::Wait(_)) {
                shown["outcome"] = json!("not_reached");
            }
        }
    }
}

/// A command of a run's step.
struct Asked<'r> {
    run: usize,
    step: usize,
    stops: bool,
    command: &'r Command,
}

fn asked(runs: &[Run]) -> Vec<Asked<'_>> {
    let mut all = Vec::new();
    for (run, of) in runs.iter().enumerate() {
        for (step, it) in of.steps.iter().enumerate() {
            if let StepOutcome::Command(command) = &it.outcome {
                all.push(Asked { run, step, stops: it.on_error == OnError::Stop, command });
            }
        }
    }
    all
}

/// The first refused command that stops others which were asked after it.
fn stop(asked: &[Asked<'_>], verdicts: &[Result<Outcome, EngineError>]) -> Option<usize> {
    let stops = |at: usize| {
        let it = &asked[at];
        it.stops && verdicts[at].is_err() && asked.iter().any(|later| later.run == it.run && later.step > it.step)
    };
    (0..asked.len().min(verdicts.len())).find(|at| stops(*at))
}

fn note(step: &mut Value, verdict: &Result<Outcome, EngineError>) {
    match verdict {
        Ok(outcome) => {
            let answer = &outcome.answer;
            step["result"] = json!(match answer {
                Answer::Done { stays: Some(stays), .. } | Answer::Unchanged { stays: Some(stays), .. } => still(*stays),
                Answer::Done { created: true, .. } => "created",
                Answer::Done { .. } => "changed",
                Answer::Unchanged { .. } => "unchanged",
                Answer::Scanned { .. } | Answer::ScanRefused { .. } | Answer::Noted { .. } => "done",
            });
            // A new one has no id yet.
            if !matches!(answer, Answer::Done { created: true, .. }) {
                step["pass"] = json!(answer.pass());
            }
        }
        Err(EngineError::Rejected(reject)) => {
            step["outcome"] = json!("rejected");
            step["error"] = json!(reject);
        }
        Err(EngineError::Unavailable(error)) => {
            step["outcome"] = json!("held");
            step["error"] = json!({"message": error.to_string()});
        }
    }
}

fn occasion(app: &App, org: OrgId) -> Occasion<'_> {
    Occasion {
        org,
        source: SourceId::from_uuid(uuid::Uuid::nil()),
        event: SourceEventId::from_uuid(uuid::Uuid::nil()),
        received_at: app.now(),
        occurred_at: None,
        run: 0,
        part: 0,
        via: None,
        is_mirrored: false,
        entropy: &*app.entropy,
    }
}
