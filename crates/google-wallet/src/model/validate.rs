//! What Google refuses or hides, said before it is sent.
//!
//! The rules are the required fields of the discovery document and the published limits; each finding names the place,
//! the rule and what to change.

use super::parts::{Barcode, LinksModule, LocalizedString, TextModule};
use super::{Class, ClassCommon, Object, ObjectCommon, PointsBalance, ReviewStatus, State};
use crate::id::ResourceId;

/// Text modules, links, messages and places that Google takes on one level.
pub const MAX_LIST_ENTRIES: usize = 10;
/// Objects that may come with one object.
pub const MAX_LINKED_OBJECTS: usize = 50;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Google refuses it.
    Refused,
    /// Google takes it, and the holder will not see all of it.
    Hidden,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether Google refuses it or hides something.
    pub severity: Severity,
    /// Where, as `loyaltyClass.programLogo`.
    pub path: String,
    /// A stable name of the rule.
    pub rule: &'static str,
    /// What to change.
    pub mend: String,
}

/// Gathers findings below one place.
pub(super) struct Check {
    root: String,
    pub(super) findings: Vec<Finding>,
}

impl Check {
    pub(super) fn new(root: String) -> Self {
        Self { root, findings: Vec::new() }
    }

    pub(super) fn add(&mut self, severity: Severity, field: &str, rule: &'static str, mend: impl Into<String>) {
        self.findings.push(Finding { severity, path: format!("{}.{field}", self.root), rule, mend: mend.into() });
    }

    fn required(&mut self, present: bool, field: &str) {
        if !present {
            self.add(Severity::Refused, field, "required_field", format!("Google requires it: set `{field}`"));
        }
    }

    fn text(&mut self, text: Option<&String>, field: &str) {
        self.required(text.is_some_and(|text| !text.trim().is_empty()), field);
    }

    fn localized(&mut self, text: Option<&LocalizedString>, field: &str) {
        self.required(text.is_some_and(|text| !text.text().trim().is_empty()), field);
    }

    fn id(&mut self, id: &str, field: &str) {
        if let Err(error) = id.parse::<ResourceId>() {
            self.add(Severity::Refused, field, "resource_id", error.to_string());
        }
    }

    fn colour(&mut self, colour: Option<&String>, field: &str) {
        let Some(colour) = colour else { return };
        let digits = colour.strip_prefix('#').unwrap_or("");
        let good = matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if !good {
            self.add(Severity::Refused, field, "colour", format!("replace `{colour}`, as by `#1a2b3c`"));
        }
    }

    fn count(&mut self, count: usize, limit: usize, field: &str, severity: Severity) {
        if count > limit {
            let mend = format!("{count} entries are given, keep the {limit} most important");
            self.add(severity, field, "list_length", mend);
        }
    }

    fn texts(&mut self, modules: &[TextModule]) {
        self.count(modules.len(), MAX_LIST_ENTRIES, "textModulesData", Severity::Hidden);
        for (index, module) in modules.iter().enumerate() {
            let twice = module.id.is_some() && modules[..index].iter().any(|other| other.id == module.id);
            if twice {
                let field = format!("textModulesData[{index}].id");
                self.add(Severity::Refused, &field, "module_id_twice", "another text module has it: give it another id");
            }
        }
    }

    fn links(&mut self, links: Option<&LinksModule>) {
        let Some(links) = links else { return };
        self.count(links.uris.len(), MAX_LIST_ENTRIES, "linksModuleData.uris", Severity::Hidden);
        for (index, link) in links.uris.iter().enumerate() {
            let uri = link.uri.as_deref().unwrap_or("");
            if !["https:", "http:", "tel:", "mailto:"].iter().any(|scheme| uri.starts_with(scheme)) {
                let field = format!("linksModuleData.uris[{index}].uri");
                self.add(Severity::Refused, &field, "link_scheme", "begin the link with https:, tel: or mailto:");
            }
        }
    }

