//! The order of images.

use std::cmp::Ordering;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::Timestamp;
use semver::Version;

/// What images are ordered by, to find the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// When the image was created, according to its config.
    Created,
    /// When one of its tags was pushed last.
    #[default]
    Pushed,
    /// The highest version among its tags.
    Semver,
    /// The last name among its tags, with numbers in names compared as numbers.
    Name,
}

impl Order {
    /// All orders.
    pub const ALL: [Order; 4] = [Order::Created, Order::Pushed, Order::Semver, Order::Name];

    /// Returns the name, for example `pushed`.
    pub const fn name(self) -> &'static str {
        match self {
            Order::Created => "created",
            Order::Pushed => "pushed",
            Order::Semver => "semver",
            Order::Name => "name",
        }
    }
}

impl FromStr for Order {
    type Err = String;

    /// Parses a name. Fails with a human-readable reason.
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|order| order.name() == text);
        found.ok_or_else(|| format!("{text:?} is not an order; use {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Compares names in natural order: runs of digits are numbers, however long. Only identical names are equal.
pub(super) fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one.as_bytes(), other.as_bytes());
    while let ([a, ..], [b, ..]) = (left, right) {
        let split = if a.is_ascii_digit() && b.is_ascii_digit() { split_number } else { split_byte };
        let (a, b);
        (a, left) = split(left);
        (b, right) = split(right);
        let ordering = a.len().cmp(&b.len()).then_with(|| a.cmp(b));
        if ordering.is_ne() {
            return ordering;
        }
    }
    left.len().cmp(&right.len()).then_with(|| one.cmp(other))
}

/// Returns the digits that `text` starts with, without leading zeros, and what follows them.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let start = text[..end].iter().position(|byte| *byte != b'0').unwrap_or(end);
    (&text[start..end], &text[end..])
}

fn split_byte(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(1)
}

/// Parses a tag as a version: a leading `v` is allowed, and `1.2` stands for `1.2.0`.
pub(super) fn version(tag: &str) -> Option<Version> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let (numbers, suffix) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let missing = 2_usize.saturating_sub(numbers.matches('.').count());
    Version::parse(&format!("{numbers}{}{suffix}", ".0".repeat(missing))).ok()
}

/// Parses the time when an image was created. `None` if the text is not a time, or is a time before such images
/// existed: reproducible builds write year 1, 1970 or 1980, and a clock that was never set says 2000.
pub(super) fn created(text: &str) -> Option<SystemTime> {
    let first: Timestamp = "2013-01-01T00:00:00Z".parse().expect("a time");
    text.parse().ok().filter(|created: &Timestamp| *created >= first).map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_parse_from_their_names() {
        for order in Order::ALL {
            assert_eq!(order.name().parse(), Ok(order));
        }
        let error = "age".parse::<Order>().unwrap_err();
        assert_eq!(error, r#""age" is not an order; use created, pushed, semver, name"#);
    }

    #[test]
    fn numbers_in_names_compare_numerically() {
        let ascending = [
            "",
            "007",
            "07",
            "7",
            "7-a",
            "10",
            "a",
            "build-9",
            "build-9.2",
            "build-9.10",
            "build-10",
            "build-99999999999999999999998",
            "build-99999999999999999999999",
            "build-x",
            "build-x0",
            "build-x00a",
            "build-x0a",
        ];
        for (at, one) in ascending.iter().enumerate() {
            for (other_at, other) in ascending.iter().enumerate() {
                assert_eq!(natural(one, other), at.cmp(&other_at), "{one} {other}");
            }
        }
    }

    #[test]
    fn version_tags_are_ordered_by_semver() {
        let ascending = ["0.9", "v1.0.0-alpha.2", "1.0.0-alpha.10", "1-rc1", "1", "v1.0.1", "1.2-alpine", "1.2", "v10"];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]).unwrap() < version(pair[1]).unwrap(), "{pair:?}");
        }
        assert_eq!(version("1"), version("v1.0.0"));
        for tag in ["", "v", "latest", "1.", "1..2", ".1", "1.2.3.4", "01.2", "1.2.3_4", "vv1", "1.2.3-", "V1", "1-é"]
        {
            assert_eq!(version(tag), None, "{tag}");
        }
        assert_eq!(version("99999999999999999999"), None);
    }

    #[test]
    fn placeholder_and_malformed_dates_are_ignored() {
        for text in [
            "",
            "yesterday",
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00Z",
            "1970-01-01T23:59:59Z",
            "1980-01-01T00:00:01Z",
            "1980-01-01T00:00:01+14:00",
            "2000-01-01T00:00:00Z",
            "2012-12-31T23:59:59.999Z",
            "2026-01-02",
            "2026-01-02T03:04:05",
        ] {
            assert_eq!(created(text), None, "{text}");
        }
        for text in ["2013-01-01T00:00:00Z", "2026-01-02T03:04:05.123456789+02:00", "9999-01-01T00:00:00Z"] {
            assert!(created(text).is_some(), "{text}");
        }
        assert_eq!(created("2026-01-02T03:04:05+02:00"), created("2026-01-02T01:04:05Z"));
    }
}
