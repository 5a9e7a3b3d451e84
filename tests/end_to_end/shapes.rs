//! Stores of shapes that do not occur by accident. What regc needs for one grows no faster than the store.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use regc_core::Digest;
use regc_core::registry::layout;
use regc_testkit::{TestRegistry, layer};

use crate::common::{Run, regc};

/// Creates a chain of indexes, each the only one in the next. The last has a tag.
fn chain(length: usize) -> TestRegistry {
    let mut registry = TestRegistry::new();
    let mut digest = registry.image("app").layers(["base"]).push();
    for _ in 1..length {
        digest = registry.index("app").manifests([digest]).push();
    }
    registry.index("app:top").manifests([digest]).push();
    registry
}

/// Creates levels of two indexes that both hold both of the level below, so that there are 2 to the power of `levels`
/// paths through them.
fn lattice(levels: usize) -> TestRegistry {
    let mut registry = TestRegistry::new();
    let mut below: [Digest; 2] = ["a", "b"].map(|name| registry.image("app").layers([name]).push());
    for _ in 1..levels {
        let [one, other] = below;
        below = [
            registry.index("app").manifests([one, other]).push(),
            registry.index("app").manifests([other, one]).push(),
        ];
    }
    registry.index("app:top").manifests(below).push();
    registry
}

/// Creates an image with this many referrers.
fn star(referrers: usize) -> TestRegistry {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:top").layers(["base"]).push();
    for number in 0..referrers {
        registry.image("app").layers([format!("signature {number}")]).subject(image).push();
    }
    registry
}

fn tree(root: &Path, format: &str) -> Run {
    regc(["ls", "--tree", "--format", format, "--root", root.to_str().unwrap()])
}

#[test]
fn tree_output_grows_linearly_with_the_images() {
    for format in ["human", "json"] {
        for shape in [chain, lattice, star] {
            let length = |size: usize| {
                let run = tree(shape(size).on_disk().path(), format);
                assert_eq!(run.code, 0, "{}", run.stderr);
                run.stdout.len()
            };
            let (once, twice) = (length(60), length(120));
            assert!(twice < once * 5 / 2, "{format}: {once} and {twice} bytes");
        }
    }
}

#[test]
fn long_chain_of_indexes_is_listed() {
    let root = chain(3000).on_disk();
    let (people, programs) = (tree(root.path(), "human"), tree(root.path(), "json"));
    assert_eq!((people.code, people.stdout.lines().count()), (0, 3003), "{}", people.stderr);
    assert_eq!((programs.code, programs.stdout.lines().count()), (0, 3002), "{}", programs.stderr);
}

