//! Every organization's flows, compiled once per change of its configuration.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{FlowId, OrgId, Project, Source, SourceId, Timestamp};
use flows::{
    flow::{Audience, Flow, Label, Plan},
    mapping::Rules,
    transform::Transformation,
};
use script::{Entry, Program};
use serde_json::Value;
use store::{Catalog, OrgCatalog, StoredFlow};

/// The flows of one organization, by slug.
#[derive(Debug, Default)]
pub(crate) struct OrgPlans {
    /// Those that can run.
    pub(crate) plans: Vec<Plan>,
    /// Those that are enabled and cannot, with what is wrong.
    pub(crate) broken: Vec<Broken>,
    /// What flows run events through before they look at them, where that is switched on.
    pub(crate) transformations: HashMap<FlowId, Transformation>,
    /// Since when each is switched on, by its slug: what waited before is cancelled.
    pub(crate) enabled_at: HashMap<String, Timestamp>,
    /// Their versions, for the trace.
    pub(crate) versions: HashMap<FlowId, i64>,
    /// The sources, for a transformation's metadata.
    pub(crate) sources: HashMap<SourceId, Arc<Source>>,
}

/// A flow that was fine when it was saved and is not any more: its project or source has changed.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) slug: String,
    pub(crate) why: String,
    /// Which sources and events it is for; nothing where its document cannot be read.
    flow: Option<(Vec<SourceId>, Audience)>,
}

impl Broken {
    fn of(stored: &StoredFlow, flow: Option<&Flow>, why: String, sources: &[Source]) -> Self {
        let flow = flow.map(|flow| (listens_to(flow, sources), Audience::of(flow)));
        Self { slug: stored.slug.clone(), why, flow }
    }

    /// Whether an event might have been for it.
    pub(crate) fn may_take(&self, source: SourceId, event: &Value) -> bool {
        self.flow.as_ref().is_none_or(|(sources, audience)| is_heard(sources, source) && audience.may_take(event))
    }

    fn may_want(&self, source: SourceId, wants: impl Fn(&Audience) -> bool) -> bool {
        self.flow.as_ref().is_none_or(|(sources, audience)| is_heard(sources, source) && wants(audience))
    }
}

/// The sources that a broken flow listens to; none, which is all, where one that it names is not known any more: it may be any.
fn listens_to(flow: &Flow, sources: &[Source]) -> Vec<SourceId> {
    let of = |name: &String| sources.iter().find(|known| known.slug == *name || known.id.to_string() == *name);
    flow.sources.0.iter().map(|name| of(name).map(|source| source.id)).collect::<Option<_>>().unwrap_or_default()
}

fn is_heard(sources: &[SourceId], source: SourceId) -> bool {
    sources.is_empty() || sources.contains(&source)
}

impl OrgPlans {
    /// Whether the name or type of an event tells that no flow is for it.
    pub(crate) fn nobody_wants(&self, source: SourceId, name: &str, payload: &str) -> bool {
        if !self.may_want(source, |plan| plan.may_want_called(name), |audience| audience.may_want_called(name)) {
            return true;
        }
        let Some(label) = Label::of(payload) else { return false };
        !self.may_want(source, |plan| plan.may_want(&label), |audience| audience.may_want(&label))
    }

    fn may_want(&self, source: SourceId, plan: impl Fn(&Plan) -> bool, audience: impl Fn(&Audience) -> bool) -> bool {
        self.plans.iter().any(|one| one.listens_to(source) && plan(one))
            || self.broken.iter().any(|broken| broken.may_want(source, &audience))
    }
}

/// The compiled flows of all organizations.
#[derive(Default)]
pub(crate) struct Plans(HashMap<OrgId, (Arc<OrgCatalog>, Arc<OrgPlans>)>);

impl Plans {
    pub(crate) fn of(&mut self, catalog: &Catalog, org: OrgId) -> Arc<OrgPlans> {
        let Some(config) = catalog.org(org) else { return Arc::default() };
        match self.0.get(&org) {
            Some((known, plans)) if Arc::ptr_eq(known, config) => Arc::clone(plans),
            _ => {
                let plans = Arc::new(compile(org, config));
                self.0.insert(org, (Arc::clone(config), Arc::clone(&plans)));
                plans
            }
        }
    }
}

fn compile(org: OrgId, config: &OrgCatalog) -> OrgPlans {
    let projects: Vec<Project> = config.projects.values().map(|stored| (*stored.value).clone()).collect();
    let sources: Vec<Source> = config.sources.values().map(|stored| (*stored.value).clone()).collect();
    let mut stored: Vec<&Arc<StoredFlow>> = config.flows.values().map(|stored| &stored.value).collect();
    stored.sort_unstable_by(|a, b| a.slug.cmp(&b.slug));
    let libraries = Arc::new(config.libraries());
    let sources_by_id = config.sources.values().map(|stored| (stored.value.id, Arc::clone(&stored.value))).collect();
    let versions = config.flows.values().map(|stored| (stored.value.id, stored.version())).collect();
    let enabled_at = stored.iter().map(|flow| (flow.slug.clone(), flow.enabled_at.unwrap_or(flow.created_at))).collect();
    let mut out = OrgPlans { sources: sources_by_id, versions, enabled_at, ..OrgPlans::default() };
    for flow in stored {
        match check(flow.id, &flow.document, &projects, &sources) {
            Ok(plan) => match transformation(&plan, config, &libraries) {
                Ok(transformation) => {
                    out.transformations.extend(transformation.map(|it| (plan.id(), it)));
                    out.plans.push(plan);
                }
                Err(why) => {
                    tracing::warn!(%org, flow = flow.slug, why, "a flow lost its transformation; its events are parked");
                    let document = serde_json::from_value(flow.document.clone()).ok();
                    out.broken.push(Broken::of(flow, document.as_ref(), why, &sources));
                }
            },
            Err((document, _)) if document.as_ref().is_some_and(|flow| !flow.enabled) => {}
            Err((document, why)) => {
                tracing::warn!(%org, flow = flow.slug, why, "a flow does not fit its project any more; its events are parked");
                out.broken.push(Broken::of(flow, document.as_deref(), why, &sources));
            }
        }
    }
    out
}

fn check(id: FlowId, document: &Value, projects: &[Project], sources: &[Source]) -> Result<Plan, (Option<Box<Flow>>, String)> {
    let flow: Flow = serde_json::from_value(document.clone()).map_err(|error| (None, error.to_string()))?;
    flow.check_by(Rules::Stored, id, projects, sources).map_err(|problems| {
        let why = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>().join("; ");
        (Some(Box::new(flow)), why)
    })
}

/// The transformation that a flow names, if it names one that is switched on.
fn transformation(
    plan: &Plan,
    config: &OrgCatalog,
    libraries: &Arc<BTreeMap<String, String>>,
) -> Result<Option<Transformation>, String> {
    let Some(name) = plan.transformation() else { return Ok(None) };
    let stored = config.transformation_named(name).ok_or_else(|| format!("there is no transformation `{name}` any more"))?;
    let entry = if stored.value.batch { Entry::Batch } else { Entry::Event };
    let program = Program::load(&stored.value.code, Arc::clone(libraries), entry);
    Ok(stored.value.enabled.then(|| Transformation { id: stored.value.id, version: stored.revision, program }))
}
