//! Applying a rule to the tags of a repository.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use semver::Version;

use super::order::{self, Order, natural};
use super::reason::Reason;
use super::rule::{Keep, Rule};
use super::{Decision, TagFacts};
use crate::digest::Digest;
use crate::registry::attached::{attached_to, is_abbreviated, is_long};

/// Decides which tags of one repository are kept, in their order. The decisions do not depend on that order.
///
/// `between` holds the manifests that no tag names and through which tagged images belong to others, each with what it
/// is directly part of or attached to.
pub fn decide(
    rule: &Rule,
    tags: &[TagFacts],
    between: &BTreeMap<Digest, Vec<Digest>>,
    now: SystemTime,
) -> Vec<Decision> {
    let long = tags.iter().filter_map(|facts| facts.digest).chain(between.keys().copied());
    let long: Vec<Digest> = long.filter(is_long).collect();
    let orphans: Vec<Option<Reason>> = tags.iter().map(|facts| orphaned(rule, facts, now)).collect();
    let by_name = |(facts, orphaned): (&TagFacts, &Option<Reason>)| match orphaned {
        Some(_) => None,
        None => by_name(rule, facts, &long),
    };
    let by_name: Vec<Option<Reason>> = tags.iter().zip(&orphans).map(by_name).collect();
    let others = tags.iter().zip(&orphans).filter(|(_, orphaned)| orphaned.is_none()).map(|(facts, _)| facts);
    let images = images(others, between);
    let mut fates = BTreeMap::new();
    for (facts, reason) in tags.iter().zip(&by_name) {
        if let (Some(digest), Some(reason)) = (facts.digest, reason) {
            let fate = fates.entry(digest).or_insert_with(|| Fate::of_tag(&facts.tag, reason.clone()));
            if natural(&facts.tag, fate.tag).is_lt() {
                *fate = Fate::of_tag(&facts.tag, reason.clone());
            }
        }
    }
    let is_undecided = |image: &&Image<'_>| !fates.contains_key(&image.digest);
    let (belonging, left): (Vec<&Image<'_>>, Vec<&Image<'_>>) =
        images.values().filter(is_undecided).partition(|image| !image.owners.is_empty());
    judge(rule, left, now, &mut fates);
    follow(&belonging, between, &mut fates);
    let decisions = tags.iter().zip(by_name).zip(orphans).map(|((facts, by_name), orphaned)| {
        match (orphaned, by_name, facts.digest) {
            (Some(reason), ..) => Decision { keep: false, reason },
            (None, Some(reason), _) => Decision { keep: true, reason },
            (None, None, Some(digest)) => fates[&digest].decision(),
            (None, None, None) => unreachable!("a garbled tag is decided by itself"),
        }
    });
    decisions.collect()
}

/// Returns why a tag that is attached to something deleted is deleted; `None` if it is not so attached, or too recent.
fn orphaned(rule: &Rule, facts: &TagFacts, now: SystemTime) -> Option<Reason> {
    let (orphans, owner) = rule.orphans.zip(attached_to(&facts.tag, &[]))?;
    let is_old =
        now.checked_sub(orphans).is_some_and(|oldest| facts.orphaned_since.is_some_and(|since| since < oldest));
    is_old.then_some(Reason::Orphaned { owner, orphans })
}

/// Returns why a tag is kept whatever image it names; `None` if the image decides. `long` holds the digests that tags
/// abbreviate.
fn by_name(rule: &Rule, facts: &TagFacts, long: &[Digest]) -> Option<Reason> {
    let Some(digest) = facts.digest else { return Some(Reason::Garbled) };
    // Before `only-tag`: a signature that no rule ever selects would outlive what it signs. A tag that names the very
    // manifest whose digest is in its name belongs to nothing else.
    if let Some(other) = attached_to(&facts.tag, long).filter(|other| *other != digest) {
        return Some(Reason::Attached(other));
    }
    if is_abbreviated(&facts.tag) {
        return Some(Reason::Abbreviated);
    }
    if !rule.only_tags.is_empty() && !rule.only_tags.iter().any(|regex| regex.is_match(&facts.tag)) {
        return Some(Reason::NotSelected);
    }
    let keeps = rule.keep_tags.iter().find(|regex| regex.is_match(&facts.tag));
    keeps.map(|regex| Reason::KeepTag(regex.to_string()))
}

