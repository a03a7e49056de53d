//! What stands in front of the SCTP library: refuses packets that would make it hold or do more
//! than one association may cost.
//!
//! Called by `mod.rs` with every packet before the library sees it, and with every packet that
//! leaves, for the acknowledgements say what the library holds. A refused packet is as good as lost
//! on the path, so a sender that means well sends it again; what no such sender does ends the
//! association. Never trusts a length. RFC 9260 section 3, RFC 6525, RFC 3758.

use common::limits::{
    SCTP_AHEAD_MAX, SCTP_GAPS_MAX, SCTP_HELD_CHUNKS_MAX, SCTP_RECEIVE_BUFFER, SCTP_STREAMS_MAX,
};

use crate::cursor::{u8_at, u16_at, u32_at};

/// Chunk types (RFC 9260 section 3.2, RFC 6525 section 3.1).
const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const ERROR: u8 = 9;
const RECONFIG: u8 = 130;
/// Parameter type of an Outgoing SSN Reset Request (RFC 6525 section 4.1).
const OUTGOING_RESET: u16 = 13;
/// Parameter type of a Re-configuration Response, and the result that is none yet (section 4.4).
const RESPONSE: u16 = 16;
const IN_PROGRESS: u32 = 6;
/// Length of the common header (RFC 9260 section 3.1).
const COMMON_HEADER: usize = 12;
/// Chunks of one packet that are no DATA. Chosen: senders bundle two or three; each may be answered
/// with a packet.
const CONTROL_CHUNKS_MAX: usize = 8;

/// What is known of an association's receiving side.
#[derive(Default, Debug)]
pub(super) struct Guard {
    /// Newest TSN up to which everything arrived, as the library acknowledged it last.
    cumulative: u32,
    /// Gaps it told with that.
    gaps: usize,
    /// DATA chunks it holds, at most.
    held: usize,
    /// Streams the remote side asked to reset, with the last TSN before that, until it is done.
    resetting: Vec<(u16, u32)>,
    /// The remote side answered a request of ours.
    answered: bool,
}

/// A packet that may pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admitted {
    /// An INIT with this initiate tag (RFC 9260 section 3.3.2).
    Init(u32),
    /// The answer to one.
    InitAck,
    /// Anything else.
    Other,
}

/// A packet that may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// It counts as lost.
    Drop,
    /// The association must end.
    End,
}

/// What one packet asks for.
struct Demand {
    admitted: Admitted,
    chunks: usize,
    data: usize,
    sacks: usize,
    errors: usize,
    /// The TSN that continues without a gap.
    next: u32,
    /// The TSN before the first one, in an INIT or INIT ACK.
    start: Option<u32>,
    resets: Vec<(u16, u32)>,
    answered: bool,
}

impl Guard {
    /// Decides on a packet that arrived. `up`: whether the association is established, or the remote side
    /// answered our INIT; `open`: whether the library knows a stream.
    ///
    /// # Errors
    /// What is to become of a packet that may not pass.
    pub(super) fn admit(
        &mut self,
        packet: &[u8],
        up: bool,
        mut open: impl FnMut(u16) -> bool,
    ) -> Result<Admitted, Refusal> {
        let body = packet.get(COMMON_HEADER..).ok_or(Refusal::Drop)?;
        let mut demand = Demand {
            admitted: Admitted::Other,
            chunks: 0,
            data: 0,
            sacks: 0,
            errors: 0,
            next: self.cumulative.wrapping_add(1),
            start: None,
            resets: Vec::new(),
            answered: false,
        };
        for chunk in Chunks(body) {
            let (kind, value) = chunk.ok_or(Refusal::Drop)?;
            demand.chunks += 1;
            match kind {
                DATA => self.look_at_data(value, &mut demand)?,
                INIT if up => return Err(Refusal::Drop),
                INIT | INIT_ACK => look_at_init(kind, value, &mut demand)?,
                SACK => look_at_sack(value, &mut demand)?,
                RECONFIG => self.look_at_reset(value, &mut demand)?,
                ERROR => demand.errors += 1,
                _ => {}
            }
        }
        let alone = demand.chunks == 1;
        let init_bundled = demand.admitted != Admitted::Other && !alone;
        // The library ends an association that is told of an error; RFC 9260 section 3.3.10 does
        // not ask for that.
        let nothing_else = demand.errors == demand.chunks;
        if init_bundled || nothing_else || demand.chunks - demand.data > CONTROL_CHUNKS_MAX {
            return Err(Refusal::Drop);
        }
        if self.held + demand.data > SCTP_HELD_CHUNKS_MAX {
            return Err(Refusal::End);
        }
        if let Some(start) = demand.start.filter(|_| !up) {
            *self = Self { cumulative: start, ..Self::default() };
        }
        self.held += demand.data;
        self.answered |= demand.answered;
        let cumulative = self.cumulative;
        let lasting = |(stream, last): &(u16, u32)| open(*stream) || is_after(*last, cumulative);
        self.resetting.extend(demand.resets.into_iter().filter(lasting));
        Ok(demand.admitted)
    }

    /// Learns from a packet that leaves.
    pub(super) fn on_sent(&mut self, packet: &[u8], mut open: impl FnMut(u16) -> bool) {
        let Some(Some((SACK, value))) = Chunks(packet.get(COMMON_HEADER..).unwrap_or(&[])).next()
        else {
            return;
        };
        let figures = (u32_at(value, 0), u32_at(value, 4), u16_at(value, 8));
        let (Some(cumulative), Some(window), Some(gaps)) = figures else { return };
        (self.cumulative, self.gaps) = (cumulative, usize::from(gaps));
        if window as usize >= SCTP_RECEIVE_BUFFER {
            self.held = 0;
        }
        self.resetting.retain(|(stream, last)| open(*stream) || is_after(*last, cumulative));
    }

