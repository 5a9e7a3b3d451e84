//! The keys of a bucket at one moment, from which all questions but those for content are answered.
//!
//! A bucket has no directories, and a question costs a request. So everything is listed at once, and kept: a blob or
//! link in a directory named after its digest takes 44 bytes, whatever the length of its key. The inventory shares 32
//! of them.

mod of_digest;

use std::collections::BTreeMap;
use std::time::SystemTime;

use self::of_digest::{OfDigest, OfDigests};
use crate::registry::layout;
use crate::storage::{EntryKind, Hashes, Metadata, Object};

/// A directory, as far as keys show it.
#[derive(Debug, Default)]
struct Directory {
    /// What is directly in it, by name: a directory if `None`.
    names: BTreeMap<Box<str>, Option<Listed>>,
    /// Objects in directories of digests in it.
    of_digests: OfDigests,
}

/// What a listing shows of an object, other than its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) bytes: u64,
    pub(super) modified: Option<SystemTime>,
}

impl Listed {
    fn metadata(self) -> Metadata {
        Metadata::object(self.bytes, self.modified)
    }
}

/// The keys below a bucket's root.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    directories: BTreeMap<String, Directory>,
    /// How many keys were left out.
    ignored: u64,
}

/// Returns the key of a name in a directory.
fn below(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Splits a key into its directory and its name.
fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}

/// Splits `<directory>/<hex>/<data or link>`.
fn split_of_digest(key: &str) -> Option<(&str, [u8; 32], bool)> {
    let (of_digest, name) = split(key);
    let is_data = match name {
        layout::DATA => true,
        layout::LINK => false,
        _ => return None,
    };
    let (directory, hex) = split(of_digest);
    Some((directory, hash(hex)?, is_data))
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let is_lower = hex.len() == 64 && !hex.bytes().any(|byte| byte.is_ascii_uppercase());
    (is_lower && hex::decode_to_slice(hex, &mut hash).is_ok()).then_some(hash)
}

impl Snapshot {
    /// Adds an object, unless its key cannot be of a registry: with an empty part, or one of `.` or `..`, or with
    /// control characters. Keys of one directory are added in their order.
    pub(super) fn add(&mut self, key: &str, listed: Listed) {
        let is_odd = |part: &str| {
            // The last two cannot be written in XML, in which objects are deleted.
            let is_of_none = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
            matches!(part, "" | "." | "..") || part.contains(is_of_none)
        };
        if key.split('/').any(is_odd) {
            return self.ignore();
        }
        let of_digest = split_of_digest(key)
            .filter(|(directory, hash, _)| !self.has_directory_of(directory, hash))
            .and_then(|(directory, hash, is_data)| Some((directory, hash, OfDigest::new(is_data, listed)?)));
        if let Some((directory, hash, of_digest)) = of_digest {
            let of_digests = &mut self.make(directory).of_digests;
            if !of_digests.ends_with(&hash) {
                return of_digests.push(hash, of_digest);
            }
        }
        self.insert(key, listed);
    }

    /// Counts a key that is left out.
    pub(super) fn ignore(&mut self) {
        self.ignored += 1;
    }

    /// Returns how many keys were left out.
    pub(super) fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Orders what was added.
    pub(super) fn finish(&mut self) {
        self.directories.values_mut().for_each(|directory| directory.of_digests.finish());
    }

    fn has_directory_of(&self, directory: &str, hash: &[u8; 32]) -> bool {
        let has_names = self.directories.get(directory).is_some_and(|found| !found.names.is_empty());
        has_names && self.directories.contains_key(&below(directory, &hex::encode(hash)))
    }

    /// Adds an object, or replaces what is known of it, at any time.
    pub(super) fn insert(&mut self, key: &str, listed: Listed) {
        let (directory, name) = split(key);
        // What is below a digest's directory that seemed to hold one object shows that it does not.
        if let Some(hash) = hash(split(directory).1) {
            let (above, _) = split(directory);
            if let Some(only) = self.directories.get_mut(above).and_then(|found| found.of_digests.take(&hash)) {
                self.make(directory).names.insert(only.name().into(), Some(only.listed()));
            }
        }
        self.make(directory).names.insert(name.into(), Some(listed));
    }

