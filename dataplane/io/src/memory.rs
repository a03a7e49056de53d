//! Slabs of equal buffers whose bytes the kernel may use while we hold the slab: page-aligned,
//! touched at start, never moved. Used by the send slots and by both receivers.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;

/// Alignment of a slab: buffer rings must start on a page.
const PAGE: usize = 4_096;

/// `count` buffers of `stride` bytes each.
///
/// Each buffer is at any time either ours or the kernel's; the slab does not know which, its users
/// keep that with their own types. Buffers do not overlap, so a slice of one says nothing about
/// another.
pub(crate) struct Slab {
    base: NonNull<u8>,
    layout: Layout,
    stride: usize,
    count: usize,
    abandoned: bool,
}

impl Slab {
    /// Takes the memory and touches every page of it.
    pub(crate) fn new(count: usize, stride: usize) -> io::Result<Self> {
        let size = count.checked_mul(stride).filter(|size| *size != 0);
        let layout = size.and_then(|size| Layout::from_size_align(size, PAGE).ok());
        let Some(layout) = layout else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such slab"));
        };
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        let slab = Self { base, layout, stride, count, abandoned: false };
        for offset in (0..layout.size()).step_by(PAGE) {
            let byte = slab.at(offset);
            // SAFETY: `offset` is below the allocation's size, and nobody else has the memory yet.
            // Volatile, or the page would stay untouched: it is zero already.
            unsafe { byte.write_volatile(0) };
        }
        Ok(slab)
    }

    /// Number of buffers.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Where buffer `index` starts; panics when there is none, which is a broken program.
    pub(crate) fn pointer(&self, index: usize) -> *mut u8 {
        assert!(index < self.count, "no buffer {index}");
        self.at(index * self.stride)
    }

    /// The bytes of buffer `index`.
    ///
    /// # Safety
    /// The kernel must not be using this buffer for as long as the slice lives.
    pub(crate) unsafe fn bytes(&mut self, index: usize) -> &mut [u8] {
        let start = self.pointer(index);
        // SAFETY: `pointer` checked that the buffer lies inside the allocation, which is
        // initialised; `&mut self` rules out another slice, the caller rules out the kernel.
        unsafe { std::slice::from_raw_parts_mut(start, self.stride) }
    }

    /// Leaves the memory to the kernel for good: it is not given back when the slab is dropped.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }

    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.layout.size());
        self.base.as_ptr().wrapping_add(offset)
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        if self.abandoned {
            return;
        }
        // SAFETY: allocated in `new` with this layout. Owners abandon a slab the kernel may still
        // use (see `uring::Ring::close`).
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

// SAFETY: the slab owns its memory as a box would; the pointer is not shared.
unsafe impl Send for Slab {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn buffers_do_not_overlap_and_keep_their_bytes() {
        let mut slab = Slab::new(100, 300).unwrap();
        assert_eq!(slab.pointer(0) as usize % PAGE, 0);
        for index in 0..slab.count() {
            // SAFETY: no kernel is involved in this test.
            unsafe { slab.bytes(index) }.fill(index as u8);
        }
        for index in 0..slab.count() {
            // SAFETY: no kernel is involved in this test.
            let bytes = unsafe { slab.bytes(index) };
            assert_eq!(bytes.len(), 300);
            assert!(bytes.iter().all(|byte| *byte == index as u8));
        }
    }

    #[test]
    fn an_empty_or_impossible_slab_is_refused() {
        assert!(Slab::new(0, 10).is_err());
        assert!(Slab::new(usize::MAX, 2).is_err());
    }

    #[test]
    #[should_panic(expected = "no buffer 3")]
    fn a_buffer_beyond_the_end_is_refused() {
        Slab::new(3, 8).unwrap().pointer(3);
    }
}
