//! Carrying out a plan, and reporting what became of it.

use indicatif::BinaryBytes;
use regc_core::descriptor_cache::Entry;
use regc_core::trash::RunSize;
use regc_core::{Disposal, Error, Outcome, Plan, Session, Silent, Store, Summary};

use crate::commands::cache::{self, Evicted};
use crate::commands::owed::Owed;
use crate::commands::question::{is_agreed_to, question};
use crate::commands::reports::Reports;
use crate::commands::store::Opened;
use crate::failure::Failure;
use crate::hints::{self, Needing};
use crate::output::{self, Printer, Printers, Run};
use crate::{ExitStatus, print_error};

/// How a plan is carried out.
pub struct Terms {
    /// Whether what is removed is kept in the trash.
    pub needing: Needing,
    /// Whether findings are printed to the standard error stream, since the report has none.
    pub findings_apart: bool,
    /// Whether the operator is asked first.
    pub asks: bool,
    /// Whether a plan that removes nothing is not carried out.
    pub ends_if_empty: bool,
}

/// Carries out a plan, unless it is a dry run, and prints the outcome.
pub fn carry_out(
    opened: &Opened,
    session: Option<&Session<'_>>,
    mut plan: Plan,
    mut printers: Printers,
    terms: &Terms,
    reports: &mut Reports<'_>,
) -> Result<ExitStatus, Failure> {
    let Opened { store, root, place, progress, .. } = opened;
    let summary = Summary::new(&plan, None, trash_bytes(store));
    if terms.findings_apart {
        for finding in plan.findings() {
            eprintln!("regc: {}; {}", output::printable(&finding.message()), finding.remedy());
        }
    }
    printers.decided(&Run { place, plan: &plan, summary: &summary, failures: &[], free: None, stale: None });
    if plan.totals().all_bytes() > 0 && store.keeps_versions() {
        output::note(format_args!(
            "the bucket is versioned: deleted objects take up space until their old versions expire"
        ));
    }
    if store.hides_uploads() {
        output::note(format_args!("the server cannot list unfinished uploads: they are not counted or deleted"));
    }
    let is_kept = terms.needing != Needing::Nothing;
    let before = Before { owed: Owed::of(store.config(), root), free_bytes: store.free_bytes() };
    if before.owed.is_from_before() && session.is_none() {
        output::note(format_args!(
            "an earlier run failed to remove what it deleted from the registry's cache: run `regc cache evict`"
        ));
    }
    let outcome = match session {
        None if is_kept => store.check_trash(&plan, progress).map(|()| None)?,
        None => None,
        Some(_) if terms.ends_if_empty && plan.totals().is_empty() => Some(Outcome::default()),
        Some(_) if terms.asks && !is_agreed_to(&plan, &question(&plan, root, is_kept)) => {
            return Err(Failure::Declined("deleted"));
        }
        Some(session) => {
            plan.confirm();
            before.owed.write();
            let outcome = session.execute(&plan, if is_kept { Disposal::Trash } else { Disposal::Delete }, progress);
            progress.clear();
            Some(match outcome {
                Err(Error::Interrupted) => {
                    let mut outcome = Outcome::default();
                    outcome.interrupted = true;
                    outcome
                }
                outcome => {
                    if outcome.is_ok()
                        && let Err(error) = session.remember(&plan)
                        && !opened.is_quiet()
                    {
                        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                        let told = format!("{error}{}", cause.unwrap_or_default());
                        output::note(format_args!("{}; the next run reads more manifests", output::printable(&told)));
                    }
                    outcome?
                }
            })
        }
    };
    let status = match &outcome {
        Some(outcome) => report(opened, &plan, outcome, &before, &mut printers, terms.needing, reports),
        None => {
            printers.done(&Run { place, plan: &plan, summary: &summary, failures: &[], free: None, stale: None });
            reports.summary = Some(summary);
            ExitStatus::Done
        }
    };
    reports.text = printers.take_kept() + &reports.text;
    reports.findings.extend(plan.findings().iter().cloned());
    reports.free_bytes = store.free_bytes();
    let status = finish(&mut *printers.shown, status);
    Ok(if status == ExitStatus::Done && !plan.findings().is_empty() { ExitStatus::FoundDamage } else { status })
}

/// What was known before a plan was carried out.
struct Before {
    owed: Owed,
    /// How many bytes were free on the file system, if it is on one.
    free_bytes: Option<u64>,
}

/// Prints the outcome of a plan.
fn report(
    Opened { store, place, .. }: &Opened,
    plan: &Plan,
    outcome: &Outcome,
    Before { owed, free_bytes }: &Before,
    printers: &mut Printers,
    needing: Needing,
    reports: &mut Reports<'_>,
) -> ExitStatus {
    let mut summary = Summary::new(plan, Some(outcome), trash_bytes(store));
    let removed = &outcome.removed;
    let evicted = match removed.blobs + removed.layer_links + removed.revisions {
        0 if !owed.is_from_before() => {
            owed.clear();
            Evicted::default()
        }
        // Not all of it was removed, perhaps. What is evicted although it is still there is only cached again.
        _ => cache::evict(store, owed, plan.items().filter_map(|item| Entry::of(&item))),
    };
    summary.evicted = evicted.entries;
    summary.stale_cache.clone_from(&evicted.stale);
    summary.findings += u64::from(evicted.finding.is_some());
    let (free, stale) = (free_bytes.zip(store.free_bytes()), evicted.finding.as_ref());
    printers.done(&Run { place, plan, summary: &summary, failures: &outcome.failures, free, stale });
    outcome.failures.iter().for_each(|failure| print_error(failure));
    hints::print(outcome.failures.iter().find_map(|failure| needing.hint(failure)));
    outcome.deleted_runs.iter().for_each(tell_deleted);
    evicted.warn();
    reports.add_failures(&outcome.failures);
    reports.findings.extend(evicted.finding.clone());
    reports.summary = Some(summary);
    match outcome {
        Outcome { interrupted: true, .. } => ExitStatus::Interrupted,
        Outcome { failures, .. } if !failures.is_empty() => ExitStatus::Failed,
        _ if evicted.finding.is_some() => ExitStatus::FoundDamage,
        _ => ExitStatus::Done,
    }
}

/// Returns how many bytes are in the trash. If it cannot be listed, prints why: the report must not fail because of
/// it.
pub fn trash_bytes(store: &Store) -> u64 {
    trash(store).1
}

/// Returns how many runs are in the trash, and how many bytes; none if it cannot be listed, and prints why.
pub fn trash(store: &Store) -> (u64, u64) {
    match store.trash(&Silent) {
        Err(Error::NoTrash) => (0, 0),
        Ok(runs) => (runs.len() as u64, runs.iter().map(|run| run.bytes).sum()),
        Err(error) => {
            print_error(&error);
            (0, 0)
        }
    }
}

/// Reports that a run was deleted from the trash for good. This is always printed.
fn tell_deleted(deleted: &RunSize) {
    let bytes = BinaryBytes(deleted.bytes);
    output::note(format_args!("the disk was full: run {} was deleted from the trash for good, {bytes}", deleted.run));
}

/// Returns the exit status of a run after its report: a failure if the report was not written.
pub fn finish(printer: &mut dyn Printer, ending: ExitStatus) -> ExitStatus {
    match printer.error() {
        Some(error) => {
            // The work is done all the same: the disk that is too full for the report may be why the run was needed.
            output::fail(format_args!("cannot write the report: {error}"));
            ExitStatus::Failed
        }
        None => ending,
    }
}
