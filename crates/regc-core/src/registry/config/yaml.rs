//! YAML as the registry reads it.
//!
//! The registry's parser is go-yaml 2, which takes more plain scalars for booleans and numbers than YAML 1.2 does:
//! `yes`, `0755`, `1_000`. In quotes they are text. Source: `resolve.go` of gopkg.in/yaml.v2, and what registry 2.8.2
//! does.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_yaml::value::{Tag, TaggedValue};
use serde_yaml::{Mapping, Value};

/// Reads the first document of `text`, which is all that the registry reads. An empty text is null.
pub(super) fn read(text: &str) -> Result<Value, serde_yaml::Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else { return Ok(Value::Null) };
    let mut value = Scalars { text }.deserialize(document)?;
    value.apply_merge()?;
    Ok(value)
}

/// Builds values from a text, and checks the text to find out whether a scalar is in quotes: the parser does not
/// report it.
#[derive(Clone, Copy)]
struct Scalars<'t> {
    text: &'t str,
}

impl Scalars<'_> {
    /// Whether a scalar, a part of the text, is in quotes. Nothing else can have a quote just before it.
    fn is_quoted(self, scalar: &str) -> bool {
        let offset = (scalar.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize);
        let before = offset.and_then(|offset| self.text.as_bytes().get(offset.checked_sub(1)?));
        matches!(before, Some(b'\'' | b'"'))
    }
}

/// Resolves a plain scalar that only the registry takes for a boolean or number.
fn resolve(plain: &str) -> Option<Value> {
    match plain {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Some(Value::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Some(Value::Bool(false)),
        _ => {}
    }
    if !plain.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let digits = plain.replace('_', "");
    let integer = || {
        let (negative, digits) = match digits.strip_prefix(['+', '-']) {
            Some(rest) => (digits.starts_with('-'), rest),
            None => (false, &*digits),
        };
        let (radix, digits) = match digits.as_bytes() {
            [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
            [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
            [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
            [b'0', _, ..] => (8, &digits[1..]),
            _ => (10, digits),
        };
        let number = i64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']))?;
        Some(Value::from(if negative { -number } else { number }))
    };
    let is_float = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    integer().or_else(|| digits.parse().ok().filter(|_| is_float).map(|number: f64| Value::from(number)))
}

impl<'de> DeserializeSeed<'de> for Scalars<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalars<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_borrowed_str<E: Error>(self, scalar: &'de str) -> Result<Value, E> {
        let resolved = if self.is_quoted(scalar) { None } else { resolve(scalar) };
        Ok(resolved.unwrap_or_else(|| scalar.into()))
    }

    /// A scalar that is not a part of the text has escapes or several lines.
    fn visit_str<E: Error>(self, scalar: &str) -> Result<Value, E> {
        Ok(scalar.into())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut sequence = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            sequence.push(item);
        }
        Ok(Value::Sequence(sequence))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping = Mapping::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let value = entries.next_value_seed(self)?;
            if let Some(key) = key.as_str().filter(|_| mapping.contains_key(&key)) {
                return Err(A::Error::custom(format!("duplicate entry with key {key:?}")));
            }
            mapping.insert(key, value);
        }
        Ok(Value::Mapping(mapping))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        let (tag, contents) = data.variant::<String>()?;
        let value = contents.newtype_variant_seed(self)?;
        Ok(Value::Tagged(Box::new(TaggedValue { tag: Tag::new(tag), value })))
    }
}
