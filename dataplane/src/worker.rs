//! ONE CORE'S LOOP. A turn: apply commands, take in TCP connections that move here, receive a batch and walk each datagram, take frames of
//! other cores, do what is due, send, ring other cores, publish counters, sleep until something
//! happens. Started by `start`; runs until the data plane stops.
//!
//! The clock is read once per batch; each datagram is walked with the instant it arrived at by the
//! kernel's stamp, so the engine sees the path's times and not this loop's. Nothing here allocates,
//! locks or logs per packet. A panic in the engine ends the peer that was being served, never the
//! core.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::command::Command;
use common::counters::Drop as DropReason;
use common::id::CoreId;
use crossbeam::channel::Receiver;
use engine::{FrameHeader, Shard};
use io::{Datagram, Driver, Migrant, SendQueue};

use crate::clock::{self, Reading};
use crate::mailbox::{EventLane, FrameReader, Outbound};
use crate::outside::Outside;
use crate::stats::{Board, Published, Schedule};
use crate::steer::ClaimTable;

/// Most commands per turn. Chosen: a burst of commands delays media by less than a millisecond.
const COMMANDS_PER_TURN: usize = 256;
/// Most datagrams per turn. Chosen: at 2 us each, a full batch keeps timers waiting 0.5 ms.
const DATAGRAMS_PER_TURN: usize = 256;
/// Most frames of one other core per turn.
const FRAMES_PER_TURN: usize = 256;
/// TCP connections taken in per turn.
const MOVES_PER_TURN: usize = 16;
/// How often TCP connections are looked through (the unit of their times; see [`Driver::sweep`]).
const SWEEP: Duration = Duration::from_secs(1);
/// Longest sleep. Chosen: only bounds what a broken deadline could do.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Turns a stopping core goes on sending what its last commands produced.
const LAST_TURNS: usize = 50;
/// Sleep between those turns.
const LAST_TURN: Duration = Duration::from_millis(2);

/// The engine of a core with everything it reaches except the driver, so that both can be borrowed
/// at once.
pub(crate) struct Core {
    pub(crate) id: CoreId,
    pub(crate) shard: Shard,
    pub(crate) outbound: Outbound,
    pub(crate) events: EventLane,
    pub(crate) claims: Arc<ClaimTable>,
}

/// Everything one core's thread owns.
pub(crate) struct Worker {
    pub(crate) driver: Driver,
    pub(crate) core: Core,
    pub(crate) commands: Receiver<Command>,
    pub(crate) inbound: Vec<FrameReader>,
    /// TCP connections that move here.
    pub(crate) moves: Receiver<Migrant>,
    /// When TCP connections are looked through next.
    pub(crate) sweep_at: Instant,
    pub(crate) board: Arc<Board>,
    pub(crate) schedule: Schedule,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Worker {
    /// Runs turns until the data plane stops. Returns the error that made the driver unusable.
    pub(crate) fn run(mut self) -> std::io::Result<()> {
        while !self.stop.load(Ordering::Acquire) {
            let busy = self.turn()?;
            self.park(busy)?;
        }
        self.finish()
    }

    /// One turn. Returns whether a bound was hit, so that work is left over.
    fn turn(&mut self) -> std::io::Result<bool> {
        let mut clock = Reading::take();
        let mut busy = self.apply_commands(clock.now);
        busy |= self.take_connections();
        busy |= self.receive(&mut clock);
        let now = clock.now;
        self.tend_connections(now);
        busy |= self.take_frames(now);
        self.core.guard(self.driver.sends(), now, None, |shard, outside| {
            shard.forward(outside);
        });
        if self.core.shard.next_deadline() <= now {
            self.core.guard(self.driver.sends(), now, None, |shard, outside| {
                shard.on_deadline(now, outside);
            });
            self.schedule.touch();
        }
        self.driver.submit()?;
        self.core.outbound.ring();
        self.publish(now);
        Ok(busy)
    }

    fn apply_commands(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            let Ok(command) = self.commands.try_recv() else { return false };
            self.core.guard(self.driver.sends(), now, None, |shard, outside| {
                shard.on_command(command, now, outside);
            });
            self.schedule.touch();
        }
        true
    }

