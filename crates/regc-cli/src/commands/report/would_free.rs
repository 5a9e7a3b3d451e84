//! What each command would free.

use std::path::Path;
use std::time::SystemTime;

use regc_core::retention::Policy;
use regc_core::{CollectOptions, Error, Finding, Plan, Store, Totals};
use regc_report::WouldFree;

use crate::commands::gc::OLD_UPLOAD;
use crate::commands::prune;
use crate::progress::Progress;
use crate::source::{Source, quoted};

/// What each command would free, and what was found wrong on the way.
pub struct WouldBeFreed {
    pub would_free: Vec<WouldFree>,
    pub findings: Vec<Finding>,
}

/// Plans `gc`, without and with untagged manifests and leftovers, and `prune` by each policy.
pub fn all(
    store: &Store,
    source: &Source,
    policies: Vec<(&Path, Policy)>,
    now: SystemTime,
    progress: &Progress,
) -> Result<WouldBeFreed, Error> {
    let argument = source.argument();
    let mut found = WouldBeFreed { would_free: Vec::new(), findings: Vec::new() };
    let old = now.checked_sub(OLD_UPLOAD).unwrap_or(SystemTime::UNIX_EPOCH);
    for (flags, untagged, tidy) in
        [("", false, false), ("-m ", true, false), ("--tidy ", false, true), ("-m --tidy ", true, true)]
    {
        let mut options = CollectOptions::new().delete_untagged(untagged);
        if tidy {
            options = options.delete_leftovers_before(old);
        }
        let name = format!("gc {flags}").trim_end().to_owned();
        found.add(name, format!("regc gc {flags}{argument}"), store.plan(&options, progress))?;
    }
    for (path, policy) in policies {
        let command = format!("regc prune --policy {} {argument}", quoted(path));
        found.add(format!("prune --policy {}", path.display()), command, prune::plan(store, policy, now, progress))?;
    }
    let key = |finding: &Finding| (finding.code(), finding.path(), finding.message());
    found.findings.sort_by_cached_key(key);
    found.findings.dedup_by_key(|finding| key(finding));
    Ok(found)
}

impl WouldBeFreed {
    /// Adds what a command plans. That it would refuse to run is no error of the report.
    fn add(&mut self, name: String, command: String, plan: Result<Plan, Error>) -> Result<(), Error> {
        let (totals, refused) = match plan {
            Ok(plan) => {
                self.findings.extend_from_slice(plan.findings());
                (plan.totals(), plan.unconfirmed().map(ToString::to_string))
            }
            Err(Error::Refused(refusal)) => (Totals::default(), Some(refusal.to_string())),
            Err(error) => return Err(error),
        };
        self.would_free.push(WouldFree {
            name,
            command,
            bytes: totals.all_bytes(),
            tags: totals.tags,
            manifests: totals.revisions,
            blobs: totals.blobs,
            uploads: totals.uploads,
            refused,
        });
        Ok(())
    }
}
