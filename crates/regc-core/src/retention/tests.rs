//! Decisions about tags: examples and properties.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::{PartialRule, Policy, Rule, TagFacts, decide};
use crate::digest::{Algorithm, Digest};

mod attached;
mod properties;

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY
}

/// Parses a rule as written in a policy file.
fn rule(text: &str) -> Rule {
    let policy = Policy::parse(&format!("version: 1\nrules: [{{repositories: '**', {text}}}]")).unwrap();
    policy.rules()[0].rule.clone()
}

fn digest(image: &str) -> Digest {
    Digest::of(Algorithm::Sha256, image.as_bytes())
}

/// Returns a tag that names `image`, and was pushed some days ago.
fn tag(tag: &str, image: &str, days: u32) -> TagFacts {
    TagFacts {
        tag: tag.to_owned(),
        digest: Some(digest(image)),
        pushed: now() - days * DAY,
        created: None,
        subject: None,
        owners: Vec::new(),
        is_understood: true,
        orphaned_since: None,
    }
}

fn created(name: &str, image: &str, created: &str) -> TagFacts {
    TagFacts { created: Some(created.to_owned()), ..tag(name, image, 0) }
}

/// Returns the decisions, the same in both orders of `tags`: `+` before a tag that is kept, `-` before a deleted one.
fn said(text: &str, tags: &[TagFacts]) -> Vec<String> {
    let say = |tags: &[TagFacts]| -> Vec<String> {
        let decisions = decide(&rule(text), tags, &BTreeMap::new(), now());
        let lines = tags.iter().zip(decisions).map(|(facts, decision)| {
            format!("{} {} {}", if decision.keep { '+' } else { '-' }, facts.tag, decision.reason)
        });
        lines.collect()
    };
    let mut reversed = tags.to_vec();
    reversed.reverse();
    let mut told = say(&reversed);
    told.reverse();
    assert_eq!(say(tags), told);
    told
}

#[test]
fn images_are_counted_and_not_tags() {
    let tags = [tag("v1", "old", 3), tag("v2", "new", 2), tag("stable", "new", 5), tag("latest", "new", 1)];
    assert_eq!(
        said("keep: 1", &tags),
        [
            "- v1 is number 2, not among the 1 most recently pushed",
            "+ v2 is number 1 of the 1 most recently pushed",
            "+ stable is number 1 of the 1 most recently pushed",
            "+ latest is number 1 of the 1 most recently pushed",
        ]
    );
}

#[test]
fn image_kept_by_keep_tag_keeps_all_its_tags_and_is_not_counted() {
    let tags = [tag("prod", "a", 9), tag("b1", "a", 9), tag("b2", "b", 8), tag("b3", "c", 7), tag("b0", "d", 6)];
    assert_eq!(
        said("keep: 1, keep-tag: ^prod$", &tags),
        [
            "+ prod matches keep-tag ^prod$",
            "+ b1 is the same image as prod, which matches keep-tag ^prod$",
            "- b2 is number 3, not among the 1 most recently pushed",
            "- b3 is number 2, not among the 1 most recently pushed",
            "+ b0 is number 1 of the 1 most recently pushed",
        ]
    );
    assert_eq!(
        said("keep: 0, only-tag: [^b, x], keep-tag: b1", &tags),
        [
            "+ prod matches no only-tag",
            "+ b1 matches keep-tag b1",
            "- b2 is kept by no rule",
            "- b3 is kept by no rule",
            "- b0 is kept by no rule",
        ]
    );
    assert_eq!(said("keep: 0, only-tag: ^b", &tags)[1], "+ b1 is the same image as prod, which matches no only-tag");
}

#[test]
fn recent_images_stay_beside_newest() {
    let tags = [tag("a", "a", 1), tag("b", "b", 29), tag("c", "c", 30), tag("d", "d", 31)];
    assert_eq!(
        said("keep: 1, keep-within: 30d", &tags),
        [
            "+ a is number 1 of the 1 most recently pushed",
            "+ b was pushed in the last 30d",
            "+ c was pushed in the last 30d",
            "- d is number 4, not among the 1 most recently pushed, and was pushed more than 30d ago",
        ]
    );
    assert_eq!(said("keep-within: 30d", &tags)[3], "- d was pushed more than 30d ago");
    // An image is as recent as its youngest tag, also when ordered by version.
    let tags = [tag("v1", "a", 90), tag("latest", "a", 1), tag("v2", "b", 90)];
    assert_eq!(said("keep-within: 30d, by: semver", &tags)[0], "+ v1 was pushed in the last 30d");
    assert_eq!(said("keep-within: 30d, by: semver", &tags)[2], "- v2 was pushed more than 30d ago");
    let forever = PartialRule { keep_within: Some(Duration::MAX), ..PartialRule::default() }.finish().unwrap();
    assert!(decide(&forever, &tags, &BTreeMap::new(), now()).iter().all(|decision| decision.keep));
}

#[test]
fn the_newest_of_a_day_is_what_the_order_says() {
    let hour = Duration::from_secs(3600);
    let later = TagFacts { pushed: now() - hour, ..tag("1.9", "nine", 0) };
    let tags = [later, tag("2.0", "two", 1), tag("1.8", "eight", 2), tag("latest", "other", 1)];
    assert_eq!(
        said("keep-daily: 1, by: semver", &tags),
        [
            "- 1.9 is not the newest of the last day",
            "+ 2.0 is the newest pushed on 2024-10-03, the last day with an image",
            "- 1.8 is not the newest of the last day",
            "+ latest has no version",
        ]
    );
    let pushed = said("keep-daily: 1", &tags);
    assert!(pushed[0].starts_with("+ 1.9 is the newest pushed on 2024-10-03"), "{pushed:?}");
    assert_eq!(
        said("keep: 1, keep-within: 30h, keep-weekly: 2", &tags),
        [
            "+ 1.9 is number 1 of the 1 most recently pushed",
            "+ 2.0 was pushed in the last 30h",
            "- 1.8 is number 4, not among the 1 most recently pushed, and was pushed more than 30h ago, and is not the \
             newest of any of the last 2 weeks",
            "+ latest was pushed in the last 30h",
        ]
    );
}

