//! What stands in a document that this crate does not know: it is kept as it was written,
//! with all digits of its numbers.

use std::cell::Cell;
use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, forward_to_deserialize_any};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Error, Value};

use crate::oci::Unknown;

/// A value of JSON as it was written.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Written(Box<RawValue>);

impl Written {
    /// How a value is written: a text, a list, or what was read from JSON.
    #[must_use]
    pub fn of(value: &(impl Serialize + ?Sized)) -> Self {
        Self(to_raw_value(value).unwrap_or_default())
    }

    /// What it is, read as something; `None` if it is something else.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.0.get()).ok()
    }

    /// The text that it is; `None` if it is no text.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.read()
    }
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Written {}

impl<'de> Deserialize<'de> for Written {
    /// Only what everybody can read who looks into it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        serde_json::from_str::<Value>(raw.get()).map_err(D::Error::custom)?;
        Ok(Self(raw))
    }
}

/// Reads and writes types whose own functions know their fields, with the fields beside
/// those in `unknown`.
macro_rules! with_unknown {
    ($($type:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let (known, unknown) = $crate::oci::written::split(deserializer, |known| Self::deserialize(known))?;
                Ok(Self { unknown, ..known })
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    )+};
}
pub(super) use with_unknown;

/// Reads an object: what `read` makes of the fields that it knows, and the others.
pub(super) fn split<'de, D, T>(
    deserializer: D,
    read: impl FnOnce(Known<'_>) -> Result<T, Error>,
) -> Result<(T, Unknown), D::Error>
where
    D: Deserializer<'de>,
{
    let Fields(fields) = Fields::deserialize(deserializer)?;
    let names = Cell::default();
    let known = read(Known { fields: &fields, names: &names }).map_err(D::Error::custom)?;
    let names: &[&str] = names.get();
    let unknown = fields.into_iter().filter(|(name, _)| !names.contains(&name.as_str()));
    let unknown = unknown.map(|(name, raw)| Ok((name, Written::deserialize(&*raw)?)));
    Ok((known, unknown.collect::<Result<_, Error>>().map_err(D::Error::custom)?))
}

/// All fields of an object, also such as are there twice.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(All)
    }
}

/// The fields of an object for a type, which says their names when it asks for them.
pub(super) struct Known<'a> {
    fields: &'a [(String, Box<RawValue>)],
    names: &'a Cell<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for Known<'de> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.names.set(names);
        let known = self.fields.iter().filter(|(name, _)| names.contains(&name.as_str()));
        visitor.visit_map(MapDeserializer::new(known.map(|(name, raw)| (name.as_str(), &**raw))))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("only a struct has fields"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
