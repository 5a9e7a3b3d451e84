//! What a rule keeps, in a sentence.

use std::fmt;

use super::order::Order;
use super::reason::{Spelled, done};
use super::rule::{Keep, Rule, TagRegex};

impl fmt::Display for Rule {
    /// Writes what it keeps: `keeps the 10 images pushed last and images pushed in the last 30d; deletes all others`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = kept(self);
        match kept.split_last() {
            _ if self.keep == Some(Keep::All) => f.write_str("keeps all images")?,
            None => f.write_str("keeps no image; deletes all")?,
            Some((last, [])) => write!(f, "keeps {last}; deletes all others")?,
            Some((last, others)) => write!(f, "keeps {} and {last}; deletes all others", others.join(", "))?,
        }
        let Some(orphans) = self.orphans else { return Ok(()) };
        write!(f, "; deletes what belongs to a deleted image and was pushed more than {} ago", Spelled(orphans))
    }
}

/// Returns which images a rule keeps that does not keep all.
fn kept(rule: &Rule) -> Vec<String> {
    let Rule { keep, keep_within, calendar, keep_tags, only_tags, by, .. } = rule;
    let mut kept = Vec::new();
    if let Some(Keep::Newest(number @ 1..)) = keep {
        let images = if *number == 1 { "the image".to_owned() } else { format!("the {number} images") };
        kept.push(match by {
            Order::Created | Order::Pushed => format!("{images} {} last", done(*by)),
            Order::Semver => format!("{images} with the highest version{}", if *number == 1 { "" } else { "s" }),
            Order::Name => format!("{images} with the last name{}", if *number == 1 { "" } else { "s" }),
        });
    }
    let within = keep_within.filter(|within| !within.is_zero());
    kept.extend(within.map(|within| format!("images {} in the last {}", done(*by), Spelled(within))));
    for (period, keep) in calendar.kept() {
        let name = period.name();
        kept.push(match keep {
            Keep::All => format!("the newest {} in each {name}", done(*by)),
            Keep::Newest(1) => format!("the newest {} in the last {name} with an image", done(*by)),
            Keep::Newest(number) => {
                format!("the newest {} in each of the last {number} {name}s with an image", done(*by))
            }
        });
    }
    if !keep_tags.is_empty() {
        kept.push(format!("images with a tag that matches {}", any_of(keep_tags)));
    }
    if !only_tags.is_empty() {
        kept.push(format!("images with a tag that does not match {}", any_of(only_tags)));
    }
    match by {
        Order::Created => kept.push("images without a readable creation time".to_owned()),
        Order::Semver => kept.push("images without a version".to_owned()),
        Order::Pushed | Order::Name => {}
    }
    kept
}

fn any_of(regexes: &[TagRegex]) -> String {
    regexes.iter().map(TagRegex::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use crate::retention::Policy;

    #[test]
    fn a_rule_is_a_sentence() {
        for (text, expected) in [
            ("keep: all, keep-within: 30d", "keeps all images"),
            ("keep: 0, keep-within: 0s", "keeps no image; deletes all"),
            (
                "keep: 0, orphans: 30d",
                "keeps no image; deletes all; deletes what belongs to a deleted image and was pushed more than 30d ago",
            ),
            ("keep: 1, by: name", "keeps the image with the last name; deletes all others"),
            (
                "keep: 3, keep-within: 7d, by: semver",
                "keeps the 3 images with the highest versions, images pushed in the last 7d and images without a \
                 version; deletes all others",
            ),
            (
                "keep: 2, keep-daily: 7, keep-weekly: 1, keep-yearly: all, by: created",
                "keeps the 2 images created last, the newest created in each of the last 7 days with an image, the \
                 newest created in the last week with an image, the newest created in each year and images without a \
                 readable creation time; deletes all others",
            ),
            (
                "keep-tag: [^v, latest], only-tag: [^v, ^pr-]",
                "keeps images with a tag that matches ^v or latest and images with a tag that does not match ^v or \
                 ^pr-; deletes all others",
            ),
        ] {
            let policy = Policy::parse(&format!("version: 1\nrules: [{{repositories: a, {text}}}]")).unwrap();
            assert_eq!(policy.rules()[0].rule.to_string(), expected, "{text}");
        }
    }
}
