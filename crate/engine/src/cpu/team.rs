//! Threads that work through the pieces of one operation together.
//!
//! The leader publishes a task and how many pieces it has; it and its helpers take pieces from a counter, and the leader goes
//! on when all pieces are done. A helper that is late takes none and holds nobody up. Between tasks helpers spin for some
//! microseconds, then sleep. Nothing is allocated, and JavaScript is asked for the time only while the leader waits.
//!
//! When the leader has had to wait for long, another program holds a core and a helper sits on an unfinished piece: the leader
//! then works alone for a while, twice as long each time this happens again.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::divide::Divide;

/// Milliseconds since some moment.
pub type Clock = fn() -> f64;

/// Most threads a team may have.
pub const MAX_THREADS: usize = 64;

/// Polls before a helper sleeps: 30 µs in a browser, natively, where a poll pauses the processor, a millisecond. Waking it takes
/// 5 to 15 µs, and a woken helper may land on its waker's core.
const SPIN: u32 = 50_000;

/// Polls between two looks at the clock.
const LOOK: u64 = 4096;

/// A wait of more milliseconds than this, for each [`CROWD`] of tokens, means that a helper has lost its core: a piece takes some
/// microseconds for one token and half a millisecond for a crowd.
const STALL_MS: f64 = 0.5;

/// Tokens.
const CROWD: usize = 8;

/// Looks without an end after which a helper counts as gone: about a minute of polling, in which a frozen tab does not poll.
const GONE: u64 = 10_000_000;

/// Tasks for which the leader works alone after a stall: the first time, and at most. A token is some 150 tasks, so at the most
/// a busy core costs one stall in thirty milliseconds.
const ALONE: (u32, u32) = (32, 1024);

/// Tasks without a stall after which earlier stalls are forgotten. (With 20 000, and 8192 tasks alone, cores that vanish for a
/// moment now and then left the leader alone most of the time.)
const CALM: u32 = 2000;

type Task = dyn Fn(usize) + Sync;

/// On a cache line of its own.
#[repr(align(128))]
struct Line<T>(T);

/// What leader and helpers share.
pub struct Shared {
    /// Generation of the task above, pieces not yet taken below.
    ticket: Line<AtomicU64>,
    /// Pieces done.
    done: Line<AtomicU32>,
    task: UnsafeCell<Option<&'static Task>>,
    /// Threads in use, the leader included, and helpers there are.
    active: AtomicU32,
    joined: AtomicU32,
    /// Helpers that wait for a task. Those beyond `active` wait to be wanted, and nobody wakes them for a task.
    sleepers: AtomicU32,
    sleep: Mutex<()>,
    wake: Condvar,
    wanted: Condvar,
    closed: AtomicBool,
    failed: AtomicBool,
}

// SAFETY: `task` is written by the leader only, while no piece of any task is left, and read only by holders of a piece.
unsafe impl Sync for Shared {}
// SAFETY: a task is `Sync`, so its reference may move to other threads.
unsafe impl Send for Shared {}

