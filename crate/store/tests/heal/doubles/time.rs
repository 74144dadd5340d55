//! A clock that jumps to the next thing that is waited for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use hearth_store::clock::Clock;

/// 2025, so that dates in headers are real ones.
const START_MS: u64 = 1_750_000_000_000;

pub struct Time {
    now_ms: Cell<u64>,
    /// Who waits, by when and in which order they came.
    waiting: RefCell<BTreeMap<(u64, u64), Waker>>,
    count: Cell<u64>,
    dice: RefCell<fastrand::Rng>,
}

impl Time {
    pub fn new(seed: u64) -> Time {
        let dice = RefCell::new(fastrand::Rng::with_seed(seed));
        Time { now_ms: Cell::new(START_MS), waiting: RefCell::default(), count: Cell::new(0), dice }
    }

    /// A number below `end`.
    pub fn below(&self, end: usize) -> usize {
        self.dice.borrow_mut().usize(..end)
    }

    /// A short time, or none.
    pub async fn passes(&self) {
        self.sleep(self.below(20) as u64).await;
    }

    /// Runs `future` to its end, or until it has been polled `kill` times: then it is dropped.
    pub fn run<T>(&self, future: impl Future<Output = T>, kill: Option<usize>) -> Option<T> {
        let called = Arc::new(Called(AtomicBool::new(true)));
        let waker = Waker::from(called.clone());
        let mut future = pin!(future);
        let mut polls = 0;
        loop {
            while !called.0.swap(false, Ordering::Relaxed) {
                let ((then, _), next) = self.waiting.borrow_mut().pop_first().expect("somebody waits for nothing");
                self.now_ms.set(then.max(self.now_ms.get()));
                next.wake();
            }
            if kill == Some(polls) {
                return None;
            }
            polls += 1;
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(value);
            }
        }
    }
}

struct Called(AtomicBool);

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Clock for Time {
    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    async fn sleep(&self, ms: u64) {
        let mine = (self.now_ms.get() + ms, self.count.replace(self.count.get() + 1));
        let _gone = Gone(self, mine);
        let mut waits = false;
        poll_fn(|context| {
            // At least once: a kill may fall between any two steps.
            if std::mem::replace(&mut waits, true) && self.now_ms.get() >= mine.0 {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().insert(mine, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn chance(&self) -> f64 {
        self.dice.borrow_mut().f64()
    }
}

/// Takes a wait that was given up out of the list.
struct Gone<'a>(&'a Time, (u64, u64));

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.waiting.borrow_mut().remove(&self.1);
    }
}
