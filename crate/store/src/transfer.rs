//! Fetching what is missing of a file: several chunks at once, each checked, then kept.
//!
//! Whatever interrupts it, what is kept is right and is not fetched again. Within a run a chunk whose connection broke goes on
//! where it was. After an error nothing new is begun, but what is under way is seen through: it is nearly here. To stop at once,
//! drop the future.

use std::cell::{Cell, RefCell};

use futures_util::stream::{self, StreamExt};

use crate::clock::{Clock, within};
use crate::error::{Error, Result};
use crate::places::{Place, Places, WRONG, rest_ms};
use crate::plan::Plan;
use crate::source::{Answer, Source, content_range, is_page, refusal, tag};
use crate::vault::{Vault, present};

/// A connection that brings nothing for so long is broken.
pub(crate) const STALL_MS: u64 = 30_000;

/// How often a connection looks whether the data cap leaves something to it.
const HESITATION_MS: u64 = 200;

/// Times that a vault is asked to keep a chunk.
const WRITES: u32 = 3;

/// Times that chunks are fetched which the vault took and then has not.
const ROUNDS: usize = 2;

/// How much to ask of a network.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Requests under way at once: enough to hide a round trip, few enough to be polite.
    pub connections: usize,
    /// Failures in a row after which a place is given up.
    pub attempts: u32,
    /// Bytes that may be received.
    pub budget_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: 4, attempts: 7, budget_bytes: None }
    }
}

/// How far a file is. Each counts bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Kept, and right as far as is known.
    pub stored: u64,
    /// Arrived, of chunks that are not whole.
    pub arriving: u64,
    /// All that was received, also what was of no use.
    pub received: u64,
    /// Read again and compared with hashes.
    pub checked: u64,
}

/// One file on its way from a source to a vault.
pub struct Transfer<'a, S, V, C> {
    pub(crate) source: &'a S,
    pub(crate) vault: &'a V,
    pub(crate) clock: &'a C,
    /// The file.
    pub(crate) plan: &'a Plan,
    limits: Limits,
    report: &'a dyn Fn(Progress),
    pub(crate) places: Places,
    progress: Cell<Progress>,
    /// Bytes that requests under way may still bring.
    promised: Cell<u64>,
    failure: RefCell<Option<Error>>,
}

