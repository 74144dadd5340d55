//! `Models`: what can be had, what is here, and fetching the rest.
#![cfg(target_arch = "wasm32")]

use bindings::{error, from_js, to_js};
use hearth_store::catalog::Catalog;
use hearth_store::database::Store;
use hearth_store::download;
use hearth_store::plan::Plan;
use js_sys::{ArrayBuffer, Function};
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

fn store_error(problem: hearth_store::Error) -> JsValue {
    error(problem.code(), &problem.to_string())
}

/// The models in this browser.
#[wasm_bindgen]
pub struct Models {
    store: Store,
}

#[wasm_bindgen]
impl Models {
    /// Opens the browser's storage.
    pub async fn open() -> Result<Models, JsValue> {
        Ok(Models { store: Store::open().await.map_err(store_error)? })
    }

    /// The plan for the model `id` of a catalog; `folder` is the address of the folder that may hold its shards.
    #[wasm_bindgen(js_name = planCatalog)]
    pub fn plan_catalog(&self, catalog: JsValue, id: &str, folder: &str) -> Result<JsValue, JsValue> {
        let catalog: Catalog = from_js(catalog)?;
        to_js(&Plan::of_entry(catalog.find(id).map_err(store_error)?, folder))
    }

    /// The plan for the file at an address.
    #[wasm_bindgen(js_name = planUrl)]
    pub async fn plan_url(&self, url: &str, signal: &AbortSignal) -> Result<JsValue, JsValue> {
        to_js(&download::plan_url(&self.store, url, signal).await.map_err(store_error)?)
    }

    /// Bytes of a plan's file that are here.
    #[wasm_bindgen(js_name = storedBytes)]
    pub async fn stored_bytes(&self, plan: JsValue) -> Result<f64, JsValue> {
        let plan: Plan = from_js(plan)?;
        Ok(plan.bytes_of(self.store.present(&plan).await.map_err(store_error)?) as f64)
    }

    /// Fetches what is missing; `progress` is called with the bytes that are here or on their way.
    pub async fn download(&self, plan: JsValue, signal: &AbortSignal, progress: &Function) -> Result<(), JsValue> {
        let plan: Plan = from_js(plan)?;
        let report = |bytes: u64| {
            // A listener that throws must not end the download.
            let _ = progress.call1(&JsValue::NULL, &JsValue::from_f64(bytes as f64));
        };
        download::download(&self.store, &plan, signal, &report).await.map_err(store_error)
    }

    /// The bytes of shard `index`.
    pub async fn shard(&self, key: &str, index: usize) -> Result<ArrayBuffer, JsValue> {
        self.store.shard(key, index).await.map_err(store_error)
    }

    /// Every file with what is here of it: `[{plan, stored_bytes}]`.
    pub async fn files(&self) -> Result<JsValue, JsValue> {
        to_js(&self.store.files().await.map_err(store_error)?)
    }

    /// Forgets a file.
    pub async fn remove(&self, key: &str) -> Result<(), JsValue> {
        self.store.remove(key).await.map_err(store_error)
    }
}
