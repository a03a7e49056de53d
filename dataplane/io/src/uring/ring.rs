//! The ring of one core: submissions, completions, and what is armed. Owned by the send queue, so
//! that a queue without free slots can send and collect by itself; datagrams that complete
//! meanwhile wait in `arrivals` for the receiver.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::{Arrival, Buffers, GROUP};
use super::token::Token;
use crate::address::RAW_LEN;
use crate::control::CONTROL_LEN;
use crate::group::Run;
use crate::message::Batch;
use crate::slots::{Slots, family};
use crate::socket::Bound;
use crate::waker::Waker;

/// Failures of receives in a row, without a datagram between them, after which the socket counts as
/// broken. Chosen: ICMP errors come one by one; a dead socket fails each time.
const FAILURES_MAX: u32 = 1_000;
/// Enters without progress after which the ring counts as broken.
const STALLS_MAX: u32 = 1_000;
/// How long closing waits for the kernel to end its operations, in steps of the second.
const CLOSE_STEPS: u32 = 100;
const CLOSE_STEP: Duration = Duration::from_millis(20);

/// One core's ring.
pub(crate) struct Ring {
    ring: IoUring,
    /// Closed after the ring: declared behind it.
    sockets: Vec<Bound>,
    /// Index of each family's socket.
    socket_of: [usize; 2],
    /// Headers of messages that were pushed and not yet read by the kernel.
    batch: Batch,
    /// Filled buffers in order of completion; never more than there are buffers.
    arrivals: VecDeque<Arrival>,
    /// Whether each socket's receive is under way.
    receiving: Vec<bool>,
    /// Whether the read of the waker's event is under way.
    listening: bool,
    /// The descriptor that is watched, and whether a poll of it is under way.
    watched: Option<RawFd>,
    watching: bool,
    /// It was readable, and nobody asked yet.
    readable: bool,
    /// Messages under way.
    sending: usize,
    /// A wake-up came and no `wait` has returned for it yet.
    woken: bool,
    waker: Waker,
    /// Where the waker's counter is read to; boxed: its place must not move.
    counter: Box<u64>,
    /// What the receives are told: room for a name and for control messages.
    template: Box<libc::msghdr>,
    /// Failures of receives since the last datagram, and the last one's errno.
    failures: u32,
    refusal: Option<i32>,
}

impl Ring {
    pub(crate) fn new(
        ring: IoUring,
        sockets: Vec<Bound>,
        buffers: &Buffers,
        waker: Waker,
        messages: usize,
    ) -> Box<Self> {
        let mut socket_of = [0; 2];
        for (index, socket) in sockets.iter().enumerate() {
            socket_of[family(socket.local)] = index;
        }
        // SAFETY: integers and pointers, for which zero is a value.
        let mut template: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        template.msg_namelen = RAW_LEN as libc::socklen_t;
        template.msg_controllen = CONTROL_LEN as _;
        Box::new(Self {
            ring,
            socket_of,
            batch: Batch::new(messages, messages),
            arrivals: VecDeque::with_capacity(buffers.count()),
            receiving: vec![false; sockets.len()],
            sockets,
            listening: false,
            watched: None,
            watching: false,
            readable: false,
            sending: 0,
            woken: false,
            waker,
            counter: Box::new(0),
            template,
            failures: 0,
            refusal: None,
        })
    }

    /// Submits whatever is not under way: receives that ended, the waker's read.
    pub(crate) fn arm(&mut self, slots: &mut Slots) -> io::Result<()> {
        for index in 0..self.sockets.len() {
            if self.receiving[index] {
                continue;
            }
            let socket = Fd(self.sockets[index].descriptor());
            let receive = opcode::RecvMsgMulti::new(socket, &raw const *self.template, GROUP);
            self.push(receive.build().user_data(Token::Receive(index as u32).encode()), slots)?;
            self.receiving[index] = true;
        }
        if !self.listening {
            let event = Fd(self.waker.descriptor());
            let place = (&raw mut *self.counter).cast();
            let read = opcode::Read::new(event, place, size_of::<u64>() as u32);
            self.push(read.build().user_data(Token::Wake.encode()), slots)?;
            self.listening = true;
        }
        if let Some(descriptor) = self.watched.filter(|_| !self.watching) {
            let poll = opcode::PollAdd::new(Fd(descriptor), libc::POLLIN as u32);
            self.push(poll.build().user_data(Token::Watch.encode()), slots)?;
            self.watching = true;
        }
        Ok(())
    }

