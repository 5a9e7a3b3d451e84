//! `regc du`.

use std::collections::BTreeMap;

use indicatif::BinaryBytes;
use regc_core::error::Error;
use regc_core::survey::{Options, survey};
use regc_core::usage::{RepositoryUsage, usage};
use serde_json::json;

use crate::commands::{Common, Format};
use crate::output::{Output, printable};
use crate::progress::Progress;
use crate::{Ending, process};

/// Show where the bytes are: what each repository pulls, has for itself, shares, and keeps without a tag.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,

    /// Also sum up what is below each part of repositories' names: team, team/project
    #[arg(long)]
    by_namespace: bool,
}

pub fn run(args: Args) -> Result<Ending, Error> {
    let storage = args.common.open()?;
    let options = Options::default();
    let progress = Progress::new(false, process::watch()?);
    let found = survey(&*storage, &options, &progress).and_then(|survey| usage(&*storage, &survey, options.jobs));
    progress.clear();
    let found = found?;
    let namespaces = if args.by_namespace { namespaces(&found.repositories) } else { Vec::new() };
    let mut output = Output::new();
    match args.common.format {
        Format::Human => {
            output.line(format_args!("{:>12}  {:>12}  {:>12}  {:>12}", "exclusive", "shared", "pulled", "untagged"));
            let mut row = |name: &str, [a, b, c, d]: [u64; 4]| {
                let [a, b, c, d] = [a, b, c, d].map(|bytes| BinaryBytes(bytes).to_string());
                output.line(format_args!("{a:>12}  {b:>12}  {c:>12}  {d:>12}  {}", printable(name)));
            };
            for usage in &found.repositories {
                row(&usage.repository, [usage.exclusive, usage.shared, usage.pulled, usage.untagged]);
            }
            for (name, exclusive) in &namespaces {
                let exclusive = BinaryBytes(*exclusive).to_string();
                output.line(format_args!("{exclusive:>12}  {:>12}  {:>12}  {:>12}  {}/", "", "", "", printable(name)));
            }
            let (live, garbage) = (BinaryBytes(found.live), BinaryBytes(found.garbage));
            let all = BinaryBytes(found.live + found.garbage);
            output.line(format_args!("{all} in all: {live} in use, {garbage} garbage, which `regc gc` gives back"));
        }
        Format::Json => {
            for usage in &found.repositories {
                let RepositoryUsage { repository, pulled, exclusive, shared, untagged } = usage;
                output.json(&json!({
                    "type": "repository", "repository": repository, "exclusive": exclusive, "shared": shared,
                    "pulled": pulled, "untagged": untagged,
                }));
            }
            for (namespace, exclusive) in &namespaces {
                output.json(&json!({ "type": "namespace", "namespace": namespace, "exclusive": exclusive }));
            }
            output.json(&json!({
                "type": "summary", "schema_version": 1, "live": found.live, "garbage": found.garbage,
            }));
        }
    }
    output.flush();
    Ok(match output.take_error() {
        Some(error) => {
            eprintln!("regc: cannot write the list: {error}");
            Ending::Failed
        }
        None => Ending::Done,
    })
}

/// What repositories have for themselves, summed up by each beginning of their names, the most first.
fn namespaces(repositories: &[RepositoryUsage]) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for usage in repositories {
        for (end, _) in usage.repository.match_indices('/') {
            *sums.entry(&usage.repository[..end]).or_default() += usage.exclusive;
        }
    }
    let mut sums: Vec<_> = sums.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    sums.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    sums
}
