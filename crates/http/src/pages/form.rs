//! The enrolment form: what it asks, what was answered, and its token.

use std::collections::BTreeMap;

use domain::{ContactInput, EnrolmentRules, FieldDef, FieldType, FieldValue, OrgId, Origin, Project, Timestamp};
use maud::{Markup, html};

use crate::{App, Problem, link::Link, password};

/// How long a form may lie open, in seconds: a day.
const MAX_AGE_SECONDS: i64 = 86_400;
/// Longest name and e-mail address, in bytes.
const MAX_CONTACT_BYTES: usize = 254;
/// Longest field, in bytes.
const MAX_FIELD_BYTES: usize = 1_000;
/// Longest campaign parameter and referrer, in bytes.
const MAX_ORIGIN_BYTES: usize = 512;
/// Most campaign parameters.
const MAX_UTM: usize = 10;
/// What the form's own inputs are called.
const TOKEN: &str = "form";
const REFERRER: &str = "from";
/// What holders enter where the project asks for it.
const PASSWORD: &str = "password";

/// A form, empty or as it was sent.
#[derive(Debug, Default)]
pub(super) struct Form {
    values: BTreeMap<String, String>,
    faults: BTreeMap<String, String>,
    /// A fault of the whole.
    pub(super) fault: Option<String>,
}

/// What a form without faults says.
pub(super) struct Answers {
    pub(super) contact: ContactInput,
    pub(super) fields: BTreeMap<String, FieldValue>,
    pub(super) origin: Origin,
    /// Names this form, so that sending it twice issues once.
    pub(super) nonce: String,
}

impl Form {
    /// An empty form that keeps where the visitor came from.
    pub(super) fn arriving(query: Vec<(String, String)>, referrer: Option<&str>) -> Self {
        let mut values: BTreeMap<String, String> =
            query.into_iter().filter(|(name, _)| name.starts_with("utm_")).take(MAX_UTM).collect();
        values.extend(referrer.map(|referrer| (REFERRER.to_owned(), referrer.to_owned())));
        Self { values, ..Self::default() }
    }

    /// What belongs to where the visitor came from, to be sent again.
    fn hidden(&self) -> impl Iterator<Item = (&String, &String)> {
        self.values.iter().filter(|(name, _)| name.starts_with("utm_") || *name == REFERRER)
    }

    /// Checks what the project's rules ask for beside the answers. A password takes long to check: elsewhere.
    pub(super) async fn admit(&mut self, rules: &EnrolmentRules) -> Result<(), Problem> {
        if let Some(kept) = rules.password.clone() {
            let given = self.value(PASSWORD).to_owned();
            let check = tokio::task::spawn_blocking(move || password::verify(&given, &kept));
            if !check.await.map_err(|error| Problem::Internal(error.to_string()))? {
                self.faults.insert(PASSWORD.to_owned(), "That is not the password.".to_owned());
            }
        }
        Ok(())
    }

    /// A link's form: nothing to answer but the password, where there is one. It sends itself where it can.
    /// A visitor of a link for many has a `token`.
    pub(super) fn draw_link(&self, link: &Link, rules: &EnrolmentRules, token: Option<&str>) -> Markup {
        let by_itself = rules.password.is_none() && !self.has_faults();
        html! {
            @if let Some(fault) = &self.fault { p.fault role="alert" { (fault) } }
            form method="post" action="?" data-by-itself[by_itself] {
                @for (name, value) in &link.parts { input type="hidden" name=(name) value=(value); }
                @if let Some(token) = token { input type="hidden" name=(TOKEN) value=(token); }
                @for (name, value) in self.hidden() { input type="hidden" name=(name) value=(value); }
                (self.password(rules))
                button type="submit" { "Get my card" }
            }
            @if by_itself { script type="module" src="/assets/enrol.js" {} }
        }
    }

    fn password(&self, rules: &EnrolmentRules) -> Markup {
        let fault = self.faults.get(PASSWORD);
        html! {
            @if rules.password.is_some() {
                label for=(PASSWORD) { "Password" }
                input id=(PASSWORD) type="password" name=(PASSWORD) required aria-invalid=[fault.map(|_| "true")]
                    aria-describedby=[fault.map(|_| "password-fault")];
                @if let Some(fault) = fault { p.fault id="password-fault" { (fault) } }
            }
        }
    }

