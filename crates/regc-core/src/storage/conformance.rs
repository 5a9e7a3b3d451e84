//! What every storage must do, as named checks, for authors of backends.
//!
//! ```
//! use regc_core::storage::conformance::check;
//! use regc_core::storage::memory::MemoryStorage;
//!
//! let lacking = check(&|objects| Box::new(objects.iter().copied().collect::<MemoryStorage>()));
//! assert_eq!(lacking, [], "it has a trash and directories");
//! ```

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use super::lock::Holder;
use super::{Content, DeleteStorage, Entry, EntryKind, Moved, Removal, Removing, TrashStorage};
use crate::error::Error;

/// Creates a storage that holds these objects, by key and content, and nothing else.
pub type Make<'a> = &'a dyn Fn(&[(&str, &str)]) -> Box<dyn DeleteStorage>;

/// An optional capability of a storage. It is checked only if the storage has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capability {
    /// It has a trash: see [`DeleteStorage::as_trash`].
    Trash,
    /// It has directories, which have a time and may be empty.
    Directories,
}

impl Capability {
    /// Whether a storage that holds an object at `a/top` has this capability.
    fn is_of(self, storage: &dyn DeleteStorage) -> bool {
        match self {
            Self::Trash => storage.as_trash().is_some(),
            Self::Directories => {
                let directory = storage.stat("a").expect("a key can be asked for").expect("it is there");
                directory.modified.is_some()
            }
        }
    }
}

