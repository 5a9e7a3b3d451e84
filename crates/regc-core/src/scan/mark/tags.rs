//! What the tags of one repository name. Tags are read only where they decide something, and each only once.

use std::time::SystemTime;

use rayon::prelude::*;
use rustc_hash::FxHashSet as HashSet;

use super::leftovers::has_one;
use super::repository::Marking;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Finding;
use crate::registry::layout;
use crate::scan::inventory::DigestId;
use crate::scan::links::digests_in;
use crate::storage::{Content, EntryKind, Metadata, device, directories, real_directory};

/// What the tags of a repository name.
#[derive(Default)]
pub(super) struct Tags {
    /// How many tags name something, or did.
    pub(super) count: u64,
    /// Each of them, by name.
    pub(super) each: Vec<Tag>,
    /// The directories of all tags, except symbolic links, sorted.
    pub(super) directories: Vec<String>,
    /// The tags that may have named more than one manifest; only determined if something in the repository was named for deletion,
    /// or if orphans are.
    pub(super) have_history: HashSet<String>,
    /// The linked manifests that tags name, in the order of their numbers.
    pub(super) tagged: Vec<DigestId>,
    /// The tags that cannot be read.
    garbled: Vec<String>,
    /// Dangling tags, each with the digest that it names and the repository does not link.
    dangling: Vec<(String, Digest)>,
    /// Whether a symbolic link among them leads to something in the repository other than a tag.
    pub(super) symlinks_elsewhere: bool,
    /// Whether there are no tags and their directory is a file system of its own: the intended one is not mounted.
    pub(super) is_unmounted: bool,
    /// Whether a tag leaves no trace of what it named.
    pub(super) unknown: bool,
}

/// A tag.
pub(super) struct Tag {
    pub(super) name: String,
    /// What it names; `None` if its link is garbled or missing.
    pub(super) digest: Option<DigestId>,
    /// What it keeps in use: what it names, or if that is unknown, everything that it has ever named.
    pub(super) keeps: Box<[DigestId]>,
    /// Whether a symbolic link is in its place, or in its directory where it matters, or leads to it.
    pub(super) symlink: bool,
    pub(super) modified: SystemTime,
}

impl Tags {
    pub(super) fn findings<'t>(&'t self, repository: &'t str) -> impl Iterator<Item = Finding> + 't {
        let garbled = self.garbled.iter().cloned();
        let garbled = garbled.map(|tag| Finding::GarbledTag { repository: repository.to_owned(), tag });
        let dangling = self.dangling.iter().cloned();
        garbled.chain(dangling.map(|(tag, manifest)| Finding::DanglingTag {
            repository: repository.to_owned(),
            tag,
            manifest,
        }))
    }
}

/// The link of a tag.
struct TagLink {
    content: Option<Content>,
    found: Option<Metadata>,
}

/// The symbolic links in the directories of tags.
#[derive(Default)]
struct Symlinks {
    /// The tags in which one replaces a directory or the link, and those that such a one leads to.
    tags: HashSet<String>,
    /// Whether one leads to something else in the repository.
    elsewhere: bool,
}

/// How many tags one task reads.
const BATCH: usize = 64;