    /// A form that was sent.
    pub(super) fn sent(pairs: Vec<(String, String)>) -> Self {
        Self { values: pairs.into_iter().collect(), ..Self::default() }
    }

    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |value| value.trim())
    }

    /// Whether anything does not fit.
    pub(super) fn has_faults(&self) -> bool {
        self.fault.is_some() || !self.faults.is_empty()
    }

    /// Notes a fault at a field of the pass, or of the whole.
    pub(super) fn refuse(&mut self, path: &str, message: &str) {
        match path.strip_prefix("fields.") {
            Some(key) => drop(self.faults.insert(format!("f.{key}"), message.to_owned())),
            None => self.fault = Some(message.to_owned()),
        }
    }

    /// Reads the answers; faults are noted at their places.
    pub(super) fn read(&mut self, app: &App, org: OrgId, project: &Project) -> Result<Option<Answers>, Problem> {
        let nonce = self.nonce(app, org, project)?;
        if nonce.is_none() {
            self.fault = Some("This form has been open for too long. Check it and send it again.".to_owned());
        }
        let contact = self.contact(&project.enrolment_rules);
        let mut fields = BTreeMap::new();
        for field in project.fields.iter().filter(|field| field.on_form) {
            let name = format!("f.{}", field.key);
            match answer(field, self.value(&name)) {
                Ok(value) => fields.extend(value.map(|value| (field.key.clone(), value))),
                Err(fault) => drop(self.faults.insert(name, fault.to_owned())),
            }
        }
        let Some(nonce) = nonce.filter(|_| !self.has_faults()) else { return Ok(None) };
        Ok(Some(Answers { contact, fields, origin: self.origin(), nonce }))
    }

    fn contact(&mut self, rules: &EnrolmentRules) -> ContactInput {
        let (name, email) = (self.value("name").to_owned(), self.value("email").to_owned());
        if name.is_empty() || name.len() > MAX_CONTACT_BYTES {
            self.faults.insert("name".to_owned(), "Enter your name.".to_owned());
        }
        let (local, host) = email.rsplit_once('@').unwrap_or_default();
        let fits = !local.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.');
        if !fits || email.len() > MAX_CONTACT_BYTES || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.faults.insert("email".to_owned(), "Enter an e-mail address, for example you@example.com.".to_owned());
        }
        if fits && !rules.admit(&email) {
            let fault = format!("Enter an e-mail address at {}.", rules.email_domains.join(" or "));
            self.faults.insert("email".to_owned(), fault);
        }
        ContactInput { name: Some(name), email: Some(email), ..ContactInput::default() }
    }

    /// Where the visitor came from, without the address.
    pub(super) fn origin(&self) -> Origin {
        let cut = |value: &str| value[..value.floor_char_boundary(MAX_ORIGIN_BYTES)].to_owned();
        let utm = self.values.iter().filter_map(|(name, value)| Some((name.strip_prefix("utm_")?, value)));
        Origin {
            utm: utm.take(MAX_UTM).map(|(name, value)| (cut(name), cut(value))).collect(),
            referrer: Some(self.value(REFERRER)).filter(|referrer| !referrer.is_empty()).map(cut),
            ip: None,
            via: Vec::new(),
        }
    }

    /// The form's own name, if we gave it and not too long ago.
    pub(super) fn nonce(&self, app: &App, org: OrgId, project: &Project) -> Result<Option<String>, Problem> {
        let mut parts = self.value(TOKEN).split('.');
        let (Some(nonce), Some(at), Some(seal)) = (parts.next(), parts.next(), parts.next()) else { return Ok(None) };
        let Ok(seconds) = at.parse::<i64>() else { return Ok(None) };
        let expected = seal_of(app, org, project, nonce, seconds)?;
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), seal.as_bytes()).is_ok();
        let age = app.now().as_seconds() - seconds;
        Ok((same && (0..=MAX_AGE_SECONDS).contains(&age)).then(|| nonce.to_owned()))
    }

    /// Draws the form with a fresh token, or with the token that it has when that is still to be used.
    pub(super) fn draw(&self, app: &App, org: OrgId, project: &Project, keep_token: bool) -> Result<Markup, Problem> {
        let token = if keep_token && self.nonce(app, org, project)?.is_some() {
            self.value(TOKEN).to_owned()
        } else {
            mint(app, org, project, app.now())?
        };
        let on_form = project.fields.iter().filter(|field| field.on_form);
        Ok(html! {
            @if self.has_faults() {
                p.fault role="alert" { (self.fault.as_deref().unwrap_or("Some answers need another look.")) }
            }
            form method="post" novalidate {
                input type="hidden" name=(TOKEN) value=(token);
                @for (name, value) in self.hidden() { input type="hidden" name=(name) value=(value); }
                (self.input("name", "Name", "text", "name", true))
                (self.input("email", "E-mail", "email", "email", true))
                @for field in on_form { (self.field(field)) }
                (self.password(&project.enrolment_rules))
                button type="submit" { "Get my card" }
            }
        })
    }

    fn field(&self, field: &FieldDef) -> Markup {
        let name = format!("f.{}", field.key);
        match field.field_type {
            FieldType::Flag => html! {
                label.check {
                    input type="checkbox" name=(name) value="yes" checked[!self.value(&name).is_empty()]; " " (field.label)
                }
            },
            FieldType::Text => self.input(&name, &field.label, "text", "off", field.required),
            FieldType::Number => self.input(&name, &field.label, "number", "off", field.required),
            FieldType::Time => self.input(&name, &format!("{} (UTC)", field.label), "datetime-local", "off", field.required),
        }
    }

    fn input(&self, name: &str, label: &str, kind: &str, complete: &str, required: bool) -> Markup {
        let fault = self.faults.get(name);
        let about = fault.map(|_| format!("{name}-fault"));
        html! {
            label for=(name) { (label) @if !required { " (optional)" } }
            input id=(name) type=(kind) name=(name) value=(self.value(name)) autocomplete=(complete) required[required]
                step=[(kind == "number").then_some("any")]
                aria-invalid=[fault.map(|_| "true")] aria-describedby=[about.as_ref()];
            @if let Some(fault) = fault { p.fault id=[about.as_ref()] { (fault) } }
        }
    }
}

