//! What a wallet will not show of a design, said before it is published.
//!
//! Sources: Apple, *Wallet Passes* (field groups and images per style); Google, the discovery document and the guides for
//! card templates.

use domain::{Design, DesignField, FieldPlace, ImageRole, Project, ProjectKind, Wallet};
use google_wallet::Vertical;
use google_wallet::model::{MAX_CARD_ROWS, MAX_LIST_ENTRIES, MAX_ROW_ITEMS};

use crate::google::vertical;

/// Header fields that Apple shows.
const APPLE_HEADER_FIELDS: usize = 3;
/// Secondary and auxiliary fields that Apple shows together on cards and coupons, and each on other styles.
const APPLE_ROW_FIELDS: usize = 4;
/// Auxiliary fields that Apple shows on a boarding pass.
const APPLE_BOARDING_AUXILIARY_FIELDS: usize = 5;

/// Something that one wallet does not show, or shows in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Which wallet.
    pub wallet: Wallet,
    /// Which part of the design, as a dotted path.
    pub path: String,
    /// What happens to it.
    pub effect: String,
}

/// What the wallets will not show of a design.
#[must_use]
pub fn loss_report(project: &Project, design: &Design) -> Vec<Loss> {
    let mut losses = Vec::new();
    apple_fields(project.kind, design, &mut losses);
    apple_images(project.kind, design, &mut losses);
    google(project, design, &mut losses);
    losses
}

fn apple_fields(kind: ProjectKind, design: &Design, losses: &mut Vec<Loss>) {
    let boarding = matches!(kind, ProjectKind::BoardingPass | ProjectKind::Transit);
    let mut over = |places: &[FieldPlace], limit: usize, what: &str| {
        for (index, _) in placed(design, places).skip(limit) {
            let effect = format!("not shown: Apple Wallet shows at most {limit} {what} on this style");
            losses.push(Loss { wallet: Wallet::Apple, path: format!("fields.{index}"), effect });
        }
    };
    over(&[FieldPlace::Header], APPLE_HEADER_FIELDS, "header fields");
    over(&[FieldPlace::Primary], if boarding { 2 } else { 1 }, "primary fields");
    if matches!(kind, ProjectKind::Membership | ProjectKind::GiftCard | ProjectKind::Coupon) {
        over(&[FieldPlace::Secondary, FieldPlace::Auxiliary], APPLE_ROW_FIELDS, "secondary and auxiliary fields together");
    } else {
        let auxiliary = if boarding { APPLE_BOARDING_AUXILIARY_FIELDS } else { APPLE_ROW_FIELDS };
        over(&[FieldPlace::Secondary], APPLE_ROW_FIELDS, "secondary fields");
        over(&[FieldPlace::Auxiliary], auxiliary, "auxiliary fields");
    }
}

fn placed<'a>(design: &'a Design, places: &'a [FieldPlace]) -> impl Iterator<Item = (usize, &'a DesignField)> {
    design.fields.iter().enumerate().filter(|(_, field)| places.contains(&field.place))
}

fn apple_images(kind: ProjectKind, design: &Design, losses: &mut Vec<Loss>) {
    for role in design.images.keys().filter(|role| !apple_shows(kind, design, **role)) {
        let effect = "not shown: this style has no such image, or another image takes its place".to_owned();
        losses.push(Loss { wallet: Wallet::Apple, path: format!("images.{}", role.name()), effect });
    }
}

/// Whether Apple Wallet shows an image on passes of this kind.
pub(crate) fn apple_shows(kind: ProjectKind, design: &Design, role: ImageRole) -> bool {
    let no_strip = !design.images.contains_key(&ImageRole::Strip);
    let boarding = matches!(kind, ProjectKind::BoardingPass | ProjectKind::Transit);
    match role {
        ImageRole::Icon | ImageRole::Logo => true,
        ImageRole::Strip => !boarding && kind != ProjectKind::Generic,
        ImageRole::Thumbnail => kind == ProjectKind::Generic || (kind == ProjectKind::EventTicket && no_strip),
        ImageRole::Background => kind == ProjectKind::EventTicket && no_strip,
        ImageRole::Footer => boarding,
    }
}

fn google(project: &Project, design: &Design, losses: &mut Vec<Loss>) {
    let mut lose = |path: String, effect: &str| losses.push(Loss { wallet: Wallet::Google, path, effect: effect.to_owned() });
    for (name, color) in [("foreground", &design.colors.foreground), ("label", &design.colors.label)] {
        if color.is_some() {
            lose(format!("colors.{name}"), "ignored: Google Wallet chooses the text colour to fit the background");
        }
    }
    let hero_is_strip = design.images.contains_key(&ImageRole::Strip);
    for role in design.images.keys() {
        match role {
            ImageRole::Thumbnail | ImageRole::Footer => {
                lose(format!("images.{}", role.name()), "not shown: Google Wallet has no place for it");
            }
            ImageRole::Background if hero_is_strip => {
                lose("images.background".to_owned(), "not shown: the strip is used as the wide image");
            }
            ImageRole::Background => lose("images.background".to_owned(), "shown as the wide image, cropped to 1032 by 336"),
            ImageRole::Icon | ImageRole::Logo | ImageRole::Strip => {}
        }
    }
    if !design.images.contains_key(&ImageRole::Logo) {
        lose("images.logo".to_owned(), "missing: the icon is shown in its place");
    }
    if project.kind == ProjectKind::BoardingPass && vertical(project, design) == Vertical::Generic {
        let effect =
            "shown as a generic pass: a flight needs flightHeader, origin, destination and localScheduledDepartureDateTime here";
        lose("google".to_owned(), effect);
    }
    let front: Vec<_> = design.fields.iter().enumerate().filter(|(_, field)| field.place != FieldPlace::Back).collect();
    for (index, _) in front.iter().skip(MAX_CARD_ROWS * MAX_ROW_ITEMS) {
        lose(format!("fields.{index}"), "moved to the details: the front holds three rows of three");
    }
    for (index, field) in design.fields.iter().enumerate().filter(|(_, field)| field.change_message.is_some()) {
        let own = field.value.names().any(|name| name == "pass.message");
        if !own {
            lose(format!("fields.{index}.change_message"), "silent: Google Wallet notifies by messages, not by changed fields");
        }
    }
    for index in MAX_LIST_ENTRIES..design.links.len() {
        lose(format!("links.{index}"), "left out: Google Wallet shows ten links");
    }
    let texts = design.fields.len();
    if texts > MAX_LIST_ENTRIES {
        lose("fields".to_owned(), "the last ones may be left out: Google Wallet takes ten texts, front before back");
    }
}
