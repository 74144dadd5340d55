//! The vault of a browser: IndexedDB, and in front of it this tab's memory, for what the browser will not store. Both have blobs,
//! which the browser keeps outside the module's memory, and may put on disk.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use js_sys::{Array, ArrayBuffer, Promise, Uint8Array};
use serde::Serialize;
use twox_hash::XxHash64;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, StorageEstimate, SubtleCrypto, WorkerGlobalScope};

use super::database::Records;
use super::refused;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::vault::{Chunk, Vault, present};

/// A file as the vault knows it.
#[derive(Clone, Debug, Serialize)]
pub struct Stored {
    /// How it was planned.
    pub plan: Plan,
    /// Bytes that are there.
    pub stored_bytes: u64,
    /// When it was last loaded, in milliseconds since 1970.
    pub used_ms: Option<f64>,
    /// Whether some of it will be gone with this tab.
    pub held: bool,
}

/// What this browser keeps, and what this tab holds.
pub struct Shelf {
    records: Option<Records>,
    held: RefCell<BTreeMap<(String, usize), (Blob, String)>>,
    plans: RefCell<BTreeMap<String, Plan>>,
    /// Keys of files whose chunks are only to be held.
    holding: RefCell<BTreeSet<String>>,
}

fn worker() -> Option<WorkerGlobalScope> {
    js_sys::global().dyn_into().ok()
}

const SHA_256: &str = "SHA-256";

/// The browser's own hashes, several times as fast as the module's; pages that are not served by https have none.
fn subtle() -> Option<SubtleCrypto> {
    let subtle = worker()?.crypto().ok()?.subtle();
    (!subtle.is_undefined()).then_some(subtle)
}

/// What stands before a chunk's XXH64 in the type of its blob. A chunk was right when it was kept and can only have rotted: for that
/// XXH64 will do, with which reading is half as fast again as with SHA-256.
const QUICK: &str = "hearth/xxh64-";

fn quick_hash(bytes: &[u8]) -> String {
    format!("{:016x}", XxHash64::oneshot(0, bytes))
}

/// Blobs that older versions of Hearth kept have none.
fn quick_hash_of(blob: &Blob) -> Option<String> {
    blob.type_().strip_prefix(QUICK).map(Into::into)
}

fn bytes_of(buffer: &JsValue) -> Vec<u8> {
    Uint8Array::new(buffer).to_vec()
}

async fn hash_of(digest: Option<Promise>) -> Option<String> {
    let digest = JsFuture::from(digest?).await.ok()?;
    Some(crate::hex(&Uint8Array::new(&digest).to_vec()))
}

impl Shelf {
    /// Opens the browser's storage; where it refuses, all is held in memory.
    pub async fn open() -> Shelf {
        let (held, plans, holding) = Default::default();
        Shelf { records: Records::open().await.ok(), held, plans, holding }
    }

    /// Whether anything stays when the tab is closed.
    pub fn keeps(&self) -> bool {
        self.records.is_some()
    }

    /// From now on a file's chunks are held in memory, not stored.
    pub fn hold(&self, key: &str) {
        self.holding.borrow_mut().insert(key.into());
    }

    /// From now on a file's chunks are stored, those that are held, too.
    pub async fn store(&self, key: &str) -> Result<()> {
        self.holding.borrow_mut().remove(key);
        let Some(records) = &self.records else { return Ok(()) };
        let plan = self.plans.borrow().get(key).cloned();
        if let Some(plan) = plan {
            records.keep_plan(&plan).await?;
            self.plans.borrow_mut().remove(key);
        }
        for (index, hash) in self.held(key) {
            let place = (key.to_owned(), index);
            let held = self.held.borrow().get(&place).cloned();
            if let Some((blob, _)) = held {
                records.write(key, index, blob, &hash).await?;
                self.held.borrow_mut().remove(&place);
            }
        }
        Ok(())
    }

    /// The database, if a file is to be stored there.
    fn records_for(&self, key: &str) -> Option<&Records> {
        self.records.as_ref().filter(|_| !self.holding.borrow().contains(key))
    }

    fn held(&self, key: &str) -> Vec<(usize, String)> {
        let held = self.held.borrow();
        held.iter().filter(|((of, _), _)| of == key).map(|((_, index), (_, hash))| (*index, hash.clone())).collect()
    }

    async fn blob(&self, key: &str, index: usize) -> Result<Option<(Blob, Option<String>)>> {
        let held = self.held.borrow().get(&(key.into(), index)).cloned();
        match (held, &self.records) {
            (Some((blob, hash)), _) => Ok(Some((blob, Some(hash)))),
            (None, Some(records)) => records.read(key, index).await,
            (None, None) => Ok(None),
        }
    }

