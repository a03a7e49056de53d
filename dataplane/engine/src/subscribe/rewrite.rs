//! One continuous line of sequence numbers, timestamps and picture numbers towards a subscriber,
//! across changes of its source and layers left out. A change starts a new segment right after the
//! highest number sent so far; the segment before it is kept for resends. No outbound index is ever
//! used for two different packets (RFC 3711 section 9.1).

use std::time::{Duration, Instant};

use crate::kit::outbound::PictureShift;
use crate::kit::packet::{Packet, PictureNumbers};
use crate::kit::table::FeedPlace;

use super::segment::{Placed, Segment, Start};

/// The numbers of one outbound stream.
pub(crate) struct Rewrite {
    /// The source that is shown; None before the first packet and after the track changed.
    current: Option<Segment>,
    /// The one before.
    previous: Option<Segment>,
    /// Highest outbound index used.
    newest: u64,
    newest_timestamp: u32,
    newest_at: Option<Instant>,
    /// Picture numbers of the newest packet.
    newest_picture: PictureNumbers,
}

/// What was sent under a sequence number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Its outbound index.
    pub index: u64,
    /// The feed it came from.
    pub feed: FeedPlace,
    /// The encoding it came from.
    pub encoding: u8,
    /// Its source number.
    pub number: u64,
}

/// Least distance between the timestamps of two sources whose clocks are not known: a 30 fps frame.
const STEP_MIN: Duration = Duration::from_millis(33);
/// Clocks that put the new source further than this from the old one are not believed.
const ALIGNED_MAX: Duration = Duration::from_secs(2);

impl Rewrite {
    /// Starts right after `sequence` and at `timestamp`. The first number is kept below 2^15: the
    /// receiver's roll-over counter starts at 0 (RFC 3711 section 3.3.1), early losses must not
    /// hide a wrap.
    pub(crate) fn new(sequence: u16, timestamp: u32) -> Self {
        Self {
            current: None,
            previous: None,
            newest: u64::from(sequence & 0x7fff),
            newest_timestamp: timestamp,
            newest_at: None,
            newest_picture: PictureNumbers::default(),
        }
    }

    /// Whether `packet` belongs to the source that is shown.
    #[inline]
    pub(crate) fn shows(&self, packet: &Packet) -> bool {
        self.current.as_ref().is_some_and(|segment| segment.shows(packet))
    }

    /// The encoding that is shown.
    pub(crate) fn encoding(&self) -> Option<u8> {
        self.current.as_ref().map(|segment| segment.encoding)
    }

    /// The index of the next packet.
    pub(crate) fn next(&self) -> u64 {
        self.newest + 1
    }

    /// Timestamp of the newest packet.
    pub(crate) fn newest_timestamp(&self) -> u32 {
        self.newest_timestamp
    }

    /// Whether `packet`, of the shown source, is newer than all before it.
    #[inline]
    pub(crate) fn is_newest(&self, packet: &Packet) -> bool {
        self.current.as_ref().is_some_and(|segment| segment.is_newest(packet))
    }

    /// Nothing is shown any more: whatever comes next is another source, and nothing of what was sent
    /// is worth a resend.
    pub(crate) fn forget_source(&mut self) {
        (self.current, self.previous) = (None, None);
    }

    /// Starts a new segment with `packet` as its first. `clock_rate` in Hz; `aligned` is the
    /// packet's timestamp in the subscriber's clock, where the clocks of both sources are known.
    pub(crate) fn begin(
        &mut self,
        feed: FeedPlace,
        packet: &Packet,
        (clock_rate, aligned): (u32, Option<u32>),
        now: Instant,
    ) {
        let believed = aligned.filter(|aligned| {
            let distance = aligned.wrapping_sub(self.newest_timestamp) as i32;
            u64::from(distance.unsigned_abs()) <= ticks(ALIGNED_MAX, clock_rate)
        });
        let timestamp = match (self.newest_at, believed) {
            (None, _) => self.newest_timestamp,
            (Some(_), Some(aligned)) => aligned,
            (Some(at), None) => {
                let step = now.saturating_duration_since(at).max(STEP_MIN);
                self.newest_timestamp.wrapping_add(ticks(step, clock_rate) as u32)
            }
        };
        let start = Start {
            index: self.newest + 1,
            timestamp,
            after: self.newest_at.map(|_| self.newest_timestamp),
            shift: self.shift_for(packet),
        };
        self.previous = self.current.take().or(self.previous.take());
        self.current = Some(Segment::new(feed, packet, start));
    }

