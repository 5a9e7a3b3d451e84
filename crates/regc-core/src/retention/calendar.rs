//! Rules by the calendar: the newest image of each of the last days, weeks, months.
//!
//! Only periods that have an image count, so a repository loses nothing if nothing is pushed to it for a year. All
//! times are UTC: a policy must decide the same on every machine, and twice a year a local day has a different length.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::Offset;

use super::rule::Keep;

/// A unit of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Period {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week by ISO 8601: it begins on Monday, and belongs to the year that has its Thursday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// All periods, the shortest first.
    pub const ALL: [Period; 5] = [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Year];

    /// Returns the name, for example `day`.
    pub const fn name(self) -> &'static str {
        match self {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
            Period::Year => "year",
        }
    }

    /// Returns the period that a time is in. A time before year -9999 or after 9999 is in the first or last that there
    /// is.
    fn at(self, time: SystemTime) -> At {
        let beyond = if time < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
        let time = Offset::UTC.to_datetime(Timestamp::try_from(time).unwrap_or(beyond));
        match self {
            Period::Hour => At(time.year(), time.month(), time.day(), time.hour()),
            Period::Day => At(time.year(), time.month(), time.day(), 0),
            Period::Week => {
                let week = time.date().iso_week_date();
                At(week.year(), week.week(), 0, 0)
            }
            Period::Month => At(time.year(), time.month(), 0, 0),
            Period::Year => At(time.year(), 0, 0, 0),
        }
    }

    /// Returns how a period is written: `2026-11-21`, `2026-W47`.
    fn spell(self, At(year, part, day, hour): At) -> String {
        match self {
            Period::Hour => format!("{year:04}-{part:02}-{day:02}T{hour:02}"),
            Period::Day => format!("{year:04}-{part:02}-{day:02}"),
            Period::Week => format!("{year:04}-W{part:02}"),
            Period::Month => format!("{year:04}-{part:02}"),
            Period::Year => format!("{year:04}"),
        }
    }
}

/// One of the periods of a length: the year, the month or week, the day, and the hour; 0 where the length has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct At(i16, i8, i8, i8);

/// For each period, how many of the last ones with an image count: the newest image of each of them is kept.
///
/// ```
/// use regc_core::retention::{Calendar, Keep, PartialRule, Period};
///
/// # fn main() -> Result<(), regc_core::Error> {
/// let calendar = Calendar::default().keep(Period::Day, Some(Keep::Newest(7))).keep(Period::Month, Some(Keep::All));
/// let rule = PartialRule::default().finish_with(calendar)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar([Option<Keep>; 5]);

impl Calendar {
    /// Sets of how many of the last `period`s with an image the newest image is kept; `None` leaves it to defaults.
    #[must_use]
    pub const fn keep(mut self, period: Period, keep: Option<Keep>) -> Self {
        self.0[period as usize] = keep;
        self
    }

    /// Takes from `defaults` what is not set here.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        Self(std::array::from_fn(|period| self.0[period].or(defaults.0[period])))
    }

    /// Whether it keeps nothing: no period is set, or all are 0.
    pub fn is_empty(&self) -> bool {
        self.kept().next().is_none()
    }

    /// Returns the periods of which something is kept, and of how many.
    pub(super) fn kept(&self) -> impl Iterator<Item = (Period, Keep)> {
        let set = Period::ALL.into_iter().zip(self.0);
        set.filter_map(|(period, keep)| Some((period, keep.filter(|keep| *keep != Keep::Newest(0))?)))
    }

    /// Returns for each image what it is the newest of, the shortest period if of several; `None` if of none that is
    /// kept. `times` are those of all images, the newest image first, which need not be the one with the latest time.
    pub(super) fn newest(&self, times: &[SystemTime]) -> Vec<Option<NewestOf>> {
        let mut newest = vec![None; times.len()];
        for (period, keep) in self.kept() {
            let mut images = BTreeMap::new();
            for (image, time) in times.iter().enumerate() {
                images.entry(period.at(*time)).or_insert(image);
            }
            for (rank, (at, image)) in (1..).zip(images.into_iter().rev()) {
                if matches!(keep, Keep::Newest(keep) if rank > keep) {
                    break;
                }
                newest[image].get_or_insert_with(|| NewestOf { period, which: period.spell(at), rank, keep });
            }
        }
        newest
    }
}

