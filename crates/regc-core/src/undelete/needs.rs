//! What a manifest needs in a repository, and whether that is there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::history::History;
use crate::blocked::{Missing, MissingReason};
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::layout;
use crate::registry::manifest::{Kind, References, Role};
use crate::scan::links::Link;
use crate::storage::hash::hash;
use crate::storage::manifests::with_manifest;
use crate::storage::{Content, EntryKind, ReadStorage};
use crate::sync::Mutex;

/// What one manifest needs, apart from what is in other manifests.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Its length in bytes.
    bytes: u64,
    /// The content to which the repository lacks a layer link.
    pub(super) links: Vec<Digest>,
    /// The length of everything that it refers to and that is there.
    parts: Vec<(Digest, u64)>,
    /// The manifests in it that the repository has or had.
    pub(super) children: Vec<Digest>,
    /// The manifests in it that the repository never had, as in an index of which only some platforms were pushed.
    pub(super) absent: Vec<Digest>,
    /// What is missing.
    pub(super) missing: Vec<Missing>,
}

/// Content that was hashed, and whether it matches its digest.
#[derive(Default)]
pub(super) struct Hashes(Mutex<HashMap<Digest, bool>>);

impl Hashes {
    fn matches(&self, storage: &dyn ReadStorage, digest: &Digest, monitor: &dyn Monitor) -> Result<bool, Error> {
        if let Some(known) = self.0.lock().get(digest) {
            return Ok(*known);
        }
        let actual = hash(storage, &layout::blob_data(digest), digest.algorithm(), monitor)?;
        let matches = actual == Some(*digest);
        self.0.lock().insert(*digest, matches);
        Ok(matches)
    }
}

/// Determines what manifests of a repository need, and caches the results.
pub(super) struct Assessor<'a> {
    pub(super) history: History<'a>,
    /// Set if content is hashed, and not only checked for existence.
    hashes: Option<&'a Hashes>,
    monitor: &'a dyn Monitor,
    needs: HashMap<Digest, Rc<Needs>>,
    /// What keeps a manifest from being whole, with all that is in it; no more than [`NAMED`] for each.
    verdicts: HashMap<Digest, Rc<[Missing]>>,
    parts: HashMap<Digest, Result<u64, MissingReason>>,
}

/// How many missing things are named for one manifest.
const NAMED: usize = 20;

/// How many manifests of an index are added up.
const COUNTED: usize = 256;

impl<'a> Assessor<'a> {
    pub(super) fn new(history: History<'a>, hashes: Option<&'a Hashes>, monitor: &'a dyn Monitor) -> Self {
        let (needs, verdicts, parts) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { history, hashes, monitor, needs, verdicts, parts }
    }

    /// Returns some of what is missing to pull a manifest; nothing if it can be pulled. However long a chain of
    /// indexes is, each is checked once.
    pub(super) fn verdict(&mut self, digest: &Digest) -> Result<Rc<[Missing]>, Error> {
        let mut pending = vec![*digest];
        let mut entered = HashSet::new();
        while let Some(&top) = pending.last() {
            if self.verdicts.contains_key(&top) {
                pending.pop();
                continue;
            }
            let needs = self.needs(&top)?;
            if entered.insert(top) {
                let open = needs.children.iter().filter(|child| !self.verdicts.contains_key(child));
                pending.extend(open.copied());
                continue;
            }
            let of_children = needs.children.iter().filter_map(|child| self.verdicts.get(child));
            let mut missing: Vec<Missing> = Vec::new();
            for found in needs.missing.iter().chain(of_children.flat_map(|found| &**found)) {
                if missing.len() < NAMED && !missing.contains(found) {
                    missing.push(found.clone());
                }
            }
            self.verdicts.insert(top, missing.into());
            pending.pop();
        }
        Ok(self.verdicts.get(digest).cloned().unwrap_or_default())
    }

    /// Returns a manifest and everything in it, children before their parents, except what is in `done`.
    pub(super) fn in_order(
        &mut self,
        digest: &Digest,
        done: &HashSet<Digest>,
    ) -> Result<Vec<(Digest, Rc<Needs>)>, Error> {
        let mut order = Vec::new();
        let (mut entered, mut left) = (HashSet::new(), HashSet::new());
        let mut pending = vec![*digest];
        while let Some(&top) = pending.last() {
            if done.contains(&top) || left.contains(&top) {
                pending.pop();
                continue;
            }
            let needs = self.needs(&top)?;
            if entered.insert(top) {
                pending.extend(needs.children.iter().filter(|child| !entered.contains(child)).copied());
                continue;
            }
            order.push((top, needs));
            left.insert(top);
            pending.pop();
        }
        Ok(order)
    }

