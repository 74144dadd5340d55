//! What is done to a compiled module before it gets its JavaScript.
//!
//! The crate `llguidance` has an interface for C, whose functions every program that uses the crate exports. Nobody calls them
//! here, and what is exported is kept with all that it uses: of the lab's module that was an eighth. Without the exports,
//! `wasm-bindgen`, which drops what nothing leads to, drops them too.
//!
//! A module is eight bytes and sections, `id size content`; the exports' is `count (name kind index)*`, a name is `size bytes`.
//! Numbers are LEB128. (WebAssembly core specification, 5.5.)

use crate::process::Result;

const EXPORTS: u8 = 7;

/// The same module without the exports whose names begin with `prefix`. Everything else keeps its bytes.
pub fn without_exports(module: &[u8], prefix: &str) -> Result<Vec<u8>> {
    let (header, mut rest) = module.split_at_checked(8).ok_or("the module has no header")?;
    let mut out = header.to_vec();
    while let [id, sections @ ..] = rest {
        rest = sections;
        let size = number(&mut rest)?;
        let content = take(&mut rest, size)?;
        let content = if *id == EXPORTS { filtered(content, prefix)? } else { content.to_vec() };
        out.push(*id);
        push(&mut out, content.len());
        out.extend(content);
    }
    Ok(out)
}

fn filtered(mut exports: &[u8], prefix: &str) -> Result<Vec<u8>> {
    let (mut kept, mut entries) = (0, Vec::<u8>::new());
    for _ in 0..number(&mut exports)? {
        let whole = exports;
        let size = number(&mut exports)?;
        let name = take(&mut exports, size)?;
        take(&mut exports, 1)?; // kind
        number(&mut exports)?; // index
        if !name.starts_with(prefix.as_bytes()) {
            kept += 1;
            entries.extend(&whole[..whole.len() - exports.len()]);
        }
    }
    let mut out = Vec::new();
    push(&mut out, kept);
    out.extend(entries);
    Ok(out)
}

/// The next `size` bytes.
fn take<'a>(bytes: &mut &'a [u8], size: usize) -> Result<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(size).ok_or("the module ends too early")?;
    *bytes = rest;
    Ok(taken)
}

/// The next number: seven bits a byte, the lowest first; the last byte lacks the highest bit.
fn number(bytes: &mut &[u8]) -> Result<usize> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number of the module is too long".into())
}

fn push(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `content` as a section.
    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![id];
        push(&mut out, content.len());
        [out, content.to_vec()].concat()
    }

    /// A module that exports these functions, between a section that looks as if it did and one that is long.
    fn module(functions: &[(&str, usize)]) -> Vec<u8> {
        let mut exports = Vec::new();
        push(&mut exports, functions.len());
        for (name, index) in functions {
            push(&mut exports, name.len());
            exports.extend(name.as_bytes());
            exports.push(0);
            push(&mut exports, *index);
        }
        let header = b"\0asm\x01\0\0\0".to_vec();
        [header, section(0, b"\x05llg_a\0\0"), section(EXPORTS, &exports), section(10, &[0; 300])].concat()
    }

    #[test]
    fn exports_go_and_all_else_stays() {
        let names: Vec<String> =
            (0..150).map(|i| format!("{}{i}", if i % 7 == 0 { "llg_" } else { "step_llg_" })).collect();
        let all: Vec<(&str, usize)> = names.iter().map(String::as_str).zip(100..).collect();
        let kept: Vec<(&str, usize)> = all.iter().copied().filter(|(name, _)| !name.starts_with("llg_")).collect();
        assert_eq!((all.len(), kept.len()), (150, 128));
        assert_eq!(without_exports(&module(&all), "llg_").unwrap(), module(&kept));
        assert_eq!(without_exports(&module(&kept), "llg_").unwrap(), module(&kept));
    }

    #[test]
    fn what_is_no_module_is_an_error() {
        let whole = module(&[("a", 1), ("llg_b", 2)]);
        assert!(without_exports(&whole, "llg_").is_ok());
        for end in [0, 7, 10, whole.len() - 1] {
            assert!(without_exports(&whole[..end], "llg_").is_err(), "{end} bytes");
        }
        assert!(without_exports(&[&whole[..8], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat(), "llg_").is_err());
    }
}
