//! Hashing of blobs, for the commands that offer it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use indicatif::BinaryBytes;
use regc_core::verify::Verification;
use regc_core::verify::content::{Bandwidth, Checkpoint, HashOptions, Hashed, Sample};
use regc_core::{Error, Store};

use crate::output;
use crate::progress::Progress;

/// Whether blobs are hashed, and how.
#[derive(clap::Args)]
pub struct Hashing {
    /// Hash the content of all blobs, or of a sample: sample:1%. The sample differs each day, so that nightly runs
    /// cover all blobs in time
    #[arg(long, value_name = "all|sample:N%", num_args = 0..=1, require_equals = true, default_missing_value = "all",
          value_parser = parse_content)]
    content: Option<What>,

    /// Limit the read rate, for example to 200MiB/s
    #[arg(long, value_name = "RATE", requires = "content", value_parser = Bandwidth::parse)]
    bandwidth: Option<Bandwidth>,

    /// Save the progress of hashing in this file, and resume from it after an interruption
    #[arg(long, value_name = "FILE", requires = "content")]
    checkpoint: Option<PathBuf>,
}

/// Which blobs are hashed.
#[derive(Clone, Copy, Debug)]
struct What(Option<Sample>);

fn parse_content(text: &str) -> Result<What, String> {
    if text == "all" {
        return Ok(What(None));
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Sample::parse(text, since.as_secs() / 86_400).map(|sample| What(Some(sample)))
}

impl Hashing {
    /// Whether an interrupted run can be resumed.
    pub fn can_go_on(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// Returns the limit on how fast content is read.
    pub fn bandwidth(&self) -> Option<Bandwidth> {
        self.bandwidth
    }

    /// Hashes the blobs that a verification has found, and adds their defects to it. Does nothing without
    /// `--content`.
    pub fn run(
        &self,
        store: &Store,
        root: &Path,
        verification: &mut Verification,
        progress: &Progress,
    ) -> Result<Hashed, Error> {
        let Some(What(sample)) = self.content else { return Ok(Hashed::default()) };
        let options = HashOptions::new(&root.display().to_string())
            .sample(sample)
            .bandwidth(self.bandwidth)
            .resume(self.checkpoint.as_deref().map(read).transpose()?.flatten());
        if store.config().driver.is_bucket() {
            let bytes = verification.blobs.iter().map(|(_, bytes)| bytes).sum();
            let most = if sample.is_some() { "a sample of " } else { "" };
            output::note(format_args!("reads {most}{} from the bucket", BinaryBytes(bytes)));
        }
        let save = |checkpoint: &Checkpoint| {
            if let Some(path) = &self.checkpoint
                && let Err(error) = write(path, checkpoint)
            {
                output::warn(format_args!("cannot write the checkpoint {}: {error}", path.display()));
            }
        };
        let hashed = store.verify_content(verification, &options, &save, progress)?;
        progress.clear();
        if let Some(path) = self.checkpoint.as_ref().filter(|_| !hashed.interrupted) {
            fs::remove_file(path).ok();
        }
        Ok(hashed)
    }
}

fn read(path: &Path) -> Result<Option<Checkpoint>, Error> {
    let fail = |source| Error::Storage { action: "read the checkpoint", path: path.display().to_string(), source };
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| fail(error.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail(error)),
    }
}

/// Replaces the file as a whole, so that a readable one always exists.
fn write(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, serde_json::to_vec(checkpoint)?)?;
    fs::rename(beside, path)
}
