//! The journals of runs: what each run moved, and why.

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{directory, is_run, refuse_symlinks};
use crate::digest::Digest;
use crate::error::Error;
use crate::registry::layout::{self, Location};
use crate::storage::{Content, EntryKind, ReadStorage, TrashStorage};

/// The name of the journal in a run's directory.
const JOURNAL: &str = "journal.jsonl";

/// The largest journal that is read, in bytes: enough for ten million objects.
const MAX_JOURNAL_BYTES: u64 = 4 << 30;

/// The command of a run that was a repair.
pub(crate) const REPAIR: &str = "repair";

/// The first line of a journal, which describes the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the journal's format.
    pub schema_version: u32,
    /// The run's name, which is also that of its directory.
    pub run: String,
    /// When it began, in seconds since 1970, by the clock of the machine.
    pub started: u64,
    /// The version of regc.
    pub regc: String,
    /// The command: `gc`, `rm`, `prune` or `repair`.
    #[serde(default = "gc")]
    pub command: String,
    /// Whether untagged manifests were garbage.
    pub delete_untagged: bool,
    /// How old garbage had to be, in seconds.
    pub min_age: u64,
    /// Whether a registry was running.
    pub live: bool,
}

/// The default for journals that do not name a command.
fn gc() -> String {
    "gc".to_owned()
}

/// Every other line of a journal: an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its key in the registry.
    pub path: String,
    /// Its digest; `None` for a garbled tag, and for uploads.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Digest>,
    /// Its repository; `None` for a blob.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository: Option<String>,
    /// The length of a blob's content, or of what an interrupted copy left, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
}

impl Entry {
    /// Returns the entry of what is at a path, as far as the path says what that is.
    pub(super) fn at(path: String) -> Self {
        let layout::Subject { repository, digest, .. } = layout::subject(&path);
        let kind = Location::parse(&path).map_or(Kind::File, |location| Kind::of(&location));
        Self { kind, digest, repository, bytes: None, path }
    }

    /// Whether its path is that of what the entry claims to be.
    fn is_consistent(&self) -> bool {
        let Some(location) = Location::parse(&self.path) else { return self.kind == Kind::File && self.is_remnant() };
        let digest = match location {
            // The digest is that of the manifest that the link named.
            Location::TagLink { .. } => self.digest,
            Location::SignatureLink { revision, .. } => Some(revision),
            _ => location.digest(),
        };
        (self.kind, self.repository.as_deref(), self.digest) == (Kind::of(&location), location.repository(), digest)
    }

    /// Whether its path is that of a file that an interrupted copy leaves, and cannot lead elsewhere.
    fn is_remnant(&self) -> bool {
        let about = layout::subject(&self.path);
        layout::is_remnant(&self.path)
            && (&about.repository, &about.digest) == (&self.repository, &self.digest)
            && !self.path.split('/').any(|part| matches!(part, "" | "." | ".."))
            && !self.repository.iter().any(|name| name.split('/').any(layout::is_repository_part))
    }
}

/// What an object in the trash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An entry in a tag's index.
    TagIndexEntry,
    /// A tag's link.
    Tag,
    /// A revision's link, or the link of one of its signatures.
    Revision,
    /// A layer link.
    LayerLink,
    /// The content of a blob.
    Blob,
    /// A file of an upload.
    Upload,
    /// A file that an interrupted copy left, or a link to a referrer.
    File,
}

impl Kind {
    /// Returns the kind that a file of the layout has in the trash.
    pub(crate) fn of(location: &Location<'_>) -> Self {
        match location {
            Location::Blob { .. } => Kind::Blob,
            Location::LayerLink { .. } => Kind::LayerLink,
            Location::RevisionLink { .. } | Location::SignatureLink { .. } => Kind::Revision,
            Location::TagLink { .. } => Kind::Tag,
            Location::TagIndexEntry { .. } => Kind::TagIndexEntry,
            Location::UploadFile { .. } => Kind::Upload,
            Location::ReferrerLink { .. } => Kind::File,
        }
    }
}

/// Writes what is going to be moved to the journal.
pub(crate) fn write_entries(
    storage: &dyn TrashStorage,
    header: &Header,
    mut entries: impl Iterator<Item = Entry>,
) -> Result<(), Error> {
    fn line<T: Serialize>(mut to: &mut dyn Write, value: &T) -> io::Result<()> {
        serde_json::to_writer(&mut to, value)?;
        to.write_all(b"\n")
    }
    refuse_symlinks(storage)?;
    let written = storage.create(&journal(&header.run), &mut |to| {
        line(to, header)?;
        entries.try_for_each(|entry| line(to, &entry))
    });
    if written.is_err() {
        // Removes what was made for it. Why there is no journal matters more than why that stays.
        storage.remove_empty_directories(&[directory(&header.run), layout::TRASH.to_owned()], None);
    }
    written
}

/// Whether a run has a journal, readable or not, and not a symbolic link to one.
pub(super) fn has_journal(storage: &dyn ReadStorage, run: &str) -> Result<bool, Error> {
    let found = storage.stat(&journal(run))?;
    Ok(found.is_some_and(|journal| journal.kind == EntryKind::File && !journal.symlink))
}

pub(super) fn journal(run: &str) -> String {
    format!("{}/{JOURNAL}", directory(run))
}

/// Reads the first line of a run's journal.
pub(super) fn read_header(storage: &dyn ReadStorage, run: &str) -> Result<Header, Error> {
    let mut line = Vec::new();
    storage.read_in_parts(&journal(run), &mut |part| {
        let end = part.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&part[..end.unwrap_or(part.len())]);
        if end.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    serde_json::from_slice(&line).map_err(|error| Error::Journal { path: journal(run), reason: error.to_string() })
}

/// Reads the journal of a run.
///
/// Fails with [`Error::NoSuchRun`] if there is no such run, with [`Error::Journal`] if it has no readable journal.
pub fn read_journal(storage: &dyn ReadStorage, run: &str) -> Result<(Header, Vec<Entry>), Error> {
    let path = journal(run);
    let garbled = |reason: String| Error::Journal { path: path.clone(), reason };
    if !is_run(run) {
        return Err(garbled("this is not the name of a run".to_owned()));
    }
    if storage.stat(&directory(run))?.is_some_and(|run| run.symlink) {
        return Err(garbled("its directory is a symbolic link".to_owned()));
    }
    if storage.stat(&directory(run))?.is_none() {
        return Err(Error::NoSuchRun(run.to_owned()));
    }
    if !has_journal(storage, run)? {
        return Err(garbled("it does not exist".to_owned()));
    }
    let text = match storage.read(&path, MAX_JOURNAL_BYTES)? {
        Some(Content::Whole(text)) => text,
        Some(Content::TooLarge) => return Err(garbled("it is too large".to_owned())),
        None => return Err(garbled("it does not exist".to_owned())),
    };
    let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let header: Header =
        serde_json::from_slice(lines.next().unwrap_or_default()).map_err(|e| garbled(e.to_string()))?;
    if header.schema_version != 1 {
        return Err(garbled(format!("version {} is unknown; a newer regc wrote it", header.schema_version)));
    }
    let entries = lines.map(|line| {
        let entry: Entry = serde_json::from_slice(line).map_err(|error| garbled(error.to_string()))?;
        // A restore puts what a journal names at the path that it gives: only where the registry keeps such a thing.
        match entry.is_consistent() {
            true => Ok(entry),
            false => Err(garbled(format!("{:?} is not where the registry keeps such an object", entry.path))),
        }
    });
    Ok((header.clone(), entries.collect::<Result<_, _>>()?))
}
