//! Speed and memory beside other engines on this machine; what is measured and how is told in `tests/bench`.

use crate::process::{self, Result, command};
use crate::{models, tools};

/// Builds what is to be measured and runs `tests/bench`. With `--kernels` the kernels alone, else whole models.
pub fn run(arguments: &[&str]) -> Result<()> {
    let browser = tools::browser()?;
    tools::wasm_target()?;
    tools::rust_source()?;
    tools::wasm_bindgen()?;
    tools::trunk()?;
    process::run(command("cargo").args(["build", "--release", "--package", "hearth-cli"]))?;
    process::run(command("trunk").args(["build", "--release"]))?;
    process::run(command("npm").args(["install", "--prefix", "tests/page", "--no-audit", "--no-fund", "--silent"]))?;
    let (kernels, others): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|&&argument| argument == "--kernels");
    let script = if kernels.is_empty() { "tests/bench/bench.mjs" } else { "tests/bench/kernels.mjs" };
    if kernels.is_empty() {
        for id in models::ids()? {
            models::prepare(&id)?;
        }
    }
    process::run(command("node").env("CHROMIUM", &browser.chromium).arg(script).args(others))
}
