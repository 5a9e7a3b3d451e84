//! Says from which commit the binary is built, where that is known: a package of the sources has no history.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", path]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let version = match git(&["log", "-1", "--format=%h %cs"]) {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=REGC_VERSION={version}");
}

/// Returns what git prints about this project; `None` without git, and in the history of another project.
fn git(arguments: &[&str]) -> Option<String> {
    let output = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    output(&["ls-files", "--error-unmatch", "build.rs"])?;
    output(arguments).filter(|text| !text.is_empty())
}
