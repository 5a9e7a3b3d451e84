//! Hints on errors: the library reports what is wrong, but only a command knows which flags it has.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use indicatif::BinaryBytes;
use regc_core::registry::layout;
use regc_core::trash::RunSize;
use regc_core::{Cause, Error, MissingReason, Refusal};

use crate::failure::Failure;
use crate::process;

/// Prints a hint below its error.
pub fn print(hint: Option<String>) {
    if let Some(hint) = hint {
        eprintln!("  hint: {hint}");
    }
}

/// Why a run needs the trash, or the directory beside it where new files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needing {
    /// `--trash`.
    Trash,
    /// `--live`.
    Live,
    /// Repairs keep what they replace.
    Repair,
    Undelete,
    Restore,
    Nothing,
}

impl Needing {
    /// Returns what a command with these flags needs.
    pub fn of(trash: bool, live: bool) -> Self {
        match (trash, live) {
            (_, true) => Self::Live,
            (true, false) => Self::Trash,
            (false, false) => Self::Nothing,
        }
    }

    /// Returns what to do if the disk is full, or if the trash is on another file system.
    pub fn hint(self, error: &Error) -> Option<String> {
        match error {
            Error::NoRoom { oldest: Some(RunSize { run, bytes, .. }), .. } => {
                let empty = format!("`regc trash empty {run}` frees {}", BinaryBytes(*bytes));
                Some(self.without().map_or_else(|| empty.clone(), |without| format!("{empty}; or {without}")))
            }
            Error::NoRoom { source, .. } => self.without().filter(|_| source.is_full()),
            Error::Storage { action: "lock", .. } if error.is_full() => Some(
                "free some space on this file system first: as on NFS, regc must create a file there to lock the store"
                    .to_owned(),
            ),
            error if error.is_full() => match self {
                Self::Trash | Self::Live => Some(format!(
                    "free some space (see `regc trash list`) and run the same command again; or {}",
                    self.without()?
                )),
                Self::Repair | Self::Undelete | Self::Restore => Some(
                    "free some space and run the same command again: `regc gc` deletes garbage, and `regc trash empty \
                     RUN` empties a run from the trash"
                        .to_owned(),
                ),
                Self::Nothing => None,
            },
            Error::NoTrash => Some(match self {
                Self::Trash | Self::Live => {
                    "to be able to undo deletions, turn on versioning of the bucket first".to_owned()
                }
                _ => "restore deleted objects from older versions in the bucket, and push damaged images again"
                    .to_owned(),
            }),
            Error::OtherFilesystem(_) => self.without().or_else(|| self.on_one_filesystem()),
            error if error.is_denied() => process::user().map(|user| {
                format!("regc runs as the user with ID {user}; run it as the user that the registry runs as")
            }),
            _ => None,
        }
    }

