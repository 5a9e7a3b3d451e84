//! Properties that hold for any tags and any rule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::sample::select;

use super::{DAY, digest, now};
use crate::digest::Digest;
use crate::retention::{Calendar, Decision, Keep, Order, PartialRule, Period, TagFacts, TagRegex, decide};

const IMAGES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
const CREATED: [&str; 4] = ["2024-09-01T00:00:00Z", "2024-09-20T00:00:00Z", "1970-01-01T00:00:00Z", "never"];
const REGEXES: [&str; 6] = ["^v", "1", "latest", "^sha256-", "0$", "nothing"];

/// Generates tags with different names. What a manifest states is the same for all tags that name it.
fn tags() -> impl Strategy<Value = Vec<TagFacts>> {
    let image = || proptest::option::weighted(0.3, select(&IMAGES[..]));
    let says = (proptest::option::of(select(&CREATED[..])), image(), image(), any::<bool>());
    let manifests = proptest::collection::vec(says, IMAGES.len());
    let signature = format!("sha256-{}.sig", digest("a").hex());
    let name = prop_oneof![
        6 => "v?[0-2](\\.[0-9]{1,2}){0,2}(-rc1)?",
        2 => select(vec!["latest".to_owned(), "build-9".to_owned(), "build-10".to_owned(), "v01".to_owned()]),
        1 => Just(signature),
    ];
    let links =
        proptest::collection::btree_map(name, (proptest::option::weighted(0.95, 0..IMAGES.len()), 0..6_u32), 0..14);
    (manifests, links).prop_map(|(manifests, links)| {
        let of = |(tag, (image, days)): (String, (Option<usize>, u32))| {
            let (created, subject, part, is_understood) =
                image.map_or((None, None, None, true), |image| manifests[image]);
            TagFacts {
                tag,
                digest: image.map(|image| digest(IMAGES[image])),
                pushed: now() - days * 10 * DAY,
                created: created.map(str::to_owned),
                subject: subject.map(digest),
                owners: part.map(digest).into_iter().collect(),
                is_understood,
                orphaned_since: None,
            }
        };
        links.into_iter().map(of).collect()
    })
}

/// Generates images that have one tag each, in an order that is not that of their push times, which all differ.
fn dated() -> impl Strategy<Value = Vec<TagFacts>> {
    let minutes = proptest::collection::btree_set(0..600_000_u64, 1..24);
    let minutes = minutes.prop_flat_map(|minutes| Just(minutes.into_iter().collect::<Vec<_>>()).prop_shuffle());
    minutes.prop_map(|minutes| {
        let facts = |(name, minutes): (usize, u64)| TagFacts {
            pushed: now() - Duration::from_secs(minutes * 60),
            ..super::tag(&format!("v{name}"), &format!("image {name}"), 0)
        };
        minutes.into_iter().enumerate().map(facts).collect()
    })
}

fn calendar() -> impl Strategy<Value = Calendar> {
    let keep =
        || proptest::option::weighted(0.4, prop_oneof![4 => (0..4_u64).prop_map(Keep::Newest), 1 => Just(Keep::All)]);
    [keep(), keep(), keep(), keep(), keep()].prop_map(|keeps| {
        let set = |calendar: Calendar, (period, keep)| calendar.keep(period, keep);
        Period::ALL.into_iter().zip(keeps).fold(Calendar::default(), set)
    })
}

/// A rule, and what it keeps by the calendar.
#[derive(Clone, Debug)]
struct Written {
    rule: PartialRule,
    calendar: Calendar,
}

/// Generates rules, half of which keep nothing by the calendar.
fn rule() -> impl Strategy<Value = Written> {
    let calendar = prop_oneof![Just(Calendar::default()), calendar()];
    (partial_rule(), calendar).prop_map(|(rule, calendar)| Written { rule, calendar })
}

fn by_calendar(calendar: Calendar) -> Written {
    let rule = PartialRule { keep: Some(Keep::Newest(0)), ..PartialRule::default() };
    Written { rule, calendar }
}

