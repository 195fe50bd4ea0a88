//! What Google Wallet leaves out.

use domain::{Design, ImageRole, Project, ProjectKind, TransitMode};
use google_wallet::Vertical;
use google_wallet::model::{MAX_CARD_ROWS, MAX_LIST_ENTRIES, MAX_ROW_ITEMS};

use super::{GOOGLE, Losses};
use crate::google::{noticed, tells_of_flight, travel, vertical};

pub(super) fn check(project: &Project, design: &Design, losses: &mut Losses) {
    images(design, losses);
    fields(vertical(project, design), design, losses);
    tags(vertical(project, design), design, losses);
    apple_alone(vertical(project, design), design, losses);
    let mut lose = |path: &str, effect: &str| losses.add(GOOGLE, path, effect);
    for (name, color) in [("foreground", &design.colors.foreground), ("label", &design.colors.label)] {
        if color.is_some() {
            lose(&format!("colors.{name}"), "ignored: Google Wallet chooses the text colour to fit the background");
        }
    }
    if project.kind == ProjectKind::BoardingPass && vertical(project, design) == Vertical::Generic {
        let by_air = matches!(design.transit, None | Some(TransitMode::Air));
        let effect = match travel::unnamed(design) {
            missing if by_air => format!("shown as a generic pass: a flight needs {} too", missing.join(", ")),
            _ => "shown as a generic pass: Google Wallet knows flights, trains, buses and ferries".to_owned(),
        };
        lose("semantics", &effect);
    }
    if travel::has_flights(project, design) && travel::lacks_zone(design) {
        let effect = "read by the clock that it is given in: set departureAirportTimeZone to be sure of the airport's";
        lose("semantics.originalDepartureDate", effect);
    }
    for index in MAX_LIST_ENTRIES..design.links.len() {
        lose(&format!("links.{index}"), "left out: Google Wallet shows ten links");
    }
}

fn images(design: &Design, losses: &mut Losses) {
    let hero_is_strip = design.images.contains_key(&ImageRole::Strip);
    for role in design.images.keys() {
        let effect = match role {
            ImageRole::Icon | ImageRole::Logo | ImageRole::Strip => continue,
            ImageRole::Background if hero_is_strip => "not shown: the strip is used as the wide image",
            ImageRole::Background => "shown as the wide image, cropped to 1032 by 336",
            _ => "not shown: Google Wallet has no place for it",
        };
        losses.add(GOOGLE, format!("images.{}", role.key()), effect);
    }
    if !design.images.contains_key(&ImageRole::Logo) {
        losses.add(GOOGLE, "images.logo", "missing: the icon is shown in its place");
    }
    for (language, _) in design.translations.iter().filter(|(_, translation)| !translation.images.is_empty()) {
        losses.add(GOOGLE, format!("translations.{language}.images"), "not shown: Google Wallet has one image for all languages");
    }
}

fn fields(vertical: Vertical, design: &Design, losses: &mut Losses) {
    let noticed = noticed(vertical, design);
    let front = design.fields.iter().enumerate().filter(|(_, field)| !field.place.is_behind());
    for (index, _) in front.skip(MAX_CARD_ROWS * MAX_ROW_ITEMS) {
        losses.add(GOOGLE, format!("fields.{index}"), "moved to the details: the front holds three rows of three");
    }
    for (index, field) in design.fields.iter().enumerate() {
        let own = field.value.names().any(|name| name == "pass.message");
        if field.change_message.is_some() && !own {
            let effect = match noticed.get(index).copied().flatten() {
                Some(_) => "announced in Google Wallet's own words, three times a day at most, messages counted",
                None if vertical == Vertical::Flight && tells_of_flight(field, design) => {
                    "announced in Google Wallet's own words to all who hold a pass for the flight, three times a day at most"
                }
                None => {
                    "silent: Google Wallet notifies of points, balances, seats and gates that have a place of their own alone"
                }
            };
            losses.add(GOOGLE, format!("fields.{index}.change_message"), effect);
        }
        if field.alignment.is_some() {
            losses.add(GOOGLE, format!("fields.{index}.alignment"), "ignored: Google Wallet aligns by the place in the row");
        }
        if field.date.is_some_and(|format| format.relative) {
            losses.add(GOOGLE, format!("fields.{index}.date.relative"), "the day is written out");
        }
        if !field.apple.is_empty() {
            losses.add(GOOGLE, format!("fields.{index}.apple"), "ignored: these keys are Apple's");
        }
    }
    if design.fields.len() > MAX_LIST_ENTRIES {
        losses.add(GOOGLE, "fields", "the last ones may be left out: Google Wallet takes ten texts, front before back");
    }
}

/// Semantic tags, which Google has places for on flights and journeys alone.
fn tags(vertical: Vertical, design: &Design, losses: &mut Losses) {
    match travel::unused_tags(vertical, design) {
        Some(unused) => unused.into_iter().for_each(|tag| {
            losses.add(GOOGLE, format!("semantics.{tag}"), "not used: Google Wallet has no place for it");
        }),
        None if !design.semantics.is_empty() => {
            let effect = "not used: set the same facts by the keys under `google` and `google_object`";
            losses.add(GOOGLE, "semantics", effect);
        }
        None => {}
    }
}

/// What only Apple has.
fn apple_alone(vertical: Vertical, design: &Design, losses: &mut Losses) {
    let relevance = &design.relevance;
    let is_generic = vertical == Vertical::Generic;
    let told = relevance.tell_before_start && is_generic;
    let parts = [
        (design.rich_style.is_some(), "rich_style", "Google Wallet draws its own card"),
        (!design.apple.is_empty(), "apple", "ignored: these keys are Apple's"),
        (
            !relevance.dates.is_empty() && !told,
            "relevance.dates",
            "ignored: Google Wallet reminds by the dates of event, flight and validity",
        ),
        (relevance.dates.len() > 1 && told, "relevance.dates", "only the first is told of"),
        (
            (relevance.tell_before_start || relevance.tell_before_end) && !is_generic,
            "relevance",
            "Google Wallet tells of these passes by itself: what is asked for generic ones alone is ignored",
        ),
        (!relevance.beacons.is_empty(), "relevance.beacons", "ignored: Google Wallet knows no beacons"),
        (relevance.max_distance.is_some(), "relevance.max_distance", "ignored: Google Wallet chooses the radius"),
        (
            relevance.locations.iter().any(|place| place.text.is_some()),
            "relevance.locations",
            "Google Wallet words the notice itself",
        ),
        (design.personalization.is_some(), "personalization", "not asked: use the enrolment page"),
    ];
    for (_, path, effect) in parts.into_iter().filter(|(there, ..)| *there) {
        losses.add(GOOGLE, path, effect);
    }
}
