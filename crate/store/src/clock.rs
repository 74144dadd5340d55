//! Time and chance, given from outside, so that tests need neither wait nor guess.

use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};

/// What tells the time, waits, and throws dice.
#[allow(async_fn_in_trait, reason = "everything here runs on one thread")]
pub trait Clock {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Waits.
    async fn sleep(&self, ms: u64);
    /// A number from 0 up to, not including, 1.
    fn chance(&self) -> f64;
}

/// What `future` gives, or `None` if that takes longer than `ms`.
pub(crate) async fn within<T>(clock: &impl Clock, ms: u64, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(clock.sleep(ms))).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}
