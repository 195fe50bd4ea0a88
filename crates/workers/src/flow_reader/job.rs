//! One source event on its way through the flows of its organization.

use std::time::Duration;

use domain::{Answer, Command, ContactId, Entropy, FlowId, OrgId, PassRef, SourceEventId, Timestamp, Via};
use engine::{EngineError, Outcome};
use flows::{
    flow::{Marks, NotMatched, Occasion, OnError, Place, Plan, Run, StepOutcome, Wait, cancel, is_waiting, still, waiting_since},
    transform,
};
use script::Transformed;
use serde::Deserialize as _;
use serde_json::{Value, json};
use store::{InboxEntry, InboxResult, InboxStatus};

use super::{Key, aside::Made, plans::OrgPlans};

/// What is to be written about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No flow is for events of its name; nothing has to be written about it.
    Unwanted,
    /// No flow was for it.
    Ignored,
    /// All steps are done.
    Done,
    /// A person has to look at it.
    Parked,
    /// A flow waits for its turn, or a step for its time.
    Delayed,
    /// A fault of ours keeps it.
    Held,
}

impl Verdict {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unwanted | Self::Ignored => "ignored",
            Self::Done => "done",
            Self::Parked => "parked",
            Self::Delayed => "delayed",
            Self::Held => "waiting",
        }
    }
}

/// One flow's run, and how far it has come.
#[derive(Debug)]
struct Track {
    run: Run,
    trace: Value,
    /// The step that is next.
    at: usize,
    /// Until when nothing more is done.
    wait: Option<Timestamp>,
    /// Of which flow it has to take a turn first, and how far these lie apart.
    turn: Option<(FlowId, Duration)>,
}

impl Track {
    fn new(run: Run, turn: Option<(FlowId, Duration)>) -> Self {
        let trace = run.trace();
        let turn = turn.filter(|_| run.matched());
        Self { run, trace, at: 0, wait: None, turn }
    }

    /// One of which nothing more is done.
    fn over(trace: Value) -> Self {
        let text = |key: &str| trace[key].as_str().unwrap_or_default().to_owned();
        let not_matched = (trace["matched"] != true).then(|| NotMatched { reason: text("reason"), detail: text("reason") });
        let run = Run { flow: text("flow"), not_matched, steps: Vec::new() };
        Self { run, trace, at: 0, wait: None, turn: None }
    }

    fn is_over(&self) -> bool {
        self.at >= self.run.steps.len()
    }

    /// Goes on where an earlier run stopped: what was settled then stays as it was.
    fn resume(&mut self, former: &Value) {
        self.turn = None;
        if former["turn"].is_object() {
            self.trace["turn"] = former["turn"].clone();
            self.wait = Marks::due_at(&former["turn"]);
        }
        let notes = former["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (step, note) in self.run.steps.iter_mut().zip(self.trace["steps"].as_array_mut().into_iter().flatten()) {
            let Some(known) = notes.iter().find(|known| known["step"] == step.id.as_str()) else { continue };
            if Marks::is_settled(known) {
                *note = known.clone();
                step.outcome = StepOutcome::NotReached;
            } else if let Some(due_at) = Marks::due_at(known) {
                *note = known.clone();
                step.outcome = StepOutcome::Wait(Wait::Until(due_at));
            }
        }
    }

    /// Lets a turn or a time that has come be past.
    fn advance(&mut self, now: Timestamp) {
        if self.wait.is_some_and(|due| due <= now) {
            self.wait = None;
            if Marks::due_at(&self.trace["turn"]).is_some() {
                self.trace["turn"]["outcome"] = json!("taken");
            }
        }
        while self.wait.is_none()
            && let Some(StepOutcome::Wait(Wait::Until(due))) = self.run.steps.get(self.at).map(|step| &step.outcome)
        {
            let due = *due;
            let note = &mut self.trace["steps"][self.at];
            if due <= now {
                Marks::set(note, json!({"outcome": "waited", "due_at": due}));
                self.at += 1;
            } else {
                if Marks::due_at(note).is_none() {
                    Marks::set(note, Marks::waiting(due, now));
                }
                self.wait = Some(due);
            }
        }
    }

