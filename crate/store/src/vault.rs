//! Where files are kept: chunks with their hashes, and the plans that say which file they are of.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::plan::Plan;

/// A chunk as it was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// What was written, unless it rotted.
    pub bytes: Vec<u8>,
    /// SHA-256 of what was written; older versions of Hearth noted none.
    pub hash: Option<String>,
}

/// Something that keeps files, over reloads and crashes if it can. A write is done as a whole or not at all.
#[allow(async_fn_in_trait, reason = "everything here runs on one thread")]
pub trait Vault {
    /// Every file that was begun.
    async fn plans(&self) -> Result<Vec<Plan>>;
    /// Notes that a file is being fetched, or more about it.
    async fn keep_plan(&self, plan: &Plan) -> Result<()>;
    /// Numbers of a file's chunks that are there, with the hash noted of each.
    async fn chunks(&self, key: &str) -> Result<BTreeMap<usize, Option<String>>>;
    /// A chunk, unless it is not there.
    async fn read(&self, key: &str, index: usize) -> Result<Option<Chunk>>;
    /// Keeps a chunk, in the place of what was there. Fails with [`crate::Error::Quota`] for want of room.
    async fn write(&self, key: &str, index: usize, bytes: &[u8], hash: &str) -> Result<()>;
    /// Forgets a file and its chunks.
    async fn remove(&self, key: &str) -> Result<()>;
    /// Bytes that it would still take of a file, if it knows.
    async fn room(&self, key: &str) -> Option<u64>;
    /// [`crate::sha256`], by whatever is fastest where the vault is.
    async fn sha256(&self, bytes: &[u8]) -> String {
        crate::sha256(bytes)
    }
}

/// Chunks of a plan's file that are there and, by what is noted of them, right.
pub(crate) async fn present(vault: &impl Vault, plan: &Plan) -> Result<Vec<usize>> {
    let chunks = vault.chunks(&plan.key).await?;
    let right = |index: usize, noted: &Option<String>| match (plan.hashes.get(index), noted) {
        (Some(known), Some(noted)) => known == noted,
        _ => true,
    };
    // A chunk beyond the end was cut by other measures.
    Ok(chunks.iter().filter(|&(&index, noted)| index < plan.count() && right(index, noted)).map(|(&i, _)| i).collect())
}
