//! A contact's wallet status as a customer database holds it: five fields of one record, found by a key of the user's choice.
//!
//! The fields are those that The Wallet Crew's guide to CRM synchronisation names: in which wallets there is a pass, since when
//! in each, and when and by what that last changed.

use domain::{Contact, EventKind, Target, Timestamp, WalletEvent, WalletStatus, normalise_email};
use serde_json::{Map, Value};

use super::{
    Owed, Sending, SettingProblem, Settings, settings,
    vendor::{self, Record},
};

/// What of a contact a destination holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What its record is found by.
    pub key: String,
    /// The fields under the vendor's names, in their order.
    pub fields: Vec<(String, Field)>,
}

/// A field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Text.
    Text(String),
    /// A number, a flag.
    Plain(Value),
    /// A time.
    Time(Timestamp),
    /// It is cleared.
    Nothing,
}

impl State {
    /// The same bytes for the same state, for comparison.
    pub fn canonical(&self) -> String {
        let mut out = format!("{:?}", self.key);
        for (name, field) in &self.fields {
            out.push_str(&format!("|{name:?}={field:?}"));
        }
        out
    }

    /// The fields as JSON; times by RFC 3339, what is cleared as given.
    pub(crate) fn json(&self, nothing: &Value) -> Map<String, Value> {
        let value = |field: &Field| match field {
            Field::Text(text) => text.clone().into(),
            Field::Plain(value) => value.clone(),
            Field::Time(at) => serde_json::to_value(at).unwrap_or_default(),
            Field::Nothing => nothing.clone(),
        };
        self.fields.iter().map(|(name, field)| (name.clone(), value(field))).collect()
    }
}

