//! Says from which commit the binary is built, where that is known: a package of the sources has no history.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(path) = printed(&["rev-parse", "--git-path", path]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    // Sources that were unpacked into another project are no part of its history.
    let is_tracked = printed(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    let version = match printed(&["log", "-1", "--format=%h %cs"]) {
        Some(commit) if is_tracked => format!("{version} ({commit})"),
        _ => version.to_owned(),
    };
    println!("cargo::rustc-env=REGC_VERSION={version}");
}

/// Returns what git prints; `None` if it prints nothing, or fails.
fn printed(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
