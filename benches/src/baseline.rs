//! The baseline: a walk over a healthy registry that makes the necessary calls and no others.
//!
//! It lists the repositories, checks that each revision's `link` exists, reads every linked manifest once, lists the
//! directories of blobs by name, and asks for the size of what no manifest mentions. Nothing is validated, hashed or
//! parsed, damage is a panic, and every reference counts. No collector of blobs can make fewer calls.
//!
//! With `--layer-links` it also lists the layer links, and checks that those of unmentioned blobs exist, as a
//! collector of links must. With `--remove` it removes what no manifest mentions: one unlink and one rmdir each.

use std::mem::MaybeUninit;
use std::path::PathBuf;

use rayon::prelude::*;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir};

/// Walk over a registry with as few calls as possible
#[derive(clap::Args)]
pub struct Args {
    /// The storage root
    root: PathBuf,
    /// How many threads wait for the storage at once
    #[arg(long, default_value_t = regc_core::stages::scan::Options::default().jobs)]
    jobs: usize,
    /// Also list layer links
    #[arg(long)]
    layer_links: bool,
    /// Remove what no manifest mentions
    #[arg(long)]
    remove: bool,
}

type Hash = [u8; 32];

/// Walks, and prints what was found.
pub fn run(args: &Args) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.jobs).build().unwrap();
    let (links, blobs, bytes) = pool.install(|| walk(args));
    println!("{links} layer links, {blobs} blobs, {bytes} bytes");
}

fn walk(args: &Args) -> (usize, usize, u64) {
    let layout = open(CWD, args.root.join("docker/registry/v2").to_str().unwrap());
    let repositories = open(layout.as_fd(), "repositories");
    let blobs = open(layout.as_fd(), "blobs/sha256");

    let found = below(&repositories, String::new());
    let (names_of, revisions): (Vec<String>, Vec<Vec<Hash>>) = found.into_iter().unzip();
    let mut manifests: Vec<Hash> = revisions.into_iter().flatten().collect();
    manifests.par_sort_unstable();
    manifests.dedup();

    let mut live: Vec<Hash> = manifests
        .par_chunks(64)
        .flat_map_iter(|chunk| {
            let mut content = Vec::with_capacity(1 << 16);
            let mut mentioned = chunk.to_vec();
            for hash in chunk {
                let name = hex::encode(hash);
                let path = format!("{}/{name}/data", &name[..2]);
                let file = rustix::fs::openat(&blobs, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
                content.clear();
                // One read returns the whole manifest, unless it fills the buffer.
                while rustix::io::read(&file, rustix::buffer::spare_capacity(&mut content)).unwrap() == 1 << 16 {
                    content.reserve(1 << 16);
                }
                mention(&content, &mut mentioned);
            }
            mentioned
        })
        .collect();
    live.par_sort_unstable();
    live.dedup();

    let links = names_of.par_iter().filter(|_| args.layer_links).map(|name| {
        let directory = open(repositories.as_fd(), &format!("{name}/_layers/sha256"));
        unmentioned(&directory, &live, "link", args.remove).0
    });
    let links = links.sum();

    let shards: Vec<String> = names(&blobs);
    let removed = shards
        .par_iter()
        .map(|shard| unmentioned(&open(blobs.as_fd(), shard), &live, "data", args.remove))
        .reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    (links, removed.0, removed.1)
}

/// Counts the directories of digests that are not live, and the bytes of the file `file` in each. With `remove`,
/// removes both.
fn unmentioned(directory: &OwnedFd, live: &[Hash], file: &str, remove: bool) -> (usize, u64) {
    let (mut count, mut bytes) = (0, 0);
    for name in names(directory) {
        if live.binary_search(&hash(name.as_bytes())).is_ok() {
            continue;
        }
        let path = format!("{name}/{file}");
        bytes += rustix::fs::statat(directory, &*path, AtFlags::empty()).unwrap().st_size as u64;
        count += 1;
        if remove {
            rustix::fs::unlinkat(directory, &*path, AtFlags::empty()).unwrap();
            rustix::fs::unlinkat(directory, &*name, AtFlags::REMOVEDIR).unwrap();
        }
    }
    (count, bytes)
}

/// Lists all repositories below a directory, with their linked revisions.
fn below(repositories: &OwnedFd, path: String) -> Vec<(String, Vec<Hash>)> {
    let names = names(&open(repositories.as_fd(), if path.is_empty() { "." } else { &path }));
    let nested = names.par_iter().flat_map_iter(|name| match &**name {
        "_manifests" => {
            let revisions = open(repositories.as_fd(), &format!("{path}/_manifests/revisions/sha256"));
            let linked = self::names(&revisions)
                .into_iter()
                .filter(|name| rustix::fs::statat(&revisions, format!("{name}/link"), AtFlags::empty()).is_ok());
            vec![(path.clone(), linked.map(|name| hash(name.as_bytes())).collect())]
        }
        name if name.starts_with('_') => Vec::new(),
        name if path.is_empty() => below(repositories, name.to_owned()),
        name => below(repositories, format!("{path}/{name}")),
    });
    nested.collect()
}

fn open(at: BorrowedFd<'_>, path: &str) -> OwnedFd {
    rustix::fs::openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn names(directory: &OwnedFd) -> Vec<String> {
    let mut buffer = vec![MaybeUninit::uninit(); 1 << 16];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name = entry.unwrap().file_name().to_str().unwrap().to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names
}

fn hash(hex: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hex::decode_to_slice(hex, &mut hash).unwrap();
    hash
}

/// Adds every digest in a manifest's text.
fn mention(text: &[u8], digests: &mut Vec<Hash>) {
    const PREFIX: &[u8] = b"\"sha256:";
    let mut rest = text;
    while let Some(at) = rest.windows(PREFIX.len()).position(|window| window == PREFIX) {
        rest = &rest[at + PREFIX.len()..];
        digests.push(hash(&rest[..64]));
        rest = &rest[64..];
    }
}
