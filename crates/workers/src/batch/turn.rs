//! One turn of a batch.

use std::time::Duration;

use domain::{Answer, Command, Project, Timestamp};
use engine::{EngineError, Outcome};
use flows::{
    Problem,
    batch::{Batch as Document, BatchPlan, Layout, Place, Report, Row, Ticket},
    mapping::Rules,
};
use store::{Batch, BatchPhase, BatchStart, BatchTally, BatchWork, CHUNK_BYTES, Chunk, JobState};
use tokio::time::Instant;
use uuid::Uuid;

use super::{fail, feed::Feed, lag, notice, removal};
use crate::{
    jobs,
    shard::{End, Shard},
};

/// How long a batch comes on before it is written down how far, and others have their turn.
pub(super) const TURN: Duration = Duration::from_secs(1);
/// Most columns that a check tells nothing takes.
const MOST_UNUSED: usize = 100;
/// Rows that are carried out together: several commits, the next decided by the engine while one is being written.
const GROUP_ROWS: usize = 512;
/// Bytes of rows from which on a group is full.
const GROUP_BYTES: usize = 1 << 20;
/// How often a batch looks whether it has to give way.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long it waits before it looks again.
pub(super) const GIVE_WAY: Duration = Duration::from_millis(100);
/// Pause before rows are tried again while the store is away.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Brings a batch on for a while and writes down how far it is; the batch as it is then.
pub(super) async fn make(shard: &Shard, batch: Batch) -> Result<Batch, End> {
    let (file, document) = match (batch.progress.file, serde_json::from_value(batch.progress.document.clone())) {
        (Some(file), Ok(document)) => (file, document),
        _ => return fail(shard, batch, "it has no rows, or was made by another version".to_owned()).await,
    };
    let place = place(batch.progress.reported());
    // The first rows tell the layout anew, unless they were brought in from where it is known.
    let stored = if place.offset == 0 && batch.progress.intake.is_none() {
        None
    } else {
        serde_json::from_value(batch.progress.layout.clone()).ok()
    };
    let layout = stored.unwrap_or_else(|| Layout::of(&document));
    let mut feed = Feed::new(shard, batch.org, file, layout, place);
    // The first row tells the columns, which the plan is checked against.
    let first = match feed.next().await? {
        Ok(first) => first,
        Err(why) => return fail(shard, batch, why).await,
    };
    let plan = match plan(shard, &batch, &document, feed.layout()).await? {
        Ok(plan) => plan,
        Err(why) => return fail(shard, batch, why).await,
    };
    let layout = feed.layout().clone();
    let mut turn = Turn { shard, batch, plan, layout, report: String::new() };
    match turn.run(&mut feed, first).await? {
        Some(fault) => fail(shard, turn.write().await?, fault).await,
        None => {
            notice::ended(shard, &turn.batch).await?;
            turn.write().await
        }
    }
}

fn place(tally: &BatchTally) -> Place {
    Place { offset: tally.offset, rows: tally.rows, lines: tally.lines }
}

async fn plan(shard: &Shard, batch: &Batch, document: &Document, layout: &Layout) -> Result<Result<BatchPlan, String>, End> {
    let catalog = shard.insist("read the configuration", || shard.house.catalog()).await?;
    let projects: Vec<Project> = catalog
        .org(batch.org)
        .map(|config| config.projects.values().map(|stored| (*stored.value).clone()).collect())
        .unwrap_or_default();
    let words = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Ok(document.check_by(Rules::Stored, &projects, layout.known()).map_err(words))
}

/// A batch on its turn.
struct Turn<'s> {
    shard: &'s Shard,
    batch: Batch,
    plan: BatchPlan,
    layout: Layout,
    /// Rows that failed and are not written down yet.
    report: String,
}

/// The columns that a failure is about, and the reason.
type Why = (String, String);

/// Rows with what became of them on the way to a command.
#[derive(Default)]
struct Group {
    rows: Vec<(Row, Result<(), Why>)>,
    commands: Vec<Command>,
    /// Why the file cannot be read any further.
    fault: Option<String>,
    /// Whether these are the last.
    is_last: bool,
}

