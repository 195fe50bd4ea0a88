//! Errors as clients see them: problem details, RFC 9457.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use domain::{Reject, RejectCode, Scope};
use engine::EngineError;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

use crate::frame::RequestId;

/// Seconds after which a client may try again when the database does not answer.
const RETRY_AFTER_SECONDS: u64 = 2;

/// How a request contradicts what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Something of that name is there already.
    AlreadyExists,
    /// Something else needs it.
    InUse,
    /// As many as there may be.
    LimitReached,
    /// No event that could be sent.
    NoEvent,
    /// Not in this state.
    NotAllowed,
    /// Nothing that could be made up for.
    NothingMissed,
    /// One is under way already.
    UnderWay,
}

impl Conflict {
    /// The stable code.
    const fn code(self) -> &'static str {
        match self {
            Self::AlreadyExists => "already_exists",
            Self::InUse => "in_use",
            Self::LimitReached => "limit_reached",
            Self::NoEvent => "no_event",
            Self::NotAllowed => "not_allowed",
            Self::NothingMissed => "nothing_missed",
            Self::UnderWay => "under_way",
        }
    }
}

/// Why a request was not done, named by what its sender has to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No key, or one that is not valid. Says nothing about which.
    #[error("give a valid API key as `Authorization: Bearer pbk_...`")]
    Unauthorized,
    /// The key is valid and not enough.
    #[error("this needs an API key with the scope `{}`", scope_name(*.0))]
    Forbidden(Scope),
    /// There is nothing of that name, or not for this key.
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// The path knows other methods, see `Allow`.
    #[error("this path does not know that method; the `Allow` header says which it knows")]
    MethodNotAllowed,
    /// A parameter in path, query or header that cannot be read.
    #[error("{name}: {message}")]
    Parameter {
        /// Which.
        name: Cow<'static, str>,
        /// What to change.
        message: String,
    },
    /// A body that cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// The body did not arrive in time.
    #[error("the body did not arrive within {0} seconds")]
    Timeout(u64),
    /// A body that is too long.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// A body of another type.
    #[error("expected a body of type {0}")]
    MediaType(&'static str),
    /// Values that are missing or do not fit.
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldError>),
    /// It contradicts what there is.
    #[error("{detail}")]
    Conflict {
        /// In what way.
        code: Conflict,
        /// What to change.
        detail: String,
    },
    /// It was changed since the version that `If-Match` names.
    #[error("{0}")]
    Changed(String),
    /// It was there and is gone for good.
    #[error("{0}")]
    Gone(&'static str),
    /// Too many requests.
    #[error("too many requests {by}: wait {seconds} seconds")]
    RateLimited {
        /// Whose.
        by: Limited,
        /// How long to wait.
        seconds: u64,
    },
    /// Something that we need first is not there yet.
    #[error("{0}")]
    NotReady(&'static str),
    /// A command was rejected.
    #[error(transparent)]
    Rejected(#[from] Reject),
    /// The store did not do it.
    #[error("{0}")]
    Store(Arc<StoreError>),
    /// A fault of ours; the text is for the log only.
    #[error("{0}")]
    Internal(String),
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// The API key's.
    Key,
    /// The client address's, where no key is needed.
    Address,
    /// The organization's, of streams that are open at once.
    Streams,
}

impl std::fmt::Display for Limited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key => "with this key",
            Self::Address => "from this address",
            Self::Streams => "for streams at once, 20 of this organization are open",
        })
    }
}

/// One value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where it stands in the body, as a dotted path; empty for the whole body.
    #[schema(examples("fields.2.value"))]
    pub path: String,
    /// What to change.
    #[schema(examples("must not be empty"))]
    pub message: String,
}

