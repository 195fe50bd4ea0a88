//! Bodies that replace a thing. Whoever changes a thing reads it, alters a member and sends all of it back; what only reading
//! shows (its id, when it was made) is passed over then, and whatever else is not known is refused as ever.

use std::{collections::BTreeSet, fmt, marker::PhantomData, sync::Arc};

use axum::extract::{FromRequest, Request};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, IntoDeserializer as _, MapAccess, Visitor,
};
use utoipa::{
    PartialSchema,
    openapi::{RefOr, Schema},
};

use crate::{App, Problem, extract};

/// A JSON body `T` that replaces what is shown as `V`.
#[derive(Debug)]
pub(crate) struct Restated<T, V> {
    /// What it says.
    pub(crate) value: T,
    shown_as: PhantomData<fn() -> V>,
}

impl<T: DeserializeOwned + PartialSchema, V: PartialSchema> FromRequest<Arc<App>> for Restated<T, V> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (value, _) = extract::read_json(request, app, parse::<T, V>).await?;
        Ok(Self { value, shown_as: PhantomData })
    }
}

/// Reads what replaces a `V`.
pub(crate) fn parse<T: DeserializeOwned + PartialSchema, V: PartialSchema>(bytes: &[u8]) -> Result<T, Problem> {
    let (mut only_shown, mut taken) = (BTreeSet::new(), BTreeSet::new());
    members(&V::schema(), &mut only_shown);
    members(&T::schema(), &mut taken);
    only_shown.retain(|name| !taken.contains(name));
    extract::parse_by(bytes, |reader| serde_path_to_error::deserialize(Without { inner: reader, names: &only_shown }))
}

/// The members of an object by its schema, but for those of the schemas that it refers to.
fn members(schema: &RefOr<Schema>, found: &mut BTreeSet<String>) {
    match schema {
        RefOr::T(Schema::Object(object)) => found.extend(object.properties.keys().cloned()),
        RefOr::T(Schema::AllOf(all)) => all.items.iter().for_each(|schema| members(schema, found)),
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

/// A deserializer, visitor or access of an object without some of its members.
struct Without<'n, T> {
    inner: T,
    names: &'n BTreeSet<String>,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Without<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(Without { inner: visitor, names: self.names })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Without<'_, V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(formatter)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Without { inner: map, names: self.names })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Without<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        while let Some(name) = self.inner.next_key::<String>()? {
            if !self.names.contains(&name) {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            if self.inner.next_value::<Option<IgnoredAny>>()?.is_some() && name == "secret" {
                return Err(A::Error::custom("`secret` is made by the server and cannot be given: leave it out"));
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use utoipa::ToSchema;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Input {
        name: String,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Part {
        id: u8,
    }

    #[derive(Serialize, ToSchema)]
    struct View {
        id: u8,
        #[serde(flatten)]
        input: Input,
        made_at: Option<u8>,
        secret: Option<String>,
    }

    fn fault(bytes: &[u8]) -> String {
        format!("{:?}", parse::<Input, View>(bytes).unwrap_err())
    }

    #[test]
    fn what_only_reading_shows_is_passed_over_and_nothing_else() {
        let input = || Input { name: "a".to_owned(), parts: vec![Part { id: 3 }] };
        let shown = serde_json::to_vec(&View { id: 1, input: input(), made_at: None, secret: None }).unwrap();
        assert_eq!(parse::<Input, View>(&shown).unwrap(), input());
        let other = br#"{"id": {"any": [1]}, "name": "a", "made_at": 1.5, "parts": [{"id": 3}]}"#;
        assert_eq!(parse::<Input, View>(other).unwrap(), input());
        assert!(fault(br#"{"name": "a", "nmae": 1}"#).contains("nmae"));
        assert!(fault(br#"{"name": "a", "parts": [{"id": 3, "made_at": 1}]}"#).contains("parts.0"));
        assert!(fault(br#"{"id": 1}"#).contains("missing field `name`"));
        assert!(fault(br#"{"name": "a", "secret": "mine"}"#).contains("cannot be given"));
        assert!(fault(br#"["a"]"#).contains("expected an object"));
        for broken in [&b"{\"id\": "[..], b"{\"id\": 1,}", b"{} x"] {
            assert!(parse::<Input, View>(broken).is_err(), "{broken:?}");
        }
        let fault = parse::<Input, View>(br#"{"id": }"#).unwrap_err();
        assert!(matches!(fault, Problem::Malformed(_)), "{fault:?}");
    }
}
