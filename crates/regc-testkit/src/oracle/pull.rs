//! What a client can pull, read from the plain files of a store as a registry would serve them.
//!
//! It is a lower bound: what a registry might refuse to serve does not count. So everything that counts before a
//! command, and was not named by it, must count afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regc_core::Digest;
use regc_core::registry::layout;
use serde_json::Value;
use walkdir::WalkDir;

use crate::sha256;

/// A repository and a digest in it.
pub type Revision = (String, Digest);
/// A repository and a tag in it.
pub type Tag = (String, String);

/// A manifest that its repository links, possibly by a garbled link, and whose content matches its digest.
#[derive(Clone, Debug)]
struct Node {
    children: BTreeSet<Digest>,
    subject: Option<Digest>,
    pullable: bool,
}

/// What a store serves.
#[derive(Clone, Debug, Default)]
pub struct Served {
    nodes: BTreeMap<Revision, Node>,
    tags: BTreeMap<Tag, Digest>,
    /// All repositories, also those that serve nothing.
    pub repositories: BTreeSet<String>,
}

/// What must remain after a command.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    tags: BTreeMap<Tag, Digest>,
    revisions: BTreeSet<Revision>,
}

/// What a command names.
#[derive(Clone, Debug)]
pub enum Named {
    /// A tag.
    Tag(Tag),
    /// A manifest, and the tags that name it.
    Revision(Revision),
    /// A repository with all that is in it.
    Repository(String),
}

/// Reads what the store at `root` serves.
pub fn served(root: &Path) -> Served {
    let mut served = Served::default();
    let repositories = root.join(layout::REPOSITORIES);
    let directories = WalkDir::new(&repositories).follow_links(true).into_iter();
    for entry in directories.filter_map(Result::ok).filter(|entry| entry.file_type().is_dir()) {
        let Some(name) = repository_of(&repositories, entry.path()) else { continue };
        if served.repositories.insert(name.clone()) {
            read_repository(root, &name, &mut served);
        }
    }
    served
}

/// Returns the repository, if a directory is its `_manifests` or `_layers`.
fn repository_of(repositories: &Path, directory: &Path) -> Option<String> {
    let name = directory.strip_prefix(repositories).ok()?.to_str()?;
    let (repository, own) = name.rsplit_once('/')?;
    let belongs = matches!(own, "_manifests" | "_layers") && !repository.split('/').any(|part| part.starts_with('_'));
    belongs.then(|| repository.to_owned())
}

fn read_repository(root: &Path, name: &str, served: &mut Served) {
    let revisions = root.join(layout::revisions(name));
    for entry in WalkDir::new(&revisions).follow_links(true).max_depth(3).into_iter().filter_map(Result::ok) {
        let Some(digest) = digest_of_directory(&revisions, entry.path()) else { continue };
        let path = layout::revision_link(name, &digest);
        let found = root.join(&path).exists().then(|| node(root, name, &digest)).flatten();
        if let Some(mut node) = found {
            node.pullable &= link(root, &path) == Some(digest);
            served.nodes.insert((name.to_owned(), digest), node);
        }
    }
    for entry in fs::read_dir(root.join(layout::tags(name))).into_iter().flatten().filter_map(Result::ok) {
        let Ok(tag) = entry.file_name().into_string() else { continue };
        if let Some(digest) = link(root, &layout::tag_link(name, &tag)) {
            served.tags.insert((name.to_owned(), tag), digest);
        }
    }
}

