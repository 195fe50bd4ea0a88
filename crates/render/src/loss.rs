//! What a wallet will not show of a design, said before it is published, for each system that it may be opened on.
//!
//! Sources: Apple, *Wallet Passes* (field groups and images per style, what each iOS brought) and its pass builder; Google,
//! the discovery document and the guides for card templates.

mod apple;
mod google;

use domain::{Design, ImageRole, Project, ProjectKind, Wallet};

/// A system that shows passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    /// iOS 17 and older.
    Ios17,
    /// iOS 18.
    Ios18,
    /// iOS 26.
    Ios26,
    /// iOS 27.
    Ios27,
    /// Apple Watch.
    WatchOs,
    /// Google Wallet.
    Google,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Ios17, Self::Ios18, Self::Ios26, Self::Ios27, Self::WatchOs, Self::Google];

    /// A stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ios17 => "ios_17",
            Self::Ios18 => "ios_18",
            Self::Ios26 => "ios_26",
            Self::Ios27 => "ios_27",
            Self::WatchOs => "watch_os",
            Self::Google => "google",
        }
    }
}

/// Every system of Apple's.
pub(crate) const APPLE: &[System] = &[System::Ios17, System::Ios18, System::Ios26, System::Ios27, System::WatchOs];
const BEFORE_18: &[System] = &[System::Ios17, System::WatchOs];
const BEFORE_26: &[System] = &[System::Ios17, System::Ios18, System::WatchOs];
const BEFORE_27: &[System] = &[System::Ios17, System::Ios18, System::Ios26, System::WatchOs];
const WATCH: &[System] = &[System::WatchOs];
const GOOGLE: &[System] = &[System::Google];

/// Something that one wallet does not show, or shows in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Which wallet.
    pub wallet: Wallet,
    /// On which systems.
    pub systems: &'static [System],
    /// Which part of the design, as a dotted path.
    pub path: String,
    /// What happens to it.
    pub effect: String,
}

impl Loss {
    /// Whether that part is left out, rather than shown in another way.
    #[must_use]
    pub fn hides(&self) -> bool {
        self.effect.starts_with(NOT_SHOWN)
    }
}

/// What an effect begins with where a part is left out.
const NOT_SHOWN: &str = "not shown";

/// What was found so far.
struct Losses(Vec<Loss>);

impl Losses {
    fn add(&mut self, systems: &'static [System], path: impl Into<String>, effect: impl Into<String>) {
        let wallet = if systems == GOOGLE { Wallet::Google } else { Wallet::Apple };
        self.0.push(Loss { wallet, systems, path: path.into(), effect: effect.into() });
    }
}

/// What the wallets will not show of a design.
#[must_use]
pub fn loss_report(project: &Project, design: &Design) -> Vec<Loss> {
    let mut losses = Losses(Vec::new());
    apple::check(project.kind, design, &mut losses);
    google::check(project, design, &mut losses);
    losses.0
}

/// Whether Apple Wallet shows an image on passes of this kind, on its newest system.
pub(crate) fn apple_shows(kind: ProjectKind, design: &Design, role: ImageRole) -> bool {
    let no_strip = !design.images.contains_key(&ImageRole::Strip);
    let boarding = matches!(kind, ProjectKind::BoardingPass | ProjectKind::Transit);
    match role {
        ImageRole::Icon | ImageRole::Logo => true,
        ImageRole::Strip => !boarding && kind != ProjectKind::Generic,
        ImageRole::Thumbnail => kind == ProjectKind::Generic || (kind == ProjectKind::EventTicket && no_strip),
        ImageRole::Background => kind == ProjectKind::EventTicket && no_strip,
        ImageRole::Footer => boarding,
        ImageRole::Artwork | ImageRole::PrimaryLogo | ImageRole::SecondaryLogo => apple::is_poster(design),
        ImageRole::PersonalizationLogo => design.personalization.is_some(),
    }
}
