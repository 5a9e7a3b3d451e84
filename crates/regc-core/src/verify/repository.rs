//! Verification of one repository: whether its links are intact, and lead to what its images need.

use rustc_hash::FxHashSet as HashSet;

use super::Defect;
use super::tolerant::Tolerant;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Kind;
use crate::registry::layout;
use crate::registry::manifest::Role;
use crate::scan::Scan;
use crate::scan::inventory::{DigestId, Repository};
use crate::scan::links::digests_in;
use crate::scan::links::may_lead_to;
use crate::scan::mark::{Manifest, RepositoryGarbage, RepositoryReachable, have_history, target};
use crate::storage::{Content, EntryKind, ReadStorage, directories};
use crate::sync::Mutex;
use crate::trash;

/// One repository, and what is needed to check it.
pub(super) struct Check<'a> {
    pub(super) storage: &'a Tolerant<'a>,
    pub(super) scan: &'a Scan,
    /// The length of each blob, where its content is there.
    pub(super) sizes: &'a [Option<u64>],
    pub(super) repository: &'a Repository,
    pub(super) marked: &'a RepositoryReachable,
    pub(super) trashed: &'a Trashed<'a>,
    /// Whether to scan for names that do not belong where nothing else would be checked.
    pub(super) every_name: bool,
}

/// The content of a link's file.
enum Text {
    Absent,
    /// It exists but cannot be read, which is reported elsewhere.
    Unknown,
    /// It holds no digest.
    Garbled,
    Digest(Digest),
}

/// Whether a link holds what it should.
enum Link {
    Absent,
    Good,
    /// It holds no digest.
    Garbled,
    /// It holds another digest.
    Other(Digest),
}

impl Link {
    /// Returns the state of a digest's link by its text.
    fn of(digest: &Digest, text: Text) -> Self {
        match text {
            Text::Absent => Link::Absent,
            Text::Unknown => Link::Good,
            Text::Garbled => Link::Garbled,
            Text::Digest(named) if may_lead_to(digest, &named) => Link::Good,
            Text::Digest(named) => Link::Other(named),
        }
    }
}

/// A digest that a tag has named.
struct Entry {
    /// The number of the tag.
    tag: usize,
    digest: Digest,
}

/// How many tag indexes are checked together.
const TAGS_AT_ONCE: usize = 256;

/// What a manifest needs.
struct Needs {
    manifest: DigestId,
    id: DigestId,
    role: Role,
}

