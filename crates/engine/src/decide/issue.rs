//! Issuing passes.

use std::collections::BTreeMap;

use domain::{
    Amount, Answer, ContactId, ContactInput, Facts, FieldValue, IfExists, Issue, Lifecycle, Pass, PassChange, PassRef, Project,
    ProjectKind, Reactivation, Reject, RejectCode, TemplateStatus, Timestamp, Uses, Validity, Variant, VariantId, Void,
};

use super::{Draft, contact, update};

/// Most bytes of an external id.
pub(super) const MAX_EXTERNAL_ID_BYTES: usize = 256;

pub(super) fn issue(draft: &mut Draft<'_>, issue: &Issue) -> Result<Answer, Reject> {
    let project = draft.view.config.project(issue.project).ok_or_else(|| {
        Reject::new(RejectCode::NotFound, "project", format!("no project {} in this organization", issue.project))
    })?;
    let project = project.clone();
    if let Some(existing) = existing(draft, issue) {
        return meet(draft, issue, &existing);
    }
    let variant = variant(draft, &project, issue.variant.as_ref())?.clone();
    check_external_id(issue.external_id.as_deref())?;
    check_validity(&issue.validity, draft.now)?;
    let fields = initial_fields(&project, &issue.fields)?;
    let balances = initial_balances(&project, &issue.balances)?;
    let as_of = draft.as_of();
    let is_shared = project.kind == ProjectKind::BoardingPass;
    let fields_as_of = fields.keys().filter(|_| is_shared).map(|key| (key.clone(), as_of)).collect();
    let holder = holder(draft, issue.contact.as_ref(), issue.new_contact)?;
    let shard = (draft.view.shard)(holder.map_or(issue.id.uuid(), |contact| contact.uuid()));
    let pass = Pass {
        id: issue.id,
        project: project.id,
        variant: variant.id.clone(),
        template: variant.template,
        contact: holder,
        external_id: issue.external_id.clone(),
        serial: issue.id.to_string(),
        code: issue.code.clone(),
        shard,
        version: 1,
        content_version: 1,
        last_modified: draft.now.as_seconds(),
        token_epoch: 0,
        barcode_epoch: 0,
        lifecycle: if issue.inactive { Lifecycle::Inactive } else { Lifecycle::Active },
        validity: issue.validity,
        uses: Uses { count: 0, limit: issue.uses_limit.or(variant.uses_limit).or(project.uses_limit), day: None },
        fields,
        fields_as_of,
        balances,
        message: None,
        planned: Vec::new(),
        origin: issue.origin.clone(),
        rendered: None,
        installed: None,
        apple: Default::default(),
        google: Default::default(),
        unknown: Default::default(),
        undone: Vec::new(),
        earlier_days: Vec::new(),
        issued_at: draft.now,
        updated_at: draft.now,
        as_of: Some(as_of),
    };
    draft.put_pass(None, &pass);
    draft.event(Facts::PassCreated, true, &pass);
    Ok(Draft::done(&pass, true))
}

pub(super) fn existing(draft: &Draft<'_>, issue: &Issue) -> Option<PassRef> {
    let find = |pass: PassRef| draft.view.states.find_pass(draft.view.org, &pass).map(PassRef::Id);
    let by_external = issue
        .external_id
        .as_ref()
        .and_then(|external_id| find(PassRef::External { project: issue.project, external_id: external_id.clone() }));
    by_external.or_else(|| find(PassRef::Id(issue.id)))
}

fn meet(draft: &mut Draft<'_>, issue: &Issue, existing: &PassRef) -> Result<Answer, Reject> {
    let mut answer = met(draft, issue, existing)?;
    let left = answer.pass().and_then(|pass| draft.left(pass)).and_then(|pass| Void::of(&pass.lifecycle));
    if let Answer::Done { stays, .. } | Answer::Unchanged { stays, .. } = &mut answer {
        *stays = left;
    }
    Ok(answer)
}