/// A digest, and what all tags that name it say about it.
struct Image<'a> {
    digest: Digest,
    /// The last of its tags.
    name: &'a str,
    pushed: SystemTime,
    created: Option<SystemTime>,
    version: Option<Version>,
    subject: Option<Digest>,
    /// What it is directly attached to, and the indexes that it is directly part of.
    owners: BTreeSet<Digest>,
    is_understood: bool,
}

impl Image<'_> {
    /// Compares two images: the newer is the greater. They are equal only if they are the same.
    fn compare(&self, other: &Self, by: Order) -> Ordering {
        let ordering = match by {
            Order::Created => self.created.cmp(&other.created),
            Order::Pushed => self.pushed.cmp(&other.pushed),
            Order::Semver => self.version.cmp(&other.version),
            Order::Name => Ordering::Equal,
        };
        ordering.then_with(|| natural(self.name, other.name)).then_with(|| self.digest.cmp(&other.digest))
    }

    /// Returns the time that its age is counted from; `None` if that is unknown.
    fn time(&self, by: Order) -> Option<SystemTime> {
        match by {
            Order::Created => self.created,
            Order::Pushed | Order::Semver | Order::Name => Some(self.pushed),
        }
    }
}

fn images<'a>(
    tags: impl Iterator<Item = &'a TagFacts>,
    between: &BTreeMap<Digest, Vec<Digest>>,
) -> BTreeMap<Digest, Image<'a>> {
    let mut images: BTreeMap<Digest, Image<'a>> = BTreeMap::new();
    for facts in tags {
        let Some(digest) = facts.digest else { continue };
        let created = facts.created.as_deref().filter(|_| facts.is_understood).and_then(order::created);
        let of_tag = Image {
            digest,
            name: &facts.tag,
            pushed: facts.pushed,
            created,
            version: order::version(&facts.tag),
            subject: facts.subject,
            owners: facts.subject.into_iter().chain(facts.owners.iter().copied()).collect(),
            is_understood: facts.is_understood,
        };
        let Some(image) = images.get_mut(&digest) else {
            images.insert(digest, of_tag);
            continue;
        };
        if natural(of_tag.name, image.name).is_gt() {
            image.name = of_tag.name;
        }
        image.pushed = image.pushed.max(of_tag.pushed);
        image.version = image.version.take().max(of_tag.version);
        // What the manifest itself says is the same for all its tags.
        image.created = image.created.min(of_tag.created);
        image.subject = image.subject.max(of_tag.subject);
        image.owners.extend(of_tag.owners);
        image.is_understood &= of_tag.is_understood;
    }
    let all: BTreeSet<Digest> = images.keys().copied().collect();
    let is_known = |owner: &Digest| all.contains(owner) || between.contains_key(owner);
    images.values_mut().for_each(|image| image.owners.retain(is_known));
    images
}

/// Whether an image is kept, and why.
#[derive(Clone)]
struct Fate<'a> {
    keep: bool,
    reason: Reason,
    /// The tag that decides, or one that stands for the image.
    tag: &'a str,
    is_of_tag: bool,
}

impl<'a> Fate<'a> {
    fn of_tag(tag: &'a str, reason: Reason) -> Self {
        Self { keep: true, reason, tag, is_of_tag: true }
    }

    fn of_image(image: &Image<'a>, keep: bool, reason: Reason) -> Self {
        Self { keep, reason, tag: image.name, is_of_tag: false }
    }

    /// Returns why `image`, which belongs to `owner`, shares this fate of `owner`.
    fn of_what_belongs(&self, image: &Image<'_>, owner: Digest) -> Reason {
        let (tag, why) = (self.tag.to_owned(), Box::new(self.reason.clone()));
        match self.reason {
            Reason::Subject { .. } | Reason::PartOf { .. } | Reason::Cycle => self.reason.clone(),
            _ if image.subject == Some(owner) => Reason::Subject { tag, why },
            _ => Reason::PartOf { tag, why },
        }
    }