    fn barcode(&mut self, barcode: Option<&Barcode>) {
        let Some(barcode) = barcode else { return };
        self.required(barcode.kind.is_some(), "barcode.type");
        self.text(barcode.value.as_ref(), "barcode.value");
    }

    fn balance(&mut self, balance: Option<&PointsBalance>, field: &str) {
        if balance.is_none_or(|balance| balance.set() != 1) {
            self.add(Severity::Refused, field, "balance_one_of", "set exactly one of int, double, string and money");
        }
    }
}

impl Class {
    /// What Google would refuse or hide; empty when nothing is wrong.
    #[must_use]
    pub fn validate(&self) -> Vec<Finding> {
        let mut check = Check::new(format!("{}Class", self.vertical().stem()));
        check.class(self.common(), matches!(self, Self::Generic(_)));
        check.closed(self);
        match self {
            Self::Generic(_) => {}
            Self::Loyalty(class) => {
                check.required(class.program_name.is_some() || class.localized_program_name.is_some(), "programName");
                check.required(class.program_logo.is_some(), "programLogo");
            }
            Self::Offer(class) => {
                check.required(class.title.is_some() || class.localized_title.is_some(), "title");
                check.text(class.provider.as_ref(), "provider");
                check.required(class.redemption_channel.is_some(), "redemptionChannel");
            }
            Self::EventTicket(class) => {
                check.localized(class.event_name.as_ref(), "eventName");
                if let Some(venue) = &class.venue {
                    check.localized(venue.name.as_ref(), "venue.name");
                    check.localized(venue.address.as_ref(), "venue.address");
                }
            }
            Self::Flight(class) => check.flight(class),
            Self::Transit(class) => {
                check.required(class.transit_type.is_some(), "transitType");
                check.required(class.logo.is_some(), "logo");
            }
            Self::GiftCard(_) => {}
        }
        check.findings
    }
}

impl Object {
    /// What Google would refuse or hide; empty when nothing is wrong.
    #[must_use]
    pub fn validate(&self) -> Vec<Finding> {
        let mut check = Check::new(format!("{}Object", self.vertical().stem()));
        check.object(self.common(), matches!(self, Self::Generic(_)));
        check.closed(self);
        match self {
            Self::Generic(object) => {
                check.localized(object.card_title.as_ref(), "cardTitle");
                check.localized(object.header.as_ref(), "header");
                check.colour(object.hex_background_color.as_ref(), "hexBackgroundColor");
            }
            Self::Loyalty(object) => {
                for (points, field) in [
                    (&object.loyalty_points, "loyaltyPoints.balance"),
                    (&object.secondary_loyalty_points, "secondaryLoyaltyPoints.balance"),
                ] {
                    if let Some(points) = points {
                        check.balance(points.balance.as_ref(), field);
                    }
                }
            }
            Self::Offer(_) => {}
            Self::EventTicket(object) => {
                check.colour(object.hex_background_color.as_ref(), "hexBackgroundColor");
            }
            Self::Flight(object) => {
                check.text(object.passenger_name.as_ref(), "passengerName");
                check.required(object.reservation_info.is_some(), "reservationInfo");
            }
            Self::Transit(object) => {
                check.required(object.trip_type.is_some(), "tripType");
                check.colour(object.hex_background_color.as_ref(), "hexBackgroundColor");
            }
            Self::GiftCard(object) => {
                check.text(object.card_number.as_ref(), "cardNumber");
                let coded = object.balance.as_ref().is_none_or(|money| !money.currency_code.is_empty());
                check.required(coded, "balance.currencyCode");
            }
        }
        check.findings
    }
}

