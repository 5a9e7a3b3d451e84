//! `regc repair`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use regc_core::error::Error;
use regc_core::repair::{Action, Outcome, apply, plan};
use regc_core::storage::{self, ReadStorage, TrashStorage};
use regc_core::survey::{Options as SurveyOptions, refuse_foreign_metadata};
use regc_core::trash;
use regc_core::unwanted::Unwanted;
use regc_core::verify::{Options, Severity, Verification, verify};
use serde_json::json;

use crate::commands::content::Hashing;
use crate::commands::removing::{finish_unfinished, header, refuse_running_registry};
use crate::commands::{Common, Format};
use crate::output::{Output, printable};
use crate::progress::Progress;
use crate::{Ending, print_error, process, source};

/// Repair what `regc verify` finds, as far as that can lose nothing.
///
/// Shows what would be done; --apply does it. Links are written anew where their content is there and whole; links that lead
/// to nothing are removed; content that is not that of its digest is moved aside, so that the next push uploads it again.
/// Whatever is replaced or removed goes to the trash. Stop the registry first, or make it read-only.
#[derive(clap::Args)]
pub struct Args {
    /// The registry's configuration file; found as `regc gc` finds it if not given
    #[arg(value_name = "CONFIG", conflicts_with_all = ["config", "root"])]
    path: Option<PathBuf>,

    /// Do it
    #[arg(long)]
    apply: bool,

    #[command(flatten)]
    hashing: Hashing,

    /// Take content that is missing or damaged from another store: a backup or mirror. Its storage root, or its registry's
    /// configuration file
    #[arg(long, value_name = "ROOT|CONFIG")]
    from: Option<PathBuf>,

    /// Go on although most manifests are missing
    #[arg(long)]
    allow_empty: bool,

    /// Print nothing but errors; with --format json, the summary too
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    common: Common,
}

/// How often what is repaired may uncover what else can be.
const ROUNDS: usize = 8;

pub fn run(mut args: Args) -> Result<Ending, Error> {
    args.common = args.common.at(args.path.take());
    let started = SystemTime::now();
    let source = args.common.source()?;
    let storage = storage::open(&source.config)?;
    let from = args.from.as_deref().map(open_other).transpose()?;
    let from = from.as_deref().map(|from| from as &dyn ReadStorage);
    let nothing = Unwanted::default();
    let removes_tags = SurveyOptions { unwanted: Some(&nothing), ..SurveyOptions::default() };
    refuse_foreign_metadata(&source.config, &*storage, &removes_tags)?;
    let lock = if args.apply { Some(storage.lock(&process::holder())?) } else { None };
    refuse_running_registry(&source.config, !args.apply, args.quiet)?;
    let interruption = process::watch()?;
    let progress = Progress::new(args.quiet, interruption.clone());
    finish_unfinished(&*storage, lock.as_ref(), &SurveyOptions::default(), &progress)?;

    let options = Options { stale_before: None, jobs: SurveyOptions::default().jobs };
    let header = header("repair", started, &SurveyOptions::default(), None, false);
    let mut output = Output::new();
    let mut all = Outcome::default();
    let (mut planned, mut round) = (0, 0);
    let left = loop {
        let verification = verify(&*storage, &options, &progress).and_then(|mut verification| {
            // Once is enough: whatever is damaged is moved aside then.
            if round == 0 {
                let hashed = args.hashing.run(&*storage, &source.root, &mut verification, options.jobs, &progress)?;
                if hashed.interrupted {
                    return Err(Error::Interrupted);
                }
            }
            Ok(verification)
        });
        progress.clear();
        let verification = match verification {
            Err(Error::Interrupted) => {
                print_error(&Error::Interrupted);
                return Ok(Ending::Interrupted(interruption.exit_code()));
            }
            verification => verification?,
        };
        let mut actions = plan(&*storage, from, &verification, args.allow_empty)?;
        // What was tried once is not tried again.
        let failed = all.failures.iter().map(|(action, _)| action);
        let tried: HashSet<&Action> = all.done.iter().chain(&all.spared).chain(failed).collect();
        // What was moved aside is to be pushed again: the links to it are not to nothing.
        let aside: HashSet<_> = all.done.iter().filter(|done| matches!(done, Action::MoveAside { .. })).collect();
        let aside: HashSet<_> = aside.into_iter().filter_map(Action::digest).collect();
        let leads_aside = |action: &Action| {
            matches!(action, Action::RemoveLink { .. }) && action.digest().is_some_and(|digest| aside.contains(&digest))
        };
        actions.retain(|action| !tried.contains(action) && !leads_aside(action));
        planned += actions.len();
        let Some(lock) = lock.as_ref().filter(|_| !actions.is_empty() && round < ROUNDS) else {
            if lock.is_none() && !args.quiet {
                actions.iter().for_each(|action| tell(&mut output, args.common.format, "planned", action));
            }
            break verification;
        };
        round += 1;
        let header = trash::Header { run: format!("{}-{round}", header.run), ..header.clone() };
        let outcome = apply(&*storage, lock, from, &actions, &header)?;
        if !args.quiet {
            outcome.done.iter().for_each(|action| tell(&mut output, args.common.format, "done", action));
            outcome.spared.iter().for_each(|action| tell(&mut output, args.common.format, "spared", action));
        }
        outcome.failures.iter().for_each(|(_, error)| print_error(error));
        all.done.extend(outcome.done);
        all.spared.extend(outcome.spared);
        all.failures.extend(outcome.failures);
    };
    summarise(&mut output, &args, planned, &all, &left);
    output.flush();
    if let Some(error) = output.take_error() {
        eprintln!("regc: cannot write the report: {error}");
        return Ok(Ending::Failed);
    }
    Ok(match (all.failures.is_empty(), left.is_damaged() || !all.spared.is_empty()) {
        (false, _) => Ending::Failed,
        (true, true) => Ending::FoundDamage,
        (true, false) => Ending::Done,
    })
}

