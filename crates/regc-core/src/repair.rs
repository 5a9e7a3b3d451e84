//! Making a store whole again, as far as that can lose nothing.
//!
//! A link is written only where its content is there and is that of its digest. What is removed leads to nothing. What is
//! replaced or removed goes to the trash, with a journal that is written before.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;

use crate::catalog;
use crate::content::hash;
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, Refusal};
use crate::layout;
use crate::lock::Lock;
use crate::manifest::{MAX_MANIFEST_BYTES, References};
use crate::storage::{Content, Moved, ReadStorage, Removal, Removing, TrashStorage, below};
use crate::trash::{self, Entry};
use crate::verify::{Defect, Kind, Verification};

/// What is done about something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Content is moved to the trash that is not that of its digest, so that the next push uploads it again.
    MoveAside {
        /// Where it is.
        path: String,
        /// The digest that it should have.
        digest: Digest,
    },
    /// Content is taken from the other store.
    Take {
        /// Where it comes to.
        path: String,
        /// Its digest.
        digest: Digest,
    },
    /// A link is written; what was there is moved to the trash.
    WriteLink {
        /// Where it is.
        path: String,
        /// What it names.
        digest: Digest,
    },
    /// A link to nothing is moved to the trash.
    RemoveLink {
        /// Where it is.
        path: String,
        /// What it names; none if it is garbled.
        digest: Option<Digest>,
    },
}

impl Action {
    /// Where something is done.
    pub fn path(&self) -> &str {
        match self {
            Action::MoveAside { path, .. }
            | Action::Take { path, .. }
            | Action::WriteLink { path, .. }
            | Action::RemoveLink { path, .. } => path,
        }
    }

    /// The digest that it is about.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Action::MoveAside { digest, .. } | Action::Take { digest, .. } | Action::WriteLink { digest, .. } => {
                Some(*digest)
            }
            Action::RemoveLink { digest, .. } => *digest,
        }
    }
}

/// What can be done about what a verification has found, in the order in which it is done: content before links.
///
/// `from` is another store, of which content is taken that is missing or damaged here. Whatever would be linked is hashed,
/// here or there.
///
/// Fails with [`Refusal::NoBlobs`] if most manifests are missing, unless that is allowed: their disk may not be mounted, and
/// every link to them would go.
pub fn plan(
    storage: &dyn ReadStorage,
    from: Option<&dyn ReadStorage>,
    verification: &Verification,
    allow_empty: bool,
) -> Result<Vec<Action>, Error> {
    let is_dangling = |defect: &&Defect| defect.kind == Kind::DanglingRevision;
    let dangling = verification.defects.iter().filter(is_dangling).count() as u64;
    let are_most_missing = dangling > SOME && dangling * 2 > verification.manifests;
    if !allow_empty && dangling > 0 && (verification.blobs.is_empty() || are_most_missing) {
        return Err(Error::Refused(Refusal::NoBlobs));
    }
    let mut repair = Repair { storage, from, actions: BTreeSet::new() };
    for defect in &verification.defects {
        // Nothing is written or removed through a symbolic link.
        if !defect.repository.as_ref().is_some_and(|repository| verification.is_shared(repository)) {
            repair.defect(defect)?;
        }
    }
    Ok(repair.actions.into_iter().collect())
}

/// How many manifests may be missing of a store however small it is.
const SOME: u64 = 10;

struct Repair<'a> {
    storage: &'a dyn ReadStorage,
    from: Option<&'a dyn ReadStorage>,
    actions: BTreeSet<Action>,
}

