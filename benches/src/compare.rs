//! The table: regc, the registry's own command, and the baseline, in turns on one store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use regc_testkit::peer::PeerRegistry;

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
    /// How many threads regc and the baseline use. Without it, regc measures how many help, and the baseline uses 64
    #[arg(long)]
    jobs: Option<usize>,
    /// Also measure with the system's caches dropped before each run; needs root
    #[arg(long)]
    cold: bool,
    /// Also measure real runs. The store is written again before each run, which takes longer than the runs
    #[arg(long)]
    real: bool,
    /// Also the second night: the store after a real run, which has cached what manifests refer to
    #[arg(long)]
    next: bool,
    /// Also -m on 4 repositories with 1,000 tags each, and on 4 with 250
    #[arg(long)]
    tags: bool,
    /// Also a quarter of the store, to see what grows with what
    #[arg(long)]
    scale: bool,
    /// Also four times the store, without the registry: millions of files
    #[arg(long)]
    larger: bool,
    /// Also 16 times the store, without the registry: 15 million files. In 15 GB of an ext4 with `inline_data` and inodes of 512
    /// bytes; elsewhere it takes 65 GB
    #[arg(long)]
    largest: bool,
    /// Also `regc verify`, `regc du` and `regc prune --keep 10`
    #[arg(long)]
    others: bool,
    /// The registry's own command
    #[arg(long, default_value = "docker-registry")]
    registry: String,
    /// Among the other commands, also registry-cli over HTTP, which this file of it is: registry.py. `python3` must find what it imports
    #[arg(long, value_name = "FILE", requires = "others")]
    registry_cli: Option<PathBuf>,
}

/// One of the programs that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Regc,
    /// regc, where an earlier run has collected the store and cached what manifests refer to.
    SecondNight,
    Registry,
    Baseline,
    /// The baseline that also lists layer links.
    BaselineWithLinks,
    // The other commands, which have no counterpart.
    Verify,
    Usage,
    Prune,
    /// Over HTTP, from the registry.
    RegistryCli,
}

const ALL: [Program; 4] = [Program::Regc, Program::Registry, Program::Baseline, Program::BaselineWithLinks];
/// Those that are fast enough for millions of files.
const FAST: [Program; 3] = [Program::Regc, Program::Baseline, Program::BaselineWithLinks];

/// What is measured, in the order of the table.
#[derive(Clone, Copy)]
enum Measurement {
    Warm,
    Others,
    Cold,
    NextWarm,
    NextCold,
    Quarter,
    FourTimes,
    SixteenTimes,
    /// With that many images in each of four repositories.
    Tags(usize),
    Real,
}

const MEASUREMENTS: [Measurement; 11] = [
    Measurement::Warm,
    Measurement::Others,
    Measurement::Cold,
    Measurement::NextWarm,
    Measurement::NextCold,
    Measurement::Quarter,
    Measurement::FourTimes,
    Measurement::SixteenTimes,
    Measurement::Tags(1000),
    Measurement::Tags(250),
    Measurement::Real,
];

impl Measurement {
    fn title(self) -> String {
        match self {
            Measurement::Warm => "dry run, warm".to_owned(),
            Measurement::Others => "other commands, warm".to_owned(),
            Measurement::Cold => "dry run, cold".to_owned(),
            Measurement::NextWarm => "second night, warm".to_owned(),
            Measurement::NextCold => "second night, cold".to_owned(),
            Measurement::Quarter => "dry run of a quarter of the repositories, warm".to_owned(),
            Measurement::FourTimes => "dry run of four times the repositories, warm".to_owned(),
            Measurement::SixteenTimes => "dry run of 16 times the repositories".to_owned(),
            Measurement::Tags(images) => format!("dry run with -m, 4 repositories of {images} images, warm"),
            Measurement::Real => "real run".to_owned(),
        }
    }

