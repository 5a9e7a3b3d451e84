//! Runs of the real binary.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The time after which a command counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary.
#[derive(Clone, Debug)]
pub struct Regc {
    path: PathBuf,
}

/// The exit status and output of a command.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Whether it was killed because it took too long.
    pub hung: bool,
    /// The JSON objects that it printed.
    pub lines: Vec<Value>,
    /// Its standard error stream.
    pub errors: String,
}

impl Regc {
    /// The binary at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Runs it on the store at `root` with JSON output; kills it after `kill_after`, if given.
    pub fn run(&self, root: &Path, arguments: &[String], kill_after: Option<Duration>) -> Ended {
        let output = tempfile::tempdir().expect("a temporary directory can be made");
        let (out, err) = (output.path().join("out"), output.path().join("err"));
        let file = |path: &Path| File::create(path).expect("a file can be made");
        let mut command = Command::new(&self.path);
        command.args(arguments).arg("--root").arg(root).args(["--format", "json"]);
        command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
        let started = Instant::now();
        let mut child = command.spawn().expect("regc can be run");
        let mut hung = false;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                break status;
            }
            hung = started.elapsed() > PATIENCE;
            if hung || kill_after.is_some_and(|after| started.elapsed() >= after) {
                child.kill().expect("a child can be killed");
                break child.wait().expect("a child can be waited for");
            }
            std::thread::sleep(Duration::from_micros(200));
        };
        let text = fs::read_to_string(&out).unwrap_or_default();
        Ended {
            code: status.signal().is_none().then(|| status.code()).flatten(),
            hung,
            lines: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            errors: fs::read_to_string(&err).unwrap_or_default(),
        }
    }
}

impl Ended {
    /// Returns the last line, if it is a summary.
    pub fn summary(&self) -> Option<&Value> {
        self.lines.last().filter(|line| line["type"] == "summary")
    }

    /// Whether it completed.
    pub fn is_done(&self) -> bool {
        matches!(self.code, Some(0 | 3))
    }

    /// Whether one of its findings has this code.
    pub fn found(&self, code: &str) -> bool {
        self.lines.iter().any(|line| line["type"] == "finding" && line["code"] == code)
    }
}