/// A check. It panics with a description if a storage does not do what the check's name says.
#[derive(Clone, Copy)]
pub struct Check {
    /// The name.
    pub name: &'static str,
    /// What a storage must be able to do to be checked.
    pub capability: Option<Capability>,
    /// Checks the storage that it creates.
    pub run: fn(Make<'_>),
}

/// Runs all checks that apply to the storage. Panics at the first failure, and prints the check's name to standard
/// error. Returns the capabilities that the storage lacks, so that a test can assert them.
#[must_use = "what a storage cannot do was not checked"]
pub fn check(make: Make<'_>) -> Vec<Capability> {
    let storage = make(&OBJECTS);
    let mut lacking = vec![Capability::Trash, Capability::Directories];
    lacking.retain(|capability| !capability.is_of(&*storage));
    drop(storage);
    for Check { name, capability, run } in checks() {
        if capability.is_some_and(|capability| lacking.contains(&capability)) {
            continue;
        }
        let named = Named(name);
        run(make);
        std::mem::forget(named);
    }
    lacking
}

/// Returns all checks, the simplest first.
pub fn checks() -> impl Iterator<Item = Check> {
    type Run = fn(Make<'_>);
    let (trash, directories) = (Some(Capability::Trash), Some(Capability::Directories));
    let checks: [(&'static str, Option<Capability>, Run); 28] = [
        ("lists the names directly below a directory", None, lists_names),
        ("walks every object below a directory", None, walks_objects),
        ("lists and walks more names than fit on one page of a listing", None, lists_many_names),
        ("lists the same digests, shared or not", None, shares_digests),
        ("treats what is absent as empty, not as an error", None, takes_absent_for_empty),
        ("reads whole objects up to a limit", None, reads_whole_objects),
        ("reads objects in parts", None, reads_in_parts),
        ("reads large objects to their end", None, reads_large_objects),
        ("reports the kind and length of what is at a key", None, knows_kind_and_length),
        ("answers several keys in their order", None, answers_in_order),
        ("adds up the bytes below a directory", None, adds_up_bytes),
        ("distinguishes similar names", None, distinguishes_names),
        ("can be called from its own callbacks", None, may_be_called),
        ("removes objects, and directories that become empty", None, removes_objects),
        ("counts what is absent as removed", None, counts_absent_as_removed),
        ("keeps what was modified too recently", None, spares_what_is_recent),
        ("removes only empty directories", None, removes_empty_directories),
        ("returns a result for each object to remove", trash, answers_for_each),
        ("updates the time of a directory when a name is added to it", directories, dates_directories),
        ("keeps a directory on request, or if it was modified too recently", directories, leaves_directories),
        ("keeps what was modified too recently instead of moving it", trash, spares_instead_of_moving),
        ("moves objects instead of removing them", trash, moves_instead_of_removing),
        ("moves objects back, and overwrites nothing", trash, overwrites_nothing),
        ("creates complete objects or none", trash, creates_whole_objects),
        ("replaces an object in one step, and keeps what was there", trash, replaces),
        ("removes everything below a key", trash, removes_everything_below),
        ("allows one holder of its lock at a time", None, has_one_holder),
        ("dates a lock after everything that was written before", None, dates_a_lock),
    ];
    checks.into_iter().map(|(name, capability, run)| Check { name, capability, run })
}

/// Prints the name of the check that panics.
struct Named(&'static str);

impl Drop for Named {
    fn drop(&mut self) {
        // A failure to print this cannot be reported.
        writeln!(io::stderr(), "the storage fails this check: {}", self.0).ok();
    }
}

const OBJECTS: [(&str, &str); 4] =
    [("a/b/one/link", "1"), ("a/b/two/link", "22"), ("a/b/two/more", "3"), ("a/top", "")];

fn names(storage: &dyn DeleteStorage, directory: &str) -> (bool, Vec<(String, EntryKind)>) {
    let mut entries = Vec::new();
    let found = storage.list(directory, &mut |entry| entries.push((entry.name.to_owned(), entry.kind)));
    entries.sort();
    (found.expect("a directory can be listed"), entries)
}

fn length(storage: &dyn DeleteStorage, key: &str) -> Option<(EntryKind, u64)> {
    storage.stat(key).expect("a key can be asked for").map(|metadata| (metadata.kind, metadata.bytes))
}

fn text(storage: &dyn DeleteStorage, key: &str) -> Option<String> {
    match storage.read(key, 9).expect("an object can be read")? {
        Content::Whole(text) => Some(String::from_utf8(text).expect("what was written is text")),
        Content::TooLarge => panic!("{key} has more than nine bytes"),
    }
}

fn trash(storage: &dyn DeleteStorage) -> &dyn TrashStorage {
    storage.as_trash().expect("it has a trash")
}

fn write(storage: &dyn DeleteStorage, key: &str, text: &str) {
    trash(storage).create(key, &mut |to| to.write_all(text.as_bytes())).expect("an object can be made");
}

fn in_an_hour() -> Option<SystemTime> {
    Some(SystemTime::now() + Duration::from_secs(3600))
}

fn lists_names(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let (directory, file) = (EntryKind::Directory, EntryKind::File);
    assert_eq!(names(&*storage, "a"), (true, vec![("b".into(), directory), ("top".into(), file)]));
    assert_eq!(names(&*storage, "a/b"), (true, vec![("one".into(), directory), ("two".into(), directory)]));
}

fn walks_objects(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let walked = |directory: &str| {
        let mut objects = Vec::new();
        let walked = storage.walk(directory, &mut |object| {
            let metadata = storage.stat(object.key).expect("a key can be asked for").expect("it is there");
            assert_eq!((object.bytes, object.modified), (metadata.bytes, metadata.modified), "{}", object.key);
            assert!(object.modified.is_some(), "{} has no time: it would never be deleted", object.key);
            objects.push((object.key.to_owned(), object.bytes));
            ControlFlow::Continue(())
        });
        walked.expect("a directory can be walked");
        objects.sort();
        objects
    };
    let objects = |below: &str| -> Vec<(String, u64)> {
        let objects = OBJECTS.into_iter().filter(|(key, _)| key.starts_with(below));
        objects.map(|(key, content)| (key.to_owned(), content.len() as u64)).collect()
    };
    assert_eq!((walked(""), walked("a/b")), (objects(""), objects("a/b/")));
    assert_eq!((walked("a/b/o"), walked("nothing")), (vec![], vec![]), "a directory is more than a prefix");
    let mut visited = 0;
    let stopped = storage.walk("", &mut |_| {
        visited += 1;
        ControlFlow::Break(())
    });
    assert!(stopped.is_ok() && visited == 1, "it stops when it is told to: {visited} objects");
}

fn lists_many_names(make: Make<'_>) {
    let keys: Vec<String> = (0..2_500).map(|number| format!("a/{number:04}/link")).collect();
    let objects: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "1")).collect();
    let storage = make(&objects);
    assert_eq!(names(&*storage, "a").1.len(), keys.len(), "a listing that ends early makes garbage of the rest");
    let mut walked = 0;
    let all = storage.walk("a", &mut |_| {
        walked += 1;
        ControlFlow::Continue(())
    });
    assert!(all.is_ok() && walked == keys.len(), "{walked} objects were walked");
    let below: Vec<String> = (0..2_500).map(|number| format!("{number:04}")).collect();
    let mut listed = 0;
    let each = storage.list_each("a", &below, &mut |_, _| listed += 1);
    assert!(each.iter().all(|found| matches!(found, Ok(true))) && listed == keys.len(), "{listed} names were listed");
    let removals = storage.remove(&keys, &Removing::default());
    assert!(removals.len() == keys.len() && removals.iter().all(|removal| matches!(removal, Removal::Done)));
    assert!(names(&*storage, "a").1.is_empty(), "what is reported as deleted is gone");
}

fn shares_digests(make: Make<'_>) {
    let hex = |number: u32| format!("{number:064x}");
    let mut keys: Vec<String> = (0..600).map(|number| format!("a/{}/data", hex(number))).collect();
    // More beside the content, and what is named after no digest.
    keys.extend([format!("a/{}/z", hex(7)), format!("a/{}/data", &hex(8)[1..]), "a/file".to_owned()]);
    let objects: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "1")).collect();
    let storage = make(&objects);
    let listed = || {
        let mut names = Vec::new();
        let visit = &mut |entry: Entry<'_>| names.push((entry.name.to_owned(), entry.kind));
        let digests = storage.list_digests("a", visit).expect("it can be listed");
        assert!(digests.iter().all(|page| page.is_sorted_by(|one, next| one < next)), "each once, and in order");
        let digests = digests.iter().flat_map(|page| page.iter().map(hex::encode));
        names.extend(digests.map(|name| (name, EntryKind::Directory)));
        names.sort();
        names
    };
    assert_eq!(listed(), names(&*storage, "a").1, "a blob that is not listed is served all the same");
    assert_eq!(listed().len(), 600 + 2, "each name once");
    let removal = storage.remove(&keys[..1], &Removing::default());
    assert!(matches!(*removal, [Removal::Done]));
    assert_eq!(listed(), names(&*storage, "a").1, "shared or not");
    assert_eq!(listed().len(), 600 + 1, "what is gone is not listed");
}

