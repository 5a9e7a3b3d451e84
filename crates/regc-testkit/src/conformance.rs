//! What every storage backend must do, checked by one call.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use regc_core::storage::{Content, EntryKind, Moved, Removal, Removing, TrashStorage};
use regc_core::{Error, Holder};

/// Checks the contracts of `ReadStorage`, `DeleteStorage` and `TrashStorage` on storage that `with_objects` makes from keys and
/// contents.
pub fn check(with_objects: impl Fn(&[(&str, &str)]) -> Box<dyn TrashStorage>) {
    let storage = with_objects(&[("a/b/one/link", "1"), ("a/b/two/link", "22"), ("a/b/two/more", "3"), ("a/top", "")]);
    let list = |directory: &str| {
        let mut entries = Vec::new();
        let found = storage.list(directory, &mut |entry| entries.push((entry.name.to_owned(), entry.kind))).unwrap();
        entries.sort();
        (found, entries)
    };
    let (directory, file) = (EntryKind::Directory, EntryKind::File);
    assert_eq!(list("a"), (true, vec![("b".into(), directory), ("top".into(), file)]));
    assert_eq!(list("a/b"), (true, vec![("one".into(), directory), ("two".into(), directory)]));
    assert_eq!(list("a/nothing"), (false, vec![]), "an absent directory is no error");
    assert_eq!(list("a/top/below"), (false, vec![]), "nor is one below a file");
    assert_eq!(list("a/top"), (false, vec![]), "nor is a file");

    assert_eq!(storage.read("a/b/two/link", 2).unwrap(), Some(Content::Whole(b"22".to_vec())));
    assert_eq!(storage.read("a/b/two/link", 1).unwrap(), Some(Content::TooLarge));
    assert_eq!(storage.read("a/top", 0).unwrap(), Some(Content::Whole(Vec::new())));
    assert_eq!(storage.read("a/b", 100).unwrap(), None, "a directory is no object");
    assert_eq!(storage.read("a/b/nothing", 100).unwrap(), None);

    let stat = |key: &str| storage.stat(key).unwrap().map(|metadata| (metadata.kind, metadata.bytes));
    assert_eq!(stat("a/b/two/link"), Some((file, 2)));
    assert_eq!(stat("a/b").map(|(kind, _)| kind), Some(directory));
    assert_eq!(stat("a/b/nothing"), None);
    assert_eq!(storage.real_directory("a/b").unwrap(), "a/b");

    let bytes = |directory: &str, left_out: &str| storage.bytes_below(directory, &|name| name == left_out).unwrap();
    assert_eq!((bytes("a", ""), bytes("a/b", "two"), bytes("a/b", "link")), (4, 1, 4), "only a name directly in it");
    assert_eq!((bytes("nothing", ""), bytes("a/b/one/link", "")), (0, 0), "there is nothing below");

    let keys = ["one/link".to_owned(), "nothing".to_owned(), "two".to_owned()];
    let each: Vec<_> = storage.stat_each("a/b", &keys).unwrap().into_iter().map(|m| m.map(|m| m.kind)).collect();
    assert_eq!(each, [Some(file), None, Some(directory)]);
    assert_eq!(storage.stat_each("nothing", &keys).unwrap(), [None; 3]);
    let mut contents = Vec::new();
    storage.read_each("a/b", &keys, 100, &mut |content| contents.push(content)).unwrap();
    assert_eq!(contents, [Some(Content::Whole(b"1".to_vec())), None, None]);

    let mut parts = Vec::new();
    let mut keep = |part: &[u8]| {
        parts.extend_from_slice(part);
        ControlFlow::Continue(())
    };
    assert!(storage.read_in_parts("a/b/two/link", &mut keep).unwrap());
    assert_eq!(parts, b"22");
    assert!(!storage.read_in_parts("a/b/nothing", &mut |_| panic!("there is nothing")).unwrap());

    let keys = ["a/b/one/link", "a/nothing/link", "a/b/two/link"].map(str::to_owned);
    let long_ago = Removing { unless_modified_since: Some(SystemTime::UNIX_EPOCH), ..Removing::default() };
    let removals = storage.remove(&keys[..1], &long_ago);
    assert!(matches!(removals[..], [Removal::Spared]) || stat("a/b/one/link").is_none(), "what is young may stay");
    let in_a_while = SystemTime::now() + Duration::from_secs(3600);
    let removals = storage.remove(&keys, &Removing { unless_modified_since: Some(in_a_while), ..Removing::default() });
    assert_eq!(removals.len(), 3, "one answer for each key");
    assert!(removals.iter().all(|removal| matches!(removal, Removal::Done)), "what is not there counts as removed");
    assert_eq!(stat("a/b/one"), None, "an emptied directory goes");
    assert_eq!(list("a/b/two"), (true, vec![("more".into(), file)]), "what was not named stays");
    assert!(storage.remove_empty_directories(&["a/b/two".into(), "nothing".into()], None).iter().all(Result::is_ok));
    assert_eq!(stat("a/b/two/more"), Some((file, 1)));

    let removals =
        storage.remove(&["a/b/two/more".to_owned()], &Removing { into: Some("trash/run"), ..Removing::default() });
    assert!(matches!(removals[..], [Removal::Done]));
    assert_eq!((stat("a/b/two"), stat("trash/run/a/b/two/more")), (None, Some((file, 1))), "it is moved");
    let move_back = || storage.move_object("trash/run/a/b/two/more", "a/b/two/more", "trash/run").unwrap();
    assert_eq!((move_back(), stat("a/b/two/more")), (Moved::Done, Some((file, 1))));
    assert_eq!(stat("trash/run/a"), None, "no empty directory is left");
    assert_eq!(move_back(), Moved::Absent);
    storage.create("trash/run/a/b/two/more", &mut |to| to.write_all(b"other")).unwrap();
    assert_eq!(move_back(), Moved::Exists);
    assert_eq!(storage.read("a/b/two/more", 9).unwrap(), Some(Content::Whole(b"3".to_vec())), "nothing is overwritten");
    assert!(storage.create("a/b/two/more", &mut |to| to.write_all(b"other")).is_err(), "not by what is made, either");
    assert!(storage.create("a/c", &mut |_| Err(std::io::ErrorKind::StorageFull.into())).is_err());
    assert_eq!(stat("a/c"), None, "half of it is worse than nothing");
    let write = |text: &str| storage.create("trash/new", &mut |to| to.write_all(text.as_bytes())).unwrap();
    let replace = |to: &str, since| storage.replace("trash/new", to, "trash/kept", since).unwrap();
    let read = |key: &str| match storage.read(key, 9).unwrap() {
        Some(Content::Whole(text)) => Some(String::from_utf8(text).unwrap()),
        _ => None,
    };
    write("new");
    if replace("a/b/two/more", Some(SystemTime::UNIX_EPOCH)) {
        write("new");
    } else {
        assert_eq!(read("a/b/two/more").as_deref(), Some("3"), "what is young may stay");
        assert!(replace("a/b/two/more", Some(in_a_while)));
        write("new");
    }
    assert_eq!(["a/b/two/more", "trash/kept/a/b/two/more"].map(read), [Some("new".into()), Some("3".into())]);
    assert!(replace("a/b/three/more", None), "there need not be anything");
    assert_eq!(
        ["a/b/three/more", "trash/kept/a/b/three/more", "trash/new"].map(read),
        [Some("new".into()), None, None]
    );
    assert!(storage.replace("trash/new", "a/b/two/more", "trash/once more", None).is_err(), "there is nothing new");
    assert_eq!(read("a/b/two/more").as_deref(), Some("new"));
    storage.remove_all("trash").unwrap();
    storage.remove_all("trash").unwrap();
    assert_eq!(stat("trash"), None);

    let holder = Holder { program: String::new(), pid: 7, host: "machine".into(), since: "today".into() };
    let lock = storage.lock(&holder).unwrap();
    let Err(Error::Locked { holder: told, .. }) = storage.lock(&holder) else { panic!("it is locked") };
    assert_eq!(told, "process 7 on machine, since today");
    assert!(stat("a/top").is_some() && storage.stat("a/top").unwrap().unwrap().modified < lock.since());
    drop(lock);
    assert!(storage.lock(&holder).unwrap().since() <= SystemTime::now());
    assert_eq!(list("").1.iter().filter(|(name, _)| name != "a").count(), 0, "a lock leaves nothing");
}
