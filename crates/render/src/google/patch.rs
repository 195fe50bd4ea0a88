//! A change of an object as Google takes it: what is left out stays as it was, so what a pass has no more is emptied by name.

use google_wallet::Vertical;
use serde_json::{Map, Value};

/// Keys of every object that may come and go.
const COMMON: [&str; 6] =
    ["barcode", "rotatingBarcode", "smartTapRedemptionValue", "textModulesData", "linksModuleData", "validTimeInterval"];

/// Keys of a vertical's objects that may come and go.
const fn own(vertical: Vertical) -> &'static [&'static str] {
    match vertical {
        Vertical::Generic => &["subheader", "logo", "wideLogo", "heroImage", "hexBackgroundColor", "notifications"],
        Vertical::Loyalty => &["accountId", "accountName", "loyaltyPoints", "secondaryLoyaltyPoints"],
        Vertical::Offer => &[],
        Vertical::EventTicket => &["ticketHolderName", "ticketNumber", "ticketType", "seatInfo", "reservationInfo"],
        Vertical::Flight => &["boardingAndSeatingInfo"],
        Vertical::Transit => &["passengerNames", "ticketNumber", "ticketLeg"],
        Vertical::GiftCard => &["balance", "balanceUpdateTime"],
    }
}

/// The body of a patch that makes Google's object what its keys say. Messages are part of it only when asked for: a list is
/// replaced whole, and a holder's earlier messages would go. The keys may name what is to be emptied, see
/// [`google_wallet::rest::Shape`]; what a drawing usually has is emptied even where nobody remembers that it was sent.
#[must_use]
pub fn google_patch(vertical: Vertical, mut keys: Map<String, Value>, with_messages: bool) -> Map<String, Value> {
    if !with_messages {
        keys.remove("messages");
    }
    // a deleted pass of a flight does not say which
    if keys.get("classId").is_some_and(|class| class.as_str().is_none_or(str::is_empty)) {
        keys.remove("classId");
    }
    for key in COMMON.iter().chain(own(vertical)) {
        keys.entry(*key).or_insert(Value::Null);
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_gone_is_emptied_and_messages_stay() {
        let keys = json!({"id": "1.a", "classId": "1.b", "state": "ACTIVE", "accountId": "7", "messages": [{"body": "hello"}]});
        let keys = keys.as_object().unwrap();
        let patch = google_patch(Vertical::Loyalty, keys.clone(), false);
        assert_eq!((&patch["accountId"], &patch["accountName"], &patch["barcode"]), (&json!("7"), &Value::Null, &Value::Null));
        assert!(!patch.contains_key("messages"));
        assert_eq!(google_patch(Vertical::Loyalty, keys.clone(), true)["messages"], json!([{"body": "hello"}]));
    }
}
