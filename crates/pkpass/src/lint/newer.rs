//! What came with iOS 18, 26 and 27: links, featured actions, upcoming events, the generic poster.

use std::collections::HashSet;

use serde_json::Value;

use super::{Report, dates, items};
use crate::model::{ActionKind, BOARDING_LINKS, GUIDE_LINKS, MAX_FEATURED_ACTIONS, MAX_REMOTE_IMAGE_BYTES, UpcomingEntry};

/// Links of an event guide from which on its buttons are shown.
const MIN_GUIDE_LINKS: usize = 2;

pub(super) fn check(report: &mut Report, pass: &Value) {
    check_links(report, pass);
    check_poster_fields(report, pass);
    check_actions(report, pass);
    check_upcoming(report, pass);
}

fn prefers(pass: &Value, scheme: &str) -> bool {
    items(&pass["preferredStyleSchemes"]).iter().any(|word| word == scheme)
}

fn check_links(report: &mut Report, pass: &Value) {
    let sets = [("posterEventTicket", GUIDE_LINKS), ("semanticBoardingPass", BOARDING_LINKS)];
    for (scheme, links) in sets {
        let given: Vec<&str> = links.iter().copied().filter(|link| pass.get(*link).is_some()).collect();
        for link in &given {
            check_link(report, link, &pass[*link]);
        }
        if let Some(first) = given.first()
            && !prefers(pass, scheme)
        {
            let mend = format!("put `{scheme}` first into `preferredStyleSchemes`, or remove the links");
            report.lost(first, "link_place", "the link is not shown", mend);
        }
        if scheme == "posterEventTicket" && !given.is_empty() && given.len() < MIN_GUIDE_LINKS {
            report.lost(given[0], "guide_too_short", "the event guide shows no buttons", "give at least two links");
        }
    }
    if pass.get("auxiliaryStoreIdentifiers").is_some() && !prefers(pass, "posterEventTicket") {
        let mend = "use `associatedStoreIdentifiers`; these are for poster tickets";
        report.lost("auxiliaryStoreIdentifiers", "link_place", "the apps are not shown", mend);
    }
}

fn check_link(report: &mut Report, path: &str, value: &Value) {
    let is_address = path.ends_with("URL") || path.ends_with("Website");
    let fits = match value.as_str() {
        Some(text) if is_address => text.contains("://"),
        Some(text) if path.ends_with("Email") => text.contains('@'),
        Some(text) => !text.trim().is_empty(),
        None => false,
    };
    if !fits {
        report.lost(path, "link_value", "the link does nothing", "write a whole address, such as `https://example.com/bags`");
    }
}

fn check_poster_fields(report: &mut Report, pass: &Value) {
    for style in crate::model::Style::KEYS {
        if !items(&pass[*style]["footerFields"]).is_empty() {
            let path = format!("{style}.footerFields");
            report.lost(&path, "field_place", "the fields are not shown", "put them into `posterGeneric`");
        }
        let poster_ticket = *style == "eventTicket" && prefers(pass, "posterEventTicket");
        if !items(&pass[*style]["additionalInfoFields"]).is_empty() && !poster_ticket {
            let path = format!("{style}.additionalInfoFields");
            report.lost(&path, "field_place", "the fields are not shown", "use `backFields`, or make the pass a poster");
        }
    }
    let poster = &pass["posterGeneric"];
    if items(&poster["footerFields"]).len() > 1 {
        let path = "posterGeneric.footerFields[1]";
        report.lost(path, "footer_one", "only the first footer field is shown", "keep one field in `footerFields`");
    }
    if poster.is_object() && pass.get("generic").is_none() {
        report.refused("posterGeneric", "poster_alone", "add `generic` beside it; systems before iOS 27 know nothing else");
    }
}

