//! One source of an outbound stream: how its sequence numbers, timestamps and picture numbers map
//! onto the subscriber's. Numbers that are left out on purpose are closed over; numbers that are
//! missing keep their place, so that what arrives late goes exactly there. The map never changes for
//! a number once a newer one was handled: a resend finds what was sent.

use crate::kit::outbound::PictureShift;
use crate::kit::packet::{Packet, PictureNumbers};
use crate::kit::table::FeedPlace;

use super::window::Window;

/// Frames at the start of a segment that may need a timestamp of their own.
const CATCH_UP_MAX: usize = 8;

/// Where a segment starts, in the subscriber's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Outbound index of its first packet.
    pub index: u64,
    /// Outbound timestamp of its first packet, by the clocks of both sources.
    pub timestamp: u32,
    /// Outbound timestamp that was used last, if any was: a frame's must be higher.
    pub after: Option<u32>,
    /// Change of the picture numbers.
    pub shift: PictureShift,
}

/// The source that an outbound stream shows, or showed before.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    /// The feed of the source.
    pub feed: FeedPlace,
    /// Its encoding.
    pub encoding: u8,
    /// Its epoch.
    pub epoch: u32,
    /// Outbound index of the first packet.
    pub first_index: u64,
    /// First source number.
    first: u64,
    /// Outbound minus source number for new packets, wrapping.
    offset: u64,
    /// Source numbers left out.
    left_out: Window,
    /// First numbers of frames left out whose picture ids are closed over.
    frames: Window,
    /// Picture id of the newest frame left out.
    newest_left_out: Option<u16>,
    /// Outbound minus source timestamp, wrapping.
    timestamp_offset: u32,
    shift: PictureShift,
    /// Source and outbound timestamps of frames that came with a timestamp not above the last one
    /// of the source before: each gets the next free tick, and the clocks stay aligned.
    early: [(u32, u32); CATCH_UP_MAX],
    early_len: u8,
    catching_up: bool,
}

/// Where one packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placed {
    /// Outbound index.
    pub index: u64,
    /// Outbound timestamp.
    pub timestamp: u32,
    /// Change of the picture numbers.
    pub shift: PictureShift,
}

impl Segment {
    /// Begins with `packet` as the first one.
    pub(super) fn new(feed: FeedPlace, packet: &Packet, start: Start) -> Self {
        let before = packet.sequence.wrapping_sub(1);
        Self {
            feed,
            encoding: packet.encoding,
            epoch: packet.epoch,
            first_index: start.index,
            first: packet.sequence,
            offset: start.index.wrapping_sub(packet.sequence),
            left_out: Window::new(before),
            frames: Window::new(before),
            newest_left_out: None,
            timestamp_offset: start.timestamp.wrapping_sub(packet.timestamp),
            shift: start.shift,
            early: [(0, 0); CATCH_UP_MAX],
            early_len: 0,
            catching_up: start.after.is_some(),
        }
    }

    /// Whether `packet` is of this source.
    #[inline]
    pub(super) fn shows(&self, packet: &Packet) -> bool {
        self.epoch == packet.epoch && self.encoding == packet.encoding
    }

    /// Whether `packet` is newer than all handled so far.
    #[inline]
    pub(super) fn is_newest(&self, packet: &Packet) -> bool {
        packet.sequence.wrapping_sub(self.first) as i64 >= 0
            && packet.sequence.wrapping_sub(self.left_out.newest()) as i64 > 0
    }

    /// Takes the next packet in, which is forwarded, and says where it goes. `last` is the highest
    /// timestamp sent.
    #[inline]
    pub(super) fn take(&mut self, packet: &Packet, last: u32) -> Placed {
        self.advance(packet.sequence);
        if self.catching_up {
            self.catch_up(packet.timestamp, last);
        }
        Placed {
            index: packet.sequence.wrapping_add(self.offset),
            timestamp: self.timestamp(packet.timestamp),
            shift: self.shift,
        }
    }