    /// Returns how many bytes a client that has nothing yet pulls, as far as they are there.
    pub(super) fn bytes(&mut self, digest: &Digest) -> Result<u64, Error> {
        let mut counted = BTreeMap::new();
        let mut seen = HashSet::from([*digest]);
        let mut pending = vec![*digest];
        while let Some(digest) = pending.pop() {
            let needs = self.needs(&digest)?;
            counted.insert(digest, needs.bytes);
            counted.extend(needs.parts.iter().copied());
            let below = needs.children.iter().filter(|child| seen.len() < COUNTED && seen.insert(**child));
            pending.extend(below);
        }
        Ok(counted.values().sum())
    }

    pub(super) fn needs(&mut self, digest: &Digest) -> Result<Rc<Needs>, Error> {
        if let Some(known) = self.needs.get(digest) {
            return Ok(known.clone());
        }
        self.monitor.check()?;
        let needs = Rc::new(self.look(digest)?);
        self.needs.insert(*digest, needs.clone());
        Ok(needs)
    }

    fn look(&mut self, digest: &Digest) -> Result<Needs, Error> {
        let mut needs = Needs::default();
        let stored = match self.history.manifest_link(digest)? {
            Link::To(stored) => stored,
            Link::Absent => *digest,
            Link::Garbled => {
                needs.missing.push(Missing { digest: *digest, reason: MissingReason::GarbledLink });
                return Ok(needs);
            }
        };
        let parse = |content| match content {
            None => Err(MissingReason::NoContent),
            Some(Content::TooLarge) => Err(MissingReason::NotUnderstood),
            Some(Content::Whole(content)) if Digest::of(stored.algorithm(), &content) != stored => {
                Err(MissingReason::Damaged)
            }
            Some(Content::Whole(content)) => {
                needs.bytes = content.len() as u64;
                References::parse(&content).map_err(|_| MissingReason::NotUnderstood)
            }
        };
        match with_manifest(self.history.storage, &layout::blob_data(&stored), parse)? {
            Ok(manifest) => self.references(&manifest, &mut needs)?,
            Err(reason) => needs.missing.push(Missing { digest: *digest, reason }),
        }
        Ok(needs)
    }

    fn references(&mut self, manifest: &References, needs: &mut Needs) -> Result<(), Error> {
        let mut seen = HashSet::new();
        for reference in &manifest.references {
            let digest = reference.digest;
            if !seen.insert(digest) {
                continue;
            }
            match reference.role {
                Role::ForeignLayer => {}
                Role::Child | Role::OddChild => self.child(digest, needs)?,
                Role::OpaqueChild if !self.is_had(&digest)? => needs.absent.push(digest),
                Role::Config | Role::Layer | Role::OpaqueChild => self.layer(digest, needs)?,
            }
        }
        if let (Kind::Index, true, Some(&digest)) = (manifest.kind, needs.children.is_empty(), needs.absent.first()) {
            needs.missing.push(Missing { digest, reason: MissingReason::NeverInRepository });
        }
        Ok(())
    }

    /// Adds a manifest in an index. What is linked only as a layer is a layer, as in build caches.
    fn child(&mut self, digest: Digest, needs: &mut Needs) -> Result<(), Error> {
        if self.history.was_manifest(&digest)? {
            needs.children.push(digest);
        } else if self.is_had(&digest)? {
            self.layer(digest, needs)?;
        } else {
            needs.absent.push(digest);
        }
        Ok(())
    }

    fn is_had(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.history.manifest_link(digest)? != Link::Absent || self.history.had(digest)?)
    }

    fn layer(&mut self, digest: Digest, needs: &mut Needs) -> Result<(), Error> {
        let reason = match self.history.layer_link(&digest)? {
            Link::Garbled => Some(MissingReason::GarbledLink),
            Link::To(stored) => self.part(&stored)?.map_or_else(Some, |bytes| {
                needs.parts.push((digest, bytes));
                None
            }),
            Link::Absent => match self.part(&digest)? {
                Ok(_) if !self.history.had(&digest)? => Some(MissingReason::NeverInRepository),
                Ok(bytes) => {
                    needs.parts.push((digest, bytes));
                    needs.links.push(digest);
                    None
                }
                Err(reason) => Some(reason),
            },
        };
        needs.missing.extend(reason.map(|reason| Missing { digest, reason }));
        Ok(())
    }

    /// Returns the length of a layer's content, or what is wrong with it.
    fn part(&mut self, digest: &Digest) -> Result<Result<u64, MissingReason>, Error> {
        if let Some(known) = self.parts.get(digest) {
            return Ok(*known);
        }
        let storage = self.history.storage;
        let part = match storage.stat(&layout::blob_data(digest))? {
            Some(data) if data.kind == EntryKind::File => match self.hashes {
                Some(hashes) if !hashes.matches(storage, digest, self.monitor)? => Err(MissingReason::Damaged),
                _ => Ok(data.bytes),
            },
            _ => Err(MissingReason::NoContent),
        };
        self.parts.insert(*digest, part);
        Ok(part)
    }
}
