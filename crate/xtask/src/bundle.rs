//! What Trunk cannot do itself: the engine as WebAssembly with its JavaScript, and the models, into the folder it is making.
//! The engine is always optimised: a debug build of it would be no use on a page.

use std::path::PathBuf;

use crate::models;
use crate::process::{self, Result, command, root};

const TARGET: &str = "wasm32-unknown-unknown";

fn run_in(staging: PathBuf) -> Result<()> {
    // A target folder of its own: other flags in a shared one would rebuild everything at each turn.
    let build = ["build", "--release", "--package", "bindings", "--target", TARGET];
    process::run(command("cargo").args(build).args(["--target-dir", "target/base"]))?;
    let module = root().join("target/base").join(TARGET).join("release/bindings.wasm");
    let options = ["--target", "no-modules", "--no-typescript", "--remove-name-section", "--out-name", "engine"];
    process::run(command("wasm-bindgen").args(options).arg("--out-dir").arg(staging.join("engine/base")).arg(module))?;
    models::publish(&staging.join("models"))
}

/// Into Trunk's staging folder, or `dist` when called by hand.
pub fn run() -> Result<()> {
    run_in(std::env::var_os("TRUNK_STAGING_DIR").map_or_else(|| root().join("dist"), PathBuf::from))
}
