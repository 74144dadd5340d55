//! Everything a developer runs: `cargo xtask serve` and `cargo xtask test`, and the steps they are made of.

mod bench;
mod bundle;
mod models;
mod parity;
mod process;
mod test;
mod tools;
mod vocabularies;
mod wasm;

use process::Result;

const USAGE: &str = "\
cargo xtask serve [ARGUMENTS OF trunk serve]   sets up what is missing, builds, serves http://127.0.0.1:8080
cargo xtask test                               runs every test, in headless Chromium too
cargo xtask bench [--peers] [--model ID] [--threads 1,2] [--json]
                                               speed and memory in the browser, beside other engines with --peers
cargo xtask bench --device gpu [--peers]       speed on the GPU, and what a token asks of WebGPU
cargo xtask bench --kernels [--json]           speed of every kernel
cargo xtask setup                              installs the tools and the default model, and no more
cargo xtask models [ID ...]                    fetches, verifies and cuts models; without ID lists them
cargo xtask vocabularies                       fetches the vocabularies that tokenizers are tested with
cargo xtask parity                             how near our numbers are to those of the reference implementations
cargo xtask bundle                             what Trunk calls: the engine as WebAssembly, and the models";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["serve", rest @ ..] => serve(rest),
        ["test"] => test::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["setup"] => setup(),
        ["models"] => models::list(),
        ["models", ids @ ..] => ids.iter().try_for_each(|id| models::prepare(id)),
        ["parity"] => parity::run(),
        ["vocabularies"] => vocabularies::prepare(),
        ["bundle"] => bundle::run(),
        _ => Err(format!("what shall I do?\n\n{USAGE}").into()),
    };
    if let Err(error) = done {
        eprintln!("xtask: {error}");
        std::process::exit(1);
    }
}

fn setup() -> Result<()> {
    tools::wasm_target()?;
    tools::rust_source()?;
    tools::wasm_bindgen()?;
    tools::trunk()?;
    models::prepare(&models::default()?)
}

fn serve(arguments: &[&str]) -> Result<()> {
    setup()?;
    process::say("building; Trunk then serves http://127.0.0.1:8080 (stop with Ctrl-C)");
    process::run(process::command("trunk").arg("serve").args(arguments))
}
