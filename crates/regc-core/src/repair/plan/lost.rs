//! Lost manifests: which links to them are removed, and what else those links keep.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::{Found, Planner};
use crate::digest::Digest;
use crate::error::Error;
use crate::registry::layout;
use crate::scan::tag_links::{TagLink, tag_links};
use crate::storage::{below, directories};

/// What refers to the manifests of a repository, or is attached to them.
#[derive(Default)]
pub(super) struct Leads {
    /// The tags, by the digest that they name.
    tags: HashMap<Digest, Vec<String>>,
    subjects: BTreeSet<Digest>,
    /// The entries in tags' indexes, by the digest.
    entries: HashMap<Digest, Vec<String>>,
    /// Whether a tag, or a part of one, is a symbolic link, which would dangle if another one were removed.
    has_symlinks: bool,
}

impl Leads {
    /// Whether a tag's index has an entry for a digest.
    pub(super) fn remember(&self, digest: &Digest) -> bool {
        self.entries.contains_key(digest)
    }
}

impl Planner<'_> {
    /// Whether content is nowhere, so that links to it may be removed. An operator with a backup may have another
    /// one, and what is in the trash, or cannot be read now, may come back.
    pub(super) fn is_lost(&mut self, digest: &Digest) -> Result<bool, Error> {
        if self.trashed.contains(digest) {
            self.in_trash.insert(*digest);
            return Ok(false);
        }
        // Content that was moved aside is expected to be pushed again.
        let is_expected = self.options.from.is_some() || self.set_aside.contains(digest);
        Ok(!is_expected && self.look(digest)? == Found::Absent)
    }

    /// Removes the links to what is lost.
    pub(super) fn drop_lost(&mut self) -> Result<(), Error> {
        for (repository, digest) in &self.lost - &self.attached_to {
            self.causes.begin_with_lost(&repository, &digest);
            let planned = self.actions.len();
            self.attempt(|planner| planner.remove_image(&repository, &digest))?;
            if self.actions.len() > planned {
                self.lost.remove(&(repository, digest));
            }
        }
        for (repository, tag, digest) in std::mem::take(&mut self.lost_tags) {
            self.causes.begin_with_lost(&repository, &digest);
            let planned = self.actions.len();
            self.attempt(|planner| planner.remove_tag(&repository, &tag, digest))?;
            if self.actions.len() > planned {
                self.lost.remove(&(repository, digest));
            }
        }
        Ok(())
    }

    /// Removes the link of a lost manifest, the tags that name it, and its entries in tags' indexes.
    fn remove_image(&mut self, repository: &str, digest: &Digest) -> Result<(), Error> {
        let leads = self.leads(repository)?;
        let link = layout::revision_link(repository, digest);
        // Referrers, which have their content, would be garbage without it. What is linked by another algorithm's
        // digest is not linked by this one.
        let is_needed = leads.has_symlinks || leads.subjects.contains(digest);
        if is_needed || self.storage.stat(&link)?.is_none() {
            return Ok(());
        }
        self.remove_link(&link, *digest)?;
        for entry in leads.entries.get(digest).into_iter().flatten() {
            self.remove_link(entry, *digest)?;
        }
        for tag in leads.tags.get(digest).into_iter().flatten() {
            self.remove_tag(repository, tag, *digest)?;
        }
        Ok(())
    }

    /// Removes a tag with all entries of its index: the registry lists every tag that has a directory.
    fn remove_tag(&mut self, repository: &str, tag: &str, digest: Digest) -> Result<(), Error> {
        if self.leads(repository)?.has_symlinks {
            return Ok(());
        }
        self.remove_link(&layout::tag_link(repository, tag), digest)?;
        let index = layout::tag_index(repository, tag);
        for file in below(self.storage, &index)?.files {
            let path = format!("{index}/{file}");
            if let Some(digest) = layout::digest_of_link(&path) {
                self.remove_link(&path, digest)?;
            }
        }
        Ok(())
    }

    /// Returns what refers to the manifests of a repository.
    pub(super) fn leads(&mut self, repository: &str) -> Result<Rc<Leads>, Error> {
        if let Some(known) = self.leads.get(repository) {
            return Ok(known.clone());
        }
        let all = layout::tags(repository);
        let mut leads = Leads { subjects: self.verification.subjects(repository), ..Leads::default() };
        for TagLink { name, digest, .. } in tag_links(self.storage, repository)? {
            digest.into_iter().for_each(|digest| leads.tags.entry(digest).or_default().push(name.clone()));
        }
        let is_link = |key: &str| Ok::<_, Error>(self.storage.stat(key)?.is_some_and(|found| found.symlink));
        for (tag, symlink) in directories(self.storage, &all, layout::tag_name, || ())? {
            let (current, index) = (format!("{all}/{tag}/current"), layout::tag_index(repository, &tag));
            let link = layout::tag_link(repository, &tag);
            leads.has_symlinks |= symlink || is_link(&current)? || is_link(&link)? || is_link(&index)?;
            for file in below(self.storage, &index)?.files {
                let path = format!("{index}/{file}");
                if let Some(digest) = layout::digest_of_link(&path) {
                    leads.entries.entry(digest).or_default().push(path);
                }
            }
        }
        let leads = Rc::new(leads);
        self.leads.insert(repository.to_owned(), leads.clone());
        Ok(leads)
    }
}
