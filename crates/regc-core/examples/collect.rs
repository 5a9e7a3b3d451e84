//! Collects garbage in a registry's storage, and reports progress.
//!
//!     cargo run -p regc-core --example collect -- /etc/docker/registry/config.yml

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use regc_core::{CollectOptions, Config, Disposal, Holder, Monitor, Phase, Store};

/// Prints each phase, and how many steps the one before it had.
#[derive(Default)]
struct Progress {
    steps: AtomicU64,
}

impl Monitor for Progress {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        eprintln!("{} steps; then {phase:?}", self.steps.swap(0, Relaxed));
    }

    fn advance(&self, steps: u64) {
        self.steps.fetch_add(steps, Relaxed);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give the path of the registry's config.yml")?;
    let store = Store::open(&Config::from_file(path, std::env::vars())?)?;
    let session = store.lock(&Holder::new("collect"))?;
    let progress = Progress::default();
    let plan = session.plan(&CollectOptions::new().delete_untagged(true), &progress)?;
    for finding in plan.findings() {
        eprintln!("{}; {}", finding.message(), finding.remedy());
    }
    // What is in the trash can be restored, and takes up space until the trash is emptied.
    let outcome = session.execute(&plan, Disposal::Trash, &progress)?;
    for failure in &outcome.failures {
        eprintln!("{failure}");
    }
    println!(
        "{} bytes moved to the trash as {}",
        outcome.removed.bytes,
        outcome.trashed_as.as_deref().unwrap_or("nothing")
    );
    Ok(())
}
