//! Servers that give no parts: the file from its start, of which the chunks that are wanted are kept.

use std::collections::BTreeSet;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::places::{Place, WRONG};
use crate::source::{Answer, Ask, Source};
use crate::transfer::Transfer;
use crate::vault::Vault;

impl<S: Source, V: Vault, C: Clock> Transfer<'_, S, V, C> {
    /// Brings the `wanted` chunks, from the start again where the connection breaks; those that arrived are not taken again.
    pub(crate) async fn pass(&self, mut wanted: BTreeSet<usize>) -> Result<()> {
        let mut wrong = 0;
        while !wanted.is_empty() {
            let best = self.places.best_whole(self.clock.now_ms()).ok_or_else(|| self.places.refusal())?;
            let place = self.places.get(best);
            place.rested(self.clock).await;
            let (before, mut chunk) = (wanted.len(), Vec::new());
            let result = self.walk(place, &mut wanted, &mut chunk, wrong > 0).await;
            self.count(|progress| progress.arriving -= chunk.len() as u64);
            if wanted.len() < before {
                place.works();
            }
            match result {
                Err(error @ Error::Hash { .. }) => {
                    wrong += 1;
                    if wrong == WRONG {
                        return Err(error);
                    }
                }
                Err(error) if error.is_of_a_place() => self.failed(place, &error),
                result => result?,
            }
        }
        Ok(())
    }

    /// One request. What has arrived of a chunk is in `chunk`.
    async fn walk(&self, place: &Place, wanted: &mut BTreeSet<usize>, chunk: &mut Vec<u8>, fresh: bool) -> Result<()> {
        // It is ended once nothing more is wanted, but the last piece may go on to the file's end.
        let mut promise = self.promise(self.plan.size_bytes).await?;
        let ask = Ask { fresh, ..Ask::whole(&place.url) };
        let mut answer = self.within(&ask.url, self.source.ask(&ask)).await?;
        self.accept(&answer, place, None)?;
        let mut at = 0;
        while let Some(piece) = self.within(&ask.url, answer.piece()).await? {
            self.receive(&piece, &mut promise);
            let mut rest = &piece[..];
            while !rest.is_empty() {
                if at == self.plan.size_bytes {
                    return Err(Error::Changed { expected: at, found: at + rest.len() as u64, url: ask.url });
                }
                let index = (at / self.plan.shard_bytes) as usize;
                let (start, len) = self.plan.extent(index);
                let (mine, others) = rest.split_at(rest.len().min((start + len - at) as usize));
                (at, rest) = (at + mine.len() as u64, others);
                if !wanted.contains(&index) {
                    continue;
                }
                chunk.extend_from_slice(mine);
                self.count(|progress| progress.arriving += mine.len() as u64);
                if chunk.len() as u64 == len {
                    self.take(index, chunk).await?;
                    wanted.remove(&index);
                }
            }
            if wanted.is_empty() {
                return Ok(());
            }
        }
        Err(Error::Network { url: ask.url })
    }

    async fn take(&self, index: usize, chunk: &mut Vec<u8>) -> Result<()> {
        let hash = self.vault.sha256(chunk).await;
        if self.plan.hashes.get(index).is_some_and(|known| *known != hash) {
            return Err(Error::Hash { index, count: self.plan.count(), url: self.plan.url.clone() });
        }
        self.keep(index, &std::mem::take(chunk), &hash).await
    }
}
