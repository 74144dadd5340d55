//! Buffers that come apart into pieces, so that threads can write to one buffer without locks: the unsafe half of
//! [`Team::each`](super::team::Team::each), which hands out every piece once.

use std::marker::PhantomData;

/// Something that comes apart.
pub trait Divide: Sync {
    /// What one thread gets.
    type Piece;

    /// How many there are.
    fn pieces(&self) -> usize;

    /// Piece `i`.
    ///
    /// # Safety
    /// `i` is below [`Divide::pieces`], and no two pieces of the same index live at the same time.
    unsafe fn piece(&self, i: usize) -> Self::Piece;
}

/// The memory of a slice that is lent out in disjoint parts.
struct Lent<'a, T> {
    data: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

impl<T> Clone for Lent<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Lent<'_, T> {}

// SAFETY: it is a `&mut [T]` whose disjoint parts go to other threads.
unsafe impl<T: Send> Sync for Lent<'_, T> {}

impl<'a, T> Lent<'a, T> {
    fn new(data: &'a mut [T]) -> Self {
        Lent { data: data.as_mut_ptr(), len: data.len(), owner: PhantomData }
    }

    /// # Safety
    /// The part lies within the slice and overlaps no other that is alive.
    unsafe fn part(&self, start: usize, len: usize) -> &'a mut [T] {
        debug_assert!(start + len <= self.len);
        // SAFETY: within the slice, and promised to be the only one.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }
}

/// A slice in pieces of equal length.
pub struct Rows<'a, T> {
    data: Lent<'a, T>,
    len: usize,
    count: usize,
}

impl<'a, T> Rows<'a, T> {
    /// `count` pieces. Panics unless they come out even.
    pub fn new(data: &'a mut [T], count: usize) -> Self {
        assert!(count > 0 && data.len().is_multiple_of(count));
        Rows { len: data.len() / count, data: Lent::new(data), count }
    }
}

impl<'a, T: Send> Divide for Rows<'a, T> {
    type Piece = &'a mut [T];

    fn pieces(&self) -> usize {
        self.count
    }

    unsafe fn piece(&self, i: usize) -> &'a mut [T] {
        // SAFETY: pieces of different indices do not overlap, and `count` of them are the slice.
        unsafe { self.data.part(i * self.len, self.len) }
    }
}

/// A slice of rows `width` wide in pieces of columns: piece `i` has columns `bounds[i]` to `bounds[i + 1]` of all rows.
pub struct Columns<'a> {
    data: Lent<'a, f32>,
    width: usize,
    bounds: &'a [usize],
}

impl<'a> Columns<'a> {
    /// Panics unless `bounds` ascend within `width`, and the rows are whole.
    pub fn new(data: &'a mut [f32], width: usize, bounds: &'a [usize]) -> Self {
        assert!(!bounds.is_empty() && bounds.is_sorted() && bounds.last() <= Some(&width));
        assert!(data.len().is_multiple_of(width));
        Columns { data: Lent::new(data), width, bounds }
    }
}

impl<'a> Divide for Columns<'a> {
    type Piece = Strip<'a>;

    fn pieces(&self) -> usize {
        self.bounds.len() - 1
    }

    unsafe fn piece(&self, i: usize) -> Strip<'a> {
        let (start, end) = (self.bounds[i], self.bounds[i + 1]);
        Strip { data: self.data, width: self.width, start, len: end - start }
    }
}

/// Some columns of all rows.
pub struct Strip<'a> {
    data: Lent<'a, f32>,
    width: usize,
    start: usize,
    len: usize,
}

impl<'a> Strip<'a> {
    /// All columns of rows `width` wide. Panics unless these are whole.
    pub fn whole(data: &'a mut [f32], width: usize) -> Strip<'a> {
        assert!(width > 0 && data.len().is_multiple_of(width));
        Strip { data: Lent::new(data), width, start: 0, len: width }
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.len
    }

    /// Its columns of row `t`.
    #[inline(always)]
    pub fn row(&mut self, t: usize) -> &mut [f32] {
        assert!(t < self.data.len / self.width);
        let at = t * self.width + self.start;
        // SAFETY: within the slice; strips of different indices do not overlap, and this one is borrowed mutably.
        unsafe { self.data.part(at, self.len) }
    }
}

macro_rules! divide_together {
    ($($name:ident $at:tt),*) => {
        impl<$($name: Divide),*> Divide for ($($name,)*) {
            type Piece = ($($name::Piece,)*);

            fn pieces(&self) -> usize {
                self.0.pieces()
            }

            unsafe fn piece(&self, i: usize) -> Self::Piece {
                $(assert!(i < self.$at.pieces());)*
                // SAFETY: the caller's promise holds for each.
                unsafe { ($(self.$at.piece(i),)*) }
            }
        }
    };
}
divide_together!(A 0, B 1);
divide_together!(A 0, B 1, C 2);
