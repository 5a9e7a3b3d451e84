//! What is to go although a client could pull it, because somebody says so.
//!
//! Naming something does not make it go. Marking finds out what else is in use, and what cannot go is [kept
//! back](KeptBack), with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::digest::{Algorithm, Digest};
use crate::layout;

/// Tags, manifests and repositories that are to go, and with them what only they keep alive.
///
/// Nothing else goes in the same run: what is garbage anyhow is left to a collection.
#[derive(Clone, Debug, Default)]
pub struct Unwanted {
    repositories: BTreeMap<String, UnwantedIn>,
    /// Whether blobs and layer links stay for a later collection. What goes of a repository that goes as a whole does not
    /// change: all of its links.
    pub keep_content: bool,
}

/// What is to go of one repository.
#[derive(Clone, Debug)]
pub enum UnwantedIn {
    /// All of it. Repositories below it stay.
    Everything,
    /// Some tags and manifests.
    Some {
        /// Tags, by name, and what each named when it was decided that it should go; `None` for one that is garbled. One
        /// that names something else by now stays.
        tags: BTreeMap<String, Option<Digest>>,
        /// Manifests that are to go although no tag that goes names them.
        manifests: BTreeSet<Digest>,
    },
}

impl Unwanted {
    /// Everything in a repository is to go.
    pub fn repository(&mut self, name: &str) {
        self.repositories.insert(name.to_owned(), UnwantedIn::Everything);
    }

    /// A tag is to go, which names this now. So does its manifest, unless another tag or an index that stay name it.
    pub fn tag(&mut self, repository: &str, tag: &str, digest: Option<Digest>) {
        if let UnwantedIn::Some { tags, .. } = self.some(repository) {
            tags.insert(tag.to_owned(), digest);
        }
    }

    /// A manifest is to go.
    pub fn manifest(&mut self, repository: &str, digest: Digest) {
        if let UnwantedIn::Some { manifests, .. } = self.some(repository) {
            manifests.insert(digest);
        }
    }

    fn some(&mut self, repository: &str) -> &mut UnwantedIn {
        let nothing = || UnwantedIn::Some { tags: BTreeMap::new(), manifests: BTreeSet::new() };
        self.repositories.entry(repository.to_owned()).or_insert_with(nothing)
    }

    /// What is to go of a repository.
    pub fn of(&self, repository: &str) -> Option<&UnwantedIn> {
        self.repositories.get(repository)
    }

    /// The repositories of which something is to go.
    pub fn repositories(&self) -> impl Iterator<Item = (&str, &UnwantedIn)> {
        self.repositories.iter().map(|(name, unwanted)| (name.as_str(), unwanted))
    }

    /// Whether nothing is to go.
    pub fn is_empty(&self) -> bool {
        self.repositories.is_empty()
    }
}

/// Something unwanted that stays all the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptBack {
    /// The repository.
    pub repository: String,
    /// What of it.
    pub what: Named,
    /// Why.
    pub reason: Reason,
}

/// What somebody has named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// The whole repository.
    Repository,
    /// A tag.
    Tag(String),
    /// A manifest.
    Manifest(Digest),
}

/// Why something stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A tag names it that stays.
    Tagged(String),
    /// It is part of this index, which stays.
    PartOf(Digest),
    /// Symbolic links lead into or out of the repository, or to the tag.
    Symlinks,
    /// This symbolic link gives the repository another name, and would lead to nothing.
    Alias(String),
    /// This manifest, which is not named itself, is damaged or missing, so nobody knows what it needs.
    Damaged(Digest),
    /// A tag that stays is garbled, and nobody knows what it named.
    GarbledTag,
    /// A restore from the trash of this run, which brings back something of the repository, is not complete.
    BeingRestored(String),
    /// It, or something in it, is younger than what may go.
    Young,
    /// The tag names something else by now.
    Changed,
}

impl KeptBack {
    /// The key of what stays.
    pub(crate) fn path(&self) -> String {
        match &self.what {
            Named::Repository => layout::repository(&self.repository),
            Named::Tag(tag) => layout::tag(&self.repository, tag),
            Named::Manifest(digest) => layout::revision(&self.repository, digest),
        }
    }

    /// Whether it stays because something is in the way; not because it is young, or in use.
    pub fn is_obstructed(&self) -> bool {
        matches!(self.reason, Reason::Symlinks | Reason::Alias(_) | Reason::GarbledTag)
    }
}

