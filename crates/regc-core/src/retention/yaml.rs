//! The values of a rule in YAML.
//!
//! They are checked while they are parsed: only then does the parser know which line they are in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::order::Order;
use super::rule::{Keep, TagRegex};
use crate::duration;
use crate::registry::pattern::{Part, Pattern};

pub(super) fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    deserializer.deserialize_any(KnownVersion)
}

pub(super) fn keep<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Keep>, D::Error> {
    deserializer.deserialize_any(NumberOrAll("images")).map(Some)
}

pub(super) fn periods<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Keep>, D::Error> {
    deserializer.deserialize_any(NumberOrAll("periods")).map(Some)
}

pub(super) fn age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let duration = |text: &str| duration::parse(text).map_err(|reason| format!("{text:?} is {reason}"));
    Text { what: "a duration", parse: duration }.deserialize(deserializer).map(Some)
}

pub(super) fn by<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Order>, D::Error> {
    Text { what: "an order", parse: str::parse }.deserialize(deserializer).map(Some)
}

pub(super) fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<TagRegex>>, D::Error> {
    deserializer.deserialize_any(OneOrMore(Text { what: "a regular expression", parse: TagRegex::from_str })).map(Some)
}

pub(super) fn repositories<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pattern>, D::Error> {
    let globs = deserializer.deserialize_any(OneOrMore(Text { what: "a glob", parse: repository_glob }))?;
    if globs.is_empty() { Err(D::Error::custom("the list of repositories is empty")) } else { Ok(globs) }
}

fn repository_glob(text: &str) -> Result<Pattern, String> {
    let pattern = Pattern::parse(text).map_err(|error| error.to_string())?;
    match pattern.part() {
        Part::All => Ok(pattern),
        Part::Tags(_) | Part::Manifest(_) => {
            Err(format!("{text:?} names more than repositories; select tags with only-tag"))
        }
    }
}

struct KnownVersion;

impl Visitor<'_> for KnownVersion {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number 1")
    }

    fn visit_u64<E: Error>(self, version: u64) -> Result<(), E> {
        if version == 1 { Ok(()) } else { Err(E::custom(format!("unknown version {version}; only 1 is supported"))) }
    }
}

/// A number of these things.
struct NumberOrAll(&'static str);

impl Visitor<'_> for NumberOrAll {
    type Value = Keep;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of {}, or `all`", self.0)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Keep, E> {
        Ok(Keep::Newest(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Keep, E> {
        if text == "all" { Ok(Keep::All) } else { Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)) }
    }
}

/// Text that is parsed further. A number is not text: `keep-within: 30` has lost its unit, and `1.10` its last digit.
#[derive(Clone, Copy)]
struct Text<P> {
    what: &'static str,
    parse: P,
}

impl<'de, T, P: Fn(&str) -> Result<T, String>> DeserializeSeed<'de> for Text<P> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T, P: Fn(&str) -> Result<T, String>> Visitor<'_> for Text<P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

struct OneOrMore<P>(Text<P>);

impl<'de, T, P: Fn(&str) -> Result<T, String> + Copy> Visitor<'de> for OneOrMore<P> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of them", self.0.what)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        self.0.visit_str(text).map(|one| vec![one])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element_seed(self.0)? {
            all.push(one);
        }
        Ok(all)
    }
}
