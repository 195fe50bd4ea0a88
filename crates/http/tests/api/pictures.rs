//! One picture for a role: what comes out, how it is served, and what is refused.

use std::io::Cursor;

use image::ImageFormat;
use serde_json::{Value, json};

use crate::server::{Reply, Server, Things, picture, png};

async fn upload(server: &Server, role: &str, media: &str, bytes: Vec<u8>) -> Reply {
    let bearer = format!("Bearer {}", server.admin);
    let headers = [("authorization", bearer.as_str()), ("content-type", media)];
    server.send("POST", &format!("/v1/image-sets/{role}"), &headers, bytes).await
}

fn as_format(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let picture = image::load_from_memory(&picture(width, height)).unwrap().into_rgb8();
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_picture_becomes_every_size_and_is_served_for_ever() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let made = upload(&server, "strip", "image/jpeg", as_format(1500, 576, ImageFormat::Jpeg)).await.expect(201);
    assert_eq!(made["source"], json!({"format": "jpeg", "width": 1500, "height": 576}));
    let sizes: Vec<(&str, u64, u64)> = made["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["size"].as_str().unwrap(), it["width"].as_u64().unwrap(), it["height"].as_u64().unwrap()))
        .collect();
    assert_eq!(sizes, [("x1", 375, 144), ("x2", 750, 288), ("x3", 1125, 432), ("google", 1032, 336)]);
    assert_eq!((&made["notes"][0]["size"], &made["notes"][0]["rule"]), (&json!("google"), &json!("cut")), "{made}");
    for image in made["images"].as_array().unwrap() {
        let sha256 = image["sha256"].as_str().unwrap();
        assert_eq!(made["set"][image["size"].as_str().unwrap()], sha256);
        let served = server.send("GET", &format!("/images/{}/{sha256}.png", server.ours), &[], "").await;
        assert_eq!((served.header("content-type"), served.header("etag")), ("image/png", format!("\"{sha256}\"").as_str()));
        assert!(served.header("cache-control").contains("immutable"));
        let drawn = image::load_from_memory_with_format(&served.bytes, ImageFormat::Png).unwrap();
        assert_eq!(
            (u64::from(drawn.width()), u64::from(drawn.height())),
            (image["width"].as_u64().unwrap(), image["height"].as_u64().unwrap())
        );
        assert_eq!(server.get(&format!("/v1/images/{sha256}")).await.expect(200)["bytes"], served.bytes.len());
    }
    let mut design = Things::design(things.id("sha256"));
    design["images"]["strip"] = made["set"].clone();
    design["images"]["icon"] =
        upload(&server, "icon", "image/webp", as_format(700, 700, ImageFormat::WebP)).await.expect(201)["set"].clone();
    let template = json!({"project": things.id("project"), "name": "Card", "design": design});
    let template = server.post("/v1/templates", template).await.expect(201);
    let about_images = |finding: &&Value| finding["path"].as_str().unwrap().contains("images");
    assert_eq!(template["findings"].as_array().unwrap().iter().find(about_images), None, "every size fits its slot");
    let again = upload(&server, "strip", "image/jpeg", as_format(1500, 576, ImageFormat::Jpeg)).await.expect(201);
    assert_eq!(again, made, "the same picture, the same images");
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_cannot_be_used_are_refused_with_role_and_mend() {
    let server = Server::start().await;
    let refused = async |media: &str, bytes: Vec<u8>| {
        let reply = upload(&server, "primary_logo", media, bytes).await;
        assert_eq!(reply.problem(422), "invalid");
        let errors = reply.json()["errors"].clone();
        assert_eq!(errors[0]["path"], "images.primary_logo", "{errors}");
        errors[0]["message"].as_str().unwrap().to_owned()
    };
    let whole = as_format(400, 100, ImageFormat::Jpeg);
    let mut bomb = png();
    bomb[16..20].copy_from_slice(&9_000u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&9_000u32.to_be_bytes());
    let sum = crc32fast::hash(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&sum);
    for (media, bytes, words) in [
        ("image/png", b"GIF89a\x01\0\x01\0".to_vec(), "a GIF"),
        ("image/jpeg", b"%PDF-1.7".to_vec(), "a PDF"),
        ("application/octet-stream", Vec::new(), "empty"),
        ("image/jpeg", whole[..whole.len() - 40].to_vec(), "cut off"),
        ("image/png", bomb, "9000 by 9000"),
        ("image/png", png(), "too few"),
    ] {
        let message = refused(media, bytes).await;
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(upload(&server, "strip", "text/plain", whole.clone()).await.problem(415), "unsupported_media_type");
    assert_eq!(upload(&server, "poster", "image/jpeg", whole.clone()).await.problem(404), "not_found");
    assert_eq!(upload(&server, "strip", "image/jpeg", vec![0; (10 << 20) + 1]).await.problem(413), "too_large");
    assert_eq!(
        upload(&server, "primary_logo", "image/png", whole).await.expect(201)["source"]["format"],
        "jpeg",
        "its bytes count"
    );
}