impl Shared {
    fn new() -> Shared {
        Shared {
            ticket: Line(AtomicU64::new(0)),
            done: Line(AtomicU32::new(0)),
            task: UnsafeCell::new(None),
            active: AtomicU32::new(1),
            joined: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            wanted: Condvar::new(),
            closed: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// Takes some pieces of the present task: its share of half of what is left, so that there are few turns at the counter
    /// (each costs 0.2 to 0.4 µs) and the last pieces are single ones.
    fn take(&self) -> Option<Range<usize>> {
        let mut ticket = self.ticket.0.load(Ordering::Acquire);
        loop {
            let left = ticket & u64::from(u32::MAX);
            if left == 0 {
                return None;
            }
            let share = (left / (2 * u64::from(self.active.load(Ordering::Relaxed)))).max(1);
            match self.ticket.0.compare_exchange_weak(ticket, ticket - share, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some((left - share) as usize..left as usize),
                Err(now) => ticket = now,
            }
        }
    }

    /// Takes and does pieces until none is left; whether there was one.
    #[inline(never)] // in a loop that never returns, V8 would keep the slow first version of this code for ever
    fn work(&self) -> bool {
        let mut mine = 0;
        while let Some(pieces) = self.take() {
            // SAFETY: we hold pieces that we have not told of, so the leader waits for us and the task is the pieces'.
            let task = unsafe { (*self.task.get()).expect("a task with pieces") };
            mine += pieces.len() as u32;
            pieces.for_each(task);
        }
        if mine > 0 {
            self.done.0.fetch_add(mine, Ordering::Release);
        }
        mine > 0
    }

    /// A helper's life: returns when the team is dissolved.
    pub fn help(&self) {
        let failed = Alarm(self);
        // The leader is thread 0.
        let thread = self.joined.fetch_add(1, Ordering::Relaxed) + 1;
        let mut polls = 0;
        while !self.closed.load(Ordering::Acquire) {
            let active = thread < self.active.load(Ordering::Relaxed);
            if active && self.work() {
                polls = 0;
            } else if active && polls < SPIN {
                polls += 1;
                std::hint::spin_loop();
            } else {
                self.doze(thread);
                polls = 0;
            }
        }
        std::mem::forget(failed);
    }

    /// Sleeps until this thread is wanted and there was a task. It may come too late for that one: the next is near, so the
    /// thread spins again.
    fn doze(&self, thread: u32) {
        let mut guard = self.sleep.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let open = || !self.closed.load(Ordering::SeqCst);
        while thread >= self.active.load(Ordering::SeqCst) && open() {
            guard = self.wanted.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        // SeqCst, as are the leader's two: either it sees a sleeper, or we see its ticket.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if self.ticket.0.load(Ordering::SeqCst) as u32 == 0 && open() {
            drop(self.wake.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner()));
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn rouse(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.sleep.lock());
            self.wake.notify_all();
        }
    }

    /// Tells all helpers that who is in use may have changed.
    fn call(&self) {
        drop(self.sleep.lock());
        self.wake.notify_all();
        self.wanted.notify_all();
    }

    /// Tells the leader that a helper is gone for good and its piece will never be done.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }
}

/// Raised when a helper unwinds.
struct Alarm<'a>(&'a Shared);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// While pieces of a task are with helpers, its data must stay: unwinding would free it under their hands.
struct Unfinished;

impl Drop for Unfinished {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// The leader's end of a team.
pub struct Team {
    shared: Arc<Shared>,
    clock: Clock,
    /// Threads, the leader included.
    threads: usize,
    /// Tasks still to be done alone, and for how many it was the last time.
    alone: u32,
    patience: u32,
    calm: u32,
    stall_ms: f64,
}

impl Team {
    /// A team of one.
    pub fn alone() -> Team {
        let shared = Arc::new(Shared::new());
        Team { shared, clock: || 0.0, threads: 1, alone: 0, patience: ALONE.0, calm: 0, stall_ms: STALL_MS }
    }

    /// A team of `threads`, of which `start` starts each helper but the leader: on a thread that calls [`Shared::help`].
    pub fn new(threads: usize, clock: Clock, mut start: impl FnMut(Arc<Shared>)) -> Team {
        let mut team = Team::alone();
        team.clock = clock;
        for _ in 1..threads.clamp(1, MAX_THREADS) {
            start(team.shared.clone());
            team.threads += 1;
        }
        team.limit(team.threads);
        team
    }

    /// A team on the machine's own threads.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn spawn(threads: usize) -> Team {
        let clock = || {
            static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
            START.elapsed().as_secs_f64() * 1e3
        };
        Team::new(threads, clock, |shared| {
            std::thread::spawn(move || shared.help());
        })
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Uses the first `threads` only; those there are, at most.
    pub fn limit(&mut self, threads: usize) {
        self.shared.active.store(threads.clamp(1, self.threads) as u32, Ordering::SeqCst);
        self.shared.call();
        (self.alone, self.patience, self.calm) = (0, ALONE.0, 0);
    }

    /// The pieces of the coming tasks are about so many tokens.
    pub fn expect(&mut self, tokens: usize) {
        self.stall_ms = STALL_MS * tokens.div_ceil(CROWD) as f64;
    }

    /// How many threads are used.
    pub fn active(&self) -> usize {
        self.shared.active.load(Ordering::Relaxed) as usize
    }

    /// Calls `task` once with every piece, on whatever thread is free.
    pub fn each<D: Divide>(&mut self, divided: D, task: impl Fn(usize, D::Piece) + Sync) {
        let pieces = divided.pieces();
        // SAFETY: `run` gives out every number below `pieces` once.
        self.run(pieces, &|i| task(i, unsafe { divided.piece(i) }));
    }