#[test]
fn ties_are_broken_by_name_and_then_by_digest() {
    let tags = [tag("b-9", "a", 1), tag("b-10", "b", 1), tag("a", "c", 1)];
    assert_eq!(said("keep: 1", &tags)[1], "+ b-10 is number 1 of the 1 most recently pushed");
    assert_eq!(said("keep: 2", &tags)[0], "+ b-9 is number 2 of the 2 most recently pushed");
    let mut images = ["a", "b"];
    images.sort_by_key(|image| digest(image));
    let [lower, higher] = images.map(|image| tag("twice", image, 1));
    assert_eq!(said("keep: 1", &[lower, higher])[1], "+ twice is number 1 of the 1 most recently pushed");
}

#[test]
fn times_in_the_future_are_the_newest() {
    let future = TagFacts { pushed: now() + 9 * DAY, ..tag("future", "a", 0) };
    let tags = [tag("today", "b", 0), future];
    assert_eq!(said("keep: 1", &tags)[1], "+ future is number 1 of the 1 most recently pushed");
    assert!(said("keep-within: 0s", &tags).iter().all(|line| line.starts_with('+')));
}

#[test]
fn a_garbled_tag_stays() {
    let garbled = TagFacts { digest: None, ..tag("v1", "", 9) };
    assert_eq!(said("keep: 0, only-tag: x, keep-tag: v", &[garbled]), ["+ v1 has a garbled link"]);
}

#[test]
fn tags_without_a_readable_creation_time_are_kept() {
    let tags = [
        created("new", "new", "2024-03-01T00:00:00Z"),
        created("old", "old", "2024-02-29T23:59:59.999999999-00:00"),
        created("zone", "zone", "2024-03-01T01:00:00+02:00"),
        created("epoch", "epoch", "1970-01-01T00:00:00Z"),
        created("none", "none", "soon"),
        tag("absent", "absent", 0),
        TagFacts { is_understood: false, ..created("damaged", "damaged", "2024-03-01T00:00:00Z") },
    ];
    let unknown = |tag: &str| format!("+ {tag} has no readable creation time");
    assert_eq!(
        said("keep: 1, by: created", &tags),
        [
            "+ new is number 1 of the 1 most recently created".to_owned(),
            "- old is number 2, not among the 1 most recently created".to_owned(),
            "- zone is number 3, not among the 1 most recently created".to_owned(),
            unknown("epoch"),
            unknown("none"),
            unknown("absent"),
            "+ damaged names a manifest that is missing, not linked, or not understood".to_owned(),
        ]
    );
    let decisions = decide(&rule("keep: 1, by: created"), &tags, &BTreeMap::new(), now());
    let is_unknown: Vec<bool> = decisions.iter().map(|decision| decision.reason.is_age_unknown()).collect();
    assert_eq!(is_unknown, [false, false, false, true, true, true, false]);
    assert!(said("keep: 0", &tags[..6]).iter().all(|line| line.starts_with('-')));
    // Pushed today, but created long ago.
    let old = format!("{}", jiff::Timestamp::try_from(now() - 31 * DAY).unwrap());
    let tags = [created("rebuilt", "rebuilt", &old)];
    assert_eq!(said("keep-within: 30d, by: created", &tags), ["- rebuilt was created more than 30d ago"]);
    assert_eq!(said("keep-within: 31d, by: created", &tags), ["+ rebuilt was created in the last 31d"]);
}

#[test]
fn by_version_the_highest_tag_of_an_image_counts() {
    let tags = [
        tag("v1.9.0", "nine", 1),
        tag("1.10", "ten", 2),
        tag("1", "ten", 2),
        tag("v2.0.0-rc.1", "two", 3),
        tag("1.10.1-alpine", "alpine", 4),
        tag("latest", "other", 0),
    ];
    assert_eq!(
        said("keep: 2, by: semver", &tags),
        [
            "- v1.9.0 is number 4, not among the 2 highest versions",
            "- 1.10 is number 3, not among the 2 highest versions",
            "- 1 is number 3, not among the 2 highest versions",
            "+ v2.0.0-rc.1 is number 1 of the 2 highest versions",
            "+ 1.10.1-alpine is number 2 of the 2 highest versions",
            "+ latest has no version",
        ]
    );
}

#[test]
fn order_by_name_compares_numbers_numerically() {
    let tags = [tag("build-9", "nine", 0), tag("build-10", "ten", 9), tag("a", "ten", 9), tag("build-8", "eight", 0)];
    assert_eq!(
        said("keep: 1, by: name", &tags),
        [
            "- build-9 is number 2, not among the 1 last by name",
            "+ build-10 is number 1 of the 1 last by name",
            "+ a is number 1 of the 1 last by name",
            "- build-8 is number 3, not among the 1 last by name",
        ]
    );
}

#[test]
fn empty_repository_has_no_decisions() {
    assert!(said("keep: 0", &[]).is_empty());
    assert_eq!(said("keep: all, by: created", &[tag("v1", "a", 9)]), ["+ v1 is kept, as all images are"]);
}
