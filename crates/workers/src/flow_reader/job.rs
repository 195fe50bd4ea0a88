//! One source event on its way through the flows of its organization.

use domain::{Answer, Command, ContactId, Entropy, OrgId, SourceEventId, Timestamp};
use engine::{EngineError, Outcome};
use flows::{
    flow::{NotMatched, Occasion, OnError, Plan, Run, StepOutcome},
    transform,
};
use script::Transformed;
use serde_json::{Value, json};
use store::{InboxEntry, InboxResult, InboxStatus};

use super::{Key, plans::OrgPlans, transform::Made};

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
    /// A fault of ours keeps it.
    Held,
}

impl Verdict {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unwanted | Self::Ignored => "ignored",
            Self::Done => "done",
            Self::Parked => "parked",
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
}

impl Track {
    fn next(&self) -> Option<&Command> {
        match &self.run.steps.get(self.at)?.outcome {
            StepOutcome::Command(command) => Some(command),
            _ => None,
        }
    }

    fn applied(&mut self, answer: &Answer) {
        let note = &mut self.trace["steps"][self.at];
        note["outcome"] = json!(match answer {
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
            if matches!(left.outcome, StepOutcome::Command(_)) {
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
}

impl Job {
    /// Runs all flows of the organization on the event.
    pub(crate) fn new(entry: &InboxEntry, plans: &OrgPlans, made: &Made, entropy: &dyn Entropy) -> Self {
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
        };
        // Erased meanwhile: nothing is left to act on.
        let Some(payload) = &entry.payload else { return job };
        if entry.result.is_none() && plans.nobody_wants(entry.source, payload) {
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
        let occasion = Occasion {
            org: entry.org,
            source: entry.source,
            event: entry.id,
            received_at: entry.received_at,
            occurred_at: entry.occurred_at,
            run: job.run,
            part: 0,
            entropy,
        };
        for plan in plans.plans.iter().filter(|plan| plan.listens_to(entry.source)) {
            let before = job.tracks.len();
            match plans.transformations.get(&plan.id()) {
                None => job.track(plan.run(&event, &occasion)),
                Some(transformation) => job.transformed(plan, made.of(entry.id, transformation.id), &occasion),
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
        if let Some(broken) = plans.broken.iter().find(|broken| broken.may_want(entry.source)) {
            job.park(format!("flow {}: {}", broken.slug, broken.why));
        }
        job.skip_commandless();
        job
    }

    fn track(&mut self, run: Run) {
        let trace = run.trace();
        self.tracks.push(Track { run, trace, at: 0 });
    }

    /// Runs a flow on what its transformation made of the event.
    fn transformed(&mut self, plan: &Plan, made: Option<&Transformed>, occasion: &Occasion<'_>) {
        let not_matched = |reason: String| Run {
            flow: plan.slug().to_owned(),
            not_matched: Some(NotMatched { detail: reason.clone(), reason }),
            steps: Vec::new(),
        };
        match made {
            Some(Transformed::Kept(events)) => {
                for (part, event) in (0..).zip(events) {
                    self.track(plan.run(event, &Occasion { part, ..*occasion }));
                    if let Some(track) = self.tracks.last_mut() {
                        track.trace["part"] = json!(part);
                    }
                }
            }
            Some(Transformed::Dropped) => self.track(not_matched("its transformation dropped the event".to_owned())),
            Some(Transformed::Failed(fault)) => {
                let why = format!("its transformation failed at {}", transform::reason(fault));
                self.track(not_matched(why.clone()));
                self.park(format!("flow {}: {why}", plan.slug()));
            }
            None => {
                self.track(not_matched("its transformation did not end".to_owned()));
                self.park(format!("flow {}: its transformation did not end", plan.slug()));
            }
        }
    }

    /// Notes the steps that could not become commands, and stops before the next command of every track.
    fn skip_commandless(&mut self) {
        let mut faults = Vec::new();
        for track in &mut self.tracks {
            while let Some(step) = track.run.steps.get(track.at) {
                match &step.outcome {
                    StepOutcome::Command(_) => break,
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
        self.held.is_some() || self.tracks.iter().all(|track| track.at >= track.run.steps.len())
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
        InboxResult { status: status.number(), runs: self.runs(), due_at: None, at: now, trace: trace.to_string() }
    }
}
