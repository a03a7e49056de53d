//! How often a driver enters the kernel for what it forwards, and in how many messages: a frame of
//! nine packets to twenty destinations, one turn after the other. Counted by a tracer, so the figure is exact,
//! and nothing in the driver has to be trusted to count itself. A busy machine may hand a frame over in
//! parts, which is another work: such a run is made again.
//! The driver runs in a process of its own: this test's program, started again with [`TURNS`].
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::address::TransportAddress;
use io::{Driver, DriverChoice, DriverConfig};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, gettid};

/// Driver and turns of the traced process.
const TURNS: &str = "FANFALL_TURNS";
const PACKETS: usize = 9;
const DESTINATIONS: usize = 20;
/// How often a run is made again whose frames came in parts.
const ATTEMPTS: usize = 8;
/// Exit code of such a run.
const IN_PARTS: i32 = 75;
/// What the kernel gets to hand a frame over.
const ARRIVE: Duration = Duration::from_millis(1);

#[test]
fn a_turn_enters_the_kernel_as_seldom_as_ever() {
    if let Ok(turns) = std::env::var(TURNS) {
        return forward(&turns);
    }
    // Measured on Linux 6.18: 2.27 (submit, sleep, and now and then letting completions run) and 4.00
    // (ppoll, recvmmsg until nothing is left, sendmmsg). Twice of either is far beyond.
    for (driver, most) in [("uring", 2.8), ("mmsg", 4.8)] {
        let (few, many) = (100, 300);
        // What starting and ending costs is the same for both.
        let entries = entries(driver, many) - entries(driver, few);
        // The publisher's own sends are made on the same thread, and a sleep behind them.
        let each = entries as f64 / (many - few) as f64 - (PACKETS + 1) as f64;
        println!("{driver}: {each:.3} system calls for {} packets", PACKETS * DESTINATIONS);
        assert!(each <= most, "{driver}: {each:.2} system calls a turn, more than {most}");
    }
}

/// System calls of so many turns of whole frames, and of what is around them.
fn entries(driver: &str, turns: u64) -> u64 {
    (0..ATTEMPTS).find_map(|_| attempt(driver, turns)).expect("no run whose frames were whole")
}

/// The same of one run; None where a destination got more than one message a turn.
fn attempt(driver: &str, turns: u64) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_turn_enters_the_kernel_as_seldom_as_ever", "--nocapture"])
        .env(TURNS, format!("{driver} {turns}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let thread = lines.find_map(|line| line.unwrap().rsplit_once("thread ")?.1.parse().ok());
    let thread = Pid::from_raw(thread.expect("no thread to trace"));
    ptrace::seize(thread, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL).unwrap();
    ptrace::interrupt(thread).unwrap();
    let wait = || waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    wait();
    ptrace::syscall(thread, None).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut stops = 0;
    loop {
        match wait() {
            WaitStatus::PtraceSyscall(_) => stops += 1,
            WaitStatus::Stopped(_, Signal::SIGTRAP) | WaitStatus::PtraceEvent(..) => {}
            WaitStatus::Exited(..) => break,
            other => panic!("the traced thread: {other:?}"),
        }
        ptrace::syscall(thread, None).unwrap();
    }
    let code = child.wait().unwrap().code();
    if code == Some(IN_PARTS) {
        return None;
    }
    assert_eq!(code, Some(0), "the turns failed");
    // Each system call stops at its begin and at its end.
    Some(stops / 2)
}

/// The traced process: says which thread, waits for the tracer, forwards.
fn forward(arguments: &str) {
    let (driver, turns) = arguments.split_once(' ').unwrap();
    let choice = if driver == "uring" { DriverChoice::Uring } else { DriverChoice::Mmsg };
    let mut driver = Driver::open(&DriverConfig {
        binds: vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()],
        join: false,
        tcp_connections: 0,
        choice,
        send_slots: 1_024,
        receive_buffers: 256,
        socket_buffer: 4 << 20,
    })
    .unwrap();
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let publisher = socket();
    publisher.connect(driver.local_addresses()[0]).unwrap();
    // They never read: what their buffers cannot take is thrown away there, which costs no call.
    let subscribers: Vec<UdpSocket> = (0..DESTINATIONS).map(|_| socket()).collect();
    let addresses: Vec<TransportAddress> =
        subscribers.iter().map(|one| one.local_addr().unwrap().into()).collect();
    println!("\nthread {}", gettid());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let turns: u64 = turns.parse().unwrap();
    for _ in 0..turns {
        for _ in 0..PACKETS {
            publisher.send(&[5; 1_000]).unwrap();
        }
        std::thread::sleep(ARRIVE);
        let mut left = PACKETS as u64;
        while left != 0 {
            driver.wait(Duration::from_millis(100)).unwrap();
            let report = driver.receive(256, |datagram, sends| {
                for to in &addresses {
                    let slot = sends.reserve().expect("no slot");
                    slot[..datagram.bytes.len()].copy_from_slice(datagram.bytes);
                    sends.commit(*to, datagram.bytes.len());
                }
            });
            left -= report.datagrams;
            driver.submit().unwrap();
        }
    }
    // One message for what goes to one destination.
    if driver.messages() != turns * DESTINATIONS as u64 {
        std::process::exit(IN_PARTS);
    }
}