    fn programs(self) -> &'static [Program] {
        match self {
            Measurement::Warm | Measurement::Cold | Measurement::Quarter | Measurement::Real => &ALL,
            Measurement::NextWarm | Measurement::NextCold => {
                &[Program::SecondNight, Program::Registry, Program::Baseline, Program::BaselineWithLinks]
            }
            Measurement::FourTimes | Measurement::SixteenTimes => &FAST,
            Measurement::Others => {
                &[Program::Regc, Program::Verify, Program::Usage, Program::Prune, Program::RegistryCli]
            }
            Measurement::Tags(_) => &[Program::Regc, Program::Registry],
        }
    }

    fn is_wanted(self, args: &Args) -> bool {
        match self {
            Measurement::Warm => true,
            Measurement::Others => args.others,
            Measurement::Cold => args.cold,
            Measurement::NextWarm => args.next,
            Measurement::NextCold => args.next && args.cold,
            Measurement::Quarter => args.scale,
            Measurement::FourTimes => args.larger,
            Measurement::SixteenTimes => args.largest,
            Measurement::Tags(_) => args.tags,
            Measurement::Real => args.real,
        }
    }
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Regc => "regc",
            Program::Registry => "registry",
            Program::Baseline => "baseline",
            Program::BaselineWithLinks => "baseline with layer links",
            Program::SecondNight => "regc, with its cache",
            Program::Verify => "regc verify",
            Program::Usage => "regc du",
            Program::Prune => "regc prune --keep 10",
            Program::RegistryCli => "registry-cli, 10 kept, over HTTP",
        }
    }
}

/// A store and how it is collected.
#[derive(Clone, Copy)]
struct Task<'a> {
    args: &'a Args,
    regc: &'a Path,
    root: &'a Path,
    dry: bool,
    untagged: bool,
    /// The address at which the store is served over HTTP.
    served_at: Option<&'a str>,
}

