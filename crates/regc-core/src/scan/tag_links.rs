//! The tags of a repository, and what their links hold.

use std::time::SystemTime;

use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::registry::layout;
use crate::storage::{Content, ReadStorage, directories};

/// A tag, and what its link holds.
#[derive(Clone, Debug)]
pub(crate) struct TagLink {
    /// The tag's name.
    pub(crate) name: String,
    /// What it names; `None` if its link is garbled.
    pub(crate) digest: Option<Digest>,
    /// When its link was written.
    pub(crate) pushed: SystemTime,
}

/// Lists the tags of a repository that have a link, sorted by name.
pub(crate) fn tag_links(storage: &dyn ReadStorage, repository: &str) -> Result<Vec<TagLink>, Error> {
    let all = layout::tags(repository);
    let mut names = Vec::new();
    for (name, _) in directories(storage, &all, layout::tag_name, || ())? {
        names.push(name);
    }
    names.sort_unstable();
    let keys: Vec<String> = names.iter().map(|name| format!("{name}/current/{}", layout::LINK)).collect();
    let links = storage.stat_each(&all, &keys)?;
    let mut texts = Vec::with_capacity(keys.len());
    storage.read_each(&all, &keys, layout::link_bytes(Algorithm::Sha512), &mut |text| texts.push(text))?;
    let tags = names.into_iter().zip(links).zip(texts).filter_map(|((name, link), text)| {
        let digest = match text? {
            Content::Whole(text) => layout::digest_in_link(&text),
            Content::TooLarge => None,
        };
        Some(TagLink { name, digest, pushed: link?.written() })
    });
    Ok(tags.collect())
}
