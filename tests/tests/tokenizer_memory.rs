//! Opening Gemma's `tokenizer.json`, 33 MB, takes little memory beside the file: a phone's tab has to hold both. Alone in its
//! program, for what is measured is the whole process: the most that Linux saw resident.
#![cfg(target_os = "linux")]

use hearth_engine::tokenizer::{Files, Tokenizer};

/// A number of `/proc/self/status`, in MB.
fn resident(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<f64>().unwrap() / 1024.0
}

#[test]
fn a_large_tokenizer_json_takes_little_memory() {
    let path = format!("{}/../models/files/vocab/gemma3/tokenizer.json", env!("CARGO_MANIFEST_DIR"));
    let tokenizer =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; run: cargo xtask vocabularies"));
    let files = Files { tokenizer, ..Files::default() };
    let file_mb = files.tokenizer.len() as f64 / f64::from(1 << 20);
    let before = resident("VmHWM");
    let tokenizer = Tokenizer::from_json(&files).unwrap();
    let peak = resident("VmHWM") - before;
    drop(files);
    let kept = resident("VmRSS") - (before - file_mb);
    println!("{file_mb:.0} MB of file: {peak:.0} MB more at most while opening, {kept:.0} MB kept");
    assert_eq!(tokenizer.vocab_size(), 262_145);
    assert!(peak < 64.0, "{peak:.1} MB beside the file");
}
