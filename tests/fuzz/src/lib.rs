//! What every target shares: memory is counted, so that an input which makes a parser take much more than it is worth counts as a
//! crash.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hearth_engine::Result;
use hearth_engine::formats::set::{File, Want};
use hearth_engine::generate::Session;
use hearth_engine::loader::{Device, Loader};

/// The system's allocator, counting.
pub struct Counting {
    now: AtomicUsize,
    peak: AtomicUsize,
}

// SAFETY: it hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = self.now.fetch_add(layout.size(), Relaxed) + layout.size();
        self.peak.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.now.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static MEMORY: Counting = Counting { now: AtomicUsize::new(0), peak: AtomicUsize::new(0) };

/// Runs `task` on an input of `len` bytes; panics if it takes more than twice that and 64 MB besides.
pub fn bounded<T>(len: usize, task: impl FnOnce() -> T) -> T {
    let before = MEMORY.now.load(Relaxed);
    MEMORY.peak.store(before, Relaxed);
    let made = task();
    let taken = MEMORY.peak.load(Relaxed) - before;
    assert!(taken <= 2 * len + (64 << 20), "{taken} bytes for an input of {len}");
    made
}

/// A file and its name.
pub type Named<'a> = (&'a str, &'a [u8]);

/// Loads these files as a model, in pieces of `piece` bytes.
pub fn load(files: &[Named], piece: usize) -> Result<Session> {
    let known = |&(name, bytes): &Named| File { name: name.into(), size_bytes: bytes.len() as u64 };
    let mut loader = Loader::of(files.iter().map(known).collect(), Device::cpu(), 64)?;
    while let Some(Want { file, offset, bytes }) = loader.wants()? {
        let wanted = &files[file].1[offset as usize..(offset + bytes) as usize];
        wanted.chunks(piece.max(1)).try_for_each(|piece| loader.push(piece))?;
    }
    loader.finish()
}
