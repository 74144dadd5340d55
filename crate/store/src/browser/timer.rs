//! The browser's clock.

use std::cell::RefCell;

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

/// A timer that ends with whoever waits for it. Its promise is kept even then: one that nobody keeps would never let go of the
/// closures that wait for it.
#[derive(Default)]
struct Waiting(RefCell<Option<(Function, f64)>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((resolve, number)) = self.0.take() {
            clear_timeout(number);
            // Of a promise that is kept already it changes nothing, and this function does not fail.
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    }
}

impl Clock for Timer {
    fn now_ms(&self) -> u64 {
        js_sys::Date::now() as u64
    }

    async fn sleep(&self, ms: u64) {
        let waiting = Waiting::default();
        let promise = Promise::new(&mut |resolve, _| {
            let number = set_timeout(&resolve, ms as f64);
            waiting.0.replace(Some((resolve, number)));
        });
        let waited = JsFuture::from(promise).await;
        debug_assert!(waited.is_ok(), "nothing rejects it");
    }

    fn chance(&self) -> f64 {
        js_sys::Math::random()
    }
}
