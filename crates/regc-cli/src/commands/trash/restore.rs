//! `regc trash restore`.

use indicatif::{BinaryBytes, HumanCount};
use regc_core::trash::{Kind, Restored, Selection};
use regc_core::{Digest, Error, Restore, Session, Store};
use serde::Serialize;

use super::list::print_objects;
use crate::commands::Format;
use crate::hints::{self, Needing};
use crate::output::json::describe_failure;
use crate::output::{Output, printable};
use crate::progress::Progress;
use crate::{ExitStatus, print_error};

/// Restores what is named. Missing objects count as damage; objects that cannot be restored, as failures.
pub fn restore(
    output: &mut Output,
    format: Format,
    store: &Store,
    session: Option<Session<'_>>,
    mut what: Vec<String>,
) -> Result<ExitStatus, Error> {
    let progress = Progress::new(false)?;
    let mut runs = store.trash(&progress)?;
    let run = match what.first() {
        Some(first) if runs.iter().any(|run| run.run == *first) => what.remove(0),
        // No repository has upper-case letters in its name, but every run has.
        Some(first) if !first.contains(':') && first.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            return Err(Error::NoSuchRun(first.clone()));
        }
        _ => {
            runs.retain(|run| run.objects > 0);
            runs.pop().ok_or(Error::TrashEmpty)?.run
        }
    };
    let selection = (!what.is_empty()).then(|| {
        let (digests, repositories): (Vec<_>, Vec<_>) =
            what.into_iter().map(|name| Digest::parse_any_case(&name).map_err(|_| name)).partition(Result::is_ok);
        Selection {
            digests: digests.into_iter().filter_map(Result::ok).collect(),
            repositories: repositories.into_iter().filter_map(Result::err).collect(),
        }
    });
    let dry_run = session.is_none();
    let to_restore = Restore::new(&run).selection(selection.as_ref());
    let restored = match &session {
        Some(session) => session.restore(&to_restore, &progress),
        None => store.plan_restore(&to_restore, &progress),
    };
    progress.clear();
    let restored = restored?;
    match format {
        Format::Json => restored_json(output, &run, &restored, dry_run),
        Format::Human => {
            let bytes = restored.restored.iter().filter_map(|entry| entry.bytes).sum();
            let what = if dry_run { "Would put back" } else { "Put back" };
            let number = HumanCount(restored.restored.len() as u64);
            output.line(format_args!("{what} {number} objects of run {run}, {} of blobs.", BinaryBytes(bytes)));
            if !restored.already_there.is_empty() {
                let number = HumanCount(restored.already_there.len() as u64);
                output.line(format_args!("The registry has {number} of them again; those stay in the trash."));
            }
        }
    }
    for entry in &restored.missing {
        let why = match entry.kind {
            Kind::Blob => "is neither in the trash nor in the registry",
            _ => "would be dangling, and stays in the trash",
        };
        eprintln!("regc: {}: {why}", printable(&entry.path));
    }
    for entry in &restored.conflicting {
        eprintln!(
            "regc: {}: the registry has something else there; what is in the trash stays there",
            printable(&entry.path)
        );
    }
    if restored.interrupted {
        eprintln!(
            "regc: interrupted; the rest stays in the trash, and `regc gc` keeps what was put back; run the same \
             command again"
        );
    } else if !restored.missing.is_empty() || !restored.failures.is_empty() {
        eprintln!(
            "regc: the restore is not complete; until it is, `regc gc` keeps what was put back; run it again once \
             nothing is missing, or delete the rest with `regc trash empty {run}`"
        );
    }
    restored.failures.iter().for_each(|failure| print_error(failure));
    hints::print(restored.failures.iter().find_map(|failure| Needing::Restore.hint(failure)));
    Ok(match () {
        () if restored.interrupted => ExitStatus::Interrupted,
        () if !restored.failures.is_empty() => ExitStatus::Failed,
        () if !restored.is_complete() => ExitStatus::FoundDamage,
        () => ExitStatus::Done,
    })
}

/// The last line of JSON.
#[derive(Serialize)]
struct Last<'a> {
    dry_run: bool,
    run: &'a str,
    restored: usize,
    restored_bytes: u64,
    already_there: usize,
    conflicting: usize,
    missing: usize,
    interrupted: bool,
    failures: usize,
}

fn restored_json(output: &mut Output, run: &str, restored: &Restored, dry_run: bool) {
    print_objects(output, "restored", &restored.restored);
    print_objects(output, "already_there", &restored.already_there);
    print_objects(output, "conflicting", &restored.conflicting);
    print_objects(output, "missing", &restored.missing);
    for failure in &restored.failures {
        describe_failure(output, failure);
    }
    let bytes: u64 = restored.restored.iter().filter_map(|entry| entry.bytes).sum();
    output.summary(&Last {
        dry_run,
        run,
        restored: restored.restored.len(),
        restored_bytes: bytes,
        already_there: restored.already_there.len(),
        conflicting: restored.conflicting.len(),
        missing: restored.missing.len(),
        interrupted: restored.interrupted,
        failures: restored.failures.len(),
    });
}
