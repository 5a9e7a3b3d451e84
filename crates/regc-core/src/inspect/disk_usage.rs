//! How much of a file system a store takes up, as `du -s` counts it.
//!
//! The length of a file says little about this: a link of 71 bytes takes up a whole block, and so does every directory.
//! In a store of many small images, that may be more than the content of the blobs. Each file and directory is counted
//! in exactly one part, and a file with several hard links once, so the parts add up to what `du -s` reports for the
//! root.

use std::collections::HashMap;

use serde::Serialize;

use crate::error::Error;
use crate::monitor::{Monitor, Phase};
use crate::registry::layout::{self, Location};
use crate::storage::{Allocated, ReadStorage};

/// What a part of a store takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Taken {
    /// How many files and directories there are.
    pub entries: u64,
    /// The length of the blocks that the file system has allocated for them, in bytes.
    pub bytes: u64,
}

/// What a store takes up on its file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DiskUsage {
    /// The root, and everything below it.
    pub total: Taken,
    /// The content of blobs.
    pub blobs: Taken,
    /// The links of repositories: tags, manifests, layers, referrers.
    pub links: Taken,
    /// The directories of the registry, without those of uploads.
    pub directories: Taken,
    /// Unfinished uploads, with their directories.
    pub uploads: Taken,
    /// The trash, with its directories and journals.
    pub trash: Taken,
    /// Other files of regc: the lock, and the cache of manifests.
    pub own: Taken,
    /// What does not belong to the registry.
    pub other: Taken,
}

/// The parts, in the order in which a file with several names belongs to one of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Blobs,
    Links,
    Directories,
    Uploads,
    Trash,
    Own,
    Other,
}

impl DiskUsage {
    fn add(&mut self, part: Part, bytes: u64) {
        let taken = match part {
            Part::Blobs => &mut self.blobs,
            Part::Links => &mut self.links,
            Part::Directories => &mut self.directories,
            Part::Uploads => &mut self.uploads,
            Part::Trash => &mut self.trash,
            Part::Own => &mut self.own,
            Part::Other => &mut self.other,
        };
        for taken in [taken, &mut self.total] {
            taken.entries += 1;
            taken.bytes += bytes;
        }
    }
}

/// Measures what a store takes up. Symbolic links are not followed.
///
/// Fails with [`Error::NoFileSystem`] if the storage is on none, and if a directory cannot be listed.
pub(crate) fn disk_usage(storage: &dyn ReadStorage, monitor: &dyn Monitor) -> Result<DiskUsage, Error> {
    let posix = storage.as_posix().ok_or(Error::NoFileSystem)?;
    monitor.phase(Phase::Measure, None);
    let mut usage = DiskUsage::default();
    let mut linked: HashMap<(u64, u64), (Part, u64)> = HashMap::new();
    let is_known = posix.each_allocated(&mut |allocated| {
        let Allocated { key, is_directory, bytes, shared } = allocated;
        let part = part(key, is_directory);
        match shared {
            None => usage.add(part, bytes),
            Some(file) => {
                let known = linked.entry(file).or_insert((part, bytes));
                known.0 = known.0.min(part);
            }
        }
        monitor.advance(1);
        monitor.check()
    })?;
    linked.into_values().for_each(|(part, bytes)| usage.add(part, bytes));
    if is_known { Ok(usage) } else { Err(Error::NoFileSystem) }
}

fn part(key: &str, is_directory: bool) -> Part {
    let below = |top: &str| {
        let below = key.strip_prefix(top)?;
        (below.is_empty() || below.starts_with('/')).then_some(below)
    };
    if below(layout::TRASH).is_some() {
        return Part::Trash;
    }
    if below(layout::OWN).is_some() {
        return Part::Own;
    }
    if below(layout::REPOSITORIES).is_some_and(|below| below.split('/').any(|part| part == layout::UPLOADS)) {
        return Part::Uploads;
    }
    if is_directory {
        let is_above = key.is_empty()
            || layout::ROOT.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let is_registrys = is_above || below(layout::BLOBS).is_some() || below(layout::REPOSITORIES).is_some();
        return if is_registrys { Part::Directories } else { Part::Other };
    }
    match Location::parse(key) {
        Some(Location::Blob { .. }) => Part::Blobs,
        Some(Location::UploadFile { .. }) => Part::Uploads,
        Some(_) => Part::Links,
        None => Part::Other,
    }
}
