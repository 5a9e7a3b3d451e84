//! The manifests of a store, each read and parsed once however many repositories link it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rayon::prelude::*;

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::inventory::{DigestId, Digests, Inventory};
use crate::layout;
use crate::manifest::{Damage, Kind, MAX_MANIFEST_BYTES, References, Role};
use crate::monitor::Monitor;
use crate::storage::{Content, ReadStorage};

/// What a linked manifest turned out to be.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// It is understood.
    Parsed {
        /// Its kind.
        kind: Kind,
        /// What it refers to and why, in its own order.
        references: Box<[(DigestId, Role)]>,
        /// The manifest that it is attached to.
        subject: Option<DigestId>,
    },
    /// It has no content.
    Missing,
    /// It is not understood.
    Damaged(Box<Damaged>),
}

/// A manifest that is not understood.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// Why.
    pub damage: Damage,
    /// Every digest that its text seems to mention.
    pub mentioned: Box<[DigestId]>,
}

/// The manifests that were read, by the number of their digest.
#[derive(Debug)]
pub struct Manifests {
    /// Those that a repository links as a revision, in the order of their numbers.
    linked: Vec<DigestId>,
    read: Vec<Manifest>,
    /// Those that are only linked as layers, as registry 2.1 did. Few, and known only when an index refers to them.
    others: Mutex<HashMap<DigestId, Arc<Manifest>>>,
}

impl Manifests {
    /// Reads every manifest that a repository of `inventory` links as a revision.
    pub(super) fn read_linked(
        storage: &dyn ReadStorage,
        inventory: &Inventory,
        monitor: &dyn Monitor,
        linked: Vec<DigestId>,
    ) -> Result<Self, Error> {
        let read = linked
            .par_iter()
            .map(|&id| {
                let manifest = read(storage, &inventory.digests, &inventory.digests.digest(id));
                monitor.advance(1);
                manifest
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { linked, read, others: Mutex::default() })
    }

    /// Calls `look` with a manifest that was read; `None` where `id` is no manifest that was.
    pub fn with<T>(&self, id: DigestId, look: impl FnOnce(&Manifest) -> T) -> Option<T> {
        if let Ok(index) = self.linked.binary_search(&id) {
            return Some(look(&self.read[index]));
        }
        let other = self.others.lock().get(&id).cloned();
        other.map(|manifest| look(&manifest))
    }

    /// How many manifests were read.
    pub fn len(&self) -> usize {
        self.linked.len() + self.others.lock().len()
    }

    /// Whether none was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads a manifest that no repository links as a revision, unless that is done.
    pub(super) fn read_other(&self, storage: &dyn ReadStorage, digests: &Digests, id: DigestId) -> Result<(), Error> {
        if self.with(id, |_| ()).is_none() {
            let manifest = read(storage, digests, &digests.digest(id))?;
            self.others.lock().insert(id, Arc::new(manifest));
        }
        Ok(())
    }
}

fn read(storage: &dyn ReadStorage, digests: &Digests, digest: &Digest) -> Result<Manifest, Error> {
    let damaged = |damage, mentioned| Manifest::Damaged(Box::new(Damaged { damage, mentioned }));
    let content = match storage.read(&layout::blob_data(digest), MAX_MANIFEST_BYTES)? {
        None => return Ok(Manifest::Missing),
        Some(Content::TooLarge) => return Ok(damaged(Damage::TooLarge, Box::default())),
        Some(Content::Whole(content)) => content,
    };
    Ok(match References::of_blob(digest, &content) {
        Ok(parsed) => Manifest::Parsed {
            kind: parsed.kind,
            references: parsed.references.iter().map(|r| (digests.id(&r.digest), r.role)).collect(),
            subject: parsed.subject.map(|subject| digests.id(&subject)),
        },
        Err(damage) => {
            damaged(damage, Digest::mentioned_in(&content).iter().map(|digest| digests.id(digest)).collect())
        }
    })
}

/// The digest that the registry really serves for `digest` in a repository.
///
/// Whoever uploads a layer under another algorithm than SHA-256 gets it stored under its SHA-256 digest, and the link
/// at the digest he named holds that one (`blobWriter.Commit` and `linkBlob` in distribution). A SHA-256 digest is
/// always its own target, so no link is read for it.
pub(super) fn target(storage: &dyn ReadStorage, repository: &str, digest: &Digest) -> Result<Option<Digest>, Error> {
    if digest.algorithm() == Algorithm::Sha256 {
        return Ok(None);
    }
    for link in [layout::layer_link(repository, digest), layout::revision_link(repository, digest)] {
        if let Some(Content::Whole(text)) = storage.read(&link, layout::link_bytes(Algorithm::Sha512))? {
            let target = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
            if target.is_some_and(|target| target != *digest) {
                return Ok(target);
            }
        }
    }
    Ok(None)
}