    /// Pushes a message for `run`; it leaves with the next flush.
    pub(crate) fn send(&mut self, run: Run, slots: &mut Slots) -> io::Result<()> {
        let to = slots.destination(run.head);
        let index = match self.batch.push(run, to, &slots.source()) {
            Some(index) => index,
            None => {
                self.flush(slots)?;
                let index = self.batch.push(run, to, &slots.source());
                index.ok_or_else(|| io::Error::other("a run that no batch can hold"))?
            }
        };
        let socket = Fd(self.sockets[self.socket_of[family(to)]].descriptor());
        let header = self.batch.header(index);
        let entry = if run.count == 1 {
            let bytes = slots.source().slab.pointer(run.head as usize);
            opcode::Send::new(socket, bytes, u32::from(slots.length(run.head)))
                .dest_addr(header.msg_name.cast_const().cast())
                .dest_addr_len(header.msg_namelen)
                .build()
        } else {
            opcode::SendMsg::new(socket, header).build()
        };
        self.push(entry.user_data(Token::Send(run.head).encode()), slots)?;
        self.sending += 1;
        Ok(())
    }

    /// Hands everything pushed to the kernel, which has read it when this returns.
    pub(crate) fn flush(&mut self, slots: &mut Slots) -> io::Result<()> {
        for _ in 0..STALLS_MAX {
            if self.ring.submission().is_empty() {
                self.batch.clear();
                return Ok(());
            }
            tolerate(self.ring.submit())?;
            // A full completion queue is the only thing that stops the kernel from taking more.
            self.collect(slots);
        }
        Err(io::Error::other("the ring takes no submissions"))
    }

    /// Flushes, and takes what has completed, without sleeping.
    pub(crate) fn poll(&mut self, slots: &mut Slots) -> io::Result<()> {
        self.flush(slots)?;
        self.reap_more(slots);
        Ok(())
    }

    /// Sleeps until something completes or `timeout` passed.
    pub(crate) fn sleep(&mut self, slots: &mut Slots, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::from(timeout);
        let arguments = SubmitArgs::new().timespec(&timeout);
        tolerate(self.ring.submitter().submit_with_args(1, &arguments))?;
        self.collect(slots);
        Ok(())
    }

    /// Takes what has completed, letting the kernel complete more first if it says there is.
    /// Returns whether datagrams wait now.
    pub(crate) fn reap_more(&mut self, slots: &mut Slots) -> bool {
        self.collect(slots);
        if self.arrivals.is_empty() && self.ring.submission().taskrun() {
            // An error here comes again, and is returned, at the next flush.
            let _ = self.ring.submit();
            self.collect(slots);
        }
        !self.arrivals.is_empty()
    }

    /// The oldest datagram not yet looked at.
    pub(crate) fn next_arrival(&mut self) -> Option<Arrival> {
        self.arrivals.pop_front()
    }

    /// Whether datagrams wait.
    pub(crate) fn has_arrivals(&self) -> bool {
        !self.arrivals.is_empty()
    }

    /// Whether a wake-up came since the last call.
    pub(crate) fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    /// Wakes also when `descriptor` is readable; it is polled from the next `arm` on.
    pub(crate) fn watch(&mut self, descriptor: RawFd) {
        self.watched = Some(descriptor);
    }

    /// Whether the watched descriptor is readable, as far as is known.
    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    /// The same, once.
    pub(crate) fn take_watched(&mut self) -> bool {
        std::mem::take(&mut self.readable)
    }

