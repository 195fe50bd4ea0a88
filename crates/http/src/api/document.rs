//! The OpenAPI document, completed: what every operation has in common is added here once.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// Completes what the operations say about themselves.
pub(crate) fn complete(document: OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Passbridge",
        "version": "1",
        "summary": "Wallet passes for Apple and Google, issued by business events.",
        "description": DESCRIPTION,
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["components"]["securitySchemes"] =
        json!({ "key": { "type": "http", "scheme": "bearer", "description": "An API key, `pbk_...`." } });
    add_problem_schema(&mut document);
    merge_flattened(&mut document);
    for (path, method, operation) in operations(&mut document) {
        complete_operation(&path, &method, operation);
    }
    document
}

const DESCRIPTION: &str = "\
Authenticate with an API key: `Authorization: Bearer pbk_...`. A key with the operator scope names the organization that it \
works in by the header `Passbridge-Organization`.\n\n\
Errors are problem details (RFC 9457) with a stable `code`, and with the path of every value that does not fit.\n\n\
A `POST` that makes something, and any request that changes passes or contacts, may carry an `Idempotency-Key`: the same \
request again gives the same answer with `Idempotency-Replayed: true`, another request under the same key gives 409. Keys are \
kept for 30 days.\n\n\
Lists are read with `limit` and the `next_cursor` of the page before; a cursor that was changed, or comes from another list, is \
refused. Versions are `ETag`s; `If-Match` guards a change, of what has one.\n\n\
A `PUT` takes what the `GET` beside it gives: what only reading shows, such as an id, is passed over. A secret that is shown as \
null, or not at all, stays as it is stored. Signers want their certificate and key again, the scan keys nothing but what they \
take, a flow is sent back as its `document`, and a template with a draft as that draft's `design`.\n\n\
Every answer says in `RateLimit` what is left of the key's limit.";

/// Ends of paths that may be posted to as often as one likes: they make nothing, or name what they make themselves.
const REPEATED: [&str; 21] = [
    "/links",
    "/v1/doctor",
    "/flows/test",
    "/mapping-suggestion",
    "/mapping-test",
    "/transformations/test",
    "/{webhook}/test",
    "/{destination}/test",
    "/replay",
    "/publish",
    "/pause",
    "/resume",
    "/cancel",
    "/scans/batch",
    "/{scan}/undo",
    "/comparison",
    "/restore",
    "/google-check",
    "/{batch}/run",
    "/{sync}/run",
    "/{sync}/try",
];

/// Types of bodies that are files, beside images.
const BINARY: [&str; 3] = ["application/octet-stream", "application/vnd.apple.pkpass", "application/zip"];

fn operations(document: &mut Value) -> Vec<(String, String, &mut Map<String, Value>)> {
    let mut found = Vec::new();
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            found.extend(operation.as_object_mut().map(|operation| (path.clone(), method.clone(), operation)));
        }
    }
    found
}

/// Adds the parameters and answers that follow from the method, the path and the body.
fn complete_operation(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let has_body = operation.contains_key("requestBody");
    mend_body(operation);
    let commands = method != "get" && (path.starts_with("/v1/passes") || path.starts_with("/v1/contacts"));
    let happens_once = commands || (method == "post" && !REPEATED.iter().any(|end| path.ends_with(end)));
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(list) = parameters.as_array_mut() {
        list.push(json!({
            "name": "Passbridge-Organization", "in": "header", "required": false,
            "description": "The organization to work in; only for keys with the operator scope.",
            "schema": { "$ref": "#/components/schemas/Id" },
        }));
        if happens_once {
            list.push(json!({
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "Names this request: the same one again gives the same answer.",
                "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
            }));
        }
    }
    let mut common = vec![(400, "A parameter or the body cannot be read."), (401, "No valid API key.")];
    common.extend([(403, "The key lacks the scope."), (404, "No such thing, or not in this organization.")]);
    if method != "get" {
        common.push((409, "It contradicts what there is; `code` says how."));
        common.push((412, "Changed meanwhile."));
    }
    if commands || ["/v1/deliveries", "/test", "/replay"].iter().any(|end| method == "post" && path.ends_with(end)) {
        common.push((410, "Whom it is about has been erased."));
    }
    if commands && !has_body {
        common.push((422, "Values do not fit; `errors` says which."));
    }
    if has_body {
        common.extend([(408, "The body is too slow."), (413, "The body is too long."), (415, "The body is of another type.")]);
        common.push((422, "Values do not fit; `errors` says which."));
    }
    common.extend([(429, "Too many requests: wait as `Retry-After` says."), (500, "A fault of ours.")]);
    common.push((503, "The database does not answer now: try again as `Retry-After` says."));
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, description) in common {
        responses.entry(status.to_string()).or_insert_with(|| problem_response(description));
    }
}

