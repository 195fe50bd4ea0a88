//! One template and one pass become what each wallet shows: Apple's `pass.json`, Google's class and object, and the card
//! on the pass's own page. No I/O: keys, addresses and images are handed in, so the same input gives the same output.
//!
//! - [`apple()`] and [`apple_assets`]: what goes into a `.pkpass`. Assets are prepared once per template version.
//! - [`google_class`] and [`google_object`]: a class per template or flight, an object per pass.
//! - [`preview_html`] and [`preview_css`]: the card as HTML, for the pass's page and the console.
//! - [`picture_set`]: every size that the wallets need of one uploaded picture.
//! - [`import_pass`] and [`export_pass`]: a design out of a pass, and as the folder that Apple's tools open.
//! - [`loss_report`]: what a wallet will not show of a design, by system; [`check_design`]: what it would refuse.
//! - [`offer`]: the wallets that a pass is offered for.
//!
//! A field whose value comes out empty is left out. A deleted pass is drawn blank and void: that is all that a phone that
//! still holds it may learn.

mod apple;
mod barcode;
mod check;
mod export;
mod fill;
mod google;
mod import;
mod loss;
mod offer;
mod overlay;
mod picture;
mod preview;
mod preview_page;
mod preview_system;
mod values;
mod words;

use domain::{Contact, Pass, Project, Template};

pub use apple::{AppleContext, AssetsError, MESSAGE_FIELD, apple, apple_assets, asks_to_sign_up};
pub use check::{CheckError, Finding, MISFIT_RULE, check_design, sample_contact, sample_pass};
pub use export::export_pass;
pub use google::{
    FlightFact, GoogleContext, class_id, flight_facts, flight_of, google_class, google_class_notice, google_message,
    google_notice, google_object, google_patch, has_flights, object_id, sample_flight, shared_class, vertical, with_flight_facts,
};
pub use import::{Import, ImportError, ImportNote, ImportOptions, ImportedPicture, Outcome, import_pass};
pub use loss::{Loss, System, loss_report};
pub use offer::{Offer, offer};
pub use overlay::OverlayError;
pub use picture::{
    MAX_PICTURE_BYTES, Picture, PictureFault, PictureFormat, PictureNote, PictureSet, PictureUse, picture_set, picture_size,
    ready_picture,
};
pub use preview::{PreviewContext, preview_css, preview_html};
pub use preview_page::preview_page;
pub use scan_code::Signer as CodeSigner;
pub use words::apple_strings;

/// Everything that a pass is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct PassView<'a> {
    /// The project that the pass belongs to.
    pub project: &'a Project,
    /// The template that it is drawn with.
    pub template: &'a Template,
    /// The pass.
    pub pass: &'a Pass,
    /// Who holds it.
    pub contact: Option<&'a Contact>,
    /// What signs its barcode; without it a signed code comes out empty.
    pub codes: Option<&'a scan_code::Signer>,
}

/// Why a pass cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Keys that the design sets as they stand do not fit.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// No sample can be made.
    #[error("no sample pass can be made: {0}")]
    Sample(String),
    /// A pass does not say yet what names its flight at Google.
    #[error("Google's class of a flight needs {0}: the pass does not have it yet, or not in the form that the tag wants")]
    Flight(String),
    /// The Google issuer is no number.
    #[error("Google issuer: {0}")]
    GoogleId(#[from] google_wallet::IdError),
}