    /// Has its turn at a time.
    fn turns(&mut self, due: Timestamp, now: Timestamp) {
        self.turn = None;
        self.trace["turn"] = Marks::waiting(due, now);
        self.wait = Some(due);
    }

    fn next(&self) -> Option<&Command> {
        if self.wait.is_some() {
            return None;
        }
        match &self.run.steps.get(self.at)?.outcome {
            StepOutcome::Command(command) => Some(command),
            _ => None,
        }
    }

    fn applied(&mut self, answer: &Answer) {
        let note = &mut self.trace["steps"][self.at];
        note["outcome"] = json!(match answer {
            Answer::Done { stays: Some(stays), .. } | Answer::Unchanged { stays: Some(stays), .. } => still(*stays),
            Answer::Done { .. } => "done",
            Answer::Unchanged { .. } => "unchanged",
            Answer::Scanned { .. } => "scanned",
            Answer::ScanRefused { .. } => "scan_refused",
            Answer::Noted { .. } => "noted",
        });
        if let Some(late) = answer.late() {
            note["late"] = json!(late);
        }
        if let Some(pass) = answer.pass() {
            note["pass"] = json!(pass);
        }
        self.at += 1;
    }

    fn rejected(&mut self, error: &Value) {
        let note = &mut self.trace["steps"][self.at];
        note["outcome"] = json!("rejected");
        note["error"] = error.clone();
        let stops = self.run.steps[self.at].on_error == OnError::Stop;
        self.at += 1;
        while stops && let Some(left) = self.run.steps.get(self.at) {
            if matches!(left.outcome, StepOutcome::Command(_) | StepOutcome::Wait(_)) {
                self.trace["steps"][self.at]["outcome"] = json!("not_reached");
            }
            self.at += 1;
        }
    }
}

/// A source event at work.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) org: OrgId,
    pub(crate) id: SourceEventId,
    pub(crate) key: Key,
    pub(crate) seq: u64,
    before: i32,
    run: u32,
    tracks: Vec<Track>,
    owner: Option<ContactId>,
    parked: Option<String>,
    held: Option<String>,
    unwanted: bool,
    now: Timestamp,
}

impl Job {
    /// Runs all flows of the organization on the event.
    pub(crate) fn new(entry: &InboxEntry, plans: &OrgPlans, made: &Made, entropy: &dyn Entropy, now: Timestamp) -> Self {
        let mut job = Self {
            org: entry.org,
            id: entry.id,
            key: (entry.org, entry.order_key),
            seq: entry.position.seq,
            before: entry.result.as_ref().map_or(0, |result| result.runs),
            run: entry.run(),
            tracks: Vec::new(),
            owner: None,
            parked: None,
            held: None,
            unwanted: false,
            now,
        };
        let former = former(entry);
        if former.is_some() {
            job.parked = parked(entry);
        }
        // Erased meanwhile: nothing is left to act on.
        let Some(payload) = &entry.payload else {
            job.tracks = former.into_iter().flatten().map(|flow| cancelled(flow, "its person was erased")).collect();
            return job;
        };
        if entry.result.is_none() && plans.nobody_wants(entry.source, &entry.name, payload) {
            job.unwanted = true;
            return job;
        }
        let event: Value = match serde_json::from_str(payload) {
            Ok(event) => event,
            Err(_) => {
                job.parked = Some("what arrived is not JSON".to_owned());
                return job;
            }
        };
        let via = event.get("via").and_then(|via| Via::deserialize(via).ok()).unwrap_or_default();
        let occasion = Occasion {
            org: entry.org,
            source: entry.source,
            event: entry.id,
            received_at: entry.received_at,
            occurred_at: entry.occurred_at,
            run: job.run,
            part: 0,
            via: Some(&via),
            is_mirrored: plans.sources.get(&entry.source).is_some_and(|source| connectors::catalog::is_mirror(&source.kind)),
            entropy,
        };
        for plan in plans.plans.iter().filter(|plan| plan.listens_to(entry.source)) {
            let before = job.tracks.len();
            match (came_back(&via, entry.org, plan), plans.transformations.get(&plan.id())) {
                (Some(why), _) => job.track(not_matched(plan, why.to_owned()), None),
                (None, None) => job.track(plan.run(&event, &occasion), turn(plan)),
                (None, Some(transformation)) => job.transformed(plan, made.of(transformation.id), &occasion),
            }
            let version = plans.versions.get(&plan.id());
            let transformation = plans.transformations.get(&plan.id()).map(|it| it.version);
            for track in job.tracks.iter_mut().skip(before) {
                track.trace["version"] = json!(version);
                if let Some(transformation) = transformation {
                    track.trace["transformation"] = json!(transformation);
                }
            }
        }
        if let Some(broken) = plans.broken.iter().find(|broken| broken.may_take(entry.source, &event)) {
            job.park(format!("flow {}: {}", broken.slug, broken.why));
        }
        if let Some(former) = former {
            job.resume(former, plans);
        }
        job.skip_commandless();
        job
    }

