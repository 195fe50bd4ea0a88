//! The scanner page: whoever has a key of the scope `scan` scans with a camera, a keyboard wedge or by hand.
//!
//! The page is the same for everybody and holds nothing: the key is given to its script, which asks the API. What it shows of a
//! scan is what `POST /v1/scans/batch` answers; without a network it is what the published keys prove.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, header};
use maud::html;

use super::page;

/// The scripts and the style of the page, by path, with their types.
const FILES: [(&str, &str, &str); 3] = [
    ("/assets/scan.js", "text/javascript; charset=utf-8", include_str!("../../assets/scan.js")),
    ("/assets/scan-code.js", "text/javascript; charset=utf-8", include_str!("../../assets/scan-code.js")),
    ("/assets/scan.css", "text/css; charset=utf-8", include_str!("../../assets/scan.css")),
];
const WORKER: &str = include_str!("../../assets/scan-worker.js");
const WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");

pub(super) fn routes() -> axum::Router<std::sync::Arc<crate::App>> {
    let mut routes =
        axum::Router::new().route("/scan", axum::routing::get(show)).route("/scan/worker.js", axum::routing::get(worker));
    for (path, media, text) in FILES {
        routes = routes.route(path, axum::routing::get(async move || ([(header::CONTENT_TYPE, media)], text)));
    }
    routes
}

/// The page.
async fn show() -> Response {
    let body = html! {
        main.scanner {
            h1 { "Scanner" }
            form #sign-in {
                label for="key" { "Scanner key" }
                input #key name="key" type="password" autocomplete="off" required;
                p.fault #sign-in-fault role="alert" {}
                button type="submit" { "Sign in" }
            }
            section #reader hidden {
                div #result role="status" aria-live="assertive" { span { "Scan a pass" } }
                form #scan {
                    label for="code" { "Code" }
                    input #code name="code" autocomplete="off" autocapitalize="off" spellcheck="false";
                    button type="submit" { "Scan" }
                }
                button #start-camera type="button" hidden { "Use the camera" }
                video #camera muted playsinline hidden {}
                p.standing {
                    span #standing {}
                    button #sign-out type="button" { "Sign out" }
                }
                details {
                    summary { "Who and where" }
                    label for="operator" { "Who scans" }
                    input #operator;
                    label for="location" { "Where" }
                    input #location;
                    label for="project" { "Only passes of this project (its id)" }
                    input #project;
                }
                ol #history {}
            }
            script type="module" src="/assets/scan.js" {}
        }
    };
    page("Scanner", &["/assets/scan.css".to_owned()], &body).into_response()
}

/// What keeps the page, so that it opens without a network.
async fn worker() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (WORKER_ALLOWED, "/scan")], WORKER).into_response()
}