    /// Whether the library holds half of what it may.
    pub(super) fn is_half_full(&self) -> bool {
        self.held > SCTP_HELD_CHUNKS_MAX / 2
    }

    /// Whether a request of ours was answered since this was asked last.
    pub(super) fn take_answered(&mut self) -> bool {
        std::mem::take(&mut self.answered)
    }

    /// A message of so many chunks was taken from the library.
    pub(super) fn on_read(&mut self, chunks: usize) {
        self.held = self.held.saturating_sub(chunks);
    }

    /// The reset of a stream was carried out.
    pub(super) fn on_reset(&mut self, stream: u16) {
        self.resetting.retain(|(listed, _)| *listed != stream);
    }

    /// RFC 9260 section 3.3.1.
    fn look_at_data(&self, value: &[u8], demand: &mut Demand) -> Result<(), Refusal> {
        let (Some(tsn), Some(stream)) = (u32_at(value, 0), u16_at(value, 4)) else {
            return Err(Refusal::Drop);
        };
        if value.len() <= 12 {
            return Err(Refusal::Drop);
        }
        if stream >= SCTP_STREAMS_MAX {
            return Err(Refusal::End);
        }
        // Counted even when it repeats another: it must not be free.
        demand.data += 1;
        if !is_after(tsn, self.cumulative) {
            return Ok(());
        }
        let follows = tsn == demand.next;
        if follows {
            demand.next = tsn.wrapping_add(1);
        }
        let far = tsn.wrapping_sub(self.cumulative) > SCTP_AHEAD_MAX;
        let torn = !follows && self.gaps >= SCTP_GAPS_MAX;
        // The library would keep it, and look at all it keeps with every further one.
        let behind_reset =
            self.resetting.iter().any(|(listed, last)| *listed == stream && is_after(tsn, *last));
        if far || torn || behind_reset { Err(Refusal::Drop) } else { Ok(()) }
    }

    /// RFC 6525 section 4.1. One reset of a stream at a time; a reset of all streams at once is
    /// nothing that data channels use.
    fn look_at_reset(&self, value: &[u8], demand: &mut Demand) -> Result<(), Refusal> {
        for parameter in Parameters(value) {
            let (kind, value) = parameter.ok_or(Refusal::Drop)?;
            if kind != OUTGOING_RESET {
                demand.answered |= kind == RESPONSE && u32_at(value, 4) != Some(IN_PROGRESS);
                continue;
            }
            let last = u32_at(value, 8).ok_or(Refusal::Drop)?;
            let streams = value.get(12..).filter(|listed| listed.len() >= 2);
            for pair in streams.ok_or(Refusal::Drop)?.chunks_exact(2) {
                let stream = u16_at(pair, 0).ok_or(Refusal::Drop)?;
                if stream >= SCTP_STREAMS_MAX {
                    return Err(Refusal::End);
                }
                let mut known = self.resetting.iter().chain(&demand.resets);
                if known.any(|(listed, _)| *listed == stream) {
                    return Err(Refusal::Drop);
                }
                demand.resets.push((stream, last));
            }
        }
        Ok(())
    }
}

/// RFC 9260 sections 3.3.2 and 3.3.3.
fn look_at_init(kind: u8, value: &[u8], demand: &mut Demand) -> Result<(), Refusal> {
    let (Some(tag), Some(tsn)) = (u32_at(value, 0), u32_at(value, 12)) else {
        return Err(Refusal::Drop);
    };
    demand.admitted = if kind == INIT { Admitted::Init(tag) } else { Admitted::InitAck };
    demand.start = Some(tsn.wrapping_sub(1));
    Ok(())
}

/// RFC 9260 section 3.3.4: one in a packet, its gaps in order and apart, so that reading it costs
/// no more than what is in flight.
fn look_at_sack(value: &[u8], demand: &mut Demand) -> Result<(), Refusal> {
    demand.sacks += 1;
    let count = usize::from(u16_at(value, 8).ok_or(Refusal::Drop)?);
    let blocks = value.get(12..12 + 4 * count).ok_or(Refusal::Drop)?;
    let mut before = 0;
    for block in blocks.chunks_exact(4) {
        let (Some(start), Some(end)) = (u16_at(block, 0), u16_at(block, 2)) else {
            return Err(Refusal::Drop);
        };
        if start <= before || end < start {
            return Err(Refusal::Drop);
        }
        before = end;
    }
    if demand.sacks > 1 { Err(Refusal::Drop) } else { Ok(()) }
}

/// Serial number arithmetic (RFC 1982).
fn is_after(tsn: u32, other: u32) -> bool {
    let distance = tsn.wrapping_sub(other);
    distance != 0 && distance < 1 << 31
}

/// The chunks of a packet: type and value, or None where one is cut off; then it ends.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let (Some(kind), Some(len)) = (u8_at(rest, 0), u16_at(rest, 2)) else { return Some(None) };
        let len = usize::from(len);
        let Some(value) = rest.get(4..len) else { return Some(None) };
        self.0 = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Some((kind, value)))
    }
}

/// The parameters of a chunk, in the same way (RFC 9260 section 3.2.1).
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = Option<(u16, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let (Some(kind), Some(len)) = (u16_at(rest, 0), u16_at(rest, 2)) else { return Some(None) };
        let len = usize::from(len);
        let Some(value) = rest.get(4..len) else { return Some(None) };
        self.0 = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Some((kind, value)))
    }
}
