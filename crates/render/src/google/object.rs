//! The object: what one holder has.
//!
//! Some facts have a slot of their own at Google. They are taken from the design's semantic tags (see [`super::travel`]), from
//! the contact, and from fields of the pass that are called `seat`, `row`, `section`, `gate`, `boarding_group`,
//! `confirmation_code`, `passenger_name`, `origin`, `destination` and `departure`.

use domain::{Lifecycle, NumberFormat};
use google_wallet::model::{
    BoardingAndSeatingInfo, DateTime, EventReservationInfo, EventSeat, EventTicketObject, FlightObject, GenericObject,
    GiftCardObject, LinksModule, LocalizedString, LoyaltyObject, LoyaltyPoints, MAX_LIST_ENTRIES, Message, MessageType, Money,
    ObjectCommon, OfferObject, PointsBalance, ReservationInfo, State, TextModule, TicketLeg, TimeInterval, TransitObject,
    TripType, Uri,
};
use google_wallet::{Object, Vertical};

use super::slots::{Slot, Slotted, slots};
use super::travel::{self, Tags};
use super::{GoogleContext, barcode, class_id, google_class, has_flights, object_id, rotating, vertical};
use crate::overlay::{self, Keys};
use crate::values::{self, as_shown, micros, wallet_time};
use crate::{PassView, RenderError, fill, words};
use domain::ImageRole;
use serde_json::{Value, json};

/// What stands where Google requires a text and a pass has none.
const NOTHING: &str = "–";
/// Decimal places of an amount.
const AMOUNT_SCALE: u32 = 6;

/// Keys of an object that a design cannot set: they name it and its class, or are Google's answer.
pub(crate) const PROTECTED: [&str; 4] = ["id", "classId", "state", "hasUsers"];

/// Draws the object of a pass.
pub fn google_object(view: &PassView<'_>, context: &GoogleContext<'_>) -> Result<Object, RenderError> {
    let design = &view.template.design;
    let context = &GoogleContext { language: &design.language, ..*context };
    let vertical = vertical(view.project, design);
    let object = draw(vertical, view, context)?;
    // what a design says of a pass may be personal
    let keys = if view.is_blank() { fill::constants(&design.google_object) } else { fill::fill(view, &design.google_object) };
    let is_translated = !design.translations.is_empty() && !view.is_blank();
    if keys.is_empty() && !is_translated {
        return Ok(object);
    }
    let set = Keys { part: "google_object", keys: &keys, protected: &PROTECTED };
    let localize = |value: &mut Value| {
        if is_translated {
            words::localize(value, &design.language, &words::of_pass(view));
        }
    };
    Ok(overlay::overlaid(&object, &set, localize, |value| Object::from_value(vertical, value))?)
}

fn draw(vertical: Vertical, view: &PassView<'_>, context: &GoogleContext<'_>) -> Result<Object, RenderError> {
    let slotted = if view.is_blank() { Vec::new() } else { slots(vertical, &view.template.design) };
    let common = common(view, context, &slotted)?;
    let holder = view.contact.and_then(|contact| contact.name.clone()).filter(|_| !view.is_blank());
    Ok(match vertical {
        Vertical::Generic => Object::Generic(Box::new(generic(view, context, &slotted, common))),
        Vertical::Loyalty => Object::Loyalty(Box::new(LoyaltyObject {
            account_id: account_id(view),
            account_name: holder,
            loyalty_points: points(view, &slotted, Slot::Points),
            secondary_loyalty_points: points(view, &slotted, Slot::SecondPoints),
            common,
            ..LoyaltyObject::default()
        })),
        Vertical::Offer => Object::Offer(Box::new(OfferObject { common, ..OfferObject::default() })),
        Vertical::EventTicket => Object::EventTicket(Box::new(ticket(view, context, holder, common))),
        Vertical::Flight => Object::Flight(Box::new(flight(view, holder, common))),
        Vertical::Transit => Object::Transit(Box::new(transit(view, context, holder, common))),
        Vertical::GiftCard => Object::GiftCard(Box::new(GiftCardObject {
            card_number: Some(account_id(view).unwrap_or_else(|| view.pass.id.to_string())),
            balance: gift_balance(view, &slotted),
            balance_update_time: (!view.is_blank()).then(|| DateTime::at(wallet_time(view.pass.updated_at))),
            common,
            ..GiftCardObject::default()
        })),
    })
}

