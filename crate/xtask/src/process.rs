//! Running other programs, from the project's root.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crate/xtask lies two below").to_owned()
}

/// Tells what is done.
pub fn say(what: &str) {
    eprintln!("› {what}");
}

/// A program of the search path, to run in the root. Tools of ours that differ from the ones on the machine come first.
pub fn command(program: &str) -> Command {
    let own = root().join("target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let joined = std::env::join_paths([own.clone()].into_iter().chain(std::env::split_paths(&path)));
    let local = own.join(program);
    let mut command = match local.exists() {
        true => Command::new(local),
        false => Command::new(program),
    };
    command.current_dir(root()).stdin(Stdio::null()).env("PATH", joined.unwrap_or(path));
    // Set by the cargo that runs us, they would make a nested cargo rebuild.
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
    command
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs it and shows its output; an error if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("{}: {error}", shown(command)))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{} failed", shown(command)).into()),
    }
}

/// What it prints, or nothing if it cannot run.
pub fn output(command: &mut Command) -> String {
    let output = command.stderr(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
