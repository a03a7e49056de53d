//! Marks, per thread, when engine code runs, so that a counting allocator (test binary `alloc`)
//! can tell the engine's allocations from the simulation's. Set by the simulation around each call
//! of a shard; cleared while the shard is inside the host.

use std::cell::Cell;

thread_local! {
    static IN_ENGINE: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Says whether engine code runs from now on; returns what was said before.
pub fn set_in_engine(inside: bool) -> bool {
    IN_ENGINE.with(|cell| cell.replace(inside))
}

/// For the allocator: counts one allocation if engine code runs on this thread.
pub fn note_allocation() {
    // `try_with`: allocations happen during thread teardown too.
    let _ = IN_ENGINE.try_with(|inside| {
        if inside.get() {
            let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        }
    });
}

/// Allocations by engine code on this thread so far (0 without the counting allocator).
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}
