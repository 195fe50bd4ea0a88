//! Pictures from a file to the package that a phone gets.

use std::{collections::BTreeMap, io::Cursor};

use bytes::Bytes;
use http::Method;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use super::{
    Desk,
    support::{self, Club, Database},
};

const PASS_TYPE: &str = "pass.com.example.club";

impl Desk {
    fn picture(&self, name: &str, width: u32, height: u32) {
        let drawn = RgbImage::from_fn(width, height, |x, y| Rgb([(x % 256) as u8, (y % 256) as u8, 120]));
        let mut out = Cursor::new(Vec::new());
        drawn.write_to(&mut out, ImageFormat::from_path(name).unwrap()).unwrap();
        std::fs::write(self.path().join(name), out.into_inner()).unwrap();
    }

    /// Gives the club's project a pass type that it can sign for.
    async fn signs_for(&self, club: &Club) {
        self.certificate("pass", &format!("/UID={PASS_TYPE}/CN=Pass/OU=TEAM123456/O=Test"), "20").await;
        let pem = ["--certificate", "pass.pem", "--private-key", "pass.key", "--intermediate", "ca.pem"];
        self.says(club, &[&["signer", "add", "--json"][..], &pem].concat()).await;
        let path = format!("/v1/projects/{}", club.project);
        let mut project = self.says(club, &["api", "GET", &path]).await;
        for key in ["id", "created_at"] {
            project.as_object_mut().unwrap().remove(key);
        }
        project["apple_pass_type"] = json!(PASS_TYPE);
        self.write("project.json", &project.to_string());
        self.says(club, &["api", "PUT", &path, "@project.json"]).await;
    }
}

/// Issues a pass and fetches its package as a phone does.
async fn package(club: &Club, member: &str) -> pkpass::Package {
    let issue = json!({"project": club.project, "external_id": member});
    let pass = support::post(&club.server, "/v1/passes", &issue).await;
    let url = support::text(&pass["links"], "apple");
    let reply = club.server.client().send(Method::GET, &url, &[], Bytes::new()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    pkpass::Package::parse(&reply.body, &pkpass::Limits::PASS).unwrap()
}

async fn template(desk: &Desk, club: &Club) -> String {
    support::text(&desk.says(club, &["template", "list", "--json"]).await["data"][0], "id")
}

#[tokio::test]
async fn one_picture_a_role_fills_every_slot_of_the_package() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    desk.signs_for(&club).await;
    let id = template(&desk, &club).await;
    desk.picture("icon.webp", 1024, 1024);
    desk.picture("photo.jpg", 1600, 1200);
    desk.picture("logo.png", 300, 90);
    for (role, file) in [("icon", "icon.webp"), ("strip", "photo.jpg"), ("logo", "logo.png")] {
        let said =
            desk.runs(&club, &["image", "add", role, file, "--template", &id]).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(said.contains("draft of the template"), "{said}");
    }
    let german = ["image", "add", "logo", "logo.png", "--template", &id, "--language", "de"];
    desk.runs(&club, &german).await.unwrap_or_else(|error| panic!("{error}"));
    let set = desk.says(&club, &["image", "add", "thumbnail", "photo.jpg"]).await;
    assert_eq!(set["images"]["thumbnail"]["x3"].as_str().map(str::len), Some(64), "as it stands in a design: {set}");
    desk.runs(&club, &["template", "publish", &id]).await.unwrap_or_else(|error| panic!("{error}"));
    let package = package(&club, "one").await;
    let sizes: BTreeMap<&str, (u32, u32)> = package
        .files()
        .filter(|(path, _)| path.ends_with(".png"))
        .map(|(path, bytes)| {
            let drawn = image::load_from_memory_with_format(bytes, ImageFormat::Png).unwrap();
            (path, (drawn.width(), drawn.height()))
        })
        .collect();
    let wanted = [
        ("de.lproj/logo.png", (160, 48)),
        ("de.lproj/logo@2x.png", (320, 96)),
        ("icon.png", (38, 38)),
        ("icon@2x.png", (76, 76)),
        ("icon@3x.png", (114, 114)),
        ("logo.png", (160, 48)),
        ("logo@2x.png", (320, 96)),
        ("strip.png", (375, 144)),
        ("strip@2x.png", (750, 288)),
        ("strip@3x.png", (1125, 432)),
    ];
    assert_eq!(sizes, BTreeMap::from(wanted));
}

