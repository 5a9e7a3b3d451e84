//! What can be repaired. Nothing is changed.

mod cause;
mod lost;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

pub use self::cause::Cause;
use self::cause::Causes;
use self::lost::Leads;
use super::{Action, Options};
use crate::collect::guards::refuse_missing_parts;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::finding::Kind;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout;
use crate::registry::manifest::{Reference, References, Role};
use crate::scan::links::Link;
use crate::scan::{self, links};
use crate::storage::hash::hash_while;
use crate::storage::manifests::with_manifest;
use crate::storage::{Content, ReadStorage, symlink_between};
use crate::trash;
use crate::verify::content::{Clock, Pace};
use crate::verify::{Defect, Verification};

/// How much white space in a tag's link is read, in bytes.
const MAX_WHITE_SPACE_BYTES: u64 = 64;

/// A plan of repairs.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) actions: Vec<Action>,
    causes: HashMap<Action, Arc<Cause>>,
    failures: Vec<Error>,
    in_trash: BTreeSet<Digest>,
    lost: BTreeSet<(String, Digest)>,
    /// The state of a session in which it was made.
    pub(crate) made_in: Option<u64>,
}

impl Plan {
    /// Returns the actions, in the order in which they are carried out: first existing content is linked, then missing
    /// content is added, then damaged content is replaced, which protects its repository until then. Content comes
    /// before the links to it. Removals come last, a link before what it refers to.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Returns why an action of the plan is planned.
    pub fn cause(&self, action: &Action) -> Option<&Cause> {
        self.causes.get(action).map(|cause| &**cause)
    }

    /// Returns why reading failed, here or in the other store. What cannot be read is not repaired.
    pub fn failures(&self) -> &[Error] {
        &self.failures
    }

    /// Returns missing content that a collection moved to the trash. The next collection puts it back if it is in use,
    /// so no link to it is removed.
    pub fn in_trash(&self) -> &BTreeSet<Digest> {
        &self.in_trash
    }

    /// Returns the manifests that repositories link or tags name, but that no longer exist anywhere, and whose links
    /// are kept: the options do not drop them, or something else needs the links.
    pub fn lost(&self) -> &BTreeSet<(String, Digest)> {
        &self.lost
    }
}

/// Decides how to repair what a verification found, and what that uncovers: a manifest that is linked again needs its
/// layers, too. Everything that would be linked is hashed, here or in the other store.
///
/// Refuses a store that seems to be incomplete, as a collection does, unless the options allow it. Fails if the monitor
/// stops it.
pub fn plan(
    storage: &dyn ReadStorage,
    verification: &Verification,
    options: &Options<'_>,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Plan, Error> {
    let allowed = scan::Options {
        allow_empty: options.allow_empty,
        allow_missing: options.allow_missing,
        ..scan::Options::default()
    };
    refuse_missing_parts(verification.scan(), &allowed)?;
    monitor.phase(Phase::PlanRepair, None);
    let (mut trashed, mut set_aside, mut trashed_links) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for trash::Subject { subject: layout::Subject { repository, digest, .. }, of_repair } in trash::subjects(storage)? {
        match (&repository, of_repair) {
            (_, false) => trashed.extend(digest),
            (None, true) => set_aside.extend(digest),
            (Some(_), true) => {}
        }
        trashed_links.extend(repository.zip(digest));
    }
    let mut planner = Planner {
        storage,
        options,
        pace: Pace::new(options.bandwidth, clock, monitor),
        monitor,
        verification,
        actions: BTreeSet::new(),
        causes: Causes::default(),
        failures: Vec::new(),
        trashed,
        set_aside,
        trashed_links,
        checked_parts: HashMap::new(),
        in_trash: BTreeSet::new(),
        lost: BTreeSet::new(),
        lost_tags: Vec::new(),
        attached_to: BTreeSet::new(),
        here: HashMap::new(),
        there: HashMap::new(),
        incomplete: Vec::new(),
        completed: HashSet::new(),
        leads: HashMap::new(),
    };
    // Whether a tag or an entry is dangling, and whether something is attached to what is lost, depends on what is
    // linked.
    let is_entry = |kind| matches!(kind, Kind::GarbledTag | Kind::GarbledTagIndexEntry | Kind::DanglingTagIndexEntry);
    // Nothing is written or removed through a symbolic link.
    let is_shared = |repository: &String| verification.is_shared(repository);
    let defects = verification.defects.iter().filter(|defect| !defect.repository.as_ref().is_some_and(is_shared));
    let (entries, others): (Vec<&Defect>, Vec<&Defect>) = defects.partition(|defect| is_entry(defect.kind));
    for defect in others {
        planner.causes.begin(defect);
        planner.attempt(|planner| planner.defect(defect).and_then(|()| planner.complete()))?;
    }
    if options.drop_lost {
        planner.drop_lost()?;
    }
    for defect in entries {
        planner.causes.begin(defect);
        planner.attempt(|planner| match defect.kind {
            Kind::GarbledTag => planner.garbled_tag(defect),
            _ => planner.entry(defect),
        })?;
    }
    let Planner { actions, causes, failures, in_trash, lost, here, .. } = planner;
    let mut actions: Vec<Action> = actions.into_iter().collect();
    actions.sort_by_cached_key(|action| {
        let stage = match (action, action.digest().and_then(|digest| here.get(&digest))) {
            (Action::RemoveLink { .. }, _) => 3,
            (_, None | Some(Found::Whole)) => 0,
            (_, Some(Found::Absent)) => 1,
            (_, Some(Found::Damaged | Found::Unreadable)) => 2,
        };
        match action {
            Action::Take { .. } => (stage, 0, None, None),
            Action::MoveAside { .. } => (stage, 1, None, None),
            Action::WriteLink { .. } => (stage, 2, Some(Reverse(action.kind())), None),
            Action::RemoveLink { .. } => (stage, 3, None, Some(action.kind())),
        }
    });
    Ok(Plan { actions, causes: causes.shared(), failures, in_trash, lost, made_in: None })
}