    /// Returns a directory, which is created with those above it.
    fn make(&mut self, directory: &str) -> &mut Directory {
        if !self.directories.contains_key(directory) {
            if !directory.is_empty() {
                let (above, name) = split(directory);
                self.make(above).names.entry(name.into()).or_insert(None);
            }
            self.directories.insert(directory.to_owned(), Directory::default());
        }
        self.directories.get_mut(directory).expect("it was created")
    }

    fn find(&self, directory: &str, hash: &[u8; 32]) -> Option<&OfDigest> {
        self.directories.get(directory)?.of_digests.find(hash)
    }

    /// Returns the one object in the directory of a digest.
    fn in_directory_of_digest(&self, directory: &str) -> Option<&OfDigest> {
        let (above, hex) = split(directory);
        self.find(above, &hash(hex)?)
    }

    /// Returns what is at a key.
    pub(super) fn stat(&self, key: &str) -> Option<Metadata> {
        if self.directories.contains_key(key) || self.in_directory_of_digest(key).is_some() {
            return Some(Metadata::directory(None));
        }
        self.object(key).map(Listed::metadata)
    }

    /// Returns what is listed of the object at a key.
    pub(super) fn object(&self, key: &str) -> Option<Listed> {
        if let Some((directory, hash, is_data)) = split_of_digest(key)
            && let Some(found) = self.find(directory, &hash)
        {
            return (found.is_data == is_data).then(|| found.listed());
        }
        let (directory, name) = split(key);
        *self.directories.get(directory)?.names.get(name)?
    }

    /// Calls `visit` with every name directly in a directory but the digests' directories of
    /// [`digests`](Self::digests), and returns whether there is such a directory.
    pub(super) fn list(&self, directory: &str, visit: &mut dyn FnMut(&str, EntryKind)) -> bool {
        let only = self.in_directory_of_digest(directory);
        only.iter().for_each(|only| visit(only.name(), EntryKind::File));
        let Some(found) = self.directories.get(directory) else { return only.is_some() || directory.is_empty() };
        for (name, listed) in &found.names {
            if listed.is_some() {
                visit(name, EntryKind::File);
            }
            // An object may have the name of a directory.
            if listed.is_none() || self.directories.contains_key(&below(directory, name)) {
                visit(name, EntryKind::Directory);
            }
        }
        true
    }

    /// Returns the digests after which other directories in a directory are named.
    pub(super) fn digests(&self, directory: &str) -> Vec<Hashes> {
        self.directories.get(directory).map_or_else(Vec::new, |found| found.of_digests.hashes())
    }

    /// Returns the first link at or below a key that is empty.
    pub(super) fn empty_link(&self, key: &str) -> Option<String> {
        let is_empty = |key: &str, bytes: u64| bytes == 0 && split(key).1 == layout::LINK;
        if self.object(key).is_some_and(|listed| is_empty(key, listed.bytes)) {
            return Some(key.to_owned());
        }
        let mut first: Option<String> = None;
        self.walk(key, &mut |object| {
            if is_empty(object.key, object.bytes) && first.as_deref().is_none_or(|first| object.key < first) {
                first = Some(object.key.to_owned());
            }
        });
        first
    }

    /// Returns a link that was there before and is not, or that is empty and was not: it is being written.
    pub(super) fn link_written_since(&self, before: &Self) -> Option<String> {
        let mut written = None;
        before.walk("", &mut |object| {
            if written.is_none() && split(object.key).1 == layout::LINK && self.object(object.key).is_none() {
                written = Some(object.key.to_owned());
            }
        });
        self.walk("", &mut |object| {
            let is_empty = object.bytes == 0 && split(object.key).1 == layout::LINK;
            if written.is_none() && is_empty && before.object(object.key).is_none_or(|before| before.bytes != 0) {
                written = Some(object.key.to_owned());
            }
        });
        written
    }

