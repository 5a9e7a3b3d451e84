//! What every storage backend must do, checked by one call.

use regc_core::storage::{Content, DeleteStorage, EntryKind, Removal};

/// Checks the contracts of `ReadStorage` and `DeleteStorage` on storage that `with_objects` makes from keys and
/// contents.
pub fn check(with_objects: impl Fn(&[(&str, &str)]) -> Box<dyn DeleteStorage>) {
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

    assert_eq!(storage.list_prefix("a/b").unwrap(), ["a/b/one/link", "a/b/two/link", "a/b/two/more"]);
    assert_eq!(storage.list_prefix("a/b/t").unwrap(), [""; 0], "a prefix is a directory");
    assert_eq!(storage.list_prefix("nothing").unwrap(), [""; 0]);

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

    let keys = ["one/link".to_owned(), "nothing".to_owned(), "two".to_owned()];
    let each: Vec<_> = storage.stat_each("a/b", &keys).unwrap().into_iter().map(|m| m.map(|m| m.kind)).collect();
    assert_eq!(each, [Some(file), None, Some(directory)]);
    assert_eq!(storage.stat_each("nothing", &keys).unwrap(), [None; 3]);
    let mut contents = Vec::new();
    storage.read_each("a/b", &keys, 100, &mut |content| contents.push(content)).unwrap();
    assert_eq!(contents, [Some(Content::Whole(b"1".to_vec())), None, None]);

    let removals = storage.remove(&["a/b/one/link", "a/nothing/link", "a/b/two/link"].map(str::to_owned));
    assert_eq!(removals.len(), 3, "one answer for each key");
    assert!(removals.iter().all(|removal| matches!(removal, Removal::Done)), "what is not there counts as removed");
    assert_eq!(stat("a/b/one"), None, "an emptied directory goes");
    assert_eq!(list("a/b/two"), (true, vec![("more".into(), file)]), "what was not named stays");
    assert!(storage.remove_empty_directories(&["a/b/two".into(), "nothing".into()]).iter().all(Result::is_ok));
    assert_eq!(stat("a/b/two/more"), Some((file, 1)));
}
