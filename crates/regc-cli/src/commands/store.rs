//! The store that a command is about to change.

use regc_core::collect::guards::refuse_foreign_metadata;
use regc_core::collect::probe::{self, Answer};
use regc_core::error::{Error, Refusal};
use regc_core::registry::config::Config;
use regc_core::scan::Options;
use regc_core::storage::lock::Lock;
use regc_core::storage::{self, TrashStorage};
use regc_core::trash;

use crate::output::printable;
use crate::process;
use crate::progress::Progress;
use crate::source::Source;

/// A store that is about to be changed, or in a dry run, looked at.
pub struct Store {
    pub source: Source,
    pub storage: Box<dyn TrashStorage>,
    /// None in a dry run.
    pub lock: Option<Lock>,
    pub progress: Progress,
}

/// How a store is opened.
#[derive(Clone, Copy)]
pub struct Opening {
    pub dry_run: bool,
    /// Whether a registry may be running.
    pub live: bool,
    pub quiet: bool,
}

impl Store {
    /// Opens the store, and unless it is a dry run, takes its lock.
    ///
    /// Fails if it is described by somebody else's database, if somebody else changes it, or if a registry is running that can
    /// be written to.
    pub fn open(source: Source, opening: Opening, options: &Options<'_>) -> Result<Self, Error> {
        let storage = storage::open(&source.config)?;
        refuse_foreign_metadata(&source.config, &*storage, options)?;
        source.refuse_missing_layout(&*storage, options.allow_empty)?;
        let lock = if opening.dry_run { None } else { Some(storage.lock(&process::holder())?) };
        if let Some(lock) = &lock {
            trash::forget_incoming(&*storage, lock)?;
        }
        if !opening.live {
            refuse_running_registry(&source.config, opening)?;
        }
        let progress = Progress::new(opening.quiet)?;
        Ok(Self { source, storage, lock, progress })
    }
}

/// Refuses to remove anything while the registry can be written to. A dry run only warns.
fn refuse_running_registry(config: &Config, opening: Opening) -> Result<(), Error> {
    let Some(listener) = config.listener.as_ref().filter(|_| !config.read_only) else { return Ok(()) };
    match probe::answers(listener) {
        Ok(Answer::Registry) if opening.dry_run => {
            if !opening.quiet {
                eprintln!(
                    "regc: warning: a registry answers at {listener}, and is not read-only; what is being pushed may not \
                     be in these numbers"
                );
            }
        }
        Ok(Answer::Registry) => return Err(Error::Refused(Refusal::RegistryRuns(listener.to_string()))),
        Ok(Answer::Nobody) => {}
        Ok(Answer::Other(name)) => {
            if !opening.quiet {
                eprintln!("regc: warning: {listener} is answered by {}, not by a registry", printable(&name));
            }
        }
        Err(error) => eprintln!("regc: warning: cannot tell whether a registry answers at {listener}: {error}"),
    }
    Ok(())
}
