//! How soon `regc browse` answers a key, in a real terminal, on a store of many repositories.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use regc_testkit::tmux::Tmux;

use crate::store::{self, Shape};

/// Generate a store, browse it in tmux, and print how long it takes until the screen shows what a key does
#[derive(clap::Args)]
pub struct Args {
    /// Where the store is made. It is kept, and made only where it is absent
    directory: PathBuf,
    /// How many repositories there are
    #[arg(long, default_value_t = 10_000)]
    repositories: usize,
    /// How many images are pushed to each
    #[arg(long, default_value_t = 6)]
    images: usize,
    /// How often each key is pressed
    #[arg(long, default_value_t = 40)]
    presses: usize,
    /// The program
    #[arg(long, default_value = "target/release/regc")]
    regc: PathBuf,
}

/// Keys that are pressed in turns, each of which changes what is shown.
const KEYS: [(&str, [&str; 2]); 6] = [
    ("down, up", ["Down", "Up"]),
    ("a page down, up", ["NPage", "PPage"]),
    ("to the end, the beginning", ["End", "Home"]),
    ("order by name, reversed", ["n", "n"]),
    ("order by age, by size", ["a", "s"]),
    ("mark, unmark all", ["Space", "u"]),
];

pub fn run(args: &Args) -> io::Result<()> {
    let Args { directory, repositories, images, presses, regc } = args;
    let root = directory.join(format!("browse-{repositories}-{images}"));
    if !root.exists() {
        let unfinished = directory.join("unfinished");
        let shape = Shape {
            repositories: *repositories,
            images: *images,
            layers: 8,
            base_layers: 5,
            layer_bytes: 64,
            deleted: 10,
            untagged: 10,
            indexes: 10,
            seed: 1,
        };
        store::write(&unfinished, &shape)?;
        fs::rename(&unfinished, &root)?;
    }
    let began = Instant::now();
    let terminal = Tmux::start(80, 24, &format!("{} browse --no-cache --root {}", regc.display(), root.display()));
    terminal.wait_for(&["team-0/"]);
    println!("names are shown after {:.2} s", began.elapsed().as_secs_f64());
    // Filters list repositories at any depth: here, all of them.
    let mut while_reading = Vec::new();
    let is_read = |screen: &str| screen.contains(" in use, ") || screen.contains("deleting this frees");
    while !is_read(&terminal.screen()) {
        while_reading.extend(KEYS[0].1.iter().map(|key| answer(&terminal, key)));
    }
    println!("everything is read after {:.2} s", began.elapsed().as_secs_f64());
    let mut asked: Vec<Duration> = (0..*presses).map(|_| timed(|| drop(terminal.screen()))).collect();
    println!("reading the screen takes {}, which is part of what follows", describe(&mut asked));
    println!("while the store is read: {}", describe(&mut while_reading));
    for character in ["/", "a", "p", "p"] {
        let mut once = vec![answer(&terminal, character)];
        println!("{character:?}, which filters: {}", describe(&mut once));
    }
    terminal.press(&["Enter"]);
    for (name, keys) in KEYS {
        // Sums and frees are shown when they are known; what was asked for last is waited for.
        let mut times = Vec::new();
        for _ in 0..*presses {
            times.extend(keys.iter().map(|key| answer(&terminal, key)));
        }
        println!("{name}: {}", describe(&mut times));
        settle(&terminal);
    }
    terminal.press(&["q"]);
    Ok(())
}

/// Presses a key, and returns how long it takes until the screen is another one. The cursor shows in how it is coloured.
fn answer(terminal: &Tmux, key: &str) -> Duration {
    // What the last key has led to, such as what an entry would free, comes a little later.
    sleep(Duration::from_millis(150));
    let before = terminal.coloured_screen();
    timed(|| {
        terminal.press(&[key]);
        let began = Instant::now();
        while terminal.coloured_screen() == before && began.elapsed() < Duration::from_secs(1) {}
    })
}

/// Waits until the screen does not change.
fn settle(terminal: &Tmux) {
    let mut before = String::new();
    while before != terminal.screen() {
        before = terminal.screen();
        sleep(Duration::from_millis(300));
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// `median 5.1 ms, longest 9.0 ms of 40`.
fn describe(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let milliseconds = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let (median, longest) = (milliseconds(times.get(times.len() / 2)), milliseconds(times.last()));
    format!("median {median:.1} ms, longest {longest:.1} ms of {}", times.len())
}
