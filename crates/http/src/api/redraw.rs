//! What passes show beside their own facts changed: the name of their project or variant, or the key that signs their codes.
//! Their templates are published again as they are, so that phones are woken and Google is told as after a new design.

use domain::{Project, ProjectKind, Template, TemplateStatus};
use store::{ConfigWrite, OrgCatalog, Progress};

use super::config;
use crate::{App, Problem, auth::Caller};

/// Writes a change and has the passes of these templates drawn anew, all in one commit. False where others were faster with any
/// of it, or a publication came on meanwhile.
pub(super) async fn write(
    app: &App,
    caller: &Caller,
    catalog: &OrgCatalog,
    change: ConfigWrite,
    shows_it: impl Fn(&Template) -> bool,
) -> Result<bool, Problem> {
    let published = catalog.templates.values().filter(|stored| stored.value.status == TemplateStatus::Published);
    let anew = published.filter(|stored| shows_it(&stored.value));
    let mut write = change;
    for stored in anew {
        let old = &*stored.value;
        let published_at = old.published_at.or(Some(stored.updated_at));
        let template = Template { redrawn: old.redrawn.saturating_add(1), published_at, ..old.clone() };
        let progress = Progress::new(old.id, old.project, old.version, false);
        let (_, jobs) = app.store.publish(caller.org, progress, app.now()).await?;
        let row = app.store.config_write(&config::change(app, caller), &template, stored.revision, false)?;
        write = write.and(row).and(jobs);
    }
    Ok(app.store.written(write).await?)
}

/// Whether passes of a template show what differs between two states of their project.
pub(super) fn shows_change(template: &Template, before: &Project, after: &Project) -> bool {
    let design = &template.design;
    // Where a design has no title, Google's class is called as the project is.
    let project = || design.asks_for(&["project.name"]) || design.title.source().trim().is_empty();
    // Google's event tickets name their variant as the type of the ticket.
    let variant =
        || design.asks_for(&["variant.name"]) || (after.kind == ProjectKind::EventTicket && after.google_issuer.is_some());
    let renamed = before.variants.iter().any(|old| after.variant(Some(&old.id)).is_none_or(|it| it.name != old.name));
    template.project == after.id && ((before.name != after.name && project()) || (renamed && variant()))
}

/// Whether passes of a template show a code that a scan key signs.
pub(super) fn shows_signature(template: &Template) -> bool {
    template.design.asks_for(&["pass.signed", "pass.rotating"])
}
