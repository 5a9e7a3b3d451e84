//! The yardstick: a walk over a healthy registry that makes the necessary calls and no others.
//!
//! It lists the repositories, tests that each revision's `link` exists, reads every linked manifest once, lists the
//! directories of blobs by name, and asks for the size of what no manifest mentions. With `--remove`, it removes that:
//! one unlink and one rmdir for each blob. Nothing is checked, hashed or parsed, damage is a panic, and every reference
//! counts. A collector cannot do with fewer calls than this.

use std::mem::MaybeUninit;
use std::path::PathBuf;

use clap::Parser;
use rayon::prelude::*;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir};

#[derive(Parser)]
struct Args {
    /// The storage root
    root: PathBuf,
    /// How many threads wait for the storage at once
    #[arg(long, default_value_t = 32)]
    jobs: usize,
    /// Remove what no manifest mentions
    #[arg(long)]
    remove: bool,
}

type Hash = [u8; 32];

fn main() {
    let args = Args::parse();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.jobs).build().unwrap();
    let (blobs, bytes) = pool.install(|| walk(&args));
    println!("{blobs} blobs, {bytes} bytes");
}

fn walk(args: &Args) -> (usize, u64) {
    let layout = open(CWD, args.root.join("docker/registry/v2").to_str().unwrap());
    let repositories = open(layout.as_fd(), "repositories");
    let blobs = open(layout.as_fd(), "blobs/sha256");

    let mut manifests: Vec<Hash> = below(&repositories, String::new());
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
                // One read tells a manifest, unless it fills the buffer.
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

    let shards: Vec<String> = names(&blobs);
    let removed = shards.par_iter().map(|shard| {
        let directory = open(blobs.as_fd(), shard);
        let (mut count, mut bytes) = (0, 0);
        for name in names(&directory) {
            if live.binary_search(&hash(name.as_bytes())).is_ok() {
                continue;
            }
            let data = format!("{name}/data");
            bytes += rustix::fs::statat(&directory, &*data, AtFlags::empty()).unwrap().st_size as u64;
            count += 1;
            if args.remove {
                rustix::fs::unlinkat(&directory, &*data, AtFlags::empty()).unwrap();
                rustix::fs::unlinkat(&directory, &*name, AtFlags::REMOVEDIR).unwrap();
            }
        }
        (count, bytes)
    });
    removed.reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
}

/// The linked revisions of all repositories below a directory.
fn below(repositories: &OwnedFd, path: String) -> Vec<Hash> {
    let names = names(&open(repositories.as_fd(), if path.is_empty() { "." } else { &path }));
    let nested = names.par_iter().flat_map_iter(|name| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        match &**name {
            "_manifests" => {
                let revisions = open(repositories.as_fd(), &format!("{path}/revisions/sha256"));
                let linked = self::names(&revisions)
                    .into_iter()
                    .filter(|name| rustix::fs::statat(&revisions, format!("{name}/link"), AtFlags::empty()).is_ok());
                linked.map(|name| hash(name.as_bytes())).collect()
            }
            name if name.starts_with('_') => Vec::new(),
            _ => below(repositories, path),
        }
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
