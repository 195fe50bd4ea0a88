//! Commands that come late: what led to them is older than what last changed their pass.
//!
//! Sources repeat, queue and reorder. A flow says what is done then; whatever it is, the answer tells of both times.

use domain::{Action, Answer, Command, Late, Lateness, Pass};

use super::{Draft, issue};

/// Whether the command comes late for its pass.
pub(super) fn lateness(draft: &Draft<'_>, command: &Command) -> Option<Lateness> {
    let told = command.told?;
    let changed_as_of = subject(draft, command)?.changed_as_of();
    let is_late = told.at < changed_as_of;
    is_late.then_some(Lateness { happened_at: told.at, changed_as_of, decision: told.late })
}

/// The answer that leaves the pass alone, where that was asked for.
pub(super) fn skipped(draft: &Draft<'_>, command: &Command, late: Lateness) -> Option<Answer> {
    let pass = subject(draft, command).filter(|_| late.decision == Late::Skip)?;
    Some(noted(Draft::unchanged(pass), Some(late)))
}

/// The answer with what is to be told of lateness.
pub(super) fn noted(mut answer: Answer, told: Option<Lateness>) -> Answer {
    if let Answer::Done { late, .. } | Answer::Unchanged { late, .. } = &mut answer {
        *late = told;
    }
    answer
}

/// The pass that flows' commands are about, as it is before them.
fn subject<'d>(draft: &Draft<'d>, command: &Command) -> Option<&'d Pass> {
    let view = draft.view;
    let reference = match &command.action {
        Action::Issue(issue) => &issue::existing(draft, issue)?,
        Action::Update { pass, .. }
        | Action::Activate { pass }
        | Action::Revoke { pass, .. }
        | Action::Delete { pass, .. }
        | Action::Notify { pass, .. }
        | Action::CancelNotices { pass }
        | Action::Send { pass, .. } => pass,
        _ => return None,
    };
    let id = view.states.find_pass(view.org, reference)?;
    Some(&view.states.passes.get(&(view.org, id))?.value)
}
