//! Which states a command touches.

use domain::{Action, Command, ContactInput, ContactRef, Installation, OrgId, PassId, PassRef, ProjectId, Wallet};
use store::{States, Touch};

/// The states that deciding `command` needs. `projects` are the organization's: a new external id is looked for in all of
/// them, because only the loaded pass tells which one it is.
pub(crate) fn touch(command: &Command, projects: &[ProjectId]) -> Touch {
    let mut touch = Touch { key: command.key.clone(), ..Touch::default() };
    match &command.action {
        Action::Issue(issue) => {
            touch.passes.push(PassRef::Id(issue.id));
            if let Some(external_id) = &issue.external_id {
                touch.passes.push(PassRef::External { project: issue.project, external_id: external_id.clone() });
            }
            person(&mut touch, issue.contact.as_ref());
        }
        Action::Update { pass, change, .. } => {
            touch.passes.push(pass.clone());
            if let Some(external_id) = &change.external_id {
                let taken = |project: &ProjectId| PassRef::External { project: *project, external_id: external_id.clone() };
                touch.passes.extend(projects.iter().map(taken));
            }
            person(&mut touch, change.contact.as_ref());
        }
        Action::Activate { pass }
        | Action::Revoke { pass, .. }
        | Action::UndoScan { pass, .. }
        | Action::RenewBarcode { pass }
        | Action::Notify { pass, .. }
        | Action::CancelNotices { pass }
        | Action::Send { pass, .. }
        | Action::RecordMessage { pass, .. }
        | Action::Delete { pass, .. }
        | Action::RecordReport { pass, .. }
        | Action::RecordVisit { pass, .. }
        | Action::RecordRedesign { pass, .. }
        | Action::Expire { pass } => touch.passes.push(pass.clone()),
        Action::Scan { passes, .. } => touch.passes.extend(passes.iter().cloned()),
        Action::RecordInstall { pass, wallet, device, .. } | Action::RecordUninstall { pass, wallet, device, .. } => {
            installation(&mut touch, pass, *wallet, device);
        }
        Action::RecordFormer { pass, wallet, .. } => {
            if let PassRef::Id(id) = pass {
                installation(&mut touch, pass, *wallet, &Installation::former_device(*wallet, *id));
            }
        }
        Action::PutContact { new_id, input } => {
            touch.contacts.push(ContactRef::Id(*new_id));
            person(&mut touch, Some(input));
        }
        Action::SetWanted { contact, .. } => touch.contacts.push(ContactRef::Id(*contact)),
        Action::EraseContact { contact, .. } => touch.everything_of.push(contact.clone()),
        Action::Note { .. } => {}
    }
    touch
}

/// A person's other passes show their name too, so they come along.
fn person(touch: &mut Touch, input: Option<&ContactInput>) {
    let Some(input) = input else { return };
    touch.everything_of.extend(input.external_id.clone().map(ContactRef::External));
    touch.everything_of.extend(input.email.clone().map(ContactRef::Email));
}

fn installation(touch: &mut Touch, pass: &PassRef, wallet: Wallet, device: &str) {
    touch.passes.push(pass.clone());
    if let PassRef::Id(id) = pass {
        let key: (PassId, Wallet, String) = (*id, wallet, device.to_owned());
        touch.installations.push(key);
        let stand_in = Installation::stand_in(*id);
        touch.installations.push((*id, Wallet::Unknown, stand_in.clone()));
        if stand_in != device {
            touch.installations.push((*id, wallet, stand_in));
        }
    }
}

/// The installations that deciding `command` needs and that are known only once its pass was found: those that another platform
/// may mean. They are never older than the pass that was loaded before them, whose version guards what is written.
pub(crate) fn found(org: OrgId, command: &Command, states: &States) -> Option<Touch> {
    let Action::RecordReport { pass, report } = &command.action else { return None };
    let id = states.find_pass(org, pass)?;
    let stand_in = Installation::stand_in(id);
    let devices = report.device.clone().into_iter().chain([stand_in]);
    let installations = devices.flat_map(|device| Wallet::ALL.map(|wallet| (id, wallet, device.clone()))).collect();
    Some(Touch { installations, ..Touch::default() })
}