impl Turn<'_> {
    fn is_check(&self) -> bool {
        self.batch.progress.phase == BatchPhase::Check
    }

    /// Carries rows out until the turn is over, reading the next group while one is carried out. Answers with what keeps the
    /// batch from going on at all.
    async fn run(&mut self, feed: &mut Feed<'_>, first: Option<Row>) -> Result<Option<String>, End> {
        let now = self.shard.house.now();
        self.batch.progress.layout = serde_json::to_value(&self.layout).unwrap_or_default();
        self.batch.progress.tally().began_at.get_or_insert(now);
        let until = Instant::now() + TURN;
        if self.is_check() && self.batch.progress.check.rows == 0 {
            let followed = self.followed_column();
            let leaves = |column: &&String| self.plan.leaves(column) && followed.as_ref() != Some(*column);
            let columns = self.layout.columns.iter().filter(leaves);
            self.batch.progress.unused = columns.take(MOST_UNUSED).cloned().collect();
        }
        let mut look_at = Instant::now();
        let mut group = self.read(feed, first).await?;
        loop {
            if !self.is_check() && look_at <= Instant::now() {
                if self.gives_way(until).await? {
                    return Ok(None);
                }
                look_at = Instant::now() + LOOK_EVERY;
            }
            let is_final = group.is_last || group.fault.is_some();
            let commands = std::mem::take(&mut group.commands);
            let this = &*self;
            let (verdicts, next) = tokio::join!(this.carry_out(commands), async {
                if is_final { Ok(Group::default()) } else { this.read(feed, None).await }
            });
            let verdicts = verdicts?;
            if !self.is_check() {
                let passes = verdicts.iter().flatten().filter_map(|outcome| outcome.answer.pass()).collect();
                removal::note(self.shard, &self.batch, passes).await?;
            }
            self.note_unused(&group);
            self.settle(&group, verdicts);
            if group.fault.is_some() {
                return Ok(group.fault);
            }
            if group.is_last {
                return Ok(self.end());
            }
            group = next?;
            if self.report.len() >= CHUNK_BYTES || Instant::now() >= until || self.shard.is_stopping() {
                // What was read is read again.
                return Ok(None);
            }
        }
    }

    /// Waits while a reader of a log is too far behind; true when the turn went by with that.
    async fn gives_way(&mut self, until: Instant) -> Result<bool, End> {
        let house = &self.shard.house;
        loop {
            let behind = self.shard.insist("look at readers", || lag::behind(house.store.backend(), house.now())).await?;
            self.batch.progress.waits_for = behind.map(str::to_owned);
            if behind.is_none() {
                return Ok(false);
            }
            if Instant::now() >= until {
                return Ok(true);
            }
            self.shard.pause(GIVE_WAY).await?;
        }
    }

    /// The next rows with their commands.
    async fn read(&self, feed: &mut Feed<'_>, mut first: Option<Row>) -> Result<Group, End> {
        let (batch, work) = (&self.batch, &self.batch.progress);
        let ticket = Ticket {
            org: batch.org,
            batch: batch.id,
            actor: &work.actor,
            created_at: batch.created_at,
            entropy: &*self.shard.house.entropy,
        };
        let mut group = Group::default();
        let mut bytes = 0;
        while group.rows.len() < GROUP_ROWS && bytes < GROUP_BYTES {
            let next = match first.take() {
                Some(row) => Ok(Some(row)),
                None => feed.next().await?,
            };
            let row = match next {
                Ok(Some(row)) => row,
                Ok(None) => {
                    group.is_last = true;
                    break;
                }
                Err(why) => {
                    group.fault = Some(why);
                    break;
                }
            };
            bytes += row.text.len();
            let made = match &row.value {
                Err(why) => Err((String::new(), why.clone())),
                Ok(value) => match self.plan.command(row.number, value, &ticket) {
                    Ok(mut command) => {
                        removal::undo(batch, &mut command.action);
                        group.commands.push(command);
                        Ok(())
                    }
                    Err(problems) => Err(self.plan.explain(&problems)),
                },
            };
            group.rows.push((row, made));
        }
        Ok(group)
    }

    /// Carries commands out, or finds out what they would be answered.
    async fn carry_out(&self, commands: Vec<Command>) -> Result<Vec<Result<Outcome, EngineError>>, End> {
        let house = &self.shard.house;
        if self.is_check() {
            return self.shard.insist("check rows", || engine::preview(&house.store, &*house.clock, &commands)).await;
        }
        loop {
            let verdicts = house.engine.submit_all(commands.clone()).await;
            let away =
                verdicts.iter().any(|verdict| matches!(verdict, Err(EngineError::Unavailable(error)) if error.is_transient()));
            if !away {
                return Ok(verdicts);
            }
            // What went through is answered again from its stored result.
            tracing::warn!(batch = %self.batch.id, "the store is away; rows are tried again");
            self.shard.pause(AGAIN_AFTER).await?;
        }
    }

    /// The column by which an incremental sync knows what changed: the sync itself takes it.
    fn followed_column(&self) -> Option<String> {
        let sync = self.batch.progress.intake.as_ref()?.sync()?;
        let catalog = self.shard.house.store.catalog();
        let stored = catalog.org(self.batch.org)?.syncs.get(&sync.uuid())?;
        stored.value.incremental.as_ref().map(|incremental| incremental.column.clone())
    }

    /// Notes what nothing takes of rows whose columns are not known before.
    fn note_unused(&mut self, group: &Group) {
        if !self.is_check() || !self.layout.columns.is_empty() {
            return;
        }
        let followed = self.followed_column();
        let unused = &mut self.batch.progress.unused;
        for row in group.rows.iter().filter_map(|(row, _)| row.value.as_ref().ok()) {
            self.plan.left_of(row, &mut |name| {
                if unused.len() < MOST_UNUSED && !unused.contains(&name) && followed.as_ref() != Some(&name) {
                    unused.push(name);
                }
            });
        }
    }

    /// Counts what became of rows, and notes those that failed.
    fn settle(&mut self, group: &Group, verdicts: Vec<Result<Outcome, EngineError>>) {
        let mut verdicts = verdicts.into_iter();
        let report = Report::of(&self.layout);
        let tally = self.batch.progress.tally();
        let failed = tally.failed;
        for (row, made) in &group.rows {
            let outcome = match made {
                Err(why) => Err(why.clone()),
                Ok(()) => match verdicts.next() {
                    Some(Ok(outcome)) => Ok(outcome),
                    Some(Err(error)) => Err(refused(&self.plan, &error)),
                    None => Err((String::new(), "no answer came".to_owned())),
                },
            };
            match outcome {
                Ok(outcome) => count(tally, &outcome.answer),
                Err((column, reason)) => {
                    tally.failed += 1;
                    report.add(&mut self.report, row, &column, &reason);
                }
            }
            (tally.offset, tally.rows, tally.lines) = (row.end.offset, row.end.rows, row.end.lines);
        }
        let phase = if self.batch.progress.phase == BatchPhase::Check { "check" } else { "run" };
        metrics::counter!("batch_rows_total", "phase" => phase).increment(group.rows.len() as u64);
        metrics::counter!("batch_rows_failed_total", "phase" => phase)
            .increment(self.batch.progress.reported().failed.saturating_sub(failed));
    }

    /// All rows were read. Answers with why that is not enough.
    fn end(&mut self) -> Option<String> {
        let now = self.shard.house.now();
        let work = &mut self.batch.progress;
        work.waits_for = None;
        if work.tally().rows == 0 {
            return Some("the file has no rows".to_owned());
        }
        work.tally().ended_at = Some(now);
        self.batch.state = if work.phase == BatchPhase::Run {
            if removal::follows(&mut self.batch) { JobState::Running } else { JobState::Done }
        } else if starts(work) {
            work.phase = BatchPhase::Run;
            JobState::Running
        } else {
            JobState::Paused
        };
        None
    }

    /// Writes down how far the batch is, with what is to be reported.
    async fn write(mut self) -> Result<Batch, End> {
        let chunks = self.reported();
        jobs::save(self.shard, self.batch, &chunks).await
    }

    fn reported(&mut self) -> Vec<Chunk> {
        if self.report.is_empty() {
            return Vec::new();
        }
        let (now, entropy) = (self.shard.house.now(), &*self.shard.house.entropy);
        let work = &mut self.batch.progress;
        // A check that ends may have made it a run already.
        let tally = if work.run.rows == 0 { &mut work.check } else { &mut work.run };
        let bundle = *tally.report.get_or_insert_with(|| new_bundle(now, entropy));
        let number = tally.report_chunks;
        tally.report_chunks += 1;
        vec![Chunk { bundle, number, bytes: std::mem::take(&mut self.report).into_bytes() }]
    }
}

