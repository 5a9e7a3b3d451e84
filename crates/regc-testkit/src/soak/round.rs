//! A store and a sequence of commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;

use super::check;
use super::command::{Command, Effect};
use super::process::{Ended, Regc};
use super::store::Store;
use crate::oracle::pull::{Kept, served};

/// How much was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub rounds: u64,
    pub commands: u64,
    pub kills: u64,
    pub restores: u64,
    pub backups: u64,
    /// Tags and manifests that had to be there after a command.
    pub pulls: u64,
}

/// What went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The commands up to the one that failed.
    pub commands: Vec<String>,
    pub message: String,
}

/// A round that is going on.
pub struct Round<'a> {
    regc: &'a Regc,
    store: Store,
    rng: Rng,
    backup: tempfile::TempDir,
    /// Where the store is copied to before each command.
    keep: Option<PathBuf>,
    commands: Vec<String>,
    counts: &'a mut Counts,
}

impl<'a> Round<'a> {
    /// The round of this seed.
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

    /// Runs about ten commands. Fails at the first that does what none may.
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
            if let Err(message) = self.step() {
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
        if let Some(keep) = &self.keep {
            self.store.back_up(keep);
        }
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
                Effect::Removes(_) | Effect::Prunes => Kept::default(),
            };
            let second = self.check(&command, &kept, None)?;
            check::nothing_left(&command, &ended, &second)
        } else {
            Ok(())
        }
    }

    /// A dry run, which must change nothing.
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

    /// Runs a command and checks what it leaves.
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
        let lost = served(&root).lost(kept);
        if !lost.is_empty() {
            return Err(format!("{} lost:\n    {}", lost.len(), lost.join("\n    ")));
        }
        check::ending(&ended, was_killed, &before, &after)?;
        if command.only_looks() && before != after {
            return Err("a command that only looks changes something".to_owned());
        }
        if !matches!(command.effect, Effect::Removes(_)) {
            check::uploads(&before, &after)?;
        }
        Ok(ended)
    }

    /// Puts back what a command has moved to the trash: everything is there again.
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
