//! Every backend fulfils the contract.

use regc_core::Error;
use regc_core::storage::conformance::{self, Capability};
use regc_core::storage::filesystem::FilesystemStorage;
use regc_core::storage::memory::MemoryStorage;
use regc_testkit::TestRegistry;

#[test]
fn memory_storage_conforms() {
    let lacking = conformance::check(&|objects| Box::new(objects.iter().copied().collect::<MemoryStorage>()));
    assert_eq!(lacking, []);
}

#[test]
fn memory_storage_without_directories_conforms() {
    let make = |objects: &[(&str, &str)]| objects.iter().copied().collect::<MemoryStorage>().without_directories();
    assert_eq!(conformance::check(&|objects| Box::new(make(objects))), [Capability::Directories]);
}

#[test]
fn filesystem_storage_conforms() {
    let lacking = conformance::check(&|objects| {
        let mut registry = TestRegistry::new();
        for (key, content) in objects {
            registry.put(*key, *content);
        }
        Box::new(FilesystemStorage::open(registry.on_disk().keep()).unwrap())
    });
    assert_eq!(lacking, []);
}

#[test]
fn an_absent_root_is_no_empty_registry() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(FilesystemStorage::open(root.path().join("absent")), Err(Error::RootMissing(_))));
    std::fs::write(root.path().join("file"), "").unwrap();
    assert!(matches!(FilesystemStorage::open(root.path().join("file")), Err(Error::RootNotDirectory(_))));
}
