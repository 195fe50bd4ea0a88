//! Several requests in one: `multipart/mixed`, a whole request of HTTP a part, and so is the answer. Each counts against the limit
//! as if it had come alone, and Google answers them in any order.
//! Public sources: <https://developers.google.com/wallet/generic/resources/performance-tips>,
//! <https://developers.google.com/calendar/batch> (the form, which Google's APIs share).

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};

use super::RestError;

/// Where batches are taken, on the host of the interface: `batchPath` of its discovery document.
const PATH: &str = "/batch";
/// What stands before the number of a part in the `Content-ID` of its answer.
const ANSWERED: &str = "response-";
/// Headers of a part's answer that are read.
const MAX_HEADERS: usize = 32;

/// The answer to one of several requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// One request for all of these, which [`super::Api`] built for the same address; [`read_batch`] takes its answer apart.
///
/// # Errors
/// When there is none, or their address is none that a batch could be sent to.
pub fn batch(requests: &[Request<Bytes>]) -> Result<Request<Bytes>, RestError> {
    let first = requests.first().ok_or(RestError::Base)?;
    let mut address = first.uri().clone().into_parts();
    address.path_and_query = Some(http::uri::PathAndQuery::from_static(PATH));
    let address = Uri::from_parts(address).map_err(|_| RestError::Base)?;
    let authorization = first.headers().get(AUTHORIZATION);
    let boundary = boundary(requests);
    let mut body = Vec::with_capacity(requests.iter().map(|request| request.body().len() + 512).sum());
    for (number, request) in requests.iter().enumerate() {
        let path = request.uri().path_and_query().ok_or(RestError::Base)?;
        body.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n{} {path} HTTP/1.1\r\n",
                request.method()
            )
            .as_bytes(),
        );
        // A header of the whole holds for every part that has none of its own.
        let own = request.headers().iter().filter(|(name, value)| *name != AUTHORIZATION || Some(*value) != authorization);
        for (name, value) in own {
            body.extend_from_slice(name.as_str().as_bytes());
            body.extend_from_slice(b": ");
            body.extend_from_slice(value.as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("Content-Length: {}\r\n\r\n", request.body().len()).as_bytes());
        body.extend_from_slice(request.body());
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let mut whole = Request::builder().method(Method::POST).uri(address).body(Bytes::from(body)).map_err(|_| RestError::Base)?;
    let media = format!("multipart/mixed; boundary={boundary}");
    whole.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_str(&media).map_err(|_| RestError::Base)?);
    if let Some(authorization) = authorization {
        whole.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    Ok(whole)
}

/// A line that none of the requests has.
fn boundary(requests: &[Request<Bytes>]) -> String {
    let is_free = |line: &String| {
        let line = line.as_bytes();
        !requests.iter().any(|request| request.body().windows(line.len()).any(|window| window == line))
    };
    (0_u32..).map(|number| format!("batch_{number}")).find(is_free).unwrap_or_default()
}

/// The answers to `count` requests, in their order, out of the answer to the batch; nothing where one is missing or cannot be read,
/// so that nobody knows what became of that request.
#[must_use]
pub fn read_batch(headers: &HeaderMap, body: &Bytes, count: usize) -> Vec<Option<Part>> {
    let mut parts = vec![None; count];
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let Some(boundary) = boundary_of(media) else { return parts };
    for piece in pieces(body, boundary) {
        let Some((number, part)) = read_part(body, piece) else { continue };
        if let Some(place) = parts.get_mut(number) {
            *place = Some(part);
        }
    }
    parts
}

/// The boundary of a multipart media type.
fn boundary_of(media: &str) -> Option<&str> {
    let mut parameters = media.split(';').map(str::trim);
    let is_multipart = parameters.next()?.to_ascii_lowercase().starts_with("multipart/");
    let named =
        |parameter: &'_ str| parameter.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("boundary")).is_some();
    let value = parameters.find(|parameter| named(parameter))?.split_once('=')?.1.trim().trim_matches('"');
    (is_multipart && !value.is_empty()).then_some(value)
}

/// What lies between the boundaries.
fn pieces<'b>(body: &'b [u8], boundary: &str) -> Vec<&'b [u8]> {
    let delimiter = format!("--{boundary}");
    let starts: Vec<usize> = body
        .windows(delimiter.len())
        .enumerate()
        .filter(|(at, window)| *window == delimiter.as_bytes() && (*at == 0 || body[at - 1] == b'\n'))
        .map(|(at, _)| at)
        .collect();
    starts.windows(2).map(|pair| &body[pair[0] + delimiter.len()..pair[1]]).collect()
}