impl fmt::Display for KeptBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, what, reason } = self;
        match what {
            Named::Repository => write!(f, "{repository}: {reason}"),
            Named::Tag(tag) => write!(f, "{repository}:{tag}: {reason}"),
            Named::Manifest(digest) => write!(f, "{repository}@{digest}: {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Tagged(tag) => write!(f, "the tag {tag} names it, and stays"),
            Reason::PartOf(index) => write!(f, "it is part of the index {index}, which stays"),
            Reason::Symlinks => f.write_str("symbolic links are in the way, and nothing is removed through one"),
            Reason::Alias(link) => {
                write!(f, "the symbolic link {link} gives it another name; remove the link first")
            }
            Reason::Damaged(manifest) => {
                write!(
                    f,
                    "the manifest {manifest} in this repository is damaged or missing, so nobody knows what it needs; \
                     restore it, or name it, too"
                )
            }
            Reason::GarbledTag => f.write_str("a tag of this repository is garbled, so nobody knows what it named"),
            Reason::BeingRestored(run) => write!(
                f,
                "the restore of run {run} is not complete; run `regc trash restore {run}` again, or give the rest up with \
                 `regc trash empty {run}`"
            ),
            Reason::Young => f.write_str("it is too young"),
            Reason::Changed => f.write_str("it was pushed again meanwhile"),
        }
    }
}

/// How many digits of a digest the name of a referrers tag holds at most.
///
/// Source: OCI distribution specification 1.1, "Referrers Tag Schema".
const MAX_DIGITS: usize = 64;

/// The manifest that a tag belongs to by its name, unless it names that one itself, as programs make them: cosign's
/// `sha256-<hex>.sig`, `.att` and `.sbom`, and the referrers tag of the OCI distribution specification 1.1, `sha256-<hex>`.
///
/// A digest that is longer than the specification allows is found among `long` by its first digits.
pub fn attached_to(tag: &str, long: &[Digest]) -> Option<Digest> {
    let (algorithm, hex) = digest_in(tag)?;
    if is_cut(algorithm, hex) {
        return long.iter().find(|digest| digest.algorithm() == algorithm && digest.hex().starts_with(hex)).copied();
    }
    Digest::from_hex(algorithm, hex)
}

/// Whether the referrers tag of a digest holds only its first digits.
pub fn is_long(digest: &Digest) -> bool {
    digest.algorithm().bytes() * 2 > MAX_DIGITS
}

/// Whether it is the referrers tag of a digest that is longer than such a tag may be: it holds the first 64 digits.
pub fn is_abbreviated(tag: &str) -> bool {
    digest_in(tag).is_some_and(|(algorithm, hex)| is_cut(algorithm, hex))
}

fn is_cut(algorithm: Algorithm, hex: &str) -> bool {
    let is_cut = hex.len() == MAX_DIGITS && algorithm.bytes() * 2 > MAX_DIGITS;
    is_cut && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The algorithm and the digits in the name of a tag that programs make.
fn digest_in(tag: &str) -> Option<(Algorithm, &str)> {
    let (algorithm, rest) = tag.split_once('-')?;
    Some((Algorithm::from_name(algorithm)?, rest.split_once('.').map_or(rest, |(hex, _)| hex)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_programs_make() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        let name = format!("sha256-{}", digest.hex());
        for end in ["", ".sig", ".att", ".sbom"] {
            assert_eq!(attached_to(&format!("{name}{end}"), &[]), Some(digest), "{end}");
        }
        assert!(!is_abbreviated(&name) && !is_long(&digest), "it is whole");
        for tag in ["v1", "sha256-1234", "sha256-", &name[..70], &format!("{name}0"), &format!("{name}-arm64")] {
            assert_eq!(attached_to(tag, &[digest]), None, "{tag}");
            assert!(!is_abbreviated(tag), "{tag}");
        }
    }

    #[test]
    fn a_long_digest_is_found_by_its_first_digits() {
        let long = [Algorithm::Sha384, Algorithm::Sha512].map(|algorithm| Digest::of(algorithm, b"x"));
        for digest in long {
            let tag = format!("{}-{}", digest.algorithm().name(), &digest.hex()[..64]);
            assert!(is_long(&digest) && is_abbreviated(&tag));
            assert_eq!(attached_to(&tag, &long), Some(digest));
            assert_eq!(attached_to(&tag, &[]), None);
            assert_eq!(attached_to(&tag[..70], &long), None, "too short");
        }
    }
}
