//! What Trunk cannot do itself: the engine as WebAssembly with its JavaScript, and the models, into the folder it is making.
//! The engine is always optimised: a debug build of it would be no use on a page.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Result, command, root};
use crate::{models, wasm};

const TARGET: &str = "wasm32-unknown-unknown";

/// What a package becomes: `FILE.js` and `FILE_bg.wasm`.
struct Module {
    package: &'static str,
    file: &'static str,
}

const STORE: Module = Module { package: "bindings-store", file: "engine" };
const ENGINE: Module = Module { package: "bindings-engine", file: "engine" };
const LAB: Module = Module { package: "bindings-lab", file: "lab" };

/// Modules that are made with the same flags. The engine is built three times, and the page takes the best that the browser and
/// its server's headers allow. The lab has no use for relaxed SIMD.
pub struct Build {
    name: &'static str,
    modules: &'static [Module],
    /// Given to cargo.
    config: &'static [&'static str],
    /// Atomics need a standard library compiled with them, which cargo offers on nightly, or here.
    own_std: bool,
}

const BUILDS: [Build; 4] = [
    Build { name: "store", modules: &[STORE], config: &[], own_std: false },
    Build { name: "base", modules: &[ENGINE, LAB], config: &[], own_std: false },
    Build { name: "threads", modules: &[ENGINE, LAB], config: &[THREADS], own_std: true },
    Build { name: "threads-relaxed", modules: &[ENGINE], config: &[THREADS, RELAXED], own_std: true },
];

const THREADS: &str = ".cargo/threads.toml";

const RELAXED: &str = "target.wasm32-unknown-unknown.rustflags=['-Ctarget-feature=+relaxed-simd']";

/// Panics name the file they were in: by its place in its library, not on the machine that compiled it.
fn without_paths() -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let registries = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok()).into_iter().flatten();
    let mut places: Vec<PathBuf> = registries.flatten().map(|registry| registry.path()).collect();
    places.sort(); // other flags would have all compiled anew
    if let Ok(sysroot) = command("rustc").args(["--print", "sysroot"]).output() {
        places.push(Path::new(String::from_utf8_lossy(&sysroot.stdout).trim()).join("lib/rustlib/src/rust"));
    }
    let flags: Vec<String> =
        places.iter().map(|place| format!("'--remap-path-prefix={}/='", place.display())).collect();
    format!("target.{TARGET}.rustflags=[{}]", flags.join(","))
}

impl Build {
    /// The build of this name.
    pub fn named(name: &str) -> &'static Build {
        BUILDS.iter().find(|build| build.name == name).expect("a build of that name")
    }

    /// The target folder. Of other flags cargo keeps both sides; but the variable below would have all macros, and what uses
    /// them, compiled anew at each turn.
    fn folder(&self) -> &'static str {
        if self.own_std { "target/threads" } else { "target" }
    }

    /// A cargo command with this build's flags.
    pub fn cargo(&self, command_name: &str) -> Command {
        let mut cargo = command("cargo");
        self.config.iter().for_each(|config| {
            cargo.args(["--config", config]);
        });
        if self.own_std {
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        cargo.arg("--config").arg(without_paths());
        cargo.args([command_name, "--target", TARGET, "--target-dir", self.folder()]);
        cargo
    }
}

fn run_in(staging: PathBuf) -> Result<()> {
    for build in &BUILDS {
        let compiled = root().join(build.folder()).join(TARGET).join("page");
        // Both modules by one command: what they share is compiled once, and the last step of each, of a whole program, takes a
        // single core.
        let mut cargo = build.cargo("build");
        cargo.args(["--profile", "page"]);
        process::run(cargo.args(build.modules.iter().flat_map(|module| ["--package", module.package])))?;
        for Module { package, file } in build.modules {
            let module = compiled.join(package.replace('-', "_")).with_extension("wasm");
            let lean = module.with_extension("lean.wasm");
            std::fs::write(&lean, wasm::without_exports(&std::fs::read(&module)?, "llg_")?)?;
            let options = ["--target", "no-modules", "--no-typescript", "--remove-name-section", "--out-name", file];
            let out = staging.join("engine").join(build.name);
            process::run(command("wasm-bindgen").args(options).arg("--out-dir").arg(out).arg(lean))?;
        }
    }
    models::publish(&staging.join("models"))
}

/// Into Trunk's staging folder, or `dist` when called by hand.
pub fn run() -> Result<()> {
    run_in(std::env::var_os("TRUNK_STAGING_DIR").map_or_else(|| root().join("dist"), PathBuf::from))
}