impl fmt::Display for Calendar {
    /// Writes of which periods an image is kept: `any of the last 7 days, of the last week or of any year`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept().map(|(period, keep)| match (period.name(), keep) {
            (name, Keep::All) => format!("any {name}"),
            (name, Keep::Newest(1)) => format!("the last {name}"),
            (name, Keep::Newest(number)) => format!("any of the last {number} {name}s"),
        });
        let kept: Vec<String> = kept.collect();
        match kept.split_last() {
            Some((last, [])) => f.write_str(last),
            Some((last, others)) => write!(f, "{} or of {last}", others.join(", of ")),
            None => Ok(()),
        }
    }
}

/// The period that an image is the newest of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewestOf {
    /// How long it is.
    pub period: Period,
    /// Which one it is: `2026-11-21T03`, `2026-11-21`, `2026-W47`, `2026-11` or `2026`.
    pub which: String,
    /// Its number among those with an image; the last is number 1.
    pub rank: u64,
    /// Of how many of the last ones with an image the newest image is kept.
    pub keep: Keep,
}

impl fmt::Display for NewestOf {
    /// Continues after what was done to the image: `on 2026-11-21, number 2 of the last 7 days with an image`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { period, which, rank, keep } = self;
        match period {
            Period::Day => write!(f, "on {which}")?,
            _ => write!(f, "in the {} {which}", period.name())?,
        }
        match (period.name(), keep) {
            (name, Keep::All) => write!(f, ", number {rank} of all {name}s with an image"),
            (name, Keep::Newest(1)) => write!(f, ", the last {name} with an image"),
            (name, Keep::Newest(number)) => write!(f, ", number {rank} of the last {number} {name}s with an image"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    #[test]
    fn times_are_in_periods_of_utc() {
        for (text, expected) in [
            ("2026-11-21T03:59:59.999Z", ["2026-11-21T03", "2026-11-21", "2026-W47", "2026-11", "2026"]),
            ("2026-11-21T01:00:00+02:00", ["2026-11-20T23", "2026-11-20", "2026-W47", "2026-11", "2026"]),
            // Sunday and Monday; years with 53 weeks, and days that belong to the week of another year.
            ("2026-11-22T23:00:00Z", ["2026-11-22T23", "2026-11-22", "2026-W47", "2026-11", "2026"]),
            ("2026-11-23T00:00:00Z", ["2026-11-23T00", "2026-11-23", "2026-W48", "2026-11", "2026"]),
            ("2027-01-03T00:00:00Z", ["2027-01-03T00", "2027-01-03", "2026-W53", "2027-01", "2027"]),
            ("2024-12-30T00:00:00Z", ["2024-12-30T00", "2024-12-30", "2025-W01", "2024-12", "2024"]),
        ] {
            let spelled = Period::ALL.map(|period| period.spell(period.at(time(text))));
            assert_eq!(spelled, expected, "{text}");
        }
    }

    #[test]
    fn times_that_no_calendar_has_are_in_the_first_or_last_period() {
        let day = |seconds| SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds));
        let far = day(1 << 60).unwrap();
        let before = SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1 << 60);
        for period in Period::ALL {
            assert!(period.at(far) > period.at(time("2026-11-21T00:00:00Z")), "{period:?}");
            assert!(period.at(before) < period.at(SystemTime::UNIX_EPOCH), "{period:?}");
        }
    }

    #[test]
    fn what_is_not_set_is_taken_from_the_defaults() {
        let (seven, none) = (Some(Keep::Newest(7)), Some(Keep::Newest(0)));
        let defaults = Calendar::default().keep(Period::Day, seven).keep(Period::Year, Some(Keep::All));
        assert_eq!(Calendar::default().or(&defaults), defaults);
        let own = Calendar::default().keep(Period::Day, none).keep(Period::Week, Some(Keep::Newest(1)));
        assert_eq!(own.or(&defaults).to_string(), "the last week or of any year");
        assert!(Calendar::default().is_empty() && Calendar::default().keep(Period::Day, none).is_empty());
        assert!(!defaults.is_empty());
    }
}
