//! Bytes from outside become values here, or a problem that says where and what to change.

use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::PathRejection};
use bytes::{Bytes, BytesMut};
use flows::strict::Strict;
use http::{HeaderMap, header, request::Parts};
use http_body_util::BodyExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::de::SliceRead;

use crate::{
    app::App,
    problem::{FieldError, Problem},
};

/// Most bytes beyond a limit that are read and thrown away.
const DISCARDED_BYTES: usize = 16 << 20;
/// Bytes of an announced body for which room is made at once.
const ANNOUNCED_BYTES: usize = 256 << 10;
/// Seconds within which a body has to arrive.
const BODY_SECONDS: u64 = 30;

/// A JSON body of bounded size, with the bytes that it was read from. An empty body counts as `{}`.
#[derive(Debug, Clone)]
pub struct Body<T> {
    /// What it says.
    pub value: T,
    /// What it was read from.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (value, bytes) = read_json(request, app, parse).await?;
        Ok(Self { value, bytes })
    }
}

/// Reads a JSON body of bounded size; an empty one is read as `{}`.
pub(crate) async fn read_json<T>(
    request: Request,
    app: &App,
    parse: impl FnOnce(&[u8]) -> Result<T, Problem>,
) -> Result<(T, Bytes), Problem> {
    let (is_json, is_packed) = (is_json(request.headers()), request.headers().contains_key(header::CONTENT_ENCODING));
    let bytes = read_body(request, app.settings.body_bytes).await?;
    if bytes.is_empty() {
        return Ok((parse(b"{}")?, bytes));
    }
    if !is_json {
        return Err(Problem::MediaType("application/json"));
    }
    let value = parse(&bytes).map_err(|problem| match problem {
        Problem::Malformed(_) if is_packed => Problem::MediaType("application/json without a Content-Encoding"),
        problem => problem,
    })?;
    Ok((value, bytes))
}

/// Reads JSON; a fault names its place.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse_by(bytes, |reader| serde_path_to_error::deserialize(reader))
}

/// A reader of JSON that takes objects for objects alone.
pub(crate) type Reader<'r, 'b> = Strict<&'r mut serde_json::Deserializer<SliceRead<'b>>>;

/// Reads JSON by a way of reading.
pub(crate) fn parse_by<'b, T>(
    bytes: &'b [u8],
    read: impl FnOnce(Reader<'_, 'b>) -> Result<T, serde_path_to_error::Error<serde_json::Error>>,
) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = read(Strict(&mut reader)).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        // What is no JSON is told as that whatever else does not fit, and what is JSON is not: the reader takes numbers that are
        // too large for a fault of the text, and faults of the text for ones of a choice.
        if let Err(broken) = serde_json::from_slice::<IgnoredAny>(bytes) {
            return Problem::Malformed(format!("not JSON: {broken}"));
        }
        // The line and column are of no use beside a path.
        let text = flows::plainly(inner.to_string().split(" at line ").next().unwrap_or_default());
        let path = if path == "." { String::new() } else { path.replace("[", ".").replace("]", "") };
        Problem::Invalid(vec![FieldError::new(path, text)])
    })?;
    reader.end().map_err(|error| Problem::Malformed(format!("not JSON: {error}")))?;
    Ok(value)
}

/// Reads a body of bounded size within bounded time. What is too long is still taken in, up to a bound and without being
/// kept, because a client that is cut off while it writes never reads the answer.
pub async fn read_body(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let mut body = request.into_body();
    let read = async {
        // As much as is announced, within reason: who announces much has to send it.
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit).min(limit).min(ANNOUNCED_BYTES);
        let mut bytes = BytesMut::with_capacity(announced);
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Problem::Malformed(format!("the body ended early: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            length += data.len();
            if length > limit + DISCARDED_BYTES {
                break;
            } else if length <= limit {
                bytes.extend_from_slice(&data);
            } else {
                bytes.clear();
            }
        }
        if length > limit { Err(Problem::TooLarge(limit)) } else { Ok(bytes.freeze()) }
    };
    let deadline = std::time::Duration::from_secs(BODY_SECONDS);
    tokio::time::timeout(deadline, read).await.map_err(|_| Problem::Timeout(BODY_SECONDS))?
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Path parameters. One that cannot be read names nothing that exists.
#[derive(Debug, Clone, Copy)]
pub struct PathParam<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for PathParam<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, app).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => Err(Problem::NotFound(error.body_text().into())),
            Err(error) => Err(Problem::Internal(error.to_string())),
        }
    }
}

/// Query parameters; ones that nobody knows are refused by the types' own `deny_unknown_fields`.
#[derive(Debug, Clone, Copy)]
pub struct QueryParams<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(value)| Self(value)).map_err(|error| {
            let text = error.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Problem::parameter("query", text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its reading is tested")]
    struct Thing {
        list: Vec<u8>,
        #[serde(default)]
        choice: Option<Choice>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its reading is tested")]
    enum Choice {
        Add(f64),
        Set(f64),
    }

    #[test]
    fn faults_name_their_place() {
        let fault = parse::<Thing>(br#"{"list":[1,300]}"#).unwrap_err();
        assert!(matches!(&fault, Problem::Invalid(errors) if errors[0].path == "list.1"), "{fault:?}");
        let fault = parse::<Thing>(br#"{"list":[],"other":1}"#).unwrap_err();
        assert!(matches!(&fault, Problem::Invalid(errors) if errors[0].message.contains("other")), "{fault:?}");
        for bad in [r#"{"add":1,"set":2}"#, "{}", r#"{"add":1e400}"#] {
            let fault = parse::<Thing>(format!(r#"{{"list":[],"choice":{bad}}}"#).as_bytes()).unwrap_err();
            assert!(matches!(&fault, Problem::Invalid(errors) if errors[0].path.starts_with("choice")), "{bad}: {fault:?}");
        }
        for bad in ["5", "[]", "true", "{}", r#"{"add":1,"set":2}"#] {
            let fault = parse::<Thing>(format!(r#"{{"list":[],"choice":{bad}}}"#).as_bytes()).unwrap_err();
            let named = |errors: &[FieldError]| errors[0].message == "expected exactly one of `add`, `set`";
            assert!(matches!(&fault, Problem::Invalid(errors) if named(errors)), "{bad}: {fault:?}");
        }
        for (broken, column) in [
            (r#"{"list":[],"choice":"#, 20),
            (r#"{"list":[],"choice":{"add":}}"#, 28),
            ("[1,", 3),
            (r#"{"list":5,"#, 10),
            ("[]]", 3),
        ] {
            let fault = parse::<Thing>(broken.as_bytes()).unwrap_err();
            let place = format!("column {column}");
            assert!(matches!(&fault, Problem::Malformed(why) if why.ends_with(&place)), "{broken}: {fault:?}");
        }
        let whole = parse::<Thing>(b"[1]").unwrap_err();
        assert!(matches!(&whole, Problem::Invalid(errors) if errors[0].message.contains("expected an object")), "{whole:?}");
        for bad in [&b"{"[..], b"", b"\xff", br#"{"list":["\ud800"]}"#, br#"{"list":[]} x"#] {
            let status = parse::<Thing>(bad).unwrap_err().status();
            assert!(status.is_client_error(), "{bad:?}");
        }
    }
}
