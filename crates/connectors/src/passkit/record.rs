//! `recordData`: what the pass says, text by name, sorted by name.
//!
//! The names of memberships, people and `universal` are those of PassKit's published samples and import files; those of
//! coupons, tickets and the rest are formed in the same way from its message names. Numbers print as Go's `%f`.

use std::collections::BTreeMap;

use domain::{Contact, FieldValue, Image, Lifecycle, Pass, ProjectKind, Timestamp};

use super::wire::{self, Person};

/// Balances with a place of their own in a membership, and the names that lead there.
pub(super) const POINTS: &[&str] = &["points"];
pub(super) const SECONDARY_POINTS: &[&str] = &["secondary_points", "secondaryPoints"];
pub(super) const TIER_POINTS: &[&str] = &["tier_points", "tierPoints"];

/// Millionths in one whole point.
const WHOLE: i64 = 1_000_000;

struct Record(BTreeMap<String, String>);

impl Record {
    /// Sets a value, unless it is empty.
    fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.insert(name.into(), value);
        }
    }
}

/// The record data of a pass.
pub(super) fn record(pass: &Pass, image: &Image) -> BTreeMap<String, String> {
    let kind = image.project.as_ref().map_or(ProjectKind::Generic, |project| project.kind);
    let mut record = Record(BTreeMap::new());
    meta(&mut record, pass, kind);
    match kind {
        ProjectKind::Membership => membership(&mut record, pass, image),
        ProjectKind::Coupon => coupon(&mut record, pass, image),
        ProjectKind::EventTicket => ticket(&mut record, pass, image),
        ProjectKind::BoardingPass => plain(&mut record, pass, image, "flights.boardingPass", "flights.flight"),
        ProjectKind::GiftCard => plain(&mut record, pass, image, "giftCards.giftCard", "giftCards.program"),
        ProjectKind::Transit => plain(&mut record, pass, image, "transit.ticket", "transit.route"),
        ProjectKind::Generic => plain(&mut record, pass, image, "raw.pass", "raw.passProject"),
    }
    person(&mut record, image.contact.as_ref());
    universal(&mut record, pass, image.contact.as_ref());
    record.0
}

/// The pass's own fields, and the balances that have no other place.
fn meta(record: &mut Record, pass: &Pass, kind: ProjectKind) {
    let placed = |name: &str| {
        kind == ProjectKind::Membership && [POINTS, SECONDARY_POINTS, TIER_POINTS].iter().any(|names| names.contains(&name))
    };
    for (name, amount) in pass.balances.iter().filter(|(name, _)| !placed(name)) {
        record.set(format!("meta.{name}"), amount.to_fixed());
    }
    for (name, value) in &pass.fields {
        record.set(format!("meta.{name}"), value.to_string());
    }
}

fn membership(record: &mut Record, pass: &Pass, image: &Image) {
    let balance = |names: &[&str]| names.iter().find_map(|name| pass.balances.get(*name)).copied().unwrap_or_default();
    let points = balance(POINTS);
    record.set("design.pointsType", if points.micros() % WHOLE == 0 { "int" } else { "double" });
    ids(record, pass, "members.member");
    record.set("members.member.points", points.to_fixed());
    record.set("members.member.secondaryPoints", balance(SECONDARY_POINTS).to_fixed());
    record.set("members.member.tierPoints", (balance(TIER_POINTS).micros() / WHOLE).max(0).to_string());
    let status = match pass.lifecycle {
        Lifecycle::Inactive => "ENROLLED",
        Lifecycle::Active => "ACTIVE",
        Lifecycle::Used { .. } | Lifecycle::Expired { .. } | Lifecycle::Revoked { .. } => "EXPIRED",
        Lifecycle::Deleted { .. } => "DELETED",
    };
    record.set("members.member.status", status);
    project(record, pass, image, "members.program");
    variant(record, pass, image, "members.tier", "name");
}

