//! Fakes of services that Passbridge writes to. They enforce what the services document: credentials, how many records a request
//! may hold and how many bytes, how many requests a second, unknown fields, and in whose words errors come.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

/// Most bytes of a request that are read.
const MAX_BODY: usize = 16 << 20;

/// Which service is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// HubSpot's batch upsert of contacts: at most 100 inputs, one a key, properties alone that were made; with `email` as the
    /// key one bad input refuses all, with another property it is told apart with 207. And its batch read, within the same
    /// limits: whom it does not have is among the errors of a 207.
    HubSpot,
    /// Salesforce's upsert of collections: at most 200 records of one kind, each answered by itself unless all or none are wanted,
    /// an external id once whatever its case, under a token by client credentials, as many calls a day as it has.
    Salesforce,
    /// Airtable's upsert of records: at most ten, all or nothing; five requests a second, and none for half a minute after one too
    /// many.
    Airtable,
    /// A tracking API: batches of at most 500 KB, calls of at most 32 KB, Basic authentication.
    Tracking,
    /// Slack's incoming webhooks: one message a second.
    Slack,
    /// Twilio's message resource: a form, Basic authentication, numbers in E.164, either a sender or a service, ten messages a
    /// second; the numbers that are refused have written STOP.
    Twilio,
    /// Google Sheets' `values:append`, `values:batchGet` and `values:batchUpdate`: under a token by what a service account signs, 60 writes a minute, raw values alone, whole
    /// or not at all, no more rows than there is room for.
    Sheets,
}

/// The credential that every fake takes.
pub const TOKEN: &str = "token-of-the-fake";

/// What a fake holds and did.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// Records by key.
    pub records: BTreeMap<String, Map<String, Value>>,
    /// Tracking calls by message id, or messages by their number.
    pub messages: BTreeMap<String, Value>,
    /// How many records each request held that was let in.
    pub batches: Vec<usize>,
    /// Requests in all.
    pub requests: usize,
    /// Requests that were told to slow down.
    pub slowed: usize,
    /// Tokens that were given out.
    pub tokens: usize,
    /// Keys that are refused whenever they come.
    pub refused: Vec<String>,
    /// Answers to give before any other: status and body.
    pub next: Vec<(u16, Value)>,
    /// Every so many requests one fails with 503; 0 means none.
    pub fails_every: usize,
    /// Properties of records that there are.
    pub properties: Vec<String>,
    /// Rows, in their order.
    pub rows: Vec<Vec<Value>>,
    /// How many rows there may be; none means any number.
    pub most_rows: Option<usize>,
    /// The token in force; whoever changes it makes those that were given out worthless.
    pub token: String,
    /// For how long the next request is on its way before it comes.
    pub late: Duration,
    /// Calls of the day that are left.
    pub calls_left: Option<usize>,
    recent: Vec<Instant>,
    closed_until: Option<Instant>,
}

