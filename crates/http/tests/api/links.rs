//! Enrolment links: ours, and PassKit's SmartPass as its two published generators write it; the rules of the form.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::server::{Reply, Server, Things};

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

struct Club {
    server: Server,
    path: String,
    project: Value,
}

impl Club {
    /// A project whose page is open, with these rules.
    async fn start(rules: Value) -> Self {
        let server = Server::start().await;
        let things = server.furnish().await;
        let path = format!("/v1/projects/{}", things.id("project"));
        let mut project = server.get(&path).await.expect(200);
        for name in ["id", "created_at"] {
            project.as_object_mut().unwrap().remove(name);
        }
        project["enrolment"] = json!(true);
        let mut club = Self { server, path, project };
        club.rule(rules).await;
        club
    }

    async fn rule(&mut self, rules: Value) -> Value {
        self.project["enrolment_rules"] = rules;
        self.server.call(&self.server.admin, "PUT", &self.path, &self.project).await.expect(200)
    }

    async fn passes(&self) -> usize {
        self.server.get("/v1/passes").await.expect(200)["data"].as_array().unwrap().len()
    }

    /// What a browser does with a link: shows it, and sends its form.
    async fn open(&self, query: &str) -> Reply {
        let before = self.passes().await;
        let page = self.server.send("GET", &format!("/e/club?{query}"), &[], "").await;
        assert_eq!(page.status.as_u16(), 200, "{}", page.text());
        assert!(page.text().contains("data-by-itself") && page.text().contains("/assets/enrol.js"), "{}", page.text());
        assert!(page.header("cache-control").contains("no-store"));
        assert_eq!(self.passes().await, before, "looking issues nothing");
        self.server.send("POST", "/e/club?", &FORM, hidden(&page.text())).await
    }

    async fn pass_at(&self, location: &str) -> domain::Pass {
        let code = location.strip_prefix("/p/").unwrap();
        let passes = self.server.store.passes(self.server.ours, None, None, None, 50).await.unwrap();
        passes.into_iter().find(|pass| pass.code.to_string() == code).unwrap()
    }
}

/// The hidden inputs of a page, as a form sends them.
fn hidden(page: &str) -> String {
    let mut sent = Vec::new();
    for input in page.split("<input type=\"hidden\" name=\"").skip(1) {
        let (name, rest) = input.split_once("\" value=\"").unwrap();
        let value = rest.split_once('"').unwrap().0.replace("&amp;", "&");
        sent.push((name.to_owned(), value));
    }
    serde_urlencoded::to_string(sent).unwrap()
}

