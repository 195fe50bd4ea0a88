//! The card as one system draws it: what the loss report says of that system is left out, or drawn as it falls back.

use domain::{BarcodeFormat, Design, FieldPlace, ImageRole, ProjectKind, RichStyle, Template};
use google_wallet::model::{MAX_CARD_ROWS, MAX_ROW_ITEMS};
use maud::{Markup, html};
use serde_json::Value;

use crate::google::slots::{Slot, slots};
use crate::preview::{Shown, back, code, fields, picture, shown};
use crate::values::Moment;
use crate::{Loss, PassView, PreviewContext, System, fill, preview_html, vertical};

/// The pictures of a system: on phones the front with its back, the line in the stack and that on the lock screen.
pub(crate) fn pictures(view: &PassView<'_>, context: &PreviewContext<'_>, system: System, losses: &[Loss]) -> Markup {
    let of_system: Vec<&Loss> = losses.iter().filter(|loss| loss.systems.contains(&system)).collect();
    let template = Template { design: seen(&view.template.design, &of_system, system), ..view.template.clone() };
    let view = &PassView { template: &template, ..*view };
    match system {
        System::Google => google(view, context),
        System::WatchOs => watch(view, context),
        _ => html! {
            (front(view, context, &of_system))
            (stack(view, context))
            (lock_screen(view, context))
        },
    }
}

/// The design as far as a system shows it.
fn seen(design: &Design, losses: &[&Loss], system: System) -> Design {
    let mut seen = design.clone();
    let hidden = |path: &str| losses.iter().any(|loss| loss.path == path && loss.hides());
    let changed = |path: &str| losses.iter().any(|loss| loss.path == path);
    let all = design.fields.iter().enumerate();
    seen.fields = all.filter(|(index, _)| !hidden(&format!("fields.{index}"))).map(|(_, field)| field.clone()).collect();
    seen.images.retain(|role, _| !hidden(&format!("images.{}", role.key())));
    if hidden("barcode.format") {
        seen.barcode = None;
    }
    if let Some(barcode) = seen.barcode.as_mut() {
        // The fallback that every pass of Apple's carries beside what older systems do not draw.
        if changed("barcode.format") && system != System::Google {
            barcode.format = BarcodeFormat::Qr;
        }
        if hidden("barcode.alt_text") {
            barcode.alt_text = None;
        }
    }
    if changed("rich_style") {
        seen.rich_style = None;
    }
    seen
}

fn front(view: &PassView<'_>, context: &PreviewContext<'_>, losses: &[&Loss]) -> Markup {
    let falls_back = losses.iter().any(|loss| loss.path == "rich_style");
    match view.template.design.rich_style.filter(|_| !falls_back && !view.is_blank()) {
        Some(RichStyle::PosterEventTicket | RichStyle::PosterGeneric) => poster(view, context),
        Some(RichStyle::SemanticBoardingPass) => flight(view, context),
        None => preview_html(view, context),
    }
}

/// What a design's semantic tag says of the pass, where it is a text.
fn tag(view: &PassView<'_>, name: &str) -> Option<String> {
    let tags = fill::fill_semantics(view, &view.template.design.semantics);
    tags.get(name).and_then(Value::as_str).map(|text| Moment::parse(text).map_or_else(|| text.to_owned(), Moment::human))
}