    /// Leaves the next packet out and closes the gap.
    pub(super) fn leave_out(&mut self, packet: &Packet) {
        self.advance(packet.sequence);
        self.left_out.mark();
        self.offset = self.offset.wrapping_sub(1);
        let picture = packet.picture.picture_id;
        let numbered = packet.codec == common::media::Codec::Vp8 && picture.is_some();
        if numbered && picture != self.newest_left_out {
            self.newest_left_out = picture;
            self.frames.mark();
            self.shift.picture_id = self.shift.picture_id.wrapping_sub(1);
        }
    }

    /// Where a packet goes that was handled or is missing; None when it lies before the segment,
    /// was left out, or is too old to know.
    #[inline]
    pub(super) fn place(&self, packet: &Packet) -> Option<Placed> {
        let (number, newest) = (packet.sequence, self.left_out.newest());
        if number < self.first || number > newest || self.left_out.contains(number) {
            return None;
        }
        let left_out = self.left_out.after(number)?;
        let mut shift = self.shift;
        shift.picture_id = shift.picture_id.wrapping_add(self.frames.after(number)? as u16);
        Some(Placed {
            index: number.wrapping_add(self.offset).wrapping_add(left_out),
            timestamp: self.timestamp(packet.timestamp),
            shift,
        })
    }

    /// The source number sent as `index`; None when none was, or too long ago.
    pub(super) fn source_of(&self, index: u64) -> Option<u64> {
        let top = index.wrapping_sub(self.offset);
        let mut number = top.min(self.left_out.newest());
        // Each round goes down by as many numbers as were left out above; it never passes the one
        // that is looked for.
        for _ in 0..Window::LEN {
            let below = top.checked_sub(self.left_out.after(number)?)?;
            if below == number {
                break;
            }
            number = below;
        }
        while self.left_out.contains(number) {
            number = number.checked_sub(1)?;
            self.left_out.after(number)?;
        }
        let found = number.wrapping_add(self.offset).wrapping_add(self.left_out.after(number)?);
        (found == index && number >= self.first).then_some(number)
    }

    /// A source timestamp in the subscriber's clock.
    #[inline]
    pub(super) fn timestamp(&self, source: u32) -> u32 {
        if self.early_len == 0 {
            return self.clock(source);
        }
        let mut early = self.early.iter().take(usize::from(self.early_len));
        early.find(|(from, _)| *from == source).map_or_else(|| self.clock(source), |(_, to)| *to)
    }

    /// An instant of the source's clock in the subscriber's clock, for reports.
    pub(super) fn clock(&self, source: u32) -> u32 {
        source.wrapping_add(self.timestamp_offset)
    }

    /// An instant of the subscriber's clock in the source's clock.
    pub(super) fn source_clock(&self, outbound: u32) -> u32 {
        outbound.wrapping_sub(self.timestamp_offset)
    }

    /// The picture numbers that a packet leaves with.
    #[inline]
    pub(super) fn numbers_of(&self, packet: &Packet) -> PictureNumbers {
        let PictureNumbers { picture_id, tl0, frame_number } = packet.picture;
        PictureNumbers {
            picture_id: picture_id.map(|id| id.wrapping_add(self.shift.picture_id)),
            tl0: tl0.map(|tl0| tl0.wrapping_add(self.shift.tl0)),
            frame_number: frame_number.map(|n| n.wrapping_add(self.shift.frame_number)),
        }
    }

    #[inline]
    fn advance(&mut self, number: u64) {
        self.left_out.advance(number);
        self.frames.advance(number);
    }

    /// Gives the frame of `timestamp` the tick after `last` when its own is not above it.
    fn catch_up(&mut self, timestamp: u32, last: u32) {
        let taken = self.early.iter().take(usize::from(self.early_len));
        if taken.clone().any(|(from, _)| *from == timestamp) {
            return;
        }
        let late = self.clock(timestamp).wrapping_sub(last) as i32 <= 0;
        let Some(place) = self.early.get_mut(usize::from(self.early_len)).filter(|_| late) else {
            self.catching_up = false;
            return;
        };
        *place = (timestamp, last.wrapping_add(1));
        self.early_len += 1;
    }
}
