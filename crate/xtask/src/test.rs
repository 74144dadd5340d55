//! Every test, in the order in which a mistake is cheapest to find.

use crate::bundle::BUILDS;
use crate::process::{self, Result, command, say};
use crate::{models, tools, vocabularies};

pub fn run() -> Result<()> {
    let browser = tools::browser()?;
    tools::wasm_target()?;
    tools::rust_source()?;
    tools::wasm_bindgen()?;
    tools::trunk()?;
    tools::vulkan()?;
    let geckodriver = tools::geckodriver()?;
    for id in models::ids()? {
        models::prepare(&id)?;
    }
    vocabularies::prepare()?;

    say("rustfmt");
    process::run(command("cargo").args(["fmt", "--all", "--check"]))?;
    say("clippy, natively and for the browser; documentation");
    let deny = ["--", "--deny", "warnings"];
    process::run(command("cargo").args(["clippy", "--quiet", "--workspace", "--all-targets"]).args(deny))?;
    let wasm = ["--target", "wasm32-unknown-unknown", "--target-dir", "target/base"];
    let packages = ["--package", "bindings", "--package", "tests", "--all-targets"];
    process::run(command("cargo").args(["clippy", "--quiet"]).args(packages).args(wasm).args(deny))?;
    process::run(command("cargo").env("RUSTDOCFLAGS", "--deny warnings").args([
        "doc",
        "--quiet",
        "--workspace",
        "--no-deps",
    ]))?;

    say("tests, natively");
    process::run(command("cargo").args(["test", "--workspace"]))?;

    for build in BUILDS.iter().filter(|build| build.feature == "engine") {
        say(&format!("tests, in headless Chromium, build {}", build.name));
        let mut chrome = build.cargo("test");
        chrome.env("CHROMEDRIVER", &browser.chromedriver).env("WASM_BINDGEN_TEST_TIMEOUT", "900");
        chrome.env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", process::root().join("tests/webdriver.json"));
        // Shaders are the same in every build and slow to compile on the CPU: here in one build, in Firefox in another.
        let gpu: &[&str] = if build.name == "threads-relaxed" { &["--test", "gpu"] } else { &[] };
        let packages = ["--package", "tests", "--package", "hearth-engine", "--lib"];
        let small =
            ["fixtures", "quants", "quantize", "bad_input", "tiny_tokenizers"].iter().flat_map(|test| ["--test", test]);
        process::run(chrome.args(packages).args(small).args(gpu))?;
    }

    // Another browser, another compiler of shaders, the native tests' adapter.
    say("the GPU, in headless Firefox");
    let base = BUILDS.iter().find(|build| build.name == "base").expect("a build of that name");
    let mut firefox = base.cargo("test");
    firefox.env("GECKODRIVER", geckodriver).env("WASM_BINDGEN_TEST_TIMEOUT", "900").env_remove("CHROMEDRIVER");
    firefox.env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", process::root().join("tests/firefox.json"));
    process::run(firefox.args(["--package", "tests", "--test", "gpu"]))?;

    say("the page, with the real model, in Chromium");
    // The browser's answers are compared with the command line's.
    process::run(command("cargo").args(["build", "--release", "--package", "hearth-cli"]))?;
    process::run(command("trunk").args(["build", "--release"]))?;
    process::run(command("npm").args(["install", "--prefix", "tests/page", "--no-audit", "--no-fund", "--silent"]))?;
    process::run(
        command("node").env("CHROMIUM", &browser.chromium).args(["--test", "--test-concurrency=1"]).args(page_tests()?),
    )?;
    say("all tests passed");
    Ok(())
}

/// The end-to-end tests, by name: what a folder means to `node --test` differs between versions.
fn page_tests() -> Result<Vec<String>> {
    let files = std::fs::read_dir(process::root().join("tests/page"))?.collect::<std::io::Result<Vec<_>>>()?;
    let names = files.iter().map(|file| file.file_name().to_string_lossy().into_owned());
    let mut tests: Vec<_> =
        names.filter(|name| name.ends_with(".test.mjs")).map(|name| format!("tests/page/{name}")).collect();
    tests.sort();
    Ok(tests)
}
