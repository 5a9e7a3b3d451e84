//! Why a tag cannot be pulled, or only for some platforms.
//!
//! Each manifest, blob and link of a repository is checked once, even if many tags need it. A problem of a manifest is
//! propagated to all indexes that contain it, so no index is walked once for each tag.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::Serialize;

use super::{Repository, Tag};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Kind;
use crate::registry::layout;
use crate::registry::manifest::{Damage, Reference, References, Role};
use crate::storage::{Content, EntryKind, Metadata};

/// Why a tag cannot be pulled, or not for all of its platforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind that `regc verify` reports.
    pub kind: Kind,
    /// What is missing, not linked or damaged; `None` for a garbled tag.
    pub digest: Option<Digest>,
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let page = self.kind.page();
        let mut problem = serializer.serialize_struct("Problem", 4)?;
        problem.serialize_field("code", page.code)?;
        problem.serialize_field("name", page.name)?;
        problem.serialize_field("digest", &self.digest)?;
        problem.serialize_field("message", page.title)?;
        problem.end()
    }
}

/// What a manifest refers to, or what is wrong with it.
pub(super) type Read = Result<Vec<Reference>, Kind>;

/// Parses what a manifest refers to.
pub(super) fn read(digest: &Digest, content: Option<&Content>) -> Read {
    let damage = match content {
        None => return Err(Kind::DanglingRevision),
        Some(Content::TooLarge) => Damage::TooLarge,
        Some(Content::Whole(content)) => match References::of_blob(digest, content) {
            Ok(parsed) => return Ok(parsed.references),
            Err(damage) => damage,
        },
    };
    Err(match damage {
        Damage::DigestMismatch(_) => Kind::DamagedManifest,
        _ => Kind::UnknownManifest,
    })
}

/// Which links and blobs exist.
#[derive(Default)]
struct Known {
    layers: HashMap<Digest, bool>,
    revisions: HashMap<Digest, bool>,
    stored: HashMap<Digest, bool>,
    /// The directories of revisions, with or without a link in them.
    directories: HashMap<Digest, bool>,
    /// The same for layers.
    layer_directories: HashMap<Digest, bool>,
}