impl Check {
    fn class(&mut self, common: &ClassCommon, generic: bool) {
        self.id(&common.id, "id");
        if generic {
            self.unbranded(common);
        } else {
            self.required(common.issuer_name.is_some() || common.localized_issuer_name.is_some(), "issuerName");
            self.required(common.review_status.is_some(), "reviewStatus");
            if matches!(common.review_status, Some(ReviewStatus::Approved | ReviewStatus::Rejected)) {
                let mend = "only Google approves or rejects a class: send UNDER_REVIEW";
                self.add(Severity::Refused, "reviewStatus", "review_status", mend);
            }
        }
        self.colour(common.hex_background_color.as_ref(), "hexBackgroundColor");
        self.texts(&common.text_modules_data);
        self.links(common.links_module_data.as_ref());
        self.count(common.messages.len(), MAX_LIST_ENTRIES, "messages", Severity::Hidden);
        self.count(common.image_modules_data.len(), 1, "imageModulesData", Severity::Hidden);
        self.count(common.merchant_locations.len(), MAX_LIST_ENTRIES, "merchantLocations", Severity::Refused);
        let url = common.callback_options.as_ref().and_then(|options| options.url.as_deref());
        if url.is_some_and(|url| !url.starts_with("https://")) {
            self.add(
                Severity::Refused,
                "callbackOptions.url",
                "callback_address",
                "give an https address: Google calls back over https only",
            );
        }
    }

    // A generic class has no such fields: colour, logo and hero image belong to its objects.
    fn unbranded(&mut self, common: &ClassCommon) {
        let given = [
            (common.issuer_name.is_some(), "issuerName"),
            (common.review_status.is_some(), "reviewStatus"),
            (common.hex_background_color.is_some(), "hexBackgroundColor"),
            (common.hero_image.is_some(), "heroImage"),
            (common.notify_preference.is_some(), "notifyPreference"),
        ];
        for (_, field) in given.iter().filter(|(set, _)| *set) {
            let mend = "generic classes have no such field: leave it out, their branding belongs to the object";
            self.add(Severity::Refused, field, "generic_class_branding", mend);
        }
    }

    fn object(&mut self, common: &ObjectCommon, generic: bool) {
        self.id(&common.id, "id");
        self.id(&common.class_id, "classId");
        self.required(generic || common.state.is_some(), "state");
        if let Some(State::Other(state)) = &common.state {
            let mend = format!("replace `{state}` by ACTIVE, COMPLETED, EXPIRED or INACTIVE");
            self.add(Severity::Refused, "state", "unknown_word", mend);
        }
        self.barcode(common.barcode.as_ref());
        self.texts(&common.text_modules_data);
        self.links(common.links_module_data.as_ref());
        self.count(common.messages.len(), MAX_LIST_ENTRIES, "messages", Severity::Hidden);
        self.count(common.image_modules_data.len(), 1, "imageModulesData", Severity::Hidden);
        self.count(common.merchant_locations.len(), MAX_LIST_ENTRIES, "merchantLocations", Severity::Refused);
        self.count(common.linked_object_ids.len(), MAX_LINKED_OBJECTS, "linkedObjectIds", Severity::Refused);
        if generic && common.notify_preference.is_some() {
            let mend = "generic objects cannot notify on update: leave it out, or send a message that notifies";
            self.add(Severity::Refused, "notifyPreference", "generic_notify", mend);
        }
    }

