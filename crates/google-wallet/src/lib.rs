//! Google Wallet, as far as it can be had without a socket or a clock.
//!
//! - [`model`]: classes and objects of the seven verticals, and the rules they must meet before they are sent.
//! - [`ServiceAccount`]: the key file that Google hands to an issuer; it signs with RSA and SHA-256.
//! - [`save_link`]: the link behind the "Add to Google Wallet" button, never longer than browsers carry safely.
//! - [`rest`]: requests to the REST interface as values, and what an answer means.
//! - [`callback`]: who saved or deleted a pass, proven by Google's signature.
//!
//! Time is handed in, nothing is sent. Public sources: the discovery document of `walletobjects` v1 (revision 20260806, at
//! <https://walletobjects.googleapis.com/$discovery/rest?version=v1>) and the guides under <https://developers.google.com/wallet>.

mod account;
pub mod callback;
mod id;
pub mod model;
pub mod rest;
mod save;

pub use account::{KeyFileError, ServiceAccount, SigningError};
pub use id::{IdError, MAX_ID_CHARACTERS, ResourceId};
pub use model::{Class, Finding, Object, Severity, Vertical};
pub use save::{
    Form, MAX_JWT_CHARACTERS, MAX_ORIGINS, Part, SAVE_LINK_PREFIX, SaveError, SaveLink, SaveRequest, dry_run_jwt, save_link,
};