    /// Returns how to run without the trash, if that is possible.
    fn without(self) -> Option<String> {
        match self {
            Self::Trash => Some("run without --trash: deleting needs no space there, and cannot be undone".to_owned()),
            Self::Live => Some(
                "stop the registry, or make it read-only, and run without --live and --trash: deleting needs no space there, and \
                 cannot be undone"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// Returns what to do if the command cannot run without the trash.
    fn on_one_filesystem(self) -> Option<String> {
        let otherwise = match self {
            Self::Repair => "move the damaged files away by hand and push the images again",
            Self::Undelete => "push the image again",
            Self::Restore => "copy what is needed from .regc/trash by hand, blobs before links",
            _ => return None,
        };
        Some(format!(
            "move .regc and docker/registry/v2 to one file system, mounted once, and run the same command again; or {otherwise}"
        ))
    }
}

/// The long names of a command's flags, and of those that were given.
pub struct Flags {
    command: String,
    known: Vec<String>,
    given: Vec<String>,
}

impl Flags {
    /// Returns the flags of the innermost subcommand that was given.
    pub fn of(mut command: &Command, mut matches: &ArgMatches) -> Self {
        while let Some((name, below)) = matches.subcommand()
            && let Some(subcommand) = command.find_subcommand(name)
        {
            (command, matches) = (subcommand, below);
        }
        let is_given = |argument: &&Arg| {
            let id = argument.get_id().as_str();
            matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        let longs = |arguments: Vec<&Arg>| arguments.iter().filter_map(|a| a.get_long()).map(str::to_owned).collect();
        Self {
            command: command.get_name().to_owned(),
            known: longs(command.get_arguments().collect()),
            given: longs(command.get_arguments().filter(is_given).collect()),
        }
    }

    fn needing(&self) -> Needing {
        let is_given = |flag: &str| self.given.iter().any(|long| long == flag);
        match &*self.command {
            _ if is_given("live") => Needing::Live,
            _ if is_given("trash") => Needing::Trash,
            "repair" => Needing::Repair,
            "undelete" => Needing::Undelete,
            "restore" => Needing::Restore,
            _ => Needing::Nothing,
        }
    }

    fn has(&self, flag: &str) -> bool {
        self.known.iter().any(|long| long == flag)
    }

    /// Returns the advice if the command has the flag.
    fn if_has(&self, flag: &str, advice: &str) -> Option<String> {
        self.has(flag).then(|| advice.to_owned())
    }

    /// What can be done about what ended the command.
    pub fn hint(&self, failure: &Failure) -> Option<String> {
        match failure {
            Failure::Library(error) => self.hint_of_error(error),
            Failure::Unconfirmed => self.if_has("yes", "use --yes, or see what would be deleted with --dry-run"),
            Failure::NotFound { similar, .. } => Some(similar.clone()),
            Failure::NoSuchRun { .. } | Failure::Declined(_) | Failure::NoTerminal => None,
        }
    }

    fn hint_of_error(&self, error: &Error) -> Option<String> {
        let see = |command: &str, what: &str| Some(format!("`regc {command}` lists {what}"));
        match error {
            Error::NothingMatches(_) => see("ls", "what there is"),
            Error::NoSuchRun(_) => see("trash list", "the runs in the trash"),
            Error::NotInTrash { .. } => see("trash list", "what each run has moved"),
            Error::NotDeleted { .. } => see("ls --deleted", "what can be undeleted"),
            Error::NotWhole { missing, .. } => missing
                .iter()
                .any(|missing| missing.reason == MissingReason::GarbledLink)
                .then(|| "`regc repair` rewrites garbled links".to_owned()),
            Error::Refused(refusal) => self.hint_of_refusal(refusal),
            Error::Journal { path, .. } => {
                let run = path.rsplit('/').nth(1)?;
                Some(format!("restore that file, or delete what the run holds with `regc trash empty {run}`"))
            }
            // The system ends the lock of a file with its process. Nothing ends this one.
            Error::Locked { path, .. } if path.ends_with(layout::LOCK) => {
                Some("if no such run is active any more, delete this object".to_owned())
            }
            Error::StillTagged { .. } => self.if_has("force", "name the tags instead, or use --force"),
            error => self.needing().hint(error),
        }
    }

    fn hint_of_refusal(&self, refusal: &Refusal) -> Option<String> {
        match refusal {
            Refusal::NoRepositories | Refusal::NoBlobs | Refusal::NoManifests | Refusal::NoTags => {
                self.if_has("allow-empty", "if this is what you want, use --allow-empty")
            }
            Refusal::NoLayout => {
                self.if_has("allow-empty", "if nothing was pushed to this registry yet, use --allow-empty")
            }
            Refusal::MostlyUntagged { .. } => self.if_has(
                "allow-mostly-untagged",
                "if this is what you want, see with --dry-run what would be deleted, then use --allow-mostly-untagged",
            ),
            Refusal::Unmounted(_) => {
                self.if_has("allow-missing", "if this is what you want, remove the directory, or use --allow-missing")
            }
            Refusal::MissingContent { .. } | Refusal::MissingDirectory(_) => self.if_has(
                "allow-missing",
                "`regc verify` lists what is missing; if it is lost for good, use --allow-missing",
            ),
            Refusal::RegistryRuns(_) | Refusal::RegistryMayRun { .. } => {
                let stop = "stop it, or set storage.maintenance.readonly.enabled to true and restart it";
                let live = self.if_has("live", "; or use --live, which keeps what it deletes in the trash");
                Some(stop.to_owned() + &live.unwrap_or_default())
            }
            Refusal::Blocked(blocked) => blocked.iter().find_map(|blocked| match &blocked.reason {
                Cause::BeingRestored(run) => Some(format!(
                    "run `regc trash restore {run}` again, or delete the rest of it with `regc trash empty {run}`"
                )),
                _ => None,
            }),
            Refusal::HarborUntagged => {
                let own = "use Harbor's own retention and garbage collection";
                let untagged = self.if_has("delete-untagged", ", or run without --delete-untagged");
                Some(own.to_owned() + &untagged.unwrap_or_default())
            }
            Refusal::Harbor => self.if_has(
                "allow-harbor",
                "to delete only what no manifest refers to, with Harbor stopped, use --allow-harbor",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn refusals() -> Vec<Error> {
        let refusals = [
            Refusal::NoRepositories,
            Refusal::NoLayout,
            Refusal::NoBlobs,
            Refusal::NoManifests,
            Refusal::NoTags,
            Refusal::MostlyUntagged { untagged: 20, linked: 20 },
            Refusal::Unmounted("blobs".into()),
            Refusal::MissingContent { missing: 11, needed: 12 },
            Refusal::MissingDirectory("blobs/sha256/ab".into()),
            Refusal::RegistryRuns(":5000".into()),
            Refusal::HarborUntagged,
            Refusal::Harbor,
            Refusal::GitLabDatabase("database.enabled"),
            Refusal::OpenShift,
        ];
        let journal = Error::Journal { path: ".regc/trash/run/journal".into(), reason: "garbled".into() };
        let full = || Error::Storage { action: "write", path: "journal".into(), source: ErrorKind::StorageFull.into() };
        let no_room = Error::NoRoom { deleted: Vec::new(), oldest: None, source: Box::new(full()) };
        let others = [full(), no_room, Error::OtherFilesystem("blobs".into()), journal];
        refusals.into_iter().map(Error::Refused).chain(others).collect()
    }

    /// Returns the flags that a text names.
    fn named(text: &str) -> impl Iterator<Item = &str> {
        let ends = |c: char| !c.is_ascii_lowercase() && c != '-';
        text.split("--").skip(1).filter_map(move |rest| rest.split(ends).next())
    }

    #[test]
    fn hints_name_only_flags_that_the_command_has() {
        let command = crate::command();
        let mut commands: Vec<&Command> = command.get_subcommands().collect();
        commands.extend(command.get_subcommands().flat_map(Command::get_subcommands));
        for command in commands {
            let longs = command.get_arguments().filter_map(|argument| argument.get_long());
            let known: Vec<String> = longs.map(str::to_owned).collect();
            let given = ["trash", "live"].map(str::to_owned).into_iter().filter(|flag| known.contains(flag));
            for given in given.map(|flag| vec![flag]).chain([Vec::new()]) {
                let flags = Flags { command: command.get_name().to_owned(), known: known.clone(), given };
                for error in refusals() {
                    assert_eq!(named(&error.to_string()).count(), 0, "the library knows no flags: {error}");
                    let hint = flags.hint_of_error(&error).unwrap_or_default();
                    for flag in named(&hint) {
                        assert!(flags.has(flag), "`regc {}` has no --{flag}: {hint}", command.get_name());
                    }
                }
            }
        }
    }

    #[test]
    fn hints_use_the_flags_of_the_innermost_subcommand() {
        let command = crate::command();
        let flags = |line: &str| {
            let matches = command.clone().try_get_matches_from(line.split(' ')).unwrap();
            Flags::of(&command, &matches)
        };
        assert!(flags("regc trash empty").has("older-than") && !flags("regc trash restore").has("older-than"));
        assert!(flags("regc gc").has("live") && !flags("regc repair").has("live"));
    }
}
