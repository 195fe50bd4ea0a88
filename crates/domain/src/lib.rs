//! The values of the house and the rules that hold for them everywhere.
//!
//! Nothing here performs I/O, reads a clock or draws randomness: time comes in as a [`Timestamp`], randomness as
//! [`Entropy`]. A value that exists is valid; what cannot be valid cannot be built.

mod amount;
mod base62;
mod command;
mod contact;
mod enrolment;
mod event;
mod id;
mod installation;
mod message;
mod org;
mod pass;
mod project;
mod scan;
mod source;
mod target;
mod template;
mod text;
mod time;
mod value;
mod via;
mod zone;

pub use amount::{Amount, AmountError};
pub use command::{
    Action, Actor, Answer, BalanceChange, Cause, Command, ContactRef, IdempotencyKey, IfExists, Issue, Late, Lateness,
    PassChange, PassRef, Reactivation, Reject, RejectCode, Told, VisitKind, Void,
};
pub use contact::{Cleared, Contact, ContactInput, WalletEvent, WalletStatus, normalise_email};
pub use enrolment::{Doors, EnrolmentRules, Prefill};
pub use event::{Event, EventKind, Facts, Image, Position, ProjectImage, VariantImage};
pub use id::{
    BackfillId, BackfillKind, BatchId, BatchKind, CommandId, ContactId, DeliveryId, Entropy, EventId, EventIdKind, FlowId, Id,
    IdError, IdKind, InspectorId, KeyId, OrgId, PassId, ProjectId, PublicationId, PublicationKind, SignerId, SourceEventId,
    SourceId, SyncId, SyncKind, TargetId, TemplateId, TransformationId,
};
pub use installation::{Confidence, Installation, InstallationState, Report, UninstallReason, Wallet};
pub use message::{Channel, MESSAGES, MessageFault, MessageNews, MessageOrder, MessageRef, Outgoing, normalise_phone};
pub use org::{ApiKey, Organization, Scope, Users};
pub use pass::{
    DayUses, Holding, Lifecycle, LifecycleBits, LinkCode, Message, MessageEnd, Origin, Pass, Place, Sighting, Status, Uses,
    Validity,
};
pub use project::{FieldDef, FieldType, Project, ProjectKind, Variant, VariantId};
pub use scan::{Booking, Extension, OfflineScan, Proof, RefusedScan, ScanInput, ScanOrder, ScanRecord, ScanRules, ScannerMay};
pub use source::{Source, SourceEvent};
pub use target::{
    ClientCertificate, Content, Hidden, Payload, SwitchOff, Target, TargetAuth, TargetEvents, TargetPace, Terms, UninstallName,
};
pub use template::{
    Alignment, Barcode, BarcodeFormat, Colors, DateFormat, DateLength, Design, DesignField, DesignProblem, Fault, FieldPlace,
    ImageRole, ImageSet, Link, NearBeacon, NearPlace, Nfc, NumberFormat, Personalization, PersonalizationField, Relevance,
    RelevantTime, RichStyle, Template, TemplateStatus, TransitMode, Translation, is_language,
};
pub use text::{Text, TextError};
pub use time::{Clock, Timestamp, TimestampError};
pub use value::FieldValue;
pub use via::Via;
pub use zone::{ZoneError, ZoneName};
