//! The table: regc, the registry's own command, and the baseline, in turns on one store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Cost, median};
use crate::store::{self, Shape};

/// Generate a store and compare, in one run: absolute times mean nothing, ratios do
#[derive(clap::Args)]
pub struct Args {
    /// Where stores are made. They are kept, and made only where they are absent
    directory: PathBuf,
    #[command(flatten)]
    shape: Shape,
    /// How often each program runs; the median is reported
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many threads regc and the baseline use
    #[arg(long, default_value_t = regc_core::stages::scan::Options::default().jobs)]
    jobs: usize,
    /// Also measure with the system's caches dropped before each run; needs root
    #[arg(long)]
    cold: bool,
    /// Also measure real runs. The store is written again before each run, which takes longer than the runs
    #[arg(long)]
    real: bool,
    /// Also -m on 4 repositories with 1,000 tags each, and on 4 with 250
    #[arg(long)]
    tags: bool,
    /// Also a quarter of the store, to see what grows with what
    #[arg(long)]
    scale: bool,
    /// Also `regc verify`
    #[arg(long)]
    verify: bool,
    /// The registry's own command
    #[arg(long, default_value = "docker-registry")]
    registry: String,
}

/// One of the programs that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Regc,
    Registry,
    BareWalk,
    /// The baseline that also lists layer links.
    BareWalkOfLinks,
    /// `regc verify`, which has no counterpart.
    Verify,
}

const ALL: [Program; 4] = [Program::Regc, Program::Registry, Program::BareWalk, Program::BareWalkOfLinks];

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Regc => "regc",
            Program::Registry => "registry",
            Program::BareWalk => "bare walk",
            Program::BareWalkOfLinks => "bare walk with layer links",
            Program::Verify => "regc verify",
        }
    }
}

/// A store and how it is collected.
struct Task<'a> {
    args: &'a Args,
    regc: &'a Path,
    root: &'a Path,
    dry: bool,
    untagged: bool,
}

impl Task<'_> {
    fn command(&self, program: Program) -> io::Result<Command> {
        let jobs = self.args.jobs.to_string();
        let mut command = match program {
            Program::Regc => {
                let mut command = Command::new(self.regc);
                command.args(["gc", "--quiet", "--jobs", &jobs, "--root"]).arg(self.root);
                command
            }
            Program::Verify => {
                let mut command = Command::new(self.regc);
                command.args(["verify", "--quiet", "--root"]).arg(self.root);
                return Ok(command);
            }
            Program::Registry => {
                let config = self.args.directory.join("config.yml");
                let root = self.root.display();
                let text = format!(
                    "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n"
                );
                fs::write(&config, text)?;
                let mut command = Command::new(&self.args.registry);
                command.arg("garbage-collect").arg(config);
                command
            }
            Program::BareWalk | Program::BareWalkOfLinks => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["bare-walk", "--jobs", &jobs]).arg(self.root);
                command.args((program == Program::BareWalkOfLinks).then_some("--layer-links"));
                command.args((!self.dry).then_some("--remove"));
                return Ok(command);
            }
        };
        command.args(self.dry.then_some("--dry-run"));
        command.args(self.untagged.then_some("--delete-untagged"));
        Ok(command)
    }

    /// Runs the programs in turns, with `before` before each run, and prints a line for each of them.
    fn measure(
        &self,
        title: &str,
        programs: &[Program],
        runs: usize,
        before: impl Fn() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); programs.len()];
        for _ in 0..runs {
            for (program, costs) in programs.iter().zip(&mut costs) {
                before()?;
                costs.push(process::run(&mut self.command(*program)?)?);
            }
        }
        let medians: Vec<Option<Cost>> = costs.into_iter().map(median).collect();
        let regc = programs.iter().zip(&medians).find(|(program, _)| **program == Program::Regc);
        let regc = regc.and_then(|(_, cost)| *cost).map_or(f64::NAN, |cost| cost.seconds);
        for (program, cost) in programs.iter().zip(&medians) {
            let Some(Cost { seconds, peak_bytes }) = cost else { continue };
            let ratio = match program {
                Program::Regc => String::new(),
                Program::Registry => format!("regc is {:.1} times faster", seconds / regc),
                Program::Verify => format!("takes {:.2} times as long as the dry run", seconds / regc),
                _ => format!("regc takes {:.2} times as long", regc / seconds),
            };
            let peak = *peak_bytes as f64 / 1e6;
            println!("| {title} | {} | {seconds:.2} s | {peak:.1} MB | {ratio} |", program.name());
        }
        Ok(())
    }
}