/// Pushes an image that differs from another one of the same repository in an annotation.
fn like(registry: &mut TestRegistry, other: Digest, reference: &str, number: usize) -> Digest {
    let text = registry.get(&layout::blob_data(&other)).expect("it was pushed");
    let text = String::from_utf8(text.to_vec()).unwrap();
    let annotations = format!(r#"{{"annotations":{{"number":"{number}"}},"#);
    registry.manifest(reference, text.replacen('{', &annotations, 1))
}

/// Creates all shapes in one store, each in a repository of its own and of about this size.
fn every_shape(size: usize) -> TestRegistry {
    let mut registry = TestRegistry::new();
    let numbers = || 1..size;
    let mut last = registry.image("chain").layers(["base"]).push();
    numbers().for_each(|_| last = registry.index("chain").manifests([last]).push());
    registry.index("chain:top").manifests([last]).push();

    let mut last = registry.image("tagged:0").layers(["base"]).push();
    numbers().for_each(|number| last = registry.index(&format!("tagged:{number}")).manifests([last]).push());

    let mut below = ["a", "b"].map(|name| registry.image("lattice").layers([name]).push());
    for _ in 0..53 {
        let [one, other] = below;
        below = [[one, other, one], [other, one, other]].map(|held| registry.index("lattice").manifests(held).push());
    }
    registry.index("lattice:top").manifests(below).push();

    let image = registry.image("wide").layers(["base"]).push();
    let images: Vec<Digest> = numbers().map(|number| like(&mut registry, image, "wide", number)).collect();
    registry.index("wide:top").manifests(images).push();

    // Indexes that all hold the same untagged index, in which every image has a tag.
    let image = registry.image("hub").layers(["base"]).push();
    let images: Vec<Digest> =
        numbers().map(|number| like(&mut registry, image, &format!("hub:{number}"), number)).collect();
    let hub = registry.index("hub").manifests(images).push();
    for number in numbers() {
        let other = layer(&format!("never pushed {number}"));
        registry.index(&format!("hub:all-{number}")).manifests([hub, other]).push();
    }

    let image = registry.image("star:top").layers(["base"]).push();
    let referrer = registry.image("star").layers(["of star"]).subject(image).push();
    for number in numbers() {
        like(&mut registry, referrer, &format!("star:{number}"), number);
        like(&mut registry, referrer, "star", size + number);
    }

    let mut last = registry.image("referrers:top").layers(["base"]).push();
    for number in numbers() {
        last = registry.image(&format!("referrers:{number}")).layers(["base"]).subject(last).push();
    }

    let mut last = registry.image("signatures:top").layers(["base"]).push();
    for _ in numbers() {
        last = registry.index(&format!("signatures:sha256-{}.sig", last.hex())).manifests([last]).push();
    }

    let image = registry.image("circle").layers(["base"]).push();
    let images: Vec<Digest> = numbers().map(|number| like(&mut registry, image, "circle", number)).collect();
    for (image, signature) in images.iter().zip(images.iter().cycle().skip(1)) {
        registry.tag("circle", &format!("sha256-{}.sig", image.hex()), signature);
    }

    // Damage at the bottom of a chain affects all of it, and here something is wrong with each index in it.
    let mut last = registry.image("damaged:0").layers(["base of damaged"]).push();
    let bottom = last;
    for number in numbers() {
        let lost = layer(&format!("never pushed {number}"));
        last = registry.index(&format!("damaged:{number}")).manifests([last, lost]).push();
    }
    registry.put(layout::blob_data(&bottom), "damaged");
    registry
}

/// How a run of regc ended, and what it took.
struct Cost {
    run: Run,
    /// The processor time that it took, which does not depend on what else the machine does.
    time: Duration,
    /// Its peak memory, in bytes.
    memory: u64,
}

/// Runs regc, and kills it after a minute.
fn cost(root: &Path, arguments: &[&str]) -> Cost {
    let directory = tempfile::tempdir().unwrap();
    let output = |name| fs::File::create(directory.path().join(name)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_regc"))
        .args(arguments)
        .arg("--root")
        .arg(root)
        .stdout(output("stdout"))
        .stderr(output("stderr"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let (started, mut memory) = (Instant::now(), 0);
    let process = format!("/proc/{}", child.id());
    // A process that has ended but was not waited for still shows what it took.
    let stat = loop {
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        memory = memory.max(peak.map_or(0, |peak| peak.parse::<u64>().unwrap() << 10));
        let stat = fs::read_to_string(format!("{process}/stat")).unwrap();
        let stat: Vec<String> = stat.rsplit_once(") ").unwrap().1.split(' ').map(str::to_owned).collect();
        if stat[0] == "Z" {
            break stat;
        }
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("regc {arguments:?} takes more than a minute");
        }
        sleep(Duration::from_millis(5));
    };
    let read = |name| fs::read_to_string(directory.path().join(name)).unwrap();
    let code = child.wait().unwrap().code().expect("regc is not killed");
    let run = Run { code, stdout: read("stdout"), stderr: read("stderr") };
    let ticks: u64 = stat[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // Linux reports hundredths of seconds, whatever the kernel's own ticks are.
    Cost { run, time: Duration::from_millis(ticks * 10), memory }
}

/// Every command that reads the whole store, and its exit code where something is damaged.
const COMMANDS: [(&[&str], i32); 12] = [
    (&["gc", "--dry-run"], 3),
    (&["gc", "--dry-run", "-m"], 3),
    (&["rm", "--dry-run", "tagged:1"], 0),
    (&["rm", "--dry-run", "signatures:top"], 0),
    (&["prune", "--dry-run", "--keep", "1"], 0),
    (&["verify", "--format", "json"], 3),
    (&["repair"], 3),
    (&["ls"], 0),
    (&["ls", "--tree"], 0),
    (&["ls", "--deleted"], 0),
    (&["du"], 0),
    (&["du", "--tags"], 0),
];

#[test]
#[cfg(target_os = "linux")]
fn time_and_memory_grow_linearly_with_the_store() {
    const SIZE: usize = 150;
    let (small, large) = (every_shape(SIZE).on_disk(), every_shape(4 * SIZE).on_disk());
    for (command, code) in COMMANDS {
        // Other load on the machine costs a process time of its own now and then, but not each time.
        let attempts = (0..3).map(|_| [&small, &large].map(|root| cost(root.path(), command)));
        let is_linear = attempts.into_iter().any(|[small, large]| {
            for Cost { run, .. } in [&small, &large] {
                assert_eq!(run.code, code, "{command:?}: {}", run.stderr);
            }
            assert!(large.memory < small.memory * 6, "{command:?}: {} and {} bytes", small.memory, large.memory);
            eprintln!("regc {command:?}: {:?}, and {:?} for four times that", small.time, large.time);
            // Quadratic time would be sixteen times that, if there were nothing else to do.
            large.time < small.time * 5 + Duration::from_millis(300)
        });
        assert!(is_linear, "regc {command:?} takes more than its share");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn large_manifests_take_no_more_memory_than_one_budget() {
    let mut registry = TestRegistry::new();
    // The least text for the most descriptors, none of which is valid.
    for (repository, descriptor) in
        [("a", "{},"), ("b", "{},"), ("c", r#"{"digest":"x"},"#), ("d", r#"{"digest":"x"},"#)]
    {
        let descriptors = descriptor.repeat((4 << 20) / descriptor.len());
        let annotation = format!(r#""annotations":{{"x":"{repository}"}}"#);
        let index = format!(r#"{{"schemaVersion":2,{annotation},"manifests":[{descriptors}{{}}]}}"#);
        registry.manifest(&format!("{repository}:v1"), index);
    }
    let root = registry.on_disk();
    for command in [&["gc", "--dry-run"][..], &["prune", "--dry-run", "--keep", "1"], &["verify"], &["ls"]] {
        let Cost { memory, run, .. } = cost(root.path(), command);
        assert!(memory < 80 << 20, "{command:?}: {memory} bytes: {}", run.stderr);
    }
}