#[tokio::test]
async fn pictures_that_cannot_be_used_are_named_with_their_file() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    desk.write("readme.png", "hello");
    let refused = desk.complains(&club, &["image", "add", "strip", "readme.png"]).await;
    for word in ["readme.png", "images.strip", "no picture that we know", "export it as PNG"] {
        assert!(refused.contains(word), "{refused}");
    }
    assert!(desk.complains(&club, &["image", "add", "poster", "readme.png"]).await.contains("primary_logo"), "roles are listed");
    assert!(desk.complains(&club, &["image", "add", "strip", "nowhere.png"]).await.contains("cannot read nowhere.png"));
    desk.picture("icon.png", 200, 200);
    let nowhere = ["image", "add", "icon", "icon.png", "--template", "0000000000000000000001"];
    assert!(desk.complains(&club, &nowhere).await.contains("no such template"));
    let list: Value = desk.says(&club, &["template", "list", "--json"]).await;
    assert_eq!(list["data"][0]["draft"], Value::Null, "nothing was changed");
}

/// `pass.json` without what names one pass.
fn anonymous(package: &pkpass::Package) -> Value {
    let mut json: Value = serde_json::from_slice(package.pass_json().unwrap()).unwrap();
    for key in ["serialNumber", "authenticationToken", "webServiceURL", "barcodes"] {
        json.as_object_mut().unwrap().remove(key);
    }
    json
}

#[tokio::test]
async fn a_built_pass_is_imported_built_again_and_the_same() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    desk.signs_for(&club).await;
    let id = template(&desk, &club).await;
    desk.picture("photo.jpg", 1600, 1200);
    desk.runs(&club, &["image", "add", "strip", "photo.jpg", "--template", &id]).await.unwrap();
    desk.runs(&club, &["template", "publish", &id]).await.unwrap();
    let first = package(&club, "one").await;
    let files: Vec<(&str, &[u8])> = first.files().collect();
    std::fs::write(desk.path().join("one.pkpass"), pkpass::pack(files, 0).unwrap()).unwrap();
    let import = ["template", "import", "one.pkpass", "--project", &club.project, "--name", "Again", "--json"];
    let made = desk.says(&club, &import).await;
    assert_eq!(made["template"]["name"], "Again", "{made}");
    let again = support::text(&made["template"], "id");
    desk.runs(&club, &["template", "publish", &again]).await.unwrap_or_else(|error| panic!("{error}"));
    let path = format!("/v1/projects/{}", club.project);
    let mut project = desk.says(&club, &["api", "GET", &path]).await;
    for key in ["id", "created_at"] {
        project.as_object_mut().unwrap().remove(key);
    }
    project["variants"][0]["template"] = json!(again);
    desk.write("project.json", &project.to_string());
    desk.says(&club, &["api", "PUT", &path, "@project.json"]).await;
    let second = package(&club, "two").await;
    assert_eq!(anonymous(&second), anonymous(&first));
    let names = |package: &pkpass::Package| package.files().map(|(path, _)| path.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&second), names(&first));
    for (path, bytes) in first.files().filter(|(path, _)| path.ends_with(".png")) {
        assert_eq!(second.file(path), Some(bytes), "{path} is the same picture");
    }
}

#[tokio::test]
async fn templates_leave_and_come_back_as_folders_and_are_shown() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    let id = template(&desk, &club).await;
    let said = desk.runs(&club, &["template", "export", &id, "--out", "Card.pkpasstemplate"]).await.unwrap();
    assert!(said.contains("Card.pkpasstemplate holds the template"), "{said}");
    let folder = desk.path().join("Card.pkpasstemplate");
    let json: Value = serde_json::from_slice(&std::fs::read(folder.join("pass.json")).unwrap()).unwrap();
    assert_eq!((&json["organizationName"], &json["storeCard"]["headerFields"][0]["label"]), (&json!("Club"), &json!("Points")));
    assert!(folder.join("icon@2x.png").is_file());
    let twice = desk.complains(&club, &["template", "export", &id, "--out", "Card.pkpasstemplate"]).await;
    assert!(twice.contains("cannot make the folder"), "what is there is not overwritten: {twice}");
    desk.runs(&club, &["template", "export", &id, "--out", "Card.zip"]).await.unwrap();
    for file in ["Card.pkpasstemplate", "Card.zip"] {
        let made = desk.says(&club, &["template", "import", file, "--project", &club.project]).await;
        assert_eq!((&made["name"], &made["design"]["issuer"]), (&json!("Membership card"), &json!("Club")), "{made}");
        assert_eq!(made["design"]["fields"][0]["value"], "{{balances.points}}");
    }
    desk.write("bad.pkpass", "hello");
    let bad = desk.complains(&club, &["template", "import", "bad.pkpass", "--project", &club.project]).await;
    assert!(bad.contains("bad.pkpass") && bad.contains("ZIP"), "{bad}");
    let report = desk.runs(&club, &["template", "report", &id]).await.unwrap();
    assert!(["ios_17", "ios_27", "watch_os", "google", "icon"].iter().all(|word| report.contains(word)), "{report}");
    desk.runs(&club, &["template", "preview", &id, "--out", "card.html"]).await.unwrap();
    let page = std::fs::read_to_string(desk.path().join("card.html")).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>")
            && page.contains("Google Wallet")
            && page.contains("POINTS") == page.contains(">POINTS"),
        "{page}"
    );
}
