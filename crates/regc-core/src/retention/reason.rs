//! Why a tag is kept or deleted.

use std::fmt;
use std::time::Duration;

use super::calendar::{Calendar, NewestOf, Period};
use super::order::Order;
use crate::digest::Digest;

/// Why a tag is kept or deleted. `Display` continues after the tag's name: `v1 was pushed in the last 30d`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Kept: its link is garbled, so what it names is unknown.
    Garbled,
    /// Kept: it belongs to a manifest, as the tag of a signature does. It is deleted with that manifest.
    Attached(Digest),
    /// Kept: it is the referrers tag of a manifest whose digest it abbreviates, and that no tag names. It is deleted
    /// with that manifest.
    Abbreviated,
    /// Deleted: it belongs to a manifest that was deleted from the repository, and was pushed long ago.
    Orphaned {
        /// The manifest that it belonged to.
        owner: Digest,
        /// How old it may be.
        orphans: Duration,
    },
    /// Kept: the rule has `only-tag` expressions, and none matches it.
    NotSelected,
    /// Kept: this `keep-tag` matches it.
    KeepTag(String),
    /// Kept: another tag of the image is kept.
    SameImage {
        /// The other tag.
        tag: String,
        /// Why that tag is kept.
        why: Box<Reason>,
    },
    /// Kept or deleted with the image that its manifest is attached to.
    Subject {
        /// A tag of that image.
        tag: String,
        /// Why that tag is kept or deleted.
        why: Box<Reason>,
    },
    /// Kept or deleted with the index that its manifest is part of.
    PartOf {
        /// A tag of that index.
        tag: String,
        /// Why that tag is kept or deleted.
        why: Box<Reason>,
    },
    /// Kept: its manifest is attached in a cycle, directly or through others.
    Cycle,
    /// Kept: the rule keeps all images.
    All,
    /// Kept, and not counted: its manifest is missing, not linked, or not understood.
    CannotBePulled,
    /// Kept: its creation time is needed, but cannot be read.
    AgeUnknown,
    /// Kept: images are ordered by version, and it has none.
    NoVersion,
    /// Kept: the image is one of the newest.
    Newest {
        /// Its number among the images that are counted; the newest is number 1.
        rank: u64,
        /// How many are kept.
        keep: u64,
        /// What they are ordered by.
        by: Order,
    },
    /// Kept: the image is not too old.
    Within {
        /// How old it may be.
        keep_within: Duration,
        /// With [`Order::Created`], its age is counted from its creation, else from its last push.
        by: Order,
    },
    /// Kept: the image is the newest of one of the last hours, days, weeks, months or years with an image.
    NewestOf {
        /// Of which one.
        of: NewestOf,
        /// With [`Order::Created`], the image was created then, else it was pushed then.
        by: Order,
    },
    /// Deleted: no rule keeps it.
    NotKept {
        /// Its number among the images that are counted; the newest is number 1.
        rank: u64,
        /// How many are kept, if the rule says so.
        keep: Option<u64>,
        /// How old an image may be, if the rule says so.
        keep_within: Option<Duration>,
        /// What they are ordered by.
        by: Order,
    },
    /// Deleted: no rule keeps it, and the rule also has a calendar.
    NotKeptByCalendar {
        /// Of how many hours, days, weeks, months and years the newest image is kept.
        calendar: Calendar,
        /// What is known without that: [`Reason::NotKept`].
        why: Box<Reason>,
    },
}

impl Reason {
    /// Returns this reason to delete an image, completed for a rule that has this calendar.
    pub(super) fn beside(self, calendar: Calendar) -> Self {
        if calendar.is_empty() { self } else { Reason::NotKeptByCalendar { calendar, why: Box::new(self) } }
    }

