//! A store and a sequence of commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use regc_core::registry::layout;

use super::check;
use super::command::{Command, Effect};
use super::process::{Ended, Regc};
use super::store::Store;
use crate::oracle::pull::{Kept, Revision, served};

/// Counts of what was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub rounds: u64,
    pub commands: u64,
    pub kills: u64,
    pub restores: u64,
    pub backups: u64,
    /// Tags and manifests that had to exist after a command.
    pub pulls: u64,
}

/// The failure of a round.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The commands, up to the one that failed.
    pub commands: Vec<String>,
    pub message: String,
}

/// A round in progress.
pub struct Round<'a> {
    regc: &'a Regc,
    store: Store,
    rng: Rng,
    backup: tempfile::TempDir,
    /// The directory to which the store is copied before each command.
    keep: Option<PathBuf>,
    commands: Vec<String>,
    counts: &'a mut Counts,
}

impl<'a> Round<'a> {
    /// Returns the round of this seed.
    pub fn new(regc: &'a Regc, seed: u64, keep: Option<&Path>, counts: &'a mut Counts) -> Self {
        counts.rounds += 1;
        let backup = tempfile::tempdir().expect("a temporary directory can be made");
        let rng = Rng::with_seed(seed ^ 0x5eed);
        Self {
            regc,
            store: Store::new(seed),
            rng,
            backup,
            keep: keep.map(Path::to_owned),
            commands: Vec::new(),
            counts,
        }
    }

