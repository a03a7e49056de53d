//! Notes when transport-wide numbered packets arrive, in fixed memory, and decides which of them
//! the next feedback message covers.
//!
//! One per peer; `record` runs per packet. Must never report a number as received twice.

use std::time::Instant;

use super::encode::{Message, Status};
use super::{DELTA_US, HEADER_LEN, REFERENCE_UNITS};
use crate::cursor::Writer;
use crate::rtp;

/// Arrivals remembered. Chosen: 1,024 packets are 100 ms of 120 Mbit/s; feedback leaves more often.
const WINDOW: u64 = 1_024;
const SLOTS: usize = WINDOW as usize;
const WORDS: usize = SLOTS / 64;
/// Most statuses of one message, leading losses aside. Chosen: a message stays below 800 bytes.
const STATUSES_MAX: usize = 255;

/// Arrival record of one peer. About 4.4 KiB, no heap.
#[derive(Clone, Debug)]
pub struct TwccRecorder {
    /// Microseconds since `origin`, low 32 bits, at the number modulo [`WINDOW`].
    arrivals: [u32; SLOTS],
    /// Numbers that arrived.
    seen: Bits,
    /// Numbers that arrived and were not reported.
    fresh: Bits,
    fresh_count: usize,
    /// Instant of the first arrival; later ones are counted from it.
    origin: Option<Instant>,
    /// Latest arrival in microseconds since `origin`.
    latest_us: u64,
    /// Highest extended number seen, and the first one no message covered yet.
    highest: u64,
    next: u64,
    message_count: u8,
}

impl Default for TwccRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl TwccRecorder {
    /// Starts without arrivals.
    pub fn new() -> Self {
        Self {
            arrivals: [0; SLOTS],
            seen: Bits::default(),
            fresh: Bits::default(),
            fresh_count: 0,
            origin: None,
            latest_us: 0,
            highest: 0,
            next: 0,
            message_count: 0,
        }
    }

    /// Notes that the packet with transport-wide `sequence` arrived.
    ///
    /// Duplicates, and packets 1,024 or more behind the highest, are not noted.
    pub fn record(&mut self, sequence: u16, arrival: Instant) {
        let Some(origin) = self.origin else {
            // One cycle up, so that what was overtaken by the first packet has a number too.
            self.highest = 0x1_0000 + u64::from(sequence);
            self.next = self.highest;
            self.origin = Some(arrival);
            self.note(self.highest, 0);
            return;
        };
        let number = rtp::extend(self.highest, sequence);
        if number > self.highest {
            self.advance(number);
        } else if number + WINDOW <= self.highest || self.seen.has(number) {
            return;
        }
        let since = arrival.saturating_duration_since(origin);
        self.note(number, u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
    }

    /// Whether there is something to report.
    pub fn pending(&self) -> bool {
        self.fresh_count != 0
    }

    /// Writes one feedback message about packets no message covered yet, and returns its length;
    /// 0 when nothing is pending or `slot` is shorter than a message about one packet (28 bytes).
    ///
    /// Call it until [`TwccRecorder::pending`] is false: one message holds 255 packets, less in a
    /// short slot, and arrival times at most 8 s apart. `base` is the zero of the reference time;
    /// it must be the same in all calls and not after the first arrival.
    pub fn write_feedback(
        &mut self,
        sender_ssrc: u32,
        media_ssrc: u32,
        slot: &mut [u8],
        base: Instant,
    ) -> usize {
        let (Some(origin), Some(first)) = (self.origin, self.first_fresh()) else { return 0 };
        let origin_us = origin.saturating_duration_since(base).as_micros() as u64;
        // Packets that were overtaken by a message get one of their own, so that none of their
        // neighbours is reported twice; otherwise start where the last message ended.
        let late = first < self.next;
        let begin = if late { first } else { self.next };
        let first_units = self.units(first, origin_us);
        let reference = first_units.div_euclid(REFERENCE_UNITS);
        let mut message = Message::new(slot.len().saturating_sub(HEADER_LEN));
        let mut last_units = reference * REFERENCE_UNITS;
        let mut end = begin;
        while end <= self.highest {
            let fresh = self.fresh.has(end);
            if late && !fresh || end >= first + STATUSES_MAX as u64 {
                break;
            }
            let mut status = Status::Lost;
            let mut units = last_units;
            if fresh {
                units = self.units(end, origin_us);
                let Ok(delta) = i16::try_from(units - last_units) else { break };
                status = Status::Received(delta);
            }
            if !message.push(status) {
                break;
            }
            last_units = units;
            end += 1;
        }
        // A message must cover a received packet, or the call would make no progress.
        if end <= first {
            return 0;
        }
        let mut writer = Writer::new(slot);
        message.write_header(&mut writer, sender_ssrc, media_ssrc, begin as u16);
        writer.u24(reference as u32);
        writer.u8(self.message_count);
        message.write_body(&mut writer);
        self.message_count = self.message_count.wrapping_add(1);
        self.settle(begin, end);
        writer.finish()
    }

    /// Marks `begin..end` as reported.
    fn settle(&mut self, begin: u64, end: u64) {
        for number in begin..end {
            if self.fresh.has(number) {
                self.fresh.clear(number);
                self.fresh_count -= 1;
            }
        }
        self.next = self.next.max(end);
    }

    /// Opens the window up to `number`, forgetting what falls out of it.
    fn advance(&mut self, number: u64) {
        if number - self.highest >= WINDOW {
            self.seen = Bits::default();
            self.fresh = Bits::default();
            self.fresh_count = 0;
        } else {
            for reused in self.highest + 1..=number {
                self.seen.clear(reused);
                if self.fresh.has(reused) {
                    self.fresh.clear(reused);
                    self.fresh_count -= 1;
                }
            }
        }
        self.highest = number;
        self.next = self.next.max(self.window_start());
    }

    fn note(&mut self, number: u64, since_origin_us: u64) {
        self.latest_us = self.latest_us.max(since_origin_us);
        self.arrivals[slot_of(number)] = since_origin_us as u32;
        self.seen.set(number);
        self.fresh.set(number);
        self.fresh_count += 1;
    }

    /// Lowest number the window still holds.
    fn window_start(&self) -> u64 {
        (self.highest + 1).saturating_sub(WINDOW)
    }

    /// Lowest number that arrived and was not reported.
    fn first_fresh(&self) -> Option<u64> {
        if self.fresh_count == 0 {
            return None;
        }
        (self.window_start()..=self.highest).find(|number| self.fresh.has(*number))
    }

    /// Arrival of `number` in delta units since the zero of the reference time.
    fn units(&self, number: u64, origin_us: u64) -> i64 {
        // The record has the low 32 bits, 71 minutes; it is the latest such time until now.
        let behind = (self.latest_us as u32).wrapping_sub(self.arrivals[slot_of(number)]);
        let since_origin_us = self.latest_us.saturating_sub(u64::from(behind));
        ((origin_us + since_origin_us) / DELTA_US) as i64
    }
}

/// One bit per number in the window.
#[derive(Clone, Debug, Default)]
struct Bits([u64; WORDS]);

impl Bits {
    fn has(&self, number: u64) -> bool {
        self.0[slot_of(number) / 64] >> (number % 64) & 1 != 0
    }

    fn set(&mut self, number: u64) {
        self.0[slot_of(number) / 64] |= 1 << (number % 64);
    }

    fn clear(&mut self, number: u64) {
        self.0[slot_of(number) / 64] &= !(1 << (number % 64));
    }
}

fn slot_of(number: u64) -> usize {
    (number % WINDOW) as usize
}