/// Which request a part answers, and how.
fn read_part(whole: &Bytes, piece: &[u8]) -> Option<(usize, Part)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let piece = piece.strip_prefix(b"\r\n").or_else(|| piece.strip_prefix(b"\n"))?;
    let httparse::Status::Complete((begins, headers)) = httparse::parse_headers(piece, &mut headers).ok()? else { return None };
    let id = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-id"))?;
    let id = std::str::from_utf8(id.value).ok()?.trim().trim_start_matches('<').trim_end_matches('>');
    let number = id.strip_prefix(ANSWERED)?.parse().ok()?;
    let inner = &piece[begins..];
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(begins) = answer.parse(inner).ok()? else { return None };
    let status = StatusCode::from_u16(answer.code?).ok()?;
    let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
    let body = &inner[begins..];
    let body = match length {
        Some(length) => body.get(..length)?,
        None => body.strip_suffix(b"\r\n").or_else(|| body.strip_suffix(b"\n")).unwrap_or(body),
    };
    Some((number, Part { status, body: whole.slice_ref(body) }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Object, Vertical};
    use crate::rest::{Api, BASE, Kind};

    fn requests(text: &str) -> Vec<Request<Bytes>> {
        let api = Api::new(BASE, "ya29.secret").unwrap();
        let value = json!({"id": "33.t-1", "classId": "33.concert", "state": "ACTIVE", "ticketHolderName": text});
        let object = Object::from_value(Vertical::EventTicket, value).unwrap();
        let id = "33.t-2".parse().unwrap();
        vec![api.patch_object(&object).unwrap(), api.get(Kind::Object(Vertical::Loyalty), &id).unwrap()]
    }

    #[test]
    fn every_part_is_a_request_of_its_own() {
        let whole = batch(&requests("Robin")).unwrap();
        assert_eq!(
            (whole.method(), whole.uri().to_string().as_str()),
            (&Method::POST, "https://walletobjects.googleapis.com/batch")
        );
        assert_eq!(whole.headers()[AUTHORIZATION], "Bearer ya29.secret");
        let body = std::str::from_utf8(whole.body()).unwrap();
        assert!(!body.contains("ya29"), "the header of the whole holds for each");
        let first = "--batch_0\r\nContent-Type: application/http\r\nContent-ID: <0>\r\n\r\n\
            PATCH /walletobjects/v1/eventTicketObject/33.t-1 HTTP/1.1\r\ncontent-type: application/json\r\nContent-Length: ";
        assert!(body.starts_with(first), "{body}");
        assert!(body.contains("Content-ID: <1>\r\n\r\nGET /walletobjects/v1/loyaltyObject/33.t-2 HTTP/1.1\r\n"), "{body}");
        assert!(body.ends_with("\r\n--batch_0--\r\n"), "{body}");
        assert!(batch(&[]).is_err());
    }

    #[test]
    fn a_boundary_that_somebody_writes_into_a_pass_ends_no_part() {
        let whole = batch(&requests("--batch_0\r\n--batch_1")).unwrap();
        assert_eq!(whole.headers()[CONTENT_TYPE], "multipart/mixed; boundary=batch_2");
    }

    #[test]
    fn answers_go_to_whom_they_name() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("multipart/mixed; boundary=\"batch_foobarbaz\""));
        let body = "--batch_foobarbaz\r\nContent-Type: application/http\r\nContent-ID: <response-1>\r\n\r\n\
            HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}\r\n\
            --batch_foobarbaz\r\nContent-Type: application/http\r\nContent-ID: response-0\r\n\r\n\
            HTTP/1.1 200 OK\r\nETag: \"x\"\r\n\r\n{\"id\":\"33.t-1\"}\r\n\
            --batch_foobarbaz\r\nContent-Type: application/http\r\nContent-ID: <response-7>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n\
            --batch_foobarbaz\r\nContent-ID: <response-2>\r\n\r\nnonsense\r\n--batch_foobarbaz--";
        let part = |status: u16, body: &'static str| {
            Some(Part { status: StatusCode::from_u16(status).unwrap(), body: Bytes::from_static(body.as_bytes()) })
        };
        let read = read_batch(&headers, &Bytes::from_static(body.as_bytes()), 3);
        assert_eq!(read, [part(200, "{\"id\":\"33.t-1\"}"), part(404, "{}"), None]);
        for broken in ["", "--batch_foobarbaz", "{\"error\":{}}"] {
            assert_eq!(read_batch(&headers, &Bytes::from_static(broken.as_bytes()), 1), [None]);
        }
        assert_eq!(read_batch(&HeaderMap::new(), &Bytes::from_static(body.as_bytes()), 1), [None]);
    }
}
