//! What Trunk cannot do itself: the engine as WebAssembly with its JavaScript, and the models, into the folder it is making.
//! The engine is always optimised: a debug build of it would be no use on a page.

use std::path::PathBuf;
use std::process::Command;

use crate::models;
use crate::process::{self, Result, command, root};

const TARGET: &str = "wasm32-unknown-unknown";

/// A module: the store's, and three builds of the engine's, of which the page picks the best that the browser and its
/// server's headers allow.
pub struct Build {
    name: &'static str,
    /// Features of `bindings`.
    feature: &'static str,
    /// Below `target`.
    folder: &'static str,
    /// Given to cargo.
    config: &'static [&'static str],
    /// Atomics need a standard library compiled with them, which cargo offers on nightly, or here.
    own_std: bool,
}

const BUILDS: [Build; 4] = [
    Build { name: "store", feature: "store", folder: "store", config: &[], own_std: false },
    Build { name: "base", feature: "engine", folder: "base", config: &[], own_std: false },
    Build { name: "threads", feature: "engine", folder: "threads", config: &[THREADS], own_std: true },
    Build { name: "threads-relaxed", feature: "engine", folder: "relaxed", config: &[THREADS, RELAXED], own_std: true },
];

const THREADS: &str = ".cargo/threads.toml";

const RELAXED: &str = "target.wasm32-unknown-unknown.rustflags=['-Ctarget-feature=+relaxed-simd']";

impl Build {
    /// The build of this name.
    pub fn named(name: &str) -> &'static Build {
        BUILDS.iter().find(|build| build.name == name).expect("a build of that name")
    }

    /// A cargo command with this build's flags, in a target folder of its own: other flags in a shared one would rebuild
    /// everything at each turn.
    pub fn cargo(&self, command_name: &str) -> Command {
        let mut cargo = command("cargo");
        self.config.iter().for_each(|config| {
            cargo.args(["--config", config]);
        });
        if self.own_std {
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        cargo.args([command_name, "--target", TARGET, "--target-dir"]).arg(format!("target/{}", self.folder));
        cargo
    }
}

fn run_in(staging: PathBuf) -> Result<()> {
    // Two at a time: the last step of each, of a whole program, takes a single core.
    for builds in BUILDS.chunks(2) {
        let compile = |build: &'static Build| {
            let mut cargo = build.cargo("build");
            let features = ["--no-default-features", "--features", build.feature];
            cargo.args(["--release", "--package", "bindings"]).args(features);
            (build.name, cargo)
        };
        process::together(builds.iter().map(compile).collect())?;
    }
    for build in &BUILDS {
        let module = root().join("target").join(build.folder).join(TARGET).join("release/bindings.wasm");
        let options = ["--target", "no-modules", "--no-typescript", "--remove-name-section", "--out-name", "engine"];
        let out = staging.join("engine").join(build.name);
        process::run(command("wasm-bindgen").args(options).arg("--out-dir").arg(out).arg(module))?;
    }
    models::publish(&staging.join("models"))
}

/// Into Trunk's staging folder, or `dist` when called by hand.
pub fn run() -> Result<()> {
    run_in(std::env::var_os("TRUNK_STAGING_DIR").map_or_else(|| root().join("dist"), PathBuf::from))
}
