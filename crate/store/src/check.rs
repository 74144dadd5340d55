//! What is kept, read again: a chunk is compared with its hash whenever it is read, and one that rotted is fetched anew.

use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::source::Source;
use crate::transfer::Transfer;
use crate::vault::Vault;

/// What was found in reading all of a file.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Report {
    /// Chunks that are there.
    pub chunks: usize,
    /// Those of them that had rotted and were fetched anew.
    pub repaired: usize,
    /// Whether the file as a whole has the hash that its server or the catalog told, if all is there and one is known.
    pub whole: bool,
}

/// What is here is right, whether or not the vault can note that for the next time.
fn bookkeeping(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::Quota { .. } | Error::Database(_)) => Ok(()),
        result => result,
    }
}

impl<S: Source, V: Vault, C: Clock> Transfer<'_, S, V, C> {
    /// The bytes of a chunk, as they were when it was kept.
    pub async fn read(&self, index: usize) -> Result<Vec<u8>> {
        Ok(self.sound(index).await?.0)
    }

    /// The bytes of a chunk, and whether it had to be fetched anew.
    async fn sound(&self, index: usize) -> Result<(Vec<u8>, bool)> {
        let found = self.vault.read(&self.plan.key, index).await?;
        let noted = found.as_ref().and_then(|chunk| chunk.hash.clone());
        let expected = self.plan.hashes.get(index).cloned().or(noted.clone());
        if let Some(chunk) = found {
            let hash = self.vault.sha256(&chunk.bytes).await;
            let right = expected.as_ref().is_none_or(|expected| *expected == hash);
            if right && chunk.bytes.len() as u64 == self.plan.extent(index).1 {
                if noted.is_none() {
                    bookkeeping(self.vault.write(&self.plan.key, index, &chunk.bytes, &hash).await)?;
                }
                return Ok((chunk.bytes, false));
            }
        }
        let bytes = self.anew(index, expected.as_deref()).await;
        bytes.map(|bytes| (bytes, true)).map_err(|cause| Error::Rotten { index, cause: cause.into() })
    }

    async fn anew(&self, index: usize, expected: Option<&str>) -> Result<Vec<u8>> {
        let (bytes, hash) = match self.chunk(index, expected).await {
            Err(Error::NoParts { .. }) => {
                self.pass([index].into()).await?;
                let chunk = self.vault.read(&self.plan.key, index).await?.ok_or(Error::Missing { index })?;
                let hash = self.vault.sha256(&chunk.bytes).await;
                if expected.is_some_and(|expected| expected != hash) {
                    return Err(Error::Hash { index, count: self.plan.count(), url: self.plan.url.clone() });
                }
                return Ok(chunk.bytes);
            }
            result => result?,
        };
        bookkeeping(self.keep(index, &bytes, &hash).await)?;
        Ok(bytes)
    }

    /// Reads all that is there of the file and mends what rotted. A file that as a whole is not what its server told is removed.
    pub async fn verify(&self) -> Result<Report> {
        let present = self.vault.chunks(&self.plan.key).await?;
        let indices = present.keys().copied().filter(|&index| index < self.plan.count());
        let (mut report, mut all) = (Report::default(), Sha256::new());
        for index in indices {
            let (bytes, repaired) = self.sound(index).await?;
            all.update(&bytes);
            report.chunks += 1;
            report.repaired += usize::from(repaired);
            self.count(|progress| progress.checked += bytes.len() as u64);
        }
        let expected = self.plan.sha256.as_ref().filter(|_| report.chunks == self.plan.count());
        report.whole = expected.is_some();
        match expected {
            Some(expected) if *expected != crate::hex(&all.finalize()) => {
                self.vault.remove(&self.plan.key).await?;
                Err(Error::File { expected: expected.clone(), url: self.plan.url.clone() })
            }
            _ => Ok(report),
        }
    }

    /// The file as a whole, once all is there; nothing is read where it was found right before, or where the hashes of the chunks
    /// were known beforehand. Older versions of the file are forgotten.
    pub(crate) async fn finish(&self, fetched: bool) -> Result<()> {
        let plan = self.plan;
        if fetched {
            // Perhaps all that was kept when it began has been thrown away since.
            self.vault.keep_plan(plan).await?;
        }
        if plan.sha256.is_some() && plan.hashes.is_empty() && (fetched || !plan.checked) {
            self.verify().await?;
            bookkeeping(self.vault.keep_plan(&Plan { checked: true, ..plan.clone() }).await)?;
        }
        if fetched && plan.folder.is_none() {
            for old in self.vault.plans().await? {
                if old.url == plan.url && old.folder.is_none() && old.key != plan.key {
                    self.vault.remove(&old.key).await?;
                }
            }
        }
        Ok(())
    }

    /// Keeps a chunk of a file that is at hand.
    pub async fn give(&self, index: usize, bytes: &[u8]) -> Result<()> {
        let hash = self.vault.sha256(bytes).await;
        if self.plan.hashes.get(index).is_some_and(|known| *known != hash) {
            return Err(Error::Hash { index, count: self.plan.count(), url: self.plan.name.clone() });
        }
        self.count(|progress| progress.arriving += bytes.len() as u64);
        self.keep(index, bytes, &hash).await
    }

    /// Makes ready for a file that is at hand: there must be room, and its plan is kept.
    pub async fn begin(&self) -> Result<()> {
        self.check_room(self.plan.size_bytes).await?;
        self.vault.keep_plan(self.plan).await
    }

    /// The file that was given is whole.
    pub async fn end(&self) -> Result<()> {
        self.finish(true).await
    }
}
