//! A module's team of threads: its leader is the worker that was asked for something, its helpers are workers over the same
//! memory.

use std::sync::{Arc, OnceLock};

use hearth_engine::cpu::team::{Shared, Team};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// Milliseconds since the worker began.
    #[wasm_bindgen(js_namespace = performance)]
    pub fn now() -> f64;
}

/// What the leader's team shares with its helpers: one team to a module's memory.
static TEAM: OnceLock<Arc<Shared>> = OnceLock::new();

/// A helper's life, in a worker of its own over the leader's memory: returns when the leader has gone.
#[wasm_bindgen]
pub fn help() {
    if let Some(shared) = TEAM.get() {
        shared.help();
    }
}

/// Tells the leader that a helper has crashed: its piece of work will never be done.
#[wasm_bindgen]
pub fn helper_failed() {
    if let Some(shared) = TEAM.get() {
        shared.fail();
    }
}

/// A team of `threads`: all but one are workers that call [`help`].
pub fn team(threads: usize) -> Team {
    Team::new(threads, now, |shared| {
        assert!(Arc::ptr_eq(TEAM.get_or_init(|| shared.clone()), &shared), "one team to a memory");
    })
}
