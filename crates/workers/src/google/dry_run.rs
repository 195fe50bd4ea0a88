//! Dry runs: Google is asked whether it would take the passes of a design, and keeps nothing (`jwt.validate`).

use google_wallet::rest::Verdict;
use render::PassView;
use store::{GoogleChecked, GoogleThingRow};

use super::{
    lane::{Lane, Outcome},
    memory::Memory,
    sync::{Fault, Step},
};
use crate::shard::End;

impl Lane {
    /// Asks Google of a template's draft, else of the template, with a sample pass.
    pub(super) async fn dry_run(&self, row: GoogleThingRow, template: &str) -> Result<Outcome, End> {
        let mut memory = Memory::read(&row.body);
        let step = self.try_design(template).await.map(|checked| memory.checked = Some(checked));
        // Nobody waits for long: what was not asked now is asked when somebody wants to know again.
        let step = match step {
            Err(Fault::Later(why)) => {
                let (at, mend) = (self.shard.house.now(), String::new());
                memory.checked = Some(GoogleChecked { at, asked: false, refused: Some(why), mend });
                Ok(())
            }
            other => other,
        };
        self.outcome(&row, memory, step, None)
    }

    async fn try_design(&self, template: &str) -> Step<GoogleChecked> {
        let gone = || Fault::Later("there is no such template any more".to_owned());
        let house = &self.shard.house;
        let catalog = self.shard.insist("read the configuration", || house.catalog()).await?;
        let config = catalog.org(self.org).ok_or_else(gone)?;
        let held = template.parse().ok().and_then(|id| config.template(id)).ok_or_else(gone)?;
        let project = config.project(held.project).filter(|project| self.speaks_for(project)).ok_or_else(gone)?;
        let mut tried = domain::Template::clone(held);
        if let Some(draft) = config.draft_of(held.id) {
            tried.design = draft.value.design.clone();
        }
        let later = |fault: &dyn std::fmt::Display| Fault::Later(format!("the design cannot be drawn: {fault}"));
        let pass = render::sample_pass(project, &tried).map_err(|fault| later(&fault))?;
        let contact = render::sample_contact().map_err(|fault| later(&fault))?;
        let codes = self.codes(*config.scan_key_numbers().end())?;
        let tried = render::sample_flight(&tried);
        let view = PassView { project, template: &tried, pass: &pass, contact: Some(&contact), codes: Some(&codes) };
        let class = self.draw(|context| render::google_class(&view, context))?;
        let object = self.draw(|context| render::google_object(&view, context))?;
        let jwt = google_wallet::dry_run_jwt(&self.line.account, &class, &object, house.now().as_seconds());
        let jwt = jwt.map_err(|fault| Fault::Later(fault.to_string()))?;
        let at = house.now();
        match self.ask_whether(&jwt).await? {
            None => Ok(GoogleChecked { at, asked: true, refused: None, mend: String::new() }),
            Some((why, mend)) => Ok(GoogleChecked { at, asked: true, refused: Some(why), mend }),
        }
    }

    /// Why Google would not take a token, and what to change.
    async fn ask_whether(&self, jwt: &str) -> Step<Option<(String, String)>> {
        match self.ask(|api| api.validate_jwt(jwt)).await?.0 {
            Verdict::Done => Ok(None),
            Verdict::Denied { why, mend } => Ok(Some((why, mend.to_owned()))),
            _ => Err(Fault::Later("Google has no dry run here".to_owned())),
        }
    }
}
