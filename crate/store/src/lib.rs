//! Models on their way in and at rest. A file is a row of shards; each is fetched, checked against its hash and only then
//! written to IndexedDB, so whatever interrupts a download, what is stored is right and only the rest is fetched again.
//!
//! `catalog`: what can be had. `plan`: a file as shards, and which request brings each. On wasm also `database`
//! (IndexedDB), `http` (one checked shard from the network) and `download` (all that are missing).

pub mod catalog;
pub mod error;
pub mod plan;

#[cfg(target_arch = "wasm32")]
pub mod database;
#[cfg(target_arch = "wasm32")]
pub mod download;
#[cfg(target_arch = "wasm32")]
mod http;

pub use error::{Error, Result};

use sha2::{Digest, Sha256};

/// SHA-256 as lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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