    /// Goes on with the flows that waited, and with no others.
    fn resume(&mut self, former: Vec<Value>, plans: &OrgPlans) {
        let mut fresh = std::mem::take(&mut self.tracks);
        for flow in former {
            if !is_waiting(&flow) {
                self.tracks.push(Track::over(flow));
                continue;
            }
            let same = |track: &Track| track.trace["flow"] == flow["flow"] && track.trace["part"] == flow["part"];
            let found = fresh.iter().position(same).map(|at| fresh.swap_remove(at));
            let slug = flow["flow"].as_str().unwrap_or_default();
            let switched_off = waiting_since(&flow) < plans.enabled_at.get(slug).copied();
            let track = match found {
                None => cancelled(flow, "the flow was switched off or removed"),
                Some(_) if switched_off => cancelled(flow, "the flow was switched off meanwhile"),
                Some(track) if !track.run.matched() => cancelled(flow, "the event is not for the flow any more"),
                Some(mut track) => {
                    track.resume(&flow);
                    track
                }
            };
            self.tracks.push(track);
        }
    }

    fn track(&mut self, run: Run, turn: Option<(FlowId, Duration)>) {
        self.tracks.push(Track::new(run, turn));
    }

    /// Runs a flow on what its transformation made of the event.
    fn transformed(&mut self, plan: &Plan, made: Option<&Transformed>, occasion: &Occasion<'_>) {
        match made {
            Some(Transformed::Kept(events)) => {
                for (part, event) in (0..).zip(events) {
                    self.track(plan.run(event, &Occasion { part, ..*occasion }), turn(plan));
                    if let Some(track) = self.tracks.last_mut() {
                        track.trace["part"] = json!(part);
                    }
                }
            }
            Some(Transformed::Dropped) => self.track(not_matched(plan, "its transformation dropped the event".to_owned()), None),
            Some(Transformed::Failed(fault)) => {
                let why = format!("its transformation failed at {}", transform::reason(fault));
                self.track(not_matched(plan, why.clone()), None);
                self.park(format!("flow {}: {why}", plan.slug()));
            }
            None => {
                self.track(not_matched(plan, "its transformation did not end".to_owned()), None);
                self.park(format!("flow {}: its transformation did not end", plan.slug()));
            }
        }
    }