fn takes_absent_for_empty(make: Make<'_>) {
    let storage = make(&OBJECTS);
    for absent in ["a/nothing", "a/top/below", "a/top"] {
        assert_eq!(names(&*storage, absent), (false, vec![]), "{absent} is no directory");
    }
    for absent in ["a/b", "a/b/nothing"] {
        assert_eq!(storage.read(absent, 100).expect("no error"), None, "{absent} is no object");
    }
    assert_eq!(length(&*storage, "a/b/nothing"), None);
}

fn reads_whole_objects(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let read = |key: &str, limit| storage.read(key, limit).expect("an object can be read");
    assert_eq!(read("a/b/two/link", 2), Some(Content::Whole(b"22".to_vec())));
    assert_eq!(read("a/b/two/link", 1), Some(Content::TooLarge));
    assert_eq!(read("a/top", 0), Some(Content::Whole(Vec::new())));
}

fn reads_in_parts(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let mut parts = Vec::new();
    let mut keep = |part: &[u8]| {
        parts.extend_from_slice(part);
        ControlFlow::Continue(())
    };
    assert!(storage.read_in_parts("a/b/two/link", &mut keep).expect("an object can be read"));
    assert_eq!(parts, b"22");
    let nothing = storage.read_in_parts("a/b/nothing", &mut |_| panic!("there is nothing"));
    assert!(!nothing.expect("what is absent is no error"));
}

