//! What is live in one repository.

use rayon::prelude::*;
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::manifests::{self, Manifest, Manifests};
use super::{GarbageRevision, RepositoryGarbage, RepositoryReachable, TagIndexEntry};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Finding;
use crate::inventory::{DigestId, Digests, Repository};
use crate::layout;
use crate::manifest::{Kind, Role};
use crate::storage::{Content, Entry, EntryKind, ReadStorage};

/// How many links one task tests.
const BATCH: usize = 256;

/// What marking one repository found.
pub(super) struct Marked {
    pub(super) live: HashSet<DigestId>,
    pub(super) reachable: RepositoryReachable,
    pub(super) garbage: RepositoryGarbage,
    pub(super) tags: u64,
    pub(super) findings: Vec<Finding>,
}

/// Marks what is live in `repository`, and lists what is not.
pub(super) fn mark(
    storage: &dyn ReadStorage,
    digests: &Digests,
    manifests: &Manifests,
    repository: &Repository,
    delete_untagged: bool,
) -> Result<Marked, Error> {
    let marking = Marking { storage, digests, manifests, repository };
    let mut findings = marking.findings_of_revisions();

    let tags = if delete_untagged { marking.tags()? } else { Tags::default() };
    findings.extend(
        tags.garbled.iter().map(|tag| Finding::GarbledTag { repository: repository.name.clone(), tag: tag.clone() }),
    );
    // What cannot be understood, or is not this repository's alone, is kept as a whole.
    let is_damaged = marking.has_damaged_revision();
    let keep_all = !delete_untagged || is_damaged || repository.shared || tags.unknown;
    let everything = || [&*repository.revisions, &*tags.tagged].concat();
    let mut keep_all = keep_all;
    let mut reach = if keep_all { marking.reach(&everything())? } else { marking.reach(&tags.tagged)? };
    if !keep_all && !reach.damaged_others.is_empty() {
        keep_all = true;
        reach = marking.reach(&everything())?;
    }
    let is_protected = is_damaged || !reach.damaged_others.is_empty();
    for &manifest in &reach.damaged_others {
        findings.extend(marking.finding_of(manifest));
    }

    let mut garbage = RepositoryGarbage::default();
    marking.layer_links(is_protected || repository.shared, &mut reach.live, &mut garbage)?;
    if !keep_all {
        marking.garbage_revisions(&reach.manifests, &mut garbage)?;
        marking.tag_index_entries(&tags.directories, &mut garbage)?;
    }
    let mut live_manifests: Vec<_> = reach.manifests.into_iter().collect();
    live_manifests.sort_unstable();
    let roots = if keep_all { repository.revisions.clone() } else { tags.tagged.into() };
    let reachable = RepositoryReachable { roots, manifests: live_manifests.into(), protected: is_protected };
    Ok(Marked { live: reach.live, reachable, garbage, tags: tags.count, findings })
}

struct Marking<'a> {
    storage: &'a dyn ReadStorage,
    digests: &'a Digests,
    manifests: &'a Manifests,
    repository: &'a Repository,
}

/// What the tags of a repository say.
#[derive(Default)]
struct Tags {
    /// How many tags name something now.
    count: u64,
    /// The directories of all tags, those aside that are symbolic links.
    directories: Vec<String>,
    /// The linked manifests that tags name.
    tagged: Vec<DigestId>,
    garbled: Vec<String>,
    /// Whether a garbled tag leaves no trace of what it named.
    unknown: bool,
}

/// What is reachable from some roots.
#[derive(Default)]
struct Reach {
    live: HashSet<DigestId>,
    /// The linked manifests among what is live.
    manifests: HashSet<DigestId>,
    /// Damaged manifests that are only linked as layers.
    damaged_others: Vec<DigestId>,
}