    /// Notes the steps that could not become commands, and stops before the next command of every track.
    fn skip_commandless(&mut self) {
        let mut faults = Vec::new();
        for track in self.tracks.iter_mut().filter(|track| track.turn.is_none()) {
            loop {
                track.advance(self.now);
                let Some(step) = track.run.steps.get(track.at).filter(|_| track.wait.is_none()) else { break };
                match &step.outcome {
                    StepOutcome::Command(_) | StepOutcome::Wait(_) => break,
                    StepOutcome::Failed(problems) => {
                        let why = problems.first().map_or("", |problem| problem.message.as_str());
                        faults.push(format!("flow {}, step {}: {why}", track.run.flow, step.id));
                    }
                    StepOutcome::Skipped(_) | StepOutcome::NotReached => {}
                }
                track.at += 1;
            }
        }
        faults.into_iter().for_each(|fault| self.park(fault));
    }

    /// Keeps the first reason.
    fn park(&mut self, why: String) {
        self.parked.get_or_insert(why);
    }

    /// Whether nothing more is to be asked of the engine.
    pub(crate) fn is_over(&self) -> bool {
        self.held.is_some() || self.tracks.iter().all(|track| track.wait.is_some() || track.is_over())
    }

    /// Of which flows turns have to be taken before anything else, in the order of the job's flows.
    pub(crate) fn turns_needed(&self) -> impl Iterator<Item = (FlowId, Duration)> {
        self.tracks.iter().filter_map(|track| track.turn)
    }

    /// Gives the next turn of a flow to it.
    pub(crate) fn take_turn(&mut self, flow: FlowId, due: Timestamp) {
        let now = self.now;
        if let Some(track) = self.tracks.iter_mut().find(|track| track.turn.is_some_and(|(of, _)| of == flow)) {
            track.turns(due, now);
        }
        self.skip_commandless();
    }

    /// The passes that tell until when the next steps wait, with where each stands.
    pub(crate) fn look_ups(&self) -> Vec<(usize, PassRef, Place)> {
        let look = |(at, track): (usize, &Track)| match track.run.steps.get(track.at).map(|step| &step.outcome) {
            Some(StepOutcome::Wait(Wait::Look(pass, place))) if track.wait.is_none() => Some((at, pass.clone(), place.clone())),
            _ => None,
        };
        self.tracks.iter().enumerate().filter_map(look).collect()
    }

