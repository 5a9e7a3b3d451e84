//! Finishing what was begun: a run that was killed while it removed what somebody had named.
//!
//! Such a run writes down what it is about to remove, and takes that away when it is done. If it is still there, the tags
//! may be gone and their manifests not, and nobody could name those any more. So the next run finishes it first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::Error;
use crate::layout;
use crate::lock::Lock;
use crate::monitor::Monitor;
use crate::plan::{Item, Plan, plan};
use crate::storage::{Content, ReadStorage, TrashStorage};
use crate::survey::{Options, survey};
use crate::sweep::{Outcome, sweep};
use crate::trash;
use crate::unwanted::{Unwanted, UnwantedIn};

/// The largest note that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// What a run was about to remove.
#[derive(Serialize, Deserialize)]
struct Note {
    schema_version: u32,
    /// Since when the run had the lock, as long after 1970: what was written then or later is none of its business.
    since: Duration,
    keep_content: bool,
    /// The run's part of the trash, if it was to move what it removes.
    trash: Option<trash::Header>,
    repositories: BTreeMap<String, Part>,
    /// Content of which a link goes, or all.
    content: BTreeSet<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Everything,
    Some { tags: BTreeMap<String, Option<Digest>>, manifests: BTreeSet<Digest> },
}

/// Writes down what `plan` removes because it is unwanted, unless that was done by the run that this one finishes.
pub(crate) fn begin(
    storage: &dyn TrashStorage,
    lock: &Lock,
    unwanted: &Unwanted,
    plan: &Plan<'_>,
    trash: Option<&trash::Header>,
) -> Result<(), Error> {
    if storage.stat(layout::UNFINISHED)?.is_some() {
        return Ok(());
    }
    let mut repositories: BTreeMap<String, Part> = BTreeMap::new();
    for (name, part) in unwanted.repositories() {
        let part = match part {
            UnwantedIn::Everything => Part::Everything,
            UnwantedIn::Some { tags, manifests } => Part::Some { tags: tags.clone(), manifests: manifests.clone() },
        };
        repositories.insert(name.to_owned(), part);
    }
    let mut content = BTreeSet::new();
    for item in plan.items() {
        match item {
            Item::Revision { repository, digest, .. } => {
                if let Some(Part::Some { manifests, .. }) = repositories.get_mut(repository) {
                    manifests.insert(digest);
                }
            }
            Item::LayerLink { digest, .. } | Item::Blob { digest, .. } => drop(content.insert(digest)),
            _ => {}
        }
    }
    let since = lock.since().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (keep_content, trash) = (unwanted.keep_content, trash.cloned());
    let note = Note { schema_version: 1, since, keep_content, trash, repositories, content };
    storage.create(layout::UNFINISHED, &mut |to| Ok(serde_json::to_writer(to, &note)?))
}

/// Says that everything is done.
pub(crate) fn end(storage: &dyn TrashStorage) -> Result<(), Error> {
    storage.remove_all(layout::UNFINISHED)
}

/// Whether a run was killed while it removed what somebody had named.
pub fn is_there(storage: &dyn ReadStorage) -> Result<bool, Error> {
    Ok(storage.stat(layout::UNFINISHED)?.is_some_and(|note| !note.symlink))
}

/// Finishes what a run that was killed has left. What was pushed since then stays. `None` if there is nothing to finish.
///
/// Fails before anything is removed, as [`survey`], [`plan`] and [`sweep`] do, and if the note of that run cannot be read.
pub fn finish(
    storage: &dyn TrashStorage,
    lock: &Lock,
    options: &Options<'_>,
    monitor: &dyn Monitor,
) -> Result<Option<Outcome>, Error> {
    if !is_there(storage)? {
        return Ok(None);
    }
    let garbled = |reason: String| Error::Journal { path: layout::UNFINISHED.to_owned(), reason };
    let note: Note = match storage.read(layout::UNFINISHED, MAX_BYTES)? {
        Some(Content::Whole(text)) => serde_json::from_slice(&text).map_err(|error| garbled(error.to_string()))?,
        _ => return Err(garbled("it is too large".to_owned())),
    };
    if note.schema_version != 1 {
        return Err(garbled(format!("version {} is unknown; a newer regc wrote it", note.schema_version)));
    }
    let mut unwanted = Unwanted::default();
    unwanted.keep_content = note.keep_content;
    unwanted.released_before = note.content;
    for (name, part) in &note.repositories {
        match part {
            Part::Everything => unwanted.repository(name),
            Part::Some { tags, manifests } => {
                tags.iter().for_each(|(tag, digest)| unwanted.tag(name, tag, *digest));
                manifests.iter().for_each(|digest| unwanted.manifest(name, *digest));
            }
        }
    }
    let since = SystemTime::UNIX_EPOCH + note.since;
    let options = Options {
        delete_untagged: false,
        young_since: Some(options.young_since.map_or(since, |young_since| young_since.min(since))),
        leftovers: crate::survey::Leftovers::default(),
        repositories: &[],
        unwanted: Some(&unwanted),
        ..*options
    };
    let survey = survey(storage, &options, monitor)?;
    let plan = plan(&survey, &options)?;
    let outcome = sweep(storage, lock, &plan, &options, note.trash.as_ref(), monitor)?;
    Ok(Some(outcome))
}