/// Whether a batch runs as soon as it was checked.
fn starts(work: &BatchWork) -> bool {
    match work.start {
        BatchStart::ByHand => false,
        BatchStart::IfClean => work.check.failed == 0,
        BatchStart::Always => true,
    }
}

pub(super) fn new_bundle(now: Timestamp, entropy: &dyn domain::Entropy) -> Uuid {
    domain::BatchId::mint(now, entropy).uuid()
}

fn count(tally: &mut BatchTally, answer: &Answer) {
    match answer {
        Answer::Done { stays: Some(_), .. } | Answer::Unchanged { stays: Some(_), .. } => tally.still_void += 1,
        Answer::Done { created: true, .. } => tally.created += 1,
        Answer::Unchanged { .. } => tally.unchanged += 1,
        // The others answer operations that batches do not have.
        Answer::Done { .. } | Answer::Scanned { .. } | Answer::ScanRefused { .. } | Answer::Noted { .. } => tally.changed += 1,
    }
}

/// Why the engine did not do it, and the columns that it is about.
fn refused(plan: &BatchPlan, error: &EngineError) -> Why {
    match error {
        EngineError::Rejected(reject) => plan.explain(&[Problem::new(reject.path.clone(), reject.message.clone())]),
        EngineError::Unavailable(error) => {
            tracing::error!(%error, "a row of a batch was not taken by the store");
            (String::new(), "a fault in the store; the server's log has more".to_owned())
        }
    }
}
