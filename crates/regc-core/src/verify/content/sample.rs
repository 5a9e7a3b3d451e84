//! Daily samples of the blobs.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The whole, in parts per million.
const MILLION: u32 = 1_000_000;

/// A percentage of all digests, with different ones every day.
///
/// Digests lie on a circle by their first eight bytes, which are evenly distributed. Each day has an arc of the
/// circle that is as long as the sample is large, and begins where the arc of the day before ended. So with 1 %, any
/// 100 consecutive days have every digest once; with 30 %, any 4 consecutive days have each at least once.
///
/// ```
/// use regc_core::verify::content::Sample;
///
/// let sample = Sample::parse("sample:30%", 20_000)?;
/// assert_eq!(sample.days(), 4);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// An integer, so that the value read from a checkpoint is equal to the one that was written.
    parts_per_million: NonZeroU32,
    day: u64,
}

impl Sample {
    /// Parses `sample:1%`, or `0.5 %`. The day is counted from any fixed day, such as 1970-01-01.
    ///
    /// Fails with a human-readable reason. More than four decimals are refused.
    pub fn parse(text: &str, day: u64) -> Result<Self, String> {
        let invalid =
            || "not a sample like sample:1%, of more than 0 and at most 100 %, with up to 4 decimals".to_owned();
        let percent = text.strip_prefix("sample:").unwrap_or(text).strip_suffix('%').ok_or_else(invalid)?;
        let (whole, decimals) = percent.trim_end().split_once('.').unwrap_or((percent.trim_end(), "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > 4 {
            return Err(invalid());
        }
        let parts: u32 = format!("{whole}{decimals:0<4}").parse().map_err(|_| invalid())?;
        let parts_per_million = NonZeroU32::new(parts).filter(|parts| parts.get() <= MILLION).ok_or_else(invalid)?;
        Ok(Self { parts_per_million, day })
    }

    /// Returns the day it is for.
    pub fn day(&self) -> u64 {
        self.day
    }

    /// Returns how many consecutive days have every digest.
    pub fn days(&self) -> u32 {
        MILLION.div_ceil(self.parts_per_million.get())
    }

    /// Returns whether a digest is part of it.
    pub fn selects(&self, digest: &Digest) -> bool {
        // Rounded up, so that the arcs of all days are at least the whole circle, whose length is 2^64.
        let arc = (u128::from(self.parts_per_million.get()) << 64).div_ceil(u128::from(MILLION));
        let start = u128::from(self.day).wrapping_mul(arc) as u64;
        let position = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        u128::from(position.wrapping_sub(start)) < arc
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % of the blobs on day {}", f64::from(self.parts_per_million.get()) / 10_000.0, self.day)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::Algorithm;

    #[test]
    fn samples_parse() {
        for (text, parts, days) in [
            ("sample:1%", 10_000, 100),
            ("0.5%", 5000, 200),
            ("25 %", 250_000, 4),
            ("sample:100%", 1_000_000, 1),
            ("99.9999%", 999_999, 2),
            ("0.0001%", 1, 1_000_000),
        ] {
            let sample = Sample::parse(text, 7).unwrap();
            assert_eq!((sample.parts_per_million.get(), sample.days(), sample.day()), (parts, days, 7), "{text}");
        }
        for text in ["", "1", "%", "sample:", "0%", "0.00001%", "100.0001%", "-1%", "1e1%", "1.%", ".5%", "9999999999%"]
        {
            assert!(Sample::parse(text, 0).is_err(), "{text}");
        }
        assert_eq!(Sample::parse("0.5%", 20_000).unwrap().to_string(), "0.5 % of the blobs on day 20000");
    }

    proptest! {
        #[test]
        fn consecutive_days_sample_every_digest(
            parts in prop_oneof![1..=MILLION, 10_000..=MILLION, Just(10_000), Just(250_000)],
            start in prop_oneof![0..100_000_u64, any::<u64>()],
            hash in any::<[u8; 32]>(),
        ) {
            let parts_per_million = NonZeroU32::new(parts.max(500)).unwrap();
            let of = |day| Sample { parts_per_million, day };
            let days = u64::from(of(0).days());
            let digest = Digest::sha256(hash);
            let start = start.min(u64::MAX - days);
            let times = (start..start + days).filter(|day| of(*day).selects(&digest)).count();
            prop_assert!(times >= 1);
            if MILLION.is_multiple_of(parts_per_million.get()) {
                prop_assert_eq!(times, 1);
            }
        }
    }

    #[test]
    fn a_sample_is_as_large_as_it_says() {
        let digests: Vec<Digest> =
            (0..20_000_u32).map(|n| Digest::of(Algorithm::ALL[n as usize % 3], &n.to_le_bytes())).collect();
        for (text, expected) in [("1%", 200.0), ("30%", 6000.0), ("60%", 12_000.0), ("100%", 20_000.0)] {
            for day in [0, 1, 20_513] {
                let sample = Sample::parse(text, day).unwrap();
                let selected = digests.iter().filter(|digest| sample.selects(digest)).count() as f64;
                assert!((selected - expected).abs() <= 4.0 * expected.sqrt(), "{text} on {day}: {selected}");
            }
        }
    }
}
