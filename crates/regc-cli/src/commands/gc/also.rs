//! What `-m` and `--tidy` would free beside what a collection frees without them.

use indicatif::BinaryBytes;
use regc_core::{Plan, Summary, Totals};

use crate::commands::reports::Untagged;
use crate::output::count;
use crate::output::human::describe;

/// What more would be deleted.
pub struct Also {
    /// By `-m`; `None` if it is given.
    pub untagged: Option<Untagged>,
    /// By `--tidy`, beside that.
    leftovers: Totals,
}

impl Also {
    /// Compares what is `planned` with a plan that has both options. `delete_untagged` and `tidy` are those that are given.
    pub fn beside(planned: &Totals, with: &Plan, delete_untagged: bool, tidy: bool) -> Self {
        let more = with.totals().saturating_sub(planned);
        let leftovers = match (delete_untagged, tidy) {
            (_, true) => Totals::default(),
            (true, false) => more,
            (false, false) => {
                // All that can be planned of them without --tidy.
                let mut own = Totals::default();
                (own.uploads, own.upload_bytes, own.repositories) =
                    (planned.uploads, planned.upload_bytes, planned.repositories);
                with.leftovers().saturating_sub(&own)
            }
        };
        let untagged = more.saturating_sub(&leftovers);
        let tags = Summary::new(with, None, 0).tags;
        let untagged = Untagged { manifests: untagged.revisions, bytes: untagged.all_bytes(), tags };
        Self { untagged: (!delete_untagged).then_some(untagged), leftovers }
    }

    /// What `--tidy` would delete beside that, in bytes.
    pub fn leftover_bytes(&self) -> u64 {
        self.leftovers.all_bytes()
    }

    /// Says what would be deleted, if anything would.
    pub fn note(&self) -> Option<String> {
        let untagged = self.untagged.filter(|untagged| untagged.manifests > 0);
        let untagged = untagged.map(|Untagged { manifests, bytes, .. }| {
            format!("{} in {} would also be freed with -m", BinaryBytes(bytes), count(manifests, "untagged manifest"))
        });
        let leftovers = (!self.leftovers.is_empty()).then(|| describe(&self.leftovers));
        match (untagged, leftovers) {
            (Some(untagged), Some(leftovers)) => Some(format!("{untagged}.\nWith --tidy as well: {leftovers}.")),
            (Some(untagged), None) => Some(format!("{untagged}.")),
            (None, Some(leftovers)) => Some(format!("{leftovers} would also be freed with --tidy.")),
            (None, None) => None,
        }
    }
}
