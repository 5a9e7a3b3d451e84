//! Plans in files: what a dry run would delete, to be reviewed, and carried out later by `regc apply`.
//!
//! A plan is JSON Lines: a header, then what is deleted as `--json` prints it, and last a line with the SHA-256 of all before it.
//! So a plan that was changed by hand, or cut, is noticed.

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use regc_core::{Algorithm, Digest, Error, Item, Plan, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::output::file;
use crate::process;
use crate::source::real;

/// Where a plan is written.
#[derive(clap::Args)]
pub struct Planning {
    /// With --dry-run: write what would be deleted to a file, for `regc apply`
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    plan_out: Option<PathBuf>,
}

/// The version of the format. It increases when another regc would misread a plan.
const SCHEMA_VERSION: u32 = 2;

/// The first line of a plan.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    r#type: String,
    schema_version: u32,
    regc: String,
    planned: String,
    store: String,
    /// The directory that relative paths among the arguments start from.
    directory: PathBuf,
    arguments: Vec<String>,
}

/// What the first line of a plan says in every version.
#[derive(Debug, Deserialize)]
struct MadeBy {
    r#type: String,
    #[serde(alias = "version")]
    schema_version: u32,
    regc: String,
}

impl MadeBy {
    /// Fails unless this regc understands what the other one has written, and plans the same.
    fn check(&self, path: &Path) -> Result<(), Error> {
        let Self { schema_version, regc, .. } = self;
        let this = env!("CARGO_PKG_VERSION");
        match (regc == this, *schema_version == SCHEMA_VERSION) {
            (true, true) => Ok(()),
            (false, _) => {
                let reason = format!("it was made by regc {regc}, but this is regc {this}");
                Err(invalid(path, format!("{reason}; apply it with regc {regc}, or write it again with --plan-out")))
            }
            (true, false) => {
                let reason =
                    format!("it was made by another build of regc {regc}, in version {schema_version} of the format");
                Err(invalid(
                    path,
                    format!("{reason}, but this build uses version {SCHEMA_VERSION}; write it again with --plan-out"),
                ))
            }
        }
    }
}

/// The last line of a plan.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    r#type: String,
    items: usize,
    sha256: Digest,
}

/// A plan that was read from a file: what somebody has reviewed.
#[derive(Debug)]
pub struct Approved {
    /// The store.
    pub store: String,
    /// When it was made.
    pub planned: String,
    /// The directory that relative paths among the arguments start from.
    pub directory: PathBuf,
    /// The command line that made it.
    pub arguments: Vec<String>,
    /// What it deletes, by what it is called in all plans.
    items: BTreeMap<String, Box<RawValue>>,
}

/// What differs between a plan that was approved and the store as it is.
#[derive(Debug, Default)]
pub struct Difference {
    /// What was approved, and is not to be deleted any more: it is gone, or in use again.
    pub gone: Vec<Box<RawValue>>,
    /// What is to be deleted, and was not approved. It stays.
    pub new: Vec<Box<RawValue>>,
    /// How many items are in both.
    pub both: u64,
}

/// Returns what an item is called in all plans. Its bytes are left out: they do not tell what it is.
fn name(item: &RawValue) -> Result<String, Error> {
    let mut item: Value = serde_json::from_str(item.get()).map_err(in_plan)?;
    if let Value::Object(fields) = &mut item {
        fields.remove("bytes");
    }
    Ok(item.to_string())
}

/// Returns an item as JSON.
fn described(item: &Item<'_>) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(item).map_err(in_plan)
}

fn in_plan(error: serde_json::Error) -> Error {
    invalid(Path::new("the plan"), error.to_string())
}

fn line(value: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(value).map_err(in_plan)? + "\n")
}

fn invalid(path: &Path, reason: impl Into<String>) -> Error {
    let source = io::Error::new(io::ErrorKind::InvalidData, reason.into());
    Error::Storage { action: "use the plan", path: path.display().to_string(), source }
}

/// Returns the name of a store in plans.
fn name_of(root: &Path) -> String {
    real(root).display().to_string()
}

impl Planning {
    /// The file, if a plan is to be written.
    pub fn file(&self) -> Option<&Path> {
        self.plan_out.as_deref()
    }