impl Repair<'_> {
    fn defect(&mut self, defect: &Defect) -> Result<(), Error> {
        let Defect { kind, path, repository, digest, .. } = defect;
        match (kind, repository, digest) {
            (Kind::GarbledRevisionLink | Kind::GarbledLayerLink, _, Some(digest)) => {
                self.link_if_whole(path, digest)?;
            }
            (Kind::MisdirectedLink, _, Some(digest)) => {
                self.link_if_whole(path, digest)?;
            }
            (Kind::GarbledTagIndexEntry, Some(repository), Some(digest)) => {
                if self.storage.stat(&layout::revision_link(repository, digest))?.is_some() {
                    self.write_link(path, digest);
                } else {
                    self.remove_link(path, Some(*digest));
                }
            }
            (Kind::DanglingRevision, Some(repository), Some(digest)) => {
                let is_taken = self.take(digest)?;
                // Whoever has a backup may have another one: what was not found in this one stays.
                if !is_taken && self.from.is_none() {
                    self.remove_image(repository, digest)?;
                }
            }
            (Kind::DanglingTag, Some(repository), Some(digest)) => {
                let link = layout::revision_link(repository, digest);
                if !self.link_manifest(&link, digest)?
                    && self.from.is_none()
                    && let Some(tag) = layout::subject(path).tag
                {
                    self.remove_tag(repository, &tag, Some(*digest))?;
                }
            }
            (Kind::DanglingTagIndexEntry, _, digest) => self.remove_link(path, *digest),
            (Kind::MissingChild, _, Some(digest)) => {
                self.link_manifest(path, digest)?;
            }
            (Kind::MissingBlob, Some(repository), Some(digest)) => {
                let link = layout::layer_link(repository, digest);
                if self.take(digest)? && self.storage.stat(&link)?.is_none() {
                    self.write_link(&link, digest);
                }
            }
            (Kind::MissingLayerLink, _, Some(digest)) => {
                self.link_if_whole(path, digest)?;
            }
            (Kind::WrongSize | Kind::DamagedManifest | Kind::DamagedBlob, _, Some(digest)) => {
                let is_damaged = !is_whole(self.storage, digest)?;
                if is_damaged {
                    self.actions.insert(Action::MoveAside { path: path.clone(), digest: *digest });
                    self.take(digest)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn write_link(&mut self, path: &str, digest: &Digest) {
        self.actions.insert(Action::WriteLink { path: path.to_owned(), digest: *digest });
    }

    fn remove_link(&mut self, path: &str, digest: Option<Digest>) {
        self.actions.insert(Action::RemoveLink { path: path.to_owned(), digest });
    }

    /// Removes the link of a manifest that cannot be had, and the tags that name it.
    fn remove_image(&mut self, repository: &str, digest: &Digest) -> Result<(), Error> {
        self.remove_link(&layout::revision_link(repository, digest), Some(*digest));
        for tag in catalog::tags(self.storage, repository)? {
            if tag.digest == Some(*digest) {
                self.remove_tag(repository, &tag.name, Some(*digest))?;
            }
        }
        Ok(())
    }

    /// Removes a tag with all that it remembers: the registry lists whatever has a directory.
    fn remove_tag(&mut self, repository: &str, tag: &str, digest: Option<Digest>) -> Result<(), Error> {
        self.remove_link(&layout::tag_link(repository, tag), digest);
        let index = layout::tag_index(repository, tag);
        for file in below(self.storage, &index)?.files {
            let path = format!("{index}/{file}");
            if let Some(digest) = layout::digest_of_link(&path) {
                self.remove_link(&path, Some(digest));
            }
        }
        Ok(())
    }

    /// Links content that is there, and is that of its digest. Answers whether it is.
    fn link_if_whole(&mut self, path: &str, digest: &Digest) -> Result<bool, Error> {
        let is_whole = is_whole(self.storage, digest)?;
        if is_whole {
            self.write_link(path, digest);
        }
        Ok(is_whole)
    }

    /// Links a manifest that is here or can be had. Answers whether it is.
    fn link_manifest(&mut self, path: &str, digest: &Digest) -> Result<bool, Error> {
        let is_manifest = |storage: &dyn ReadStorage| -> Result<bool, Error> {
            let content = storage.read(&layout::blob_data(digest), MAX_MANIFEST_BYTES)?;
            Ok(matches!(content, Some(Content::Whole(content)) if References::of_blob(digest, &content).is_ok()))
        };
        if is_manifest(self.storage)? || self.take(digest)? {
            self.write_link(path, digest);
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes content from the other store. Answers whether it is there and whole.
    fn take(&mut self, digest: &Digest) -> Result<bool, Error> {
        let Some(from) = self.from else { return Ok(false) };
        let can_be_had = is_whole(from, digest)?;
        if can_be_had {
            self.actions.insert(Action::Take { path: layout::blob_data(digest), digest: *digest });
        }
        Ok(can_be_had)
    }
}

/// Whether a blob is there, and its content is that of its digest.
fn is_whole(storage: &dyn ReadStorage, digest: &Digest) -> Result<bool, Error> {
    Ok(hash(storage, &layout::blob_data(digest), digest.algorithm())? == Some(*digest))
}

/// What was done.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is repaired.
    pub done: Vec<Action>,
    /// What changed meanwhile, and was left alone.
    pub spared: Vec<Action>,
    /// What could not be done, and why.
    pub failures: Vec<(Action, Error)>,
}

/// Where content is written that is taken from another store, until it is whole.
const INCOMING: &str = ".regc/incoming";

/// Carries out a plan.
///
/// The lock must have been taken before the verification. Fails before anything is changed if the trash's journal cannot be
/// written.
pub fn apply(
    storage: &dyn TrashStorage,
    lock: &Lock,
    from: Option<&dyn ReadStorage>,
    actions: &[Action],
    header: &trash::Header,
) -> Result<Outcome, Error> {
    // Whoever may write to the storage root must not lead regc, which may be root, to somewhere else.
    for own in [layout::OWN, INCOMING] {
        if storage.stat(own)?.is_some_and(|found| found.symlink) {
            return Err(Error::OwnSymlink(own.to_owned()));
        }
    }
    let mut moved = Vec::new();
    for action in actions {
        if !matches!(action, Action::Take { .. }) && storage.stat(action.path())?.is_some() {
            moved.extend(entry(action));
        }
    }
    if !moved.is_empty() {
        trash::write_entries(storage, header, moved.into_iter())?;
    }
    let into = trash::directory(&header.run);
    let how = Removing { unless_modified_since: Some(lock.since()), into: Some(&into) };
    let mut outcome = Outcome::default();
    for action in actions {
        match carry_out(storage, from, action, &how) {
            Ok(true) => outcome.done.push(action.clone()),
            Ok(false) => outcome.spared.push(action.clone()),
            Err(error) => outcome.failures.push((action.clone(), error)),
        }
    }
    for action in actions {
        if let Action::RemoveLink { path, .. } = action {
            tidy(storage, path)?;
        }
    }
    storage.remove_empty_directories(&[INCOMING.to_owned()], None).into_iter().collect::<Result<(), Error>>()?;
    Ok(outcome)
}

/// What the trash's journal says of what an action moves.
fn entry(action: &Action) -> Option<Entry> {
    let path = action.path().to_owned();
    let layout::Subject { repository, tag, .. } = layout::subject(&path);
    let kind = match (&repository, &tag) {
        (None, _) => trash::Kind::Blob,
        (Some(_), None) if path.contains("/_layers/") => trash::Kind::LayerLink,
        (Some(_), None) => trash::Kind::Revision,
        (Some(_), Some(_)) if path.contains("/index/") => trash::Kind::TagIndexEntry,
        (Some(_), Some(_)) => trash::Kind::Tag,
    };
    Some(Entry { kind, path, digest: action.digest(), repository, bytes: None })
}

/// Answers whether it is done; not if what is there changed meanwhile.
fn carry_out(
    storage: &dyn TrashStorage,
    from: Option<&dyn ReadStorage>,
    action: &Action,
    how: &Removing<'_>,
) -> Result<bool, Error> {
    match action {
        Action::MoveAside { path, .. } | Action::RemoveLink { path, .. } => move_aside(storage, path, how),
        Action::WriteLink { path, digest } => {
            if !move_aside(storage, path, how)? {
                return Ok(false);
            }
            storage.create(path, &mut |to| write!(to, "{digest}"))?;
            Ok(true)
        }
        Action::Take { path, digest } => {
            let from = from.ok_or_else(|| Error::WithoutContent(path.clone()))?;
            take(storage, from, path, digest)
        }
    }
}

fn move_aside(storage: &dyn TrashStorage, path: &str, how: &Removing<'_>) -> Result<bool, Error> {
    for removal in storage.remove(&[path.to_owned()], how) {
        match removal {
            Removal::Done | Removal::LeftDirectory(_) => {}
            Removal::Spared => return Ok(false),
            Removal::Failed(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Copies content from another store, hashing it on the way. It is put to its place when it is whole.
fn take(storage: &dyn TrashStorage, from: &dyn ReadStorage, path: &str, digest: &Digest) -> Result<bool, Error> {
    let incoming = format!("{INCOMING}/{}-{}", digest.algorithm().name(), digest.hex());
    storage.remove_all(&incoming)?;
    let mut failed = None;
    storage.create(&incoming, &mut |to| {
        let mut written = Ok(());
        let read = from.read_in_parts(&layout::blob_data(digest), &mut |part| {
            written = to.write_all(part);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        failed = read.err();
        written
    })?;
    let is_whole = match failed {
        Some(error) => Err(error),
        None => Ok(hash(storage, &incoming, digest.algorithm())? == Some(*digest)),
    };
    match is_whole {
        Ok(true) => Ok(storage.move_object(&incoming, path, layout::OWN)? == Moved::Done),
        Ok(false) => {
            storage.remove_all(&incoming)?;
            Err(Error::storage("take", path, io::ErrorKind::InvalidData.into()))
        }
        Err(error) => {
            storage.remove_all(&incoming)?;
            Err(error)
        }
    }
}

/// Removes the directories that a removed tag or index entry leaves empty.
fn tidy(storage: &dyn TrashStorage, path: &str) -> Result<(), Error> {
    let layout::Subject { repository: Some(repository), tag: Some(tag), .. } = layout::subject(path) else {
        return Ok(());
    };
    if storage.stat(&layout::tag_link(&repository, &tag))?.is_some() {
        return Ok(());
    }
    let index = layout::tag_index(&repository, &tag);
    let mut directories: Vec<String> = Algorithm::ALL.map(|algorithm| format!("{index}/{}", algorithm.name())).into();
    directories.extend([index, layout::tag(&repository, &tag)]);
    storage.remove_empty_directories(&directories, None).into_iter().collect()
}
