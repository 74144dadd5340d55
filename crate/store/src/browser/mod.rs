//! The browser's side of the three traits: fetch, IndexedDB (or memory, where it is refused) and timers.

mod database;
mod fetch;
mod shelf;
mod timer;

pub use fetch::{Fetch, aborted};
pub use shelf::{Shelf, Stored};
pub use timer::Timer;

use js_sys::Reflect;
use wasm_bindgen::JsValue;

use crate::error::Error;

/// An error of the browser's, by its name and words.
fn refused(error: JsValue) -> Error {
    let field = |name: &str| Reflect::get(&error, &name.into()).ok().and_then(|value| value.as_string());
    let words = [field("name"), field("message")].into_iter().flatten().collect::<Vec<_>>().join(": ");
    Error::Database(if words.is_empty() { format!("{error:?}") } else { words })
}
