//! The class: what all passes of one template, or of one flight, share.

use domain::{Design, ImageRole, Project, Template, TransitMode};
use google_wallet::model::{
    CallbackOptions, ClassCommon, EventTicketClass, FlightClass, GenericClass, GiftCardClass, LoyaltyClass, MerchantLocation,
    OfferClass, RedemptionChannel, ReviewStatus, TransitClass, TransitType,
};
use google_wallet::{Class, Vertical};

use serde_json::{Map, Value};

use super::travel::{self, class_id, has_flights};
use super::{GoogleContext, slots, vertical};
use crate::overlay::{self, Keys};
use crate::{PassView, RenderError, fill, words};

/// Keys of a class that a design cannot set: they name it, or say who is told of its passes.
pub(crate) const PROTECTED: [&str; 2] = ["id", "callbackOptions"];

/// Draws the class that a pass belongs to: its template's, or its flight's.
pub fn google_class(view: &PassView<'_>, context: &GoogleContext<'_>) -> Result<Class, RenderError> {
    let design = &view.template.design;
    let context = &GoogleContext { language: &design.language, ..*context };
    match shared_class(view.project, view.template, context)? {
        Some(class) => Ok(class),
        None => flight_class(view, context),
    }
}

/// Draws the class that all passes of a template share; nothing where each flight has its own, see [`has_flights`].
pub fn shared_class(project: &Project, template: &Template, context: &GoogleContext<'_>) -> Result<Option<Class>, RenderError> {
    let design = &template.design;
    if has_flights(project, design) {
        return Ok(None);
    }
    let vertical = vertical(project, design);
    let context = &GoogleContext { language: &design.language, ..*context };
    let class = draw(vertical, project, template, context)?;
    overlaid(project, design, &class, &design.google).map(Some)
}

/// Draws the class of a pass's flight.
fn flight_class(view: &PassView<'_>, context: &GoogleContext<'_>) -> Result<Class, RenderError> {
    let (template, design) = (view.template, &view.template.design);
    let common = common(Vertical::Flight, template, context)?;
    let class = Class::Flight(Box::new(FlightClass { common, ..travel::flight_class(view, context) }));
    let mut class = overlaid(view.project, design, &class, &fill::fill(view, &design.google))?;
    if let Class::Flight(flight) = &mut class {
        flight.common.id = travel::flight_id(context.issuer_id, template, flight)?.to_string();
    }
    Ok(class)
}

/// A class with the keys that its design sets, and its texts in all languages.
fn overlaid(project: &Project, design: &Design, class: &Class, keys: &Map<String, Value>) -> Result<Class, RenderError> {
    if keys.is_empty() && design.translations.is_empty() {
        return Ok(class.clone());
    }
    let vertical = class.vertical();
    let read = |value: Value| Class::from_value(vertical, value);
    let set = Keys { part: "google", keys, protected: &PROTECTED };
    let localize = |value: &mut Value| words::localize(value, &design.language, &words::of_design(design, &project.name));
    Ok(overlay::overlaid(class, &set, localize, read)?)
}

fn draw(vertical: Vertical, project: &Project, template: &Template, context: &GoogleContext<'_>) -> Result<Class, RenderError> {
    let design = &template.design;
    let common = common(vertical, template, context)?;
    let name = title(project, template);
    let logo = context.image(design, &[ImageRole::Icon, ImageRole::Logo]);
    let wide_logo = context.image(design, &[ImageRole::Logo]);
    Ok(match vertical {
        Vertical::Generic => Class::Generic(Box::new(GenericClass { common, ..GenericClass::default() })),
        Vertical::Loyalty => Class::Loyalty(Box::new(LoyaltyClass {
            program_name: Some(name),
            program_logo: logo,
            wide_program_logo: wide_logo,
            common,
            ..LoyaltyClass::default()
        })),
        Vertical::Offer => Class::Offer(Box::new(OfferClass {
            title: Some(name),
            provider: Some(design.issuer.clone()),
            redemption_channel: Some(RedemptionChannel::Both),
            title_image: logo,
            wide_title_image: wide_logo,
            common,
            ..OfferClass::default()
        })),
        Vertical::EventTicket => Class::EventTicket(Box::new(EventTicketClass {
            event_name: Some(context.localized(name)),
            logo,
            wide_logo,
            common,
            ..EventTicketClass::default()
        })),
        Vertical::Flight => Class::Flight(Box::new(FlightClass { common, ..FlightClass::default() })),
        Vertical::Transit => Class::Transit(Box::new(TransitClass {
            transit_type: Some(transit_type(design.transit)),
            transit_operator_name: Some(context.localized(design.issuer.as_str())),
            logo,
            wide_logo,
            common,
            ..TransitClass::default()
        })),
        Vertical::GiftCard => Class::GiftCard(Box::new(GiftCardClass {
            merchant_name: Some(name),
            program_logo: logo,
            wide_program_logo: wide_logo,
            allow_barcode_redemption: Some(design.barcode.is_some()),
            common,
            ..GiftCardClass::default()
        })),
    })
}

fn common(vertical: Vertical, template: &Template, context: &GoogleContext<'_>) -> Result<ClassCommon, RenderError> {
    let design = &template.design;
    let callback = context.callback_url.map(|url| CallbackOptions { url: Some(url.to_owned()), ..CallbackOptions::default() });
    let common = ClassCommon {
        id: class_id(context.issuer_id, template)?.to_string(),
        callback_options: callback,
        class_template_info: slots::rows(vertical, design),
        merchant_locations: places(design),
        ..ClassCommon::default()
    };
    if vertical == Vertical::Generic {
        return Ok(common); // its branding belongs to the objects
    }
    Ok(ClassCommon {
        issuer_name: Some(design.issuer.clone()),
        review_status: Some(ReviewStatus::UnderReview),
        hex_background_color: design.colors.background.clone(),
        hero_image: context.image(design, &[ImageRole::Strip, ImageRole::Background]),
        ..common
    })
}

/// The title as far as it is the same for all passes; the project's name when nothing is left of it.
fn title(project: &Project, template: &Template) -> String {
    let title = template.design.title.fill(|name| (name == "project.name").then(|| project.name.clone()));
    if title.trim().is_empty() { project.name.clone() } else { title.trim().to_owned() }
}

fn transit_type(mode: Option<TransitMode>) -> TransitType {
    match mode {
        None | Some(TransitMode::Train) => TransitType::Rail,
        Some(TransitMode::Bus) => TransitType::Bus,
        Some(TransitMode::Boat) => TransitType::Ferry,
        Some(TransitMode::Air | TransitMode::Generic) => TransitType::Misc,
    }
}

/// The places near which Google tells the holder of the pass.
fn places(design: &Design) -> Vec<MerchantLocation> {
    let place = |place: &domain::NearPlace| {
        let (latitude, longitude) = (place.latitude.as_f64()?, place.longitude.as_f64()?);
        Some(MerchantLocation { latitude, longitude, ..MerchantLocation::default() })
    };
    design.relevance.locations.iter().filter_map(place).collect()
}
