//! The store that a command is about to change.

use std::path::PathBuf;

use regc_core::{CollectOptions, Error, Holder, Probed, Refusal, Session, Store};

use crate::commands::Common;
use crate::output::{self, printable};
use crate::progress::Progress;
use crate::source::Source;

/// A store that is about to be changed or, in a dry run, only read.
pub struct Opened {
    pub store: Store,
    pub root: PathBuf,
    /// Which store it is, and where that is written.
    pub place: String,
    pub progress: Progress,
    opening: Opening,
}

/// How a store is opened.
pub struct Opening {
    pub dry_run: bool,
    /// Whether a registry may take pushes meanwhile.
    pub live: bool,
    pub quiet: bool,
    pub allow_empty: bool,
    /// How many threads ask the storage; measured if not given.
    pub jobs: Option<usize>,
    /// The file in which it is remembered what manifests refer to.
    pub manifest_cache: Option<PathBuf>,
}

impl Opened {
    /// Opens a store for a command that collects, or if `is_deletion`, changes tags.
    pub fn new(source: Source, opening: Opening, options: &CollectOptions, is_deletion: bool) -> Result<Self, Error> {
        Self::checked(source, opening, |store| store.check(options, is_deletion))
    }

    /// Opens a store to read it, whatever describes it besides: what is deleted later is checked then.
    pub fn to_read(source: Source, opening: Opening) -> Result<Self, Error> {
        Self::checked(source, opening, Store::check_layout)
    }

    fn checked(
        source: Source,
        mut opening: Opening,
        check: impl FnOnce(&Store) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let store = Store::open(&source.config)?.allow_empty(opening.allow_empty);
        let store = opening.jobs.into_iter().fold(store, Store::jobs).manifest_cache(opening.manifest_cache.take());
        check(&store).map_err(|error| source.with_nearby_root(error))?;
        Ok(Self { store, place: source.place(), root: source.root, progress: Progress::new(opening.quiet)?, opening })
    }

    /// Whether nothing but errors and damage is printed.
    pub fn is_quiet(&self) -> bool {
        self.opening.quiet
    }

    /// Takes the store's lock; `None` in a dry run.
    ///
    /// Fails if another run has it, or if a registry takes pushes. A dry run only warns of that.
    pub fn session(&self) -> Result<Option<Session<'_>>, Error> {
        let Opening { dry_run, live, .. } = self.opening;
        if dry_run {
            if !live {
                self.warn_of(&self.store.probe());
            }
            return Ok(None);
        }
        let holder = Holder::new("regc");
        let session = if live { self.store.lock_live(&holder)? } else { self.store.lock(&holder)? };
        self.warn_of(session.probed());
        Ok(Some(session))
    }

    fn warn_of(&self, probed: &Probed) {
        // An unknown answer is never left out.
        if let Some(warning) =
            self.warning(probed).filter(|_| !self.opening.quiet || matches!(probed, Probed::Unknown(_)))
        {
            output::warn(format_args!("{warning}"));
        }
    }

    /// Returns what there is to warn of at the registry's address.
    pub fn warning(&self, probed: &Probed) -> Option<String> {
        let listener = self.store.config().listener.as_ref()?;
        Some(match probed {
            Probed::Registry => format!(
                "a registry answers at {listener} and is not read-only; images that are being pushed may be missing \
                 from these numbers"
            ),
            Probed::Unclear(answer) => {
                format!("the server at {listener} {} and may be a registry", printable(answer))
            }
            Probed::Other(name) => {
                format!("the server at {listener} answers as {}, not as a registry", printable(name))
            }
            Probed::Unknown(error) => format!("cannot tell whether a registry answers at {listener}: {error}"),
            _ => return None,
        })
    }
}

impl Source {
    /// Opens the store for reading.
    pub fn open(&self, common: &Common) -> Result<Store, Error> {
        let store = Store::open(&self.config)?.allow_empty(common.allow_empty);
        let store = common.jobs.into_iter().fold(store, Store::jobs);
        store.check_layout().map_err(|error| self.with_nearby_root(error))?;
        Ok(store)
    }

    /// Returns the error. If the given root holds no registry, the error names one nearby: the root may be too deep,
    /// or one directory above.
    fn with_nearby_root(&self, error: Error) -> Error {
        match error {
            Error::Refused(Refusal::NoLayout) => Error::Refused(match self.nearby_root() {
                Some(root) => Refusal::LayoutElsewhere(root.display().to_string()),
                None => Refusal::NoLayout,
            }),
            error => error,
        }
    }
}