    fn receive(&mut self, clock: &mut Reading) -> bool {
        let core = &mut self.core;
        let report = self.driver.receive(DATAGRAMS_PER_TURN, |datagram, sends| {
            let arrival = clock.arrival(datagram.stamp);
            core.walk(datagram, sends, arrival, clock.now);
        });
        if report.datagrams == 0 && report.oversize == 0 {
            return false;
        }
        let counters = self.core.shard.counters_mut();
        counters.datagrams_in += report.oversize;
        counters.drops[DropReason::Oversize as usize] += report.oversize;
        self.schedule.touch();
        report.datagrams + report.oversize >= DATAGRAMS_PER_TURN as u64
    }

    /// Takes in TCP connections that move here.
    fn take_connections(&mut self) -> bool {
        for _ in 0..MOVES_PER_TURN {
            let Ok(connection) = self.moves.try_recv() else { return false };
            self.driver.adopt(connection);
        }
        true
    }

    /// Lets TCP connections go where their peers live, and ends old ones.
    fn tend_connections(&mut self, now: Instant) {
        while let Some((core, connection)) = self.driver.pop_leaving() {
            if let Err(connection) = self.core.outbound.pass(core, connection) {
                self.driver.refuse(connection);
            }
        }
        if self.sweep_at <= now && self.driver.wants_sweep() {
            self.driver.sweep();
            self.sweep_at = now + SWEEP;
        }
        let counted = self.driver.tcp_counters();
        let counters = self.core.shard.counters_mut();
        if counters.tcp != *counted {
            counters.tcp = *counted;
            self.schedule.touch();
        }
    }

    fn take_frames(&mut self, now: Instant) -> bool {
        let mut left = false;
        for lane in &mut self.inbound {
            let core = &mut self.core;
            let sends = self.driver.sends();
            let mut took = 0;
            while took < FRAMES_PER_TURN
                && lane.pop(|header, bytes| core.take(header, bytes, sends, now))
            {
                took += 1;
            }
            if took != 0 {
                self.schedule.touch();
            }
            left |= took == FRAMES_PER_TURN;
        }
        left
    }

    fn publish(&mut self, now: Instant) {
        let failures = self.driver.take_send_failures();
        if failures != 0 {
            let counters = self.core.shard.counters_mut();
            counters.drops[DropReason::SendFailed as usize] += failures;
            self.schedule.touch();
        }
        if !self.schedule.is_due(now) {
            return;
        }
        self.core.shard.counters_mut().sends = self.driver.messages();
        let value = Published {
            counters: *self.core.shard.counters(),
            frames_waiting: self.inbound.iter().map(FrameReader::waiting).sum(),
        };
        if self.board.publish(value) {
            self.schedule.done(now);
        }
    }

    /// Sleeps until a datagram, a wake-up or the next deadline.
    fn park(&mut self, busy: bool) -> std::io::Result<()> {
        let timeout = if busy {
            Duration::ZERO
        } else {
            let deadline = self.core.shard.next_deadline();
            let deadline = self.schedule.deadline().map_or(deadline, |due| due.min(deadline));
            let sweep = self.driver.wants_sweep().then_some(self.sweep_at);
            let deadline = sweep.map_or(deadline, |due| due.min(deadline));
            deadline.saturating_duration_since(clock::now()).min(SLEEP_MAX)
        };
        self.driver.wait(timeout)
    }

    /// Applies the commands that were sent before the stop, and sends what they produced.
    fn finish(mut self) -> std::io::Result<()> {
        while self.apply_commands(clock::now()) {}
        for _ in 0..LAST_TURNS {
            self.driver.submit()?;
            if self.driver.sends().is_idle() {
                break;
            }
            self.driver.wait(LAST_TURN)?;
            // Completions are taken on the way of receiving; datagrams are of no use any more.
            self.driver.receive(DATAGRAMS_PER_TURN, |_, _| ());
        }
        self.core.outbound.ring();
        let value = Published { counters: *self.core.shard.counters(), frames_waiting: 0 };
        self.board.publish(value);
        Ok(())
    }
}