impl Check<'_> {
    pub(super) fn run(&self, garbage: &RepositoryGarbage) -> Result<Vec<Defect>, Error> {
        let mut defects = Vec::new();
        let needs = self.needs();
        let mut live: HashSet<DigestId> = needs.iter().map(|needs| needs.id).collect();
        for Needs { id, .. } in &needs {
            live.extend(target(self.storage, &self.scan.inventory.digests, self.name(), *id)?);
        }
        self.revisions(&mut defects)?;
        let layers = self.layers(&live, &mut defects)?;
        let remembered = self.tags(&layers, &mut defects)?;
        self.images(needs, &layers, &remembered, &mut defects)?;
        for upload in &garbage.uploads {
            let path = format!("{}/{}", layout::uploads(self.name()), upload.upload);
            defects.push(self.defect(Kind::StaleUpload, path, None, format!("{} bytes", upload.bytes)));
        }
        Ok(defects)
    }

    fn name(&self) -> &str {
        &self.repository.name
    }

    fn digest(&self, id: DigestId) -> Digest {
        self.scan.inventory.digests.digest(id)
    }

    fn defect(&self, kind: Kind, path: String, digest: Option<Digest>, detail: String) -> Defect {
        Defect {
            kind,
            path,
            repository: Some(self.name().to_owned()),
            digest,
            detail,
            images: Vec::new(),
            has_more_images: false,
        }
    }

    /// Returns whether content is stored.
    fn is_stored(&self, id: DigestId) -> bool {
        self.scan.inventory.digests.stored_index(id).is_some_and(|index| self.sizes[index].is_some())
    }

    fn has_revision(&self, id: DigestId) -> bool {
        self.repository.revisions.binary_search(&id).is_ok()
    }

    /// Returns what the live manifests refer to.
    fn needs(&self) -> Vec<Needs> {
        let mut needs = Vec::new();
        for &manifest in &self.marked.manifests {
            self.scan.reachable.manifests.with(manifest, |found| {
                if let Manifest::Parsed { references, .. } = found {
                    let all = references.iter();
                    needs.extend(all.map(|reference| Needs { manifest, id: reference.id(), role: reference.role() }));
                }
            });
        }
        needs
    }

    /// Returns what the links below a directory hold. If `ask_for_owners`, also checks whether the registry's user
    /// may read them.
    fn texts(&self, directory: &str, keys: &[String], ask_for_owners: bool) -> Result<Vec<Text>, Error> {
        if ask_for_owners && self.storage.asks_for_owners() {
            self.storage.stat_each(directory, keys)?;
        }
        let mut texts = Vec::with_capacity(keys.len());
        let limit = layout::link_bytes(Algorithm::Sha512);
        self.storage.read_each(directory, keys, limit, &mut |text| {
            texts.push(text.map(|text| match text {
                Content::Whole(text) => layout::digest_in_link(&text).map_or(Text::Garbled, Text::Digest),
                Content::TooLarge => Text::Garbled,
            }));
        })?;
        let text = |(key, text): (&String, Option<Text>)| match text {
            Some(text) => Ok(text),
            None => Ok(match self.storage.stat(&format!("{directory}/{key}"))?.map(|found| found.kind) {
                None => Text::Absent,
                Some(EntryKind::File) => Text::Unknown,
                Some(_) => Text::Garbled,
            }),
        };
        keys.iter().zip(texts).map(text).collect()
    }

    /// Checks the links of digests below a directory of links.
    fn links(&self, directory: &str, digests: &[Digest], ask_for_owners: bool) -> Result<Vec<Link>, Error> {
        let mut links = Vec::with_capacity(digests.len());
        // From as deep a directory as possible, since the path to each link is what takes time.
        for digests in digests.chunk_by(|a, b| a.algorithm() == b.algorithm()) {
            let directory = format!("{directory}/{}", digests[0].algorithm().name());
            let keys: Vec<String> = digests.iter().map(link_beside).collect();
            let texts = self.texts(&directory, &keys, ask_for_owners)?;
            links.extend(digests.iter().zip(texts).map(|(digest, text)| Link::of(digest, text)));
        }
        Ok(links)
    }

    fn look_for_foreign(&self, directory: &str, below: impl Iterator<Item = String>) -> Result<(), Error> {
        if !self.every_name {
            return Ok(());
        }
        self.storage.look_for_foreign(directory, &below.collect::<Vec<_>>())
    }

    fn revisions(&self, defects: &mut Vec<Defect>) -> Result<(), Error> {
        let digests: Vec<Digest> = self.repository.revisions.iter().map(|&id| self.digest(id)).collect();
        // Everybody looks at revisions.
        let all = layout::revisions(self.name());
        self.look_for_foreign(&all, digests.iter().map(directory_of))?;
        let links = self.links(&all, &digests, false)?;
        for (digest, link) in digests.into_iter().zip(links) {
            let path = || layout::revision_link(self.name(), &digest);
            defects.extend(self.of_link(Kind::GarbledRevisionLink, path, digest, link));
        }
        Ok(())
    }

    fn of_link(&self, garbled: Kind, path: impl FnOnce() -> String, digest: Digest, link: Link) -> Option<Defect> {
        match link {
            Link::Absent | Link::Good => None,
            Link::Garbled => Some(self.defect(garbled, path(), Some(digest), String::new())),
            Link::Other(named) => {
                Some(self.defect(Kind::MisdirectedLink, path(), Some(digest), format!("it names {named}")))
            }
        }
    }

    /// Checks the layer links, and returns those that exist.
    fn layers(&self, live: &HashSet<DigestId>, defects: &mut Vec<Defect>) -> Result<HashSet<DigestId>, Error> {
        let all = layout::layers(self.name());
        let mut linked = HashSet::default();
        for &algorithm in &self.repository.layer_algorithms {
            let found = digests_in(self.storage, &all, algorithm)?;
            let with_id = |(digest, _)| (digest, self.scan.inventory.digests.id(&digest));
            let found: Vec<(Digest, DigestId)> = found.into_iter().map(with_id).collect();
            self.look_for_foreign(&all, found.iter().map(|(digest, _)| directory_of(digest)))?;
            let links = self.layer_links(algorithm, &found, live)?;
            for ((digest, id), link) in found.into_iter().zip(links) {
                if matches!(link, Link::Absent) {
                    continue;
                }
                linked.insert(id);
                let path = || layout::layer_link(self.name(), &digest);
                let is_dangling = algorithm == Algorithm::Sha256 && !self.is_stored(id) && !live.contains(&id);
                if is_dangling && !self.has_revision(id) {
                    defects.push(self.defect(Kind::DanglingLayerLink, path(), Some(digest), String::new()));
                }
                defects.extend(self.of_link(Kind::GarbledLayerLink, path, digest, link));
            }
        }
        Ok(linked)
    }

    /// Returns what layer links of an algorithm hold. Links that no image needs are judged by their size: those that
    /// have the size of a link are not read.
    fn layer_links(
        &self,
        algorithm: Algorithm,
        found: &[(Digest, DigestId)],
        live: &HashSet<DigestId>,
    ) -> Result<Vec<Link>, Error> {
        let all = layout::layers(self.name());
        let directory = format!("{all}/{}", algorithm.name());
        let usual = [algorithm, Algorithm::Sha256].map(layout::link_bytes);
        let mut links: Vec<Option<Link>> = found.iter().map(|_| None).collect();
        let is_needed = |id| self.every_name || self.marked.protected || live.contains(id);
        let unneeded: Vec<usize> = (0..found.len()).filter(|&at| !is_needed(&found[at].1)).collect();
        let keys: Vec<String> = unneeded.iter().map(|&at| link_beside(&found[at].0)).collect();
        for (at, link) in unneeded.into_iter().zip(self.storage.stat_each(&directory, &keys)?) {
            links[at] = match link {
                None => Some(Link::Absent),
                Some(link) if link.kind == EntryKind::File && usual.contains(&link.bytes) => Some(Link::Good),
                Some(_) => None,
            };
        }
        let unread: Vec<usize> = (0..found.len()).filter(|&at| links[at].is_none()).collect();
        let digests: Vec<Digest> = unread.iter().map(|&at| found[at].0).collect();
        for (at, link) in unread.into_iter().zip(self.links(&all, &digests, true)?) {
            links[at] = Some(link);
        }
        Ok(links.into_iter().flatten().collect())
    }

    /// Checks the tags, and returns the digests in their tag indexes that the repository does not link.
    fn tags(&self, layers: &HashSet<DigestId>, defects: &mut Vec<Defect>) -> Result<HashSet<DigestId>, Error> {
        let all = layout::tags(self.name());
        let names = directories(self.storage, &all, layout::tag_name, || ())?;
        if self.storage.asks_for_owners() {
            self.storage.stat_each(&all, &names.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())?;
        }
        let parts = names.iter().flat_map(|(name, _)| [name.clone(), format!("{name}/current")]);
        self.look_for_foreign(&all, parts)?;
        let keys: Vec<String> = names.iter().map(|(name, _)| format!("{name}/current/{}", layout::LINK)).collect();
        let texts = self.texts(&all, &keys, true)?;
        let is_linked = |digest: &Digest| {
            let id = self.scan.inventory.digests.id(digest);
            self.has_revision(id) || layers.contains(&id)
        };
        let mut tags = Vec::with_capacity(names.len());
        for ((tag, _), text) in names.iter().zip(texts) {
            let path = || layout::tag_link(self.name(), tag);
            let mut named = None;
            match text {
                Text::Digest(digest) if is_linked(&digest) => {
                    named = Some(digest);
                    let id = self.scan.inventory.digests.id(&digest);
                    // Linked where registry 2.1 linked manifests; no other image needs that link.
                    if !self.has_revision(id) {
                        let link = self.links(&layout::layers(self.name()), &[digest], false)?.pop();
                        let path = || layout::layer_link(self.name(), &digest);
                        defects.extend(link.and_then(|link| self.of_link(Kind::GarbledLayerLink, path, digest, link)));
                    }
                }
                Text::Digest(digest) => {
                    let detail = format!("it names {digest}");
                    defects.push(self.defect(Kind::DanglingTag, path(), Some(digest), detail));
                    named = Some(digest);
                }
                Text::Garbled => defects.push(self.defect(Kind::GarbledTag, path(), None, String::new())),
                // The registry lists a tag that has a directory.
                Text::Absent => defects.push(self.defect(Kind::GarbledTag, path(), None, "it is missing".into())),
                Text::Unknown => {}
            }
            tags.push((tag.as_str(), named));
        }
        let mut remembered = HashSet::default();
        for tags in tags.chunks(TAGS_AT_ONCE) {
            remembered.extend(self.tag_indexes(tags, &is_linked, defects)?);
        }
        Ok(remembered)
    }

    /// Checks the tag indexes of tags, each given with the digest that it names, and returns the digests that are not
    /// linked.
    fn tag_indexes(
        &self,
        tags: &[(&str, Option<Digest>)],
        is_linked: &dyn Fn(&Digest) -> bool,
        defects: &mut Vec<Defect>,
    ) -> Result<Vec<DigestId>, Error> {
        let names: Vec<String> = tags.iter().map(|(tag, _)| (*tag).to_owned()).collect();
        let have_history = match self.every_name {
            true => vec![true; tags.len()],
            false => have_history(self.storage, self.name(), &names)?,
        };
        // A tag that has only ever named one manifest has named its current one.
        let (mut entries, mut unknown): (Vec<Entry>, Vec<usize>) = Default::default();
        for (number, (&(_, named), past)) in tags.iter().zip(have_history).enumerate() {
            match named.filter(|_| !past) {
                Some(digest) => entries.push(Entry { tag: number, digest }),
                None => unknown.push(number),
            }
        }
        let mut read = Vec::with_capacity(tags.len());
        for (entry, text) in self.entry_texts(&names, entries)? {
            match text {
                Text::Absent => unknown.push(entry.tag),
                text => read.push((entry, text)),
            }
        }
        let others = self.list_entries(&names, &unknown)?;
        read.extend(self.entry_texts(&names, others)?);
        let mut remembered = Vec::new();
        for (Entry { tag, digest }, text) in read {
            let (tag, named) = tags[tag];
            let path = || layout::tag_index_link(self.name(), tag, &digest);
            let is_linked = is_linked(&digest);
            if !is_linked && !matches!(text, Text::Absent) {
                remembered.push(self.scan.inventory.digests.id(&digest));
            }
            // What the tag itself names is reported for the tag.
            let is_dangling = !is_linked && named != Some(digest);
            match Link::of(&digest, text) {
                Link::Absent => {}
                _ if is_dangling => {
                    defects.push(self.defect(Kind::DanglingTagIndexEntry, path(), Some(digest), String::new()));
                }
                // It is never followed, so no client is served other content.
                Link::Other(named) => {
                    let detail = format!("it names {named}");
                    defects.push(self.defect(Kind::GarbledTagIndexEntry, path(), Some(digest), detail));
                }
                link => defects.extend(self.of_link(Kind::GarbledTagIndexEntry, path, digest, link)),
            }
        }
        Ok(remembered)
    }

    /// Returns what some tags have named. `tags` holds their positions in `names`.
    fn list_entries(&self, names: &[String], tags: &[usize]) -> Result<Vec<Entry>, Error> {
        // From the directory of all tags, since the path to each is what takes time.
        let all = layout::tags(self.name());
        let indexes: Vec<String> = tags.iter().map(|&tag| format!("{}/index", names[tag])).collect();
        let mut algorithms: Vec<(usize, Algorithm)> = Vec::new();
        let listed = self.storage.list_each(&all, &indexes, &mut |number, entry| {
            algorithms.extend(Algorithm::from_name(entry.name).map(|algorithm| (number, algorithm)));
        });
        listed.into_iter().collect::<Result<Vec<_>, _>>()?;
        let below = |(number, algorithm): &(usize, Algorithm)| format!("{}/{}", indexes[*number], algorithm.name());
        let below: Vec<String> = algorithms.iter().map(below).collect();
        let mut entries = Vec::new();
        let listed = self.storage.list_each(&all, &below, &mut |number, entry| {
            let (number, algorithm) = algorithms[number];
            let digest = Digest::from_hex(algorithm, entry.name);
            entries.extend(digest.map(|digest| Entry { tag: tags[number], digest }));
        });
        listed.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(entries)
    }

    /// Returns what the links of entries in tag indexes hold.
    fn entry_texts(&self, names: &[String], entries: Vec<Entry>) -> Result<Vec<(Entry, Text)>, Error> {
        let key = |entry: &Entry| [&names[entry.tag], "/index/", &layout::link_below(&entry.digest)].concat();
        let keys: Vec<String> = entries.iter().map(key).collect();
        let above = keys.iter().filter_map(|key| Some(key.rsplit_once('/')?.0.to_owned()));
        self.look_for_foreign(&layout::tags(self.name()), above)?;
        let texts = self.texts(&layout::tags(self.name()), &keys, true)?;
        Ok(entries.into_iter().zip(texts).collect())
    }

    /// Checks whether what the images need exists and is linked. `remembered` holds the digests in tag indexes that
    /// are not linked.
    fn images(
        &self,
        mut needs: Vec<Needs>,
        layers: &HashSet<DigestId>,
        remembered: &HashSet<DigestId>,
        defects: &mut Vec<Defect>,
    ) -> Result<(), Error> {
        let is_linked = |id: DigestId| layers.contains(&id) || self.has_revision(id);
        let with_a_part: HashSet<DigestId> =
            needs.iter().filter(|needs| is_linked(needs.id)).map(|needs| needs.manifest).collect();
        // An index can do without a part that an image cannot do without, unless the index has no other part.
        needs.sort_by_key(|needs| (is_listed(needs.role), with_a_part.contains(&needs.manifest)));
        let unlinked: Vec<DigestId> =
            needs.iter().filter(|needs| is_listed(needs.role) && !is_linked(needs.id)).map(|needs| needs.id).collect();
        let had = self.had(unlinked, remembered)?;
        let mut seen = HashSet::default();
        for Needs { manifest, id, role } in needs {
            if !seen.insert(id) {
                continue;
            }
            let needed_by = || format!("the manifest {} needs it", self.digest(manifest));
            let is_linked = is_linked(id);
            // Content pushed by a digest of another algorithm is stored under its canonical digest, which the link
            // holds.
            let (content, is_stored) = match self.scan.inventory.digests.algorithm(id) {
                Algorithm::Sha256 => (id, self.is_stored(id)),
                _ => match target(self.storage, &self.scan.inventory.digests, self.name(), id)? {
                    Some(content) => (content, self.is_stored(content)),
                    // Without a link, it is unknown where the content is.
                    None if self.is_stored(id) || !is_linked => (id, true),
                    // The link is garbled, which is reported separately.
                    None => continue,
                },
            };
            let digest = self.digest(id);
            let is_part = matches!(role, Role::Config | Role::Layer | Role::OpaqueChild);
            let is_absent = is_listed(role) && !is_linked && !had.contains(&id);
            match role {
                Role::OpaqueChild if is_absent => {
                    let path = layout::layer_link(self.name(), &digest);
                    defects.push(self.defect(Kind::AbsentChild, path, Some(digest), listed_by(self.digest(manifest))));
                }
                Role::Child | Role::OddChild if is_absent && with_a_part.contains(&manifest) => {
                    let path = layout::revision_link(self.name(), &digest);
                    defects.push(self.defect(Kind::AbsentChild, path, Some(digest), listed_by(self.digest(manifest))));
                }
                _ if !is_stored && (is_part || role == Role::OddChild && layers.contains(&id)) => {
                    let content = self.digest(content);
                    let path = layout::blob_data(&content);
                    defects.push(self.defect(Kind::MissingBlob, path, Some(content), needed_by()));
                }
                _ if !is_linked && is_part => {
                    let path = layout::layer_link(self.name(), &digest);
                    defects.push(self.defect(Kind::MissingLayerLink, path, Some(digest), needed_by()));
                }
                // A child that is linked but has no content is a dangling revision.
                Role::Child | Role::OddChild if !is_linked => {
                    let path = layout::revision_link(self.name(), &digest);
                    let detail = match is_stored {
                        true => "its content exists, but the repository does not link it",
                        false => "its content is missing",
                    };
                    let detail = format!("{detail}; {}", needed_by());
                    defects.push(self.defect(Kind::MissingChild, path, Some(digest), detail));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns which of some digests that the repository does not link it has had, as far as the repository or the
    /// trash shows that: by the directory of a link, or by an entry in a tag index.
    fn had(&self, ids: Vec<DigestId>, remembered: &HashSet<DigestId>) -> Result<HashSet<DigestId>, Error> {
        let (had, mut unknown): (Vec<DigestId>, Vec<DigestId>) =
            ids.into_iter().partition(|id| remembered.contains(id));
        let mut had: HashSet<DigestId> = had.into_iter().collect();
        unknown.sort_unstable();
        unknown.dedup();
        for links in [layout::revisions(self.name()), layout::layers(self.name())] {
            let keys: Vec<String> = unknown.iter().map(|&id| directory_of(&self.digest(id))).collect();
            let found = self.storage.stat_each(&links, &keys)?;
            had.extend(unknown.iter().zip(found).filter_map(|(id, directory)| directory.map(|_| *id)));
        }
        for id in unknown {
            if !had.contains(&id) && self.trashed.has_link(self.name(), &self.digest(id))? {
                had.insert(id);
            }
        }
        Ok(had)
    }
}

/// Returns whether it is part of an index.
fn is_listed(role: Role) -> bool {
    matches!(role, Role::Child | Role::OddChild | Role::OpaqueChild)
}

fn listed_by(index: Digest) -> String {
    format!("the index {index} lists it")
}

/// The links of repositories that were moved to the trash, which is walked only when they are first needed.
pub(super) struct Trashed<'a> {
    storage: &'a dyn ReadStorage,
    links: Mutex<Option<HashSet<(String, Digest)>>>,
}

impl<'a> Trashed<'a> {
    pub(super) fn new(storage: &'a dyn ReadStorage) -> Self {
        Self { storage, links: Mutex::default() }
    }

    fn has_link(&self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        let mut links = self.links.lock();
        if links.is_none() {
            let subjects = trash::subjects(self.storage)?.into_iter();
            *links = Some(subjects.filter_map(|moved| moved.subject.repository.zip(moved.subject.digest)).collect());
        }
        Ok(links.as_ref().is_some_and(|links| links.contains(&(repository.to_owned(), *digest))))
    }
}

/// Returns the directory of a digest, relative to a directory of links.
fn directory_of(digest: &Digest) -> String {
    digest.with_hex(|hex| [digest.algorithm().name(), "/", hex].concat())
}

/// Returns the link of a digest, relative to the directory of all links of its algorithm.
fn link_beside(digest: &Digest) -> String {
    digest.with_hex(|hex| [hex, "/", layout::LINK].concat())
}
