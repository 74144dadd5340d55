//! IndexedDB: a record per chunk (a `Blob`, which reads twice as fast as an `ArrayBuffer`), one for its hash, written in the same
//! transaction, a record per file, and one for when it was last used.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_channel::oneshot;
use idb::{Database, DatabaseEvent, Factory, KeyRange, ObjectStoreParams, Query, TransactionMode, TransactionResult};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::Blob;

use super::timer::Timer;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::plan::Plan;

const NAME: &str = "hearth";
const VERSION: u32 = 2;
/// Key: `KEY/INDEX`, five digits.
const SHARDS: &str = "shards";
/// The same keys.
const HASHES: &str = "hashes";
/// Key: the plan's.
const FILES: &str = "files";
/// The same keys; milliseconds since 1970.
const USES: &str = "uses";

/// How often to try again on a database that was closed under us, and when: what threw it away takes a while.
const AGAIN: usize = 8;
const PAUSE_MS: u64 = 250;

/// The database, opened again where the browser has closed it under us: it does that when it throws away what it keeps.
pub struct Records(Rc<RefCell<Option<Rc<Database>>>>);

impl From<idb::Error> for Error {
    fn from(error: idb::Error) -> Error {
        Error::Database(error.to_string())
    }
}

fn unreadable(error: impl std::fmt::Debug) -> Error {
    Error::Database(format!("{error:?}"))
}

fn shard_key(key: &str, index: usize) -> JsValue {
    format!("{key}/{index:05}").into()
}

fn shard_range(key: &str) -> Result<Query> {
    let (from, to) = (format!("{key}/"), format!("{key}/~"));
    Ok(Query::KeyRange(KeyRange::bound(&from.into(), &to.into(), None, None)?))
}

/// An error if what was written was taken back.
fn committed(result: TransactionResult) -> Result<()> {
    match result.is_committed() {
        true => Ok(()),
        false => Err(Error::Database("what was written was taken back".into())),
    }
}

/// Sees `task` through even if whoever waits for it is gone: a request that was dropped would call back into nothing.
async fn through<T: 'static>(task: impl Future<Output = Result<T>> + 'static) -> Result<T> {
    let (sender, receiver) = oneshot::channel();
    spawn_local(async {
        // Perhaps nobody waits any more.
        let _ = sender.send(task.await);
    });
    receiver.await.unwrap_or_else(|_| Err(Error::Database("a request was lost".into())))
}

impl Records {
    /// Opens the database, making it on the first visit; an error if it does not take what it is for.
    pub async fn open() -> Result<Records> {
        let records = Records(Rc::default());
        let database = records.database().await?;
        let transaction = database.transaction(&[SHARDS], TransactionMode::ReadWrite)?;
        // Private windows of WebKit take no blobs: https://github.com/WebKit/WebKit/pull/39577
        let blob = Blob::new().map_err(unreadable)?;
        match transaction.object_store(SHARDS)?.put(&blob, Some(&NAME.into()))?.await {
            Err(error) if !error.to_string().contains("Quota") => Err(error.into()),
            _ => transaction.abort().map(|_| records).map_err(Error::from),
        }
    }

    /// Runs `task`; again where the browser has closed the database meanwhile, on the one that it then lets us have.
    async fn with<T: 'static, F>(&self, task: impl Fn(Rc<Database>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + 'static,
    {
        let mut patience = AGAIN;
        loop {
            let open = self.database().await;
            let result = match &open {
                Ok(database) => through(task(database.clone())).await,
                Err(error) => Err(error.clone()),
            };
            if result.is_ok() || patience == 0 {
                return result;
            }
            patience -= 1;
            // It tells of that a moment after the failure.
            Timer.sleep(PAUSE_MS).await;
            let same = |now: &Rc<Database>| open.as_ref().is_ok_and(|database| Rc::ptr_eq(database, now));
            if self.0.borrow().as_ref().is_some_and(same) {
                return result;
            }
        }
    }

    async fn database(&self) -> Result<Rc<Database>> {
        let open = self.0.borrow().clone();
        if let Some(database) = open {
            return Ok(database);
        }
        let mut request = Factory::new()?.open(NAME, Some(VERSION))?;
        request.on_upgrade_needed(|event| {
            let make = || -> Result<(), idb::Error> {
                let database = event.database()?;
                let present = database.store_names();
                for name in [SHARDS, HASHES, FILES, USES] {
                    if !present.iter().any(|present| present == name) {
                        database.create_object_store(name, ObjectStoreParams::new())?;
                    }
                }
                Ok(())
            };
            if let Err(error) = make() {
                panic!("the database cannot be made: {error}");
            }
        });
        let mut database = request.await?;
        // Several may have waited for it; of one that is dropped the handlers would be called all the same.
        if let Some(open) = self.0.borrow().clone() {
            database.close();
            return Ok(open);
        }
        // Another tab has a newer version of the page, which waits for this one to let go.
        database.on_version_change(|event| {
            if let Ok(database) = event.database() {
                database.close();
            }
        });
        let slot = Rc::downgrade(&self.0);
        database.on_close(move |_| {
            // Later: this closure is a part of the database.
            spawn_local(async move {
                if let Some(slot) = slot.upgrade() {
                    slot.take();
                }
            });
        });
        let database = Rc::new(database);
        self.0.replace(Some(database.clone()));
        Ok(database)
    }

    pub async fn plans(&self) -> Result<Vec<Plan>> {
        self.with(|database| async move {
            let transaction = database.transaction(&[FILES], TransactionMode::ReadOnly)?;
            let records = transaction.object_store(FILES)?.get_all(None, None)?.await?;
            records.into_iter().map(|record| serde_wasm_bindgen::from_value(record).map_err(unreadable)).collect()
        })
        .await
    }

