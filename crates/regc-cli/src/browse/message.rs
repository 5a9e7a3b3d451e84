//! What the window and the threads that read the store say to each other. All of it is owned: the window reads no storage.

use std::time::SystemTime;

use regc_core::inspect::catalog::Listing;
use regc_core::inspect::reclaimable::Reclaimed;
use regc_core::{Deletion, Digest};

use super::state::What;

/// What the window asks for.
pub enum Request {
    /// The images of a repository.
    Images(String),
    /// What is freed by a deletion; `of` comes back with the answer.
    Sum { of: Subject, deletion: Deletion },
    /// How many repositories need each of these blobs.
    Needs(Vec<Digest>),
    /// To lock the store, and say what a deletion would delete.
    Plan(Deletion),
    /// To carry out the deletion that was planned last, or to let it be.
    Answer(bool),
}

/// What a sum is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Everything that is marked; marks are numbered as they change.
    Marks(u64),
    /// One thing.
    One(What),
}

/// What the threads have found out.
pub enum Message {
    /// The repositories and their tags: the first that is known, and all anew after something was removed.
    Names(Vec<Named>),
    /// Where the bytes are.
    Sizes(Box<Sizes>),
    /// The images of a repository; `None` if it is no longer there.
    Images(String, Option<Box<Listing>>),
    /// What a deletion frees.
    Sum(Subject, Result<Reclaimed, String>),
    /// How many repositories need each of some blobs.
    Needs(Vec<(Digest, u64)>),
    /// What is to be deleted, as soon as that is agreed to.
    Planned(Box<Planned>),
    /// What was deleted.
    Removed(Box<Removed>),
    /// Something was not done, and why: an error, then what caused it.
    Refused(Vec<String>),
    /// The store cannot be read: an error, then what caused it.
    Failed(Vec<String>),
}

/// A repository, as far as names tell.
#[derive(Clone, Debug)]
pub struct Named {
    pub repository: String,
    pub tags: Vec<NamedTag>,
}

/// A tag.
#[derive(Clone, Debug)]
pub struct NamedTag {
    pub name: String,
    pub digest: Option<Digest>,
    pub pushed: SystemTime,
}

/// Where the bytes of a store are.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    pub repositories: Vec<(String, OfRepository)>,
    /// The namespaces, without a slash at their end, with what only they need and what they share.
    pub namespaces: Vec<(String, [u64; 2])>,
    /// What is in use, and what is garbage.
    pub live: u64,
    pub garbage: u64,
    /// Garbage that no repository links.
    pub unlinked_garbage: u64,
}

/// How much space a repository takes up, in bytes.
#[derive(Clone, Debug, Default)]
pub struct OfRepository {
    pub exclusive: u64,
    pub shared: u64,
    pub untagged: u64,
    pub garbage: u64,
    /// The repositories with which it shares most.
    pub shared_with: Vec<(String, u64)>,
    /// For each tag, what only it needs, what it pulls, and how many tags name the same.
    pub tags: Vec<(String, [Option<u64>; 2], u64)>,
}

/// A deletion that was planned.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// The question, which names the store.
    pub question: String,
    /// What is deleted, in numbers.
    pub numbers: String,
    /// The repositories, tags and manifests that are deleted, as `regc rm` takes them.
    pub names: Vec<String>,
    /// What was named and cannot be deleted, with the reasons. Then nothing is.
    pub blocked: Vec<String>,
    /// What else should be known: damage, what listens at the registry's address.
    pub notes: Vec<String>,
    /// How many repositories go, if no other is left: a word must be typed.
    pub everything: Option<u64>,
}

/// What a deletion has done.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// What was done, in numbers.
    pub summary: String,
    /// The command that undoes it.
    pub undo: Option<String>,
    /// What failed, and what is left to do.
    pub notes: Vec<String>,
    pub failed: bool,
}
