//! The io_uring driver: one ring per core; multishot receives that pick from a provided-buffer
//! ring, sends batched into one enter, a read of the waker's event. `ring` holds the ring and its
//! submissions, `buffers` the receive memory, `setup` the flags, `token` what completions mean.

mod buffers;
mod ring;
mod setup;
mod token;

use std::io;
use std::time::Duration;

use buffers::{Buffers, Content};
pub(crate) use ring::Ring;

use crate::slots::{Backend, SendQueue, family};
use crate::socket::Bound;
use crate::waker::Waker;
use crate::{Datagram, DriverConfig, ReceiveReport};

/// Most submissions handed over in one enter.
const SUBMISSIONS_MAX: usize = 4_096;

/// The receiving half.
pub(crate) struct Receiver {
    buffers: Buffers,
}

/// Opens a ring on `sockets`; gives them back when the system refuses any part of it.
pub(crate) fn open(
    sockets: Vec<Bound>,
    config: &DriverConfig,
) -> Result<(SendQueue, Receiver, Waker), (Vec<Bound>, io::Error)> {
    let mut segments = [None; 2];
    for socket in &sockets {
        segments[family(socket.local)] = Some(socket.segments);
    }
    let prepared = prepare(config);
    let (ring, buffers, waker) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Err((sockets, error)),
    };
    let ring = Ring::new(ring, sockets, &buffers, waker.clone(), submissions(config));
    let mut sends = match SendQueue::new(config.send_slots, segments, Backend::Uring(ring)) {
        Ok(sends) => sends,
        Err(error) => return Err((Vec::new(), error)),
    };
    let mut receiver = Receiver { buffers };
    match probe(&mut sends) {
        Ok(()) => Ok((sends, receiver, waker)),
        Err(error) => {
            receiver.close(&mut sends);
            let sockets = sends.ring().map(|(ring, _)| ring.take_sockets()).unwrap_or_default();
            Err((sockets, error))
        }
    }
}

fn submissions(config: &DriverConfig) -> usize {
    // Four more: two receives, the waker's read and the poll of TCP.
    (config.send_slots + 4).next_power_of_two().min(SUBMISSIONS_MAX)
}

fn prepare(config: &DriverConfig) -> io::Result<(io_uring::IoUring, Buffers, Waker)> {
    let submissions = submissions(config);
    let mut buffers = Buffers::new(config.receive_buffers)?;
    // Room for a completion of everything that can be under way.
    let completions = (submissions + buffers.count() + 16).next_power_of_two();
    let ring = setup::build(submissions as u32, completions as u32)?;
    buffers.register(&ring)?;
    Ok((ring, buffers, Waker::new(true)?))
}

/// Arms the receives, and sees whether the kernel knows them: one that does not ends them at once.
fn probe(sends: &mut SendQueue) -> io::Result<()> {
    let Some((ring, slots)) = sends.ring() else { return Ok(()) };
    ring.arm(slots)?;
    ring.poll(slots)?;
    match ring.take_refusal() {
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Ok(()),
    }
}

impl Receiver {
    /// See [`crate::Driver::wait`].
    pub(crate) fn wait(&mut self, sends: &mut SendQueue, timeout: Duration) -> io::Result<()> {
        sends.submit()?;
        let Some((ring, slots)) = sends.ring() else { return Ok(()) };
        ring.arm(slots)?;
        ring.poll(slots)?;
        let idle = !ring.take_woken() && !ring.has_arrivals() && !ring.is_readable();
        if idle && !timeout.is_zero() {
            ring.sleep(slots, timeout)?;
            ring.take_woken();
        }
        ring.check()
    }

    /// See [`crate::Driver::receive`].
    pub(crate) fn receive(
        &mut self,
        sends: &mut SendQueue,
        budget: usize,
        mut each: impl FnMut(Datagram<'_>, &mut SendQueue),
    ) -> ReceiveReport {
        let mut report = ReceiveReport::default();
        let mut left = budget;
        while left != 0 {
            let Some((ring, slots)) = sends.ring() else { break };
            let Some(arrival) = ring.next_arrival() else {
                // One run of the kernel's deferred work ends after some 33 datagrams although more
                // are queued: ask again until nothing comes.
                if ring.reap_more(slots) {
                    continue;
                }
                break;
            };
            left -= 1;
            match self.buffers.content(&arrival) {
                Content::Datagram(datagram) => {
                    report.datagrams += 1;
                    each(datagram, sends);
                }
                Content::Oversize => report.oversize += 1,
                Content::Nothing => {}
            }
            self.buffers.give_back(arrival);
        }
        report
    }

    /// Ends all operations; must come before the sockets and the memory go.
    pub(crate) fn close(&mut self, sends: &mut SendQueue) {
        if !sends.close() {
            self.buffers.abandon();
        }
    }
}