    pub async fn keep_plan(&self, plan: &Plan) -> Result<()> {
        let record = serde_wasm_bindgen::to_value(plan).map_err(unreadable)?;
        self.put(FILES, plan.key.as_str().into(), record).await
    }

    /// When each file was last used.
    pub async fn uses(&self) -> Result<BTreeMap<String, f64>> {
        self.with(|database| async move {
            let transaction = database.transaction(&[USES], TransactionMode::ReadOnly)?;
            let store = transaction.object_store(USES)?;
            let (keys, values) = (store.get_all_keys(None, None)?, store.get_all(None, None)?);
            let (keys, values) = (keys.await?, values.await?);
            Ok(keys.iter().zip(values).filter_map(|(key, value)| Some((key.as_string()?, value.as_f64()?))).collect())
        })
        .await
    }

    pub async fn used(&self, key: &str, now_ms: f64) -> Result<()> {
        self.put(USES, key.into(), now_ms.into()).await
    }

    async fn put(&self, store: &'static str, key: JsValue, record: JsValue) -> Result<()> {
        self.with(|database| {
            let (key, record) = (key.clone(), record.clone());
            async move {
                let transaction = database.transaction(&[store], TransactionMode::ReadWrite)?;
                transaction.object_store(store)?.put(&record, Some(&key))?.await?;
                committed(transaction.commit()?.await?)
            }
        })
        .await
    }

    /// Numbers of a file's chunks with the hash noted of each.
    pub async fn chunks(&self, key: &str) -> Result<BTreeMap<usize, Option<String>>> {
        let key = key.to_owned();
        self.with(move |database| {
            let range = || shard_range(&key);
            let ranges = (range(), range(), range());
            async move {
                let (range, hashed, values) = (ranges.0?, ranges.1?, ranges.2?);
                let transaction = database.transaction(&[SHARDS, HASHES], TransactionMode::ReadOnly)?;
                let keys = transaction.object_store(SHARDS)?.get_all_keys(Some(range), None)?;
                let store = transaction.object_store(HASHES)?;
                let (names, hashes) = (store.get_all_keys(Some(hashed), None)?, store.get_all(Some(values), None)?);
                let (keys, names, hashes) = (keys.await?, names.await?, hashes.await?);
                let index = |key: &JsValue| key.as_string()?.rsplit('/').next()?.parse::<usize>().ok();
                let noted: BTreeMap<usize, String> =
                    names.iter().zip(hashes).filter_map(|(key, hash)| Some((index(key)?, hash.as_string()?))).collect();
                Ok(keys.iter().filter_map(index).map(|index| (index, noted.get(&index).cloned())).collect())
            }
        })
        .await
    }

    /// Stores a chunk and its hash, both or none. A full disk is told by its own error.
    pub async fn write(&self, key: &str, index: usize, blob: Blob, hash: &str) -> Result<()> {
        let (key, hash) = (shard_key(key, index), JsValue::from(hash));
        let full = Error::Quota { need: blob.size() as u64, free: 0 };
        self.with(move |database| {
            let (key, hash, blob, full) = (key.clone(), hash.clone(), blob.clone(), full.clone());
            async move {
                let transaction = database.transaction(&[SHARDS, HASHES], TransactionMode::ReadWrite)?;
                let put = async {
                    let (shard, noted) = (
                        transaction.object_store(SHARDS)?.put(&blob, Some(&key))?,
                        transaction.object_store(HASHES)?.put(&hash, Some(&key))?,
                    );
                    shard.await?;
                    noted.await?;
                    transaction.commit()?.await
                };
                match put.await {
                    Ok(result) if result.is_committed() => Ok(()),
                    // A write is taken back for want of room, or with all else there was.
                    Ok(_) => Err(full),
                    Err(error) if error.to_string().contains("Quota") => Err(full),
                    Err(error) => Err(error.into()),
                }
            }
        })
        .await
    }

    /// A chunk and the hash noted of it.
    pub async fn read(&self, key: &str, index: usize) -> Result<Option<(Blob, Option<String>)>> {
        let key = shard_key(key, index);
        self.with(move |database| {
            let key = key.clone();
            async move {
                let transaction = database.transaction(&[SHARDS, HASHES], TransactionMode::ReadOnly)?;
                let shard = transaction.object_store(SHARDS)?.get(key.clone())?;
                let hash = transaction.object_store(HASHES)?.get(key)?;
                let (shard, hash) = (shard.await?, hash.await?);
                let blob = shard.and_then(|record| record.dyn_into().ok());
                Ok(blob.map(|blob| (blob, hash.and_then(|hash| hash.as_string()))))
            }
        })
        .await
    }

    /// Forgets a file and its chunks.
    pub async fn remove(&self, key: &str) -> Result<()> {
        let (key, name) = (key.to_owned(), JsValue::from(key));
        self.with(move |database| {
            let (name, ranges) = (name.clone(), (shard_range(&key), shard_range(&key)));
            async move {
                let (shards, hashes) = (ranges.0?, ranges.1?);
                let transaction = database.transaction(&[SHARDS, HASHES, FILES, USES], TransactionMode::ReadWrite)?;
                transaction.object_store(SHARDS)?.delete(shards)?.await?;
                transaction.object_store(HASHES)?.delete(hashes)?.await?;
                for store in [FILES, USES] {
                    transaction.object_store(store)?.delete(Query::Key(name.clone()))?.await?;
                }
                committed(transaction.commit()?.await?)
            }
        })
        .await
    }
}