/// A body that may be left out is still no `null`, and a file is no list of numbers.
fn mend_body(operation: &mut Map<String, Value>) {
    let contents = operation.get_mut("requestBody").and_then(|body| body["content"].as_object_mut());
    for (media, content) in contents.into_iter().flatten() {
        if media.starts_with("image/") || BINARY.contains(&media.as_str()) {
            content["schema"] = json!({ "type": "string", "format": "binary" });
        }
        let sole = content["schema"]["oneOf"].as_array().and_then(|choices| choices.iter().find(|it| it["type"] != "null"));
        if let Some(sole) = sole.cloned() {
            content["schema"] = sole;
        }
    }
}

fn problem_response(description: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } })
}

fn add_problem_schema(document: &mut Value) {
    use utoipa::{PartialSchema, ToSchema};
    let mut schemas = Vec::new();
    crate::problem::ProblemBody::schemas(&mut schemas);
    schemas.push((crate::problem::ProblemBody::name().into_owned(), crate::problem::ProblemBody::schema()));
    for (name, schema) in schemas {
        document["components"]["schemas"][name] = serde_json::to_value(schema).unwrap_or_default();
    }
}

/// A struct within a struct comes out as `allOf`, in which closed objects contradict each other: they are made one object.
fn merge_flattened(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    merge_within(document, &schemas);
}

fn merge_within(part: &mut Value, schemas: &Map<String, Value>) {
    if let Some(parts) = part.get("allOf").and_then(Value::as_array) {
        let mut whole = json!({ "type": "object", "properties": {}, "required": [] });
        parts.iter().for_each(|part| absorb(&mut whole, part, schemas));
        if let Some(description) = part.get("description") {
            whole["description"] = description.clone();
        }
        *part = whole;
    }
    state_range(part);
    match part {
        Value::Object(fields) => fields.values_mut().for_each(|part| merge_within(part, schemas)),
        Value::Array(list) => list.iter_mut().for_each(|part| merge_within(part, schemas)),
        _ => {}
    }
}

/// The names of integer formats mean signed ones; our own numbers of 32 bits have no sign.
fn state_range(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    let unsigned = fields.get("minimum").and_then(Value::as_f64).is_some_and(|least| least >= 0.0);
    if fields.get("format").is_some_and(|format| format == "int32" || format == "int64") {
        if unsigned && fields.get("format") == Some(&json!("int32")) {
            fields.entry("maximum").or_insert(json!(u32::MAX));
        }
        fields.remove("format");
    }
}

fn absorb(whole: &mut Value, part: &Value, schemas: &Map<String, Value>) {
    if let Some(name) = part.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        return schemas.get(name).map_or((), |named| absorb(whole, named, schemas));
    }
    for nested in part.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        absorb(whole, nested, schemas);
    }
    if let (Some(from), Some(to)) = (part.get("properties").and_then(Value::as_object), whole["properties"].as_object_mut()) {
        to.extend(from.clone());
    }
    if let (Some(from), Some(to)) = (part.get("required").and_then(Value::as_array), whole["required"].as_array_mut()) {
        to.extend(from.clone());
    }
}