fn met(draft: &mut Draft<'_>, issue: &Issue, existing: &PassRef) -> Result<Answer, Reject> {
    let undone = |reason: &String| Reactivation::RevokedFor(reason.clone());
    let reactivation = match issue.if_exists {
        IfExists::Reactivate => Reactivation::Always,
        _ => issue.undoes.as_ref().map(undone).unwrap_or_default(),
    };
    match issue.if_exists {
        IfExists::Reject => Err(Reject::new(
            RejectCode::AlreadyExists,
            "external_id",
            "the project has a pass of this external id: update it, or issue with if_exists keep, update or reactivate",
        )),
        IfExists::Keep => Ok(Draft::unchanged(&draft.pass(existing)?)),
        IfExists::Update | IfExists::Reactivate => {
            let change = PassChange {
                variant: issue.variant.clone(),
                contact: issue.contact.clone(),
                new_contact: Some(issue.new_contact),
                fields: issue.fields.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect(),
                starts_at: issue.validity.starts_at.map(Some),
                expires_at: issue.validity.expires_at.map(Some),
                uses_limit: issue.uses_limit.map(Some),
                reactivation,
                ..PassChange::default()
            };
            update::update(draft, existing, &change, None)
        }
    }
}

/// The variant asked for, whose template is published.
pub(super) fn variant<'p>(draft: &Draft<'_>, project: &'p Project, id: Option<&VariantId>) -> Result<&'p Variant, Reject> {
    let found = project.variant(id).ok_or_else(|| {
        let known: Vec<_> = project.variants.iter().map(|variant| variant.id.as_str()).collect();
        let message = if known.is_empty() {
            "the project has no variant yet: publish a template and name it in the project's `variants`".to_owned()
        } else {
            format!("project {} has no such variant; it has: {}", project.slug, known.join(", "))
        };
        Reject::new(RejectCode::Invalid, "variant", message)
    })?;
    match draft.view.config.template(found.template) {
        Some(template) if template.status == TemplateStatus::Published => Ok(found),
        _ => Err(Reject::new(
            RejectCode::Invalid,
            "variant",
            format!("the template of variant {} is not published: publish it first", found.id),
        )),
    }
}

fn holder(draft: &mut Draft<'_>, input: Option<&ContactInput>, new_id: ContactId) -> Result<Option<ContactId>, Reject> {
    let Some(input) = input.filter(|input| **input != ContactInput::default()) else { return Ok(None) };
    contact::tell(draft, input, new_id, None).map(|contact| Some(contact.id))
}

pub(super) fn check_external_id(external_id: Option<&str>) -> Result<(), Reject> {
    match external_id {
        Some(id) if id.is_empty() || id.len() > MAX_EXTERNAL_ID_BYTES => {
            Err(Reject::new(RejectCode::Invalid, "external_id", "must have 1 to 256 bytes"))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_validity(validity: &Validity, now: Timestamp) -> Result<(), Reject> {
    let Some(end) = validity.expires_at else { return Ok(()) };
    if end <= now {
        return Err(Reject::new(RejectCode::Invalid, "expires_at", "lies in the past"));
    }
    if validity.starts_at.is_some_and(|start| start >= end) {
        return Err(Reject::new(RejectCode::Invalid, "expires_at", "must be later than starts_at"));
    }
    Ok(())
}

fn initial_fields(project: &Project, given: &BTreeMap<String, FieldValue>) -> Result<BTreeMap<String, FieldValue>, Reject> {
    for (key, value) in given {
        check_field(project, key, value)?;
    }
    let mut fields = given.clone();
    for def in &project.fields {
        if let Some(default) = def.default.as_ref().filter(|_| !fields.contains_key(&def.key)) {
            fields.insert(def.key.clone(), default.clone());
        }
        if def.required && !fields.contains_key(&def.key) {
            let message = format!("{} is required and has no default", def.label);
            return Err(Reject::new(RejectCode::Invalid, format!("fields.{}", def.key), message));
        }
    }
    Ok(fields)
}

/// Whether a project's passes have such a field and the value fits it.
pub(super) fn check_field(project: &Project, key: &str, value: &FieldValue) -> Result<(), Reject> {
    let invalid = |message: String| Reject::new(RejectCode::Invalid, format!("fields.{key}"), message);
    let def = project.field(key).ok_or_else(|| invalid(format!("project {} has no such field", project.slug)))?;
    match def.misfit(value) {
        Some(why) => Err(invalid(why.to_owned())),
        None => Ok(()),
    }
}

fn initial_balances(project: &Project, given: &BTreeMap<String, Amount>) -> Result<BTreeMap<String, Amount>, Reject> {
    let mut balances = project.balances.clone();
    for (name, amount) in given {
        update::check_balance(project, name, *amount)?;
        balances.insert(name.clone(), *amount);
    }
    Ok(balances)
}