    /// Removes an earlier plan from its place: if this one cannot be made, that one must not be taken for it.
    pub fn remove_earlier(&self) {
        let begins = |text: &str| text.starts_with("{\"type\":\"plan\"");
        if let Some(path) =
            self.plan_out.as_ref().filter(|path| fs::read_to_string(path).is_ok_and(|text| begins(&text)))
        {
            fs::write(path, "").ok();
        }
    }

    /// Writes a plan, if that was asked for.
    pub fn write(&self, plan: &Plan, root: &Path) -> Result<(), Error> {
        let Some(path) = &self.plan_out else { return Ok(()) };
        let fail = |source| Error::Storage { action: "write the plan", path: path.display().to_string(), source };
        let header = Header {
            r#type: "plan".to_owned(),
            schema_version: SCHEMA_VERSION,
            regc: env!("CARGO_PKG_VERSION").to_owned(),
            planned: process::time(SystemTime::now()),
            store: name_of(root),
            directory: env::current_dir().map_err(fail)?,
            arguments: env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect(),
        };
        let mut text = line(&header)?;
        let mut items = 0;
        for item in plan.items() {
            text += described(&item)?.get();
            text.push('\n');
            items += 1;
        }
        let end = End { r#type: "end".to_owned(), items, sha256: Digest::of(Algorithm::Sha256, text.as_bytes()) };
        text += &line(&end)?;
        file::replace(path, &text).map_err(fail)
    }
}

impl Approved {
    /// Reads a plan.
    ///
    /// Fails if it is not whole, was changed, or was made by another version of regc.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let fail = |source| Error::Storage { action: "read the plan", path: path.display().to_string(), source };
        let text = fs::read_to_string(path).map_err(fail)?;
        let not_whole = || invalid(path, "it is incomplete; write it again with --plan-out");
        let first = text.lines().next().and_then(|line| serde_json::from_str::<MadeBy>(line).ok());
        first.filter(|first| first.r#type == "plan").ok_or_else(not_whole)?.check(path)?;
        let last = text.trim_end_matches('\n').rfind('\n').map(|at| at + 1).ok_or_else(not_whole)?;
        let (before, last) = text.split_at(last);
        let end: End = serde_json::from_str(last).map_err(|_| not_whole())?;
        if end.r#type != "end" || end.sha256 != Digest::of(Algorithm::Sha256, before.as_bytes()) {
            return Err(invalid(path, "it was changed since it was made; write it again with --plan-out"));
        }
        let mut lines = before.lines();
        let header: Header = lines.next().and_then(|line| serde_json::from_str(line).ok()).ok_or_else(not_whole)?;
        let mut items = BTreeMap::new();
        for line in lines {
            let item: Box<RawValue> = serde_json::from_str(line).map_err(|_| not_whole())?;
            items.insert(name(&item)?, item);
        }
        let Header { planned, store, directory, arguments, .. } = header;
        Ok(Self { store, planned, directory, arguments, items })
    }

    /// Fails if the plan is of another store.
    pub fn check_store(&self, root: &Path) -> Result<(), Error> {
        let root = name_of(root);
        match root == self.store {
            true => Ok(()),
            false => Err(Error::Config(format!("the plan is for the store {}, not for {root}", self.store))),
        }
    }

    /// Restricts a plan to what was approved, and returns what differs.
    pub fn restrict(&self, plan: Plan, store: &Store) -> Result<(Plan, Difference), Error> {
        let mut difference = Difference::default();
        let mut found = HashSet::new();
        for item in plan.items() {
            let item = described(&item)?;
            let name = name(&item)?;
            if self.items.contains_key(&name) {
                found.insert(name);
            } else {
                difference.new.push(item);
            }
        }
        difference.both = found.len() as u64;
        let gone = self.items.iter().filter(|(name, _)| !found.contains(*name));
        difference.gone.extend(gone.map(|(_, item)| item.clone()));
        let name_of = |item: &Item<'_>| described(item).and_then(|item| name(&item));
        let plan = plan.only(store.storage(), |item| name_of(item).is_ok_and(|name| self.items.contains_key(&name)))?;
        Ok((plan, difference))
    }
}
