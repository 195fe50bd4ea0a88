//! A checked batch: a row in, a command out.

use std::sync::Arc;
use std::time::Duration;

use domain::{Actor, BatchId, Cause, Command, Entropy, IdempotencyKey, OrgId, Project, ProjectId, Timestamp};
use serde_json::{Map, Value};

use super::columns::{self, Taken};
use crate::Problem;
use crate::flow::{Order, PlanStep, command};

/// How far apart rows count as asked for: ids that begin with a time then rise with the rows, and are stored side by side.
const APART: Duration = Duration::from_micros(100);

/// A checked batch, ready to run.
#[derive(Debug, Clone)]
pub struct BatchPlan {
    project: Arc<Project>,
    step: Arc<PlanStep>,
    map: Arc<Map<String, Value>>,
    taken: Arc<Taken>,
}

/// The batch whose rows become commands.
#[derive(Clone, Copy)]
pub struct Ticket<'t> {
    /// Whose passes.
    pub org: OrgId,
    /// The batch.
    pub batch: BatchId,
    /// Who ordered it.
    pub actor: &'t Actor,
    /// When it was made; ids are derived from it, so that a row gives the same ones again.
    pub created_at: Timestamp,
    /// For the secret part of page addresses alone.
    pub entropy: &'t dyn Entropy,
}

impl BatchPlan {
    pub(super) fn new(project: Project, step: PlanStep, map: Map<String, Value>) -> Self {
        let taken = Arc::new(Taken::by(&map));
        Self { project: Arc::new(project), step: Arc::new(step), map: Arc::new(map), taken }
    }

    /// Whether nothing takes a column: what stands in it is lost. The columns that a report adds do not count.
    #[must_use]
    pub fn leaves(&self, column: &str) -> bool {
        self.taken.leaves(column)
    }

    /// Tells what nothing takes of a row: its members, and as `contact.KEY` members of those of which only others are taken.
    pub fn left_of(&self, row: &Value, tell: &mut impl FnMut(String)) {
        self.taken.left_of(row, tell);
    }

    /// The project whose passes it is about.
    #[must_use]
    pub fn project(&self) -> ProjectId {
        self.project.id
    }

    /// The command of a row. The same row of the same batch has the same ids and the same idempotency key.
    ///
    /// # Errors
    /// Everything that the row lacks for it; places are those of `map`.
    pub fn command(&self, number: u64, row: &Value, ticket: &Ticket<'_>) -> Result<Command, Vec<Problem>> {
        let batch = ticket.batch;
        let at = ticket.created_at.plus(APART * u32::try_from(number).unwrap_or(u32::MAX));
        let order = Order {
            org: ticket.org,
            actor: ticket.actor.clone(),
            cause: Cause::Batch { id: batch, row: number },
            key: IdempotencyKey {
                principal: format!("batch/{batch}"),
                key: number.to_string(),
                fingerprint: [0; 32],
                keep_image: false,
            },
            at,
            seed: batch.uuid(),
            name: number.to_string(),
            spans_from: ticket.created_at,
            told: None,
            via: Vec::new(),
            is_lenient: true,
            is_mirrored: false,
            entropy: ticket.entropy,
        };
        command(&self.project, &self.step, row, order)
    }

    /// Why a row failed, in words, and the columns that it is about.
    #[must_use]
    pub fn explain(&self, problems: &[Problem]) -> (String, String) {
        let mut found: Vec<String> = Vec::new();
        let mut words = Vec::new();
        for problem in problems {
            let place = problem.path.strip_prefix("map.").unwrap_or(&problem.path);
            let fresh: Vec<String> = columns::behind(&self.map, place).into_iter().filter(|it| !found.contains(it)).collect();
            found.extend(fresh);
            words.push(if place.is_empty() { problem.message.clone() } else { format!("{place}: {}", problem.message) });
        }
        (found.join(", "), words.join("; "))
    }
}
