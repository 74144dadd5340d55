//! A storage in memory that fails, forgets and fills up.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hearth_store::plan::Plan;
use hearth_store::vault::{Chunk, Vault};
use hearth_store::{Error, Result};

use super::time::Time;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Write {
    Kept,
    Fails,
    /// It says that all is well.
    Forgotten,
    Full,
}

pub struct Shelf<'a> {
    time: &'a Time,
    pub chunks: RefCell<BTreeMap<(String, usize), Chunk>>,
    pub plans: RefCell<BTreeMap<String, Plan>>,
    /// What becomes of the next writes; then all are kept.
    pub writes: RefCell<VecDeque<Write>>,
    pub room: Cell<Option<u64>>,
    /// Chunks that were handed over in this life, and are not forgotten.
    pub arrived: RefCell<BTreeSet<usize>>,
}

impl<'a> Shelf<'a> {
    pub fn new(time: &'a Time) -> Shelf<'a> {
        let (chunks, plans, writes, room, arrived) = Default::default();
        Shelf { time, chunks, plans, writes, room, arrived }
    }

    /// Whether a chunk is there and has these bytes.
    pub fn has(&self, key: &str, index: usize, bytes: &[u8]) -> bool {
        self.chunks.borrow().get(&(key.into(), index)).is_some_and(|chunk| chunk.bytes == bytes)
    }

    /// Changes a byte of a chunk, if it is there.
    pub fn rot(&self, key: &str, index: usize, at: usize) {
        if let Some(chunk) = self.chunks.borrow_mut().get_mut(&(key.into(), index)) {
            let at = at % chunk.bytes.len();
            chunk.bytes[at] ^= 1;
        }
    }
}

impl Vault for Shelf<'_> {
    async fn plans(&self) -> Result<Vec<Plan>> {
        self.time.passes().await;
        Ok(self.plans.borrow().values().cloned().collect())
    }

    async fn keep_plan(&self, plan: &Plan) -> Result<()> {
        self.time.passes().await;
        self.plans.borrow_mut().insert(plan.key.clone(), plan.clone());
        Ok(())
    }

    async fn chunks(&self, key: &str) -> Result<BTreeMap<usize, Option<String>>> {
        self.time.passes().await;
        let chunks = self.chunks.borrow();
        Ok(chunks.iter().filter(|((of, _), _)| of == key).map(|((_, i), chunk)| (*i, chunk.hash.clone())).collect())
    }

    async fn read(&self, key: &str, index: usize) -> Result<Option<Chunk>> {
        self.time.passes().await;
        Ok(self.chunks.borrow().get(&(key.into(), index)).cloned())
    }

    async fn write(&self, key: &str, index: usize, bytes: &[u8], hash: &str) -> Result<()> {
        let what = self.writes.borrow_mut().pop_front().unwrap_or(Write::Kept);
        match what {
            Write::Forgotten => self.arrived.borrow_mut().remove(&index),
            _ => self.arrived.borrow_mut().insert(index),
        };
        self.time.passes().await;
        match what {
            Write::Kept => {
                let chunk = Chunk { bytes: bytes.into(), hash: Some(hash.into()) };
                self.chunks.borrow_mut().insert((key.into(), index), chunk);
            }
            Write::Forgotten => {}
            Write::Fails => return Err(Error::Database("a test says so".into())),
            Write::Full => return Err(Error::Quota { need: bytes.len() as u64, free: 0 }),
        }
        self.time.passes().await;
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.time.passes().await;
        self.chunks.borrow_mut().retain(|(of, _), _| of != key);
        self.plans.borrow_mut().remove(key);
        self.arrived.borrow_mut().clear();
        Ok(())
    }

    async fn room(&self, _: &str) -> Option<u64> {
        self.room.get()
    }
}