    /// Returns a stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Reason::Garbled => "garbled",
            Reason::Attached(_) => "attached",
            Reason::Abbreviated => "abbreviated",
            Reason::Orphaned { .. } => "orphaned",
            Reason::NotSelected => "not_selected",
            Reason::KeepTag(_) => "keep_tag",
            Reason::SameImage { .. } => "same_image",
            Reason::Subject { .. } => "subject",
            Reason::PartOf { .. } => "part_of",
            Reason::Cycle => "cycle",
            Reason::All => "all",
            Reason::CannotBePulled => "cannot_be_pulled",
            Reason::AgeUnknown => "age_unknown",
            Reason::NoVersion => "no_version",
            Reason::Newest { .. } => "newest",
            Reason::Within { .. } => "within",
            Reason::NewestOf { of, .. } => match of.period {
                Period::Hour => "hourly",
                Period::Day => "daily",
                Period::Week => "weekly",
                Period::Month => "monthly",
                Period::Year => "yearly",
            },
            Reason::NotKept { .. } | Reason::NotKeptByCalendar { .. } => "not_kept",
        }
    }

    /// Whether the tag is kept only because its image's age cannot be read, which is worth a warning.
    pub const fn is_age_unknown(&self) -> bool {
        matches!(self, Reason::AgeUnknown)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Garbled => f.write_str("has a garbled link"),
            Reason::Attached(digest) => write!(f, "belongs to {digest}"),
            Reason::Abbreviated => f.write_str("is the referrers tag of a manifest whose digest it abbreviates"),
            Reason::Orphaned { owner, orphans } => {
                write!(f, "belongs to {owner}, which was deleted, and was pushed more than {} ago", Spelled(*orphans))
            }
            Reason::NotSelected => f.write_str("matches no only-tag"),
            Reason::KeepTag(regex) => write!(f, "matches keep-tag {regex}"),
            Reason::SameImage { tag, why } => write!(f, "is the same image as {tag}, which {why}"),
            Reason::Subject { tag, why } => write!(f, "is attached to {tag}, which {why}"),
            Reason::PartOf { tag, why } => write!(f, "is part of {tag}, which {why}"),
            Reason::Cycle => f.write_str("belongs to a cycle of attached images"),
            Reason::All => f.write_str("is kept, as all images are"),
            Reason::CannotBePulled => f.write_str("names a manifest that is missing, not linked, or not understood"),
            Reason::AgeUnknown => f.write_str("has no readable creation time"),
            Reason::NoVersion => f.write_str("has no version"),
            Reason::Newest { rank, keep, by } => write!(f, "is number {rank} of the {keep} {}", best(*by)),
            Reason::Within { keep_within, by } => write!(f, "was {} in the last {}", done(*by), Spelled(*keep_within)),
            Reason::NewestOf { of, by } => write!(f, "is the newest {} {of}", done(*by)),
            Reason::NotKeptByCalendar { calendar, why } => {
                match **why {
                    Reason::NotKept { keep: None | Some(0), keep_within: None, .. } => {}
                    _ => write!(f, "{why}, and ")?,
                }
                write!(f, "is not the newest of {calendar}")
            }
            Reason::NotKept { rank, keep, keep_within, by } => {
                match keep {
                    Some(keep @ 1..) => write!(f, "is number {rank}, not among the {keep} {}", best(*by))?,
                    _ if keep_within.is_some() => {}
                    _ => f.write_str("is kept by no rule")?,
                }
                let Some(keep_within) = keep_within else { return Ok(()) };
                let and = if matches!(keep, Some(1..)) { ", and " } else { "" };
                write!(f, "{and}was {} more than {} ago", done(*by), Spelled(*keep_within))
            }
        }
    }
}

/// Returns what the newest images are called.
const fn best(by: Order) -> &'static str {
    match by {
        Order::Created => "most recently created",
        Order::Pushed => "most recently pushed",
        Order::Semver => "highest versions",
        Order::Name => "last by name",
    }
}

/// Returns what an image's age is counted from.
pub(super) const fn done(by: Order) -> &'static str {
    match by {
        Order::Created => "created",
        Order::Pushed | Order::Semver | Order::Name => "pushed",
    }
}