/// A running fake; ends when dropped.
#[derive(Debug)]
pub struct Vendor {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
    accepting: JoinHandle<()>,
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Status, `Retry-After` in seconds, and body.
type Answer = (u16, Option<u64>, Value);

impl Vendor {
    /// Starts a fake.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(service: Service) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let books = Arc::new(Mutex::new(Books::default()));
        let shared = Arc::clone(&books);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(service, request, &shared));
                    // A sender that hangs up is its own business.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, books, accepting })
    }

    /// Its address, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds and did.
    pub fn books(&self) -> Books {
        self.with(|books| books.clone())
    }

    /// Changes what it holds or does.
    pub fn with<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        change(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(service: Service, request: Request<Incoming>, books: &Mutex<Books>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let authorization = head.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (path, method) = (head.uri.path().to_owned(), head.method.as_str().to_owned());
    let query = head.uri.query().unwrap_or_default().to_owned();
    let late = std::mem::take(&mut books.lock().unwrap_or_else(PoisonError::into_inner).late);
    tokio::time::sleep(late).await;
    let asked = Asked { method: &method, path: &path, query: &query, authorization, body: &body };
    let (status, after, body) = {
        let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
        books.requests += 1;
        if asked.path.ends_with("/oauth2/token") {
            if service == Service::Sheets { assertion(&mut books, &asked) } else { token(&mut books, &asked) }
        } else if books.fails_every > 0 && books.requests.is_multiple_of(books.fails_every) {
            (503, None, json!({}))
        } else if books.next.is_empty() {
            match service {
                Service::HubSpot => hubspot(&mut books, &asked),
                Service::Salesforce => salesforce(&mut books, &asked),
                Service::Airtable => airtable(&mut books, &asked),
                Service::Tracking => tracking(&mut books, &asked),
                Service::Slack => slack(&mut books, &asked),
                Service::Twilio => twilio(&mut books, &asked),
                Service::Sheets => sheets(&mut books, &asked),
            }
        } else {
            let (status, body) = books.next.remove(0);
            (status, None, body)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(after) = after {
        response.headers_mut().insert("retry-after", after.into());
    }
    Ok(response)
}

struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    authorization: &'a str,
    body: &'a Bytes,
}

impl Asked<'_> {
    fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}

/// Whether another request fits into the window; it counts when it does.
fn fits(books: &mut Books, most: usize, window: Duration) -> bool {
    let now = Instant::now();
    books.recent.retain(|at| now.duration_since(*at) < window);
    let fits = books.recent.len() < most;
    if fits {
        books.recent.push(now);
    } else {
        books.slowed += 1;
    }
    fits
}

fn hubspot(books: &mut Books, asked: &Asked<'_>) -> Answer {
    if asked.authorization != format!("Bearer {TOKEN}") {
        return (401, None, json!({"status": "error", "category": "INVALID_AUTHENTICATION"}));
    }
    if asked.method == "POST" && asked.path.starts_with("/crm/v3/properties/contacts") {
        return hubspot_property(books, asked);
    }
    let reads = asked.path == "/crm/v3/objects/contacts/batch/read";
    if asked.method != "POST" || !(reads || asked.path == "/crm/v3/objects/contacts/batch/upsert") {
        return (404, None, json!({"status": "error", "category": "OBJECT_NOT_FOUND"}));
    }
    if !fits(books, 100, Duration::from_secs(10)) {
        return (429, None, json!({"status": "error", "policyName": "TEN_SECONDLY_ROLLING"}));
    }
    let body = asked.json();
    let inputs = body["inputs"].as_array().cloned().unwrap_or_default();
    let mut keys: Vec<_> = inputs.iter().map(|input| input["id"].to_string()).collect();
    keys.sort_unstable();
    keys.dedup();
    if inputs.is_empty() || inputs.len() > 100 || keys.len() < inputs.len() {
        return (
            400,
            None,
            json!({"status": "error", "category": "VALIDATION_ERROR", "message": "inputs: 1 to 100, each id once"}),
        );
    }
    if reads {
        return hubspot_read(books, &body, &inputs);
    }
    let bad = |input: &Value| {
        let properties = input["properties"].as_object();
        let unfit = |(name, value): (&String, &Value)| !books.properties.contains(name) || !value.is_string();
        books.refused.iter().any(|key| input["id"] == **key) || properties.is_none_or(|all| all.iter().any(unfit))
    };
    let (refused, taken): (Vec<Value>, Vec<Value>) = inputs.into_iter().partition(bad);
    if !refused.is_empty() && refused.iter().chain(&taken).any(|input| input["idProperty"] == "email") {
        let message = format!("{} was not valid", refused[0]["id"]);
        return (400, None, json!({"status": "error", "category": "VALIDATION_ERROR", "message": message}));
    }
    books.batches.push(taken.len());
    let mut results = Vec::new();
    for input in &taken {
        let key = input["id"].as_str().unwrap_or_default().to_owned();
        let held = books.records.entry(key).or_default();
        held.extend(input["properties"].as_object().cloned().unwrap_or_default());
        results.push(json!({"id": "1", "properties": input["properties"], "objectWriteTraceId": input["objectWriteTraceId"]}));
    }
    if refused.is_empty() {
        return (200, None, json!({"status": "COMPLETE", "results": results}));
    }
    let error = |input: &Value| {
        let context = json!({"objectWriteTraceId": [input["objectWriteTraceId"]]});
        json!({"status": "error", "category": "VALIDATION_ERROR", "message": format!("{} is bad", input["id"]), "context": context})
    };
    let errors: Vec<Value> = refused.iter().map(error).collect();
    (207, None, json!({"status": "COMPLETE", "results": results, "numErrors": errors.len(), "errors": errors}))
}

/// One that is there already is a conflict, and of several then none is made.
fn hubspot_property(books: &mut Books, asked: &Asked<'_>) -> Answer {
    let body = asked.json();
    let inputs = body["inputs"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
    let is_fit = |input: &Value| {
        let kind = (input["type"].as_str(), input["fieldType"].as_str());
        input["label"].is_string()
            && input["groupName"] == "contactinformation"
            && matches!(kind, (Some("string"), Some("text")) | (Some("datetime"), Some("date")))
    };
    if !inputs.iter().all(is_fit) {
        return (400, None, json!({"status": "error", "category": "VALIDATION_ERROR"}));
    }
    let names: Vec<String> = inputs.iter().filter_map(|input| Some(input["name"].as_str()?.to_owned())).collect();
    if names.iter().any(|name| books.properties.contains(name)) {
        return (409, None, json!({"status": "error", "category": "OBJECT_ALREADY_EXISTS"}));
    }
    books.properties.extend(names);
    (201, None, json!({"status": "COMPLETE", "results": inputs}))
}

/// Only the properties that were asked for come back, what has no value as null.
fn hubspot_read(books: &Books, body: &Value, inputs: &[Value]) -> Answer {
    let key_property = body["idProperty"].as_str().unwrap_or("hs_object_id");
    let (mut results, mut missing) = (Vec::new(), Vec::new());
    for key in inputs.iter().filter_map(|input| input["id"].as_str()) {
        let Some(held) = books.records.get(key) else {
            missing.push(key);
            continue;
        };
        let value = |name: &str| {
            let held = held.get(name).filter(|value| *value != "").cloned().unwrap_or_default();
            if name == key_property { key.into() } else { held }
        };
        let asked = body["properties"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let properties: Map<String, Value> = asked.map(|name| (name.to_owned(), value(name))).collect();
        results.push(json!({"id": "1", "properties": properties}));
    }
    if missing.is_empty() {
        return (200, None, json!({"status": "COMPLETE", "results": results}));
    }
    let error = json!({"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": missing}});
    (207, None, json!({"status": "COMPLETE", "results": results, "numErrors": 1, "errors": [error]}))
}

fn token(books: &mut Books, asked: &Asked<'_>) -> Answer {
    let form = String::from_utf8_lossy(asked.body).into_owned();
    let proves = form.contains("grant_type=client_credentials") && form.contains(&format!("client_secret={TOKEN}"));
    if !proves {
        return (401, None, json!({"error": "invalid_client"}));
    }
    books.tokens += 1;
    books.token = format!("session-{}", books.tokens);
    (200, None, json!({"access_token": books.token, "token_type": "Bearer"}))
}

fn salesforce(books: &mut Books, asked: &Asked<'_>) -> Answer {
    if books.token.is_empty() || asked.authorization != format!("Bearer {}", books.token) {
        return (401, None, json!([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]));
    }
    match &mut books.calls_left {
        None => {}
        Some(0) => {
            let message = "TotalRequests Limit exceeded.";
            return (403, None, json!([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": message}]));
        }
        Some(left) => *left -= 1,
    }
    if (asked.method, asked.path) == ("GET", "/services/data/v62.0/query") {
        return salesforce_query(books, asked.query);
    }
    let wanted = "/services/data/v62.0/composite/sobjects/Contact/Member_Id__c";
    if (asked.method, asked.path) != ("PATCH", wanted) {
        return (404, None, json!([{"errorCode": "NOT_FOUND"}]));
    }
    let body = asked.json();
    let bad = |code: &str, message: String| (400, None, json!([{"errorCode": code, "message": message}]));
    let Some(records) = body["records"].as_array().filter(|records| !records.is_empty()) else {
        return bad("JSON_PARSER_ERROR", "records are wanted".to_owned());
    };
    if records.len() > 200 {
        return bad(
            "EXCEEDED_MAX_SIZE_REQUEST",
            "record limit reached. cannot submit more than 200 records in this operation".to_owned(),
        );
    }
    let names = records.iter().filter_map(Value::as_object).flat_map(Map::keys).filter(|name| *name != "attributes");
    let known = |name: &&String| books.properties.is_empty() || *name == "Member_Id__c" || books.properties.contains(name);
    if let Some(name) = names.clone().find(|name| !known(name)) {
        return bad("INVALID_FIELD", format!("No such column '{name}' on sobject of type Contact"));
    }
    let before = books.records.clone();
    let mut results: Vec<Value> = records.iter().map(|record| salesforce_one(books, record, records)).collect();
    if body["allOrNone"] == true && results.iter().any(|result| result["success"] != true) {
        books.records = before;
        let rolled_back = |result: &mut Value| {
            if result["success"] == true {
                *result = salesforce_refused("ALL_OR_NONE_OPERATION_ROLLED_BACK", "rolled back because not all were valid");
            }
        };
        results.iter_mut().for_each(rolled_back);
    }
    books.batches.push(records.len());
    (200, None, results.into())
}

fn salesforce_refused(code: &str, message: &str) -> Value {
    json!({"success": false, "errors": [{"statusCode": code, "message": message, "fields": []}]})
}

/// As much of SOQL as asks for fields of contacts by their external ids, which are compared without regard to case. Times are kept
/// to the second, and written with an offset that has no colon.
fn salesforce_query(books: &Books, query: &str) -> Answer {
    if query.len() > 16_000 {
        return (414, None, json!([{"errorCode": "URI_TOO_LONG"}]));
    }
    let malformed = || (400, None, json!([{"errorCode": "MALFORMED_QUERY", "message": "unexpected token"}]));
    let soql = query.strip_prefix("q=").map(crate::objects::decoded);
    let parts =
        soql.as_deref().and_then(|soql| soql.strip_prefix("SELECT ")?.strip_suffix(')')?.split_once(" FROM Contact WHERE "));
    let Some((fields, condition)) = parts else { return malformed() };
    let Some(mut keys) = condition.strip_prefix("Member_Id__c IN (").and_then(|list| literals(list, '\'')) else {
        return malformed();
    };
    keys.iter_mut().for_each(|key| *key = key.to_lowercase());
    let value = |record: &Map<String, Value>, name: &str| match record.get(name) {
        Some(Value::String(text)) if name.ends_with("_At__c") => format!("{}.000+0000", &text[..19]).into(),
        held => held.cloned().unwrap_or_default(),
    };
    let wanted = books.records.iter().filter(|(key, _)| keys.contains(&key.to_lowercase()));
    let record = |(_, record): (&String, &Map<String, Value>)| {
        let fields = fields.split(',').map(|name| (name.to_owned(), value(record, name)));
        Value::Object(fields.chain([("attributes".to_owned(), json!({"type": "Contact"}))]).collect())
    };
    let records: Vec<Value> = wanted.map(record).collect();
    (200, None, json!({"totalSize": records.len(), "done": true, "records": records}))
}

/// Texts in quotes with commas between them, as queries and formulas have them.
fn literals(list: &str, quote: char) -> Option<Vec<String>> {
    let (mut all, mut letters) = (Vec::new(), list.chars());
    loop {
        if letters.next() != Some(quote) {
            return None;
        }
        let mut text = String::new();
        loop {
            match letters.next()? {
                '\\' => text.push(letters.next()?),
                end if end == quote => break,
                letter => text.push(letter),
            }
        }
        all.push(text);
        match letters.next() {
            None => return Some(all),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// An external id finds its record whatever its case, unless its field says otherwise.
fn salesforce_one(books: &mut Books, record: &Value, all: &[Value]) -> Value {
    let Some(key) = record["Member_Id__c"].as_str() else {
        return salesforce_refused("MISSING_ARGUMENT", "Member_Id__c not specified");
    };
    if record["attributes"]["type"] != "Contact" {
        return salesforce_refused("INVALID_TYPE", "not of the type in the address");
    }
    let is_same = |other: &str| other.to_lowercase() == key.to_lowercase();
    if all.iter().filter(|other| other["Member_Id__c"].as_str().is_some_and(is_same)).count() > 1 {
        return salesforce_refused("DUPLICATE_VALUE", &format!("Duplicate external id specified: {key}"));
    }
    if books.refused.iter().any(|refused| refused == key) {
        return salesforce_refused("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]");
    }
    let found = books.records.keys().find(|held| is_same(held)).cloned();
    let is_new = found.is_none();
    let held = books.records.entry(found.unwrap_or_else(|| key.to_owned())).or_default();
    held.extend(record.as_object().cloned().unwrap_or_default().into_iter().filter(|(name, _)| name != "attributes"));
    json!({"id": "003", "success": true, "errors": [], "created": is_new})
}

/// How long Airtable lets nothing in after one request too many
/// (<https://airtable.com/developers/web/api/rate-limits>). It does not say so in a header.
const AIRTABLE_PENALTY: Duration = Duration::from_secs(30);

/// Errors by <https://airtable.com/developers/web/api/errors>.
fn airtable(books: &mut Books, asked: &Asked<'_>) -> Answer {
    let error = |status: u16, kind: &str, message: &str| (status, None, json!({"error": {"type": kind, "message": message}}));
    if asked.authorization != format!("Bearer {TOKEN}") {
        return error(401, "AUTHENTICATION_REQUIRED", "Authentication required");
    }
    let is_closed = books.closed_until.is_some_and(|until| Instant::now() < until);
    if is_closed || !fits(books, 5, Duration::from_secs(1)) {
        if !is_closed {
            books.closed_until = Some(Instant::now() + AIRTABLE_PENALTY);
        }
        let message = "Rate limit exceeded. Please try again later";
        return (429, None, json!({"errors": [{"error": "RATE_LIMIT_REACHED", "message": message}]}));
    }
    let body = asked.json();
    match (asked.method, asked.path) {
        ("POST", "/v0/appA1b2C3/Members/listRecords") => return airtable_list(books, &body),
        ("PATCH", "/v0/appA1b2C3/Members") => {}
        _ => return (404, None, json!({"error": "NOT_FOUND"})),
    }
    let records = body["records"].as_array().cloned().unwrap_or_default();
    if !(1..=10).contains(&records.len()) {
        return error(422, "INVALID_RECORDS", "1 to 10 records can be written by one request");
    }
    let merge: Vec<&str> =
        body["performUpsert"]["fieldsToMergeOn"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let &[merge] = merge.as_slice() else {
        return error(422, "INVALID_REQUEST_UNKNOWN", "this table is told by one field which record is meant");
    };
    let names = records.iter().filter_map(|record| record["fields"].as_object()).flat_map(Map::keys);
    if let Some(name) = names.clone().find(|name| !books.properties.is_empty() && !books.properties.contains(name)) {
        return error(422, "UNKNOWN_FIELD_NAME", &format!("Unknown field name: \"{name}\""));
    }
    let key = |record: &Value| record["fields"][merge].as_str().unwrap_or_default().to_owned();
    if records.iter().map(key).any(|key| key.is_empty() || books.refused.contains(&key)) {
        return error(422, "INVALID_VALUE_FOR_COLUMN", "no record, or more than one, is meant");
    }
    books.batches.push(records.len());
    let created = records.iter().map(key).filter(|key| !books.records.contains_key(key)).collect::<Vec<_>>();
    for record in &records {
        let held = books.records.entry(key(record)).or_default();
        held.extend(record["fields"].as_object().cloned().unwrap_or_default());
    }
    (200, None, json!({"records": records, "createdRecords": created, "updatedRecords": []}))
}

/// As much of formulas as asks for records by the texts of one field. What is empty is left out of a record.
fn airtable_list(books: &Books, body: &Value) -> Answer {
    let invalid = |kind: &str| (422, None, json!({"error": {"type": kind}}));
    let page = body["pageSize"].as_u64().unwrap_or(100);
    let formula = body["filterByFormula"].as_str().unwrap_or_default();
    let inner = formula.strip_prefix("OR(").and_then(|rest| rest.strip_suffix(')')).unwrap_or_default();
    let Some((field, _)) = inner.strip_prefix('{').and_then(|rest| rest.split_once("}&\"\"=")) else {
        return invalid("INVALID_FILTER_BY_FORMULA");
    };
    let term = format!("{{{field}}}&\"\"=");
    let Some(keys) = literals(&inner.replacen(&term, "", 1).replace(&format!(",{term}"), ","), '"') else {
        return invalid("INVALID_FILTER_BY_FORMULA");
    };
    if !(1..=100).contains(&page) {
        return invalid("INVALID_REQUEST");
    }
    let names: Vec<&str> = body["fields"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let wanted = books.records.values().filter(|record| record.get(field).is_some_and(|key| keys.iter().any(|it| key == it)));
    let record = |record: &Map<String, Value>| {
        let there = record.iter().filter(|(name, value)| names.contains(&name.as_str()) && !value.is_null() && *value != "");
        json!({"id": "rec", "fields": there.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()})
    };
    let mut records: Vec<Value> = wanted.map(record).collect();
    if records.len() as u64 > page {
        records.truncate(usize::try_from(page).unwrap_or_default());
        return (200, None, json!({"records": records, "offset": "itr/rec"}));
    }
    (200, None, json!({"records": records}))
}

fn tracking(books: &mut Books, asked: &Asked<'_>) -> Answer {
    // `token-of-the-fake:` in base64.
    if asked.authorization != "Basic dG9rZW4tb2YtdGhlLWZha2U6" {
        return (401, None, json!({"message": "bad write key"}));
    }
    let calls = asked.json()["batch"].as_array().cloned().unwrap_or_default();
    let fits = |call: &Value| {
        let has_id = call["userId"].is_string() || call["anonymousId"].is_string();
        call.to_string().len() <= 32 * 1_024 && has_id && call["messageId"].as_str().is_some_and(|id| id.len() <= 100)
    };
    if asked.path != "/v1/batch" || asked.body.len() > 500_000 || calls.is_empty() || !calls.iter().all(fits) {
        return (400, None, json!({"message": "malformed"}));
    }
    books.batches.push(calls.len());
    for call in calls {
        books.messages.insert(call["messageId"].as_str().unwrap_or_default().to_owned(), call);
    }
    (200, None, json!({"success": true}))
}

fn slack(books: &mut Books, asked: &Asked<'_>) -> Answer {
    if asked.path != "/services/T0/B0/fake" {
        return (404, None, json!("no_service"));
    }
    if !fits(books, 1, Duration::from_secs(1)) {
        return (429, Some(1), json!("rate_limited"));
    }
    let number = format!("{:04}", books.messages.len());
    books.messages.insert(number, asked.json()["text"].clone());
    (200, None, json!("ok"))
}

/// The account of Twilio's fake.
pub const TWILIO_ACCOUNT: &str = "AC00000000000000000000000000000000";

/// Errors by <https://www.twilio.com/docs/api/errors>.
fn twilio(books: &mut Books, asked: &Asked<'_>) -> Answer {
    let error = |status: u16, code: u32, message: &str| {
        let more = format!("https://www.twilio.com/docs/errors/{code}");
        (status, None, json!({"code": code, "message": message, "more_info": more, "status": status}))
    };
    // The account and the token in base64.
    if asked.authorization != "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDp0b2tlbi1vZi10aGUtZmFrZQ==" {
        return error(401, 20003, "Authenticate");
    }
    if (asked.method, asked.path) != ("POST", format!("/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages.json").as_str()) {
        return error(404, 20404, "The requested resource was not found");
    }
    if !fits(books, 10, Duration::from_secs(1)) {
        return error(429, 20429, "Too Many Requests");
    }
    let fields: BTreeMap<String, String> = form(asked.body);
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let to = field("To");
    let digits = to.strip_prefix('+').filter(|rest| (7..=15).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit()));
    if digits.is_none() {
        return error(400, 21211, "Invalid 'To' Phone Number");
    }
    if field("From").is_empty() == field("MessagingServiceSid").is_empty() {
        return error(400, 21603, "A 'From' phone number is required");
    }
    if field("Body").is_empty() {
        return error(400, 21602, "Message body is required");
    }
    if field("Body").chars().count() > 1_600 {
        return error(400, 21617, "The concatenated message body exceeds the 1600 character limit");
    }
    if books.refused.iter().any(|refused| refused == to) {
        return error(400, 21610, "Attempt to send to unsubscribed recipient");
    }
    let sid = format!("SM{:032x}", books.messages.len());
    books.messages.insert(sid.clone(), json!(fields));
    (201, None, json!({"sid": sid, "status": "queued", "to": to, "error_code": null}))
}

/// Gives a token for what a service account says of itself; that its signatures hold is tested where they are made.
fn assertion(books: &mut Books, asked: &Asked<'_>) -> Answer {
    let fields = form(asked.body);
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let claims = field("assertion").split('.').nth(1).and_then(|part| BASE64URL_NOPAD.decode(part.as_bytes()).ok());
    let claims: Value = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let lasts = claims["exp"].as_i64().unwrap_or_default() - claims["iat"].as_i64().unwrap_or_default();
    let proves = field("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        && claims["scope"] == "https://www.googleapis.com/auth/spreadsheets"
        && claims["iss"].as_str().is_some_and(|email| email.contains('@'))
        && claims["aud"].as_str().is_some_and(|url| url.ends_with(asked.path))
        && (1..=3_600).contains(&lasts);
    if !proves {
        return (400, None, json!({"error": "invalid_grant", "error_description": "Invalid JWT"}));
    }
    books.tokens += 1;
    books.token = format!("ya29.{}", books.tokens);
    (200, None, json!({"access_token": books.token, "expires_in": 3599, "token_type": "Bearer"}))
}

/// Errors by <https://cloud.google.com/apis/design/errors>, limits by <https://developers.google.com/workspace/sheets/api/limits>.
fn sheets(books: &mut Books, asked: &Asked<'_>) -> Answer {
    let error = |code: u16, status: &str, message: &str| {
        (code, None, json!({"error": {"code": code, "message": message, "status": status}}))
    };
    if books.token.is_empty() || asked.authorization != format!("Bearer {}", books.token) {
        return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.");
    }
    if !fits(books, 60, Duration::from_secs(60)) {
        return error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Write requests'");
    }
    const VALUES: &str = "/v4/spreadsheets/1AbC-d_E/values";
    let answered = match (asked.method, asked.path.strip_prefix(VALUES).unwrap_or_default()) {
        ("GET", ":batchGet") => return sheet_columns(books, asked.query),
        ("POST", ":batchUpdate") => return sheet_changes(books, &asked.json()),
        ("POST", "/%27Club%27%27s%20cards%27%21A%3AA:append") => true,
        _ => false,
    };
    if !answered {
        return error(400, "INVALID_ARGUMENT", "Unable to parse range");
    }
    if asked.query != "valueInputOption=RAW&insertDataOption=INSERT_ROWS" {
        return error(400, "INVALID_ARGUMENT", "values would be computed or overwritten");
    }
    let rows: Vec<Vec<Value>> = serde_json::from_value(asked.json()["values"].clone()).unwrap_or_default();
    let is_cell = |cell: &Value| match cell {
        Value::String(text) => text.chars().count() <= 50_000,
        other => other.is_number() || other.is_boolean(),
    };
    if rows.is_empty() || asked.body.len() > 2_000_000 || !rows.iter().flatten().all(is_cell) {
        return error(400, "INVALID_ARGUMENT", "Invalid values");
    }
    if books.most_rows.is_some_and(|most| books.rows.len() + rows.len() > most) {
        let message = "This action would increase the number of cells in the workbook above the limit of 10000000 cells.";
        return error(400, "INVALID_ARGUMENT", message);
    }
    if rows.iter().any(|row| row.iter().any(|cell| books.refused.iter().any(|refused| cell == refused))) {
        return error(400, "INVALID_ARGUMENT", "Invalid values");
    }
    books.batches.push(rows.len());
    books.rows.extend(rows);
    (200, None, json!({"spreadsheetId": "1AbC-d_E", "updates": {}}))
}

/// Whole columns of a sheet, without the empty cells at their ends
/// (<https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/batchGet>).
fn sheet_columns(books: &Books, query: &str) -> Answer {
    let asked = query.split('&').filter_map(|pair| pair.strip_prefix("ranges=%27Club%27%27s%20cards%27%21"));
    let ranges = asked.filter_map(|cells| cells.split_once("%3A")).filter(|(from, to)| from == to && from.len() == 1);
    let column = |letter: &str| usize::from(letter.as_bytes()[0] - b'A');
    let values = |at: usize| {
        let mut cells: Vec<Value> = books.rows.iter().map(|row| row.get(at).cloned().unwrap_or_else(|| "".into())).collect();
        while cells.pop_if(|cell| cell == "").is_some() {}
        if cells.is_empty() { json!({}) } else { json!({ "values": [cells] }) }
    };
    let found: Vec<Value> = ranges.map(|(letter, _)| values(column(letter))).collect();
    (200, None, json!({ "spreadsheetId": "1AbC-d_E", "valueRanges": found }))
}

/// Overwrites rows, all or none
/// (<https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/batchUpdate>).
fn sheet_changes(books: &mut Books, body: &Value) -> Answer {
    let mut rows = books.rows.clone();
    let change = |(rows, part): (&mut Vec<Vec<Value>>, &Value)| {
        let cells = part["range"].as_str()?.strip_prefix("'Club''s cards'!A")?;
        let number: usize = cells.split_once(':')?.0.parse().ok()?;
        let [new]: [Vec<Value>; 1] = serde_json::from_value(part["values"].clone()).ok()?;
        let refused = new.iter().any(|cell| books.refused.iter().any(|refused| cell == refused));
        let row = rows.get_mut(number.checked_sub(1)?).filter(|_| !refused)?;
        row.resize(row.len().max(new.len()), "".into());
        row.iter_mut().zip(new).for_each(|(cell, new)| *cell = new);
        Some(())
    };
    let parts = body["data"].as_array().cloned().unwrap_or_default();
    let taken = parts.iter().try_for_each(|part| change((&mut rows, part)));
    if body["valueInputOption"] != "RAW" || parts.is_empty() || taken.is_none() {
        let error = json!({"code": 400, "message": "Invalid data", "status": "INVALID_ARGUMENT"});
        return (400, None, json!({ "error": error }));
    }
    books.batches.push(parts.len());
    books.rows = rows;
    (200, None, json!({ "spreadsheetId": "1AbC-d_E", "totalUpdatedRows": parts.len() }))
}

/// The fields of a form (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>).
fn form(body: &[u8]) -> BTreeMap<String, String> {
    let plain = |text: &str| {
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((first, after)) = rest.split_first() {
            let coded = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            match (first, coded) {
                (b'%', Some(byte)) => {
                    bytes.push(byte);
                    rest = &after[2..];
                    continue;
                }
                (b'+', _) => bytes.push(b' '),
                _ => bytes.push(*first),
            }
            rest = after;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let text = String::from_utf8_lossy(body);
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (plain(name), plain(value))).collect()
}
