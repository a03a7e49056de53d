//! The lanes between threads, all bounded, each with its own rule for a full lane (a TCP connection
//! that finds its lane full is refused):
//! commands (control plane to core) block the control plane; events (cores to control plane) are
//! sized never to fill and are counted and reported once when they do; frames (core to core) are
//! refused, and the engine counts the drop.
//!
//! A frame's bytes travel in a byte ring beside the ring of its headers, so a lane costs what its
//! frames weigh: one copy in, and none out unless the bytes wrap around the ring's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::event::Event;
use common::id::CoreId;
use common::limits;
use crossbeam::channel::{Receiver, Sender, TrySendError};
use engine::FrameHeader;
use io::{Migrant, Waker};

/// Longest frame: the longest message of a data channel.
const FRAME_MAX: usize = limits::CHANNEL_MESSAGE_MAX;
const _: () = assert!(FRAME_MAX >= limits::DATAGRAM_MAX);
/// Bytes of one frame lane. Chosen: a full lane of frames of 1,024 bytes; media packets are up to
/// 1,200 bytes, audio about 100, reports have none.
const LANE_BYTES: usize = limits::FRAME_LANE * 1_024;
const _: () = assert!(LANE_BYTES >= FRAME_MAX);

/// Makes the lane of frames from one core to one other.
pub(crate) fn frame_lane() -> (FrameWriter, FrameReader) {
    let (headers, headers_out) = rtrb::RingBuffer::new(limits::FRAME_LANE);
    let (bytes, bytes_out) = rtrb::RingBuffer::new(LANE_BYTES);
    let scratch = vec![0; FRAME_MAX].into_boxed_slice();
    (
        FrameWriter { headers, bytes },
        FrameReader { headers: headers_out, bytes: bytes_out, scratch },
    )
}

/// The sending end of a frame lane.
pub(crate) struct FrameWriter {
    headers: rtrb::Producer<(FrameHeader, u32)>,
    bytes: rtrb::Producer<u8>,
}

impl FrameWriter {
    /// Copies a frame into the lane; false when it has no room (or the frame is over-long).
    pub(crate) fn push(&mut self, header: FrameHeader, bytes: &[u8]) -> bool {
        if bytes.len() > FRAME_MAX || self.headers.is_full() {
            return false;
        }
        // The bytes first: whoever sees the header finds them.
        if self.bytes.push_entire_slice(bytes).is_err() {
            return false;
        }
        self.headers.push((header, bytes.len() as u32)).is_ok()
    }
}

/// The receiving end of a frame lane.
pub(crate) struct FrameReader {
    headers: rtrb::Consumer<(FrameHeader, u32)>,
    bytes: rtrb::Consumer<u8>,
    scratch: Box<[u8]>,
}

impl FrameReader {
    /// Takes the oldest frame and shows it to `each`, which must contain its own panics; false when
    /// the lane is empty.
    pub(crate) fn pop(&mut self, each: impl FnOnce(FrameHeader, &mut [u8])) -> bool {
        let Ok((header, len)) = self.headers.pop() else { return false };
        let len = len as usize;
        let Ok(mut chunk) = self.bytes.read_chunk(len) else { return false };
        let wraps = !chunk.as_slices().1.is_empty();
        if wraps {
            let (head, tail) = chunk.as_slices();
            self.scratch[..head.len()].copy_from_slice(head);
            self.scratch[head.len()..len].copy_from_slice(tail);
            each(header, &mut self.scratch[..len]);
        } else {
            each(header, chunk.as_mut_slices().0);
        }
        chunk.commit_all();
        true
    }

    /// Frames that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.headers.slots()
    }
}

/// One core's sending side towards all others: lanes by core number, and whom to wake.
pub(crate) struct Outbound {
    lanes: Vec<Option<FrameWriter>>,
    /// Each core's lane of TCP connections that move to it.
    moves: Vec<Sender<Migrant>>,
    doorbells: Vec<Waker>,
    /// Bit per core that got a frame since the last [`Outbound::ring`].
    rung: u64,
}

impl Outbound {
    /// All are indexed by core number; a core has no lane of frames to itself.
    pub(crate) fn new(
        lanes: Vec<Option<FrameWriter>>,
        moves: Vec<Sender<Migrant>>,
        doorbells: Vec<Waker>,
    ) -> Self {
        Self { lanes, moves, doorbells, rung: 0 }
    }

    /// Lets a TCP connection move to `core`; gives it back when the lane is full or the core gone.
    pub(crate) fn pass(&mut self, core: CoreId, connection: Migrant) -> Result<(), Migrant> {
        let index = usize::from(core.0);
        let Some(lane) = self.moves.get(index) else { return Err(connection) };
        lane.try_send(connection).map_err(TrySendError::into_inner)?;
        self.rung |= 1 << index;
        Ok(())
    }

    /// Copies a frame into the lane to `core`; false when it is full or there is no such core.
    pub(crate) fn push(&mut self, core: CoreId, header: FrameHeader, bytes: &[u8]) -> bool {
        let index = usize::from(core.0);
        let Some(lane) = self.lanes.get_mut(index).and_then(Option::as_mut) else { return false };
        if !lane.push(header, bytes) {
            // The reader must not sleep on a full lane.
            self.rung |= 1 << index;
            return false;
        }
        self.rung |= 1 << index;
        true
    }

    /// Wakes every core that got frames since the last call, once each.
    pub(crate) fn ring(&mut self) {
        while self.rung != 0 {
            let index = self.rung.trailing_zeros() as usize;
            self.rung &= self.rung - 1;
            if let Some(doorbell) = self.doorbells.get(index) {
                doorbell.wake();
            }
        }
    }
}