impl Marking<'_> {
    fn name(&self) -> &str {
        &self.repository.name
    }

    fn has_damaged_revision(&self) -> bool {
        self.repository.revisions.iter().any(|&id| self.is_damaged(id))
    }

    fn is_damaged(&self, id: DigestId) -> bool {
        self.manifests.with(id, |manifest| matches!(manifest, Manifest::Damaged(_))).unwrap_or(false)
    }

    fn findings_of_revisions(&self) -> Vec<Finding> {
        self.repository.revisions.iter().filter_map(|&id| self.finding_of(id)).collect()
    }

    fn finding_of(&self, id: DigestId) -> Option<Finding> {
        let (repository, manifest) = (|| self.repository.name.clone(), || self.digests.digest(id));
        self.manifests.with(id, |found| match found {
            Manifest::Parsed { .. } => None,
            Manifest::Missing => Some(Finding::DanglingRevision { repository: repository(), manifest: manifest() }),
            Manifest::Damaged(damaged) => Some(Finding::DamagedManifest {
                repository: repository(),
                manifest: manifest(),
                damage: damaged.damage.clone(),
            }),
        })?
    }

    fn has_revision(&self, id: DigestId) -> bool {
        self.repository.revisions.binary_search(&id).is_ok()
    }

    /// Whether the repository links the manifest: as a revision, or as a layer, where registry 2.1 put it and later
    /// ones still look.
    fn is_linked(&self, id: DigestId) -> Result<bool, Error> {
        if self.has_revision(id) {
            return Ok(true);
        }
        let is_linked = self.storage.stat(&layout::layer_link(self.name(), &self.digests.digest(id)))?.is_some();
        if is_linked {
            self.manifests.read_other(self.storage, self.digests, id)?;
        }
        Ok(is_linked)
    }

    /// Reads every tag once.
    fn tags(&self) -> Result<Tags, Error> {
        let mut directories = Vec::new();
        let mut broken = None;
        self.storage.list(&layout::tags(self.name()), &mut |Entry { name, kind, symlink }| match kind {
            EntryKind::Directory => directories.push((name.to_owned(), symlink)),
            EntryKind::BrokenSymlink => broken = Some(format!("{}/{name}", layout::tags(self.name()))),
            _ => {}
        })?;
        if let Some(key) = broken {
            return Err(Error::BrokenSymlink(key));
        }
        directories.sort_unstable();
        // No link of the registry is longer than that of a SHA-512 digest.
        let limit = layout::link_bytes(Algorithm::Sha512);
        let links: Vec<Option<Content>> = directories
            .par_iter()
            .map(|(tag, _)| self.storage.read(&layout::tag_link(self.name(), tag), limit))
            .collect::<Result<_, _>>()?;

        let mut tags = Tags::default();
        let mut tagged = HashSet::default();
        for ((tag, symlink), link) in directories.into_iter().zip(links) {
            let Some(link) = link else {
                tags.directories.extend((!symlink).then_some(tag));
                continue;
            };
            tags.count += 1;
            let text = if let Content::Whole(text) = link { text } else { Vec::new() };
            match std::str::from_utf8(&text).ok().and_then(|text| text.parse::<Digest>().ok()) {
                Some(digest) => tagged.extend(Some(self.digests.id(&digest))),
                None => {
                    let mut named = Digest::mentioned_in(&text);
                    let index = self.storage.list_prefix(&layout::tag_index(self.name(), &tag))?;
                    named.extend(index.iter().filter_map(|key| layout::digest_of_link(key)));
                    tags.unknown |= named.is_empty();
                    tagged.extend(named.iter().map(|digest| self.digests.id(digest)));
                    tags.garbled.push(tag.clone());
                }
            }
            tags.directories.extend((!symlink).then_some(tag));
        }
        for id in tagged {
            if self.is_linked(id)? {
                tags.tagged.push(id);
            }
        }
        tags.tagged.sort_unstable();
        Ok(tags)
    }

    /// Everything that is live when `roots`, which are linked manifests, are.
    fn reach(&self, roots: &[DigestId]) -> Result<Reach, Error> {
        let referrers = self.referrers();
        let mut reach = Reach::default();
        let mut pending: Vec<DigestId> = roots.to_vec();
        while let Some(id) = pending.pop() {
            if !reach.manifests.insert(id) {
                continue;
            }
            let mut became_live = vec![id];
            let has_signatures = self.manifests.with(id, |manifest| match manifest {
                Manifest::Parsed { kind, references, .. } => {
                    became_live.extend(references.iter().map(|(id, _)| *id));
                    pending.extend(references.iter().filter(|(id, _)| self.has_revision(*id)).map(|(id, _)| *id));
                    *kind == Kind::Schema1
                }
                Manifest::Missing => true,
                Manifest::Damaged(damaged) => {
                    became_live.extend(&damaged.mentioned);
                    true
                }
            });
            for child in self.children_elsewhere(id) {
                if self.is_linked(child)? {
                    pending.push(child);
                }
            }
            if has_signatures.unwrap_or(true) {
                became_live.extend(self.signatures(id)?);
            }
            if self.is_damaged(id) && !self.has_revision(id) {
                reach.damaged_others.push(id);
            }
            for id in became_live {
                if reach.live.insert(id) {
                    pending.extend(referrers.get(&id).into_iter().flatten());
                    reach.live.extend(manifests::target(self.storage, self.digests, self.name(), id)?);
                }
            }
        }
        reach.damaged_others.sort_unstable_by_key(|&id| self.digests.digest(id));
        Ok(reach)
    }

    /// The children of an index that are manifests, but no revisions of this repository.
    fn children_elsewhere(&self, id: DigestId) -> Vec<DigestId> {
        let children = self.manifests.with(id, |manifest| match manifest {
            Manifest::Parsed { references, .. } => references
                .iter()
                .filter(|(child, role)| *role == Role::Child && !self.has_revision(*child))
                .map(|(child, _)| *child)
                .collect(),
            _ => Vec::new(),
        });
        children.unwrap_or_default()
    }

    /// The revisions that are attached to another manifest, by that one.
    fn referrers(&self) -> HashMap<DigestId, Vec<DigestId>> {
        let mut referrers: HashMap<_, Vec<_>> = HashMap::default();
        for &id in &self.repository.revisions {
            if let Some(subject) = self.subject(id) {
                referrers.entry(subject).or_default().push(id);
            }
        }
        referrers
    }

    fn subject(&self, id: DigestId) -> Option<DigestId> {
        self.manifests.with(id, |manifest| match manifest {
            Manifest::Parsed { subject, .. } => *subject,
            _ => None,
        })?
    }

    fn signatures(&self, id: DigestId) -> Result<Vec<DigestId>, Error> {
        let keys = self.storage.list_prefix(&layout::signatures(self.name(), &self.digests.digest(id)))?;
        Ok(keys.iter().filter_map(|key| layout::digest_of_link(key)).map(|digest| self.digests.id(&digest)).collect())
    }

    /// Lists the layer links: all of them are live if `keep`, else those that nothing live refers to are garbage.
    fn layer_links(
        &self,
        keep: bool,
        live: &mut HashSet<DigestId>,
        garbage: &mut RepositoryGarbage,
    ) -> Result<(), Error> {
        let mut candidates = Vec::new();
        let mut broken = None;
        let layers = layout::layers(self.name());
        for &algorithm in &self.repository.layer_algorithms {
            let directory = format!("{layers}/{}", algorithm.name());
            self.storage.list(&directory, &mut |Entry { name, kind, .. }| match (
                Digest::from_hex(algorithm, name),
                kind,
            ) {
                (Some(digest), EntryKind::Directory) => {
                    let id = self.digests.id(&digest);
                    if keep || !live.contains(&id) {
                        candidates.push(id);
                    }
                }
                (Some(_), EntryKind::BrokenSymlink) => broken = Some(format!("{directory}/{name}")),
                _ => {}
            })?;
        }
        if let Some(key) = broken {
            return Err(Error::BrokenSymlink(key));
        }
        if keep {
            for id in candidates {
                live.insert(id);
                live.extend(manifests::target(self.storage, self.digests, self.name(), id)?);
            }
            return Ok(());
        }
        let linked: Vec<Vec<Option<DigestId>>> = candidates
            .par_chunks(BATCH)
            .map(|batch| {
                let keys: Vec<String> = batch.iter().map(|&id| layout::link_below(&self.digests.digest(id))).collect();
                let links = self.storage.stat_each(&layers, &keys)?;
                Ok(batch.iter().zip(links).map(|(id, link)| link.map(|_| *id)).collect())
            })
            .collect::<Result<_, Error>>()?;
        garbage.layer_links = linked.into_iter().flatten().flatten().collect();
        garbage.layer_links.sort_unstable_by_key(|&id| self.digests.digest(id));
        Ok(())
    }

    /// The revisions that are not among `live`, those that refer to others before those.
    fn garbage_revisions(&self, live: &HashSet<DigestId>, garbage: &mut RepositoryGarbage) -> Result<(), Error> {
        let mut unused: Vec<DigestId> =
            self.repository.revisions.iter().copied().filter(|id| !live.contains(id)).collect();
        unused.sort_unstable_by_key(|&id| self.digests.digest(id));
        for id in self.parents_first(&unused) {
            garbage.revisions.push(GarbageRevision { id, signatures: self.signatures_of_garbage(id)? });
        }
        Ok(())
    }

    fn signatures_of_garbage(&self, id: DigestId) -> Result<Box<[DigestId]>, Error> {
        let may_have = self
            .manifests
            .with(id, |manifest| !matches!(manifest, Manifest::Parsed { kind: Kind::Image | Kind::Index, .. }));
        if may_have.unwrap_or(true) { Ok(self.signatures(id)?.into()) } else { Ok(Box::default()) }
    }

    /// Orders manifests so that whatever refers to another one, as an index or as a referrer, comes before it.
    fn parents_first(&self, manifests: &[DigestId]) -> Vec<DigestId> {
        let among: HashSet<DigestId> = manifests.iter().copied().collect();
        let mut done = HashSet::default();
        let mut children_first = Vec::with_capacity(manifests.len());
        // Depth first without recursion: a chain of indexes may be as long as a client wants it.
        for &root in manifests.iter().rev() {
            let mut stack = vec![(root, false)];
            while let Some((id, is_left)) = stack.pop() {
                if is_left {
                    children_first.push(id);
                } else if done.insert(id) {
                    stack.push((id, true));
                    let below = self.manifests.with(id, |manifest| match manifest {
                        Manifest::Parsed { references, subject, .. } => {
                            references.iter().map(|(id, _)| *id).chain(*subject).collect()
                        }
                        _ => Vec::new(),
                    });
                    stack.extend(
                        below.unwrap_or_default().iter().filter(|id| among.contains(id)).map(|&id| (id, false)),
                    );
                }
            }
        }
        children_first.reverse();
        children_first
    }

    /// The entries of tags' indexes that name a revision which is garbage. None is looked for behind a symbolic link.
    fn tag_index_entries(&self, tags: &[String], garbage: &mut RepositoryGarbage) -> Result<(), Error> {
        if garbage.revisions.is_empty() {
            return Ok(());
        }
        let removed: HashSet<DigestId> = garbage.revisions.iter().map(|revision| revision.id).collect();
        let entries: Vec<Vec<TagIndexEntry>> = tags
            .par_iter()
            .map(|tag| {
                let mut entries = Vec::new();
                let index = layout::tag_index(self.name(), tag);
                let is_symlink = self.storage.stat(&index)?.is_none_or(|metadata| metadata.symlink);
                let mut algorithms = Vec::new();
                if !is_symlink {
                    self.storage.list(&index, &mut |Entry { name, symlink, .. }| {
                        algorithms.extend(Algorithm::from_name(name).filter(|_| !symlink));
                    })?;
                }
                for algorithm in algorithms {
                    let directory = format!("{index}/{}", algorithm.name());
                    self.storage.list(&directory, &mut |Entry { name, kind, .. }| {
                        let digest = Digest::from_hex(algorithm, name).filter(|_| kind == EntryKind::Directory);
                        let id = digest.map(|digest| self.digests.id(&digest)).filter(|id| removed.contains(id));
                        entries.extend(id.map(|id| TagIndexEntry { tag: tag.clone(), id }));
                    })?;
                }
                entries.sort_unstable_by_key(|entry| self.digests.digest(entry.id));
                Ok(entries)
            })
            .collect::<Result<_, Error>>()?;
        garbage.tag_index_entries = entries.into_iter().flatten().collect();
        garbage.tags = tags.to_vec();
        Ok(())
    }
}
