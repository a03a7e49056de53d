//! Counts what the engine allocates while it forwards: nothing. The only binary with this allocator;
//! the simulation marks when engine code runs (`tests::probe`).
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::time::Duration;

use common::media::MediaKind;
use tests::link::LinkConfig;
use tests::probe;
use tests::quality::LADDER;
use tests::sim::{Join, Sim, SimConfig};
use tests::source::Shape;

struct Counting;

// SAFETY: every call goes on to the system's allocator unchanged; counting touches only
// thread-local cells without destructors, which never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        probe::note_allocation();
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        probe::note_allocation();
        // SAFETY: the caller's promises are handed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Forwards at least `packets` from one publisher to three viewers after a warm-up; returns
/// (media walks, allocations in them, packets out).
fn forward(cores: usize, packets: u64) -> (u64, u64, u64) {
    let mut sim = Sim::new(SimConfig::new(1, cores));
    let publisher = sim.join(Join::publisher());
    let shape = Shape { interval: Duration::from_millis(2), packets: 10, ..Shape::CAMERA };
    let video = sim.publish(publisher, MediaKind::Video, shape);
    for _ in 0..3 {
        let viewer = sim.join(Join::subscriber());
        sim.subscribe(viewer, video, MediaKind::Video, true);
    }
    assert!(sim.run_until_connected(Duration::from_secs(5)));
    sim.run_for(Duration::from_secs(1));
    measure(&mut sim, packets)
}

/// The same from a simulcast publisher to viewers who send transport-wide feedback, of whom one
/// loses packets and one has a link that changes its capacity.
fn adapt(cores: usize, packets: u64) -> (u64, u64, u64) {
    let mut sim = Sim::new(SimConfig::new(2, cores));
    let publisher = sim.join(Join::publisher());
    let video = sim.publish_simulcast(publisher, &LADDER);
    let viewers = [0; 3].map(|_| sim.join(Join::subscriber().estimated()));
    assert!(sim.run_until_connected(Duration::from_secs(5)));
    for viewer in viewers {
        sim.subscribe(viewer, video, MediaKind::Video, true);
    }
    let clean = LinkConfig::default();
    for viewer in viewers {
        sim.relink(viewer, clean, clean.with_loss(0.05));
    }
    sim.run_for(Duration::from_secs(5));
    sim.relink(viewers[2], clean, clean);
    // Through every state once: what is made on first use is made now.
    for rate in [3_000_000, 500_000, 150_000, 3_000_000, 500_000] {
        sim.relink(viewers[1], clean, clean.with_rate(rate, Duration::from_millis(200)));
        sim.run_for(Duration::from_secs(5));
    }
    sim.relink(viewers[1], clean, clean.with_rate(3_000_000, Duration::from_millis(200)));
    measure(&mut sim, packets)
}

fn measure(sim: &mut Sim, packets: u64) -> (u64, u64, u64) {
    let (walks, allocations) = (sim.media_walks, sim.media_allocations);
    let out = sim.sum(|c| c.media_out);
    let done = |sim: &Sim| sim.sum(|c| c.media_out) >= out + packets;
    assert!(sim.run_until(Duration::from_secs(60), done));
    sim.check();
    let out = sim.sum(|c| c.media_out) - out;
    (sim.media_walks - walks, sim.media_allocations - allocations, out)
}

#[test]
fn the_counter_counts() {
    let before = probe::allocations();
    probe::set_in_engine(true);
    let vector = std::hint::black_box(vec![1u8; 100]);
    probe::set_in_engine(false);
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(vector.len(), 100);
    assert_eq!(probe::allocations() - before, 1);
}

#[test]
fn forwarding_on_one_core_allocates_nothing() {
    let (walks, allocations, out) = forward(1, 100_000);
    assert!(walks > 33_000 && out >= 100_000, "{walks} {out}");
    assert_eq!(allocations, 0, "in {walks} walks");
}

#[test]
fn following_the_viewers_links_allocates_nothing() {
    for cores in [1, 2] {
        let (walks, allocations, out) = adapt(cores, 5_000);
        assert!(walks > 2_000 && out >= 5_000, "{walks} {out}");
        assert_eq!(allocations, 0, "in {walks} walks on {cores} cores");
    }
}

#[test]
fn forwarding_across_cores_allocates_nothing() {
    let (walks, allocations, out) = forward(4, 50_000);
    assert!(walks > 16_000 && out >= 50_000, "{walks} {out}");
    assert_eq!(allocations, 0, "in {walks} walks");
}
