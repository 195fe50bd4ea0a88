//! Several requests in one, as all of Google's APIs take them: `multipart/mixed`, a request of HTTP a part. Each is judged as if it
//! had come alone, the limit included. Public source: <https://developers.google.com/calendar/batch>.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use super::{API, Fault, State, refusal, respond, rest};

/// Where batches are taken.
pub(super) const PATH: &str = "/batch";
/// Requests in a batch at most.
const MAX_PARTS: usize = 1_000;
const MAX_HEADERS: usize = 32;
/// The boundary of answers; none of ours holds it, as they are JSON of what was checked.
const BOUNDARY: &str = "batch_answers";

/// Answers all of a batch, or cuts the line where one of them is to be lost.
pub(super) fn answer(state: &State, headers: &HeaderMap, body: &Bytes) -> Option<Response<Full<Bytes>>> {
    if state.world.lock().takes_no_batch {
        return Some(respond(&refusal(404, "NOT_FOUND", "notFound", "There is nothing at this address.")));
    }
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let boundary = media.strip_prefix("multipart/mixed; boundary=").unwrap_or_default();
    let text = std::str::from_utf8(body).unwrap_or_default();
    let (delimiter, end) = (format!("--{boundary}\r\n"), format!("--{boundary}--"));
    let parts: Option<Vec<&str>> = text
        .trim_end()
        .strip_suffix(&end)
        .filter(|_| !boundary.is_empty())
        .and_then(|text| text.strip_prefix(&delimiter))
        .map(|text| text.split(&format!("\r\n{delimiter}")).collect());
    let Some(parts) = parts.filter(|parts| parts.len() <= MAX_PARTS) else {
        return Some(no_batch());
    };
    let fault = {
        let mut world = state.world.lock();
        world.batches.push(parts.len());
        world.fault_at.take_if(|(text, _)| text == PATH).map(|(_, fault)| fault)
    };
    match fault {
        Some(Fault::Status(code)) => return Some(respond(&refusal(code, "UNAVAILABLE", "backendError", "Backend error."))),
        Some(Fault::LostBefore) => return None,
        Some(Fault::LostAfter) | None => {}
    }
    let outer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let mut answers = String::new();
    for part in parts {
        let (id, status, body) = match one(state, outer, part) {
            Ok(answer) => answer,
            Err(Stop::Cut) => return None,
            Err(Stop::NoRequest) => return Some(no_batch()),
        };
        answers.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: <response-{id}>\r\n\r\n\
             HTTP/1.1 {status}\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}\r\n",
            body.len()
        ));
    }
    if fault.is_some() {
        return None;
    }
    answers.push_str(&format!("--{BOUNDARY}--\r\n"));
    let mut response = Response::new(Full::new(Bytes::from(answers)));
    let media = HeaderValue::from_static("multipart/mixed; boundary=batch_answers");
    response.headers_mut().insert(CONTENT_TYPE, media);
    Some(response)
}

fn no_batch() -> Response<Full<Bytes>> {
    respond(&refusal(400, "INVALID_ARGUMENT", "badRequest", "Failed to parse batch request."))
}

/// Why a part has no answer.
enum Stop {
    /// The line is to be cut.
    Cut,
    /// It is no request.
    NoRequest,
}

/// The answer to one part: its name, the status and the body.
fn one(state: &State, outer: Option<&str>, part: &str) -> Result<(String, StatusCode, String), Stop> {
    let (label, request) = part.split_once("\r\n\r\n").ok_or(Stop::NoRequest)?;
    let id = label.lines().find_map(|line| line.strip_prefix("Content-ID: <")?.strip_suffix('>')).unwrap_or_default();
    let is_request = label.lines().any(|line| line == "Content-Type: application/http");
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut read = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(begins)) = read.parse(request.as_bytes()) else { return Err(Stop::NoRequest) };
    let method: Method = read.method.and_then(|method| method.parse().ok()).ok_or(Stop::NoRequest)?;
    let path = read.path.and_then(|path| path.strip_prefix(API)).filter(|_| is_request).ok_or(Stop::NoRequest)?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let length = header(read.headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let body = request.as_bytes().get(begins..begins + length).ok_or(Stop::NoRequest)?;
    let token = header(read.headers, "authorization").or(outer);
    let call = rest::Call { method: &method, path, query, body, token };
    let (status, body) = rest::take(state, &call).ok_or(Stop::Cut)?;
    Ok((id.to_owned(), status, body.to_string()))
}

fn header<'h>(headers: &[httparse::Header<'h>], name: &str) -> Option<&'h str> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}