/// One answer as the value of a field; none when it was left empty.
fn answer(field: &FieldDef, text: &str) -> Result<Option<FieldValue>, &'static str> {
    if field.field_type == FieldType::Flag {
        return Ok(Some(FieldValue::Flag(!text.is_empty())));
    }
    if text.is_empty() {
        return if field.required { Err("Fill this in.") } else { Ok(None) };
    }
    if text.len() > MAX_FIELD_BYTES {
        return Err("That is too long: at most 1,000 characters.");
    }
    match field.field_type {
        FieldType::Number => {
            let number = text.replace(',', ".");
            number.parse().map(|number| Some(FieldValue::Number(number))).map_err(|_| "Enter a number.")
        }
        FieldType::Time => {
            let full = if text.matches(':').count() == 1 { format!("{text}:00Z") } else { format!("{text}Z") };
            full.parse::<Timestamp>().map(|time| Some(FieldValue::Text(time.to_string()))).map_err(|_| "Enter a date and time.")
        }
        FieldType::Text | FieldType::Flag => Ok(Some(FieldValue::Text(text.to_owned()))),
    }
}

pub(super) fn mint(app: &App, org: OrgId, project: &Project, now: Timestamp) -> Result<String, Problem> {
    let nonce = domain::LinkCode::mint(&*app.entropy).to_string();
    let seconds = now.as_seconds();
    Ok(format!("{nonce}.{seconds}.{}", seal_of(app, org, project, &nonce, seconds)?))
}

/// Ties a token to the organization's key: only we can have given it, any of our nodes knows it.
fn seal_of(app: &App, org: OrgId, project: &Project, nonce: &str, seconds: i64) -> Result<String, Problem> {
    let hash = app.store.keyring().blind(org, "enrolment form", &format!("{} {nonce} {seconds}", project.id))?;
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}
