//! Stable numbers of kinds and states in the store.

use domain::{InstallationState, Lifecycle, UninstallReason, Wallet};

/// Kinds of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum ResourceKind {
    /// The organization itself.
    Organization = 1,
    /// API keys.
    Key = 2,
    /// Projects.
    Project = 3,
    /// Templates.
    Template = 4,
    /// Apple signers, with their keys sealed.
    Signer = 5,
    /// Google service accounts, with their keys sealed.
    GoogleAccount = 6,
    /// Sources.
    Source = 7,
    /// Flows.
    Flow = 8,
    /// Targets, with their secrets sealed.
    Target = 9,
    /// Transformations and their libraries.
    Transformation = 10,
    /// Drafts of what follows a published template.
    Draft = 20,
    /// Superseded versions of templates.
    TemplateVersion = 21,
    /// Inspector bins.
    Inspector = 22,
    /// Superseded versions of flows.
    FlowVersion = 23,
    /// Which scan keys are in force.
    ScanKeys = 11,
    /// Batches that are saved, with their passwords sealed.
    Sync = 12,
    /// Requests for certificates that Apple has not answered yet, with their keys sealed.
    SigningRequest = 30,
}

impl ResourceKind {
    /// Its number in the store.
    pub const fn number(self) -> i16 {
        self as i16
    }
    /// The kind of a number.
    pub const fn from_number(number: i16) -> Option<Self> {
        match number {
            1 => Some(Self::Organization),
            2 => Some(Self::Key),
            3 => Some(Self::Project),
            4 => Some(Self::Template),
            5 => Some(Self::Signer),
            6 => Some(Self::GoogleAccount),
            7 => Some(Self::Source),
            8 => Some(Self::Flow),
            9 => Some(Self::Target),
            10 => Some(Self::Transformation),
            20 => Some(Self::Draft),
            21 => Some(Self::TemplateVersion),
            22 => Some(Self::Inspector),
            23 => Some(Self::FlowVersion),
            11 => Some(Self::ScanKeys),
            12 => Some(Self::Sync),
            30 => Some(Self::SigningRequest),
            _ => None,
        }
    }
}

/// Kinds of globally unique names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum NameKind {
    /// SHA-256 of an API key's secret → the key.
    ApiKey = 1,
    /// SHA-256 of a source's write key → the source.
    WriteKey = 2,
    /// A source's id → the source.
    Source = 3,
    /// A pass page's code → the pass.
    LinkCode = 4,
    /// An Apple pass type identifier → the signer.
    PassType = 5,
    /// A Google issuer id → the account.
    GoogleIssuer = 6,
    /// A project's slug with an enrolment page → the project.
    Enrolment = 7,
    /// Pass type, zero byte and a foreign serial → the pass.
    ForeignSerial = 8,
    /// An inspector bin's name → itself.
    InspectorBin = 9,
    /// A slug that a project had an enrolment page at → the project, until another has its page there.
    FormerEnrolment = 10,
}

impl NameKind {
    /// Its number in the store.
    pub const fn number(self) -> i16 {
        self as i16
    }
}

/// Kinds of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum JobKind {
    /// A template version is brought to the phones.
    Publication = 1,
    /// A file of rows becomes commands.
    Batch = 2,
    /// A destination is compared with the truth.
    Backfill = 3,
}

impl JobKind {
    /// Its number in the store.
    pub const fn number(self) -> i16 {
        self as i16
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum JobState {
    /// A worker is at it, or will be.
    Running = 1,
    /// Somebody halted it; it goes on when somebody says so.
    Paused = 2,
    /// All is done.
    Done = 3,
    /// Somebody ended it.
    Cancelled = 4,
    /// A later job does what it would have done.
    Superseded = 5,
    /// It cannot be done.
    Failed = 6,
}

impl JobState {
    /// Its number in the store.
    pub const fn number(self) -> i16 {
        self as i16
    }
    /// The state of a number.
    pub const fn from_number(number: i16) -> Option<Self> {
        match number {
            1 => Some(Self::Running),
            2 => Some(Self::Paused),
            3 => Some(Self::Done),
            4 => Some(Self::Cancelled),
            5 => Some(Self::Superseded),
            6 => Some(Self::Failed),
            _ => None,
        }
    }
    /// Whether nothing more will be done.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Superseded | Self::Failed)
    }
}

/// What became of a source event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum InboxStatus {
    /// No flow matched.
    Ignored = 1,
    /// All that it led to was done.
    Done = 2,
    /// Something in it or in a flow has to be mended by somebody; it can be replayed.
    Parked = 3,
    /// It is tried again by itself, and later events of its order key wait behind it.
    Waiting = 4,
    /// A step of it waits for its time; nobody waits behind it.
    Delayed = 5,
}