    /// Calls `visit` with every object below a directory.
    pub(super) fn walk(&self, directory: &str, visit: &mut dyn FnMut(Object<'_>)) {
        if let Some(only) = self.in_directory_of_digest(directory) {
            let Listed { bytes, modified } = only.listed();
            visit(Object { key: &below(directory, only.name()), bytes, modified });
        }
        let mut pending = vec![directory.to_owned()];
        while let Some(directory) = pending.pop() {
            let Some(found) = self.directories.get(&directory) else { continue };
            for (name, listed) in &found.names {
                let key = below(&directory, name);
                if let Some(Listed { bytes, modified }) = listed {
                    visit(Object { key: &key, bytes: *bytes, modified: *modified });
                }
                pending.push(key);
            }
            for (hash, of_digest) in found.of_digests.iter() {
                let Listed { bytes, modified } = of_digest.listed();
                let name = format!("{}/{}", hex::encode(hash), of_digest.name());
                visit(Object { key: &below(&directory, &name), bytes, modified });
            }
        }
    }

    /// Forgets an object that was deleted, and the directories that only it showed.
    pub(super) fn forget(&mut self, key: &str) {
        if let Some((directory, hash, is_data)) = split_of_digest(key)
            && let Some(found) = self.directories.get_mut(directory)
            && found.of_digests.forget(&hash, is_data)
        {
            self.forget_empty(directory);
            return;
        }
        let (directory, name) = split(key);
        if let Some(found) = self.directories.get_mut(directory)
            && found.names.get(name).is_some_and(Option::is_some)
        {
            found.names.remove(name);
            if self.directories.contains_key(key) {
                self.make(directory).names.insert(name.into(), None);
            }
            self.forget_empty(directory);
        }
    }

    fn forget_empty(&mut self, directory: &str) {
        let is_empty = |found: &Directory| found.names.is_empty() && found.of_digests.is_empty();
        let mut directory = directory.to_owned();
        while !directory.is_empty() && self.directories.get(&directory).is_some_and(is_empty) {
            self.directories.remove(&directory);
            let (above, name) = split(&directory);
            if let Some(found) = self.directories.get_mut(above)
                && found.names.get(name).is_some_and(Option::is_none)
            {
                found.names.remove(name);
            }
            directory.truncate(above.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    const HEX: [&str; 3] = [
        "0000000000000000000000000000000000000000000000000000000000000001",
        "0000000000000000000000000000000000000000000000000000000000000002",
        "00000000000000000000000000000000000000000000000000000000000000aa",
    ];

    /// Keys as they are below a registry's root, in their order, and some that no registry writes.
    fn keys() -> Vec<String> {
        let [one, two, three] = HEX;
        let keys = [
            format!("blobs/00/{one}"),
            format!("blobs/00/{one}/data"),
            format!("blobs/00/{two}/a"),
            format!("blobs/00/{two}/data"),
            format!("blobs/00/{two}/z"),
            format!("blobs/00/{three}/data"),
            "blobs/readme".to_owned(),
            "repositories/app".to_owned(),
            format!("repositories/app/_layers/{one}/link"),
            format!("repositories/app/_layers/{two}/data"),
            format!("repositories/app/_layers/{two}/link"),
            format!("repositories/app/_manifests/revisions/{one}/link"),
            format!("repositories/app/_manifests/revisions/{one}/signatures/{three}/link"),
            "repositories/app/_manifests/tags/v1/current/link".to_owned(),
        ];
        assert!(keys.is_sorted());
        keys.into()
    }

    fn snapshot(keys: &[String]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (number, key) in (0..).zip(keys) {
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
            snapshot.add(key, Listed { bytes: number, modified: Some(modified) });
        }
        snapshot.finish();
        snapshot
    }

    /// Compares every answer with what the keys themselves say.
    fn check(snapshot: &Snapshot, keys: &[String]) {
        let mut directories: BTreeSet<&str> = BTreeSet::from([""]);
        for key in keys {
            directories.extend(key.match_indices('/').map(|(end, _)| &key[..end]));
        }
        for directory in &directories {
            let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
            let inside = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
            let expected: BTreeSet<(String, EntryKind)> = inside
                .clone()
                .map(|below| match below.split_once('/') {
                    Some((name, _)) => (name.to_owned(), EntryKind::Directory),
                    None => (below.to_owned(), EntryKind::File),
                })
                .collect();
            let mut listed = BTreeSet::new();
            assert!(snapshot.list(directory, &mut |name, kind| drop(listed.replace((name.to_owned(), kind)))));
            let hashes = snapshot.digests(directory);
            listed.extend(hashes.iter().flat_map(|page| &**page).map(|hash| (hex::encode(hash), EntryKind::Directory)));
            assert_eq!(listed, expected, "{directory:?}");
            let mut walked = Vec::new();
            snapshot.walk(directory, &mut |object| walked.push(object.key.to_owned()));
            walked.sort();
            assert_eq!(walked, inside.map(|below| format!("{prefix}{below}")).collect::<Vec<_>>(), "{directory:?}");
            assert_eq!(
                snapshot.stat(directory).map(|found| found.kind),
                (!keys.is_empty()).then_some(EntryKind::Directory)
            );
        }
        for key in keys {
            assert!(snapshot.object(key).is_some(), "{key}");
        }
    }

    #[test]
    fn a_snapshot_answers_as_its_keys_say() {
        check(&snapshot(&keys()), &keys());
        let found = snapshot(&keys()).object(&keys()[5]);
        assert_eq!(found.map(|found| found.bytes), Some(5));
    }

    #[test]
    fn many_digests_that_arrive_in_two_parts_are_in_order() {
        let key = |number: u32| format!("app/_layers/{number:064x}/link");
        let keys: Vec<String> = (0..1000).map(key).collect();
        let (one, two) = keys.split_at(600);
        let mut arriving: Vec<String> = one.to_vec();
        // Two listings side by side.
        two.iter().enumerate().for_each(|(number, key)| arriving.insert(number * 2, key.clone()));
        let mut snapshot = snapshot(&arriving);
        check(&snapshot, &keys);
        // Another object in the directory of a digest makes it a directory like any other, at any time.
        for number in [0, 255, 256, 999] {
            snapshot.insert(&format!("app/_layers/{number:064x}/z"), Listed { bytes: 1, modified: None });
            assert!(snapshot.object(&key(number)).is_some());
        }
        keys.iter().for_each(|key| snapshot.forget(key));
        let mut left = Vec::new();
        snapshot.walk("", &mut |object| left.push(object.key.to_owned()));
        left.sort_unstable();
        assert_eq!(left, [0, 255, 256, 999].map(|number| format!("app/_layers/{number:064x}/z")));
    }

    #[test]
    fn a_deleted_object_is_forgotten_with_the_directories_that_only_it_showed() {
        for number in 0..keys().len() {
            let (mut left, mut snapshot) = (keys(), snapshot(&keys()));
            let deleted = left.remove(number);
            snapshot.forget(&deleted);
            assert!(snapshot.object(&deleted).is_none(), "{deleted}");
            check(&snapshot, &left);
        }
        let mut snapshot = snapshot(&keys());
        keys().iter().for_each(|key| snapshot.forget(key));
        for directory in ["blobs", "blobs/00", "repositories/app/_manifests"] {
            assert!(snapshot.stat(directory).is_none(), "{directory}");
        }
    }

    #[test]
    fn a_link_that_vanishes_or_becomes_empty_is_being_written() {
        let (all, before) = (keys(), snapshot(&keys()));
        assert_eq!(snapshot(&all).link_written_since(&before), None);
        let link = all.iter().rposition(|key| key.ends_with("/link")).unwrap();
        let mut fewer = all.clone();
        fewer.remove(link);
        assert_eq!(snapshot(&fewer).link_written_since(&before), Some(all[link].clone()));
        assert_eq!(before.link_written_since(&snapshot(&fewer)), None, "one that is new and whole is no harm");
        let mut emptied = snapshot(&fewer);
        emptied.insert(&all[link], Listed { bytes: 0, modified: None });
        assert_eq!(emptied.link_written_since(&before), Some(all[link].clone()));
        assert_eq!(emptied.link_written_since(&emptied), None, "it was empty before");
        let directory = &all[link][..all[link].len() - "/current/link".len()];
        assert_eq!(emptied.empty_link(directory), Some(all[link].clone()));
        assert_eq!((emptied.empty_link(&all[link]), before.empty_link("")), (Some(all[link].clone()), None));
    }

    #[test]
    fn keys_that_no_registry_writes_are_ignored_and_counted() {
        let odd = ["a//b", "a/../b", "a/./b", "a/", "/a", "a/\u{1}", "a/\u{ffff}"].map(str::to_owned);
        let mut walked = 0;
        snapshot(&odd).walk("", &mut |_| walked += 1);
        assert_eq!((walked, snapshot(&odd).ignored()), (0, 7));
    }
}