/// Makes the stores, compares, and prints a table.
pub fn run(args: &Args) -> io::Result<()> {
    fs::create_dir_all(&args.directory)?;
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--quiet", "-p", "regc-cli"]).status()?;
    let regc = std::env::current_exe()?.with_file_name("regc");
    if !built.success() || !regc.exists() {
        return Err(io::Error::other("regc cannot be built"));
    }
    let has_registry = Command::new(&args.registry).arg("--version").output().is_ok();
    if !has_registry {
        println!("{} is not installed: no comparison with it", args.registry);
    }
    let programs = |wanted: &[Program]| -> Vec<Program> {
        wanted.iter().copied().filter(|program| has_registry || *program != Program::Registry).collect()
    };

    let root = make(args, "store", &args.shape)?;
    let dry = Task { args, regc: &regc, root: &root, dry: true, untagged: false };
    println!("| task | program | median | peak memory | ratio |\n|---|---|---|---|---|");
    for program in programs(&[Program::BareWalkOfLinks]) {
        process::run(&mut dry.command(program)?)?;
    }
    dry.measure("dry run, warm", &programs(&ALL), args.runs, || Ok(()))?;
    if args.verify {
        dry.measure("dry run and verify, warm", &[Program::Regc, Program::Verify], args.runs, || Ok(()))?;
    }
    if args.cold {
        dry.measure("dry run, cold", &programs(&ALL), args.runs.min(3), drop_caches)?;
    }
    if args.scale {
        let quarter = Shape { repositories: args.shape.repositories / 4, ..args.shape };
        let root = make(args, "quarter", &quarter)?;
        let task = Task { root: &root, ..dry };
        process::run(&mut task.command(Program::BareWalkOfLinks)?)?;
        task.measure("dry run of a quarter of the repositories, warm", &programs(&ALL), args.runs, || Ok(()))?;
    }
    if args.tags {
        for tags in [1000, 250] {
            let shape = Shape { repositories: 4, images: tags, deleted: 0, ..args.shape };
            let root = make(args, &format!("tags-{tags}"), &shape)?;
            let task = Task { root: &root, untagged: true, ..dry };
            process::run(&mut task.command(Program::Regc)?)?;
            let title = format!("dry run with -m, 4 repositories of {tags} images, warm");
            task.measure(&title, &programs(&[Program::Regc]), args.runs, || Ok(()))?;
            if has_registry {
                task.measure(&title, &[Program::Regc, Program::Registry], 1, || Ok(()))?;
            }
        }
    }
    if args.real {
        let task = Task { dry: false, ..dry };
        task.measure("real run", &programs(&ALL), args.runs.min(3), || {
            store::write(&root, &args.shape)?;
            sync()?;
            // Fills the caches again, as a dry run does.
            process::run(&mut dry.command(Program::BareWalkOfLinks)?)?;
            Ok(())
        })?;
        store::write(&root, &args.shape)?;
    }
    Ok(())
}

/// Writes a store, unless it exists.
fn make(args: &Args, name: &str, shape: &Shape) -> io::Result<PathBuf> {
    let (root, done) = (args.directory.join(name), args.directory.join(format!("{name}.shape")));
    let text = format!("{shape:?}");
    if fs::read_to_string(&done).ok().as_deref() != Some(&text) {
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        store::write(&root, shape)?;
        fs::write(&done, text)?;
    }
    Ok(root)
}

fn drop_caches() -> io::Result<()> {
    sync()?;
    fs::write("/proc/sys/vm/drop_caches", "3")
}

fn sync() -> io::Result<()> {
    Command::new("sync").status().map(|_| ())
}
