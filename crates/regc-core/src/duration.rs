//! Human-readable durations.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Unit};

/// Parses `90m`, `24h`, `30d` or `2w`. A day has 24 hours.
///
/// Fails with a human-readable reason. Months and years are refused: their length varies.
///
/// ```
/// use std::time::Duration;
///
/// use regc_core::duration;
///
/// assert_eq!(duration::parse("36h"), Ok(Duration::from_secs(36 * 60 * 60)));
/// assert!(duration::parse("1 month").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || "not a duration like 90m, 24h or 7d, or too long".to_owned();
    let span: Span = text.parse().map_err(|_| invalid())?;
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).map_err(|_| invalid())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse() {
        for (text, seconds) in
            [("90m", 5400), ("24h", 86_400), ("7d", 604_800), ("1h30m", 5400), ("0s", 0), ("2w", 1_209_600)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "d", "-1h", "7x", "1h ago", "1mo"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
