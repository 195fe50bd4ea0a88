//! A browser without scripts: it keeps cookies, follows redirects, and fills in the forms that a page has.

use std::{cell::RefCell, collections::BTreeMap};

use domain::Scope;

use crate::server::{Reply, Server};

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// A visitor of one server.
pub struct Browser<'s> {
    server: &'s Server,
    cookies: RefCell<BTreeMap<String, String>>,
}

/// A page, and where it was found.
#[derive(Debug)]
pub struct Page {
    /// Path and query.
    pub path: String,
    /// Every address on the way, the last one too.
    pub way: Vec<String>,
    pub reply: Reply,
}

/// A form of a page.
#[derive(Debug, Clone)]
pub struct Form {
    pub method: String,
    pub action: String,
    pub values: Vec<(String, String)>,
}

impl<'s> Browser<'s> {
    pub fn new(server: &'s Server) -> Self {
        Self { server, cookies: RefCell::default() }
    }

    /// Signed in with an admin's key of ours.
    pub async fn admin(server: &'s Server) -> Self {
        Self::with(server, &server.admin).await
    }

    /// Signed in with a key of ours that may do this.
    pub async fn scoped(server: &'s Server, scopes: &[Scope]) -> Self {
        Self::with(server, &server.key(server.ours, scopes).await).await
    }

    /// Signed in with a key.
    pub async fn with(server: &'s Server, key: &str) -> Self {
        let browser = Self::new(server);
        let page = browser.open("/console/sign-in").await;
        let page = browser.submit(&page, "/console/sign-in", &[("key", key)]).await;
        assert!(!page.path.starts_with("/console/sign-in"), "{}", page.text());
        browser
    }

    /// The cookies that it would send.
    pub fn cookies(&self) -> String {
        self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Changes what it holds.
    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// Opens an address and follows where it leads.
    pub async fn open(&self, path: &str) -> Page {
        self.go("GET", path, String::new()).await
    }

    /// Opens an address that has to be there.
    pub async fn see(&self, path: &str) -> Page {
        let page = self.open(path).await;
        assert_eq!(page.reply.status.as_u16(), 200, "{path}: {}", page.text());
        page
    }

    /// Fills in the form of a page that is sent to `action`, and sends it.
    pub async fn submit(&self, page: &Page, action: &str, changes: &[(&str, &str)]) -> Page {
        self.send(&page.form(action), changes).await
    }

    /// Sends a form; each change is of a field that it has, or that is not ticked yet.
    pub async fn send(&self, form: &Form, changes: &[(&str, &str)]) -> Page {
        let mut values = form.values.clone();
        for (name, value) in changes {
            match values.iter_mut().find(|(it, _)| it == name) {
                Some((_, held)) => *held = (*value).to_owned(),
                None => values.push(((*name).to_owned(), (*value).to_owned())),
            }
        }
        let encoded =
            values.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&");
        if form.method == "get" {
            let path = if encoded.is_empty() { form.action.clone() } else { format!("{}?{encoded}", form.action) };
            return self.go("GET", &path, String::new()).await;
        }
        self.go("POST", &form.action, encoded).await
    }

    async fn go(&self, method: &str, path: &str, body: String) -> Page {
        let (mut method, mut path, mut body) = (method.to_owned(), path.to_owned(), body);
        let mut way = vec![path.clone()];
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.once(&method, &path, &body).await;
            if reply.status.as_u16() != 303 {
                return Page { path, way, reply };
            }
            path = reply.header("location").to_owned();
            way.push(path.clone());
            (method, body) = ("GET".to_owned(), String::new());
        }
        panic!("redirected in a circle: {way:?}");
    }

    /// One request, as it is answered.
    pub async fn once(&self, method: &str, path: &str, body: &str) -> Reply {
        let (cookies, origin) = (self.cookies(), format!("http://{}", self.server.address));
        let mut headers = vec![("cookie", cookies.as_str())];
        if method == "POST" {
            headers.extend([("origin", origin.as_str()), ("content-type", "application/x-www-form-urlencoded")]);
        }
        let reply = self.server.send(method, path, &headers, body.to_owned()).await;
        for set in reply.headers.get_all("set-cookie") {
            let (pair, about) = set.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if about.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.set_cookie(name, value);
            }
        }
        reply
    }
}

impl Page {
    pub fn text(&self) -> String {
        self.reply.text()
    }

    pub fn has(&self, words: &str) -> bool {
        self.text().contains(words)
    }

    /// Fails unless the page has these words.
    #[track_caller]
    pub fn expect(&self, words: &[&str]) {
        let text = self.text();
        for words in words {
            assert!(text.contains(words), "{}: no {words:?} in {text}", self.path);
        }
    }

    /// The forms that are sent to `action`, in their order.
    pub fn forms(&self, action: &str) -> Vec<Form> {
        let text = self.text();
        let forms = text.split("<form").skip(1).filter_map(|rest| rest.split_once("</form>").map(|(form, _)| form));
        forms.map(form).filter(|form| form.action == action).collect()
    }

    /// The first of them.
    #[track_caller]
    pub fn form(&self, action: &str) -> Form {
        let found = self.forms(action).into_iter().next();
        found.unwrap_or_else(|| panic!("{}: no form to {action} in {}", self.path, self.text()))
    }
}

fn form(text: &str) -> Form {
    let (head, inner) = text.split_once('>').unwrap();
    let mut values = Vec::new();
    for tag in inner.split('<').skip(1) {
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        let Some(name) = attribute(tag, "name") else {
            if let Some(option) = tag.strip_prefix("option") {
                // The first option counts until one is selected.
                let (select, held): &mut (String, String) = values.last_mut().expect("an option of a select");
                if held == "\u{0}" || option.contains(" selected") {
                    *held = attribute(tag, "value").unwrap_or_else(|| panic!("an option of {select} has no value"));
                }
            }
            continue;
        };
        let kind = attribute(tag, "type").unwrap_or_default();
        let boxed = kind == "checkbox" || kind == "radio";
        if tag.starts_with("textarea") {
            values.push((name, decode(after)));
        } else if tag.starts_with("select") {
            values.push((name, "\u{0}".to_owned()));
        } else if tag.starts_with("input") && (!boxed || tag.contains(" checked")) {
            values.push((name, attribute(tag, "value").unwrap_or_default()));
        }
    }
    let method = attribute(head, "method").unwrap_or_else(|| "get".to_owned());
    Form { method, action: attribute(head, "action").unwrap_or_default(), values }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| decode(value))
}

fn decode(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// As a form's values are written.
pub fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