impl Task<'_> {
    fn command(&self, program: Program) -> io::Result<Command> {
        let mut command = match program {
            Program::Regc | Program::SecondNight => {
                let mut command = Command::new(self.regc);
                command.args(["gc", "--quiet", "--root"]).arg(self.root);
                command.args(self.args.jobs.map(|jobs| format!("--jobs={jobs}")));
                if program == Program::SecondNight {
                    command.arg("--cache").arg(self.cache());
                } else {
                    command.arg("--no-cache");
                }
                command
            }
            Program::Verify | Program::Usage | Program::Prune => {
                let mut command = Command::new(self.regc);
                let arguments: &[&str] = match program {
                    Program::Verify => &["verify", "--quiet"],
                    Program::Usage => &["du", "--no-cache"],
                    _ => &["prune", "--dry-run", "--quiet", "--no-cache", "--keep", "10"],
                };
                command.args(arguments).arg("--root").arg(self.root);
                return Ok(command);
            }
            Program::RegistryCli => {
                let mut command = Command::new("python3");
                command.args(self.args.registry_cli.as_deref());
                command.args(["--delete", "--num", "10", "--dry-run", "--host"]);
                command.args(self.served_at.map(|address| format!("http://{address}")));
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
            Program::Baseline | Program::BaselineWithLinks => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("baseline").arg(self.root);
                command.args(self.args.jobs.map(|jobs| format!("--jobs={jobs}")));
                command.args((program == Program::BaselineWithLinks).then_some("--layer-links"));
                command.args((!self.dry).then_some("--remove"));
                return Ok(command);
            }
        };
        command.args(self.dry.then_some("--dry-run"));
        command.args(self.untagged.then_some("--delete-untagged"));
        Ok(command)
    }

    /// Where it is cached what manifests refer to.
    fn cache(&self) -> PathBuf {
        self.args.directory.join("cache")
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
        let seconds_of = |wanted| {
            let found = programs.iter().zip(&medians).find(|(program, _)| **program == wanted);
            found.and_then(|(_, cost)| *cost).map_or(f64::NAN, |cost| cost.seconds)
        };
        let prune = seconds_of(Program::Prune);
        let is_next = programs.contains(&Program::SecondNight);
        let regc = seconds_of(if is_next { Program::SecondNight } else { Program::Regc });
        for (program, cost) in programs.iter().zip(&medians) {
            let Some(Cost { seconds, peak_bytes }) = cost else { continue };
            let ratio = match program {
                Program::Regc | Program::SecondNight => String::new(),
                Program::Registry => format!("regc is {:.1} times faster", seconds / regc),
                Program::RegistryCli => format!("regc prune is {:.1} times faster", seconds / prune),
                Program::Verify | Program::Usage | Program::Prune => {
                    format!("takes {:.2} times as long as a dry run", seconds / regc)
                }
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
    let root = make(args, "store", &args.shape)?;
    let dry = Task { args, regc: &regc, root: &root, dry: true, untagged: false, served_at: None };
    println!("| task | program | median | peak memory | ratio |\n|---|---|---|---|---|");
    // Fills the caches.
    process::run(&mut dry.command(Program::BaselineWithLinks)?)?;
    for measurement in MEASUREMENTS.into_iter().filter(|measurement| measurement.is_wanted(args)) {
        let (title, wanted) = (measurement.title(), measurement.programs());
        let is_there = |program: &Program| match program {
            Program::Registry => has_registry,
            Program::RegistryCli => args.registry_cli.is_some(),
            _ => true,
        };
        let programs: Vec<Program> = wanted.iter().copied().filter(is_there).collect();
        match measurement {
            Measurement::Warm => dry.measure(&title, &programs, args.runs, || Ok(()))?,
            Measurement::Others => {
                let server = args.registry_cli.is_some().then(|| PeerRegistry::start(&root));
                let address = server.as_ref().map(PeerRegistry::address);
                let task = Task { served_at: address.as_deref(), ..dry };
                task.measure(&title, &programs, args.runs, || Ok(()))?;
            }
            Measurement::Cold => dry.measure(&title, &programs, args.runs.min(3), drop_caches)?,
            Measurement::NextWarm | Measurement::NextCold => {
                let root = make(args, "collected", &args.shape)?;
                let task = Task { root: &root, ..dry };
                // The first real run collects, and any further one finds nothing.
                process::run(&mut Task { dry: false, ..task }.command(Program::SecondNight)?)?;
                process::run(&mut task.command(Program::BaselineWithLinks)?)?;
                match measurement {
                    Measurement::NextCold => task.measure(&title, &programs, args.runs.min(3), drop_caches)?,
                    _ => task.measure(&title, &programs, args.runs, || Ok(()))?,
                }
            }
            Measurement::Quarter | Measurement::FourTimes | Measurement::SixteenTimes => {
                let (name, repositories) = match measurement {
                    Measurement::Quarter => ("quarter", args.shape.repositories / 4),
                    Measurement::FourTimes => ("four-times", args.shape.repositories * 4),
                    _ => ("16-times", args.shape.repositories * 16),
                };
                let root = make(args, name, &Shape { repositories, ..args.shape })?;
                let task = Task { root: &root, ..dry };
                process::run(&mut task.command(Program::BaselineWithLinks)?)?;
                task.measure(&title, &programs, args.runs, || Ok(()))?;
            }
            Measurement::Tags(images) => {
                let shape = Shape { repositories: 4, images, deleted: 0, ..args.shape };
                let root = make(args, &format!("tags-{images}"), &shape)?;
                let task = Task { root: &root, untagged: true, ..dry };
                process::run(&mut task.command(Program::Regc)?)?;
                // The registry takes minutes.
                task.measure(&title, &programs, 1, || Ok(()))?;
            }
            Measurement::Real => {
                let task = Task { dry: false, ..dry };
                task.measure(&title, &programs, args.runs.min(3), || {
                    store::write(&root, &args.shape)?;
                    sync()?;
                    // Fills the caches again, as a dry run does.
                    process::run(&mut dry.command(Program::BaselineWithLinks)?)?;
                    Ok(())
                })?;
                store::write(&root, &args.shape)?;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "| task | program | median | peak memory | ratio |\n|---|---|---|---|---|\n";

    /// What a table has in its first two columns.
    fn documented(table: &str) -> Vec<(&str, &str)> {
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let columns = rows.map(|row| row.split('|').map(str::trim).skip(1));
        columns.filter_map(|mut columns| columns.next().zip(columns.next())).collect()
    }

    #[test]
    fn the_tables_in_the_documentation_have_the_rows_of_this_command() {
        let tables: Vec<&str> = include_str!("../../docs/performance.md").split(HEADER).skip(1).collect();
        let [all, larger @ ..] = &tables[..] else { panic!("no table") };
        let titles = MEASUREMENTS.map(Measurement::title);
        let measured = MEASUREMENTS.iter().zip(&titles);
        let rows: Vec<(&Measurement, &str, &str)> = measured
            .flat_map(|(one, title)| one.programs().iter().map(move |program| (one, title.as_str(), program.name())))
            .collect();
        let on_any_disk = rows.iter().filter(|(one, ..)| !matches!(one, Measurement::SixteenTimes));
        assert_eq!(documented(all), on_any_disk.map(|&(_, title, name)| (title, name)).collect::<Vec<_>>());
        for row in larger.iter().flat_map(|table| documented(table)) {
            assert!(rows.iter().any(|&(_, title, name)| (title, name) == row), "{row:?}");
        }
    }
}