fn common(view: &PassView<'_>, context: &GoogleContext<'_>, slotted: &[Slotted<'_>]) -> Result<ObjectCommon, RenderError> {
    let blank = ObjectCommon {
        id: object_id(context.issuer_id, view.pass)?.to_string(),
        class_id: class_of(view, context)?,
        state: Some(state(&view.pass.lifecycle)),
        ..ObjectCommon::default()
    };
    if view.is_blank() {
        return Ok(blank);
    }
    let rotating = rotating(view);
    Ok(ObjectCommon {
        barcode: barcode(view).filter(|_| rotating.is_none()),
        rotating_barcode: rotating,
        text_modules_data: texts(view, slotted),
        links_module_data: links(view),
        messages: google_message(view).into_iter().collect(),
        valid_time_interval: interval(view),
        smart_tap_redemption_value: smart_tap(view),
        ..blank
    })
}

/// The class that a pass belongs to; empty for a void one that names no flight any more, be it deleted or its holder erased: it
/// stays with the flight that it was for.
fn class_of(view: &PassView<'_>, context: &GoogleContext<'_>) -> Result<String, RenderError> {
    if !has_flights(view.project, &view.template.design) {
        return Ok(class_id(context.issuer_id, view.template)?.to_string());
    }
    match google_class(view, context) {
        Err(RenderError::Flight(_)) if view.pass.lifecycle.is_void() => Ok(String::new()),
        class => Ok(class?.common().id.clone()),
    }
}

/// A pass that is not yet switched on is active at Google too: every other state files it under the expired ones.
fn state(lifecycle: &Lifecycle) -> State {
    match lifecycle {
        Lifecycle::Inactive | Lifecycle::Active => State::Active,
        Lifecycle::Used { .. } => State::Completed,
        Lifecycle::Expired { .. } => State::Expired,
        Lifecycle::Revoked { .. } | Lifecycle::Deleted { .. } => State::Inactive,
    }
}

/// Fields without a slot of their own, front before back, as many as Google takes.
fn texts(view: &PassView<'_>, slotted: &[Slotted<'_>]) -> Vec<TextModule> {
    let mut shown: Vec<_> = slotted.iter().filter(|slotted| slotted.slot == Slot::Text).collect();
    shown.sort_by_key(|slotted| slotted.field.place.is_behind());
    let module = |slotted: &&Slotted<'_>| {
        let value = view.value(&slotted.field.value)?;
        let body = as_shown(&value, slotted.field);
        let mut module = TextModule::new(slotted.id.as_str(), slotted.field.label.as_str(), body);
        module.header = module.header.filter(|header| !header.is_empty());
        Some(module)
    };
    shown.iter().filter_map(module).take(MAX_LIST_ENTRIES).collect()
}

fn links(view: &PassView<'_>) -> Option<LinksModule> {
    let links = view.template.design.links.iter().take(MAX_LIST_ENTRIES);
    let uris: Vec<Uri> = links
        .enumerate()
        .map(|(index, link)| Uri {
            id: Some(format!("link-{index}")),
            uri: Some(link.url.clone()),
            description: Some(link.label.clone()),
            ..Uri::default()
        })
        .collect();
    (!uris.is_empty()).then(|| LinksModule { uris, ..LinksModule::default() })
}

/// The last message to the holder, under an id that stays the same however often it is drawn.
#[must_use]
pub fn google_message(view: &PassView<'_>) -> Option<Message> {
    if view.is_blank() {
        return None;
    }
    let message = view.pass.message.as_ref()?;
    Some(Message {
        id: Some(format!("message-{}", message.at.as_millis())),
        header: Some(view.template.design.message_label.clone()),
        body: Some(message.text.clone()),
        message_type: Some(MessageType::Text),
        display_interval: message.until.map(|until| TimeInterval {
            start: Some(DateTime::at(wallet_time(message.at))),
            end: Some(DateTime::at(wallet_time(until))),
            ..TimeInterval::default()
        }),
        ..Message::default()
    })
}