fn reads_large_objects(make: Make<'_>) {
    // Longer than the parts in which programs commonly read, and not a multiple of them.
    let content = "0123456789".repeat(300_001);
    let storage = make(&[("a/large", &content)]);
    let mut read = Vec::new();
    let mut parts = 0;
    let found = storage.read_in_parts("a/large", &mut |part| {
        parts += 1;
        read.extend_from_slice(part);
        ControlFlow::Continue(())
    });
    assert!(found.expect("an object can be read"));
    assert_eq!(read.len(), content.len(), "in {parts} parts");
    assert!(read == content.as_bytes(), "the parts are in order");
    assert_eq!(storage.read("a/large", 3_000_010).expect("it can be read"), Some(Content::Whole(read)));
    assert_eq!(storage.read("a/large", 3_000_009).expect("it can be read"), Some(Content::TooLarge));
    let mut after_the_first = 0;
    let stopped = storage.read_in_parts("a/large", &mut |_| {
        after_the_first += 1;
        ControlFlow::Break(())
    });
    assert!(stopped.expect("stopping is no error") && after_the_first == 1, "it stops when it is told to");
}

fn knows_kind_and_length(make: Make<'_>) {
    let storage = make(&OBJECTS);
    assert_eq!(length(&*storage, "a/b/two/link"), Some((EntryKind::File, 2)));
    assert_eq!(length(&*storage, "a/b").map(|(kind, _)| kind), Some(EntryKind::Directory));
    let real = storage.as_posix().map(|posix| posix.real_directory("a/b").expect("it is there"));
    assert_eq!(real.as_deref().unwrap_or("a/b"), "a/b", "without symbolic links");
}

fn answers_in_order(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let keys = ["one/link".to_owned(), "nothing".to_owned(), "two".to_owned()];
    let each = storage.stat_each("a/b", &keys).expect("keys can be asked for").into_iter();
    let kinds: Vec<_> = each.map(|metadata| metadata.map(|metadata| metadata.kind)).collect();
    assert_eq!(kinds, [Some(EntryKind::File), None, Some(EntryKind::Directory)]);
    assert_eq!(storage.stat_each("nothing", &keys).expect("no error"), [None; 3]);
    for (key, metadata) in keys.iter().zip(storage.stat_each("a/b", &keys).expect("keys can be asked for")) {
        assert_eq!(metadata, storage.stat(&format!("a/b/{key}")).expect("a key can be asked for"), "{key}");
    }
    let (directories, mut names) = (["one", "nothing", "two"].map(str::to_owned), Vec::new());
    let listed =
        storage.list_each("a/b", &directories, &mut |number, entry| names.push((number, entry.name.to_owned())));
    let listed: Vec<bool> = listed.into_iter().map(|found| found.expect("it can be listed")).collect();
    names.sort();
    assert_eq!(listed, [true, false, true]);
    assert_eq!(names, [(0, "link".to_owned()), (2, "link".to_owned()), (2, "more".to_owned())]);
    let (links, mut contents) = (["one/link", "nothing", "two/link"].map(str::to_owned), Vec::new());
    storage.read_each("a/b", &links, 1, &mut |content| contents.push(content)).expect("objects can be read");
    assert_eq!(contents, [Some(Content::Whole(b"1".to_vec())), None, Some(Content::TooLarge)]);
    let mut contents = Vec::new();
    storage.read_each("a/b", &keys, 100, &mut |content| contents.push(content)).expect("objects can be read");
    assert_eq!(contents, [Some(Content::Whole(b"1".to_vec())), None, None]);
}

