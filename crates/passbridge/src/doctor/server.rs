//! The running server: its set-up, and designs of it.

use anyhow::Context as _;
use bytes::Bytes;
use domain::{Clock as _, Timestamp};
use http::Method;
use pkpass::Severity;
use serde_json::{Value, json};

use super::{
    Args,
    report::{Line, Report},
    service,
};
use crate::{conformance::network, system::SystemClock};

/// How far the server's clock and this one may be apart, in seconds.
const CLOCK_SECONDS: i64 = 300;
const VALIDATE: &str = "https://developers.google.com/wallet/reference/rest/v1/jwt";
const BUILDING: &str = "https://developer.apple.com/documentation/walletpasses/building-a-pass";

/// The set-up as a whole, and the web service as a phone meets it.
pub(super) async fn whole(args: &Args) -> anyhow::Result<Vec<Report>> {
    let api = args.server.api()?;
    let told = api.call(Method::GET, "/v1/doctor", None).await?;
    let mut report = read(&api.url(""), &told);
    let here = SystemClock.now();
    if let Some(there) = told["checked_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok()) {
        let apart = there.as_seconds() - here.as_seconds();
        if apart.abs() > CLOCK_SECONDS {
            report.lines.push(Line {
                severity: Severity::Lost,
                place: "server, clock".to_owned(),
                rule: "clock".to_owned(),
                consequence: format!("its clock and that of this machine are {apart} seconds apart: passes signed in the future are invalid until then"),
                mend: "let both follow a time server".to_owned(),
                source: BUILDING.to_owned(),
            });
        }
    }
    for end in told["calendar"].as_array().into_iter().flatten() {
        let text = |name: &str| end[name].as_str().unwrap_or_default();
        let day = text("at").split('T').next().unwrap_or_default();
        report.notes.push(format!("{day}  {} {} ends, in {} days", text("kind"), text("name"), end["in_days"]));
    }
    report.more.insert("calendar".to_owned(), told["calendar"].clone());
    let mut reports = vec![report];
    if let Some(url) = told["public_url"].as_str() {
        reports.push(service::asked(&network(&args.tls_root)?, &format!("{url}/apple"), None).await);
    }
    Ok(reports)
}

/// A template of the server.
pub(super) async fn template(args: &Args, id: &str) -> anyhow::Result<Vec<Report>> {
    let path = format!("/v1/templates/{id}/report");
    let told = args.server.api()?.call(Method::GET, &path, None).await?;
    let mut report = read(id, &told);
    for problem in told["problems"].as_array().into_iter().flatten() {
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        report.lines.insert(
            0,
            Line {
                severity: Severity::Refused,
                place: text("path"),
                rule: "design".to_owned(),
                consequence: "it cannot be published".to_owned(),
                mend: text("message"),
                source: "/docs".to_owned(),
            },
        );
    }
    ask_google(args, id, &mut report).await?;
    Ok(vec![report])
}

/// What Google itself says, where the template's project has an account there.
async fn ask_google(args: &Args, id: &str, report: &mut Report) -> anyhow::Result<()> {
    let path = format!("/v1/templates/{id}/google-check");
    let reply = args.server.api()?.send(Method::POST, &path, &[], Bytes::new()).await?;
    let told: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| told[name].as_str().unwrap_or_default();
    match (reply.status.as_u16(), text("verdict")) {
        (200, "accepted") => report.notes.push("Google would take such passes (jwt.validate)".to_owned()),
        (200, "refused") => report.lines.insert(
            0,
            Line {
                severity: Severity::Refused,
                place: "google".to_owned(),
                rule: "jwt_validate".to_owned(),
                consequence: format!("Google would not take such passes: {}", text("why")),
                mend: text("mend").to_owned(),
                source: VALIDATE.to_owned(),
            },
        ),
        (200, _) => report.notes.push(format!("Google could not be asked: {}", text("why"))),
        (409, _) => report.notes.push(format!("Google was not asked: {}", text("detail"))),
        (202, _) => report.notes.push("Google has not answered yet: ask again".to_owned()),
        (status, _) => report.notes.push(format!("Google was not asked: the server answered {status} {}", text("detail"))),
    }
    report.more.insert("google".to_owned(), told.clone());
    Ok(())
}

/// A template in a file, as for `POST /v1/templates`.
pub(super) async fn trial(args: &Args, name: &str, file: &[u8]) -> anyhow::Result<Vec<Report>> {
    let template: Value = serde_json::from_slice(file).with_context(|| format!("{name} is no JSON"))?;
    let told = args.server.api()?.call(Method::POST, "/v1/doctor", Some(&json!({"template": template}))).await?;
    Ok(vec![read(name, &told)])
}

fn read(subject: &str, told: &Value) -> Report {
    let lines = told["findings"].as_array().into_iter().flatten().map(Line::read).collect();
    let mut report = Report::new(subject, lines);
    for loss in told["losses"].as_array().into_iter().flatten() {
        let text = |name: &str| loss[name].as_str().unwrap_or_default();
        let systems: Vec<&str> = loss["systems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        report.notes.push(format!("{}: {}: {}", systems.join(", "), text("path"), text("effect")));
    }
    if !told["losses"].is_null() {
        report.more.insert("losses".to_owned(), told["losses"].clone());
    }
    report
}