impl InboxStatus {
    /// Its number in the store.
    pub const fn number(self) -> i16 {
        self as i16
    }
    /// The status of a number.
    pub const fn from_number(number: i16) -> Option<Self> {
        match number {
            1 => Some(Self::Ignored),
            2 => Some(Self::Done),
            3 => Some(Self::Parked),
            4 => Some(Self::Waiting),
            5 => Some(Self::Delayed),
            _ => None,
        }
    }
    /// Whether it goes on by itself when its time has come.
    pub const fn is_due_later(self) -> bool {
        matches!(self, Self::Waiting | Self::Delayed)
    }
}

/// How a try at a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum AttemptOutcome {
    /// The target took it.
    Delivered = 1,
    /// It failed and will be tried again.
    Retrying = 2,
    /// It failed for good.
    Failed = 3,
    /// It was given up because its log partition had to go, or its target was switched off.
    Expired = 4,
}

impl AttemptOutcome {
    /// Its number in the store.
    pub const fn number(self) -> i16 {
        self as i16
    }
    /// The outcome of a number.
    pub const fn from_number(number: i16) -> Option<Self> {
        match number {
            1 => Some(Self::Delivered),
            2 => Some(Self::Retrying),
            3 => Some(Self::Failed),
            4 => Some(Self::Expired),
            _ => None,
        }
    }
}

/// Where a pass stands: a lifecycle without its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum PassState {
    /// Not usable yet.
    Inactive = 0,
    /// Usable.
    Active = 1,
    /// Used up.
    Used = 2,
    /// Past its end.
    Expired = 3,
    /// Withdrawn by its issuer.
    Revoked = 4,
    /// Gone.
    Deleted = 5,
}

impl PassState {
    /// The state of a lifecycle.
    pub const fn of(lifecycle: &Lifecycle) -> Self {
        match lifecycle {
            Lifecycle::Inactive => Self::Inactive,
            Lifecycle::Active => Self::Active,
            Lifecycle::Used { .. } => Self::Used,
            Lifecycle::Expired { .. } => Self::Expired,
            Lifecycle::Revoked { .. } => Self::Revoked,
            Lifecycle::Deleted { .. } => Self::Deleted,
        }
    }
    /// Its number in the store.
    pub const fn number(self) -> i16 {
        self as i16
    }
}

/// The number of the deleted state.
pub const DELETED: i16 = PassState::Deleted.number();

/// In which wallets something is: the sum of the numbers of Apple's and Google's, 0 to 3, or where it is in neither the number of
/// one that is not known.
pub const fn wallets_number(apple: bool, google: bool, unknown: bool) -> i16 {
    match (apple, google) {
        (false, false) if unknown => wallet_number(Wallet::Unknown),
        (false, false) => 0,
        (true, false) => wallet_number(Wallet::Apple),
        (false, true) => wallet_number(Wallet::Google),
        (true, true) => wallet_number(Wallet::Apple) + wallet_number(Wallet::Google),
    }
}

/// A wallet's number in the store.
pub const fn wallet_number(wallet: Wallet) -> i16 {
    match wallet {
        Wallet::Apple => 1,
        Wallet::Google => 2,
        Wallet::Unknown => 4,
    }
}

pub(crate) const fn wallet_from_number(number: i16) -> Option<Wallet> {
    match number {
        1 => Some(Wallet::Apple),
        2 => Some(Wallet::Google),
        4 => Some(Wallet::Unknown),
        _ => None,
    }
}

pub(crate) const fn reason_number(state: &InstallationState) -> Option<i16> {
    match state {
        InstallationState::Active { .. } => None,
        InstallationState::Gone { reason: UninstallReason::Unregistered, .. } => Some(1),
        InstallationState::Gone { reason: UninstallReason::TokenDead, .. } => Some(2),
        InstallationState::Gone { reason: UninstallReason::Drift, .. } => Some(4),
        InstallationState::Gone { reason: UninstallReason::Removed, .. } => Some(3),
        InstallationState::Gone { reason: UninstallReason::Told, .. } => Some(5),
    }
}

pub(crate) const fn reason_from_number(number: i16) -> Option<UninstallReason> {
    match number {
        1 => Some(UninstallReason::Unregistered),
        2 => Some(UninstallReason::TokenDead),
        4 => Some(UninstallReason::Drift),
        3 => Some(UninstallReason::Removed),
        5 => Some(UninstallReason::Told),
        _ => None,
    }
}
