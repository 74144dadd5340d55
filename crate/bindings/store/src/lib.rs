//! `Models`: what can be had, what is here, and fetching the rest.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use bindings::{error, from_js, to_js};
use futures_util::future::{Either, select};
use hearth_store::browser::{Fetch, Shelf, Timer, aborted};
use hearth_store::catalog::Catalog;
use hearth_store::plan::Plan;
use hearth_store::vault::Vault;
use hearth_store::{Error, Limits, Progress, Result, Transfer, plan_url};
use js_sys::{ArrayBuffer, Function, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::{AbortSignal, Blob};

fn told(problem: Error) -> JsValue {
    error(problem.code(), &problem.to_string())
}

/// What `task` gives, unless `signal` ends it first: then it is dropped, and its requests with it.
async fn until<T>(signal: &AbortSignal, task: impl Future<Output = Result<T>>) -> Result<T, JsValue> {
    match select(pin!(aborted(signal)), pin!(task)).await {
        Either::Left(_) => Err(told(Error::Aborted)),
        Either::Right((result, _)) => result.map_err(told),
    }
}

#[derive(Serialize)]
struct Told {
    stored: f64,
    arriving: f64,
    received: f64,
    checked: f64,
}

/// Tells a listener of the page's.
fn listener(listener: &Function) -> impl Fn(Progress) {
    move |Progress { stored, arriving, received, checked }| {
        let [stored, arriving, received, checked] = [stored, arriving, received, checked].map(|bytes| bytes as f64);
        // A listener that throws must not end the download.
        let _ =
            to_js(&Told { stored, arriving, received, checked }).and_then(|told| listener.call1(&JsValue::NULL, &told));
    }
}

/// The models in this browser.
#[wasm_bindgen]
pub struct Models {
    shelf: Shelf,
    /// Of the files that were asked for: reading a chunk needs its plan.
    plans: RefCell<BTreeMap<String, Rc<Plan>>>,
}

#[wasm_bindgen]
impl Models {
    /// Opens the browser's storage.
    pub async fn open() -> Models {
        Models { shelf: Shelf::open().await, plans: RefCell::default() }
    }

    /// Whether anything stays when the tab is closed; private windows may refuse.
    #[wasm_bindgen(getter)]
    pub fn keeps(&self) -> bool {
        self.shelf.keeps()
    }

    /// From now on a file's chunks are held in memory, not stored.
    pub fn hold(&self, key: &str) {
        self.shelf.hold(key);
    }

    /// The plan for the model `id` of a catalog; `folder` is the address of the folder that may hold its shards.
    #[wasm_bindgen(js_name = planCatalog)]
    pub fn plan_catalog(&self, catalog: JsValue, id: &str, folder: &str) -> Result<JsValue, JsValue> {
        let catalog: Catalog = from_js(catalog)?;
        to_js(&Plan::of_entry(catalog.find(id).map_err(told)?, folder))
    }

    /// The plan for the file at an address, `mirrors` being others of the same file.
    #[wasm_bindgen(js_name = planUrl)]
    pub async fn plan_url(
        &self,
        url: &str,
        mirrors: Vec<String>,
        limits: JsValue,
        signal: &AbortSignal,
    ) -> Result<JsValue, JsValue> {
        let Limits { attempts, .. } = from_js(limits)?;
        to_js(&until(signal, plan_url(&Fetch, &self.shelf, &Timer, url, &mirrors, attempts)).await?)
    }

    /// The plan for a file from a disk.
    #[wasm_bindgen(js_name = planFile)]
    pub fn plan_file(&self, path: &str, size_bytes: f64, modified_ms: f64) -> Result<JsValue, JsValue> {
        to_js(&Plan::of_file(path, size_bytes as u64, modified_ms as u64))
    }

    /// From now on a file's chunks are stored, those that are held, too.
    pub async fn store(&self, key: &str) -> Result<(), JsValue> {
        self.shelf.store(key).await.map_err(told)
    }

    /// Bytes of a plan's file that are here.
    #[wasm_bindgen(js_name = storedBytes)]
    pub async fn stored_bytes(&self, plan: JsValue) -> Result<f64, JsValue> {
        let plan: Plan = from_js(plan)?;
        Ok(self.shelf.stored_bytes(&plan).await.map_err(told)? as f64)
    }

    /// Fetches what is missing; `progress` is called with `{stored, arriving, received, checked}`, all in bytes.
    pub async fn download(
        &self,
        plan: JsValue,
        limits: JsValue,
        signal: &AbortSignal,
        progress: &Function,
    ) -> Result<(), JsValue> {
        let plan: Rc<Plan> = Rc::new(from_js(plan)?);
        // Should the browser throw its record away meanwhile, the chunks are read all the same.
        self.plans.borrow_mut().insert(plan.key.clone(), plan.clone());
        let report = listener(progress);
        let transfer = Transfer::new((&Fetch, &self.shelf, &Timer), &plan, from_js(limits)?, &report);
        until(signal, transfer.run()).await
    }

    /// The bytes of chunk `index`, as they were when it was stored; one that rotted is fetched anew.
    pub async fn shard(&self, key: &str, index: usize) -> Result<ArrayBuffer, JsValue> {
        let plan = self.plan(key).await.map_err(told)?;
        if let Some(right) = self.shelf.right(&plan, index).await.map_err(told)? {
            return Ok(right);
        }
        let transfer = Transfer::new((&Fetch, &self.shelf, &Timer), &plan, Limits::default(), &|_| {});
        let bytes = transfer.read(index).await.map_err(told)?;
        Ok(Uint8Array::from(&bytes[..]).buffer())
    }

    async fn plan(&self, key: &str) -> Result<Rc<Plan>> {
        if let Some(plan) = self.plans.borrow().get(key) {
            return Ok(plan.clone());
        }
        let found = self.shelf.plans().await?.into_iter().find(|plan| plan.key == key);
        let plan = Rc::new(found.ok_or(Error::Missing { index: 0 })?);
        self.plans.borrow_mut().insert(key.into(), plan.clone());
        Ok(plan)
    }

    /// Reads all that is here of a file and fetches anew what rotted: `{chunks, repaired, whole}`.
    pub async fn verify(&self, key: &str, signal: &AbortSignal, progress: &Function) -> Result<JsValue, JsValue> {
        let plan = self.plan(key).await.map_err(told)?;
        let report = listener(progress);
        let transfer = Transfer::new((&Fetch, &self.shelf, &Timer), &plan, Limits::default(), &report);
        to_js(&until(signal, transfer.verify()).await?)
    }

    /// Makes ready to import a file: there must be room.
    pub async fn begin(&self, plan: JsValue) -> Result<(), JsValue> {
        let plan: Plan = from_js(plan)?;
        Transfer::new((&Fetch, &self.shelf, &Timer), &plan, Limits::default(), &|_| {}).begin().await.map_err(told)
    }

    /// Stores chunk `index` of a file that is imported.
    pub async fn give(&self, plan: JsValue, index: usize, bytes: Vec<u8>) -> Result<(), JsValue> {
        let plan: Plan = from_js(plan)?;
        let transfer = Transfer::new((&Fetch, &self.shelf, &Timer), &plan, Limits::default(), &|_| {});
        transfer.give(index, &bytes).await.map_err(told)
    }

    /// Ends the import of a file; one of the same name that was imported before is forgotten.
    pub async fn end(&self, plan: JsValue) -> Result<(), JsValue> {
        let plan: Plan = from_js(plan)?;
        Transfer::new((&Fetch, &self.shelf, &Timer), &plan, Limits::default(), &|_| {}).end().await.map_err(told)
    }

    /// Chunk `index` as the browser has it, unread.
    pub async fn blob(&self, key: &str, index: usize) -> Result<Blob, JsValue> {
        self.shelf.piece(key, index).await.map_err(told)
    }

    /// Notes that a file is used now.
    pub async fn used(&self, key: &str) -> Result<(), JsValue> {
        self.shelf.used(key).await.map_err(told)
    }

    /// Every file with what is here of it: `[{plan, stored_bytes, used_ms, held}]`.
    pub async fn files(&self) -> Result<JsValue, JsValue> {
        to_js(&self.shelf.files().await.map_err(told)?)
    }

    /// Forgets a file.
    pub async fn remove(&self, key: &str) -> Result<(), JsValue> {
        self.plans.borrow_mut().remove(key);
        self.shelf.remove(key).await.map_err(told)
    }
}