fn partial_rule() -> impl Strategy<Value = PartialRule> {
    let regexes = || {
        let lists = proptest::collection::vec(select(&REGEXES[..]), 0..2);
        lists.prop_map(|texts| Some(texts.into_iter().map(|text| text.parse().unwrap()).collect()))
    };
    let within = proptest::option::of((0..6_u32).prop_map(|days| days * 10 * DAY));
    (0..4_u64, within, regexes(), regexes(), select(&Order::ALL[..])).prop_map(
        |(keep, keep_within, keep_tags, only_tags, by)| PartialRule {
            keep: Some(Keep::Newest(keep)),
            keep_within,
            keep_tags,
            only_tags,
            by: Some(by),
            orphans: None,
        },
    )
}

fn decided(Written { rule, calendar }: &Written, tags: &[TagFacts]) -> Vec<Decision> {
    decide(&rule.clone().finish_with(*calendar).unwrap(), tags, &BTreeMap::new(), now())
}

fn removed(rule: &Written, tags: &[TagFacts]) -> BTreeSet<String> {
    let decisions = decided(rule, tags);
    tags.iter().zip(decisions).filter(|(_, decision)| !decision.keep).map(|(facts, _)| facts.tag.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_the_tags_does_not_matter((tags, order) in tags().prop_flat_map(|tags| {
        let order: Vec<usize> = (0..tags.len()).collect();
        (Just(tags), Just(order).prop_shuffle())
    }), rule in rule()) {
        let shuffled: Vec<TagFacts> = order.iter().map(|&at| tags[at].clone()).collect();
        let decisions = decided(&rule, &tags);
        let expected: Vec<Decision> = order.iter().map(|&at| decisions[at].clone()).collect();
        prop_assert_eq!(decided(&rule, &shuffled), expected);
    }

    #[test]
    fn wider_rule_deletes_nothing_more(
        tags in tags(), written in rule(), wider in calendar(), period in select(&Period::ALL[..]), more in 0..4_u64, days in 0..90_u32, regex in select(&REGEXES[..]),
    ) {
        let before = removed(&written, &tags);
        let Written { rule, calendar } = written;
        let with = |rule: PartialRule| removed(&Written { rule, calendar }, &tags);
        let Some(Keep::Newest(keep)) = rule.keep else { unreachable!() };
        let higher = PartialRule { keep: Some(Keep::Newest(keep + more)), ..rule.clone() };
        prop_assert!(with(higher).is_subset(&before), "keep");
        let longer = PartialRule { keep_within: Some(rule.keep_within.unwrap_or_default() + days * DAY), ..rule.clone() };
        prop_assert!(with(longer).is_subset(&before), "keep-within");
        let set = calendar.kept().find(|(set, _)| *set == period).map(|(_, keep)| keep);
        for keep in [Some(Keep::All), match set {
            Some(Keep::Newest(keep)) => Some(Keep::Newest(keep + more)),
            set => set.or(Some(Keep::Newest(more))),
        }] {
            let calendar = calendar.keep(period, keep);
            prop_assert!(removed(&Written { rule: rule.clone(), calendar }, &tags).is_subset(&before), "{:?}", period);
        }
        // What is set stays as it is, and what is not is added.
        let calendar_too = Written { rule: rule.clone(), calendar: calendar.or(&wider) };
        prop_assert!(removed(&calendar_too, &tags).is_subset(&before), "calendar");
        let mut one_more = rule.clone();
        one_more.keep_tags.get_or_insert_default().push(regex.parse().unwrap());
        prop_assert!(with(one_more).is_subset(&before), "keep-tag");
        let all = PartialRule { keep: Some(Keep::All), ..rule };
        prop_assert!(with(all).is_empty(), "all");
    }

    #[test]
    fn all_tags_of_image_have_same_fate(tags in tags(), rule in rule()) {
        let mut kept: BTreeMap<Digest, bool> = BTreeMap::new();
        for (facts, decision) in tags.iter().zip(decided(&rule, &tags)) {
            match facts.digest {
                Some(digest) => prop_assert_eq!(*kept.entry(digest).or_insert(decision.keep), decision.keep),
                None => prop_assert!(decision.keep),
            }
        }
    }

    #[test]
    fn deleted_tags_were_selected_and_kept_by_no_rule(tags in tags(), rule in rule()) {
        let removed = removed(&rule, &tags);
        let rule = rule.rule;
        let matches = |regexes: &Option<Vec<TagRegex>>, tag: &str| {
            regexes.iter().flatten().any(|regex| regex.is_match(tag))
        };
        for facts in tags.iter().filter(|facts| removed.contains(&facts.tag)) {
            prop_assert!(!matches(&rule.keep_tags, &facts.tag));
            prop_assert!(rule.only_tags.iter().all(Vec::is_empty) || matches(&rule.only_tags, &facts.tag));
            let is_recent = |within| facts.pushed >= now() - within;
            let has_other_age = rule.by == Some(Order::Created) || facts.subject.is_some() || !facts.owners.is_empty();
            prop_assert!(has_other_age || !rule.keep_within.is_some_and(is_recent));
        }
    }

    #[test]
    fn keep_retains_the_requested_number_of_images(tags in tags(), rule in rule()) {
        let Some(Keep::Newest(keep)) = rule.rule.keep else { unreachable!() };
        let decisions = decided(&rule, &tags);
        let images = |code: &str| -> BTreeSet<Option<Digest>> {
            let of_code = tags.iter().zip(&decisions).filter(|(_, decision)| decision.reason.code() == code);
            of_code.map(|(facts, _)| facts.digest).collect()
        };
        let others = ["within", "hourly", "daily", "weekly", "monthly", "yearly", "not_kept"];
        let (newest, others) = (images("newest"), others.map(|code| images(code).len()).iter().sum::<usize>());
        prop_assert_eq!(newest.len(), (newest.len() + others).min(keep as usize));
    }

    #[test]
    fn one_image_is_kept_of_each_of_the_last_days(tags in dated(), days in 0..30_u64) {
        let calendar = Calendar::default().keep(Period::Day, Some(Keep::Newest(days)));
        let kept = tags.len() - removed(&by_calendar(calendar), &tags).len();
        let day = |facts: &TagFacts| facts.pushed.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
        let of_days: BTreeSet<u64> = tags.iter().map(day).collect();
        prop_assert_eq!(kept, of_days.len().min(days as usize));
    }

    #[test]
    fn the_newest_image_is_kept_by_every_calendar(tags in dated(), calendar in calendar()) {
        let removed = removed(&by_calendar(calendar), &tags);
        let newest = tags.iter().max_by_key(|facts| facts.pushed).unwrap();
        prop_assert_eq!(removed.contains(&newest.tag), calendar.is_empty());
    }

    #[test]
    fn more_periods_keep_no_less(
        tags in dated(), period in select(&Period::ALL[..]), few in 0..9_u64, more in 0..9_u64,
    ) {
        let removed = |keep| removed(&by_calendar(Calendar::default().keep(period, Some(keep))), &tags);
        let (few, many, all) = (removed(Keep::Newest(few)), removed(Keep::Newest(few + more)), removed(Keep::All));
        prop_assert!(many.is_subset(&few) && all.is_subset(&many));
    }

    #[test]
    fn another_period_deletes_nothing_more(tags in dated(), one in calendar(), other in calendar()) {
        let both = removed(&by_calendar(one.or(&other)), &tags);
        prop_assert!(both.is_subset(&removed(&by_calendar(one), &tags)));
    }

    #[test]
    fn any_name_and_any_time_can_be_decided_on(
        names in proptest::collection::vec(("\\PC{0,9}", any::<u64>()), 0..6), rule in rule(),
    ) {
        let facts = |(tag, seconds): &(String, u64)| {
            let pushed = SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(*seconds));
            TagFacts { tag: tag.clone(), created: Some(tag.clone()), pushed: pushed.unwrap_or(now()), ..super::tag("", tag, 0) }
        };
        let tags: Vec<TagFacts> = names.iter().map(facts).collect();
        prop_assert_eq!(decided(&rule, &tags).len(), tags.len());
    }
}