fn adds_up_bytes(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let bytes = |directory: &str, left_out: &str| {
        storage.bytes_below(directory, &|name| name == left_out).expect("a directory can be walked")
    };
    assert_eq!((bytes("a", ""), bytes("a/b", "two")), (4, 1));
    assert_eq!(bytes("a/b", "link"), 4, "only a name directly in it is left out");
    assert_eq!((bytes("nothing", ""), bytes("a/b/one/link", "")), (0, 0), "there is nothing below");
}

fn removes_objects(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let keys = ["a/b/one/link", "a/b/two/link"].map(str::to_owned);
    let removals = storage.remove(&keys, &Removing { unless_modified_since: in_an_hour(), ..Removing::default() });
    assert!(matches!(removals[..], [Removal::Done, Removal::Done]), "one answer for each key: {removals:?}");
    assert_eq!(length(&*storage, "a/b/one"), None, "an emptied directory is removed");
    assert_eq!(names(&*storage, "a/b/two").1, [("more".to_owned(), EntryKind::File)], "what was not named stays");
}

fn counts_absent_as_removed(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let keys = ["a/nothing/link", "a/b/nothing"].map(str::to_owned);
    let removals = storage.remove(&keys, &Removing::default());
    assert!(matches!(removals[..], [Removal::Done, Removal::Done]), "{removals:?}");
}

fn spares_what_is_recent(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let since = Some(SystemTime::UNIX_EPOCH);
    let removals =
        storage.remove(&["a/top".to_owned()], &Removing { unless_modified_since: since, ..Removing::default() });
    assert!(matches!(removals[..], [Removal::Spared]), "all is modified after 1970: {removals:?}");
    let written = storage.stat("a/top").expect("a key can be asked for").expect("it is there").modified;
    let removals =
        storage.remove(&["a/top".to_owned()], &Removing { unless_modified_since: written, ..Removing::default() });
    assert!(matches!(removals[..], [Removal::Spared]), "modified at that very time: {removals:?}");
    assert!(length(&*storage, "a/top").is_some());
}

fn answers_for_each(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let lock = storage.lock(&holder()).expect("it is free");
    write(&*storage, "a/b/three/link", "new");
    let keys = ["a/b/one/link", "a/b/three/link", "a/b/nothing/link", "a/b/two/link"].map(str::to_owned);
    let how = Removing { unless_modified_since: Some(lock.since()), ..Removing::default() };
    let removals = storage.remove(&keys, &how);
    let expected = [Removal::Done, Removal::Spared, Removal::Done, Removal::Done];
    assert!(
        removals.iter().map(std::mem::discriminant).eq(expected.iter().map(std::mem::discriminant)),
        "{removals:?}"
    );
    assert_eq!(text(&*storage, "a/b/three/link").as_deref(), Some("new"));
}

fn dates_directories(make: Make<'_>) {
    let storage = make(&OBJECTS);
    if storage.as_trash().is_none() {
        return;
    }
    let lock = storage.lock(&holder()).expect("it is free");
    write(&*storage, "a/b/three/link", "new");
    let directory = storage.stat("a/b").expect("a key can be asked for").expect("it is there");
    assert!(directory.may_be_recent(lock.since()), "what was added is not found again: {:?}", directory.modified);
}

fn distinguishes_names(make: Make<'_>) {
    let storage = make(&[("a/b/link", "1"), ("a/bc/link", "2"), ("a/B/more", "3")]);
    assert!(length(&*storage, "a/b/LINK").is_none() && length(&*storage, "a/b/more").is_none());
    assert_eq!(names(&*storage, "a/b").1, [("link".to_owned(), EntryKind::File)]);
    assert_eq!(storage.bytes_below("a/b", &|_| false).expect("it can be walked"), 1);
    // A key is that of an object, not of all below.
    storage.remove(&["a/b".to_owned()], &Removing::default());
    assert_eq!(text(&*storage, "a/b/link").as_deref(), Some("1"));
}