impl Repository<'_> {
    /// Finds what is wrong with each tag. Only the first problem is reported; problems of a manifest itself come
    /// before those of what is in it.
    pub(super) fn find_problems(&mut self, tags: &mut [Tag]) -> Result<(), Error> {
        let mut known = Known::default();
        let linked = tags.iter().filter(|tag| tag.is_linked).filter_map(|tag| tag.digest);
        let problems = self.problems_below(linked.collect(), &mut known)?;
        for tag in tags {
            tag.problem = match tag.digest {
                None => Some(Problem { kind: Kind::GarbledTag, digest: None }),
                Some(digest) if !tag.is_linked => Some(Problem { kind: Kind::DanglingTag, digest: Some(digest) }),
                Some(digest) => problems.get(&digest).copied(),
            };
        }
        Ok(())
    }

    /// Returns the problems of some linked manifests, and of all linked manifests below them.
    fn problems_below(&mut self, top: Vec<Digest>, known: &mut Known) -> Result<HashMap<Digest, Problem>, Error> {
        let mut problems = HashMap::new();
        let mut above: HashMap<Digest, Vec<Digest>> = HashMap::new();
        let mut affected = VecDeque::new();
        let (mut pending, mut seen) = (VecDeque::from(top), HashSet::new());
        while let Some(digest) = pending.pop_front() {
            if !seen.insert(digest) {
                continue;
            }
            let mut children = Vec::new();
            if let Some(problem) = self.problem_of(&digest, &mut children, known)? {
                problems.insert(digest, problem);
                affected.push_back(digest);
            }
            for child in children {
                above.entry(child).or_default().push(digest);
                pending.push_back(child);
            }
        }
        while let Some(digest) = affected.pop_front() {
            let problem = problems[&digest];
            for index in above.remove(&digest).unwrap_or_default() {
                if let std::collections::hash_map::Entry::Vacant(entry) = problems.entry(index) {
                    entry.insert(problem);
                    affected.push_back(index);
                }
            }
        }
        Ok(problems)
    }

    /// Returns what is wrong with a linked manifest itself. Adds what is in it and linked to `children`.
    fn problem_of(
        &mut self,
        digest: &Digest,
        children: &mut Vec<Digest>,
        known: &mut Known,
    ) -> Result<Option<Problem>, Error> {
        // Content pushed by a digest of another algorithm is stored under its canonical digest, which only the link
        // holds.
        if digest.algorithm() != Algorithm::Sha256 {
            return Ok(None);
        }
        self.manifest(digest)?;
        let references = match self.read.remove(digest) {
            Some(Ok(references)) => references,
            Some(Err(kind)) => return Ok(Some(Problem { kind, digest: Some(*digest) })),
            None => return Ok(None),
        };
        let (in_index, parts): (Vec<Reference>, Vec<Reference>) =
            references.into_iter().partition(|reference| reference.role.may_be_child());
        let of_role = |is_wanted: fn(Role) -> bool| -> Vec<Digest> {
            parts.iter().filter(|part| is_wanted(part.role)).map(|part| part.digest).collect()
        };
        let mut parts = self.had_layers(of_role(|role| role == Role::OpaqueChild), known)?;
        parts.extend(of_role(|role| matches!(role, Role::Config | Role::Layer)));
        let missing_part = self.missing_part(parts, known)?;
        let missing_child = self.missing_child(in_index.iter().map(|child| child.digest).collect(), children, known)?;
        Ok(missing_part.or(missing_child))
    }

    /// Returns the first layer or config that is missing or not linked.
    fn missing_part(&self, parts: Vec<Digest>, known: &mut Known) -> Result<Option<Problem>, Error> {
        self.look_for(&parts, layout::BLOBS, stored_below, &mut known.stored)?;
        self.look_for(&parts, &layout::layers(&self.name), layout::link_below, &mut known.layers)?;
        let not_layers: Vec<Digest> = parts.iter().filter(|part| !known.layers[part]).copied().collect();
        self.look_for(&not_layers, &layout::revisions(&self.name), layout::link_below, &mut known.revisions)?;
        for digest in parts {
            // The links of digests of other algorithms hold where their content is.
            let is_stored = known.stored[&digest] || digest.algorithm() != Algorithm::Sha256;
            let kind = match known.layers[&digest] || known.revisions[&digest] {
                _ if !is_stored && self.depth.absences.content => continue,
                _ if !is_stored => Kind::MissingBlob,
                false => Kind::MissingLayerLink,
                true => continue,
            };
            return Ok(Some(Problem { kind, digest: Some(digest) }));
        }
        Ok(None)
    }

    /// Returns those of some layers in a build cache's index that the repository has had. Layers that it never had
    /// are as normal as platforms that it never had.
    fn had_layers(&self, mut layers: Vec<Digest>, known: &mut Known) -> Result<Vec<Digest>, Error> {
        self.look_for(&layers, &layout::layers(&self.name), directory_below, &mut known.layer_directories)?;
        self.look_for(&layers, &layout::revisions(&self.name), directory_below, &mut known.directories)?;
        layers.retain(|layer| known.layer_directories[layer] || known.directories[layer]);
        Ok(layers)
    }

    /// Returns the first platform that the repository has lost. A platform that it never had is normal (a sparse
    /// index), unless it has none at all. Adds those that it has as manifests to `linked`; build caches list layers.
    fn missing_child(
        &self,
        children: Vec<Digest>,
        linked: &mut Vec<Digest>,
        known: &mut Known,
    ) -> Result<Option<Problem>, Error> {
        self.look_for(&children, &layout::revisions(&self.name), layout::link_below, &mut known.revisions)?;
        let (here, others): (Vec<Digest>, Vec<Digest>) = children.into_iter().partition(|child| known.revisions[child]);
        self.look_for(&others, &layout::layers(&self.name), layout::link_below, &mut known.layers)?;
        let (layers, absent): (Vec<Digest>, Vec<Digest>) = others.into_iter().partition(|child| known.layers[child]);
        let has_none = here.is_empty() && layers.is_empty();
        linked.extend(here);
        if let Some(problem) = self.missing_part(layers, known)? {
            return Ok(Some(problem));
        }
        if Kind::MissingChild.in_spite_of(self.depth.absences) != Kind::MissingChild {
            return Ok(None);
        }
        // A deletion through the API leaves the directory of a link.
        let directory = layout::revisions(&self.name);
        self.look_for(&absent, &directory, directory_below, &mut known.directories)?;
        let lost = absent.iter().find(|child| has_none || known.directories[child]);
        Ok(lost.map(|digest| Problem { kind: Kind::MissingChild, digest: Some(*digest) }))
    }

    /// Checks which of some digests have something below a directory, unless that is known.
    fn look_for(
        &self,
        digests: &[Digest],
        directory: &str,
        key: fn(&Digest) -> String,
        known: &mut HashMap<Digest, bool>,
    ) -> Result<(), Error> {
        let mut unknown: Vec<Digest> = digests.iter().filter(|digest| !known.contains_key(digest)).copied().collect();
        unknown.sort_unstable();
        unknown.dedup();
        let keys: Vec<String> = unknown.iter().map(key).collect();
        let found = self.storage.stat_each(directory, &keys)?;
        let is_there = |found: Option<Metadata>| found.is_some_and(|found| found.kind != EntryKind::BrokenSymlink);
        known.extend(unknown.into_iter().zip(found.into_iter().map(is_there)));
        Ok(())
    }
}

/// Returns the key of a blob's content, relative to the directory of all blobs.
fn stored_below(digest: &Digest) -> String {
    layout::blob_data(digest)[layout::BLOBS.len() + 1..].to_owned()
}

/// Returns the directory of a link, relative to the directory of all links of its kind.
fn directory_below(digest: &Digest) -> String {
    digest.with_hex(|hex| [digest.algorithm().name(), "/", hex].concat())
}