    /// The errno of the last receive that failed, once.
    pub(crate) fn take_refusal(&mut self) -> Option<i32> {
        self.refusal.take()
    }

    /// An error when receives do nothing but fail.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.refusal {
            Some(errno) if self.failures > FAILURES_MAX => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        }
    }

    /// Ends all operations and unregisters the buffers, so that closing the sockets takes them out
    /// of their reuse-port group at once. False when the kernel did not end all of them.
    pub(crate) fn close(&mut self, slots: &mut Slots) -> bool {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any());
        if self.push(cancel.build().user_data(Token::Cancel.encode()), slots).is_err() {
            return false;
        }
        for _ in 0..CLOSE_STEPS {
            if self.flush(slots).is_err() {
                return false;
            }
            let under_way = self.listening
                || self.watching
                || self.sending != 0
                || self.receiving.contains(&true);
            if !under_way {
                return self.ring.submitter().unregister_buf_ring(GROUP).is_ok();
            }
            if self.sleep(slots, CLOSE_STEP).is_err() {
                return false;
            }
        }
        false
    }

    /// Takes the sockets out of a closed ring.
    pub(crate) fn take_sockets(&mut self) -> Vec<Bound> {
        std::mem::take(&mut self.sockets)
    }

    fn push(&mut self, entry: squeue::Entry, slots: &mut Slots) -> io::Result<()> {
        if self.ring.submission().is_full() {
            self.enter_all(slots)?;
        }
        // SAFETY: what the entry points to stays as it is until the kernel has read it (headers: the
        // batch is cleared only in `flush`, when the queue is empty) or completed it (slots: not
        // free before their completion; counter and template: boxed, and `close` ends their use).
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.map_err(|_| io::Error::other("the submission queue is full"))
    }

    /// As `flush`, but leaves the batch: its newest message is not yet in the queue.
    fn enter_all(&mut self, slots: &mut Slots) -> io::Result<()> {
        for _ in 0..STALLS_MAX {
            tolerate(self.ring.submit())?;
            if self.ring.submission().is_empty() {
                return Ok(());
            }
            self.collect(slots);
        }
        Err(io::Error::other("the ring takes no submissions"))
    }

    /// Takes all completions there are. Never enters the kernel.
    fn collect(&mut self, slots: &mut Slots) {
        // Split: handling a completion needs the fields beside the ring.
        let Self { ring, arrivals, receiving, listening, watching, readable, sending, .. } = self;
        let (mut woken, mut failures, mut refusal) = (false, self.failures, None);
        for completion in ring.completion() {
            let result = completion.result();
            match Token::decode(completion.user_data()) {
                Some(Token::Receive(socket)) => {
                    if !cqueue::more(completion.flags()) {
                        receiving[socket as usize] = false;
                    }
                    if let Some(buffer) = cqueue::buffer_select(completion.flags()) {
                        arrivals.push_back(Arrival::new(buffer, result.max(0) as u32));
                        failures = 0;
                    } else if result < 0 && result != -libc::ENOBUFS && result != -libc::ECANCELED {
                        failures += 1;
                        refusal = Some(-result);
                    }
                }
                Some(Token::Send(head)) => {
                    *sending -= 1;
                    slots.finish(head, (result < 0).then_some(-result));
                }
                Some(Token::Wake) => {
                    *listening = false;
                    woken = true;
                }
                Some(Token::Watch) => {
                    *watching = false;
                    *readable = true;
                }
                Some(Token::Cancel) | None => {}
            }
        }
        self.failures = failures;
        self.refusal = refusal.or(self.refusal);
        if woken {
            // Before anybody looks at lanes: who writes to one from here on rings again.
            self.waker.note();
            self.woken = true;
        }
    }
}

/// What enter may return without anything being wrong: time is up, a signal came, or the completion
/// queue must be emptied first.
fn tolerate(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(error),
        },
    }
}
