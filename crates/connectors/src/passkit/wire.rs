//! The body as PassKit's Go service writes it: members in the order of its messages, zero values left out, `utm` always
//! there, enums as numbers, times as seconds and nanoseconds.
//!
//! Shape: PassKit's help-centre article on webhooks, and the public message descriptors of its gRPC SDKs
//! (`io.SinkSubscriptionPayload`, `io.Pass`, `io.Person`, `io.Metadata`).

use std::collections::BTreeMap;

use domain::{Amount, Contact, FieldValue, Lifecycle, Origin, Pass, Place, ProjectKind, Sighting, Status, Timestamp};
use serde::{Serialize, Serializer, ser};
use serde_json::value::RawValue;

/// `io.SinkSubscriptionPayload`
#[derive(Serialize)]
pub(super) struct Payload<'a> {
    pub(super) event: &'static str,
    pub(super) pass: Record<'a>,
}

/// `io.Pass`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record<'a> {
    pub(super) id: String,
    pub(super) class_id: String,
    pub(super) protocol: u32,
    pub(super) person_details: Person<'a>,
    pub(super) metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) record_data: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) external_id: &'a str,
}

/// `io.Person`, as far as we know people.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Person<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) surname: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) forename: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) salutation: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) suffix: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) date_of_birth: Option<Date>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) email_address: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) mobile_number: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) external_id: &'a str,
}

/// `io.Date`
#[derive(Serialize, Clone, Copy)]
pub(super) struct Date {
    pub(super) year: u16,
    pub(super) month: u8,
    pub(super) day: u8,
}

/// `io.Metadata`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    status: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lifecycle_events: Vec<u32>,
    utm: Utm<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt_id: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    issue_ip_address: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    install_ip_address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    render_location: Option<Location<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    render_ip_address: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    install_user_agent: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    render_user_agent: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    install_device_attributes: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    render_device_attributes: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issue_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rendered_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_installed_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_installed_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_uninstalled_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_uninstalled_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalidated_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
}

/// `io.UTM`
#[derive(Serialize)]
struct Utm<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    medium: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    term: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    content: &'a str,
}

/// `io.MetaLocation`
#[derive(Serialize)]
struct Location<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    country: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    city: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    state: &'a str,
    #[serde(skip_serializing_if = "Degrees::is_zero")]
    latitude: Degrees,
    #[serde(skip_serializing_if = "Degrees::is_zero")]
    longitude: Degrees,
}

/// Degrees from microdegrees. Go prints the shortest decimal that reads back as the same float, which six decimals are.
struct Degrees(i64);

impl Degrees {
    const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}
impl Serialize for Degrees {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let decimal = Amount::from_micros(self.0).to_string();
        RawValue::from_string(decimal).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

/// `google.protobuf.Timestamp` as Go's `encoding/json` writes it.
#[derive(Serialize)]
struct Moment {
    #[serde(skip_serializing_if = "is_zero")]
    seconds: i64,
    #[serde(skip_serializing_if = "is_zero")]
    nanos: u32,
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self { seconds: time.as_seconds(), nanos: time.subsec_nanos() }
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// `io.PassProtocol` of a kind of project. Gift cards and transit have no number of PassKit's and take ours from the range
/// that it keeps for proprietary protocols; generic passes take its number for raw ones.
pub const fn protocol(kind: ProjectKind) -> u32 {
    match kind {
        ProjectKind::Generic => 1,
        ProjectKind::BoardingPass => 3,
        ProjectKind::Membership => 100,
        ProjectKind::Coupon => 101,
        ProjectKind::EventTicket => 102,
        ProjectKind::GiftCard => 1_001,
        ProjectKind::Transit => 1_002,
    }
}

/// `io.Status` of a status, number and name.
pub(super) const fn status(status: Status) -> (u32, &'static str) {
    match status {
        Status::Issued => (0, "PASS_ISSUED"),
        Status::Installed => (1, "PASS_INSTALLED"),
        Status::Uninstalled => (2, "PASS_UNINSTALLED"),
        Status::Invalidated => (3, "PASS_INVALIDATED"),
    }
}

impl<'a> Person<'a> {
    pub(super) fn of(contact: Option<&'a Contact>) -> Self {
        let Some(contact) = contact else { return Self::default() };
        let own = |keys: &[&str]| keys.iter().find_map(|key| trait_text(contact, key)).unwrap_or_default();
        Self {
            surname: own(&["surname", "lastName", "last_name"]),
            forename: own(&["forename", "firstName", "first_name"]),
            salutation: own(&["salutation"]),
            suffix: own(&["suffix"]),
            display_name: contact.name.as_deref().unwrap_or_default(),
            date_of_birth: date(own(&["dateOfBirth", "date_of_birth", "birthday"])),
            email_address: contact.email.as_deref().unwrap_or_default(),
            mobile_number: contact.phone.as_deref().unwrap_or_default(),
            external_id: contact.external_id.as_deref().unwrap_or_default(),
        }
    }
}

fn trait_text<'a>(contact: &'a Contact, key: &str) -> Option<&'a str> {
    match contact.traits.get(key)? {
        FieldValue::Text(text) => Some(text),
        FieldValue::Number(_) | FieldValue::Flag(_) => None,
    }
}