    /// Where `packet`, of the shown source, goes; None when it lies before the segment or comes too
    /// late.
    #[inline]
    pub(crate) fn forward(&mut self, packet: &Packet, now: Instant) -> Option<Placed> {
        let segment = self.current.as_mut()?;
        let placed = if segment.is_newest(packet) {
            if packet.picture != PictureNumbers::default() {
                self.newest_picture = segment.numbers_of(packet);
            }
            segment.take(packet, self.newest_timestamp)
        } else {
            segment.place(packet)?
        };
        self.use_up(placed, now);
        Some(placed)
    }

    /// `packet`, of the shown source, is not wanted. The numbers close over it; if it comes too late
    /// for that, it returns the place that only padding can fill now.
    pub(crate) fn leave_out(&mut self, packet: &Packet, now: Instant) -> Option<Placed> {
        let segment = self.current.as_mut()?;
        if segment.is_newest(packet) {
            segment.leave_out(packet);
            return None;
        }
        let placed = segment.place(packet)?;
        self.use_up(placed, now);
        Some(placed)
    }

    /// Numbers that come late can be the highest too: of what is missing before packets that were
    /// left out.
    #[inline]
    fn use_up(&mut self, placed: Placed, now: Instant) {
        if placed.index > self.newest {
            self.newest = placed.index;
            self.newest_timestamp = placed.timestamp;
            self.newest_at = Some(now);
        }
    }

    /// An instant of the shown source's clock in the outbound clock.
    pub(crate) fn clock(&self, source: u32) -> Option<u32> {
        self.current.as_ref().map(|segment| segment.clock(source))
    }

    /// The timestamp sent last, in the clock of the shown source.
    pub(crate) fn newest_source_clock(&self) -> Option<u32> {
        Some(self.current.as_ref()?.source_clock(self.newest_timestamp))
    }

    /// What was sent with `sequence`; None when it is not of the last two segments.
    pub(crate) fn sent_as(&self, sequence: u16) -> Option<Sent> {
        let index = proto::rtp::extend(self.newest, sequence);
        let segment = self.segment_of(index)?;
        let number = segment.source_of(index)?;
        Some(Sent { index, feed: segment.feed, encoding: segment.encoding, number })
    }

    /// Where a packet that was sent as `index` went.
    pub(crate) fn placed(&self, packet: &Packet, index: u64) -> Option<Placed> {
        let segment = self.segment_of(index).filter(|segment| segment.shows(packet))?;
        segment.place(packet).filter(|placed| placed.index == index)
    }

    fn segment_of(&self, index: u64) -> Option<&Segment> {
        let mut segments = self.current.iter().chain(&self.previous);
        segments.find(|segment| index >= segment.first_index).filter(|_| index <= self.newest)
    }

    /// Picture numbers go on by one from what was sent last. The first source keeps its own.
    fn shift_for(&self, packet: &Packet) -> PictureShift {
        let (last, first) = (self.newest_picture, packet.picture);
        let go_on = |last: Option<u16>, first: Option<u16>| {
            last.zip(first).map_or(0, |(last, first)| last.wrapping_add(1).wrapping_sub(first))
        };
        let tl0 = go_on(last.tl0.map(u16::from), first.tl0.map(u16::from)) as u8;
        PictureShift {
            picture_id: go_on(last.picture_id, first.picture_id),
            tl0,
            frame_number: go_on(last.frame_number, first.frame_number),
        }
    }
}

fn ticks(duration: Duration, clock_rate: u32) -> u64 {
    (duration.as_micros() * u128::from(clock_rate) / 1_000_000) as u64
}

#[cfg(test)]
mod tests;
