//! Stores of shapes that nobody builds by accident. What regc needs for one grows no faster than the store does.

use std::path::Path;

use regc_core::digest::Digest;
use regc_testkit::TestRegistry;

use crate::common::{Run, regc};

/// Indexes, each the only one in the next. The last has a tag.
fn chain(length: usize) -> TestRegistry {
    let mut registry = TestRegistry::new();
    let mut digest = registry.image("app").layers(["base"]).push();
    for _ in 1..length {
        digest = registry.index("app").manifests([digest]).push();
    }
    registry.index("app:top").manifests([digest]).push();
    registry
}

/// Levels of two indexes that both hold both of the level below, so that the ways through them are 2 to the power of
/// `levels`.
fn lattice(levels: usize) -> TestRegistry {
    let mut registry = TestRegistry::new();
    let mut below: [Digest; 2] = ["a", "b"].map(|name| registry.image("app").layers([name]).push());
    for _ in 1..levels {
        let [one, other] = below;
        below = [
            registry.index("app").manifests([one, other]).push(),
            registry.index("app").manifests([other, one]).push(),
        ];
    }
    registry.index("app:top").manifests(below).push();
    registry
}

/// An image, and that much attached to it.
fn star(referrers: usize) -> TestRegistry {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:top").layers(["base"]).push();
    for number in 0..referrers {
        registry.image("app").layers([format!("signature {number}")]).subject(image).push();
    }
    registry
}

fn tree(root: &Path, format: &str) -> Run {
    regc(["ls", "--tree", "--format", format, "--root", root.to_str().unwrap()])
}

#[test]
fn a_tree_is_as_long_as_the_store_has_images() {
    for format in ["human", "json"] {
        for shape in [chain, lattice, star] {
            let length = |size: usize| {
                let run = tree(shape(size).on_disk().path(), format);
                assert_eq!(run.code, 0, "{}", run.stderr);
                run.stdout.len()
            };
            let (once, twice) = (length(60), length(120));
            assert!(twice < once * 5 / 2, "{format}: {once} and {twice} bytes");
        }
    }
}

#[test]
fn a_chain_of_indexes_may_be_long() {
    let root = chain(3000).on_disk();
    let (people, programs) = (tree(root.path(), "human"), tree(root.path(), "json"));
    assert_eq!((people.code, people.stdout.lines().count()), (0, 3002), "{}", people.stderr);
    assert_eq!((programs.code, programs.stdout.lines().count()), (0, 3002), "{}", programs.stderr);
}