impl FieldError {
    /// A fault at a place.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// An error as it is answered, `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Where the kind of problem is explained.
    #[serde(rename = "type")]
    #[schema(examples("/docs#problem-not_found"))]
    kind: String,
    /// The kind of problem in words.
    #[schema(examples("Not found"))]
    title: &'static str,
    /// The HTTP status.
    #[schema(examples(404), minimum = 400, maximum = 599)]
    status: u16,
    /// The kind of problem for programs; stable.
    #[schema(examples("not_found"))]
    code: &'static str,
    /// What is wrong here and what to change.
    #[schema(examples("no such pass"))]
    detail: String,
    /// The values that do not fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// What to name when you report it.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// Every kind of problem: its code, status and title, for the documentation.
pub(crate) const KINDS: &[(&str, u16, &str)] = &[
    ("unauthorized", 401, "Not authenticated"),
    ("forbidden", 403, "Not allowed with this key"),
    ("not_found", 404, "Not found"),
    ("method_not_allowed", 405, "Method not allowed"),
    ("timeout", 408, "Body too slow"),
    ("gone", 410, "Gone for good"),
    ("invalid_parameter", 400, "Parameter not readable"),
    ("malformed", 400, "Body not readable"),
    ("too_large", 413, "Body too long"),
    ("unsupported_media_type", 415, "Body of the wrong type"),
    ("invalid", 422, "Values that do not fit"),
    ("already_exists", 409, "Taken"),
    ("key_reused", 409, "Idempotency key used for something else"),
    ("not_allowed", 409, "Not allowed in this state"),
    ("under_way", 409, "One is under way already"),
    ("insufficient", 409, "Balance too low"),
    ("in_use", 409, "Still in use"),
    ("no_event", 409, "Nothing to send"),
    ("nothing_missed", 409, "Nothing was missed"),
    ("limit_reached", 409, "As many as there may be"),
    ("version_conflict", 412, "Changed meanwhile"),
    ("rate_limited", 429, "Too many requests"),
    ("internal", 500, "Fault of ours"),
    ("unavailable", 503, "Try again later"),
    ("disk_full", 503, "Disk full"),
    ("not_ready", 503, "Not ready yet"),
];

impl Problem {
    /// There is no such thing, or not for this key.
    pub fn no_such(what: &str) -> Self {
        Self::NotFound(format!("no such {what}").into())
    }

    /// One value that does not fit.
    pub fn field(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(path, message)])
    }

    /// A parameter that cannot be read.
    pub fn parameter(name: &'static str, message: impl Into<String>) -> Self {
        Self::Parameter { name: name.into(), message: message.into() }
    }

    /// Something of that name is there already.
    pub fn taken(detail: impl Into<String>) -> Self {
        Self::Conflict { code: Conflict::AlreadyExists, detail: detail.into() }
    }

    /// Somebody else changed the thing between our reading and writing it.
    pub fn raced() -> Self {
        Self::Changed("somebody else changed it at the same time: read it again and repeat the change".to_owned())
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Parameter { .. } => "invalid_parameter",
            Self::Malformed(_) => "malformed",
            Self::Timeout(_) => "timeout",
            Self::TooLarge(_) => "too_large",
            Self::MediaType(_) => "unsupported_media_type",
            Self::Invalid(_) => "invalid",
            Self::Conflict { code, .. } => code.code(),
            Self::Changed(_) => "version_conflict",
            Self::Gone(_) => "gone",
            Self::RateLimited { .. } => "rate_limited",
            Self::NotReady(_) => "not_ready",
            Self::Rejected(reject) => match reject.code {
                RejectCode::NotFound => "not_found",
                RejectCode::AlreadyExists => "already_exists",
                RejectCode::VersionConflict => "version_conflict",
                RejectCode::KeyReused => "key_reused",
                RejectCode::NotAllowed => "not_allowed",
                RejectCode::Invalid => "invalid",
                RejectCode::Insufficient => "insufficient",
            },
            Self::Store(error) => match **error {
                StoreError::Taken(_) => "already_exists",
                StoreError::DiskFull => "disk_full",
                StoreError::LeaseLost { .. } => "unavailable",
                ref error if error.is_transient() => "unavailable",
                _ => "internal",
            },
            Self::Internal(_) => "internal",
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        let code = self.code();
        let status = KINDS.iter().find(|kind| kind.0 == code).map_or(500, |kind| kind.1);
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What is safe to show: faults of ours stay in the log.
    fn detail(&self) -> String {
        match (self, self.code()) {
            (Self::Store(error), "internal" | "unavailable" | "disk_full") => public_reason(error).to_owned(),
            // As where a body could not be read: with the place.
            (Self::Rejected(reject), "invalid") if !reject.path.is_empty() => format!("{}: {}", reject.path, reject.message),
            (_, "internal") => "something is wrong on our side; the log has more under this request id".to_owned(),
            _ => self.to_string(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(errors) => errors.clone(),
            Self::Rejected(reject) if !reject.path.is_empty() => vec![FieldError::new(&reject.path, &reject.message)],
            _ => Vec::new(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"passbridge\""));
            }
            Self::RateLimited { seconds, .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            }
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
            }
            _ => {}
        }
        headers
    }
}