fn may_be_called(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let stop = ControlFlow::Break(());
    let remove = |key: &str| storage.remove(&[key.to_owned()], &Removing::default());
    let mut removals = Vec::new();
    storage
        .read_in_parts("a/b/two/link", &mut |_| {
            removals.extend(remove("a/b/one/link"));
            stop
        })
        .expect("an object can be read");
    storage
        .walk("a/b", &mut |_| {
            removals.extend(remove("a/top"));
            stop
        })
        .expect("a directory can be walked");
    assert!(matches!(removals[..], [Removal::Done, Removal::Done]), "{removals:?}");
}

fn spares_instead_of_moving(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let since = Some(SystemTime::UNIX_EPOCH);
    let how = Removing { unless_modified_since: since, into: Some("trash/run"), leave_directory: false };
    for key in ["a/b/one/link", "a/top"] {
        let removals = storage.remove(&[key.to_owned()], &how);
        assert!(matches!(removals[..], [Removal::Spared]), "all is modified after 1970: {removals:?}");
        assert!(length(&*storage, key).is_some() && length(&*storage, &format!("trash/run/{key}")).is_none());
    }
}

fn removes_empty_directories(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let removed = storage.remove_empty_directories(&["a/b/two".into(), "nothing".into()], None);
    assert!(removed.iter().all(Result::is_ok), "neither is an error: {removed:?}");
    assert_eq!(length(&*storage, "a/b/two/more"), Some((EntryKind::File, 1)));
}

fn leaves_directories(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let directory = ["a/b/one".to_owned()];
    let removals =
        storage.remove(&["a/b/one/link".to_owned()], &Removing { leave_directory: true, ..Removing::default() });
    assert!(matches!(removals[..], [Removal::Done]), "{removals:?}");
    assert!(length(&*storage, "a/b/one/link").is_none() && length(&*storage, "a/b/one").is_some());
    let remove = |since| storage.remove_empty_directories(&directory, since).into_iter().all(|removed| removed.is_ok());
    assert!(remove(Some(SystemTime::UNIX_EPOCH)) && length(&*storage, "a/b/one").is_some(), "it is recent");
    assert!(remove(in_an_hour()) && length(&*storage, "a/b/one").is_none());
}

fn moves_instead_of_removing(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let into = Removing { into: Some("trash/run"), ..Removing::default() };
    for (key, content) in [("a/b/one/link", "1"), ("a/top", "")] {
        let removals = storage.remove(&[key.to_owned()], &Removing { unless_modified_since: in_an_hour(), ..into });
        assert!(matches!(removals[..], [Removal::Done]), "{removals:?}");
        assert_eq!(length(&*storage, key), None);
        assert_eq!(text(&*storage, &format!("trash/run/{key}")).as_deref(), Some(content));
    }
    assert_eq!(length(&*storage, "a/b/one"), None);
}

fn overwrites_nothing(make: Make<'_>) {
    let storage = make(&[("trash/run/a/b/more", "3")]);
    let move_back =
        || trash(&*storage).move_object("trash/run/a/b/more", "a/b/more", "trash/run").expect("it can be moved");
    assert_eq!((move_back(), text(&*storage, "a/b/more").as_deref()), (Moved::Done, Some("3")));
    assert_eq!(length(&*storage, "trash/run/a"), None, "no empty directory is left");
    assert_eq!(move_back(), Moved::Absent);
    write(&*storage, "trash/run/a/b/more", "other");
    assert_eq!((move_back(), text(&*storage, "a/b/more").as_deref()), (Moved::Exists, Some("3")));
}