    /// Takes the answer to one of [`Job::look_ups`].
    pub(crate) fn looked_up(&mut self, index: usize, until: Result<Timestamp, String>) {
        let now = self.now;
        let Some(track) = self.tracks.get_mut(index) else { return };
        match until.and_then(|until| Wait::found(until, now)) {
            Ok(wait) => {
                if let Some(step) = track.run.steps.get_mut(track.at) {
                    step.outcome = StepOutcome::Wait(wait);
                }
            }
            Err(why) => {
                let step = track.run.steps.get(track.at).map(|step| step.id.clone()).unwrap_or_default();
                let reason = format!("flow {}, step {step}: {why}", track.run.flow);
                track.rejected(&json!({"code": "invalid", "path": "until", "message": why}));
                self.park(reason);
            }
        }
        self.skip_commandless();
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Waits because an earlier event of the key does.
    pub(crate) fn hold_behind(&mut self) {
        self.held.get_or_insert("behind an earlier event".to_owned());
    }

    /// The next command of every flow; flows of one event are independent of each other, steps of one flow are not.
    pub(crate) fn next_commands(&self, commands: &mut Vec<Command>) {
        if self.is_over() {
            return;
        }
        commands.extend(self.tracks.iter().filter_map(Track::next).cloned());
    }

    /// Takes the answers to [`Job::next_commands`], in their order.
    pub(crate) fn answers(&mut self, mut verdicts: impl Iterator<Item = Result<Outcome, EngineError>>) {
        for index in 0..self.tracks.len() {
            if self.tracks[index].next().is_some()
                && let Some(verdict) = verdicts.next()
            {
                self.answer(index, verdict);
            }
        }
        self.skip_commandless();
    }

    fn answer(&mut self, index: usize, verdict: Result<Outcome, EngineError>) {
        let track = &mut self.tracks[index];
        match verdict {
            Ok(outcome) => {
                self.owner = self.owner.or(outcome.answer.contact());
                track.applied(&outcome.answer);
            }
            Err(EngineError::Rejected(reject)) => {
                let step = track.run.steps.get(track.at).map(|step| step.id.clone()).unwrap_or_default();
                let why = format!("flow {}, step {step}: {}", track.run.flow, reject.message);
                track.rejected(&json!(reject));
                self.park(why);
            }
            Err(EngineError::Unavailable(error)) => {
                tracing::error!(%error, event = %self.id, "a source event is held by a fault of the store");
                self.held = Some("a fault in the store; see the log".to_owned());
            }
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.held.is_some() {
            Verdict::Held
        } else if self.due_at().is_some() {
            Verdict::Delayed
        } else if self.parked.is_some() {
            Verdict::Parked
        } else if self.unwanted {
            Verdict::Unwanted
        } else if self.tracks.iter().any(|track| track.run.matched()) {
            Verdict::Done
        } else {
            Verdict::Ignored
        }
    }

    /// When the first flow that waits goes on.
    fn due_at(&self) -> Option<Timestamp> {
        self.tracks.iter().filter_map(|track| track.wait).min()
    }

    /// How many runs it took, this one included.
    pub(crate) fn runs(&self) -> i32 {
        self.before.saturating_add(1)
    }

    pub(crate) fn owner(&self) -> Option<ContactId> {
        self.owner
    }

    pub(crate) fn result(&self, status: InboxStatus, now: Timestamp) -> InboxResult {
        let flows: Vec<&Value> = self.tracks.iter().map(|track| &track.trace).collect();
        let mut trace = json!({ "flows": flows });
        if self.run > 0 {
            trace["run"] = json!(self.run);
        }
        if let Some(reason) = self.held.as_ref().or(self.parked.as_ref()) {
            trace["reason"] = json!(reason);
        }
        let due_at = self.due_at().filter(|_| status == InboxStatus::Delayed);
        InboxResult { status: status.number(), runs: self.runs(), due_at, at: now, trace: trace.to_string() }
    }
}

/// Why a flow does nothing about an event that was told from one Passbridge to the next: it is this organization's own news.
fn came_back(via: &Via, org: OrgId, plan: &Plan) -> Option<&'static str> {
    if via.event.contains(&org) {
        Some("the event came back: it was told here, and by webhooks from one Passbridge to the next")
    } else if via.event.len() >= Via::MOST {
        Some("the event was told by webhooks from one Passbridge to the next sixteen times: it goes no further")
    } else if via.pass.contains(&org) && plan.issues() {
        Some("the pass mirrors one that was issued here: none is issued for it")
    } else {
        None
    }
}

fn not_matched(plan: &Plan, reason: String) -> Run {
    let not_matched = Some(NotMatched { detail: reason.clone(), reason });
    Run { flow: plan.slug().to_owned(), not_matched, steps: Vec::new() }
}

/// The turns that a flow's events have to take.
fn turn(plan: &Plan) -> Option<(FlowId, Duration)> {
    Some((plan.id(), plan.apart()?))
}

/// What the flows of an event had come to that waited.
fn former(entry: &InboxEntry) -> Option<Vec<Value>> {
    let trace: Value = serde_json::from_str(&entry.result.as_ref()?.trace).ok()?;
    let flows = trace["flows"].as_array()?;
    flows.iter().any(is_waiting).then(|| flows.clone())
}

/// Why somebody has to look at an event of which another flow waited.
fn parked(entry: &InboxEntry) -> Option<String> {
    let result = entry.result.as_ref().filter(|result| result.status == InboxStatus::Delayed.number())?;
    serde_json::from_str::<Value>(&result.trace).ok()?["reason"].as_str().map(str::to_owned)
}

fn cancelled(mut flow: Value, why: &str) -> Track {
    cancel(&mut flow, why);
    Track::over(flow)
}
