//! The browser's clock.

use std::cell::Cell;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::clock::Clock;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(then: &Function, milliseconds: f64) -> f64;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(number: f64);
}

/// `Date.now`, `setTimeout` and `Math.random`.
pub struct Timer;

/// A timer that ends with whoever waits for it.
struct Waiting(Cell<f64>);

impl Drop for Waiting {
    fn drop(&mut self) {
        clear_timeout(self.0.get());
    }
}

impl Clock for Timer {
    fn now_ms(&self) -> u64 {
        js_sys::Date::now() as u64
    }

    async fn sleep(&self, ms: u64) {
        let waiting = Waiting(Cell::default());
        let promise = Promise::new(&mut |resolve, _| waiting.0.set(set_timeout(&resolve, ms as f64)));
        let waited = JsFuture::from(promise).await;
        debug_assert!(waited.is_ok(), "nothing rejects it");
    }

    fn chance(&self) -> f64 {
        js_sys::Math::random()
    }
}