impl Marking<'_> {
    /// Reads every tag.
    pub(super) fn tags(&self) -> Result<Tags, Error> {
        let all = layout::tags(self.name());
        let mut found = directories(self.storage, &all, layout::tag_name, || ())?;
        found.sort_unstable();
        let links: Vec<Vec<TagLink>> =
            found.par_chunks(BATCH).map(|batch| self.tag_links(&all, batch)).collect::<Result<_, _>>()?;
        let links: Vec<TagLink> = links.into_iter().flatten().collect();

        let mut tags = Tags { is_unmounted: found.is_empty() && self.is_file_system(&all)?, ..Tags::default() };
        let mut symlinks = Symlinks::default();
        if self.options.deletion.is_some() || self.options.leftovers.orphans_before.is_some() {
            (symlinks, tags.have_history) = self.symlinks_in(&found, &links)?;
            tags.symlinks_elsewhere = symlinks.elsewhere;
        }
        let mut named = HashSet::default();
        for ((tag, symlink), link) in found.into_iter().zip(links) {
            tags.directories.extend((!symlink).then(|| tag.clone()));
            let symlink = symlink || symlinks.tags.contains(&tag);
            let Some(tag) = self.tag(tag, symlink, link, &mut tags)? else { continue };
            named.extend(&tag.keeps);
            tags.each.push(tag);
        }
        for id in named {
            if self.is_linked(id)? {
                tags.tagged.push(id);
            }
        }
        tags.tagged.sort_unstable();
        for tag in &tags.each {
            if let Some(id) = tag.digest.filter(|id| tags.tagged.binary_search(id).is_err()) {
                tags.dangling.push((tag.name.clone(), self.digests.digest(id)));
            }
        }
        Ok(tags)
    }

    /// Reads a tag from its name and its link. `None` if it names nothing and never did.
    fn tag(&self, name: String, symlink: bool, link: TagLink, tags: &mut Tags) -> Result<Option<Tag>, Error> {
        // One that is gone by now has no time either.
        let link = link.content.zip(link.found.map(|found| found.written()));
        let is_there = link.is_some();
        let (text, modified) = match link {
            Some((Content::Whole(text), modified)) => (text, modified),
            Some((Content::TooLarge, modified)) => (Vec::new(), modified),
            None => match self.storage.stat(&layout::tag_index(self.name(), &name))? {
                Some(index) => (Vec::new(), index.written()),
                None => return Ok(None),
            },
        };
        let digest = layout::digest_in_link(&text).map(|digest| self.digests.id(&digest));
        let keeps = match digest {
            Some(digest) => Box::from([digest]),
            None => {
                let mut ever = Digest::mentioned_in(&text);
                ever.extend(self.ever_named(&name)?);
                if !is_there && ever.is_empty() {
                    return Ok(None);
                }
                tags.unknown |= ever.is_empty();
                tags.garbled.push(name.clone());
                ever.iter().map(|digest| self.digests.id(digest)).collect()
            }
        };
        tags.count += 1;
        Ok(Some(Tag { name, digest, keeps, symlink, modified }))
    }

    /// Whether a directory is a file system of its own.
    fn is_file_system(&self, directory: &str) -> Result<bool, Error> {
        let found = self.storage.stat(directory)?.filter(|found| !found.symlink);
        let Some((found, (above, _))) = found.zip(directory.rsplit_once('/')) else { return Ok(false) };
        Ok(found.device() != device(self.storage, above)?)
    }

    /// Reads the links of some tags.
    fn tag_links(&self, all: &str, tags: &[(String, bool)]) -> Result<Vec<TagLink>, Error> {
        let keys: Vec<String> = tags.iter().map(|(tag, _)| format!("{tag}/current/{}", layout::LINK)).collect();
        let found = self.storage.stat_each(all, &keys)?;
        for (key, link) in keys.iter().zip(&found) {
            match link {
                Some(link) if link.kind == EntryKind::BrokenSymlink => {
                    return Err(Error::BrokenSymlink(format!("{all}/{key}")));
                }
                Some(link) if link.symlink => self.refuse_link_elsewhere(&format!("{all}/{key}"))?,
                _ => {}
            }
        }
        // No link of the registry is longer than that of a SHA-512 digest.
        let limit = layout::link_bytes(Algorithm::Sha512);
        let mut contents = Vec::with_capacity(keys.len());
        self.storage.read_each(all, &keys, limit, &mut |content| contents.push(content))?;
        Ok(contents.into_iter().zip(found).map(|(content, found)| TagLink { content, found }).collect())
    }

    /// Lists the names of the directories of all tags, sorted, except symbolic links.
    pub(super) fn all_tag_directories(&self) -> Result<Vec<String>, Error> {
        let all = directories(self.storage, &layout::tags(self.name()), layout::tag_name, || ())?;
        let mut names: Vec<String> = all.into_iter().filter(|(_, symlink)| !symlink).map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Lists the names of the directories of tags for whose links `is_meant` returns true, sorted, except symbolic
    /// links.
    pub(super) fn tag_directories(&self, is_meant: impl Fn(Option<&Metadata>) -> bool) -> Result<Vec<String>, Error> {
        let all = layout::tags(self.name());
        let mut names = directories(self.storage, &all, layout::tag_name, || ())?;
        names.sort_unstable();
        let keys: Vec<String> = names.iter().map(|(name, _)| format!("{name}/current/{}", layout::LINK)).collect();
        let links = self.storage.stat_each(&all, &keys)?;
        let named = names.into_iter().zip(links).filter(|((_, symlink), link)| !symlink && is_meant(link.as_ref()));
        Ok(named.map(|((name, _), _)| name).collect())
    }

    /// Finds the symbolic links in the directories of tags, and the tags that may have named more than one manifest. Fails if a
    /// symbolic link leads out of the repository: what it leads to may be deleted there.
    fn symlinks_in(&self, tags: &[(String, bool)], links: &[TagLink]) -> Result<(Symlinks, HashSet<String>), Error> {
        let all = layout::tags(self.name());
        let stat = |part: &str| {
            let keys: Vec<String> = tags.iter().map(|(tag, _)| [tag, part].concat()).collect();
            let batches = keys.par_chunks(BATCH).map(|batch| self.storage.stat_each(&all, batch));
            Ok::<_, Error>(batches.collect::<Result<Vec<_>, _>>()?.concat())
        };
        let is_symlink = |found: &Option<Metadata>| {
            found.as_ref().is_some_and(|found| found.symlink && found.kind != EntryKind::BrokenSymlink)
        };
        let (index, canonical) = (stat("/index")?, stat(&format!("/index/{}", Algorithm::Sha256.name()))?);
        let parts: [(&str, Vec<bool>); 5] = [
            ("", tags.iter().map(|(_, symlink)| *symlink).collect()),
            ("/current", stat("/current")?.iter().map(is_symlink).collect()),
            ("/current/link", links.iter().map(|link| is_symlink(&link.found)).collect()),
            ("/index", index.iter().map(is_symlink).collect()),
            ("/index/sha256", canonical.iter().map(is_symlink).collect()),
        ];
        let mut symlinks = Symlinks::default();
        for (part, are_symlinks) in parts {
            for ((tag, _), _) in tags.iter().zip(are_symlinks).filter(|(_, is_symlink)| *is_symlink) {
                let link = [&*all, "/", tag, part].concat();
                self.refuse_link_elsewhere(&link)?;
                symlinks.tags.insert(tag.clone());
                match self.tag_at(&link)? {
                    Some(target) => drop(symlinks.tags.insert(target)),
                    None => symlinks.elsewhere = true,
                }
            }
        }
        let histories = tags.iter().zip(index.iter().zip(&canonical));
        let have_history =
            histories.filter(|(_, (index, canonical))| !(has_one(index.as_ref()) && has_one(canonical.as_ref())));
        Ok((symlinks, have_history.map(|((tag, _), _)| tag.clone()).collect()))
    }

    /// Returns the tag that a symbolic link leads to or into.
    fn tag_at(&self, link: &str) -> Result<Option<String>, Error> {
        let all = real_directory(self.storage, &layout::tags(self.name()))? + "/";
        let target = real_directory(self.storage, link)?;
        Ok(target.strip_prefix(&all).and_then(|below| below.split('/').next()).map(str::to_owned))
    }

    /// Fails if a symbolic link leads out of the repository: what it leads to may be garbage there. A tag's link may
    /// be a symbolic link to another link of the same repository, which is kept while the tag names what it does.
    fn refuse_link_elsewhere(&self, link: &str) -> Result<(), Error> {
        let repository = real_directory(self.storage, &layout::repository(self.name()))?;
        let target = real_directory(self.storage, link)?;
        let is_here = target.strip_prefix(&repository).is_some_and(|below| below.starts_with('/'));
        if is_here { Ok(()) } else { Err(Error::SymlinkElsewhere(link.to_owned())) }
    }

    /// Lists every digest that a tag's index has a directory for, with or without a link in it.
    fn ever_named(&self, tag: &str) -> Result<Vec<Digest>, Error> {
        let index = layout::tag_index(self.name(), tag);
        let mut named = Vec::new();
        for (algorithm, _) in directories(self.storage, &index, Algorithm::from_name, || ())? {
            let entries = digests_in(self.storage, &index, algorithm)?;
            named.extend(entries.into_iter().map(|(digest, _)| digest));
        }
        Ok(named)
    }
}
