//! Commands, and what each must keep.

use fastrand::Rng;
use serde_json::Value;

use super::process::Ended;
use super::store::{ALIAS, ALIASED};
use crate::oracle::pull::{Kept, Named, Served};

/// The effect of a command on images.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Removes none.
    Keeps,
    /// Removes those that no tag reaches.
    Collects,
    /// Removes what is attached to missing manifests and, with `-m`, untagged manifests with what is attached to
    /// them.
    Tidies {
        /// Whether with `-m`.
        untagged: bool,
    },
    /// Removes what is named.
    Removes(Vec<Named>),
    /// Removes those that no rule keeps, according to its dry run.
    Prunes,
}

/// Which numbers of the summary count the work that a run had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// `garbage`.
    Garbage,
    /// `planned`.
    Planned,
    /// None: the command only reads, or its second run has another meaning.
    Nothing,
}

/// A command line without the store.
#[derive(Clone, Debug)]
pub struct Command {
    pub arguments: Vec<String>,
    pub effect: Effect,
    pub counted: Counted,
}

impl Command {
    fn new(arguments: &[&str], effect: Effect, counted: Counted) -> Self {
        Self { arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(), effect, counted }
    }

    /// `regc gc` with these options.
    pub fn gc(options: &[&str]) -> Self {
        let untagged = options.contains(&"-m");
        let effect = match (options.contains(&"--tidy"), untagged) {
            (true, untagged) => Effect::Tidies { untagged },
            (false, true) => Effect::Collects,
            (false, false) => Effect::Keeps,
        };
        let more: &[&str] = if untagged { &["--allow-mostly-untagged"] } else { &[] };
        Self::new(&[&["gc"], options, more].concat(), effect, Counted::Garbage)
    }

    /// `regc rm` of one thing.
    pub fn rm(named: Named) -> Self {
        let (name, force) = match &named {
            Named::Tag((repository, tag)) => (format!("{repository}:{tag}"), false),
            Named::Revision((repository, digest)) => (format!("{repository}@{digest}"), true),
            Named::Repository(name) => (name.clone(), false),
        };
        let mut command = Self::new(&["rm", "--yes", &name], Effect::Removes(vec![named]), Counted::Garbage);
        command.arguments.extend(force.then(|| "--force".to_owned()));
        command
    }

    /// `regc prune` that keeps this many images of each repository.
    pub fn prune(keep: usize) -> Self {
        Self::new(&["prune", "--yes", "--explain", "--keep", &keep.to_string()], Effect::Prunes, Counted::Garbage)
    }

    /// `regc repair --apply`.
    pub fn repair() -> Self {
        Self::new(&["repair", "--apply"], Effect::Keeps, Counted::Planned)
    }

    /// `regc trash restore` of the last run.
    pub fn restore() -> Self {
        Self::new(&["trash", "restore"], Effect::Keeps, Counted::Nothing)
    }

    /// `regc undelete` of everything that was deleted within the last hour.
    pub fn undelete() -> Self {
        Self::new(&["undelete", "--all-since", "1h"], Effect::Keeps, Counted::Nothing)
    }

    /// Returns a random command. Give new commands a number here.
    pub fn random(rng: &mut Rng, served: &Served) -> Self {
        let mut command = match rng.u8(..22) {
            0..=2 => Self::gc(&[]),
            3..=4 => Self::gc(&["-m"]),
            5 => Self::gc(&["--tidy"]),
            6 => Self::gc(&["-m", "--tidy"]),
            7..=11 => any_name(rng, served).map_or_else(|| Self::gc(&[]), Self::rm),
            12..=13 => Self::prune(rng.usize(1..4)),
            14..=15 => Self::repair(),
            16 => Self::restore(),
            17 => Self::new(&["trash", "empty"], Effect::Keeps, Counted::Nothing),
            18 => Self::new(&["verify", "--content"], Effect::Keeps, Counted::Nothing),
            19 => Self::undelete(),
            20 => Self::new(&["ls", "--deleted"], Effect::Keeps, Counted::Nothing),
            _ => Self::new(&[*rng.choice(&["ls", "du", "verify"]).expect("one")], Effect::Keeps, Counted::Nothing),
        };
        if command.counted == Counted::Garbage && rng.u8(..3) == 0 {
            command.arguments.push("--trash".to_owned());
        }
        command
    }

    /// Whether it only reads.
    pub fn only_looks(&self) -> bool {
        matches!(self.arguments[0].as_str(), "ls" | "du" | "verify")
    }

    /// Whether it moves what it removes to the trash.
    pub fn trashes(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--trash")
    }

    /// Returns the arguments of its dry run, if it has one.
    pub fn dry_run(&self) -> Option<Vec<String>> {
        let arguments = self.arguments.iter().filter(|argument| !matches!(argument.as_str(), "--yes" | "--apply"));
        let more = (self.arguments[0] != "repair").then(|| "--dry-run".to_owned());
        (!self.only_looks()).then(|| arguments.cloned().chain(more).collect())
    }

    /// Returns what it must keep, given the output of its dry run.
    pub fn keeps(&self, served: &Served, dry_run: Option<&Ended>) -> Kept {
        match &self.effect {
            Effect::Keeps => served.all(),
            Effect::Collects => served.tagged(),
            Effect::Tidies { untagged } => served.tidied(*untagged),
            Effect::Removes(named) => served.without(&with_aliases(named)),
            Effect::Prunes => {
                let decisions = dry_run.into_iter().flat_map(|ended| &ended.lines);
                let gone: Vec<Named> = decisions.filter_map(no_longer_kept).collect();
                served.without(&with_aliases(&gone))
            }
        }
    }

    /// Returns how much a run of it had to do, according to its summary.
    pub fn work(&self, summary: &Value) -> u64 {
        match self.counted {
            Counted::Garbage => {
                summary["garbage"].as_object().into_iter().flat_map(|all| all.values()).filter_map(Value::as_u64).sum()
            }
            Counted::Planned => summary["planned"].as_u64().unwrap_or(0),
            Counted::Nothing => 0,
        }
    }
}

/// Adds the aliases of what is named.
fn with_aliases(named: &[Named]) -> Vec<Named> {
    let other = |name: &str| (name == ALIASED).then(|| ALIAS.to_owned());
    let alias = |named: &Named| match named {
        Named::Tag((repository, tag)) => other(repository).map(|alias| Named::Tag((alias, tag.clone()))),
        Named::Revision((repository, digest)) => other(repository).map(|alias| Named::Revision((alias, *digest))),
        // The symbolic link would be dangling.
        Named::Repository(_) => None,
    };
    named.iter().cloned().chain(named.iter().filter_map(alias)).collect()
}

fn no_longer_kept(line: &Value) -> Option<Named> {
    let text = |field: &str| line[field].as_str().map(str::to_owned);
    let goes = line["type"] == "decision" && line["keep"] == false;
    goes.then(|| Some(Named::Tag((text("repository")?, text("tag")?)))).flatten()
}

fn any_name(rng: &mut Rng, served: &Served) -> Option<Named> {
    match rng.u8(..6) {
        0 => rng.choice(&served.repositories).cloned().map(Named::Repository),
        1..=2 => {
            let revisions: Vec<_> = served.revisions().collect();
            rng.choice(revisions).cloned().map(Named::Revision)
        }
        _ => {
            let tags: Vec<_> = served.tags().collect();
            rng.choice(tags).cloned().map(Named::Tag)
        }
    }
}
