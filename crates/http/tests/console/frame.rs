//! Signing in and out, sessions, whose pages they are, and what the API refuses.

use std::time::Duration;

use domain::{OrgId, Organization, Scope};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    server::{NOW, Server, System},
};

#[tokio::test(flavor = "multi_thread")]
async fn one_signs_in_with_a_key_and_comes_where_one_wanted() {
    let server = Server::start().await;
    let browser = Browser::new(&server);
    let page = browser.open("/console/organizations?cursor=x").await;
    assert!(page.path.starts_with("/console/sign-in?next="), "{:?}", page.way);
    let wrong = browser.submit(&page, "/console/sign-in", &[("key", "pbk_wrong")]).await;
    assert_eq!(wrong.reply.status.as_u16(), 401);
    wrong.expect(&["That is no valid API key.", "value=\"/console/organizations?cursor=x\""]);
    assert!(!wrong.has("pbk_wrong") && browser.cookies().is_empty());

    let asked = browser.open("/console").await;
    let form = asked.form("/console/sign-in");
    let body = format!("next=%2Fconsole&key={}", server.admin);
    assert!(form.values.iter().any(|(name, _)| name == "next"));
    let reply = browser.once("POST", "/console/sign-in", &body).await;
    let cookie = reply.header("set-cookie");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/console;", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "plain http here");
    assert!(!cookie.contains(&server.admin) && !cookie.contains("pbk_"), "sealed");
    let home = browser.see("/console").await;
    home.expect(&["Ours", "Test", "Sign out", "aria-current=\"page\""]);
    assert_eq!(home.reply.header("cache-control"), "no-store");
    assert_eq!(home.reply.header("referrer-policy"), "same-origin");
    assert!(home.reply.header("content-security-policy").contains("default-src 'none'"));
    assert!(!home.has("style=") && !home.has(&server.admin));

    let away = browser.submit(&home, "/console/sign-out", &[]).await;
    assert!(away.path.starts_with("/console/sign-in") && browser.cookies().is_empty());
    assert!(browser.open("/console").await.path.starts_with("/console/sign-in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_elsewhere() {
    let server = Server::start().await;
    for next in ["https://evil.example/", "//evil.example", "/console/../v1/keys\\", "/p/x"] {
        let browser = Browser::new(&server);
        let page = browser.open(&format!("/console/sign-in?next={}", crate::browser::encode(next))).await;
        let page = browser.submit(&page, "/console/sign-in", &[("key", &server.admin)]).await;
        assert_eq!(page.path, "/console", "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_time_its_key_or_a_changed_cookie() {
    let server = Server::start().await;
    let made = server.post("/v1/keys", json!({"name": "Desk", "scopes": ["passes_read", "config_read"]})).await.expect(201);
    let browser = Browser::with(&server, made["secret"].as_str().unwrap()).await;
    browser.see("/console").await.expect(&["Desk"]);
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(204);
    assert!(browser.open("/console").await.path.starts_with("/console/sign-in"), "revoked");
    assert!(browser.cookies().is_empty());

    let browser = Browser::admin(&server).await;
    let held = browser.cookies();
    let (name, value) = held.split_once('=').unwrap();
    let middle = value.len() / 2;
    let other = if value.as_bytes()[middle] == b'A' { "B" } else { "A" };
    browser.set_cookie(name, &format!("{}{other}{}", &value[..middle], &value[middle + 1..]));
    assert!(browser.open("/console").await.path.starts_with("/console/sign-in"), "changed");
    // Their organization cannot open what was sealed under ours.
    browser.set_cookie(name, "AAAA");
    assert!(browser.open("/console").await.path.starts_with("/console/sign-in"), "nonsense");
    browser.set_cookie(name, value);
    browser.see("/console").await;
    server.forward(Duration::from_secs(12 * 3_600 - 1));
    browser.see("/console").await;
    server.forward(Duration::from_secs(1));
    assert!(browser.open("/console").await.path.starts_with("/console/sign-in"), "twelve hours later");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_site_sends_does_nothing() {
    let server = Server::start().await;
    let browser = Browser::admin(&server).await;
    let (cookies, own) = (browser.cookies(), format!("http://{}", server.address));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let post = async |more: &[(&str, &str)]| {
        let headers = [&[("cookie", cookies.as_str()), form], more].concat();
        server.send("POST", "/console/sign-out", &headers, "").await.status.as_u16()
    };
    assert_eq!(post(&[]).await, 403, "no word of where it comes from");
    assert_eq!(post(&[("origin", "https://evil.example")]).await, 403);
    assert_eq!(post(&[("origin", "null")]).await, 403);
    assert_eq!(post(&[("origin", &own), ("sec-fetch-site", "cross-site")]).await, 403);
    assert_eq!(post(&[("sec-fetch-site", "same-site")]).await, 403);
    browser.see("/console").await;
    assert_eq!(post(&[("origin", &own)]).await, 303);
    assert_eq!(post(&[("origin", "http://localhost:8080")]).await, 303, "the public address");
    assert_eq!(post(&[("sec-fetch-site", "same-origin")]).await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_may_not_do_is_said() {
    let server = Server::start().await;
    let browser = Browser::scoped(&server, &[Scope::Scan]).await;
    let page = browser.open("/console/passes").await;
    assert_eq!(page.reply.status.as_u16(), 403);
    page.expect(&["Not allowed with this key", "passes_read", "<code>scan</code>", "Sign out"]);
    let missing = browser.open("/console/nothing/there").await;
    assert_eq!(missing.reply.status.as_u16(), 404);
    missing.expect(&["There is nothing at this address.", "Sign out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_chooses_an_organization_and_nobody_else_does() {
    let server = Server::start().await;
    let odd = OrgId::mint(NOW, &System);
    let organization = Organization { id: odd, name: "<script>alert(1)</script>".to_owned(), created_at: NOW };
    server.store.create_org(&organization, "{}".to_owned(), NOW).await.unwrap();
    server.post("/v1/projects", crate::server::Things::bare_project("club")).await.expect(201);
    let operator = server.key(server.theirs, &[Scope::Operator, Scope::Admin]).await;
    let browser = Browser::with(&server, &operator).await;
    let page = browser.open("/console/organizations").await;
    page.expect(&["Ours", "Theirs", "You are here", "&lt;script&gt;alert(1)"]);
    assert!(!page.has("<script>alert"));
    let choose = |org: OrgId| {
        let forms = page.forms("/console/organizations");
        let wanted = ("organization".to_owned(), org.to_string());
        forms.into_iter().find(|form| form.values.contains(&wanted)).expect("a button for each")
    };
    let home = browser.send(&choose(server.ours), &[]).await;
    assert_eq!(home.path, "/console");
    home.expect(&["You work in Ours now.", "Club"]);
    assert!(!browser.see("/console").await.has("You work in Ours now."), "a notice is shown once");
    let home = browser.send(&choose(odd), &[]).await;
    home.expect(&["&lt;script&gt;alert(1)&lt;/script&gt;", "There is no project yet."]);
    assert!(!home.has("<script>alert"));

    let stranger = Browser::with(&server, &server.stranger).await;
    let refused = stranger.open("/console/organizations").await;
    assert_eq!(refused.reply.status.as_u16(), 403);
    let body = format!("organization={}", server.ours);
    assert_eq!(stranger.once("POST", "/console/organizations", &body).await.status.as_u16(), 403);
    let page = stranger.see("/console").await;
    page.expect(&["Theirs"]);
    assert!(!page.has("Ours"));
}

#[tokio::test(flavor = "multi_thread")]
async fn style_and_scripts_are_our_own_files() {
    let server = Server::start().await;
    for name in ["console.css", "console.js", "console-live.js"] {
        let reply = server.send("GET", &format!("/console/assets/{name}"), &[], "").await;
        assert_eq!(reply.status.as_u16(), 200);
        let again = [("if-none-match", reply.header("etag"))];
        assert_eq!(server.send("GET", &format!("/console/assets/{name}"), &again, "").await.status.as_u16(), 304);
        assert!(!reply.text().contains("http://") && !reply.text().contains("https://"), "nothing from elsewhere");
    }
    assert_eq!(server.send("GET", "/console/assets/other.js", &[], "").await.status.as_u16(), 404);
}
