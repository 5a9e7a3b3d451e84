//! What patterns stand for in a store.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::layout;
use crate::registry::pattern::{Part, Pattern};
use crate::scan::deletion::{Deletion, DeletionIn};
use crate::scan::inventory;
use crate::scan::tag_links::{TagLink, tag_links};
use crate::storage::{ReadStorage, directories};
use crate::threads::with_threads;

/// Returns everything in a store that patterns name, as a deletion.
///
/// Fails with [`Error::NothingMatches`] if patterns match nothing, which it names, and with [`Error::StillTagged`] if a pattern
/// names a manifest by its digest that a tag names as well, unless `force` deletes those tags too. No pattern names a
/// repository of a name that no registry serves: see [`repository_at`](super::repository_at).
pub fn resolve(
    storage: &dyn ReadStorage,
    patterns: &[Pattern],
    force: bool,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Deletion, Error> {
    with_threads(jobs, || {
        let mut names = inventory::repository_names(storage, monitor)?;
        names.retain(|name| layout::is_repository_name(name));
        names.sort_unstable();
        let (mut deletion, mut missing) = (Deletion::default(), Vec::new());
        // Manifests last: by then it is known which tags are deleted.
        let (manifests, others): (Vec<_>, Vec<_>) =
            patterns.iter().partition(|pattern| matches!(pattern.part(), Part::Manifest(_)));
        for pattern in others.into_iter().chain(manifests) {
            monitor.check()?;
            let matching: Vec<&String> = names.iter().filter(|name| pattern.matches_repository(name)).collect();
            let found = match pattern.part() {
                Part::All => {
                    matching.iter().for_each(|name| deletion.repository(name));
                    matching.len()
                }
                Part::Tags(_) => tags(storage, pattern, &matching, &mut deletion)?,
                Part::Manifest(digest) => manifest(storage, digest, &matching, force, &mut deletion)?,
            };
            if found == 0 {
                missing.push(pattern.to_string());
            }
        }
        if missing.is_empty() { Ok(deletion) } else { Err(Error::NothingMatches(missing.join(", "))) }
    })
}

fn tags(
    storage: &dyn ReadStorage,
    pattern: &Pattern,
    repositories: &[&String],
    deletion: &mut Deletion,
) -> Result<usize, Error> {
    type Named = (BTreeMap<String, Option<Digest>>, Vec<TagLink>);
    let named: Vec<Named> = repositories
        .par_iter()
        .map(|repository| {
            // The registry lists every tag that has a directory, even if it names nothing any more.
            let all = layout::tags(repository);
            let all = directories(storage, &all, layout::tag_name, || ())?;
            Ok((all.into_iter().map(|(name, _)| (name, None)).collect(), tag_links(storage, repository)?))
        })
        .collect::<Result<_, Error>>()?;
    let mut found = 0;
    for (repository, (mut all, tags)) in repositories.iter().zip(named) {
        all.extend(tags.into_iter().map(|tag| (tag.name, tag.digest)));
        for (tag, digest) in all.into_iter().filter(|(tag, _)| pattern.matches_tag(repository, tag)) {
            deletion.tag(repository, &tag, digest);
            found += 1;
        }
    }
    Ok(found)
}

fn manifest(
    storage: &dyn ReadStorage,
    digest: &Digest,
    repositories: &[&String],
    force: bool,
    deletion: &mut Deletion,
) -> Result<usize, Error> {
    let mut found = 0;
    for repository in repositories {
        if storage.stat(&layout::revision_link(repository, digest))?.is_none() {
            continue;
        }
        let mut tags = tag_links(storage, repository)?;
        let goes_anyway = |tag: &TagLink| match deletion.of(repository) {
            None => false,
            Some(DeletionIn::Everything) => true,
            Some(DeletionIn::Some { tags, .. }) => tags.contains_key(&tag.name),
        };
        tags.retain(|tag| tag.digest == Some(*digest) && !goes_anyway(tag));
        if !tags.is_empty() && !force {
            let tags = tags.into_iter().map(|tag| tag.name).collect();
            return Err(Error::StillTagged { repository: repository.to_string(), digest: *digest, tags });
        }
        tags.iter().for_each(|tag| deletion.tag(repository, &tag.name, tag.digest));
        deletion.manifest(repository, *digest);
        found += 1;
    }
    Ok(found)
}
