//! Where the system refuses io_uring, as containers do, the driver of plain calls takes over and
//! says why. A seccomp filter on the test's own thread plays the container; no root needed.
#![allow(clippy::unwrap_used)]

use std::net::UdpSocket;
use std::time::Duration;

use io::{Driver, DriverChoice, DriverConfig, DriverKind};

fn config(choice: DriverChoice) -> DriverConfig {
    DriverConfig {
        binds: vec!["127.0.0.1:0".parse().unwrap()],
        join: false,
        tcp_connections: 0,
        choice,
        send_slots: 16,
        receive_buffers: 16,
        socket_buffer: 1 << 20,
    }
}

/// From here on io_uring_setup fails with EPERM on this thread.
fn forbid_rings() {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        // The number of the system call is the first word of what the filter sees.
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_EQUAL, 0, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: takes integers only.
    let sealed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(sealed, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program and its filter live until the call returns; the kernel copies them.
    let filtered = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program, 0, 0) };
    assert_eq!(filtered, 0);
}

#[test]
fn a_refused_ring_is_replaced_by_plain_calls_and_the_reason_kept() {
    assert_eq!(Driver::open(&config(DriverChoice::Auto)).unwrap().fallback_reason(), None);
    forbid_rings();
    let error = Driver::open(&config(DriverChoice::Uring)).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);

    let mut driver = Driver::open(&config(DriverChoice::Auto)).unwrap();
    assert_eq!(driver.kind(), DriverKind::Mmsg);
    let reason = driver.fallback_reason().unwrap();
    assert!(reason.contains("not permitted"), "{reason}");

    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.send_to(b"works", driver.local_addresses()[0]).unwrap();
    driver.wait(Duration::from_secs(5)).unwrap();
    let report = driver.receive(8, |datagram, _| assert_eq!(datagram.bytes, b"works"));
    assert_eq!(report.datagrams, 1);
}