/// The state of a blob's content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Whole,
    Damaged,
    Absent,
    /// Its state is unknown.
    Unreadable,
}

struct Planner<'a> {
    storage: &'a dyn ReadStorage,
    options: &'a Options<'a>,
    pace: Pace<'a>,
    monitor: &'a dyn Monitor,
    verification: &'a Verification,
    actions: BTreeSet<Action>,
    causes: Causes<'a>,
    failures: Vec<Error>,
    /// What collections moved to the trash; `in_trash` is what of that is missing.
    trashed: BTreeSet<Digest>,
    /// The damaged content that repairs moved to the trash.
    set_aside: BTreeSet<Digest>,
    in_trash: BTreeSet<Digest>,
    lost: BTreeSet<(String, Digest)>,
    /// The tags that name manifests that are lost and not linked.
    lost_tags: Vec<(String, String, Digest)>,
    /// The manifests that have a referrer that is linked again.
    attached_to: BTreeSet<(String, Digest)>,
    /// What was hashed here, and in the other store.
    here: HashMap<Digest, Found>,
    there: HashMap<Digest, Found>,
    /// The manifests whose needs are to be checked, each with its repository, and those that were checked.
    incomplete: Vec<(String, Digest)>,
    completed: HashSet<(String, Digest)>,
    /// The links of repositories that were moved to the trash.
    trashed_links: BTreeSet<(String, Digest)>,
    /// The parts of images that a repository links, which the registry checked when they were pushed.
    checked_parts: HashMap<String, HashSet<Digest>>,
    /// What refers to the manifests of the repositories in which something is removed.
    leads: HashMap<String, Rc<Leads>>,
}