    /// The bytes of a chunk, as they were when it was kept, without a copy of them; nothing where [`crate::Transfer::read`] has to look.
    pub async fn right(&self, plan: &Plan, index: usize) -> Result<Option<ArrayBuffer>> {
        let Some((blob, noted)) = self.blob(&plan.key, index).await? else { return Ok(None) };
        let Some(quick) = quick_hash_of(&blob) else { return Ok(None) };
        if plan.hashes.get(index).is_some_and(|known| noted.as_ref() != Some(known)) {
            return Ok(None);
        }
        let Ok(buffer) = JsFuture::from(blob.array_buffer()).await else { return Ok(None) };
        Ok((quick == quick_hash(&bytes_of(&buffer))).then(|| buffer.unchecked_into()))
    }

    /// A chunk as the browser has it, without looking at it.
    pub async fn piece(&self, key: &str, index: usize) -> Result<Blob> {
        self.blob(key, index).await?.map(|(blob, _)| blob).ok_or(Error::Missing { index })
    }

    /// Notes that a file is used now.
    pub async fn used(&self, key: &str) -> Result<()> {
        match self.records_for(key) {
            Some(records) => records.used(key, js_sys::Date::now()).await,
            None => Ok(()),
        }
    }

    /// Every file with what is there of it.
    pub async fn files(&self) -> Result<Vec<Stored>> {
        let uses = match &self.records {
            Some(records) => records.uses().await?,
            None => BTreeMap::new(),
        };
        let mut files = Vec::new();
        for plan in self.plans().await? {
            let stored_bytes = plan.bytes_of(present(self, &plan).await?);
            let (used_ms, held) = (uses.get(&plan.key).copied(), !self.held(&plan.key).is_empty());
            files.push(Stored { plan, stored_bytes, used_ms, held });
        }
        Ok(files)
    }

    /// Bytes that are there of a plan's file.
    pub async fn stored_bytes(&self, plan: &Plan) -> Result<u64> {
        Ok(plan.bytes_of(present(self, plan).await?))
    }
}

impl Vault for Shelf {
    async fn plans(&self) -> Result<Vec<Plan>> {
        let mut plans = match &self.records {
            Some(records) => records.plans().await?,
            None => Vec::new(),
        };
        let held = self.plans.borrow();
        plans.extend(
            held.values().filter(|held| !plans.iter().any(|plan| plan.key == held.key)).cloned().collect::<Vec<_>>(),
        );
        Ok(plans)
    }

    async fn keep_plan(&self, plan: &Plan) -> Result<()> {
        match self.records_for(&plan.key) {
            Some(records) => records.keep_plan(plan).await,
            None => {
                self.plans.borrow_mut().insert(plan.key.clone(), plan.clone());
                Ok(())
            }
        }
    }

    async fn chunks(&self, key: &str) -> Result<BTreeMap<usize, Option<String>>> {
        let mut chunks = match &self.records {
            Some(records) => records.chunks(key).await?,
            None => BTreeMap::new(),
        };
        chunks.extend(self.held(key).into_iter().map(|(index, hash)| (index, Some(hash))));
        Ok(chunks)
    }

    async fn read(&self, key: &str, index: usize) -> Result<Option<Chunk>> {
        let Some((blob, hash)) = self.blob(key, index).await? else { return Ok(None) };
        // A blob whose bytes the disk no longer gives has rotted as much as one whose bytes are others.
        let bytes = match JsFuture::from(blob.array_buffer()).await {
            Ok(buffer) => bytes_of(&buffer),
            Err(_) => Vec::new(),
        };
        Ok(Some(Chunk { bytes, hash }))
    }

    async fn write(&self, key: &str, index: usize, bytes: &[u8], hash: &str) -> Result<()> {
        let options = BlobPropertyBag::new();
        options.set_type(&format!("{QUICK}{}", quick_hash(bytes)));
        let parts = Array::of1(&Uint8Array::from(bytes));
        let blob = Blob::new_with_u8_array_sequence_and_options(&parts, &options).map_err(refused)?;
        match self.records_for(key) {
            Some(records) => records.write(key, index, blob, hash).await?,
            None => {
                self.held.borrow_mut().insert((key.into(), index), (blob, hash.into()));
            }
        }
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.held.borrow_mut().retain(|(of, _), _| of != key);
        self.plans.borrow_mut().remove(key);
        self.holding.borrow_mut().remove(key);
        match &self.records {
            Some(records) => records.remove(key).await,
            None => Ok(()),
        }
    }

    async fn sha256(&self, bytes: &[u8]) -> String {
        let digest = subtle().and_then(|subtle| subtle.digest_with_str_and_u8_array(SHA_256, bytes).ok());
        hash_of(digest).await.unwrap_or_else(|| crate::sha256(bytes))
    }

    async fn room(&self, key: &str) -> Option<u64> {
        // Of memory nobody tells.
        self.records_for(key)?;
        let estimate = worker()?.navigator().storage().estimate().ok()?;
        let estimate: StorageEstimate = JsFuture::from(estimate).await.ok()?.unchecked_into();
        Some((estimate.get_quota()? - estimate.get_usage()?).max(0.0) as u64)
    }
}