fn open_other(path: &Path) -> Result<Box<dyn TrashStorage>, Error> {
    let source = match path.is_dir() {
        true => source::find(None, Some(path.to_owned()))?,
        false => source::find(Some(path.to_owned()), None)?,
    };
    storage::open(&source.config)
}

fn tell(output: &mut Output, format: Format, state: &str, action: &Action) {
    if format == Format::Json {
        output.json(&json!({ "type": "repair", "state": state, "repair": action }));
        return;
    }
    let what = match action {
        Action::MoveAside { .. } => "move aside ",
        Action::Take { .. } => "take       ",
        Action::WriteLink { .. } => "write link ",
        Action::RemoveLink { .. } => "remove link",
    };
    let spared = if state == "spared" { "  (changed meanwhile; left alone)" } else { "" };
    output.line(format_args!("{what}  {}{spared}", printable(action.path())));
}

fn summarise(output: &mut Output, args: &Args, planned: usize, all: &Outcome, left: &Verification) {
    let errors = left.defects.iter().filter(|defect| defect.kind.severity() < Severity::Note).count();
    match args.common.format {
        Format::Json => output.json(&json!({
            "type": "summary",
            "schema_version": 1,
            "applied": args.apply,
            "planned": planned,
            "done": all.done.len(),
            "spared": all.spared.len(),
            "failures": all.failures.len(),
            "left": errors,
        })),
        Format::Human if args.quiet => {}
        Format::Human if !args.apply && planned > 0 => output.line(format_args!(
            "{planned} repairs. Nothing was changed: to do it, stop the registry and run the same command with --apply."
        )),
        Format::Human if planned == 0 && errors == 0 => output.line(format_args!("There is nothing to repair.")),
        Format::Human => {
            let done = all.done.len();
            let left = match errors {
                0 => "nothing is damaged any more".to_owned(),
                _ => format!("{errors} findings are left, which `regc verify` lists"),
            };
            output.line(format_args!("{done} repairs done; {left}."));
        }
    }
}
