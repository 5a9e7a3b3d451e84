//! The order in which people expect names: `v2` before `v10`.

use std::cmp::Ordering;

/// Compares two names by their numbers and what is between them.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one.as_bytes(), other.as_bytes());
    while let (Some(a), Some(b)) = (left.first(), right.first()) {
        let order = if a.is_ascii_digit() && b.is_ascii_digit() {
            let (a, b) = (take_number(&mut left), take_number(&mut right));
            a.len().cmp(&b.len()).then(a.cmp(b))
        } else {
            (left, right) = (&left[1..], &right[1..]);
            a.cmp(b)
        };
        if order.is_ne() {
            return order;
        }
    }
    // Names that differ only in leading zeros are different all the same.
    left.len().cmp(&right.len()).then(one.cmp(other))
}

/// Takes the digits that a text begins with, and returns them without leading zeros.
fn take_number<'t>(text: &mut &'t [u8]) -> &'t [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let ordered = [
            "",
            "1",
            "1.02",
            "1.2",
            "1.10",
            "1.10-rc1",
            "1.10-rc2",
            "1.10-rc10",
            "2",
            "10",
            "20260101",
            "alpha",
            "v0",
            "v00",
            "v1",
            "v2",
            "v2-a",
            "v10",
            "v18446744073709551616",
        ];
        for (at, one) in ordered.iter().enumerate() {
            for (beside, other) in ordered.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&beside), "{one} {other}");
            }
        }
    }
}
