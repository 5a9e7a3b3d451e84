//! Retention rules.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

use super::calendar::Calendar;
use super::order::Order;
use super::yaml;
use crate::error::Error;

/// How many images are kept, whatever their age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    All,
    /// That many of the newest; 0 is allowed.
    Newest(u64),
}

impl FromStr for Keep {
    type Err = String;

    /// Parses `10` or `all`. Fails with a human-readable reason.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Keep::All),
            _ => text.parse().map(Keep::Newest).map_err(|_| format!("{text:?} is neither a number nor `all`")),
        }
    }
}

/// A regular expression for tags. It may match anywhere in a tag; `^` and `$` are the tag's ends.
///
/// The syntax is that of the crate `regex`, which takes time linear in the length of a tag.
#[derive(Clone, Debug)]
pub struct TagRegex(Regex);

impl TagRegex {
    /// Returns whether it matches a tag.
    pub fn is_match(&self, tag: &str) -> bool {
        self.0.is_match(tag)
    }
}

impl fmt::Display for TagRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TagRegex {
    type Err = String;

    /// Fails with a human-readable reason. An empty expression is refused: it would match every tag, and an unset
    /// variable leaves one. So is an expression with a space or a control character, which no tag has.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the regular expression is empty; `.*` matches every tag".to_owned());
        }
        // It would match nothing, and so keep nothing: a line end that YAML left there, or a backspace, YAML's `"\b"`.
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("{text:?} contains a character that tags cannot contain"));
        }
        Regex::new(text).map(Self).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            format!("{text:?} is not a regular expression: {}", reason.strip_prefix("error: ").unwrap_or(reason))
        })
    }
}

/// A rule as written: what it leaves out may come from defaults. What the calendar keeps is in a separate [`Calendar`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PartialRule {
    /// How many images are kept.
    #[serde(deserialize_with = "yaml::keep")]
    pub keep: Option<Keep>,
    /// Images that are not older than this are kept.
    #[serde(deserialize_with = "yaml::age")]
    pub keep_within: Option<Duration>,
    /// Images with a tag that matches one of these are kept.
    #[serde(rename = "keep-tag", deserialize_with = "yaml::tags")]
    pub keep_tags: Option<Vec<TagRegex>>,
    /// Images with a tag that matches none of these are kept, if there are any.
    #[serde(rename = "only-tag", deserialize_with = "yaml::tags")]
    pub only_tags: Option<Vec<TagRegex>>,
    /// What images are ordered by.
    #[serde(deserialize_with = "yaml::by")]
    pub by: Option<Order>,
    /// What is attached to deleted images is deleted if it was pushed longer ago than this. Without this, it is kept.
    #[serde(deserialize_with = "yaml::age")]
    pub orphans: Option<Duration>,
}

impl PartialRule {
    /// Takes from `defaults` what this rule leaves out.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        Self {
            keep: self.keep.or(defaults.keep),
            keep_within: self.keep_within.or(defaults.keep_within),
            keep_tags: self.keep_tags.or_else(|| defaults.keep_tags.clone()),
            only_tags: self.only_tags.or_else(|| defaults.only_tags.clone()),
            by: self.by.or(defaults.by),
            orphans: self.orphans.or(defaults.orphans),
        }
    }

    /// Completes the rule, without a calendar.
    ///
    /// Fails with [`Error::NothingToKeep`] if it has neither `keep` nor `keep_within` nor any `keep_tags`.
    pub fn finish(self) -> Result<Rule, Error> {
        self.finish_with(Calendar::default())
    }

    /// Completes the rule: what `calendar` keeps is kept as well.
    ///
    /// Fails with [`Error::NothingToKeep`] if it has neither `keep` nor `keep_within` nor any `keep_tags`, and
    /// `calendar` keeps nothing.
    pub fn finish_with(self, calendar: Calendar) -> Result<Rule, Error> {
        let keep_tags = self.keep_tags.unwrap_or_default();
        if self.keep.is_none() && self.keep_within.is_none() && keep_tags.is_empty() && calendar.is_empty() {
            return Err(Error::NothingToKeep);
        }
        Ok(Rule {
            keep: self.keep,
            keep_within: self.keep_within,
            calendar,
            keep_tags,
            only_tags: self.only_tags.unwrap_or_default(),
            by: self.by.unwrap_or_default(),
            orphans: self.orphans,
        })
    }
}

/// What is kept in a repository.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) keep: Option<Keep>,
    pub(super) keep_within: Option<Duration>,
    pub(super) calendar: Calendar,
    pub(super) keep_tags: Vec<TagRegex>,
    pub(super) only_tags: Vec<TagRegex>,
    pub(super) by: Order,
    pub(super) orphans: Option<Duration>,
}

impl Rule {
    /// Returns what images are ordered by. Only [`Order::Created`] needs the images' configs.
    pub const fn order(&self) -> Order {
        self.by
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Period;

    #[test]
    fn keep_parses_a_number_or_all() {
        assert_eq!("all".parse(), Ok(Keep::All));
        assert_eq!("0".parse(), Ok(Keep::Newest(0)));
        for text in ["", "-1", "1.5", "All", "ten", "99999999999999999999"] {
            assert!(text.parse::<Keep>().is_err(), "{text}");
        }
    }

    #[test]
    fn regular_expressions_say_what_is_wrong_in_one_line() {
        let tag_regex = |text: &str| text.parse::<TagRegex>();
        assert!(tag_regex("^v").unwrap().is_match("v1") && tag_regex("1").unwrap().is_match("v1.2"));
        assert_eq!(tag_regex("(a").unwrap_err(), r#""(a" is not a regular expression: unclosed group"#);
        assert!(tag_regex("").unwrap_err().contains("empty"));
        assert_eq!(tag_regex("a{9999}{9999}").unwrap_err().lines().count(), 1);
    }

    #[test]
    fn a_rule_must_say_what_to_keep() {
        let silent = PartialRule { keep_tags: Some(Vec::new()), by: Some(Order::Name), ..PartialRule::default() };
        assert!(matches!(silent.finish(), Err(Error::NothingToKeep)));
        let nothing = PartialRule::default();
        for partial in [
            PartialRule { keep: Some(Keep::Newest(0)), ..nothing.clone() },
            PartialRule { keep_within: Some(Duration::ZERO), ..nothing.clone() },
            PartialRule { keep_tags: Some(vec!["^v".parse().unwrap()]), ..nothing },
        ] {
            assert_eq!(partial.finish().unwrap().order(), Order::Pushed);
        }
        let days = |days| Calendar::default().keep(Period::Day, Some(Keep::Newest(days)));
        assert!(PartialRule::default().finish_with(days(1)).is_ok());
        assert!(matches!(PartialRule::default().finish_with(days(0)), Err(Error::NothingToKeep)));
    }
}
