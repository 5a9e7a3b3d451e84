//! The entries of the trash's journal for a plan.

use crate::collect::plan::{Item, Plan};
use crate::error::Error;
use crate::storage::TrashStorage;
use crate::trash::{self, Entry, Header, Kind};

/// Writes what `plan` is going to move to the journal.
pub(crate) fn write_journal(storage: &dyn TrashStorage, header: &Header, plan: &Plan) -> Result<(), Error> {
    trash::write_entries(storage, header, plan.items().flat_map(|item| entries_of(&item).collect::<Vec<_>>()))
}

fn entries_of(item: &Item<'_>) -> impl Iterator<Item = Entry> {
    let (kind, repository, bytes) = match item {
        Item::TagIndexEntry { repository, .. } => (Kind::TagIndexEntry, Some(*repository), None),
        Item::Revision { repository, .. } => (Kind::Revision, Some(*repository), None),
        Item::LayerLink { repository, .. } => (Kind::LayerLink, Some(*repository), None),
        Item::Blob { bytes, .. } => (Kind::Blob, None, Some(*bytes)),
        Item::Tag { repository, .. } => (Kind::Tag, Some(*repository), None),
        Item::File { repository, bytes, .. } => (Kind::File, *repository, Some(*bytes).filter(|bytes| *bytes > 0)),
        Item::Upload { repository, .. } | Item::Repository { repository } => (Kind::Upload, Some(*repository), None),
    };
    let (digest, repository) = (item.digest(), repository.map(str::to_owned));
    item.keys().into_iter().map(move |path| Entry { kind, path, digest, repository: repository.clone(), bytes })
}