impl Planner<'_> {
    /// Plans a part. If that fails, nothing is done about that part.
    fn attempt(&mut self, part: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.monitor.check()?;
        match part(self) {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            failed => {
                self.failures.extend(failed.err());
                Ok(())
            }
        }
    }

    /// Plans the repair of anything but an entry in a tag's index.
    fn defect(&mut self, defect: &Defect) -> Result<(), Error> {
        let Defect { kind, path, repository, digest, .. } = defect;
        let Some(digest) = digest else { return Ok(()) };
        match (kind, repository) {
            (Kind::GarbledRevisionLink | Kind::GarbledLayerLink | Kind::MisdirectedLink, Some(_)) => {
                self.link_content(path, digest)?;
            }
            (Kind::MissingLayerLink, Some(repository)) => self.relink_layer(repository, digest)?,
            (Kind::MissingBlob, Some(repository)) => self.mend_missing(repository, digest)?,
            (Kind::AbsentChild, Some(repository)) if *path == layout::layer_link(repository, digest) => {
                self.relink_layer(repository, digest)?;
            }
            (Kind::MissingChild | Kind::AbsentChild, Some(repository)) => self.relink_manifest(repository, digest)?,
            (Kind::DanglingRevision, Some(repository)) => {
                if self.has_content(digest)? {
                    self.incomplete.push((repository.clone(), *digest));
                } else if self.is_lost(digest)? {
                    self.causes.lose(repository, digest);
                    self.lost.insert((repository.clone(), *digest));
                }
            }
            (Kind::DanglingTag, Some(repository)) => {
                if !self.link_manifest(repository, digest)?
                    && self.is_lost(digest)?
                    && let Some(tag) = layout::subject(path).tag
                {
                    self.causes.lose(repository, digest);
                    self.lost.insert((repository.clone(), *digest));
                    self.lost_tags.push((repository.clone(), tag, *digest));
                }
            }
            (Kind::DamagedManifest, _) => self.replace_manifest(digest)?,
            (Kind::WrongSize | Kind::DamagedBlob, _) => drop(self.has_content(digest)?),
            (Kind::CannotBeRead, None) if *path == layout::blob_data(digest) && self.take(digest)? => {
                self.look_into(digest);
            }
            _ => {}
        }
        Ok(())
    }

    /// Plans the repair of an entry in a tag's index that is wrong, or will be once what it names is linked.
    fn entry(&mut self, defect: &Defect) -> Result<(), Error> {
        let Defect { path, repository: Some(repository), digest: Some(digest), .. } = defect else { return Ok(()) };
        let is_removed = self.actions.contains(&Action::RemoveLink { path: path.clone(), digest: Some(*digest) });
        if !self.will_be_linked(repository, digest)? {
            self.remove_link(path, *digest)
        } else if !is_removed && links::read(self.storage, path, digest)? == Link::Garbled {
            self.write_link(path, digest)
        } else {
            Ok(())
        }
    }

    /// Plans the repair of a tag whose link is still legible: it holds a digest with white space around it, as an
    /// editor leaves it.
    fn garbled_tag(&mut self, defect: &Defect) -> Result<(), Error> {
        let Defect { path, repository: Some(repository), .. } = defect else { return Ok(()) };
        let limit = layout::link_bytes(Algorithm::Sha512) + MAX_WHITE_SPACE_BYTES;
        let Some(Content::Whole(text)) = self.storage.read(path, limit)? else { return Ok(()) };
        match layout::digest_in_link(text.trim_ascii()) {
            Some(digest) if self.will_be_linked(repository, &digest)? && self.has_content(&digest)? => {
                self.write_link(path, &digest)
            }
            _ => Ok(()),
        }
    }

    /// Whether a blob's content matches its digest, or can be taken. If it does not match, it is replaced, or moved to
    /// the trash.
    fn has_content(&mut self, digest: &Digest) -> Result<bool, Error> {
        let found = self.look(digest)?;
        let has_it = found == Found::Whole || self.take(digest)?;
        if found == Found::Damaged && !has_it {
            self.act(Action::MoveAside { path: layout::blob_data(digest), digest: *digest })?;
        }
        Ok(has_it)
    }

    /// Links content that is here or can be taken.
    fn link_content(&mut self, path: &str, digest: &Digest) -> Result<(), Error> {
        if self.has_content(digest)? { self.write_link(path, digest) } else { Ok(()) }
    }

    /// Takes content from the other store, if it is there and whole.
    fn take(&mut self, digest: &Digest) -> Result<bool, Error> {
        let Some(from) = self.options.from else { return Ok(false) };
        let found = match self.there.get(digest) {
            Some(found) => *found,
            None => self.hash(from, digest)?,
        };
        self.there.insert(*digest, found);
        if found == Found::Whole {
            self.act(Action::Take { path: layout::blob_data(digest), digest: *digest })?;
        }
        Ok(found == Found::Whole)
    }

    fn look(&mut self, digest: &Digest) -> Result<Found, Error> {
        let found = match self.here.get(digest) {
            Some(found) => *found,
            None => self.hash(self.storage, digest)?,
        };
        self.here.insert(*digest, found);
        Ok(found)
    }

    fn hash(&mut self, storage: &dyn ReadStorage, digest: &Digest) -> Result<Found, Error> {
        let pace = &self.pace;
        let hash = hash_while(storage, &layout::blob_data(digest), digest.algorithm(), &mut |bytes| pace.wait(bytes));
        Ok(match hash {
            Ok(ControlFlow::Break(())) => return Err(Error::Interrupted),
            Ok(ControlFlow::Continue(None)) => Found::Absent,
            Ok(ControlFlow::Continue(Some(actual))) if actual == *digest => Found::Whole,
            Ok(ControlFlow::Continue(Some(_))) => Found::Damaged,
            Err(error) => {
                self.failures.push(error);
                Found::Unreadable
            }
        })
    }

    /// Whether a repository had a manifest or layer, as far as the repository itself shows, here or in the other
    /// store. What another repository has is no evidence: a client that may push to one could name it, and would get
    /// it.
    fn had(&mut self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        let (revision, layer) = (layout::revision(repository, digest), layout::layer(repository, digest));
        if self.storage.stat(&revision)?.is_some() || self.storage.stat(&layer)?.is_some() {
            return Ok(true);
        }
        if let Some(from) = self.options.from
            && (from.stat(&format!("{revision}/{}", layout::LINK))?.is_some()
                || from.stat(&format!("{layer}/{}", layout::LINK))?.is_some())
        {
            return Ok(true);
        }
        let is_trashed = self.trashed_links.contains(&(repository.to_owned(), *digest));
        Ok(is_trashed || self.leads(repository)?.remember(digest))
    }

    /// Links a manifest again that the repository had.
    fn relink_manifest(&mut self, repository: &str, digest: &Digest) -> Result<(), Error> {
        if self.had(repository, digest)? {
            self.link_manifest(repository, digest)?;
        }
        Ok(())
    }

    /// Links a layer again that the repository had.
    fn relink_layer(&mut self, repository: &str, digest: &Digest) -> Result<(), Error> {
        if self.had_layer(repository, digest)? {
            self.link_content(&layout::layer_link(repository, digest), digest)?;
        }
        Ok(())
    }

    /// Whether a repository had a layer: the repository itself shows it, or an image that it links needs the layer,
    /// which the registry checks when the image is pushed. The registry does not check what an index lists.
    fn had_layer(&mut self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        if self.had(repository, digest)? {
            return Ok(true);
        }
        Ok(self.checked_parts(repository).contains(digest))
    }

    /// Returns the parts of a repository's images that the registry checked.
    fn checked_parts(&mut self, repository: &str) -> &mut HashSet<Digest> {
        if !self.checked_parts.contains_key(repository) {
            let mut parts = HashSet::new();
            for manifest in self.verification.manifests_of(repository) {
                parts.extend(self.manifest(&manifest).into_iter().flat_map(|(_, parts)| parts));
            }
            self.checked_parts.insert(repository.to_owned(), parts);
        }
        self.checked_parts.entry(repository.to_owned()).or_default()
    }

    /// Reads a manifest that is here or can be taken, with its parts that the registry checked when it was pushed.
    fn manifest(&mut self, digest: &Digest) -> Option<(References, Vec<Digest>)> {
        let is_taken = self.actions.contains(&Action::Take { path: layout::blob_data(digest), digest: *digest });
        let here = (!is_taken).then_some(self.storage);
        for storage in [here, self.options.from].into_iter().flatten() {
            let parse = |content| {
                let Some(Content::Whole(content)) = content else { return None };
                let parsed = References::of_blob(digest, &content).ok()?;
                let parts = parsed.checked_at_push(&content);
                Some((parsed, parts))
            };
            match with_manifest(storage, &layout::blob_data(digest), parse) {
                Ok(None) => {}
                Ok(found) => return found,
                Err(error) => self.failures.push(error),
            }
        }
        None
    }

    /// Takes a manifest from the other store, or moves it aside. It is unknown what it needs.
    fn replace_manifest(&mut self, digest: &Digest) -> Result<(), Error> {
        if self.has_content(digest)? {
            self.look_into(digest);
        }
        Ok(())
    }

    /// Queues a manifest that will be whole for a check of what it needs, in all repositories that link it.
    fn look_into(&mut self, digest: &Digest) {
        let linking = self.verification.repositories_of(digest).into_iter();
        self.incomplete.extend(linking.map(|repository| (repository, *digest)));
    }

    /// Links a manifest that is here or can be taken, and what it needs. Returns whether it is linked.
    fn link_manifest(&mut self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        // Damaged content is moved aside; content that is whole but not a manifest is not taken.
        if self.manifest(digest).is_none() {
            if self.look(digest)? == Found::Damaged {
                self.act(Action::MoveAside { path: layout::blob_data(digest), digest: *digest })?;
            }
            return Ok(false);
        }
        let has_it = self.has_content(digest)?;
        if has_it {
            self.write_link(&layout::revision_link(repository, digest), digest)?;
            self.incomplete.push((repository.to_owned(), *digest));
        }
        Ok(has_it)
    }

    /// Repairs what manifests need, which was not checked as long as nothing referred to them.
    fn complete(&mut self) -> Result<(), Error> {
        while let Some((repository, digest)) = self.incomplete.pop() {
            if self.completed.insert((repository.clone(), digest))
                && let Some((manifest, parts)) = self.manifest(&digest)
            {
                self.checked_parts(&repository).extend(parts);
                self.attached_to.extend(manifest.subject.map(|subject| (repository.clone(), subject)));
                self.mend(&repository, &manifest)?;
            }
        }
        Ok(())
    }

    /// Repairs what a manifest refers to, as if a verification had found it.
    fn mend(&mut self, repository: &str, manifest: &References) -> Result<(), Error> {
        for Reference { digest, role, bytes } in &manifest.references {
            let link = layout::layer_link(repository, digest);
            let layer = links::read(self.storage, &link, digest)?;
            if layer == Link::Garbled {
                self.link_content(&link, digest)?;
            }
            let content = match layer {
                Link::To(content) => content,
                _ if digest.algorithm() == Algorithm::Sha256 => *digest,
                // Without a link, it is unknown where it is.
                _ => continue,
            };
            let is_layer = layer != Link::Absent;
            let is_linked = is_layer || self.storage.stat(&layout::revision_link(repository, digest))?.is_some();
            let is_needed = match role {
                Role::Config | Role::Layer => true,
                Role::OpaqueChild => is_linked,
                Role::OddChild => is_layer,
                Role::Child | Role::ForeignLayer => false,
            };
            match self.storage.stat(&layout::blob_data(&content))? {
                None if is_needed => self.mend_missing(repository, &content)?,
                _ if !role.may_be_child() && *role != Role::ForeignLayer && !is_linked => {
                    self.relink_layer(repository, digest)?;
                }
                _ if role.may_be_child() && !is_linked => self.relink_manifest(repository, digest)?,
                Some(data) if *bytes > 0 && data.bytes != *bytes => drop(self.has_content(&content)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Provides the content of a missing layer or config, and links it if the repository has lost the link.
    fn mend_missing(&mut self, repository: &str, digest: &Digest) -> Result<(), Error> {
        let link = layout::layer_link(repository, digest);
        if self.storage.stat(&link)?.is_some() || !self.had_layer(repository, digest)? {
            self.has_content(digest).map(drop)
        } else {
            self.link_content(&link, digest)
        }
    }

    fn will_be_linked(&self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        let path = layout::revision_link(repository, digest);
        let is_there = self.storage.stat(&path)?.is_some();
        let removed = Action::RemoveLink { path: path.clone(), digest: Some(*digest) };
        let written = Action::WriteLink { path, digest: *digest };
        let layer = layout::layer_link(repository, digest);
        Ok(self.actions.contains(&written)
            || is_there && !self.actions.contains(&removed)
            || self.storage.stat(&layer)?.is_some()
            || self.actions.contains(&Action::WriteLink { path: layer, digest: *digest }))
    }

    fn write_link(&mut self, path: &str, digest: &Digest) -> Result<(), Error> {
        self.act(Action::WriteLink { path: path.to_owned(), digest: *digest })
    }

    fn remove_link(&mut self, path: &str, digest: Digest) -> Result<(), Error> {
        self.act(Action::RemoveLink { path: path.to_owned(), digest: Some(digest) })
    }

    /// Plans something, unless it would be done through a symbolic link.
    fn act(&mut self, action: Action) -> Result<(), Error> {
        let top = match &action {
            Action::Take { digest, .. } | Action::MoveAside { digest, .. } => layout::shard(digest),
            Action::WriteLink { .. } | Action::RemoveLink { .. } => layout::REPOSITORIES.to_owned(),
        };
        if symlink_between(self.storage, &top, action.path())?.is_none() {
            self.causes.of(&action);
            self.actions.insert(action);
        }
        Ok(())
    }
}