/// What strangers may know of why the store did not do it. The log has the rest.
pub(crate) fn public_reason(error: &StoreError) -> &'static str {
    match error {
        StoreError::DiskFull => "the server's disk is full and nothing is taken until there is room: send it again",
        StoreError::Locked(_) => "another program has locked the server's database: close it there, and send this again",
        StoreError::Corrupt(_) => "the server's database is damaged and takes nothing; the server's log says what to do",
        error if error.is_transient() => "the database does not take it now: send it again",
        _ => "something is wrong on our side; the log has more under this request id",
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Rejected(reject) => Self::Rejected(reject),
            EngineError::Unavailable(error) => Self::Store(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.code());
        let request_id = RequestId::current();
        if status.is_server_error() {
            tracing::error!(code, request_id = request_id.as_deref(), error = %self, "request failed");
        }
        let body = ProblemBody {
            kind: format!("/docs#problem-{code}"),
            title: KINDS.iter().find(|kind| kind.0 == code).map_or("Fault of ours", |kind| kind.2),
            status: status.as_u16(),
            code,
            detail: self.detail(),
            errors: self.errors(),
            request_id,
        };
        (status, self.headers(), Json(body)).into_response()
    }
}

fn summary(errors: &[FieldError]) -> String {
    match errors {
        [] => "a value does not fit".to_owned(),
        [one] if one.path.is_empty() => one.message.clone(),
        [one] => format!("{}: {}", one.path, one.message),
        many => format!("{} values do not fit, see `errors`", many.len()),
    }
}

/// A scope as clients write it.
pub(crate) const fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Operator => "operator",
        Scope::Admin => "admin",
        Scope::ConfigRead => "config_read",
        Scope::ConfigWrite => "config_write",
        Scope::PassesRead => "passes_read",
        Scope::PassesWrite => "passes_write",
        Scope::Scan => "scan",
        Scope::ScanUndo => "scan_undo",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented() {
        let rejects = [
            RejectCode::NotFound,
            RejectCode::AlreadyExists,
            RejectCode::VersionConflict,
            RejectCode::KeyReused,
            RejectCode::NotAllowed,
            RejectCode::Invalid,
            RejectCode::Insufficient,
        ];
        for code in rejects {
            let problem = Problem::Rejected(Reject::new(code, "fields.points", "change it"));
            assert!(KINDS.iter().any(|kind| kind.0 == problem.code()), "{code:?}");
            assert!(problem.status().is_client_error(), "{code:?}");
        }
        use Conflict::{AlreadyExists, InUse, LimitReached, NoEvent, NotAllowed, NothingMissed, UnderWay};
        for code in [AlreadyExists, InUse, LimitReached, NoEvent, NotAllowed, NothingMissed, UnderWay] {
            let problem = Problem::Conflict { code, detail: "change it".to_owned() };
            assert_eq!(problem.status(), StatusCode::CONFLICT, "{code:?}");
        }
        let full = Problem::from(StoreError::DiskFull);
        assert_eq!((full.status().as_u16(), full.code()), (503, "disk_full"));
        assert!(full.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn our_own_faults_stay_in_the_log() {
        let problem = Problem::from(StoreError::Internal("the secret table is broken".to_owned()));
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.detail().contains("secret"));
    }
}
