//! Pictures of upcoming events, which a phone fetches by address and takes by hash.
//!
//! A design names uploaded images in `apple.upcomingPassInformation`: `{"image": {"x2": "…", "x3": "…"}}` in the place where Apple
//! has `URLs`. They are served under their hash for ever, so an address never shows another picture than the hash says.
//! Public source: <https://developer.apple.com/documentation/walletpasses/upcomingpassinformationentry>.

use serde_json::{Map, Value, json};

/// The key that names uploaded images.
const IMAGE: &str = "image";

/// Puts addresses and hashes in the place of uploaded images; without an address a picture is left out.
pub(super) fn resolve(keys: &mut Map<String, Value>, image_url: Option<&dyn Fn(&str) -> String>) {
    let entries = keys.get_mut("upcomingPassInformation").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        let Some(images) = entry.get_mut("images").and_then(Value::as_object_mut) else { continue };
        images.retain(|_, picture| {
            let Some(named) = picture.get(IMAGE).cloned() else { return true };
            let (Some(image_url), Some(picture)) = (image_url, picture.as_object_mut()) else { return false };
            picture.shift_remove(IMAGE);
            let urls: Vec<Value> = scales(&named).map(|(scale, hash)| remote(scale, hash, image_url)).collect();
            picture.insert("URLs".to_owned(), urls.into());
            true
        });
    }
}

fn scales(named: &Value) -> impl Iterator<Item = (u8, &str)> {
    [(1, "x1"), (2, "x2"), (3, "x3")].into_iter().filter_map(|(scale, key)| Some((scale, named[key].as_str()?)))
}

fn remote(scale: u8, hash: &str, image_url: &dyn Fn(&str) -> String) -> Value {
    json!({"URL": image_url(hash), "SHA256": hash, "scale": scale})
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), "[a-z]{0,3}".prop_map(Value::from)];
        let key = prop_oneof![Just("images"), Just("image"), Just("headerImage"), Just("x2"), Just("other")];
        leaf.prop_recursive(5, 40, 4, move |inner| {
            let object = prop::collection::btree_map(key.clone(), inner.clone(), 0..4)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into());
            prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), object]
        })
    }

    proptest! {
        /// Whatever a design says there, no name of an uploaded image reaches a phone.
        #[test]
        fn nothing_unresolved_is_left(entries in any_json(), hosted in any::<bool>()) {
            let mut keys = Map::from_iter([("upcomingPassInformation".to_owned(), entries)]);
            let image_url = |hash: &str| format!("https://example.com/{hash}.png");
            resolve(&mut keys, hosted.then_some(&image_url));
            for entry in keys["upcomingPassInformation"].as_array().into_iter().flatten() {
                for picture in entry["images"].as_object().into_iter().flatten() {
                    prop_assert!(picture.1.get(IMAGE).is_none());
                }
            }
        }
    }

    #[test]
    fn uploaded_images_become_addresses_with_hashes() {
        let named = json!({"image": {"x2": "bb", "x3": "cc"}});
        let design = json!({"upcomingPassInformation": [
            {"identifier": "1", "images": {"headerImage": named, "venueMap": {"reuseExisting": true}}}, 7, {"images": 4},
        ]});
        let mut keys = design.as_object().unwrap().clone();
        resolve(&mut keys, Some(&|hash| format!("https://example.com/{hash}.png")));
        let urls = json!([{"URL": "https://example.com/bb.png", "SHA256": "bb", "scale": 2},
            {"URL": "https://example.com/cc.png", "SHA256": "cc", "scale": 3}]);
        let images = &keys["upcomingPassInformation"][0]["images"];
        assert_eq!(*images, json!({"headerImage": {"URLs": urls}, "venueMap": {"reuseExisting": true}}));
        let mut keys = design.as_object().unwrap().clone();
        resolve(&mut keys, None);
        assert_eq!(keys["upcomingPassInformation"][0]["images"], json!({"venueMap": {"reuseExisting": true}}));
    }
}
