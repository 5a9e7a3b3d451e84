//! What one can do about an error: the library says what is wrong, and only a command knows which flags it has.

use std::io::ErrorKind;

use clap::{ArgMatches, Command};
use regc_core::error::{Error, Refusal};

/// The flags that the command line's command has, by their long names.
pub struct Flags(Vec<String>);

impl Flags {
    /// The flags of the innermost subcommand that was given.
    pub fn of(mut command: &Command, mut matches: &ArgMatches) -> Self {
        while let Some((name, below)) = matches.subcommand()
            && let Some(subcommand) = command.find_subcommand(name)
        {
            (command, matches) = (subcommand, below);
        }
        Self(command.get_arguments().filter_map(|argument| argument.get_long()).map(str::to_owned).collect())
    }

    fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|long| long == flag)
    }

    /// What to say of a flag, if there is such a flag.
    fn if_has(&self, flag: &str, advice: &str) -> Option<String> {
        self.has(flag).then(|| advice.to_owned())
    }

    /// What can be done about an error.
    pub fn hint(&self, error: &Error) -> Option<String> {
        match error {
            Error::Refused(refusal) => self.hint_of_refusal(refusal),
            Error::Storage { source, .. }
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                self.if_has("trash", "run without --trash and --live: deleting needs no space, and cannot be undone")
            }
            Error::OtherFilesystem(_) => Some(match self.has("trash") {
                true => "run without --trash and --live".to_owned(),
                false => {
                    "what is replaced is kept in .regc/trash, which would have to be on that file system".to_owned()
                }
            }),
            Error::Journal { path, .. } => {
                let run = path.rsplit('/').nth(1)?;
                Some(format!("restore that file, or delete what the run holds with `regc trash empty {run}`"))
            }
            Error::StillTagged { .. } => self.if_has("force", "name the tags instead, or use --force"),
            _ => None,
        }
    }

    fn hint_of_refusal(&self, refusal: &Refusal) -> Option<String> {
        match refusal {
            Refusal::NoRepositories | Refusal::NoBlobs | Refusal::NoManifests | Refusal::NoTags => {
                self.if_has("allow-empty", "if it is what you want, use --allow-empty")
            }
            Refusal::NoLayout => {
                self.if_has("allow-empty", "if it is a registry to which nothing was pushed yet, use --allow-empty")
            }
            Refusal::MostlyUntagged { .. } => self.if_has(
                "allow-mostly-untagged",
                "if it is what you want, see what is deleted with --dry-run, and use --allow-mostly-untagged",
            ),
            Refusal::Unmounted(_) => {
                self.if_has("allow-missing", "if it is what you want, remove the directory, or use --allow-missing")
            }
            Refusal::MissingContent { .. } | Refusal::MissingDirectory(_) => self.if_has(
                "allow-missing",
                "`regc verify` lists what is missing; if it is lost for good, use --allow-missing",
            ),
            Refusal::RegistryRuns(_) => {
                let stop = "stop it; or set storage.maintenance.readonly.enabled to true and restart it";
                let live = self.if_has("live", "; or use --live, which keeps what it removes in the trash");
                Some(stop.to_owned() + &live.unwrap_or_default())
            }
            Refusal::Unconfirmed => self.if_has("yes", "use --yes, or see what would go with --dry-run"),
            Refusal::HarborUntagged => {
                let own = "use Harbor's own retention and garbage collection";
                let untagged = self.if_has("delete-untagged", ", or run without --delete-untagged");
                Some(own.to_owned() + &untagged.unwrap_or_default())
            }
            Refusal::Harbor => self.if_has(
                "allow-harbor",
                "to remove only what no manifest refers to, with Harbor stopped, use --allow-harbor",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
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
            Refusal::Unconfirmed,
            Refusal::HarborUntagged,
            Refusal::Harbor,
            Refusal::GitLabDatabase("database.enabled"),
            Refusal::OpenShift,
        ];
        let journal = Error::Journal { path: ".regc/trash/run/journal".into(), reason: "garbled".into() };
        let full = Error::Storage { action: "write", path: "journal".into(), source: ErrorKind::StorageFull.into() };
        let others = [full, Error::OtherFilesystem("blobs".into()), journal];
        refusals.into_iter().map(Error::Refused).chain(others).collect()
    }

    /// The flags that a text names.
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
            let flags = Flags(longs.map(str::to_owned).collect());
            for error in refusals() {
                assert_eq!(named(&error.to_string()).count(), 0, "the library knows no flags: {error}");
                let hint = flags.hint(&error).unwrap_or_default();
                for flag in named(&hint) {
                    assert!(flags.has(flag), "`regc {}` has no --{flag}: {hint}", command.get_name());
                }
            }
        }
    }

    #[test]
    fn the_innermost_command_counts() {
        let command = crate::command();
        let flags = |line: &str| {
            let matches = command.clone().try_get_matches_from(line.split(' ')).unwrap();
            Flags::of(&command, &matches)
        };
        assert!(flags("regc trash empty").has("older-than") && !flags("regc trash restore").has("older-than"));
        assert!(flags("regc gc").has("live") && !flags("regc repair").has("live"));
    }
}
