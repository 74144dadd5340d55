//! The tools the build needs, at the versions it needs.

use crate::process::{Result, command, output, run, say};

/// Must be the version of the `wasm-bindgen` crate in `Cargo.toml`.
const WASM_BINDGEN: &str = "0.2.130";
const TRUNK: &str = "0.22.0-beta.1";

/// The compiler's WebAssembly target.
pub fn wasm_target() -> Result<()> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let sysroot = output(command("rustc").args(["--print", "sysroot"]));
    if std::path::Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).exists() {
        return Ok(());
    }
    say("adding the WebAssembly target");
    run(command("rustup").args(["target", "add", TARGET]))
}

/// The standard library's source, of which the builds with threads compile their own.
pub fn rust_source() -> Result<()> {
    let sysroot = output(command("rustc").args(["--print", "sysroot"]));
    if std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std").exists() {
        return Ok(());
    }
    say("adding the standard library's source");
    run(command("rustup").args(["component", "add", "rust-src"]))
}

/// The command-line tool that makes the JavaScript around the module, and the test runner that comes with it. If the machine
/// has another version it is left alone and ours goes to `target/tools`.
pub fn wasm_bindgen() -> Result<()> {
    let found = output(command("wasm-bindgen").arg("--version"));
    if found.split_whitespace().nth(1) == Some(WASM_BINDGEN) {
        return Ok(());
    }
    say(&format!("installing wasm-bindgen-cli {WASM_BINDGEN} (three minutes, once)"));
    let mut install = command("cargo");
    install.args(["install", "wasm-bindgen-cli", "--version", WASM_BINDGEN]);
    if !found.is_empty() {
        install.args(["--root", "target/tools"]);
    }
    run(&mut install)
}

/// The web server and bundler. Any Trunk since 0.21 will do.
pub fn trunk() -> Result<()> {
    let found = output(command("trunk").arg("--version"));
    let version = found.split_whitespace().nth(1).unwrap_or("0.0");
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if minor.is_some_and(|minor| minor >= 21) {
        return Ok(());
    }
    say(&format!("installing trunk {TRUNK} (fifteen minutes, once)"));
    run(command("cargo").args(["install", "trunk", "--version", TRUNK, "--locked"]))
}

/// Installs packages where that is allowed: on Debian, as root. The caller looks whether they are there.
fn apt(packages: &[&str]) -> Result<()> {
    let root = output(command("id").arg("-u")).trim() == "0";
    if !root || output(command("apt-get").arg("--version")).is_empty() {
        return Ok(());
    }
    say(&format!("installing {} with apt", packages.join(", ")));
    run(command("apt-get").args(["update", "-q"]))?;
    let install = ["install", "-q", "-y", "--no-install-recommends"];
    run(command("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(install).args(packages))
}

/// A Vulkan adapter for the native tests: that of a graphics card's driver, or Mesa's program on the CPU.
pub fn vulkan() -> Result<()> {
    let found = || {
        let lists = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
        lists.iter().any(|list| std::fs::read_dir(list).is_ok_and(|mut drivers| drivers.next().is_some()))
    };
    if !cfg!(target_os = "linux") || found() {
        return Ok(());
    }
    apt(&["mesa-vulkan-drivers", "libvulkan1"])?;
    match found() {
        true => Ok(()),
        false => Err("the tests need a Vulkan driver; on Debian: sudo apt-get install mesa-vulkan-drivers".into()),
    }
}

/// A browser and its driver, for the tests.
pub struct Browser {
    pub chromium: String,
    pub chromedriver: String,
}

/// Finds Chromium and chromedriver, or installs them where that is allowed.
pub fn browser() -> Result<Browser> {
    if let Some(browser) = find_browser() {
        return Ok(browser);
    }
    apt(&["chromium", "chromium-driver", "fonts-noto-cjk"])?;
    find_browser().ok_or_else(|| {
        "the tests need Chromium and chromedriver; on Debian: sudo apt-get install chromium chromium-driver".into()
    })
}

/// Firefox's driver, which finds Firefox; both installed where that is allowed.
pub fn geckodriver() -> Result<String> {
    const GECKODRIVER: &str = "0.37.1";
    if find(&["firefox", "firefox-esr"]).is_none() {
        apt(&["firefox-esr"])?;
    }
    if find(&["firefox", "firefox-esr"]).is_none() {
        return Err("the tests need Firefox; on Debian: sudo apt-get install firefox-esr".into());
    }
    if find(&["geckodriver"]).is_none() {
        say(&format!("installing geckodriver {GECKODRIVER} (three minutes, once)"));
        run(command("cargo").args(["install", "geckodriver", "--version", GECKODRIVER]))?;
    }
    find(&["geckodriver"]).ok_or_else(|| "geckodriver was installed where the search path does not lead".into())
}

/// What audits the libraries that we use.
pub fn cargo_deny() -> Result<()> {
    const CARGO_DENY: &str = "0.20.2";
    if find(&["cargo-deny"]).is_some() {
        return Ok(());
    }
    // Optimised it would take three times as long to compile, and no less to run.
    say(&format!("installing cargo-deny {CARGO_DENY} (three minutes, once)"));
    run(command("cargo").args(["install", "cargo-deny", "--version", CARGO_DENY, "--locked", "--debug"]))
}

/// The first of these programs that there is, by its path.
fn find(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        let path = output(command("sh").args(["-c", &format!("command -v {name}")])).trim().to_owned();
        (!path.is_empty()).then_some(path)
    })
}

fn find_browser() -> Option<Browser> {
    let chromium = find(&["chromium", "google-chrome", "google-chrome-stable", "chromium-browser"])?;
    Some(Browser { chromium, chromedriver: find(&["chromedriver"])? })
}