    fn flight(&mut self, class: &super::FlightClass) {
        let carrier = class.flight_header.as_ref().and_then(|header| header.carrier.as_ref());
        let coded = carrier.is_some_and(|carrier| carrier.carrier_iata_code.is_some() || carrier.carrier_icao_code.is_some());
        self.required(coded, "flightHeader.carrier.carrierIataCode");
        let number = class.flight_header.as_ref().and_then(|header| header.flight_number.as_ref());
        self.text(number, "flightHeader.flightNumber");
        for (airport, field) in [(&class.origin, "origin.airportIataCode"), (&class.destination, "destination.airportIataCode")] {
            self.text(airport.as_ref().and_then(|airport| airport.airport_iata_code.as_ref()), field);
        }
        self.text(class.local_scheduled_departure_date_time.as_ref(), "localScheduledDepartureDateTime");
        for (airport, field) in [(&class.origin, "origin.airportIataCode"), (&class.destination, "destination.airportIataCode")] {
            let code = airport.as_ref().and_then(|airport| airport.airport_iata_code.as_deref()).unwrap_or("");
            let good = code.is_empty() || code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
            if !good {
                self.add(Severity::Refused, field, "airport_code", format!("`{code}`: give the three letters of IATA, as BER"));
            }
        }
        self.carrier_code(carrier, "carrier");
        let operating = class.flight_header.as_ref().and_then(|header| header.operating_carrier.as_ref());
        self.carrier_code(operating, "operatingCarrier");
    }

    fn carrier_code(&mut self, carrier: Option<&super::FlightCarrier>, of: &str) {
        let Some(carrier) = carrier else { return };
        if carrier.carrier_iata_code.is_some() && carrier.carrier_icao_code.is_some() {
            let mend = "give exactly one of carrierIataCode and carrierIcaoCode";
            self.add(Severity::Refused, &format!("flightHeader.{of}"), "carrier_code", mend);
        }
        let codes = [(&carrier.carrier_iata_code, 2, "carrierIataCode"), (&carrier.carrier_icao_code, 3, "carrierIcaoCode")];
        for (code, length, key) in codes {
            if code.as_ref().is_some_and(|code| code.len() != length || !code.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
                let mend = format!("give the {length} characters of the airline's code");
                self.add(Severity::Refused, &format!("flightHeader.{of}.{key}"), "carrier_code", mend);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Vertical;

    fn paths(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.path.as_str()).collect()
    }

    #[test]
    fn an_empty_class_lacks_what_google_requires() {
        let table: [(Vertical, &[&str]); 7] = [
            (Vertical::Generic, &["genericClass.id"]),
            (
                Vertical::Loyalty,
                &["loyaltyClass.issuerName", "loyaltyClass.reviewStatus", "loyaltyClass.programName", "loyaltyClass.programLogo"],
            ),
            (Vertical::Offer, &["offerClass.title", "offerClass.provider", "offerClass.redemptionChannel"]),
            (Vertical::EventTicket, &["eventTicketClass.eventName"]),
            (
                Vertical::Flight,
                &[
                    "flightClass.flightHeader.carrier.carrierIataCode",
                    "flightClass.flightHeader.flightNumber",
                    "flightClass.origin.airportIataCode",
                    "flightClass.destination.airportIataCode",
                    "flightClass.localScheduledDepartureDateTime",
                ],
            ),
            (Vertical::Transit, &["transitClass.transitType", "transitClass.logo"]),
            (Vertical::GiftCard, &["giftCardClass.issuerName", "giftCardClass.reviewStatus"]),
        ];
        for (vertical, wanted) in table {
            let findings = Class::from_value(vertical, json!({})).unwrap().validate();
            for path in wanted {
                assert!(paths(&findings).contains(path), "{path} is missing from {findings:?}");
            }
        }
    }

    #[test]
    fn an_empty_object_lacks_what_google_requires() {
        let table: [(Vertical, &[&str]); 7] = [
            (Vertical::Generic, &["genericObject.cardTitle", "genericObject.header"]),
            (Vertical::Loyalty, &["loyaltyObject.state"]),
            (Vertical::Offer, &["offerObject.id", "offerObject.classId"]),
            (Vertical::EventTicket, &["eventTicketObject.state"]),
            (Vertical::Flight, &["flightObject.passengerName", "flightObject.reservationInfo"]),
            (Vertical::Transit, &["transitObject.tripType"]),
            (Vertical::GiftCard, &["giftCardObject.cardNumber"]),
        ];
        for (vertical, wanted) in table {
            let findings = Object::from_value(vertical, json!({})).unwrap().validate();
            for path in wanted {
                assert!(paths(&findings).contains(path), "{path} is missing from {findings:?}");
            }
        }
    }

    #[test]
    fn a_complete_class_and_object_have_no_findings() {
        let class = json!({"id": "33.club", "issuerName": "Nordlicht", "reviewStatus": "UNDER_REVIEW", "programName": "Club",
            "programLogo": {"sourceUri": {"uri": "https://example.com/logo.png"}}, "hexBackgroundColor": "#102030",
            "callbackOptions": {"url": "https://example.com/google/callback"}});
        assert_eq!(Class::from_value(Vertical::Loyalty, class).unwrap().validate(), []);
        let object = json!({"id": "33.a", "classId": "33.club", "state": "ACTIVE", "barcode": {"type": "QR_CODE", "value": "a"},
            "loyaltyPoints": {"label": "Points", "balance": {"int": 4}}});
        assert_eq!(Object::from_value(Vertical::Loyalty, object).unwrap().validate(), []);
    }

    #[test]
    fn limits_and_shapes_are_checked() {
        let texts: Vec<_> = (0..11).map(|n| json!({"id": format!("m{}", n.min(9)), "body": "b"})).collect();
        let places: Vec<_> = (0..11).map(|n| json!({"latitude": n, "longitude": n})).collect();
        let object = json!({"id": "33/a", "classId": "33.club", "state": "PAUSED", "textModulesData": texts,
            "merchantLocations": places, "barcode": {"type": "QR_CODE", "value": ""}, "heroImage": {"sourceUri": {"uri": "http://x/y.png"}},
            "loyaltyPoints": {"balance": {"int": 4, "string": "4"}},
            "linksModuleData": {"uris": [{"uri": "javascript:alert(1)"}]}});
        let findings = Object::from_value(Vertical::Loyalty, object).unwrap().validate();
        let mut found = paths(&findings);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "loyaltyObject.barcode.value",
                "loyaltyObject.heroImage.sourceUri.uri",
                "loyaltyObject.id",
                "loyaltyObject.linksModuleData.uris[0].uri",
                "loyaltyObject.loyaltyPoints.balance",
                "loyaltyObject.merchantLocations",
                "loyaltyObject.state",
                "loyaltyObject.textModulesData",
                "loyaltyObject.textModulesData[10].id",
            ]
        );
        assert!(findings.iter().all(|finding| !finding.mend.is_empty()));
    }