/// A day from text that starts with `YYYY-MM-DD`.
fn date(text: &str) -> Option<Date> {
    let mut parts = text.get(..10)?.splitn(3, '-');
    let mut next = |len: usize| parts.next().filter(|part| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit()));
    let (year, month, day) = (next(4)?.parse().ok()?, next(2)?.parse().ok()?, next(2)?.parse().ok()?);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(Date { year, month, day })
}

impl<'a> Metadata<'a> {
    pub(super) fn of(pass: &'a Pass) -> Self {
        let bits = pass.lifecycle_bits().0;
        let (rendered, installed) = (pass.rendered.as_ref(), pass.installed.as_ref());
        let ip = |seen: Option<&'a Sighting>| seen.and_then(|seen| seen.ip.as_deref()).unwrap_or_default();
        let agent = |seen: Option<&'a Sighting>| seen.and_then(|seen| seen.user_agent.as_deref()).unwrap_or_default();
        let attributes = |seen: Option<&Sighting>| single_bits(seen.map_or(0, |seen| seen.attributes));
        let holdings = [&pass.apple, &pass.google];
        let first = |times: [Option<Timestamp>; 2]| times.into_iter().flatten().min().map(Moment::from);
        let last = |times: [Option<Timestamp>; 2]| times.into_iter().flatten().max().map(Moment::from);
        Self {
            status: status(pass.status()).0,
            lifecycle_events: single_bits(bits),
            utm: Utm::of(&pass.origin),
            alt_id: (bits != 0).then(|| pass.id.to_string()),
            issue_ip_address: pass.origin.ip.as_deref().unwrap_or_default(),
            install_ip_address: ip(installed),
            render_location: rendered.and_then(|seen| seen.place.as_ref()).map(Location::of),
            render_ip_address: ip(rendered),
            install_user_agent: agent(installed),
            render_user_agent: agent(rendered),
            install_device_attributes: attributes(installed),
            render_device_attributes: attributes(rendered),
            issue_at: Some(pass.issued_at.into()),
            rendered_at: rendered.map(|seen| seen.at.into()),
            first_installed_at: first(holdings.map(|holding| holding.first_installed_at)),
            last_installed_at: last(holdings.map(|holding| holding.last_installed_at)),
            first_uninstalled_at: first(holdings.map(|holding| holding.first_uninstalled_at)),
            last_uninstalled_at: last(holdings.map(|holding| holding.last_uninstalled_at)),
            invalidated_at: invalidated_at(&pass.lifecycle).map(Moment::from),
            last_updated_at: (pass.updated_at != pass.issued_at).then(|| pass.updated_at.into()),
        }
    }
}

const fn invalidated_at(lifecycle: &Lifecycle) -> Option<Timestamp> {
    match lifecycle {
        Lifecycle::Inactive | Lifecycle::Active => None,
        Lifecycle::Used { at } | Lifecycle::Expired { at } | Lifecycle::Revoked { at, .. } | Lifecycle::Deleted { at } => {
            Some(*at)
        }
    }
}

/// The set bits as numbers of one bit each, rising.
fn single_bits(bits: u32) -> Vec<u32> {
    (0..u32::BITS).map(|shift| 1 << shift).filter(|bit| bits & bit != 0).collect()
}

impl<'a> Utm<'a> {
    fn of(origin: &'a Origin) -> Self {
        let of = |key: &str| origin.utm.get(key).map_or("", String::as_str);
        let name = if of("name").is_empty() { of("campaign") } else { of("name") };
        Self { source: of("source"), medium: of("medium"), name, term: of("term"), content: of("content") }
    }
}

impl<'a> Location<'a> {
    fn of(place: &'a Place) -> Self {
        Self {
            country: place.country.as_deref().unwrap_or_default(),
            city: place.city.as_deref().unwrap_or_default(),
            state: place.state.as_deref().unwrap_or_default(),
            latitude: Degrees(place.latitude_micros.unwrap_or_default()),
            longitude: Degrees(place.longitude_micros.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_go_prints_them() {
        let shown = |micros| serde_json::to_string(&Degrees(micros)).unwrap();
        assert_eq!(
            ["51.536", "-0.0925", "12", "-180", "0.000001"],
            [51_536_000, -92_500, 12_000_000, -180_000_000, 1].map(shown)[..]
        );
        assert_eq!(single_bits(0x401), [1, 0x400]);
        assert_eq!(single_bits(u32::MAX).len(), 32);
    }

    #[test]
    fn days_are_read_from_dates_and_times() {
        let of = |text| date(text).map(|date| (date.year, date.month, date.day));
        assert_eq!(of("1990-02-28"), Some((1990, 2, 28)));
        assert_eq!(of("1990-02-28T00:00:00Z"), Some((1990, 2, 28)));
        for text in ["", "1990-2-28", "28.02.1990", "1990-13-01", "199é-01-01", "+990-01-01"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
