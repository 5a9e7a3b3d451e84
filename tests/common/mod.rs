//! Running the binary.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// What a run of regc has printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `regc` without the environment's registry variables.
pub fn regc<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    regc_with(arguments, &[])
}

/// Runs `regc` with these registry variables and no others.
pub fn regc_with<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, environment: &[(&str, &str)]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regc"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("REGISTRY_")) {
            command.env_remove(name);
        }
    }
    let output = command.args(arguments).envs(environment.iter().copied()).output().expect("regc can be run");
    Run {
        code: output.status.code().expect("regc is not killed"),
        stdout: String::from_utf8(output.stdout).expect("regc prints UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("regc prints UTF-8"),
    }
}

/// Runs `regc gc --root ROOT` with more arguments.
pub fn gc(root: &Path, arguments: &[&str]) -> Run {
    let fixed = ["gc".as_ref(), "--root".as_ref(), root.as_os_str()];
    regc(fixed.into_iter().chain(arguments.iter().map(OsStr::new)))
}