fn creates_whole_objects(make: Make<'_>) {
    let storage = make(&OBJECTS);
    write(&*storage, "a/new", "new");
    assert_eq!(text(&*storage, "a/new").as_deref(), Some("new"));
    assert!(trash(&*storage).create("a/top", &mut |to| to.write_all(b"other")).is_err(), "there is one");
    assert_eq!(text(&*storage, "a/top").as_deref(), Some(""));
    let half = trash(&*storage).create("a/half", &mut |to| {
        to.write_all(b"half")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert!(half.is_err() && length(&*storage, "a/half").is_none(), "half of it is worse than nothing");
}

fn replaces(make: Make<'_>) {
    let storage = make(&[("a/b/more", "3"), ("trash/new", "new")]);
    let replace =
        |to: &str, since| trash(&*storage).replace("trash/new", to, "trash/kept", since).expect("it can be replaced");
    assert!(!replace("a/b/more", Some(SystemTime::UNIX_EPOCH)), "all is modified after 1970");
    assert_eq!(["a/b/more", "trash/new"].map(|key| text(&*storage, key)), [Some("3".into()), Some("new".into())]);
    assert!(replace("a/b/more", in_an_hour()));
    let found = ["a/b/more", "trash/kept/a/b/more", "trash/new"].map(|key| text(&*storage, key));
    assert_eq!(found, [Some("new".into()), Some("3".into()), None]);
    write(&*storage, "trash/new", "again");
    assert!(replace("a/c/more", None), "there need not be anything");
    let found = ["a/c/more", "trash/kept/a/c/more"].map(|key| text(&*storage, key));
    assert_eq!(found, [Some("again".into()), None]);
    assert!(
        trash(&*storage).replace("trash/new", "a/b/more", "trash/once more", None).is_err(),
        "there is nothing new"
    );
    assert_eq!(text(&*storage, "a/b/more").as_deref(), Some("new"));
}

fn removes_everything_below(make: Make<'_>) {
    let storage = make(&[("a/b/one/link", "1"), ("a/bc/link", "2"), ("a/top", "")]);
    for _ in 0..2 {
        trash(&*storage).remove_all("a/b").expect("it can be removed, and is no error once it is gone");
        assert_eq!((length(&*storage, "a/b"), text(&*storage, "a/top").as_deref()), (None, Some("")));
        assert_eq!(text(&*storage, "a/bc/link").as_deref(), Some("2"), "a name that begins alike");
    }
}

fn holder() -> Holder {
    Holder { program: String::new(), pid: 7, host: "machine".into(), since: "today".into() }
}

fn has_one_holder(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let lock = storage.lock(&holder()).expect("it is free");
    let Err(Error::Locked { holder: named, .. }) = storage.lock(&holder()) else { panic!("it is locked") };
    assert_eq!(named, "process 7 on machine, since today");
    drop(lock);
    drop(storage.lock(&holder()).expect("it is free again"));
    assert_eq!(names(&*storage, "").1, [("a".to_owned(), EntryKind::Directory)], "a lock leaves nothing");
}

fn dates_a_lock(make: Make<'_>) {
    let storage = make(&OBJECTS);
    let before = storage.stat("a/top").expect("a key can be asked for").expect("it is there").modified;
    let lock = storage.lock(&holder()).expect("it is free");
    assert!(before.is_some_and(|before| before < lock.since()), "{before:?} is not before {:?}", lock.since());
    let later = make(&OBJECTS).stat("a/top").expect("a key can be asked for").expect("it is there");
    assert!(later.may_be_recent(lock.since()), "{:?}, which was made later, is before it", later.modified);
    if storage.as_trash().is_none() {
        return;
    }
    write(&*storage, "a/new", "");
    let after = storage.stat("a/new").expect("a key can be asked for").expect("it is there");
    assert!(after.may_be_recent(lock.since()), "{:?} is before {:?}", after.modified, lock.since());
}