    /// Returns the decision about a tag that is not the one that decides.
    fn decision(&self) -> Decision {
        let reason = self.reason.clone();
        let reason = match self.is_of_tag {
            true => Reason::SameImage { tag: self.tag.to_owned(), why: Box::new(reason) },
            false => reason,
        };
        Decision { keep: self.keep, reason }
    }
}

/// Applies the rule's numbers and times to the images that nothing else has decided.
fn judge<'a>(rule: &Rule, mut left: Vec<&Image<'a>>, now: SystemTime, fates: &mut BTreeMap<Digest, Fate<'a>>) {
    let mut decide = |image: &Image<'a>, keep, reason| fates.insert(image.digest, Fate::of_image(image, keep, reason));
    let Rule { keep_within, by, .. } = *rule;
    left.retain(|image| {
        let reason = match by {
            _ if rule.keep == Some(Keep::All) => Reason::All,
            _ if !image.is_understood => Reason::CannotBePulled,
            _ if image.time(by).is_none() => Reason::AgeUnknown,
            Order::Semver if image.version.is_none() => Reason::NoVersion,
            _ => return true,
        };
        decide(image, true, reason);
        false
    });
    left.sort_unstable_by(|one, other| other.compare(one, by));
    let keep = match rule.keep {
        Some(Keep::Newest(keep)) => Some(keep),
        Some(Keep::All) | None => None,
    };
    let times: Vec<SystemTime> = left.iter().filter_map(|image| image.time(by)).collect();
    let newest_of = rule.calendar.newest(&times);
    for (((rank, image), time), newest_of) in (1..).zip(left).zip(times).zip(newest_of) {
        // If `within` exceeds the range of times, nothing is that old: all images are recent.
        let is_recent = |within| now.checked_sub(within).is_none_or(|oldest| time >= oldest);
        match (keep, keep_within, newest_of) {
            (Some(keep), ..) if rank <= keep => decide(image, true, Reason::Newest { rank, keep, by }),
            (_, Some(keep_within), _) if is_recent(keep_within) => {
                decide(image, true, Reason::Within { keep_within, by })
            }
            (_, _, Some(of)) => decide(image, true, Reason::NewestOf { of, by }),
            _ => {
                let reason = Reason::NotKept { rank, keep, keep_within, by };
                decide(image, false, reason.beside(rule.calendar))
            }
        };
    }
}

/// Decides about images that belong to others: each is kept if any of its owners is, and deleted if all of them are.
fn follow<'a>(
    belonging: &[&Image<'a>],
    between: &BTreeMap<Digest, Vec<Digest>>,
    fates: &mut BTreeMap<Digest, Fate<'a>>,
) {
    // A manifest that no tag names only passes on the fate of what it belongs to.
    let mut of_owner: BTreeMap<Digest, Vec<(Digest, Option<&Image<'a>>)>> = BTreeMap::new();
    let mut undecided_owners = BTreeMap::new();
    for image in belonging {
        image.owners.iter().for_each(|owner| of_owner.entry(*owner).or_default().push((image.digest, Some(image))));
        undecided_owners.insert(image.digest, image.owners.len());
    }
    for (digest, owners) in between {
        owners.iter().for_each(|owner| of_owner.entry(*owner).or_default().push((*digest, None)));
        undecided_owners.insert(*digest, owners.len());
    }
    // No recursion: a chain may be as long as there are tags, and clients decide that.
    let mut decided: Vec<Digest> = of_owner.keys().filter(|owner| fates.contains_key(owner)).copied().collect();
    while let Some(owner) = decided.pop() {
        let fate = fates[&owner].clone();
        for (digest, image) in of_owner.remove(&owner).unwrap_or_default() {
            let undecided = undecided_owners.entry(digest).or_default();
            *undecided -= 1;
            if (fate.keep || *undecided == 0) && !fates.contains_key(&digest) {
                let followed = image.map_or_else(
                    || fate.clone(),
                    |image| Fate::of_image(image, fate.keep, fate.of_what_belongs(image, owner)),
                );
                fates.insert(digest, followed);
                decided.push(digest);
            }
        }
    }
    for image in belonging {
        fates.entry(image.digest).or_insert_with(|| Fate::of_image(image, true, Reason::Cycle));
    }
}