fn digest_of_directory(revisions: &Path, directory: &Path) -> Option<Digest> {
    let (algorithm, hex) = directory.strip_prefix(revisions).ok()?.to_str()?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

fn link(root: &Path, key: &str) -> Option<Digest> {
    fs::read_to_string(root.join(key)).ok()?.parse().ok()
}

/// Returns the content of a blob, if it matches its digest.
fn content(root: &Path, digest: &Digest) -> Option<Vec<u8>> {
    fs::read(root.join(layout::blob_data(digest))).ok().filter(|content| sha256(content) == *digest)
}

fn node(root: &Path, name: &str, digest: &Digest) -> Option<Node> {
    let manifest: Value = serde_json::from_slice(&content(root, digest)?).ok()?;
    let digests = |list: &str| -> Vec<Digest> {
        let entries = manifest[list].as_array().into_iter().flatten();
        entries.filter(|entry| entry["urls"].is_null()).filter_map(digest_in).collect()
    };
    let needs = digests("layers").into_iter().chain(digests("blobs")).chain(digest_in(&manifest["config"]));
    let has = |needed: Digest| {
        link(root, &layout::layer_link(name, &needed)) == Some(needed) && content(root, &needed).is_some()
    };
    Some(Node {
        pullable: needs.into_iter().all(has),
        children: digests("manifests").into_iter().collect(),
        subject: digest_in(&manifest["subject"]),
    })
}

fn digest_in(descriptor: &Value) -> Option<Digest> {
    descriptor["digest"].as_str()?.parse().ok()
}

impl Served {
    /// Lists the tags that can be pulled.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.tags.iter().filter(|(tag, digest)| self.is_pullable(&(tag.0.clone(), **digest))).map(|(tag, _)| tag)
    }

    /// Lists the manifests that can be pulled, with their config and layers.
    pub fn revisions(&self) -> impl Iterator<Item = &Revision> {
        self.nodes.iter().filter(|(_, node)| node.pullable).map(|(revision, _)| revision)
    }

    /// Lists the manifests whose children can be pulled too, at any depth.
    pub fn whole_revisions(&self) -> impl Iterator<Item = &Revision> {
        self.revisions().filter(|revision| {
            let reached = self.descend(BTreeSet::from([(*revision).clone()]));
            reached.iter().all(|revision| self.is_pullable(revision))
        })
    }

    /// Lists the tags of a repository that name a manifest.
    pub fn tags_of(&self, repository: &str, digest: &Digest) -> impl Iterator<Item = &str> {
        let names = move |(tag, named): &(&Tag, &Digest)| tag.0 == repository && *named == digest;
        self.tags.iter().filter(names).map(|(tag, _)| tag.1.as_str())
    }

    /// Adds to revisions their children at any depth, whether they exist or not.
    fn descend(&self, mut reached: BTreeSet<Revision>) -> BTreeSet<Revision> {
        let mut pending: Vec<Revision> = reached.iter().cloned().collect();
        while let Some(revision) = pending.pop() {
            for child in self.nodes.get(&revision).into_iter().flat_map(|node| &node.children) {
                let child = (revision.0.clone(), *child);
                if reached.insert(child.clone()) {
                    pending.push(child);
                }
            }
        }
        reached
    }

    fn is_pullable(&self, revision: &Revision) -> bool {
        self.nodes.get(revision).is_some_and(|node| node.pullable)
    }

    /// Returns what must remain after a command that removes no image: everything.
    pub fn all(&self) -> Kept {
        self.only(&self.tags.keys().cloned().collect(), &self.nodes.keys().cloned().collect())
    }

    /// Returns what must remain after a collection that deletes untagged manifests: tags, and what is reachable from
    /// them.
    pub fn tagged(&self) -> Kept {
        let named = self.tags.iter().map(|(tag, digest)| (tag.0.clone(), *digest));
        // A manifest that is not linked is no root.
        let tagged = named.filter(|revision| self.nodes.contains_key(revision)).collect();
        let reached = self.reach(tagged, &BTreeSet::new());
        self.only(&self.tags.keys().cloned().collect(), &reached)
    }

    /// Returns what must remain after `--tidy`: everything that is not attached, by a tag's name or a subject, to a
    /// missing manifest. If `only_tagged`: what is reachable from tags that are not attached to anything, and what is
    /// attached to that.
    pub fn tidied(&self, only_tagged: bool) -> Kept {
        let here = |tag: &Tag, digest: Digest| (tag.0.clone(), digest);
        let mut standing: BTreeSet<Revision> = match only_tagged {
            false => self.nodes.keys().cloned().collect(),
            true => {
                let plain = self.tags.iter().filter(|(tag, _)| signed_by(&tag.1).is_none());
                let named = plain.map(|(tag, digest)| here(tag, *digest));
                // A manifest that is not linked is no root.
                self.reach(named.filter(|revision| self.nodes.contains_key(revision)).collect(), &BTreeSet::new())
            }
        };
        loop {
            let before = standing.len();
            for (tag, digest) in &self.tags {
                let signed = signed_by(&tag.1).is_some_and(|signed| standing.contains(&here(tag, signed)));
                if signed && self.nodes.contains_key(&here(tag, *digest)) {
                    standing.insert(here(tag, *digest));
                }
            }
            standing = self.reach(standing, &BTreeSet::new());
            if standing.len() == before {
                break;
            }
        }
        if only_tagged {
            let stands = |tag: &&Tag| signed_by(&tag.1).is_none_or(|signed| standing.contains(&here(tag, signed)));
            return self.only(&self.tags.keys().filter(stands).cloned().collect(), &standing);
        }
        let by_name = self.tags.keys().filter_map(|tag| Some(here(tag, signed_by(&tag.1)?)));
        let by_subject = self.nodes.iter().filter_map(|((name, _), node)| Some((name.clone(), node.subject?)));
        let owners = by_name.chain(by_subject).filter(|owner| !standing.contains(owner));
        self.without(&owners.map(Named::Revision).collect::<Vec<_>>())
    }

    /// Returns the same as `tagged`, and everything in the repositories that link this digest as a manifest.
    pub fn tagged_or_beside(&self, digest: &Digest) -> Kept {
        let mut kept = self.tagged();
        let protected = |revision: &&Revision| self.nodes.contains_key(&(revision.0.clone(), *digest));
        kept.revisions.extend(self.revisions().filter(protected).cloned());
        kept
    }

    /// Returns only these manifests, without tags.
    pub fn revisions_alone(&self, revisions: &[Revision]) -> Kept {
        Kept { tags: BTreeMap::new(), revisions: revisions.iter().cloned().collect() }
    }

    /// Returns what must remain when `named` is deleted: everything but `named`, and what is reachable only from it.
    pub fn without(&self, named: &[Named]) -> Kept {
        let (mut gone_tags, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for name in named {
            match name {
                Named::Tag(tag) => {
                    gone_tags.insert(tag.clone());
                    gone.extend(self.tags.get(tag).map(|digest| (tag.0.clone(), *digest)));
                }
                Named::Revision((repository, digest)) => {
                    gone.insert((repository.clone(), *digest));
                    let naming = |(tag, names): &(&Tag, &Digest)| tag.0 == *repository && *names == digest;
                    gone_tags.extend(self.tags.iter().filter(naming).map(|(tag, _)| tag.clone()));
                }
                Named::Repository(name) => {
                    gone_tags.extend(self.tags.keys().filter(|tag| tag.0 == *name).cloned());
                    gone.extend(self.nodes.keys().filter(|revision| revision.0 == *name).cloned());
                }
            }
        }
        let concerned = self.concerned(gone.clone());
        let mut kept: BTreeSet<Revision> =
            self.nodes.keys().filter(|revision| !concerned.contains(*revision)).cloned().collect();
        let mut tags: BTreeSet<Tag> = BTreeSet::new();
        // A tag that cosign made is kept as long as what it signs, so this takes several iterations.
        loop {
            let before = (kept.len(), tags.len());
            for (tag, digest) in self.tags.iter().filter(|(tag, _)| !gone_tags.contains(*tag)) {
                let signed = signed_by(&tag.1).map(|signed| (tag.0.clone(), signed));
                if signed.is_none_or(|signed| kept.contains(&signed) || !concerned.contains(&signed)) {
                    tags.insert(tag.clone());
                    let revision = (tag.0.clone(), *digest);
                    kept.extend(self.nodes.contains_key(&revision).then_some(revision));
                }
            }
            kept = self.reach(kept, &gone);
            if (kept.len(), tags.len()) == before {
                return self.only(&tags, &kept);
            }
        }
    }

    /// Returns what is reachable from `named`, including through cosign's tags.
    fn concerned(&self, named: BTreeSet<Revision>) -> BTreeSet<Revision> {
        let mut concerned = named;
        loop {
            let before = concerned.len();
            concerned = self.reach(concerned, &BTreeSet::new());
            for (tag, digest) in &self.tags {
                if signed_by(&tag.1).is_some_and(|signed| concerned.contains(&(tag.0.clone(), signed))) {
                    concerned.insert((tag.0.clone(), *digest));
                }
            }
            if concerned.len() == before {
                return concerned;
            }
        }
    }

    /// Adds what is reachable within each repository: children, and referrers unless they are among `named`.
    fn reach(&self, mut reached: BTreeSet<Revision>, named: &BTreeSet<Revision>) -> BTreeSet<Revision> {
        loop {
            let before = reached.len();
            for (revision, node) in &self.nodes {
                let here = |digest: &Digest| (revision.0.clone(), *digest);
                if reached.contains(revision) {
                    reached.extend(node.children.iter().map(here));
                }
                if !named.contains(revision) && node.subject.is_some_and(|subject| reached.contains(&here(&subject))) {
                    reached.insert(revision.clone());
                }
            }
            if reached.len() == before {
                return reached;
            }
        }
    }

    fn only(&self, tags: &BTreeSet<Tag>, revisions: &BTreeSet<Revision>) -> Kept {
        let pulled = self.tags().filter(|tag| tags.contains(*tag)).map(|tag| (tag.clone(), self.tags[tag])).collect();
        let revisions = self.revisions().filter(|revision| revisions.contains(*revision)).cloned().collect();
        Kept { tags: pulled, revisions }
    }

    /// Returns what must exist but does not.
    pub fn lost(&self, kept: &Kept) -> Vec<String> {
        let is_lost = |tag: &Tag, digest: &Digest| {
            self.tags.get(tag) != Some(digest) || !self.is_pullable(&(tag.0.clone(), *digest))
        };
        let tags = kept.tags.iter().filter(|(tag, digest)| is_lost(tag, digest));
        let revisions = kept.revisions.iter().filter(|revision| !self.is_pullable(revision));
        let tags = tags.map(|((repository, tag), digest)| format!("{repository}:{tag} ({digest})"));
        tags.chain(revisions.map(|(repository, digest)| format!("{repository}@{digest}"))).collect()
    }
}

impl Kept {
    /// Returns the number of tags and manifests.
    pub fn len(&self) -> usize {
        self.tags.len() + self.revisions.len()
    }

    /// Whether nothing must remain.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Returns what a tag signs, if cosign made it.
fn signed_by(tag: &str) -> Option<Digest> {
    let (algorithm, rest) = tag.split_once('-')?;
    let hex = rest.split_once('.').map_or(rest, |(hex, _)| hex);
    format!("{algorithm}:{hex}").parse().ok()
}
