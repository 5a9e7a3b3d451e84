//! Which repositories need which blobs.
//!
//! A base layer may be in thousands of repositories. Counting it for each pair of them would take quadratic time, so
//! the repositories that need it are not named if there are very many.

use rustc_hash::FxHashMap as HashMap;

/// How many repositories may need a blob for the repositories to be named. Blobs that more repositories need are only
/// summed up.
pub const MANY: usize = 100;

/// For how many other repositories it is reported what a repository shares with them.
pub(super) const NAMED: usize = 100;

/// For each blob, the repositories that need it, in their order.
pub(super) struct Users {
    /// Where the repositories of each blob begin; the last element is the length of `repositories`.
    starts: Vec<usize>,
    repositories: Vec<u32>,
}

impl Users {
    /// Turns the blobs of each repository into the repositories of each blob. `blobs` is the number of blobs.
    pub(super) fn new<'n>(blobs: usize, needed: impl Iterator<Item = &'n [u32]> + Clone) -> Self {
        let mut starts = vec![0; blobs + 1];
        for &blob in needed.clone().flatten() {
            starts[blob as usize + 1] += 1;
        }
        for blob in 0..blobs {
            starts[blob + 1] += starts[blob];
        }
        let mut repositories = vec![0; starts[blobs]];
        let mut next = starts.clone();
        for (repository, needed) in needed.enumerate() {
            for &blob in needed {
                repositories[next[blob as usize]] = repository as u32;
                next[blob as usize] += 1;
            }
        }
        Self { starts, repositories }
    }

    /// Returns the repositories that need a blob.
    pub(super) fn of(&self, blob: u32) -> &[u32] {
        &self.repositories[self.starts[blob as usize]..self.starts[blob as usize + 1]]
    }

    /// Returns the repositories that need each blob, in the order of the blobs.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.starts.windows(2).map(|range| &self.repositories[range[0]..range[1]])
    }
}

/// What a repository shares with others.
#[derive(Default)]
pub(super) struct Sharing {
    /// How many bytes it shares with which repositories, the most first.
    pub(super) with: Vec<(u32, u64)>,
    /// How many more repositories there are that are not named.
    pub(super) with_more: u64,
    /// How many bytes of it [very many](MANY) repositories need.
    pub(super) by_many: u64,
}

/// Returns what a repository shares with others of the blobs that it needs.
pub(super) fn sharing(repository: u32, needed: &[u32], users: &Users, sizes: &[u64]) -> Sharing {
    let mut bytes_with: HashMap<u32, u64> = HashMap::default();
    let mut sharing = Sharing::default();
    for &blob in needed {
        let bytes = sizes[blob as usize];
        let users = users.of(blob);
        if users.len() > MANY {
            sharing.by_many += bytes;
        } else if bytes > 0 {
            for &other in users.iter().filter(|&&other| other != repository) {
                *bytes_with.entry(other).or_default() += bytes;
            }
        }
    }
    sharing.with = bytes_with.into_iter().collect();
    sharing.with.sort_unstable_by_key(|&(other, bytes)| (std::cmp::Reverse(bytes), other));
    sharing.with_more = sharing.with.len().saturating_sub(NAMED) as u64;
    sharing.with.truncate(NAMED);
    sharing.with.shrink_to_fit();
    sharing
}
