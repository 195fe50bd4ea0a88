//! Which wallets a pass is offered for: the one answer for pages, the API and messages.

use domain::Wallet;

use crate::{PassView, google};

/// The wallets that a pass is offered for as it is now. Whether it is void is not asked: wallets take a void pass, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Its project has Apple passes.
    pub apple: bool,
    /// Its project has Google passes, and Google takes this one.
    pub google: bool,
    /// What a boarding pass has yet to say of its flight before Google takes it, in words.
    pub google_needs: Option<String>,
}

impl Offer {
    /// Whether it is offered for this wallet.
    #[must_use]
    pub const fn has(&self, wallet: Wallet) -> bool {
        match wallet {
            Wallet::Apple => self.apple,
            Wallet::Google => self.google,
            Wallet::Unknown => false,
        }
    }
}

/// The wallets that a pass is offered for. Who holds it plays no part: a flight is not named by who flies.
#[must_use]
pub fn offer(view: &PassView<'_>) -> Offer {
    let google_needs = google::unnamed_flight(view);
    Offer {
        apple: view.project.apple_pass_type.is_some(),
        google: view.project.google_issuer.is_some() && google_needs.is_none(),
        google_needs,
    }
}
