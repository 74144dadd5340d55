//! IndexedDB: a record per shard (a `Blob`, which reads twice as fast as an `ArrayBuffer`) and a record per file.

use std::collections::BTreeSet;

use idb::{Database, DatabaseEvent, Factory, KeyRange, ObjectStoreParams, Query, TransactionMode};
use js_sys::{Array, ArrayBuffer, Uint8Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use crate::error::{Error, Result};
use crate::plan::Plan;

const NAME: &str = "hearth";
const VERSION: u32 = 1;
/// Key: `KEY/INDEX`, five digits.
const SHARDS: &str = "shards";
/// Key: the plan's.
const FILES: &str = "files";

/// The open database.
pub struct Store {
    database: Database,
}

/// A file as the store knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// How it was planned.
    pub plan: Plan,
    /// Bytes that are there.
    pub stored_bytes: u64,
}

impl From<idb::Error> for Error {
    fn from(error: idb::Error) -> Error {
        Error::Database(error.to_string())
    }
}

fn database_error(error: impl std::fmt::Debug) -> Error {
    Error::Database(format!("{error:?}"))
}

fn shard_key(key: &str, index: usize) -> JsValue {
    format!("{key}/{index:05}").into()
}

fn shard_range(key: &str) -> Result<Query> {
    let (from, to) = (format!("{key}/"), format!("{key}/~"));
    Ok(Query::KeyRange(KeyRange::bound(&from.into(), &to.into(), None, None)?))
}

impl Store {
    /// Opens the database, making it on the first visit.
    pub async fn open() -> Result<Store> {
        let mut request = Factory::new()?.open(NAME, Some(VERSION))?;
        request.on_upgrade_needed(|event| {
            let make = || -> Result<(), idb::Error> {
                let database = event.database()?;
                database.create_object_store(SHARDS, ObjectStoreParams::new())?;
                database.create_object_store(FILES, ObjectStoreParams::new())?;
                Ok(())
            };
            if let Err(error) = make() {
                panic!("the database cannot be made: {error}");
            }
        });
        Ok(Store { database: request.await? })
    }

    /// Numbers of the shards that are there.
    pub async fn present(&self, plan: &Plan) -> Result<BTreeSet<usize>> {
        let transaction = self.database.transaction(&[SHARDS], TransactionMode::ReadOnly)?;
        let keys = transaction.object_store(SHARDS)?.get_all_keys(Some(shard_range(&plan.key)?), None)?.await?;
        let index = |key: &JsValue| key.as_string()?.rsplit('/').next()?.parse().ok();
        // A shard beyond the end was cut by other measures.
        Ok(keys.iter().filter_map(index).filter(|&index| index < plan.count()).collect())
    }

    /// Notes that a file is being fetched.
    pub async fn put_file(&self, plan: &Plan) -> Result<()> {
        let record = serde_wasm_bindgen::to_value(plan).map_err(database_error)?;
        let transaction = self.database.transaction(&[FILES], TransactionMode::ReadWrite)?;
        transaction.object_store(FILES)?.put(&record, Some(&plan.key.as_str().into()))?.await?;
        transaction.commit()?.await?;
        Ok(())
    }

    /// The plan of a file that was begun, if `url` is where it came from: for visits without a network.
    pub async fn find_url(&self, url: &str) -> Result<Option<Plan>> {
        Ok(self.files().await?.into_iter().map(|file| file.plan).find(|plan| plan.folder.is_none() && plan.url == url))
    }

    /// Every file with what is there of it.
    pub async fn files(&self) -> Result<Vec<Stored>> {
        let transaction = self.database.transaction(&[FILES], TransactionMode::ReadOnly)?;
        let records = transaction.object_store(FILES)?.get_all(None, None)?.await?;
        let mut files = Vec::new();
        for record in records {
            let plan: Plan = serde_wasm_bindgen::from_value(record).map_err(database_error)?;
            let stored_bytes = plan.bytes_of(self.present(&plan).await?);
            files.push(Stored { plan, stored_bytes });
        }
        Ok(files)
    }

    /// Stores a checked shard. A full disk is told by its own error.
    pub async fn put_shard(&self, key: &str, index: usize, bytes: &[u8]) -> Result<()> {
        let blob = Blob::new_with_u8_array_sequence(&Array::of1(&Uint8Array::from(bytes))).map_err(database_error)?;
        let transaction = self.database.transaction(&[SHARDS], TransactionMode::ReadWrite)?;
        let put = async {
            transaction.object_store(SHARDS)?.put(&blob, Some(&shard_key(key, index)))?.await?;
            transaction.commit()?.await
        };
        let full = Error::Quota { need: bytes.len() as u64, free: 0 };
        match put.await {
            Ok(result) if result.is_committed() => Ok(()),
            // A write is only ever taken back for want of room.
            Ok(_) => Err(full),
            Err(error) if error.to_string().contains("Quota") => Err(full),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of a shard.
    pub async fn shard(&self, key: &str, index: usize) -> Result<ArrayBuffer> {
        let transaction = self.database.transaction(&[SHARDS], TransactionMode::ReadOnly)?;
        let record = transaction.object_store(SHARDS)?.get(shard_key(key, index))?.await?;
        let blob: Blob = record.and_then(|record| record.dyn_into().ok()).ok_or(Error::Missing { index })?;
        let buffer = JsFuture::from(blob.array_buffer()).await.map_err(database_error)?;
        Ok(buffer.unchecked_into())
    }

    /// Forgets a file and its shards.
    pub async fn remove(&self, key: &str) -> Result<()> {
        let transaction = self.database.transaction(&[SHARDS, FILES], TransactionMode::ReadWrite)?;
        transaction.object_store(SHARDS)?.delete(shard_range(key)?)?.await?;
        transaction.object_store(FILES)?.delete(Query::Key(key.into()))?.await?;
        transaction.commit()?.await?;
        Ok(())
    }
}