/// A human-readable duration, in the largest unit that it is a multiple of.
pub(super) struct Spelled(pub Duration);

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [(86_400, "d"), (3600, "h"), (60, "m")];
        let is_whole = self.0.subsec_nanos() == 0 && seconds > 0;
        match units.into_iter().find(|(unit, _)| is_whole && seconds.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", seconds / unit),
            None => write!(f, "{}s", self.0.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Keep;

    #[test]
    fn every_reason_has_a_code_and_a_text() {
        let digest: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let day = Duration::from_secs(86_400);
        let newest = Reason::Newest { rank: 2, keep: 10, by: Order::Semver };
        let not_kept = |keep, keep_within, by| Reason::NotKept { rank: 14, keep, keep_within, by };
        let newest_of = |period, keep| NewestOf { period, which: "2026".into(), rank: 2, keep };
        let calendar =
            Calendar::default().keep(Period::Day, Some(Keep::Newest(7))).keep(Period::Month, Some(Keep::All));
        for (reason, code, text) in [
            (Reason::Garbled, "garbled", "has a garbled link"),
            (Reason::Attached(digest), "attached", &*format!("belongs to {digest}")),
            (
                Reason::Orphaned { owner: digest, orphans: day },
                "orphaned",
                &*format!("belongs to {digest}, which was deleted, and was pushed more than 1d ago"),
            ),
            (Reason::NotSelected, "not_selected", "matches no only-tag"),
            (Reason::KeepTag("^v".into()), "keep_tag", "matches keep-tag ^v"),
            (
                Reason::SameImage { tag: "v1".into(), why: Box::new(Reason::KeepTag("^v".into())) },
                "same_image",
                "is the same image as v1, which matches keep-tag ^v",
            ),
            (
                Reason::Subject { tag: "v2".into(), why: Box::new(newest) },
                "subject",
                "is attached to v2, which is number 2 of the 10 highest versions",
            ),
            (
                Reason::PartOf { tag: "v1".into(), why: Box::new(Reason::All) },
                "part_of",
                "is part of v1, which is kept, as all images are",
            ),
            (Reason::Cycle, "cycle", "belongs to a cycle of attached images"),
            (Reason::All, "all", "is kept, as all images are"),
            (
                Reason::CannotBePulled,
                "cannot_be_pulled",
                "names a manifest that is missing, not linked, or not understood",
            ),
            (Reason::AgeUnknown, "age_unknown", "has no readable creation time"),
            (Reason::NoVersion, "no_version", "has no version"),
            (Reason::Newest { rank: 1, keep: 3, by: Order::Name }, "newest", "is number 1 of the 3 last by name"),
            (Reason::Within { keep_within: day, by: Order::Created }, "within", "was created in the last 1d"),
            (
                not_kept(Some(10), Some(30 * day), Order::Pushed),
                "not_kept",
                "is number 14, not among the 10 most recently pushed, and was pushed more than 30d ago",
            ),
            (
                not_kept(Some(1), None, Order::Created),
                "not_kept",
                "is number 14, not among the 1 most recently created",
            ),
            (not_kept(Some(0), Some(day), Order::Name), "not_kept", "was pushed more than 1d ago"),
            (not_kept(None, Some(day / 2), Order::Created), "not_kept", "was created more than 12h ago"),
            (
                Reason::NewestOf { of: newest_of(Period::Day, Keep::Newest(7)), by: Order::Semver },
                "daily",
                "is the newest pushed on 2026, number 2 of the last 7 days with an image",
            ),
            (
                Reason::NewestOf { of: newest_of(Period::Week, Keep::Newest(1)), by: Order::Pushed },
                "weekly",
                "is the newest pushed in the week 2026, the last week with an image",
            ),
            (
                Reason::NewestOf { of: newest_of(Period::Year, Keep::All), by: Order::Created },
                "yearly",
                "is the newest created in the year 2026, number 2 of all years with an image",
            ),
            (
                not_kept(Some(10), None, Order::Name).beside(calendar),
                "not_kept",
                "is number 14, not among the 10 last by name, and is not the newest of any of the last 7 days or of any month",
            ),
            (
                not_kept(None, Some(day), Order::Pushed).beside(calendar),
                "not_kept",
                "was pushed more than 1d ago, and is not the newest of any of the last 7 days or of any month",
            ),
            (
                not_kept(Some(0), None, Order::Pushed).beside(calendar),
                "not_kept",
                "is not the newest of any of the last 7 days or of any month",
            ),
            (not_kept(None, None, Order::Pushed).beside(Calendar::default()), "not_kept", "is kept by no rule"),
            (not_kept(None, None, Order::Pushed), "not_kept", "is kept by no rule"),
            (not_kept(Some(0), None, Order::Pushed), "not_kept", "is kept by no rule"),
        ] {
            assert_eq!((reason.code(), &*reason.to_string()), (code, text));
            assert_eq!(reason.is_age_unknown(), code == "age_unknown");
        }
    }

    #[test]
    fn durations_print_as_written() {
        for text in ["0s", "7s", "90m", "36h", "30d"] {
            assert_eq!(Spelled(crate::duration::parse(text).unwrap()).to_string(), text);
        }
        assert_eq!(Spelled(Duration::from_millis(86_400_500)).to_string(), "86400.5s");
    }
}