/// The first of the seats that a ticket's tags name.
fn seat(view: &PassView<'_>) -> Vec<Shown<'static>> {
    let tags = fill::fill_semantics(view, &view.template.design.semantics);
    let part = |(label, name): (&'static str, &str)| {
        let value = tags.get("seats")?.get(0)?.get(name)?.as_str()?.to_owned();
        Some(Shown { label, value })
    };
    [("Section", "seatSection"), ("Row", "seatRow"), ("Seat", "seatNumber")].into_iter().filter_map(part).collect()
}

fn poster(view: &PassView<'_>, context: &PreviewContext<'_>) -> Markup {
    let design = &view.template.design;
    let title = tag(view, "eventName").unwrap_or_else(|| view.text(&design.title));
    let art = [ImageRole::Artwork, ImageRole::Background].into_iter().find(|role| design.images.contains_key(role));
    let art = art.and_then(|role| design.images.get(&role)?.each().last().map(|(_, hash)| (context.image_url)(hash)));
    html! {
        article.pb-pass.pb-poster aria-label=(design.description) {
            @if let Some(art) = art { img.pb-art src=(art) alt=""; }
            div.pb-poster-head {
                (picture(view, ImageRole::PrimaryLogo, "pb-logo", context))
                (picture(view, ImageRole::SecondaryLogo, "pb-logo", context))
                (fields("pb-header", &shown(view, FieldPlace::Header)))
            }
            div.pb-poster-text {
                p.pb-poster-title { (title) }
                @for line in ["venueName", "eventStartDate"] {
                    @if let Some(text) = tag(view, line) { p { (text) } }
                }
                (fields("pb-secondary", &seat(view)))
                @if view.project.kind == ProjectKind::Generic {
                    (fields("pb-primary", &shown(view, FieldPlace::Primary)))
                    (fields("pb-secondary", &shown(view, FieldPlace::Secondary)))
                    (fields("pb-auxiliary", &shown(view, FieldPlace::Footer)))
                }
            }
            (code(view))
            (back(view, &shown(view, FieldPlace::Back)))
        }
    }
}

fn flight(view: &PassView<'_>, context: &PreviewContext<'_>) -> Markup {
    let design = &view.template.design;
    let say = |name: &str| tag(view, name).unwrap_or_default();
    let airport = |side: &str| Shown { label: "", value: say(&format!("{side}AirportCode")) };
    html! {
        article.pb-pass.pb-boarding-pass aria-label=(design.description) {
            div.pb-head {
                (picture(view, ImageRole::Logo, "pb-logo", context))
                p.pb-title { (say("airlineCode")) " " (say("flightNumber")) }
            }
            div.pb-main { (fields("pb-primary", &[airport("departure"), airport("destination")])) }
            (fields("pb-secondary", &shown(view, FieldPlace::Secondary)))
            (fields("pb-auxiliary", &shown(view, FieldPlace::Auxiliary)))
            (code(view))
            (back(view, &shown(view, FieldPlace::Back)))
        }
    }
}

/// What is seen of a pass behind others.
fn stack(view: &PassView<'_>, context: &PreviewContext<'_>) -> Markup {
    html! {
        div.pb-pass.pb-stack aria-label="In the stack" {
            div.pb-head {
                (picture(view, ImageRole::Logo, "pb-logo", context))
                p.pb-title { (view.text(&view.template.design.title)) }
                (fields("pb-header", &shown(view, FieldPlace::Header)))
            }
        }
    }
}

/// What the lock screen says when the first field that announces its changes has changed.
fn lock_screen(view: &PassView<'_>, context: &PreviewContext<'_>) -> Markup {
    let design = &view.template.design;
    let line = design.fields.iter().find_map(|field| {
        let message = field.change_message.as_ref()?;
        let value = crate::values::as_shown(&view.value(&field.value)?, field);
        Some(message.replace("%@", &value))
    });
    html! {
        @if let Some(line) = line {
            div.pb-lock aria-label="On the lock screen" {
                (picture(view, ImageRole::Icon, "pb-icon", context))
                p { strong { (design.issuer) } br; (line) }
            }
        }
    }
}

fn watch(view: &PassView<'_>, context: &PreviewContext<'_>) -> Markup {
    let design = &view.template.design;
    html! {
        article.pb-pass.pb-watch aria-label=(design.description) {
            div.pb-head { (picture(view, ImageRole::Logo, "pb-logo", context)) (fields("pb-header", &shown(view, FieldPlace::Header))) }
            (fields("pb-primary", &shown(view, FieldPlace::Primary)))
            (fields("pb-secondary", &shown(view, FieldPlace::Secondary)))
            (fields("pb-auxiliary", &shown(view, FieldPlace::Auxiliary)))
            (code(view))
        }
    }
}

/// Google's card with its rows, and the details below.
fn google(view: &PassView<'_>, context: &PreviewContext<'_>) -> Markup {
    let design = &view.template.design;
    let (front, behind) = google_rows(view);
    let address = |roles: &[ImageRole]| {
        roles.iter().find_map(|role| design.images.get(role)?.for_web()).map(|hash| (context.image_url)(hash))
    };
    let title = view.text(&design.title);
    html! {
        article.pb-pass.pb-google aria-label=(design.description) {
            div.pb-head {
                @if let Some(logo) = address(&[ImageRole::Icon, ImageRole::Logo]) { img.pb-round src=(logo) alt=""; }
                p.pb-title { (design.issuer) @if !title.trim().is_empty() { br; strong { (title) } } }
            }
            @for row in &front { (fields("pb-secondary", row)) }
            (code(view))
            @if let Some(hero) = address(&[ImageRole::Strip, ImageRole::Background]) { img.pb-hero src=(hero) alt=""; }
            (back(view, &behind))
        }
    }
}

/// The rows on the front, three fields each, and what is left for the details.
fn google_rows<'a>(view: &PassView<'a>) -> (Vec<Vec<Shown<'a>>>, Vec<Shown<'a>>) {
    let design: &'a Design = &view.template.design;
    let groups: [&[FieldPlace]; 3] =
        [&[FieldPlace::Primary], &[FieldPlace::Header, FieldPlace::Secondary], &[FieldPlace::Auxiliary, FieldPlace::Footer]];
    let slotted = slots(vertical(view.project, design), design);
    let mut rows: Vec<Vec<Shown<'a>>> = Vec::new();
    for places in groups {
        let of_group = slotted.iter().filter(|one| places.contains(&one.field.place));
        let mut values: Vec<Shown<'a>> = of_group
            .filter_map(|one| {
                let value = crate::values::as_shown(&view.value(&one.field.value)?, one.field);
                // The large line of a generic pass has its label as a line of its own.
                let label = if one.slot == Slot::Header { "" } else { one.field.label.as_str() };
                Some(Shown { label, value })
            })
            .collect();
        while !values.is_empty() {
            let rest = values.split_off(values.len().min(MAX_ROW_ITEMS));
            rows.push(std::mem::replace(&mut values, rest));
        }
    }
    let left: Vec<Shown<'a>> = rows.split_off(rows.len().min(MAX_CARD_ROWS)).into_iter().flatten().collect();
    let behind = left.into_iter().chain(shown(view, FieldPlace::Back)).collect();
    (rows, behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss_report;
    use domain::{DesignField, ImageSet, Project, Text};
    use serde_json::json;

    fn project(kind: &str) -> Project {
        let id = "0000000000000000000001";
        let project = json!({"id": id, "slug": "club", "name": "Club", "kind": kind, "created_at": "2026-11-20T09:30:00Z",
            "variants": [{"id": "base", "name": "Base", "template": id}], "balances": {"points": "62"}});
        serde_json::from_value(project).unwrap()
    }

    fn template(change: impl FnOnce(&mut Design)) -> Template {
        let mut design = Design::new("Nordlicht", Text::parse("Club").unwrap(), "Card");
        let mut points = DesignField::new("points", Text::parse("{{balances.points}}").unwrap(), FieldPlace::Header);
        points.change_message = Some("You have %@ points now".to_owned());
        design.fields.push(points);
        let barcode = json!({"format": "ean13", "value": "4006381333931", "alt_text": "4006381333931"});
        design.barcode = Some(serde_json::from_value(barcode).unwrap());
        change(&mut design);
        let id = "0000000000000000000001".parse().unwrap();
        let project = "0000000000000000000001".parse().unwrap();
        let created_at = domain::Timestamp::from_seconds(0);
        let status = domain::TemplateStatus::Published;
        Template { version: 1, status, ..Template::draft(id, project, "Card".to_owned(), design, created_at) }
    }

    fn drawn(kind: &str, template: &Template, system: System) -> String {
        let project = project(kind);
        let (pass, contact) = (crate::sample_pass(&project, template).unwrap(), crate::sample_contact().unwrap());
        let view = PassView { project: &project, template, pass: &pass, contact: Some(&contact), codes: None };
        let context = PreviewContext { image_url: &|hash| format!("{hash}.png") };
        pictures(&view, &context, system, &loss_report(&project, &template.design)).into_string()
    }

    #[test]
    fn a_system_draws_what_it_knows() {
        let template = template(|_| ());
        let (old, new) = (drawn("membership", &template, System::Ios26), drawn("membership", &template, System::Ios27));
        assert!(old.contains("QR code") && !old.contains("EAN-13"), "{old}");
        assert!(new.contains("EAN-13"), "{new}");
        assert!(new.contains("You have 62 points now"), "{new}");
        let watch = drawn("membership", &template, System::WatchOs);
        assert!(watch.contains("pb-watch") && !watch.contains("4006381333931</figcaption>"), "{watch}");
        let google = drawn("membership", &template, System::Google);
        assert!(google.contains("pb-google") && google.contains("Nordlicht") && google.contains("62"), "{google}");
    }

    #[test]
    fn a_poster_falls_back_where_none_is_drawn() {
        let template = template(|design| {
            design.rich_style = Some(RichStyle::PosterEventTicket);
            let tags = json!({"eventName": "Concert", "venueName": "Hall", "eventStartDate": "2026-12-20T20:00:00+01:00",
                "seats": [{"seatRow": "4", "seatNumber": "12"}]});
            design.semantics = tags.as_object().unwrap().clone();
            design.images.insert(ImageRole::Artwork, ImageSet { x2: Some("art".to_owned()), ..ImageSet::default() });
        });
        let poster = drawn("event_ticket", &template, System::Ios27);
        assert!(poster.contains("pb-poster") && poster.contains("art.png") && poster.contains("Concert"), "{poster}");
        assert!(
            poster.contains("20 Dec 2026, 20:00") && poster.contains("<dd>12</dd>") && !poster.contains("Section"),
            "{poster}"
        );
        for system in [System::Ios17, System::Ios26] {
            let classic = drawn("event_ticket", &template, system);
            assert!(!classic.contains("pb-poster") && classic.contains("pb-event-ticket"), "{system:?}: {classic}");
        }
    }
}