fn coupon(record: &mut Record, pass: &Pass, image: &Image) {
    ids(record, pass, "singleUseCoupons.coupon");
    record.set("singleUseCoupons.coupon.sku", field(pass, &["sku"]));
    record.set("singleUseCoupons.coupon.status", if is_used(pass) { "REDEEMED" } else { "UNREDEEMED" });
    project(record, pass, image, "singleUseCoupons.campaign");
    variant(record, pass, image, "singleUseCoupons.offer", "offerTitle");
}

fn ticket(record: &mut Record, pass: &Pass, image: &Image) {
    record.set("eventTickets.ticket.id", pass.id.to_string());
    record.set("eventTickets.ticket.ticketNumber", pass.external_id.as_deref().unwrap_or_default());
    record.set("eventTickets.ticket.orderNumber", field(pass, &["order_number", "orderNumber"]));
    record.set("eventTickets.ticket.status", if is_used(pass) { "REDEEMED" } else { "ISSUED" });
    project(record, pass, image, "eventTickets.production");
    variant(record, pass, image, "eventTickets.ticketType", "name");
}

fn plain(record: &mut Record, pass: &Pass, image: &Image, own: &str, of: &str) {
    ids(record, pass, own);
    project(record, pass, image, of);
    variant(record, pass, image, &format!("{own}.variant"), "name");
}

fn ids(record: &mut Record, pass: &Pass, own: &str) {
    record.set(format!("{own}.id"), pass.id.to_string());
    record.set(format!("{own}.externalId"), pass.external_id.as_deref().unwrap_or_default());
}

fn project(record: &mut Record, pass: &Pass, image: &Image, own: &str) {
    record.set(format!("{own}.id"), pass.project.to_string());
    record.set(format!("{own}.name"), image.project.as_ref().map_or("", |project| &project.name));
}

fn variant(record: &mut Record, pass: &Pass, image: &Image, own: &str, name: &str) {
    record.set(format!("{own}.id"), pass.variant.as_str());
    record.set(format!("{own}.{name}"), image.variant.as_ref().map_or("", |variant| &variant.name));
}

/// Whether its last use is spent, also when it was removed since.
fn is_used(pass: &Pass) -> bool {
    matches!(pass.lifecycle, Lifecycle::Used { .. }) || pass.uses.limit.is_some_and(|limit| limit > 0 && pass.uses.count >= limit)
}

fn field(pass: &Pass, names: &[&str]) -> String {
    names.iter().find_map(|name| pass.fields.get(*name)).map(FieldValue::to_string).unwrap_or_default()
}

fn person(record: &mut Record, contact: Option<&Contact>) {
    let person = Person::of(contact);
    let texts = [
        ("surname", person.surname),
        ("forename", person.forename),
        ("salutation", person.salutation),
        ("suffix", person.suffix),
        ("displayName", person.display_name),
        ("emailAddress", person.email_address),
        ("mobileNumber", person.mobile_number),
        ("externalId", person.external_id),
    ];
    for (name, text) in texts {
        record.set(format!("person.{name}"), text);
    }
    if let Some(date) = person.date_of_birth {
        record.set("person.dateOfBirth", format!("{:04}-{:02}-{:02}", date.year, date.month, date.day));
    }
}

fn universal(record: &mut Record, pass: &Pass, contact: Option<&Contact>) {
    let flag = |key: &str| contact.and_then(|contact| contact.traits.get(key)) == Some(&FieldValue::Flag(true));
    record.set("universal.issued", seconds(pass.issued_at));
    if let Some(end) = pass.validity.expires_at {
        record.set("universal.expiryDate", seconds(end));
    }
    record.set("universal.optOut", if flag("optOut") || flag("opt_out") { "yes" } else { "no" });
    record.set("universal.status", wire::status(pass.status()).1);
}

/// RFC 3339 to the second.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_seconds(time.as_seconds()).to_string()
}
