//! No driver allocates per packet: a counting allocator sees receiving, answering, grouping,
//! sending and waiting. Alone in its binary, because the allocator counts for the whole process.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::time::Duration;

use io::{Datagram, Driver, DriverChoice, DriverConfig};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn sixty_thousand_packets_cost_no_allocation() {
    for choice in [DriverChoice::Uring, DriverChoice::Mmsg] {
        let mut driver = Driver::open(&DriverConfig {
            binds: vec!["127.0.0.1:0".parse().unwrap()],
            join: false,
            tcp_connections: 0,
            choice,
            send_slots: 64,
            receive_buffers: 64,
            socket_buffer: 4 << 20,
        })
        .unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.connect(driver.local_addresses()[0]).unwrap();
        let mut buffer = [0; 2_000];
        let mut answered = 0u64;
        let before = ALLOCATIONS.get();
        for _ in 0..500 {
            for _ in 0..20 {
                peer.send(&[5; 1_000]).unwrap();
            }
            let mut left = 20;
            while left != 0 {
                driver.wait(Duration::from_millis(100)).unwrap();
                let report = driver.receive(256, |Datagram { from, bytes, stamp }, sends| {
                    assert!(stamp.is_some());
                    // Five out for one in: the queue flushes on its own in between.
                    for _ in 0..5 {
                        let slot = sends.reserve().expect("no slot");
                        slot[..bytes.len()].copy_from_slice(bytes);
                        sends.commit(from, bytes.len());
                    }
                });
                left -= report.datagrams;
                driver.submit().unwrap();
            }
            for _ in 0..100 {
                assert_eq!(peer.recv(&mut buffer).unwrap(), 1_000);
                answered += 1;
            }
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{choice:?}");
        assert_eq!(answered, 50_000);
    }
}
