//! Objects are objects: serde's structs can also be read from lists of their values in order, which no document of ours
//! promises and no client means. This wrapper asks for a map wherever a struct is wanted, at every depth. Where one of an enum's
//! names is wanted and something else stands, it says which there are.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor};

/// How the reader of a JSON text begins a fault about something else than a value.
const NO_VALUE: &str = "expected value";
/// How the reader of a JSON value ends a fault about something else than a name, and about several names.
const NO_NAME: [&str; 2] = ["expected string or map", "expected map with a single key"];

fn choices(names: &[&str]) -> String {
    format!("expected exactly one of `{}`", names.join("`, `"))
}

/// A deserializer, visitor, seed or access that reads structs from maps alone.
#[derive(Debug)]
pub struct Strict<T>(pub T);

macro_rules! forward {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Strict(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Strict(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let read = self.0.deserialize_enum(name, variants, Strict(visitor));
        // What is neither one name nor an object of one name, the readers of JSON tell, and do not say which names there are.
        read.map_err(|error| {
            let text = error.to_string();
            let is_no_name = text.starts_with(NO_VALUE) || NO_NAME.iter().any(|fault| text.ends_with(fault));
            if is_no_name { D::Error::custom(choices(variants)) } else { error }
        })
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }

    forward! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(length: usize);
        deserialize_tuple_struct(name: &'static str, length: usize);
        deserialize_map();
        deserialize_identifier();
        deserialize_ignored_any();
    }
}

macro_rules! forward_visits {
    ($($method:ident: $type:ty;)*) => {$(
        fn $method<E: serde::de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(formatter)
    }

    forward_visits! {
        visit_bool: bool;
        visit_i64: i64;
        visit_i128: i128;
        visit_u64: u64;
        visit_u128: u128;
        visit_f64: f64;
        visit_str: &str;
        visit_borrowed_str: &'de str;
        visit_string: String;
        visit_bytes: &[u8];
        visit_borrowed_bytes: &'de [u8];
        visit_byte_buf: Vec<u8>;
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(inner))
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(inner))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(map))
    }
    fn visit_enum<A: EnumAccess<'de>>(self, choice: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Strict(choice))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Strict<A> {
    type Error = A::Error;
    type Variant = Strict<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0.variant_seed(seed).map(|(value, variant)| (value, Strict(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Strict(seed))
    }
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(length, Strict(visitor))
    }
    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Strict(visitor))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::Strict;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        list: Vec<Inner>,
        choice: Option<Choice>,
        any: serde_json::Value,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        a: Option<u8>,
    }
    impl Default for Inner {
        fn default() -> Self {
            Self { a: Some(7) }
        }
    }
    #[derive(Debug, PartialEq, Deserialize)]
    enum Choice {
        One(Inner),
        Two,
    }

    #[test]
    fn what_is_no_name_is_told_which_there_are() {
        for wrong in ["5", "[]", "true", "{}", r#"{"One": {}, "Two": null}"#] {
            let value: serde_json::Value = serde_json::from_str(wrong).unwrap();
            let of_value = Choice::deserialize(Strict(&value)).unwrap_err().to_string();
            let mut reader = serde_json::Deserializer::from_str(wrong);
            let of_text = Choice::deserialize(Strict(&mut reader)).unwrap_err().to_string();
            for told in [of_value, of_text] {
                assert!(told.starts_with("expected exactly one of `One`, `Two`"), "{wrong}: {told}");
            }
        }
        let inner = Choice::deserialize(Strict(&serde_json::json!({"One": {"a": "x"}}))).unwrap_err().to_string();
        assert!(inner.contains("expected u8"), "{inner}");
    }

    fn read(text: &str) -> Result<Outer, String> {
        let mut reader = serde_json::Deserializer::from_str(text);
        Outer::deserialize(Strict(&mut reader)).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_are_no_objects() {
        let good = read(r#"{"list": [{"a": 1}, {}], "choice": {"One": {"a": 2}}, "any": [1, {"b": [2]}]}"#).unwrap();
        assert_eq!((good.list.len(), &good.choice), (2, &Some(Choice::One(Inner { a: Some(2) }))));
        assert_eq!(read(r#"{"list": [], "choice": "Two", "any": null}"#).unwrap().choice, Some(Choice::Two));
        for bad in
            ["[[], null, 1]", r#"{"list": [[1]], "choice": null, "any": 1}"#, r#"{"list": [], "choice": {"One": [1]}, "any": 1}"#]
        {
            assert!(read(bad).unwrap_err().contains("sequence"), "{bad}");
            assert!(serde_json::from_str::<Outer>(bad).is_ok(), "{bad}: the wrapper is what refuses it");
        }
    }
}