/// The lane on which a core reports to the control plane.
#[derive(Clone)]
pub(crate) struct EventLane {
    lane: Sender<Event>,
    lost: Arc<AtomicU64>,
}

impl EventLane {
    /// Makes the lane; the counter of lost events is shared by all its clones.
    pub(crate) fn new() -> (Self, Receiver<Event>, Arc<AtomicU64>) {
        let (lane, receiver) = crossbeam::channel::bounded(limits::EVENT_LANE);
        let lost = Arc::new(AtomicU64::new(0));
        (Self { lane, lost: Arc::clone(&lost) }, receiver, lost)
    }

    /// Whether at least half of the lane is free.
    pub(crate) fn has_room(&self) -> bool {
        self.lane.len() <= limits::EVENT_LANE / 2
    }

    /// Reports an event. Never blocks: a full lane loses it, which means that the control plane
    /// stopped reading, and is logged once.
    pub(crate) fn push(&self, event: Event) {
        if let Err(TrySendError::Full(_)) = self.lane.try_send(event)
            && self.lost.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::error!(
                depth = limits::EVENT_LANE,
                "the event lane is full: the control plane does not read its events"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use common::id::{PeerId, TrackId};

    fn header(index: u32) -> FrameHeader {
        FrameHeader::KeyFrameWanted { track: TrackId::new(index, 0), encoding: 0 }
    }

    fn index(header: FrameHeader) -> u32 {
        let FrameHeader::KeyFrameWanted { track, .. } = header else { panic!("another header") };
        track.index
    }

    #[test]
    fn frames_arrive_whole_and_in_order_across_the_end_of_the_ring() {
        let (mut writer, mut reader) = frame_lane();
        for round in 0..2_000u32 {
            let len = (round as usize * 37 * 97) % (FRAME_MAX + 1);
            let bytes: Vec<u8> = (0..len).map(|at| (at as u32 + round) as u8).collect();
            assert!(writer.push(header(round), &bytes));
            let took = reader.pop(|header, seen| {
                assert_eq!(index(header), round);
                assert_eq!(seen, bytes);
            });
            assert!(took);
        }
        assert!(!reader.pop(|_, _| ()));
    }

    #[test]
    fn a_full_lane_refuses_and_loses_nothing_it_took() {
        let (mut writer, mut reader) = frame_lane();
        let mut took = 0;
        while writer.push(header(took), &[1; 100]) {
            took += 1;
        }
        assert_eq!(took as usize, limits::FRAME_LANE);
        for expected in 0..took {
            assert!(reader.pop(|header, _| assert_eq!(index(header), expected)));
        }
        assert_eq!(reader.waiting(), 0);
    }

    #[test]
    fn a_lane_full_of_bytes_refuses_a_frame_without_keeping_a_part_of_it() {
        let (mut writer, mut reader) = frame_lane();
        let mut took = 0u32;
        while writer.push(header(took), &[took as u8; FRAME_MAX]) {
            took += 1;
        }
        assert!((took as usize) < limits::FRAME_LANE);
        for expected in 0..took {
            assert!(reader.pop(|_, bytes| assert_eq!(bytes, [expected as u8; FRAME_MAX])));
        }
        assert!(writer.push(header(0), &[]));
        assert!(reader.pop(|_, bytes| assert!(bytes.is_empty())));
        assert!(!writer.push(header(0), &[0; FRAME_MAX + 1]));
    }

    #[test]
    fn a_full_event_lane_counts_and_does_not_block() {
        let (lane, receiver, lost) = EventLane::new();
        let event = Event::Claimed { peer: PeerId::new(0, 0), core: CoreId(0) };
        for pushed in 0..limits::EVENT_LANE + 3 {
            assert_eq!(lane.has_room(), pushed <= limits::EVENT_LANE / 2, "{pushed}");
            lane.push(event.clone());
        }
        assert_eq!(receiver.len(), limits::EVENT_LANE);
        assert_eq!(lost.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_core_that_got_frames_is_woken_and_no_other() {
        let mut drivers: Vec<io::Driver> = (0..3)
            .map(|_| {
                let config = io::DriverConfig {
                    binds: vec!["127.0.0.1:0".parse().unwrap()],
                    join: false,
                    tcp_connections: 0,
                    choice: io::DriverChoice::Mmsg,
                    send_slots: 1,
                    receive_buffers: 1,
                    socket_buffer: 1 << 16,
                };
                io::Driver::open(&config).unwrap()
            })
            .collect();
        let lanes: Vec<_> = (0..3).map(|_| frame_lane()).collect();
        let (writers, mut readers): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
        let mut writers: Vec<_> = writers.into_iter().map(Some).collect();
        writers[0] = None;
        let doorbells = drivers.iter().map(io::Driver::waker).collect();
        let mut outbound = Outbound::new(writers, Vec::new(), doorbells);

        assert!(outbound.push(CoreId(2), header(7), b"frame"));
        assert!(!outbound.push(CoreId(0), header(7), b"to itself"));
        assert!(!outbound.push(CoreId(3), header(7), b"to nobody"));
        outbound.ring();
        assert!(readers[2].pop(|header, bytes| {
            assert_eq!((index(header), &*bytes), (7, &b"frame"[..]));
        }));
        let mut sleep = |core: usize, millis| {
            let start = std::time::Instant::now();
            drivers[core].wait(std::time::Duration::from_millis(millis)).unwrap();
            start.elapsed().as_millis() as u64
        };
        assert!(sleep(2, 10_000) < 5_000, "not woken");
        assert!(sleep(1, 30) >= 29, "woken without a frame");
        outbound.ring();
        assert!(sleep(2, 30) >= 29, "woken twice");
    }
}
