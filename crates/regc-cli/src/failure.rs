//! Why a command ended without a result.

use regc_core::Error;

use crate::interruption::Interruption;

/// What is printed, and decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The library's error.
    #[error(transparent)]
    Library(#[from] Error),
    /// A name is not in the store, and this may have been meant.
    #[error("{error}")]
    NotFound {
        /// The library's error.
        error: Box<Error>,
        /// Names that are like it.
        similar: String,
    },
    /// No run of this name is in the trash.
    #[error("run {run:?} is not in the trash, {}", in_trash(.runs))]
    NoSuchRun { run: String, runs: Vec<String> },
    /// The operator answered the question with no. The word is what would have been done.
    #[error("nothing was {0}")]
    Declined(&'static str),
    /// A question would have to be asked, and cannot be.
    #[error(
        "the deletion must be confirmed, but regc cannot ask: there is no terminal, or the output is not human-readable"
    )]
    Unconfirmed,
    /// A window would have to be shown, and cannot be.
    #[error("`regc browse` needs a terminal; `regc du` and `regc ls` print what is in a store, also as JSON")]
    NoTerminal,
}

/// How many runs an error names.
const NAMED: usize = 10;

/// `which holds the runs A and B`.
fn in_trash(runs: &[String]) -> String {
    let more = runs.len().saturating_sub(NAMED);
    let last = runs[more..].join(", ");
    match (runs.len(), more) {
        (0, _) => "which is empty".to_owned(),
        (1, _) => format!("which holds only {last}"),
        (_, 0) => format!("which holds {last}"),
        _ => format!("which holds {last} and {more} older runs"),
    }
}

impl Failure {
    /// Returns the exit code.
    pub fn code(&self) -> u8 {
        match self.library() {
            Some(Error::Interrupted) => Interruption::exit_code(),
            // A signal ended the question.
            None if Interruption::exit_code() > 0 => Interruption::exit_code(),
            _ => 1,
        }
    }

    /// The error of the library, if it is one.
    pub fn library(&self) -> Option<&Error> {
        match self {
            Self::Library(error) => Some(error),
            Self::NotFound { error, .. } => Some(error),
            Self::NoSuchRun { .. } | Self::Declined(_) | Self::Unconfirmed | Self::NoTerminal => None,
        }
    }
}