    #[test]
    fn a_departure_with_an_offset_is_refused() {
        let class = json!({"localScheduledDepartureDateTime": "2026-11-20T20:00:00-05:00"});
        let findings = Class::from_value(Vertical::Flight, class).unwrap().validate();
        assert!(findings.iter().any(|finding| finding.rule == "local_time"), "{findings:?}");
    }

    #[test]
    fn a_carrier_has_exactly_one_code() {
        let carrier = json!({"carrierIataCode": "XX", "carrierIcaoCode": "XXX"});
        let header = json!({"carrier": carrier, "operatingCarrier": {"carrierIataCode": "XXX"}, "flightNumber": "1"});
        let class = Class::from_value(Vertical::Flight, json!({"flightHeader": header})).unwrap();
        let findings = class.validate().into_iter().filter(|finding| finding.rule == "carrier_code");
        let places = ["carrier", "operatingCarrier.carrierIataCode"].map(|key| format!("flightClass.flightHeader.{key}"));
        assert_eq!(findings.map(|finding| finding.path).collect::<Vec<_>>(), places);
    }

    #[test]
    fn a_generic_class_carries_no_branding() {
        let findings =
            Class::from_value(Vertical::Generic, json!({"id": "1.a", "hexBackgroundColor": "#fff"})).unwrap().validate();
        assert_eq!(paths(&findings), ["genericClass.hexBackgroundColor"]);
    }
}