/// What the vendor calls the fields unless its user says otherwise: status, installed at Apple and Google, last change and event.
pub(crate) type Names = [&'static str; 5];

/// The settings by which the fields are named; `none` leaves one out.
pub(crate) const FIELD_SETTINGS: Names =
    ["wallet_status_field", "apple_installed_at_field", "google_installed_at_field", "last_changed_at_field", "last_event_field"];

/// The settings of a destination that holds wallet statuses; the argument are the vendor's own names.
macro_rules! crm_settings {
    ($status:literal, $apple:literal, $google:literal, $changed:literal, $event:literal; $($own:expr),* $(,)?) => {
        $crate::kit::crm::crm_settings!($crate::kit::webhook::BACKFILL; $status, $apple, $google, $changed, $event; $($own),*)
    };
    ($backfill:expr; $status:literal, $apple:literal, $google:literal, $changed:literal, $event:literal; $($own:expr),* $(,)?) => {
        $crate::kit::vendor::vendor_settings![
            $backfill,
            $crate::kit::webhook::BACKFILL_EVERYTHING,
            $($own,)*
            $crate::kit::crm::KEY,
            $crate::kit::crm::field(0, concat!("`", $status, "`"), "In which wallets the person has a pass: `none`, `apple`, `google` or `both`."),
            $crate::kit::crm::field(1, concat!("`", $apple, "`"), "Since when there is one in Apple Wallet."),
            $crate::kit::crm::field(2, concat!("`", $google, "`"), "Since when there is one in Google Wallet."),
            $crate::kit::crm::field(3, concat!("`", $changed, "`"), "When the status last changed."),
            $crate::kit::crm::field(4, concat!("`", $event, "`"), "What that was: `installed` or `uninstalled`."),
            $crate::kit::crm::KEEP,
        ]
    };
}
pub(crate) use crm_settings;

/// The description of the setting of a field's name.
pub(crate) const fn field(number: usize, default: &'static str, about: &'static str) -> super::Setting {
    super::Setting {
        name: FIELD_SETTINGS[number],
        value: "the field's name, or `none`",
        takes: super::Takes::Text(200),
        default,
        about,
    }
}

pub(crate) const KEY: super::Setting = super::Setting {
    name: "key",
    value: "`external_id`, `email`, `phone`, `id` or `traits.NAME`",
    takes: super::Takes::Text(200),
    default: "external_id",
    about: "What of a contact its record is found by. E-mail addresses are compared trimmed and in lower case. A contact that has none is \
            told of as soon as it has one.",
};

pub(crate) const KEEP: super::Setting = super::Setting {
    name: "keep_installed_at",
    value: "true or false",
    takes: super::Takes::Flag,
    default: "false",
    about: "Whether the times since when stay as they are when the pass is removed. Otherwise they are cleared.",
};

/// Checks the key.
pub(crate) fn check_key(target: &Target) -> Result<(), SettingProblem> {
    match settings::text(&target.settings, KEY.name) {
        None | Some("external_id" | "email" | "phone" | "id") => Ok(()),
        Some(path) if path.strip_prefix("traits.").is_some_and(|name| !name.is_empty()) => Ok(()),
        Some(_) => Err(vendor::problem(KEY.name, format!("expected {}", KEY.value))),
    }
}

/// Checks the settings that [`state`] reads.
pub(crate) fn check(target: &Target) -> Result<(), SettingProblem> {
    check_key(target)?;
    let none = FIELD_SETTINGS.iter().all(|name| settings::text(&target.settings, name) == Some("none"));
    if none { Err(vendor::problem(FIELD_SETTINGS[0], "at least one field has to be kept")) } else { Ok(()) }
}

/// What a contact's record is found by.
pub(crate) fn key(contact: &Contact, set: &Settings) -> Result<String, String> {
    let by = settings::text(set, KEY.name).unwrap_or("external_id");
    let found = match by {
        "external_id" => contact.external_id.clone(),
        "email" => contact.email.as_deref().map(normalise_email),
        "phone" => contact.phone.clone(),
        "id" => Some(contact.id.to_string()),
        path => contact.traits.get(path.strip_prefix("traits.").unwrap_or(path)).map(ToString::to_string),
    };
    let found = found.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    found.ok_or_else(|| format!("the contact has no {by}: it is told of as soon as it has one"))
}

/// Whether several contacts may be found by the same key: of external ids and ids each has its own.
pub(crate) fn may_share(target: &Target) -> bool {
    !matches!(settings::text(&target.settings, KEY.name), None | Some("external_id" | "id"))
}

/// The wallet status that a target is for: of its project, or over all.
pub(crate) fn wallets(contact: &Contact, target: &Target) -> WalletStatus {
    match target.project {
        Some(project) => contact.wallets.get(&project).copied().unwrap_or_default(),
        None => contact.wallet_status(),
    }
}

/// The values of the five fields.
pub(crate) fn values(status: WalletStatus, keep: bool) -> [Field; 5] {
    let time = |at: Option<Timestamp>| at.map_or(Field::Nothing, Field::Time);
    let since = |at: Option<Timestamp>, count: u32| time(at.filter(|_| keep || count > 0));
    let event = status.last_event.map(|event| match event {
        WalletEvent::Installed => "installed",
        WalletEvent::Uninstalled => "uninstalled",
    });
    [
        Field::Text(status.name().to_owned()),
        since(status.apple_installed_at, status.apple),
        since(status.google_installed_at, status.google),
        time(status.changed_at),
        event.map_or(Field::Nothing, |event| Field::Text(event.to_owned())),
    ]
}

/// What of a contact a customer database holds.
pub(crate) fn state(contact: &Contact, target: &Target, names: &Names) -> Result<State, String> {
    let key = key(contact, &target.settings)?;
    let keep = vendor::flag(target, KEEP.name);
    let values = values(wallets(contact, target), keep);
    let named = FIELD_SETTINGS.iter().zip(names).map(|(setting, name)| settings::text(&target.settings, setting).unwrap_or(name));
    let fields = named.zip(values).filter(|(name, _)| *name != "none").map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(State { key, fields })
}

/// Whether a vendor holds what it was told. A field that keeps times to the second, the minute or the day holds them cut off.
pub(crate) fn is_held(wanted: &Field, held: &Value) -> bool {
    let text = held.as_str().unwrap_or_default();
    match wanted {
        Field::Nothing => held.is_null() || held == "",
        Field::Text(wanted) => wanted == text,
        Field::Plain(wanted) => wanted == held,
        Field::Time(wanted) => is_cut_off(*wanted, text),
    }
}

fn is_cut_off(wanted: Timestamp, held: &str) -> bool {
    const MILLISECOND: i64 = 1_000;
    const UNITS: [i64; 4] = [1, MILLISECOND, 1_000 * MILLISECOND, 60_000 * MILLISECOND];
    if held.len() == "2026-11-20".len() {
        return wanted.to_string().starts_with(held);
    }
    // Salesforce writes its offset without a colon.
    let held = held.strip_suffix("+0000").map_or_else(|| held.parse(), |local| format!("{local}Z").parse());
    let is = |held: Timestamp| {
        let (wanted, held) = (wanted.as_micros(), held.as_micros());
        UNITS.iter().any(|unit| held % unit == 0 && wanted.div_euclid(*unit) == held.div_euclid(*unit))
    };
    held.is_ok_and(is)
}

/// The fields of a contact that a vendor holds otherwise, where any are.
pub(crate) fn other_fields(state: &State, held: impl Fn(&str) -> Value) -> Option<String> {
    let other = state.fields.iter().filter(|(name, wanted)| !is_held(wanted, &held(name)));
    let mut names: Vec<&str> = other.map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    Some(names.join(", ")).filter(|names| !names.is_empty())
}

/// Customer databases are told of wallet statuses, and of contacts that may have got a key.
pub(crate) const fn wants(kind: EventKind) -> bool {
    matches!(kind, EventKind::ContactWalletStatusChanged | EventKind::ContactUpdated)
}

/// The records that events make, each key once; and why some make none.
pub(crate) fn records(
    owed: &[Owed<'_>],
    target: &Target,
    state: impl Fn(&Contact, &Target) -> Result<State, String>,
    record: impl Fn(&State) -> Value,
) -> (Vec<Record>, Vec<Sending>) {
    let (mut records, mut never) = (Vec::new(), Vec::new());
    for (event, owed) in owed.iter().enumerate() {
        let Some(contact) = owed.event.image.contact.as_ref().filter(|_| wants(owed.event.kind())) else { continue };
        match state(contact, target) {
            Ok(state) => {
                let json = record(&state);
                vendor::newest(&mut records, state.key, event, json);
            }
            Err(why) => never.push(Sending::never(why, event)),
        }
    }
    (records, never)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact() -> Contact {
        let json = serde_json::json!({
            "id": "0000000000000000000001", "version": 3, "email": "ada@example.com", "traits": {"loyalty_id": 77},
            "wallets": {"0000000000000000000002": {"apple": 1, "google": 0, "apple_installed_at": "2026-11-20T10:00:00Z",
                "google_installed_at": "2026-11-19T10:00:00Z", "changed_at": "2026-11-20T10:00:00Z", "last_event": "installed"}},
            "created_at": "2026-11-19T10:00:00Z", "updated_at": "2026-11-20T10:00:00Z",
        });
        serde_json::from_value(json).unwrap()
    }

    fn settings(json: Value) -> Settings {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_key_is_the_user_s_choice() {
        let found = |by: &str| key(&contact(), &settings(serde_json::json!({ "key": by })));
        assert_eq!(found("email").as_deref(), Ok("ada@example.com"));
        assert_eq!(found("traits.loyalty_id").as_deref(), Ok("77"));
        assert_eq!(found("id").as_deref(), Ok("0000000000000000000001"));
        assert!(found("phone").unwrap_err().contains("no phone"));
        assert!(key(&contact(), &Settings::new()).is_err(), "no external id");
    }

    #[test]
    fn a_field_holds_a_time_as_exactly_as_it_can() {
        let wanted = Field::Time("2026-11-20T10:07:30.123456Z".parse().unwrap());
        for held in [
            "2026-11-20T10:07:30.123456Z",
            "2026-11-20T10:07:30.123Z",
            "2026-11-20T10:07:30.000+0000",
            "2026-11-20T11:07:00+01:00",
            "2026-11-20",
        ] {
            assert!(is_held(&wanted, &held.into()), "{held}");
        }
        for held in ["2026-11-20T10:07:30.124Z", "2026-11-20T10:07:31Z", "2026-11-20T10:08:00Z", "2026-11-21", "", "soon"] {
            assert!(!is_held(&wanted, &held.into()), "{held}");
        }
        assert!(is_held(&Field::Nothing, &Value::Null) && !is_held(&Field::Text("both".to_owned()), &Value::Null));
    }

    #[test]
    fn times_are_cleared_with_the_pass_unless_they_are_kept() {
        let status = contact().wallet_status();
        let [name, apple, google, ..] = values(status, false);
        assert_eq!(name, Field::Text("apple".to_owned()));
        assert!(matches!(apple, Field::Time(_)) && google == Field::Nothing);
        assert!(matches!(values(status, true)[2], Field::Time(_)));
        let never = values(WalletStatus::default(), true);
        assert_eq!(never[1..], [Field::Nothing, Field::Nothing, Field::Nothing, Field::Nothing]);
    }
}
