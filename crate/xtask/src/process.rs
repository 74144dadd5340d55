//! Running other programs, from the project's root.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

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

/// Downloads into a folder, which is empty then; thrice at most, because neither pip nor npm goes on where a connection broke.
pub fn download(folder: &Path, command: impl Fn() -> Command) -> Result<()> {
    let attempt = || {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        run(&mut command())
    };
    attempt().or_else(|_| attempt()).or_else(|_| attempt())
}

/// Runs several beside each other and shows the output of each when it has ended; an error, of the first, if any fails.
pub fn together(commands: Vec<(&str, Command)>) -> Result<()> {
    let run = |(what, mut command): (&str, Command)| {
        let start = Instant::now();
        let output = command.output().map_err(|error| format!("{}: {error}", shown(&command)))?;
        let mut terminal = std::io::stderr().lock();
        let shown_whole = [&output.stderr, &output.stdout].iter().try_for_each(|text| terminal.write_all(text));
        let seconds = start.elapsed().as_secs();
        let told = writeln!(terminal, "› {what}: {} after {seconds} s", output.status);
        shown_whole.and(told).map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{} failed", shown(&command))),
        }
    };
    let done: Vec<std::result::Result<(), String>> = thread::scope(|scope| {
        let running: Vec<_> = commands.into_iter().map(|one| scope.spawn(|| run(one))).collect();
        running.into_iter().map(|one| one.join().expect("it does not panic")).collect()
    });
    Ok(done.into_iter().collect::<std::result::Result<(), String>>()?)
}

/// What it prints, or nothing if it cannot run.
pub fn output(command: &mut Command) -> String {
    let output = command.stderr(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_fails_fails_them_all() {
        let cargo = |argument: &str| {
            let mut cargo = command("cargo");
            cargo.arg(argument);
            ("cargo", cargo)
        };
        assert!(together(vec![cargo("--version"), cargo("--version")]).is_ok());
        let error = together(vec![cargo("--version"), cargo("--nonsense"), cargo("--version")]).unwrap_err();
        assert!(error.to_string().contains("--nonsense failed"), "{error}");
        assert!(together(vec![("nothing", command("hearth-no-such-program"))]).is_err());
    }

    #[test]
    fn downloads_are_tried_again_from_nothing() {
        let folder = root().join("target/tmp/download");
        let tries = std::cell::Cell::new(0);
        // Leaves something behind each time and works at the third.
        let attempt = || {
            tries.set(tries.get() + 1);
            let mut shell = command("python3");
            let (file, tried) = (folder.join("part").display().to_string(), tries.get());
            shell.arg("-c").arg(format!("open({file:?}, 'x').close(); exit({tried} != 3)"));
            shell
        };
        download(&folder, attempt).unwrap();
        assert_eq!(tries.get(), 3);
        assert!(folder.join("part").exists());
        assert!(download(&folder, || command("hearth-no-such-program")).is_err());
    }
}
