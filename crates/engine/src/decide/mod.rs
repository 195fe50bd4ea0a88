//! The rules: a pure function of state, command and time. No I/O, so that it is tested as a table.
//!
//! One file per family of commands. Each builds a [`Draft`]: nothing of it counts until the whole decision stands, so a
//! rejection leaves everything as it was.

mod contact;
mod draft;
mod former;
mod issue;
mod late;
mod lifecycle;
mod message;
mod notices;
mod report;
mod scan;
mod undo_scan;
mod update;
mod wallet;

use domain::{Action, Answer, Command, Contact, ContactId, Facts, Installation, OrgId, Pass, Reject, RejectCode, Timestamp};
use store::{NewEvent, OrgCatalog, States};
use uuid::Uuid;

use draft::Draft;

/// What a decision may look at.
pub struct View<'a> {
    /// Whose states.
    pub org: OrgId,
    /// The states that were loaded, as decided so far.
    pub states: &'a States,
    /// The organization's configuration.
    pub config: &'a OrgCatalog,
    /// The log shard of something new, by the id that decides it.
    pub shard: &'a dyn Fn(Uuid) -> u16,
}

/// What a command comes to: an answer, new states, and the events that say what happened.
#[derive(Debug)]
pub struct Decision {
    /// What it is answered.
    pub answer: Answer,
    /// Passes as they are from now on.
    pub passes: Vec<Pass>,
    /// Contacts as they are from now on.
    pub contacts: Vec<Contact>,
    /// Installations as they are from now on.
    pub installations: Vec<Installation>,
    /// What happened, in order.
    pub events: Vec<NewEvent>,
    /// Contacts whose personal values are to be destroyed.
    pub erased: Vec<ContactId>,
}

/// Decides one command.
pub fn decide(view: &View<'_>, command: &Command, now: Timestamp) -> Result<Decision, Reject> {
    let mut draft = Draft::new(view, command, now);
    let late = late::lateness(&draft, command);
    if let Some(skipped) = late.and_then(|late| late::skipped(&draft, command, late)) {
        return Ok(draft.finish(skipped));
    }
    let answer = match &command.action {
        Action::Issue(issue) => issue::issue(&mut draft, issue)?,
        Action::Update { pass, change, expected_version } => update::update(&mut draft, pass, change, *expected_version)?,
        Action::Activate { pass } => lifecycle::activate(&mut draft, pass)?,
        Action::Revoke { pass, reason } => lifecycle::revoke(&mut draft, pass, reason.as_deref())?,
        Action::Delete { pass, expected_version } => lifecycle::delete(&mut draft, pass, *expected_version)?,
        Action::Expire { pass } => lifecycle::expire(&mut draft, pass)?,
        Action::RenewBarcode { pass } => lifecycle::renew_barcode(&mut draft, pass)?,
        Action::Notify { pass, text, at, until } => notices::notify(&mut draft, pass, text, *at, *until)?,
        Action::CancelNotices { pass } => notices::cancel(&mut draft, pass)?,
        Action::Send { pass, order } => message::send(&mut draft, pass, order)?,
        Action::RecordMessage { pass, holder, message, news } => message::record(&mut draft, pass, *holder, message, news)?,
        Action::Scan { passes, order } => scan::scan(&mut draft, passes, order)?,
        Action::UndoScan { pass, scan, by, reason } => undo_scan::undo(&mut draft, pass, scan, by, reason.as_deref())?,
        Action::RecordInstall { pass, wallet, device, push_token, sighting } => {
            wallet::install(&mut draft, pass, *wallet, device, push_token.as_deref(), sighting)?
        }
        Action::RecordUninstall { pass, wallet, device, reason } => {
            wallet::uninstall(&mut draft, pass, *wallet, device, *reason)?
        }
        Action::RecordFormer { pass, wallet, installed_at, uninstalled_at } => {
            former::record(&mut draft, pass, *wallet, *installed_at, *uninstalled_at)?
        }
        Action::RecordReport { pass, report } => report::record(&mut draft, pass, report)?,
        Action::RecordVisit { pass, kind, sighting } => wallet::visit(&mut draft, pass, *kind, sighting)?,
        Action::RecordRedesign { pass, template } => update::redesigned(&mut draft, pass, *template)?,
        Action::PutContact { new_id, input } => contact::put(&mut draft, *new_id, input)?,
        Action::SetWanted { contact, channel, wanted } => contact::set_wanted(&mut draft, *contact, *channel, *wanted)?,
        Action::EraseContact { contact, expected_version } => contact::erase(&mut draft, contact, *expected_version)?,
        Action::Note { facts } => note(&mut draft, facts)?,
    };
    Ok(draft.finish(late::noted(answer, late)))
}

/// Refuses what was decided on another version than there is.
fn check_version(what: &str, expected: Option<u64>, version: u64) -> Result<(), Reject> {
    if expected.is_none_or(|expected| expected == version) {
        return Ok(());
    }
    let message = format!("the {what} has version {version} now: read it and decide again");
    Err(Reject::new(RejectCode::VersionConflict, "version", message))
}

/// Only what is about no pass and no contact can be noted: everything else happens.
fn note(draft: &mut Draft<'_>, facts: &Facts) -> Result<Answer, Reject> {
    if !facts.kind().is_operational() {
        return Err(Reject::new(RejectCode::Invalid, "facts", "cannot be noted: it happens by a command of its own"));
    }
    Ok(Answer::Noted { event: draft.bare_event(facts.clone()) })
}
