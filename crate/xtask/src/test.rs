//! Every test, in the order in which a mistake is cheapest to find. Much of the work keeps a single core busy, such as linking
//! a module as a whole or compiling shaders for an adapter that is a program: stages run beside each other.

use std::process::Command;

use crate::bundle::Build;
use crate::process::{self, Result, command, say};
use crate::{models, tools, vocabularies};

/// Tests that run in every build of other numbers.
const NUMBERS: [&str; 5] = ["fixtures", "quants", "quantize", "bad_input", "tiny_tokenizers"];

/// Those that run in one browser.
const ONCE: [&str; 5] = ["folders", "bad_files", "generation", "ropes", "constraint"];

/// Tests of the package `tests` in a build of the engine, in the browser that the caller says.
fn in_browser(build: &str, settings: &str, tests: &[&str]) -> Command {
    let mut cargo = Build::named(build).cargo("test");
    // Seconds for the tests of one file, and for its driver to take connections; one that does not is started anew.
    cargo.env("WASM_BINDGEN_TEST_TIMEOUT", "1800").env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "120");
    cargo.env_remove("CHROMEDRIVER").env_remove("GECKODRIVER");
    cargo.env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", process::root().join("tests").join(settings));
    // Lines of source would be four fifths of a module, and a panic tells its own.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0");
    cargo.args(["--package", "tests"]).args(tests.iter().flat_map(|test| ["--test", test]));
    cargo
}

pub fn run() -> Result<()> {
    let browser = tools::browser()?;
    tools::wasm_target()?;
    tools::rust_source()?;
    tools::wasm_bindgen()?;
    tools::trunk()?;
    tools::vulkan()?;
    let geckodriver = tools::geckodriver()?;
    tools::cargo_deny()?;
    for id in models::ids()? {
        models::prepare(&id)?;
    }
    vocabularies::prepare()?;

    say("rustfmt");
    process::run(command("cargo").args(["fmt", "--all", "--check"]))?;
    say("clippy, natively and for the browser; documentation");
    let deny = ["--", "--deny", "warnings"];
    process::run(command("cargo").args(["clippy", "--quiet", "--workspace", "--all-targets"]).args(deny))?;
    let mut browser_clippy = Build::named("base").cargo("clippy");
    let packages = ["bindings", "bindings-engine", "bindings-lab", "bindings-store", "tests"];
    browser_clippy.args(["--quiet", "--all-targets"]).args(packages.iter().flat_map(|package| ["--package", package]));
    process::run(browser_clippy.args(deny))?;
    process::run(command("cargo").env("RUSTDOCFLAGS", "--deny warnings").args([
        "doc",
        "--quiet",
        "--workspace",
        "--no-deps",
    ]))?;

    audit()?;

    say("tests, natively, and in headless Chromium, build base");
    let mut native = command("cargo");
    native.args(["test", "--workspace"]);
    let mut base = in_browser("base", "webdriver.json", &[&NUMBERS[..], &ONCE].concat());
    base.env("CHROMEDRIVER", &browser.chromedriver).args(["--package", "hearth-engine", "--lib"]);
    process::together(vec![("natively", native), ("Chromium, build base", base)])?;

    // The build with threads and without relaxed SIMD has base's kernels and the other's threads; the page is tested in all three.
    say("tests, in headless Chromium, build threads-relaxed; the GPU, in headless Firefox; the page is built");
    let mut relaxed = in_browser("threads-relaxed", "webdriver.json", &[&NUMBERS[..], &["gpu"]].concat());
    relaxed.env("CHROMEDRIVER", &browser.chromedriver).args(["--package", "hearth-engine", "--lib"]);
    // Another browser, another compiler of shaders, the native tests' adapter.
    let mut firefox = in_browser("base", "firefox.json", &["gpu"]);
    firefox.env("GECKODRIVER", &geckodriver);
    let mut page = command("trunk");
    page.args(["build", "--release"]);
    process::together(vec![
        ("Chromium, build threads-relaxed", relaxed),
        ("the GPU, in Firefox", firefox),
        ("the page", page),
    ])?;

    say("the page, with the real model, in Chromium and Firefox");
    // The browser's answers are compared with the command line's. Made beside the tests it shares what those are made of.
    process::run(command("cargo").args(["build", "--workspace", "--tests", "--bin", "hearth"]))?;
    install()?;
    let mut node = command("node");
    node.env("CHROMIUM", &browser.chromium).env("GECKODRIVER", &geckodriver);
    process::run(node.args(["--test", "--test-concurrency=2"]).args(page_tests()?))?;
    say("all tests passed");
    Ok(())
}

/// The page's test tools. npm leaves out silently what it could not fetch and holds for optional: TypeScript's own program.
fn install() -> Result<()> {
    let attempt = || {
        process::run(command("npm").args([
            "install",
            "--prefix",
            "tests/page",
            "--no-audit",
            "--no-fund",
            "--silent",
        ]))?;
        process::run(command("node").args(["tests/page/node_modules/typescript/bin/tsc", "--version"]))
    };
    attempt().or_else(|_| attempt())
}

/// What we use must be licensed, come from the registry, and have no flaw that is known; lists of flaws are asked for elsewhere.
fn audit() -> Result<()> {
    say("licences, sources and known flaws of what we use");
    process::run(command("cargo").args(["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]))?;
    match process::run(command("cargo").args(["deny", "--log-level", "off", "fetch", "db"])) {
        Ok(()) => process::run(command("cargo").args(["deny", "--log-level", "error", "check", "advisories"]))?,
        Err(_) => say("the list of RustSec cannot be fetched here: known flaws of libraries are not checked"),
    }
    // By the lock file alone. It fails for a flaw, which it then tells of, as for a registry that does not answer.
    let found = process::output(command("npm").args(["audit", "--json", "--prefix", "tests/page", "--silent"]));
    match serde_json::from_str::<serde_json::Value>(&found).ok().filter(|found| found["vulnerabilities"].is_object()) {
        Some(found) if found["vulnerabilities"].as_object().is_some_and(|flaws| !flaws.is_empty()) => {
            Err(format!("npm audit knows of flaws in what tests/page needs:\n{found:#}").into())
        }
        Some(_) => Ok(()),
        None => {
            say("the registry answers no audit here: known flaws of test tools are not checked");
            Ok(())
        }
    }
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
