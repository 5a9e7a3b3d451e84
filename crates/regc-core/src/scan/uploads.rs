//! Unfinished uploads.

use std::ops::ControlFlow;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::error::Error;
use crate::registry::layout;
use crate::storage::{Content, EntryKind, ReadStorage};

/// An upload that was begun and not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upload {
    /// Its name.
    pub upload: String,
    /// The keys of its files below its directory, the content first and the file that holds its age last.
    pub files: Box<[String]>,
    /// Their total size, in bytes.
    pub bytes: u64,
    /// When it began, as the registry has noted. Where it has not, the same as `written`.
    pub began: SystemTime,
    /// When it was last written to.
    pub written: SystemTime,
}

impl Upload {
    /// Whether it began before this time, and was not written since.
    pub fn is_abandoned(&self, before: SystemTime) -> bool {
        self.began.max(self.written) < before
    }
}

/// The uploads of a repository, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uploads {
    pub(crate) all: Vec<Upload>,
    /// Whether there are some behind a symbolic link. Nothing is deleted through one.
    pub(crate) has_symlinks: bool,
}

/// Lists the uploads of a repository.
pub(crate) fn uploads(storage: &dyn ReadStorage, repository: &str) -> Result<Uploads, Error> {
    let directory = layout::uploads(repository);
    let mut uploads = Uploads::default();
    match storage.stat(&directory)? {
        None => return Ok(uploads),
        Some(found) if found.symlink => return Ok(Uploads { has_symlinks: true, ..uploads }),
        Some(_) => {}
    }
    let mut names = Vec::new();
    storage.list(&directory, &mut |entry| match entry.kind {
        _ if entry.symlink => uploads.has_symlinks = true,
        EntryKind::Directory => names.push(entry.name.to_owned()),
        _ => {}
    })?;
    names.sort_unstable();
    for name in names {
        uploads.all.push(upload(storage, &directory, name)?);
    }
    Ok(uploads)
}

fn upload(storage: &dyn ReadStorage, all: &str, name: String) -> Result<Upload, Error> {
    let directory = format!("{all}/{name}");
    let (mut files, mut bytes, mut written) = (Vec::new(), 0, None);
    storage.walk(&directory, &mut |object| {
        files.push(object.key[directory.len() + 1..].to_owned());
        bytes += object.bytes;
        written = written.max(Some(object.modified.unwrap_or_else(SystemTime::now)));
        ControlFlow::Continue(())
    })?;
    // The file that holds its age is deleted last.
    files.sort_by_key(|file| (file == STARTED, file != layout::DATA, file.clone()));
    let written = match written {
        Some(written) => written,
        None => storage.stat(&directory)?.map_or(SystemTime::UNIX_EPOCH, |found| found.written()),
    };
    let started = match storage.read(&format!("{directory}/{STARTED}"), MAX_STARTED_BYTES)? {
        Some(Content::Whole(text)) => std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()),
        _ => None,
    };
    let began = started.map_or(written, |started: Timestamp| started.into());
    Ok(Upload { upload: name, files: files.into(), bytes, began, written })
}

/// The file of an upload that holds the time at which it began.
const STARTED: &str = "startedat";

/// The longest one that is read, in bytes.
const MAX_STARTED_BYTES: u64 = 64;