fn smart_tap(view: &PassView<'_>) -> Option<String> {
    let nfc = view.template.design.nfc.as_ref()?;
    Some(view.text(&nfc.message)).filter(|message| !message.is_empty())
}

fn interval(view: &PassView<'_>) -> Option<TimeInterval> {
    let validity = &view.pass.validity;
    let at = |time: Option<domain::Timestamp>| time.map(|time| DateTime::at(wallet_time(time)));
    let start = at(validity.starts_at).or_else(|| begins(view).map(DateTime::at));
    let end = at(validity.expires_at);
    (start.is_some() || end.is_some()).then(|| TimeInterval { start, end, ..TimeInterval::default() })
}

/// The first moment that a generic pass is for, where its design has the holder told before.
fn begins(view: &PassView<'_>) -> Option<String> {
    let relevance = &view.template.design.relevance;
    if !relevance.tell_before_start || vertical(view.project, &view.template.design) != Vertical::Generic {
        return None;
    }
    let moments = relevance.dates.iter().filter_map(|date| view.moment(date.times().first()?.1));
    moments.min_by_key(|moment| moment.at()).map(values::Moment::wallet)
}

/// What Google tells the holder of a generic pass by itself, where the design asks for it and the pass has the time.
/// Source: the reference of `Notifications`.
fn notifications(view: &PassView<'_>, common: &ObjectCommon) -> Option<Value> {
    let relevance = &view.template.design.relevance;
    let interval = common.valid_time_interval.as_ref()?;
    let on = json!({"enableNotification": true});
    let mut asked = serde_json::Map::new();
    if relevance.tell_before_start && interval.start.is_some() {
        asked.insert("upcomingNotification".to_owned(), on.clone());
    }
    if relevance.tell_before_end && interval.end.is_some() {
        asked.insert("expiryNotification".to_owned(), on);
    }
    (!asked.is_empty()).then_some(Value::Object(asked))
}

/// The number that the customer's own systems know the pass or else its holder by.
fn account_id(view: &PassView<'_>) -> Option<String> {
    let holder = || view.contact.and_then(|contact| contact.external_id.clone());
    view.pass.external_id.clone().or_else(holder).filter(|_| !view.is_blank())
}

fn points(view: &PassView<'_>, slotted: &[Slotted<'_>], slot: Slot) -> Option<LoyaltyPoints> {
    let field = slotted.iter().find(|slotted| slotted.slot == slot)?.field;
    let value = view.value(&field.value)?;
    let balance = match (&value, &field.number, micros(&value)) {
        (_, Some(NumberFormat::Currency(code)), Some(amount)) => money(amount, code).map(PointsBalance::money),
        (values::Value::Number(number), None | Some(NumberFormat::Decimal), _) => number.as_i64().map(PointsBalance::whole),
        _ => None,
    };
    let balance = balance.unwrap_or_else(|| PointsBalance::text(as_shown(&value, field)));
    let label = Some(field.label.clone()).filter(|label| !label.is_empty());
    Some(LoyaltyPoints { label, balance: Some(balance), ..LoyaltyPoints::default() })
}

fn gift_balance(view: &PassView<'_>, slotted: &[Slotted<'_>]) -> Option<Money> {
    let field = slotted.iter().find(|slotted| slotted.slot == Slot::Balance)?.field;
    match &field.number {
        Some(NumberFormat::Currency(code)) => money(micros(&view.value(&field.value)?)?, code),
        _ => None,
    }
}

fn money(micros: i64, code: &str) -> Option<Money> {
    Money::from_decimal(i128::from(micros), AMOUNT_SCALE, code)
}