    /// Runs about ten commands. Fails at the first that breaks a rule.
    pub fn run(mut self) -> Result<(), Failure> {
        self.store.back_up(self.backup.path());
        for _ in 0..self.rng.usize(6..14) {
            match self.rng.u8(..12) {
                0 => {
                    self.commands.push("# a backup is made".to_owned());
                    self.store.back_up(self.backup.path());
                }
                1 => {
                    let all = self.rng.bool();
                    let what = if all { "" } else { ", but the trash stays" };
                    self.commands.push(format!("# the backup is brought back{what}"));
                    self.counts.backups += 1;
                    self.store.bring_back(self.backup.path(), all);
                }
                _ => {}
            }
            if let Some(keep) = &self.keep {
                self.store.back_up(keep);
            }
            let done = match self.rng.u8(..12) {
                0 => self.delete_and_undelete(),
                1 => self.lose_and_find_again(),
                _ => self.step(),
            };
            if let Err(message) = done {
                return Err(Failure { commands: self.commands, message });
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let root = self.store.root();
        let before = served(&root);
        let command = Command::random(&mut self.rng, &before);
        let kill_after = (self.rng.u8(..4) == 0).then(|| Duration::from_micros(self.rng.u64(..20_000)));
        let restores = command.trashes() && self.rng.bool();
        let again = self.rng.bool();
        let dry_run = self.dry_run(&command)?;
        let ended = self.check(&command, &command.keeps(&before, dry_run.as_ref()), kill_after)?;
        let was_killed = ended.code.is_none();
        if let Some(dry_run) = dry_run.filter(|_| !was_killed) {
            check::agree(&command, &dry_run, &ended)?;
        }
        if restores {
            self.restore(&ended, &before.all())
        } else if again && !was_killed {
            let kept = match command.effect {
                Effect::Keeps => before.all(),
                Effect::Collects => before.tagged(),
                Effect::Tidies { untagged } => before.tidied(untagged),
                Effect::Removes(_) | Effect::Prunes => Kept::default(),
            };
            let second = self.check(&command, &kept, None)?;
            check::nothing_left(&command, &ended, &second)
        } else {
            Ok(())
        }
    }

    /// Deletes manifests as the API does, and undeletes them.
    fn delete_and_undelete(&mut self) -> Result<(), String> {
        let before = served(&self.store.root());
        // No link is written through a symbolic link.
        let is_real = |(repository, _): &&Revision| self.store.is_real(repository);
        let whole: Vec<Revision> = before.whole_revisions().filter(is_real).cloned().collect();
        let Some(first) = self.rng.choice(&whole).cloned() else { return Ok(()) };
        // An index is often deleted before its platforms.
        let deleted: Vec<Revision> =
            whole.into_iter().filter(|revision| *revision == first || self.rng.u8(..4) == 0).collect();
        for (repository, digest) in &deleted {
            self.commands.push(format!("# the API deletes {repository}@{digest}"));
            self.store.delete(&before, repository, digest);
        }
        let undelete = Command::undelete();
        self.dry_run(&undelete)?;
        self.check(&undelete, &before.revisions_alone(&deleted), None).map(drop)
    }

    /// Removes a file, runs a command, and puts the file back: what only that file needed must still exist.
    fn lose_and_find_again(&mut self) -> Result<(), String> {
        let root = self.store.root();
        let before = served(&root);
        let Some((_, digest)) = self.rng.choice(before.revisions().collect::<Vec<_>>()).cloned() else { return Ok(()) };
        let path = root.join(layout::blob_data(&digest));
        let content = fs::read(&path).expect("a manifest that can be pulled has content");
        fs::remove_file(&path).expect("a file can be removed");
        self.commands.push(format!("# the content of {digest} is lost"));
        let left = served(&root);
        let options: &[&str] = self.rng.choice(&[&[] as &[_], &["-m"], &["--tidy"], &["-m", "--tidy"]]).expect("one");
        let command = Command::gc(options);
        let dry_run = self.dry_run(&command)?;
        self.check(&command, &command.keeps(&left, dry_run.as_ref()), None)?;
        // It may have been in the trash, from which the command has restored it.
        let was_missing = !path.exists();
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("a directory can be made");
        fs::write(&path, content).expect("a file can be written");
        self.commands.push("# it is found again".to_owned());
        let kept = match command.effect {
            Effect::Tidies { untagged } => before.tidied(untagged),
            Effect::Collects if was_missing => before.tagged_or_beside(&digest),
            Effect::Collects => before.tagged(),
            _ => before.all(),
        };
        none_lost(&root, &kept)
    }

    /// Performs a dry run, which must change nothing.
    fn dry_run(&mut self, command: &Command) -> Result<Option<Ended>, String> {
        let Some(arguments) = command.dry_run() else { return Ok(None) };
        let root = self.store.root();
        let before = check::snapshot(&root);
        let ended = self.regc.run(&root, &arguments, None);
        let after = check::snapshot(&root);
        check::ending(&ended, false, &before, &after)?;
        if before != after {
            return Err(format!("a dry run changes something: {}", arguments.join(" ")));
        }
        Ok(Some(ended))
    }

    /// Runs a command and checks what remains.
    fn check(&mut self, command: &Command, kept: &Kept, kill_after: Option<Duration>) -> Result<Ended, String> {
        let root = self.store.root();
        let before = check::snapshot(&root);
        let ended = self.regc.run(&root, &command.arguments, kill_after);
        let was_killed = ended.code.is_none() && kill_after.is_some();
        let after = check::snapshot(&root);
        let killed = if was_killed { format!(" # killed after {kill_after:?}") } else { String::new() };
        let code = ended.code.map_or(String::new(), |code| format!(" # exit {code}"));
        self.commands.push(format!("regc {}{killed}{code}", command.arguments.join(" ")));
        self.counts.commands += 1;
        self.counts.kills += u64::from(was_killed);
        self.counts.pulls += kept.len() as u64;
        none_lost(&root, kept).map_err(|lost| format!("{lost}\n    {}", ended.errors.trim_end()))?;
        check::ending(&ended, was_killed, &before, &after)?;
        if command.only_looks() && before != after {
            return Err("a command that only looks changes something".to_owned());
        }
        if !matches!(command.effect, Effect::Removes(_)) {
            check::uploads(&before, &after)?;
        }
        Ok(ended)
    }

    /// Restores what a command has moved to the trash: afterwards, everything must exist again.
    fn restore(&mut self, ended: &Ended, kept: &Kept) -> Result<(), String> {
        let mut restore = Command::restore();
        match ended.summary().map(|summary| summary["trashed_as"].as_str()) {
            Some(Some(run)) => restore.arguments.push(run.to_owned()),
            // Nothing was moved.
            Some(None) => return Ok(()),
            // Killed, or refused: what may have been moved is in the last run.
            None => {}
        }
        self.counts.restores += 1;
        self.check(&restore, kept, None).map(drop)
    }
}

fn none_lost(root: &Path, kept: &Kept) -> Result<(), String> {
    match served(root).lost(kept) {
        lost if lost.is_empty() => Ok(()),
        lost => Err(format!("{} lost:\n    {}", lost.len(), lost.join("\n    "))),
    }
}
