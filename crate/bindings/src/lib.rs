//! What the modules have in common: how errors and values cross to JavaScript, what is known of panics and memory, and the team
//! of threads. The modules beside this one turn crates into JavaScript classes: types are converted there, and nothing else
//! happens.
//!
//! A worker that sees text makes an `engine::Loader` or a `lab::Lab`, each from a module of its own, so that who talks does not
//! fetch the lab; the worker that may use the network makes a `store::Models`. The latter's module has no threads: with them a
//! future goes on in a later task of the worker's, and by then the browser has ended an IndexedDB transaction that nobody used.
#![cfg(target_arch = "wasm32")]

#[cfg(feature = "team")]
pub mod team;

use std::sync::atomic::{AtomicBool, Ordering};

use js_sys::Reflect;
use wasm_bindgen::prelude::*;

static PANICKED: AtomicBool = AtomicBool::new(false);

/// Panics become readable errors on the console.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|told| {
        PANICKED.store(true, Ordering::Relaxed);
        console_error_panic_hook::hook(told);
    }));
}

/// Whether there was a panic. Where there was none and the module stopped, memory was refused.
#[wasm_bindgen]
pub fn panicked() -> bool {
    PANICKED.load(Ordering::Relaxed)
}

/// Bytes of the module's memory. It never shrinks, so this is also the peak.
#[wasm_bindgen]
pub fn memory_bytes() -> f64 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    let buffer: js_sys::ArrayBuffer = memory.buffer().unchecked_into();
    f64::from(buffer.byte_length())
}

/// A JavaScript `Error` with a stable `code`.
pub fn error(code: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    let set = Reflect::set(&error, &"code".into(), &code.into());
    debug_assert!(set.is_ok(), "an Error takes properties");
    error.into()
}

/// A value as JavaScript has it in JSON.
pub fn to_js(value: &impl serde::Serialize) -> Result<JsValue, JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).map_err(|problem| error("internal", &problem.to_string()))
}

/// A value from JavaScript; an error of code `invalid_input` if it is none.
pub fn from_js<T: serde::de::DeserializeOwned>(value: JsValue) -> Result<T, JsValue> {
    serde_wasm_bindgen::from_value(value).map_err(|problem| error("invalid_input", &problem.to_string()))
}