fn generic(view: &PassView<'_>, context: &GoogleContext<'_>, slotted: &[Slotted<'_>], common: ObjectCommon) -> GenericObject {
    let design = &view.template.design;
    let title = if view.is_blank() { String::new() } else { view.text(&design.title) };
    let title = if title.trim().is_empty() { design.issuer.clone() } else { title };
    let main = slotted.iter().find(|slotted| slotted.slot == Slot::Header).map(|slotted| slotted.field);
    let header = main.and_then(|field| Some(as_shown(&view.value(&field.value)?, field)));
    let subheader =
        main.filter(|field| header.is_some() && !field.label.is_empty()).map(|field| context.localized(field.label.as_str()));
    GenericObject {
        header: Some(context.localized(header.unwrap_or_else(|| NOTHING.to_owned()))),
        subheader,
        card_title: Some(context.localized(title)),
        logo: context.image(design, &[ImageRole::Icon, ImageRole::Logo]),
        wide_logo: context.image(design, &[ImageRole::Logo]),
        hex_background_color: design.colors.background.clone(),
        notifications: notifications(view, &common),
        common: ObjectCommon { hero_image: context.image(design, &[ImageRole::Strip, ImageRole::Background]), ..common },
        ..GenericObject::default()
    }
}

fn ticket(view: &PassView<'_>, context: &GoogleContext<'_>, holder: Option<String>, common: ObjectCommon) -> EventTicketObject {
    if view.is_blank() {
        return EventTicketObject { common, ..EventTicketObject::default() };
    }
    let field = |key: &str| view.field_text(key).map(|text| context.localized(text));
    let seat = EventSeat {
        seat: field("seat"),
        row: field("row"),
        section: field("section"),
        gate: field("gate"),
        ..EventSeat::default()
    };
    let code = view.field_text("confirmation_code");
    let reservation = code.map(|code| EventReservationInfo { confirmation_code: Some(code), ..EventReservationInfo::default() });
    let variant = view.project.variant(Some(&view.pass.variant));
    EventTicketObject {
        ticket_holder_name: holder,
        ticket_number: Some(view.pass.external_id.clone().unwrap_or_else(|| view.pass.serial.clone())),
        ticket_type: variant.map(|variant| context.localized(variant.name.as_str())),
        seat_info: (seat != EventSeat::default()).then_some(seat),
        reservation_info: reservation,
        common,
        ..EventTicketObject::default()
    }
}

fn flight(view: &PassView<'_>, holder: Option<String>, common: ObjectCommon) -> FlightObject {
    let tags = Tags::of(view);
    let field = |key: &str| view.field_text(key).filter(|_| !view.is_blank());
    let said = travel::seating(&tags);
    let seating = BoardingAndSeatingInfo {
        seat_number: said.seat_number.or_else(|| field("seat")),
        boarding_group: said.boarding_group.or_else(|| field("boarding_group")),
        ..said
    };
    let code = tags.text("confirmationNumber").or_else(|| field("confirmation_code"));
    let passenger = tags.passenger().or_else(|| field("passenger_name")).or(holder);
    FlightObject {
        passenger_name: Some(passenger.unwrap_or_else(|| NOTHING.to_owned())),
        reservation_info: Some(ReservationInfo { confirmation_code: code, ..ReservationInfo::default() }),
        boarding_and_seating_info: (seating != BoardingAndSeatingInfo::default()).then_some(seating),
        common,
        ..FlightObject::default()
    }
}

fn transit(view: &PassView<'_>, context: &GoogleContext<'_>, holder: Option<String>, common: ObjectCommon) -> TransitObject {
    let blank = TransitObject { trip_type: Some(TripType::OneWay), common, ..TransitObject::default() };
    if view.is_blank() {
        return blank;
    }
    let tags = Tags::of(view);
    let field = |key: &str| -> Option<LocalizedString> { view.field_text(key).map(|text| context.localized(text)) };
    let departure = match view.field("departure") {
        Some(values::Value::Time(time)) => Some(time.wallet()),
        _ => None,
    };
    let said = travel::leg(&tags, context);
    let leg = TicketLeg {
        origin_name: said.origin_name.or_else(|| field("origin")),
        destination_name: said.destination_name.or_else(|| field("destination")),
        departure_date_time: said.departure_date_time.or(departure),
        ..said
    };
    let number = tags.text("confirmationNumber").or_else(|| view.pass.external_id.clone());
    TransitObject {
        passenger_names: tags.passenger().or_else(|| view.field_text("passenger_name")).or(holder),
        ticket_number: Some(number.unwrap_or_else(|| view.pass.serial.clone())),
        ticket_leg: (leg.origin_name.is_some() && leg.destination_name.is_some()).then_some(leg),
        ..blank
    }
}