impl Core {
    /// Walks one datagram, which arrived at `arrival`, through the engine.
    fn walk(
        &mut self,
        datagram: Datagram<'_>,
        sends: &mut SendQueue,
        arrival: Instant,
        now: Instant,
    ) {
        let Datagram { from, bytes, .. } = datagram;
        self.guard(sends, now, Some(DropReason::Aborted), |shard, outside| {
            shard.on_datagram(from, bytes, arrival, outside);
        });
    }

    /// Takes one frame of another core.
    fn take(&mut self, header: FrameHeader, bytes: &mut [u8], sends: &mut SendQueue, now: Instant) {
        // Only a handed-over datagram was counted as inbound, so only it can be an inbound drop.
        let drop = matches!(header, FrameHeader::Datagram { .. }).then_some(DropReason::Aborted);
        self.guard(sends, now, drop, |shard, outside| {
            shard.on_frame(header, bytes, now, outside);
        });
    }

    /// Calls the engine. A panic in it is counted as `drop`, and ends the peer being served.
    fn guard(
        &mut self,
        sends: &mut SendQueue,
        now: Instant,
        drop: Option<DropReason>,
        call: impl FnOnce(&mut Shard, &mut Outside<'_>),
    ) {
        let Self { id, shard, outbound, events, claims } = self;
        let mut outside = Outside { core: *id, now, sends, outbound, events, claims };
        // The shard is consistent again after `contain`, which is what makes the assertion true.
        let result = catch_unwind(AssertUnwindSafe(|| call(shard, &mut outside)));
        if result.is_err() {
            abort_peer(*id, shard, &mut outside, now, drop);
        }
    }
}

/// Ends the peer whose input made the engine panic.
#[cold]
fn abort_peer(
    core: CoreId,
    shard: &mut Shard,
    outside: &mut Outside<'_>,
    now: Instant,
    drop: Option<DropReason>,
) {
    tracing::error!(core = core.0, "a panic was contained: the peer that was served is ended");
    if let Some(reason) = drop {
        shard.counters_mut().drop(reason);
    }
    if catch_unwind(AssertUnwindSafe(|| shard.contain(now, outside))).is_err() {
        tracing::error!(core = core.0, "ending a peer after a panic panicked itself");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use common::address::TransportAddress;
    use engine::ShardConfig;
    use io::{DriverChoice, DriverConfig};
    use proto::dtls::Certificate;
    use proto::ice::NodeSecret;

    #[test]
    fn a_panic_in_the_engine_is_counted_and_the_core_goes_on() {
        let now = clock::now();
        let mut driver = Driver::open(&DriverConfig {
            binds: vec!["127.0.0.1:0".parse().unwrap()],
            join: false,
            tcp_connections: 0,
            choice: DriverChoice::Mmsg,
            send_slots: 4,
            receive_buffers: 4,
            socket_buffer: 1 << 16,
        })
        .unwrap();
        let shard = Shard::new(
            ShardConfig {
                core: CoreId(0),
                secret: NodeSecret::from_bytes([1; 32]),
                certificate: Arc::new(Certificate::generate().unwrap()),
                seed: 1,
            },
            now,
        );
        let (events, _receiver, _) = EventLane::new();
        let outbound = Outbound::new(vec![None], Vec::new(), vec![driver.waker()]);
        let claims = Arc::new(ClaimTable::new(1));
        let mut core = Core { id: CoreId(0), shard, outbound, events, claims };
        let aborted = |core: &Core| core.shard.counters().dropped(DropReason::Aborted);

        core.guard(driver.sends(), now, Some(DropReason::Aborted), |_, _| panic!("wanted"));
        assert_eq!(aborted(&core), 1);
        // Not an inbound datagram: contained, but no drop of one.
        core.guard(driver.sends(), now, None, |_, _| panic!("wanted"));
        assert_eq!(aborted(&core), 1);

        let from = TransportAddress::Udp(([127, 0, 0, 1], 9).into());
        let datagram = Datagram { from, stamp: None, bytes: &mut [0xff; 20] };
        core.walk(datagram, driver.sends(), now, now);
        assert_eq!(core.shard.counters().datagrams_in, 1);
    }
}
