//! Marks by which a Passbridge recognises its own news when it comes back by webhooks, as mail servers and caches do it (`Received`,
//! `CDN-Loop`). They say which organizations were passed, and stand beside whatever shape the webhook has.

use domain::{Event, OrgId, Via};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The organizations that an event came through, the sender the last of them.
const EVENT: HeaderName = HeaderName::from_static("passbridge-via");
/// The organizations whose pass the event's pass mirrors.
const PASS: HeaderName = HeaderName::from_static("passbridge-pass-via");

/// Marks a request that tells of an event.
pub fn mark(headers: &mut HeaderMap, event: &Event) {
    let mut through = event.cause.via().to_vec();
    through.retain(|org| *org != event.org);
    through.push(event.org);
    insert(headers, EVENT, &through);
    if let Some(pass) = event.image.pass.as_ref().filter(|pass| !pass.origin.via.is_empty()) {
        insert(headers, PASS, &pass.origin.via);
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, orgs: &[OrgId]) {
    let orgs: Vec<String> = orgs.iter().map(OrgId::to_string).collect();
    if let Ok(value) = HeaderValue::try_from(orgs.join(", ")) {
        headers.insert(name, value);
    }
}

/// The marks of a request; those that cannot be read are nobody's.
pub fn read(headers: &HeaderMap) -> Via {
    let orgs = |name: HeaderName| {
        let all = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        all.flat_map(|value| value.split(',')).filter_map(|org| org.trim().parse().ok()).take(Via::MOST).collect()
    };
    Via { event: orgs(EVENT), pass: orgs(PASS) }
}

/// Keeps marks with an event as flows see it: the last member of a name counts.
pub fn keep(payload: &mut String, via: &Via) {
    let Some(open) = payload.trim_end().strip_suffix('}') else { return };
    if via.is_empty() || !payload.trim_start().starts_with('{') {
        return;
    }
    let Ok(marks) = serde_json::to_string(via) else { return };
    let comma = if open.trim_end().ends_with('{') { "" } else { "," };
    *payload = format!("{open}{comma}\"via\":{marks}}}");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn marks_are_read_as_they_were_sent_and_others_are_nobodys() {
        let org = |n: u128| OrgId::from_uuid(Uuid::from_u128(n));
        let mut headers = HeaderMap::new();
        assert!(read(&headers).is_empty());
        insert(&mut headers, EVENT, &[org(1), org(2)]);
        headers.append(EVENT, HeaderValue::from_static("nobody, ,"));
        headers.append(EVENT, HeaderValue::try_from(org(3).to_string()).unwrap());
        insert(&mut headers, PASS, &[org(2), org(4)]);
        let via = read(&headers);
        assert_eq!(via, Via { event: vec![org(1), org(2), org(3)], pass: vec![org(2), org(4)] });
        assert_eq!(via.all(), [org(1), org(2), org(3), org(4)]);
        insert(&mut headers, EVENT, &[org(9); 99]);
        assert_eq!(read(&headers).event.len(), Via::MOST);
    }

    #[test]
    fn an_event_keeps_its_marks_and_what_it_said() {
        let org = OrgId::from_uuid(Uuid::from_u128(7));
        let via = Via { event: vec![org], pass: Vec::new() };
        for (payload, said) in
            [("{}", json!({})), (r#"{"a":1e400,"via":"web"} "#, Value::Null), (r#"{"b":{}}"#, json!({"b": {}}))]
        {
            let mut kept = payload.to_owned();
            keep(&mut kept, &via);
            assert!(kept.ends_with(&format!(r#""via":{{"event":["{org}"],"pass":[]}}}}"#)), "{kept}");
            if let (Ok(Value::Object(mut read)), Value::Object(said)) = (serde_json::from_str(&kept), said) {
                assert_eq!(serde_json::from_value::<Via>(read.remove("via").unwrap()).unwrap(), via);
                assert_eq!(read, said);
            }
        }
        for payload in ["[]", "7", "", "}"] {
            let mut kept = payload.to_owned();
            keep(&mut kept, &via);
            assert_eq!(kept, payload);
        }
    }
}
