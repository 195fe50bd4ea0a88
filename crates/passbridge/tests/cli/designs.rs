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