/// AES-256-CBC by openssl.
fn encrypt(key: &str, iv: &str, text: &str) -> Vec<u8> {
    let mut openssl = Command::new("openssl");
    openssl.args(["enc", "-aes-256-cbc", "-K", key, "-iv", iv]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = openssl.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    done.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_ours_issues_on_the_first_visit() {
    let mut club = Club::start(json!({})).await;
    let links = format!("{}/links", club.path);
    let wish = json!({"contact": {"name": "Ada Example", "email": "ada@example.com"}, "variant": "base",
        "fields": {"tier": "Gold"}, "balances": {"points": "12.5"}, "utm": {"source": "letter"}});
    let made = club.server.post(&links, wish).await.expect(200);
    let url = made["url"].as_str().unwrap();
    assert!(!url.contains("Ada") && url.starts_with("http://localhost:8080/e/club?link="), "{url}");
    let query = format!("{}&utm_medium=mail", url.split_once('?').unwrap().1);
    let first = club.open(&query).await;
    assert_eq!(first.status.as_u16(), 303, "{}", first.text());
    let again = club.open(&query).await;
    assert_eq!(again.header("location"), first.header("location"), "the same pass");
    let pass = club.pass_at(first.header("location")).await;
    assert_eq!((pass.fields["tier"].to_string(), pass.balances["points"].to_string()), ("Gold".to_owned(), "12.5".to_owned()));
    assert_eq!(json!(pass.origin.utm), json!({"source": "letter", "medium": "mail"}));

    let tampered = format!("{}A", url.split_once('?').unwrap().1);
    assert_eq!(club.server.send("GET", &format!("/e/club?{tampered}"), &[], "").await.status.as_u16(), 404);
    club.rule(json!({"link_epoch": 1})).await;
    assert_eq!(club.server.send("GET", &format!("/e/club?{query}"), &[], "").await.status.as_u16(), 404, "void now");

    let wrong = json!({"variant": "none", "fields": {"colour": "red"}, "balances": {"miles": "1"}});
    let wrong = club.server.post(&links, wrong).await;
    assert_eq!(wrong.problem(422), "invalid");
    for path in ["variant", "fields.colour", "balances.miles"] {
        assert!(wrong.text().contains(path), "{}", wrong.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_printed_leads_to_a_project_that_has_another_slug_now() {
    let mut club = Club::start(json!({})).await;
    let made = club.server.post(&format!("{}/links", club.path), json!({"fields": {"tier": "Gold"}})).await.expect(200);
    let query = made["url"].as_str().unwrap().split_once('?').unwrap().1.to_owned();
    // It names the project by its slug, and nothing else here is about it.
    let flow = format!("/v1/flows/{}", club.server.get("/v1/flows").await.expect(200)["data"][0]["id"].as_str().unwrap());
    club.server.call(&club.server.admin, "DELETE", &flow, &Value::Null).await.expect(204);
    for slug in ["circle", "round"] {
        club.project["slug"] = json!(slug);
        club.rule(json!({})).await;
    }
    for (old, method) in [("club", "GET"), ("circle", "GET"), ("club", "POST")] {
        let reply = club.server.send(method, &format!("/e/{old}?{query}"), &FORM, String::new()).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (308, format!("/e/round?{query}").as_str()), "{old}");
        assert!(reply.header("cache-control").contains("no-store"), "another project may come to be there");
    }
    let page = club.server.send("GET", &format!("/e/round?{query}"), &[], "").await;
    let issued = club.server.send("POST", "/e/round", &FORM, hidden(&page.text())).await;
    assert_eq!(issued.status.as_u16(), 303, "the link holds: {}", issued.text());

    // A page that is closed leads nowhere, and who comes to have the slug has it.
    let status = async |slug: &str| club.server.send("GET", &format!("/e/{slug}"), &[], "").await.status.as_u16();
    let other = json!({"slug": "circle", "name": "Circle", "kind": "membership", "enrolment": true});
    let other = club.server.post("/v1/projects", other).await.expect(201);
    assert_ne!(status("circle").await, 308);
    let path = format!("/v1/projects/{}", other["id"].as_str().unwrap());
    club.server.call(&club.server.admin, "DELETE", &path, &Value::Null).await.expect(204);
    assert_eq!(status("circle").await, 404, "it is not given back");
    assert_eq!(status("club").await, 308);
    let mut closed = club.project.clone();
    closed["enrolment"] = json!(false);
    club.server.call(&club.server.admin, "PUT", &club.path, &closed).await.expect(200);
    assert_eq!((status("club").await, status("round").await), (404, 404));
    let mut back = club.project.clone();
    back["slug"] = json!("club");
    club.server.call(&club.server.admin, "PUT", &club.path, &back).await.expect(200);
    assert_eq!((status("club").await, status("round").await), (200, 308), "back where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_text_is_not_had_by_an_empty_one() {
    let mut club = Club::start(json!({})).await;
    let fields = json!([{"key": "tier", "label": "Tier", "required": true}]);
    club.project["fields"] = fields.clone();
    club.rule(json!({})).await;
    let project = club.path.rsplit('/').next().unwrap().to_owned();
    let issue = |tier: &str| json!({"project": project, "external_id": "m-9", "fields": {"tier": tier}});
    for blank in ["", " \t"] {
        let refused = club.server.post("/v1/passes", issue(blank)).await;
        refused.problem(422);
        assert!(refused.text().contains("fields.tier") && refused.text().contains("is required"), "{}", refused.text());
    }
    let pass = club.server.post("/v1/passes", issue("Gold")).await.expect(201);
    let path = format!("/v1/passes/{}", pass["id"].as_str().unwrap());
    let refused = club.server.call(&club.server.admin, "PATCH", &path, &json!({"fields": {"tier": ""}})).await;
    refused.problem(422);
    assert!(refused.text().contains("fields.tier"), "{}", refused.text());
    let refused = club.server.post(&format!("{}/links", club.path), json!({"fields": {"tier": ""}})).await;
    assert_eq!(refused.problem(422), "invalid");
    let mut blank = club.project.clone();
    blank["fields"][0]["default"] = json!("");
    let refused = club.server.call(&club.server.admin, "PUT", &club.path, &blank).await;
    refused.problem(422);
    assert!(refused.text().contains("fields.0.default"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_for_many_issues_as_many_as_it_says_whoever_comes_at_once() {
    let club = Club::start(json!({})).await;
    let links = format!("{}/links", club.path);
    let made = club.server.post(&links, json!({"quantity": 5, "fields": {"tier": "Gold"}})).await.expect(200);
    let address = format!("/e/club?{}", made["url"].as_str().unwrap().split_once('?').unwrap().1);
    let page = async || club.server.send("GET", &address, &[], "").await;
    let before = club.passes().await;
    let mut forms = Vec::new();
    for _ in 0..12 {
        forms.push(hidden(&page().await.text()));
    }
    let send = |form: &String| {
        let form = form.clone();
        async { club.server.send("POST", "/e/club?", &FORM, form).await }
    };
    // Each form twice, all at once.
    let sent = futures_util::future::join_all(forms.iter().chain(&forms).map(send)).await;
    let (first, second) = sent.split_at(forms.len());
    let mut taken = std::collections::BTreeSet::new();
    for (one, other) in first.iter().zip(second) {
        assert_eq!((one.status, one.headers.get("location")), (other.status, other.headers.get("location")), "{}", other.text());
        match one.status.as_u16() {
            303 => assert!(taken.insert(one.header("location").to_owned()), "two visitors got one pass"),
            403 => assert!(one.text().contains("are gone"), "{}", one.text()),
            other => panic!("{other}: {}", one.text()),
        }
    }
    assert_eq!((taken.len(), club.passes().await - before), (5, 5));
    // Who has one finds it again: by the form, and by what the browser keeps.
    let lucky = first.iter().position(|reply| reply.status.as_u16() == 303).unwrap();
    assert_eq!(send(&forms[lucky]).await.header("location"), first[lucky].header("location"));
    let kept = first[lucky].header("set-cookie");
    assert!(kept.contains("HttpOnly") && kept.contains("SameSite=Lax") && kept.contains("Path=/e/"), "{kept}");
    let cookie = [("cookie", kept.split(';').next().unwrap())];
    let again = club.server.send("GET", &address, &cookie, "").await;
    assert_eq!((again.status.as_u16(), again.header("location")), (303, first[lucky].header("location")));
    assert_eq!(send(&hidden(&page().await.text())).await.status.as_u16(), 403, "nobody else");

    for (wish, path) in [
        (json!({"quantity": 0}), "quantity"),
        (json!({"quantity": 100_001}), "quantity"),
        (json!({"quantity": 2, "external_id": "x"}), "external_id"),
        (json!({"quantity": 2, "contact": {"email": "ada@example.com"}}), "contact"),
    ] {
        assert_eq!(club.server.post(&links, wish).await.json()["errors"][0]["path"], path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passkits_generators_make_links_to_us() {
    let club = Club::start(json!({"links_only": true})).await;
    let given = club.server.get(&format!("{}/links", club.path)).await.expect(200);
    assert_eq!(given["url"], "http://localhost:8080/e/club");
    let key = given["key"].as_str().unwrap();
    let text = json!({"person.displayName": "Grace Example", "person.emailAddress": "grace@example.com",
        "members.member.externalId": "m-7", "members.member.points": "40", "meta.tier": "Silver",
        "universal.expiryDate": "2030-01-01T00:00:00Z", "utm_source": "csv", "colors.backgroundColor": "#000000"});
    let (go_iv, node_iv) = ("000102030405060708090a0b0c0d0e0f", "fbefbefbefbefbefbefbefbefbefbefb");
    let sealed = encrypt(key, go_iv, &text.to_string());
    let go = format!("data={}&iv={go_iv}", URL_SAFE_NO_PAD.encode(sealed));
    let first = club.open(&go).await;
    assert_eq!(first.status.as_u16(), 303, "{}", first.text());
    let pass = club.pass_at(first.header("location")).await;
    assert_eq!((pass.external_id.as_deref(), pass.fields["tier"].to_string()), (Some("m-7"), "Silver".to_owned()));
    assert_eq!(
        (pass.balances["points"].to_string(), pass.validity.expires_at),
        ("40".to_owned(), "2030-01-01T00:00:00Z".parse().ok())
    );
    assert_eq!(json!(pass.origin.utm), json!({"source": "csv"}));

    // Not escaped for a URL: a plus sign arrives as a blank.
    let iv_bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&node_iv[2 * at..2 * at + 2], 16).unwrap()).collect();
    let node = format!("data={}&iv={}", STANDARD.encode(encrypt(key, node_iv, &text.to_string())), STANDARD.encode(iv_bytes));
    assert!(node.contains('+'), "{node}");
    let second = club.open(&node).await;
    assert_eq!(second.header("location"), first.header("location"), "the same external id, the same pass");

    let other = "0".repeat(64);
    let forged = format!("data={}&iv={go_iv}", URL_SAFE_NO_PAD.encode(encrypt(&other, go_iv, &text.to_string())));
    for broken in [forged.as_str(), "data=x&iv=y", "data=&iv=", "link=", "link=AAAA"] {
        let answer = club.server.send("GET", &format!("/e/club?{broken}"), &[], "").await;
        assert_eq!(answer.status.as_u16(), 404, "{broken}");
        let answer = club.server.send("POST", "/e/club", &FORM, broken.to_owned()).await;
        assert_eq!(answer.status.as_u16(), 404, "{broken}");
    }
    let plain = club.server.send("GET", "/e/club", &[], "").await;
    assert_eq!(plain.status.as_u16(), 403);
    assert!(plain.text().contains("personal links"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_keeps_its_rules() {
    // The server's clock stands at 2027-01-15T08:00:00Z.
    let mut club = Club::start(json!({"opens_at": "2027-01-15T08:00:01Z"})).await;
    let page = club.server.send("GET", "/e/club", &[], "").await;
    assert_eq!(page.status.as_u16(), 403);
    assert!(page.text().contains("opens on 15 January 2027, 08:01 (UTC)"), "{}", page.text());
    club.rule(json!({"closes_at": "2027-01-15T08:00:00Z"})).await;
    assert_eq!(club.server.send("POST", "/e/club", &FORM, "name=A").await.status.as_u16(), 403);

    let shown = club.rule(json!({"email_domains": ["example.com"], "password": "open sesame"})).await;
    let kept = shown["enrolment_rules"]["password"].as_str().unwrap().to_owned();
    assert!(kept.starts_with("pbkdf2-sha256:") && !shown.to_string().contains("sesame"), "{shown}");
    let again = club.rule(json!({"email_domains": ["example.com"], "password": kept})).await;
    assert_eq!(again["enrolment_rules"]["password"], kept, "the hash keeps it");
    let page = club.server.send("GET", "/e/club", &[], "").await;
    let send = |form: &str| club.server.send("POST", "/e/club", &FORM, format!("{}&{form}", hidden(&page.text())));
    let wrong = send("name=Ada&email=ada%40elsewhere.example&password=guess").await;
    assert_eq!(wrong.status.as_u16(), 422);
    assert!(wrong.text().contains("id=\"password-fault\"") && wrong.text().contains("at example.com."), "{}", wrong.text());
    assert!(!wrong.text().contains("guess"), "what was entered is not shown");
    assert_eq!(club.passes().await, 1, "the one that was there");
    let right = send("name=Ada&email=ada%40example.com&password=open+sesame").await;
    assert_eq!(right.status.as_u16(), 303, "{}", right.text());

    // A link waits for the password too.
    let made = club.server.post(&format!("{}/links", club.path), json!({"external_id": "l-1"})).await.expect(200);
    let query = made["url"].as_str().unwrap().split_once('?').unwrap().1.to_owned();
    let page = club.server.send("GET", &format!("/e/club?{query}"), &[], "").await;
    assert!(!page.text().contains("enrol.js") && page.text().contains("name=\"password\""));
    let wrong = club.server.send("POST", "/e/club", &FORM, format!("{query}&password=no")).await;
    assert_eq!(wrong.status.as_u16(), 422);
    let right = club.server.send("POST", "/e/club", &FORM, format!("{query}&password=open+sesame")).await;
    assert_eq!(right.status.as_u16(), 303);

    club.project["enrolment_rules"] = json!({"opens_at": "2027-01-02T00:00:00Z", "closes_at": "2027-01-01T00:00:00Z",
        "email_domains": ["Example.com", "localhost"], "password": "abc"});
    let bad = club.server.call(&club.server.admin, "PUT", &club.path, &club.project).await;
    assert_eq!(bad.problem(422), "invalid");
    for path in ["closes_at", "email_domains.0", "email_domains.1", "password"] {
        assert!(bad.text().contains(&format!("enrolment_rules.{path}")), "{path}: {}", bad.text());
    }
    let club_two = Things::bare_project("closed");
    let closed = club.server.post("/v1/projects", club_two).await.expect(201);
    let none = club.server.post(&format!("/v1/projects/{}/links", closed["id"].as_str().unwrap()), json!({})).await;
    assert!(none.text().contains("no enrolment page"), "{}", none.text());
}