impl<'a, S: Source, V: Vault, C: Clock> Transfer<'a, S, V, C> {
    /// `report` hears of every change.
    pub fn new(
        (source, vault, clock): (&'a S, &'a V, &'a C),
        plan: &'a Plan,
        limits: Limits,
        report: &'a dyn Fn(Progress),
    ) -> Self {
        let (progress, promised, failure) = Default::default();
        Transfer { source, vault, clock, plan, limits, report, places: Places::of(plan), progress, promised, failure }
    }

    /// Fetches and keeps every chunk that is not there.
    pub async fn run(&self) -> Result<()> {
        let mut fetched = false;
        for round in 0..=ROUNDS {
            let missing = self.missing().await?;
            if missing.is_empty() {
                return self.finish(fetched).await;
            }
            if round == ROUNDS {
                break;
            }
            self.check_room(self.plan.bytes_of(missing.iter().copied())).await?;
            self.vault.keep_plan(self.plan).await?;
            self.fetch(&missing).await?;
            fetched = true;
        }
        Err(Error::Forgotten)
    }

    /// Chunks that are not there; those that are are counted.
    async fn missing(&self) -> Result<Vec<usize>> {
        let present = present(self.vault, self.plan).await?;
        self.count(|progress| progress.stored = self.plan.bytes_of(present.iter().copied()));
        Ok((0..self.plan.count()).filter(|index| !present.contains(index)).collect())
    }

    /// Fails if the vault says that it will not take `need` bytes more.
    pub(crate) async fn check_room(&self, need: u64) -> Result<()> {
        match self.vault.room(&self.plan.key).await {
            Some(free) if free < need => Err(Error::Quota { need, free }),
            // One that will not say is left to say so when it is full.
            _ => Ok(()),
        }
    }

    async fn fetch(&self, missing: &[usize]) -> Result<()> {
        let one = async |&index: &usize| {
            if self.failure.borrow().is_none()
                && let Err(error) = self.bring(index).await
            {
                self.failure.borrow_mut().get_or_insert(error);
            }
        };
        stream::iter(missing).for_each_concurrent(self.limits.connections.max(1), one).await;
        match self.failure.take() {
            Some(Error::NoParts { .. }) => self.pass(self.missing().await?.into_iter().collect()).await,
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn bring(&self, index: usize) -> Result<()> {
        let (bytes, hash) = self.chunk(index, self.plan.hashes.get(index).map(String::as_str)).await?;
        self.keep(index, &bytes, &hash).await
    }

    /// Keeps a chunk that has arrived. It is not let go because a vault hesitates.
    pub(crate) async fn keep(&self, index: usize, bytes: &[u8], hash: &str) -> Result<()> {
        for tries in 1.. {
            match self.vault.write(&self.plan.key, index, bytes, hash).await {
                Err(Error::Database(_)) if tries < WRITES => {
                    self.clock.sleep(rest_ms(tries, self.clock.chance())).await
                }
                result => {
                    let len = bytes.len() as u64;
                    self.count(|progress| {
                        progress.arriving -= len;
                        progress.stored += if result.is_ok() { len } else { 0 };
                    });
                    return result;
                }
            }
        }
        unreachable!("the last try returns")
    }

    /// A chunk with its hash, which must be `expected` if that is known.
    pub(crate) async fn chunk(&self, index: usize, expected: Option<&str>) -> Result<(Vec<u8>, String)> {
        let mut bytes = Vec::with_capacity(self.plan.extent(index).1 as usize);
        let gathered = self.gather(index, expected, &mut bytes).await;
        gathered.inspect_err(|_| self.let_go(&mut bytes)).map(|hash| (bytes, hash))
    }

    /// Asks the places in turn until all of a chunk is in `bytes`, and right.
    async fn gather(&self, index: usize, expected: Option<&str>, bytes: &mut Vec<u8>) -> Result<String> {
        let (_, len) = self.plan.extent(index);
        let (mut from, mut wrong) = (None, vec![0; self.places.len()]);
        loop {
            let promise = self.promise(len).await?;
            let Some(next) = self.places.best(&wrong, self.clock.now_ms()) else {
                let damaged =
                    wrong.iter().position(|&times| times == WRONG).map(|place| self.places.get(place).url.clone());
                let hash = |url| Error::Hash { index, count: self.plan.count(), url };
                return Err(damaged.map_or_else(|| self.places.refusal(), hash));
            };
            let place = self.places.get(next);
            if !place.has_parts() && !place.folder {
                return Err(Error::NoParts { url: place.url.clone() });
            }
            place.rested(self.clock).await;
            // While it waited, another connection may have found that there is no use.
            if let Some(error) = self.failure.borrow().clone() {
                return Err(error);
            }
            if place.is_given_up() {
                continue;
            }
            if from.replace(next) != Some(next) {
                self.let_go(bytes);
            }
            let before = bytes.len();
            let Err(error) = self.attempt(place, index, bytes, promise, wrong[next] > 0).await else {
                place.works();
                let hash = self.vault.sha256(bytes).await;
                if expected.is_none_or(|expected| expected == hash) {
                    return Ok(hash);
                }
                wrong[next] += 1;
                self.let_go(bytes);
                continue;
            };
            if !error.is_of_a_place() {
                return Err(error);
            }
            // A connection that breaks again and again and yet brings something is not given up.
            if (bytes.len() - before) as u64 * 16 >= len {
                place.works();
            }
            self.failed(place, &error);
            if !matches!(error, Error::Network { .. }) || place.folder {
                self.let_go(bytes);
            }
        }
    }

    fn let_go(&self, bytes: &mut Vec<u8>) {
        self.count(|progress| progress.arriving -= bytes.len() as u64);
        bytes.clear();
    }

    /// One request for what is lacking of a chunk. What has arrived stays in `bytes`.
    async fn attempt(
        &self,
        place: &Place,
        index: usize,
        bytes: &mut Vec<u8>,
        mut promise: Promise<'_>,
        fresh: bool,
    ) -> Result<()> {
        let (start, len) = self.plan.extent(index);
        let (at, lacking) = (start + bytes.len() as u64, len - bytes.len() as u64);
        let mut ask = place.ask(index, at, lacking);
        ask.fresh = fresh;
        let mut answer = self.within(&ask.url, self.source.ask(&ask)).await?;
        self.accept(&answer, place, ask.range)?;
        loop {
            let piece = match self.within(&ask.url, answer.piece()).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                // All has come: it does not matter how the connection ends.
                Err(Error::Network { .. }) if bytes.len() as u64 == len => break,
                Err(error) => return Err(error),
            };
            let found = (bytes.len() + piece.len()) as u64;
            self.receive(&piece, &mut promise);
            if found > len {
                return match place.folder {
                    true => Err(Error::Changed { expected: len, found, url: ask.url }),
                    false => Err(Error::OtherPart { url: ask.url }),
                };
            }
            bytes.extend_from_slice(&piece);
            self.count(|progress| progress.arriving += piece.len() as u64);
        }
        match bytes.len() as u64 == len {
            true => Ok(()),
            // A server that closes early looks like a short file; asking again tells.
            false => Err(Error::Network { url: ask.url }),
        }
    }

    /// Whether an answer is what was asked for, by its status and headers.
    pub(crate) fn accept(&self, answer: &S::Answer, place: &Place, range: Option<(u64, u64)>) -> Result<()> {
        let url = || place.url.clone();
        match (answer.status(), range) {
            (200 | 206, _) if is_page(answer) => return Err(Error::Page { url: url() }),
            (200, Some(_)) => return Err(Error::NoParts { url: url() }),
            (200, None) | (206, Some(_)) => {}
            _ => return Err(refusal(answer, &place.url, self.clock.now_ms())),
        }
        if let (Some((start, total)), Some((asked, _))) = (content_range(answer), range) {
            if let Some(found) = total.filter(|&total| total != self.plan.size_bytes) {
                return Err(Error::Changed { expected: self.plan.size_bytes, found, url: url() });
            }
            if start != asked {
                return Err(Error::OtherPart { url: url() });
            }
        }
        // Where hashes are known they tell more than a server's name for a version.
        let named = place.url == self.plan.url && self.plan.hashes.is_empty();
        match (&self.plan.tag, tag(answer)) {
            (Some(then), Some(now)) if named && *then != now => Err(Error::Replaced { url: url() }),
            _ => Ok(()),
        }
    }

    /// What `future` gives, unless nothing happens for too long.
    pub(crate) async fn within<T>(&self, url: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
        within(self.clock, STALL_MS, future).await.unwrap_or_else(|| Err(Error::Network { url: url.into() }))
    }

    /// Sets bytes of the data cap aside for a request. Waits where others have set aside what they may not need.
    pub(crate) async fn promise(&self, left: u64) -> Result<Promise<'_>> {
        let budget = self.limits.budget_bytes.unwrap_or(u64::MAX);
        while self.progress.get().received + left <= budget {
            if self.progress.get().received + self.promised.get() + left <= budget {
                self.promised.set(self.promised.get() + left);
                return Ok(Promise { promised: &self.promised, left });
            }
            self.clock.sleep(HESITATION_MS).await;
        }
        Err(Error::Cap { need: left })
    }

    pub(crate) fn receive(&self, piece: &[u8], promise: &mut Promise) {
        let came = piece.len() as u64;
        promise.keep(came);
        self.count(|progress| progress.received += came);
    }

    /// Notes what a place did wrong.
    pub(crate) fn failed(&self, place: &Place, error: &Error) {
        place.failed(error, self.limits.attempts, self.clock);
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.progress.get();
        change(&mut progress);
        self.progress.set(progress);
        (self.report)(progress);
    }
}

/// Bytes that a request may still bring; given back when it is dropped.
pub(crate) struct Promise<'a> {
    promised: &'a Cell<u64>,
    left: u64,
}

impl Promise<'_> {
    fn keep(&mut self, came: u64) {
        let came = came.min(self.left);
        self.left -= came;
        self.promised.set(self.promised.get() - came);
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.promised.set(self.promised.get() - self.left);
    }
}
