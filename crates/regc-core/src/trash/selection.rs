//! What is to be restored from the trash, and what belongs to it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::restore::Trash;
use super::{Entry, Kind};
use crate::digest::Digest;
use crate::error::Error;
use crate::registry::attached::{attached_to, is_long};
use crate::registry::layout::{self, Location};
use crate::registry::manifest::{References, Role};
use crate::storage::Content;
use crate::storage::manifests::with_manifest;
use crate::walk::walk;

/// What is to be restored.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Content, with all links to it. For a manifest, also everything that it refers to and everything that is attached
    /// to it: referrers, and the tags that cosign creates.
    pub digests: Vec<Digest>,
    /// Everything of these repositories.
    pub repositories: Vec<String>,
}

/// What is attached to manifests, by repository and manifest.
type Attached = BTreeMap<(String, Digest), Vec<Digest>>;

impl Trash<'_> {
    /// Returns those of `entries` that are selected, with what they need.
    pub(super) fn select(&self, entries: Vec<Entry>, selection: &Selection) -> Result<Vec<Entry>, Error> {
        let (mut repositories, mut digests) = (BTreeSet::new(), BTreeSet::new());
        for entry in &entries {
            repositories.extend(&entry.repository);
            digests.extend(entry.digest);
        }
        for repository in &selection.repositories {
            if !repositories.contains(repository) {
                return Err(Error::NotInTrash { run: self.run.to_owned(), what: repository.clone() });
            }
        }
        for digest in &selection.digests {
            if !digests.contains(digest) {
                return Err(Error::NotInTrash { run: self.run.to_owned(), what: digest.to_string() });
            }
        }
        // A digest, and the repositories whose links to it come back; none says all.
        let mut roots: Vec<(Digest, Option<String>)> = selection.digests.iter().map(|digest| (*digest, None)).collect();
        let selected: BTreeSet<&String> = selection.repositories.iter().collect();
        for entry in &entries {
            if let Some(repository) = entry.repository.as_ref().filter(|name| selected.contains(name)) {
                roots.extend(entry.digest.map(|digest| (digest, Some(repository.clone()))));
            }
        }
        let mut revisions: BTreeMap<Digest, BTreeSet<&String>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.kind == Kind::Revision) {
            let digest = entry.digest.iter();
            digest.for_each(|digest| revisions.entry(*digest).or_default().extend(&entry.repository));
        }
        let attached = self.attached(&entries)?;
        let mut wanted = HashSet::new();
        walk(&mut wanted, roots, |(digest, repository), pending| {
            let all = revisions.get(&digest);
            let here: Vec<&String> = match &repository {
                None => all.into_iter().flatten().copied().collect(),
                Some(name) => all.and_then(|all| all.get(name)).into_iter().copied().collect(),
            };
            if here.is_empty() {
                return Ok(());
            }
            let references = self.manifest(&digest)?.map_or_else(Vec::new, |manifest| manifest.references);
            for name in here {
                let stored = references.iter().filter(|reference| reference.role != Role::ForeignLayer);
                let attached = attached.get(&(name.clone(), digest)).into_iter().flatten();
                let belonging = stored.map(|reference| &reference.digest).chain(attached);
                pending.extend(belonging.map(|digest| (*digest, Some(name.clone()))));
            }
            Ok::<(), Error>(())
        })?;
        let digests: BTreeSet<Digest> = wanted.iter().map(|(digest, _)| *digest).collect();
        let is_wanted = |entry: &Entry| match (&entry.repository, entry.digest) {
            (None, digest) => digest.is_some_and(|digest| digests.contains(&digest)),
            (Some(repository), None) => selected.contains(repository),
            (Some(_), Some(digest)) => {
                wanted.contains(&(digest, None)) || wanted.contains(&(digest, entry.repository.clone()))
            }
        };
        Ok(entries.into_iter().filter(is_wanted).collect())
    }

    /// Returns the referrers and tags that a run moved together with what they are attached to.
    fn attached(&self, entries: &[Entry]) -> Result<Attached, Error> {
        let mut attached = Attached::new();
        let long: Vec<Digest> = entries.iter().filter_map(|entry| entry.digest).filter(is_long).collect();
        for entry in entries {
            let (Some(repository), Some(digest)) = (&entry.repository, entry.digest) else { continue };
            let to = match entry.kind {
                Kind::Revision => self.manifest(&digest)?.and_then(|manifest| manifest.subject),
                Kind::Tag => match Location::parse(&entry.path) {
                    Some(Location::TagLink { tag, .. }) => attached_to(tag, &long),
                    _ => None,
                },
                _ => None,
            };
            if let Some(to) = to {
                attached.entry((repository.clone(), to)).or_default().push(digest);
            }
        }
        Ok(attached)
    }

    /// Reads a manifest from the trash or from the registry.
    fn manifest(&self, digest: &Digest) -> Result<Option<References>, Error> {
        let path = layout::blob_data(digest);
        for key in [self.key(&path), path] {
            let parse = |content| match content {
                Some(Content::Whole(content)) => References::of_blob(digest, &content).ok(),
                _ => None,
            };
            if let Some(parsed) = with_manifest(self.storage, &key, parse)? {
                return Ok(Some(parsed));
            }
        }
        Ok(None)
    }
}
