//! Namespaces: what is below each prefix of repository names.
//!
//! Namespaces form a tree, and repositories are ordered so that those in each namespace are adjacent. So the lowest
//! namespace that a blob's first and last user have in common is that of all its users. And if a blob is added for
//! each user and subtracted for the lowest namespace that each two neighbours have in common, it is counted once in
//! every namespace: of `n` users in a namespace, the `n - 1` pairs of neighbours are in it, too.

use std::collections::BTreeMap;

use super::sharing::Users;

/// All namespaces. The first contains everything, and each comes after the namespace that it is in.
pub(super) struct Namespaces<'a> {
    names: Vec<&'a str>,
    parents: Vec<usize>,
    /// For each repository, the lowest namespace that it is in.
    of_repositories: Vec<usize>,
}

/// How many bytes are in each namespace.
pub(super) struct Sums {
    /// Everything, each blob counted once.
    pub(super) all: Vec<u64>,
    /// What nothing outside of it needs.
    pub(super) exclusive: Vec<u64>,
}

impl<'a> Namespaces<'a> {
    /// Creates the namespaces of repositories. A repository whose name is also a namespace is in it, as in the file
    /// system.
    pub(super) fn new(repositories: &[&'a str]) -> Self {
        let beginnings = |name: &'a str| name.match_indices('/').map(move |(end, _)| &name[..end]);
        let mut indexes = BTreeMap::from([("", 0)]);
        indexes.extend(repositories.iter().copied().flat_map(beginnings).map(|name| (name, 0)));
        indexes.values_mut().enumerate().for_each(|(index, value)| *value = index);
        let above = |name: &'a str| indexes[name.rsplit_once('/').map_or("", |(above, _)| above)];
        Self {
            parents: indexes.keys().map(|name| above(name)).collect(),
            of_repositories: repositories
                .iter()
                .map(|name| indexes.get(name).copied().unwrap_or_else(|| above(name)))
                .collect(),
            names: indexes.into_keys().collect(),
        }
    }

    /// Returns the names of all namespaces but the first, which has none.
    pub(super) fn names(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.names.iter().copied().enumerate().skip(1)
    }

    /// Sums up blobs of these sizes with these users.
    pub(super) fn sums(&self, users: &Users, sizes: &[u64]) -> Sums {
        let mut all = vec![0_i128; self.names.len()];
        let mut exclusive = vec![0; self.names.len()];
        for (users, &bytes) in users.iter().zip(sizes) {
            let ([first, ..], [.., last]) = (users, users) else { continue };
            exclusive[self.in_common(*first, *last)] += bytes;
            users.iter().for_each(|&user| all[self.of_repositories[user as usize]] += i128::from(bytes));
            users.windows(2).for_each(|pair| all[self.in_common(pair[0], pair[1])] -= i128::from(bytes));
        }
        for index in (1..self.names.len()).rev() {
            all[self.parents[index]] += all[index];
            exclusive[self.parents[index]] += exclusive[index];
        }
        Sums { all: all.into_iter().map(|bytes| bytes as u64).collect(), exclusive }
    }

    /// Returns the lowest namespace that two repositories are in.
    fn in_common(&self, a: u32, b: u32) -> usize {
        let (mut a, mut b) = (self.of_repositories[a as usize], self.of_repositories[b as usize]);
        while a != b {
            // A namespace comes after those above it, so the later one cannot be above the other.
            if a > b { a = self.parents[a] } else { b = self.parents[b] }
        }
        a
    }
}