    fn run(&mut self, pieces: usize, task: &(dyn Fn(usize) + Sync)) {
        let lonely = pieces < 2 || self.active() == 1;
        if lonely || self.alone > 0 {
            self.alone = self.alone.saturating_sub(u32::from(!lonely));
            return (0..pieces).for_each(task);
        }
        let shared = &*self.shared;
        let count = u32::try_from(pieces).expect("fewer than 2^32 pieces");
        let unfinished = Unfinished;
        // SAFETY: no piece is left of any task, so nobody reads `task`; and all who will have read it are done with it when
        // this function returns, so its true lifetime suffices. It does not unwind before that.
        unsafe { *shared.task.get() = Some(std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static Task>(task)) };
        shared.done.0.store(0, Ordering::Relaxed);
        let generation = (shared.ticket.0.load(Ordering::Relaxed) >> 32) + 1;
        shared.ticket.0.store(generation << 32 | u64::from(count), Ordering::SeqCst);
        shared.rouse();
        shared.work();
        let stalled = self.wait(count);
        std::mem::forget(unfinished);
        self.remember(stalled);
    }

    /// Waits until all pieces are done; whether it took suspiciously long.
    fn wait(&self, pieces: u32) -> bool {
        let mut polls = 0_u64;
        let mut since = None;
        let mut stalled = false;
        while self.shared.done.0.load(Ordering::Acquire) != pieces {
            polls = polls.wrapping_add(1);
            std::hint::spin_loop();
            if polls.is_multiple_of(LOOK) {
                let gone = polls / LOOK > GONE;
                assert!(!gone && !self.shared.failed.load(Ordering::Acquire), "a helper thread failed");
                let now = (self.clock)();
                stalled = now - *since.get_or_insert(now) > self.stall_ms;
            }
        }
        stalled
    }

    fn remember(&mut self, stalled: bool) {
        if stalled {
            self.alone = self.patience;
            self.patience = (2 * self.patience).min(ALONE.1);
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm == CALM {
                (self.calm, self.patience) = (0, ALONE.0);
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.call();
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::super::divide::Rows;
    use super::*;

    #[test]
    fn every_piece_is_done_once_by_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let mut team = Team::spawn(threads);
            let mut counts = vec![0_u32; 1000];
            for round in 1..200 {
                let pieces = [1, 2, 7, 1000][round % 4];
                let length = counts.len() / pieces * pieces;
                let before = counts.clone();
                team.each(Rows::new(&mut counts[..length], pieces), |_, piece| piece.iter_mut().for_each(|n| *n += 1));
                assert!(counts[..length].iter().zip(&before).all(|(now, before)| *now == before + 1));
            }
        }
    }

    #[test]
    fn sleeping_helpers_wake() {
        let mut team = Team::spawn(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let mut data = [0; 64];
            team.each(Rows::new(&mut data, 64), |i, piece| piece[0] = i);
            assert!(data.iter().enumerate().all(|(i, &n)| i == n));
        }
    }

    #[test]
    fn unused_helpers_rest_until_they_are_wanted() {
        let mut team = Team::spawn(4);
        let threads = |team: &mut Team| {
            let mut threads = vec![None; 400];
            team.each(Rows::new(&mut threads, 400), |_, piece| {
                piece[0] = Some(std::thread::current().id());
                std::thread::sleep(std::time::Duration::from_micros(50));
            });
            threads.into_iter().flatten().collect::<std::collections::HashSet<_>>().len()
        };
        for limit in [4, 1, 2, 4] {
            team.limit(limit);
            // Only those in use come to count as sleepers: nobody else is woken for a task.
            let many = || team.shared.sleepers.load(Ordering::SeqCst) >= limit as u32;
            let patience = std::time::Instant::now();
            while many() && patience.elapsed().as_secs() < 10 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            assert!(!many(), "{limit}");
            assert!(threads(&mut team) <= limit, "{limit}");
        }
        // A stall may have sent the leader on alone, or kept the helpers from coming in time.
        let patience = std::time::Instant::now();
        while threads(&mut team) == 1 {
            assert!(patience.elapsed().as_secs() < 10, "no helper comes back");
            team.limit(4);
        }
    }

    #[test]
    fn a_stalled_helper_sends_the_leader_on_alone() {
        let mut team = Team::spawn(2);
        team.remember(true);
        assert_eq!(team.alone, ALONE.0);
        let leader = std::thread::current().id();
        let mut threads = vec![None; 50];
        team.each(Rows::new(&mut threads, 50), |_, piece| piece[0] = Some(std::thread::current().id()));
        assert!(threads.iter().all(|thread| *thread == Some(leader)));
        assert_eq!(team.alone, ALONE.0 - 1);
        team.remember(true);
        assert_eq!(team.alone, 2 * ALONE.0);
    }
}