fn check_actions(report: &mut Report, pass: &Value) {
    let actions = items(&pass["featuredActions"]);
    if actions.len() > MAX_FEATURED_ACTIONS {
        let path = format!("featuredActions[{MAX_FEATURED_ACTIONS}]");
        report.lost(&path, "action_count", "the actions after the second are not shown", "keep at most two actions");
    }
    let bare = ["posterEventTicket", "semanticBoardingPass"].into_iter().find(|scheme| prefers(pass, scheme));
    if let (Some(scheme), false) = (bare, actions.is_empty()) {
        let consequence = format!("a phone that draws the pass as `{scheme}` shows no actions");
        report.advice("featuredActions", "action_scheme", consequence, "use that design's own links");
    }
    let mut seen = HashSet::new();
    for (at, action) in actions.iter().enumerate() {
        let path = format!("featuredActions[{at}]");
        match action["identifier"].as_str() {
            Some(identifier) if !identifier.is_empty() && seen.insert(identifier) => {}
            _ => report.lost(
                &format!("{path}.identifier"),
                "action_identifier",
                "the action is ignored",
                "give each action an identifier of its own",
            ),
        }
        let kind = action["type"].as_str().unwrap_or_default();
        if !ActionKind::KNOWN.contains(&kind) {
            let mend = format!("write one of {}", ActionKind::KNOWN.join(", "));
            report.lost(&format!("{path}.type"), "unknown_word", "the action is ignored", mend);
        } else if kind == "place" && !action["placeIdentifier"].is_string() {
            let mend = "give the place on Apple's map as `placeIdentifier`";
            report.lost(&format!("{path}.placeIdentifier"), "action_target", "the action is ignored", mend);
        } else if kind != "place" && action["url"].as_str().is_none_or(|url| !url.contains(':')) {
            report.lost(&format!("{path}.url"), "action_target", "the action is ignored", "give the address that it leads to");
        }
    }
}

fn check_upcoming(report: &mut Report, pass: &Value) {
    let entries = items(&pass["upcomingPassInformation"]);
    if !entries.is_empty() && !prefers(pass, "posterEventTicket") {
        let mend = "put `posterEventTicket` first into `preferredStyleSchemes`";
        report.lost("upcomingPassInformation", "upcoming_place", "the entries are not shown", mend);
    }
    let mut seen = HashSet::new();
    for (at, entry) in entries.iter().enumerate() {
        let path = format!("upcomingPassInformation[{at}]");
        if let Err(fault) = serde_json::from_value::<UpcomingEntry>(entry.clone()) {
            report.lost(&path, "upcoming_form", "the entry is ignored", format!("compare it with Apple's reference: {fault}"));
            continue;
        }
        if entry["type"] != "event" {
            report.lost(&format!("{path}.type"), "upcoming_type", "the entry is ignored", "write `event`");
        }
        if entry["identifier"].as_str().is_none_or(|identifier| identifier.is_empty() || !seen.insert(identifier)) {
            let mend = "give each entry an identifier of its own";
            report.lost(&format!("{path}.identifier"), "upcoming_identifier", "the entry is ignored", mend);
        }
        if let Some(date) = entry["dateInformation"].get("date") {
            dates::check(report, &format!("{path}.dateInformation.date"), date);
        }
        for picture in ["headerImage", "venueMap"] {
            check_picture(report, &format!("{path}.images.{picture}"), &entry["images"][picture]);
        }
    }
}

fn check_picture(report: &mut Report, path: &str, picture: &Value) {
    if picture.is_null() {
        return;
    }
    let remote = items(&picture["URLs"]);
    if picture["reuseExisting"] == true && !remote.is_empty() || picture["reuseExisting"] != true && remote.is_empty() {
        let mend = "give either `reuseExisting` as true or `URLs`";
        report.lost(path, "picture_choice", "the picture is not shown", mend);
    }
    for (at, image) in remote.iter().enumerate() {
        let path = format!("{path}.URLs[{at}]");
        if image["URL"].as_str().is_none_or(|url| !url.starts_with("https://")) {
            let mend = "give an address that starts with `https://`";
            report.lost(&format!("{path}.URL"), "picture_address", "the picture is not fetched", mend);
        }
        let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !image["SHA256"].as_str().is_some_and(is_hash) {
            let mend = "give the SHA-256 of the picture's bytes in hex";
            report.lost(&format!("{path}.SHA256"), "picture_hash", "the picture is not taken", mend);
        }
        if image["size"].as_u64().is_some_and(|bytes| bytes > MAX_REMOTE_IMAGE_BYTES) {
            report.lost(&format!("{path}.size"), "picture_size", "the picture is not taken", "keep it within 2 MB");
        }
    }
}
