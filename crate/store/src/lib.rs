//! Models on their way in and at rest. A file is a row of chunks; each is fetched, checked against its hash and only then kept, so
//! whatever interrupts a download, what is kept is right and only the rest is fetched again. A chunk that rots is noticed when it
//! is read, and fetched anew.
//!
//! `catalog`: what can be had. `plan`: a file as chunks. `probe`: what a server says of one. `transfer`: fetching what is missing,
//! several chunks at once; `places`: from where, and how patiently; `pass`: from servers that give no parts. `check`: reading what
//! is kept. All of it over three traits: `Source` (a network), `Vault` (a storage) and `Clock`, so that it is tested natively, with
//! every fault that a test can think of. `browser` has them as fetch, IndexedDB and timers.

pub mod catalog;
mod check;
pub mod clock;
pub mod error;
mod pass;
mod places;
pub mod plan;
mod probe;
pub mod source;
mod transfer;
pub mod vault;

#[cfg(target_arch = "wasm32")]
pub mod browser;

pub use check::Report;
pub use error::{Error, Result};
pub use probe::plan_url;
pub use transfer::{Limits, Progress, Transfer};

use sha2::{Digest, Sha256};

/// SHA-256 as lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn sha256_of_abc() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::sha256(b"abc"), expected);
    }
}
