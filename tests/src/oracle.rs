//! Judges of a simulated run: what may be sent to whom, what may be encrypted twice, what a
//! subscriber must have seen. Fed by the simulation with every datagram that leaves the engine; knows
//! nothing of the engine's inside and never changes a run.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::counters::{Counters, Drop};

use crate::payload;
use crate::peer::Received;

/// RFC 7675 section 5.1: 30 s without a check end consent (or without a report of a path that passed
/// one); one second for the engine's clock.
const CONSENT: Duration = Duration::from_secs(31);

/// What a datagram is by its first bytes (RFC 7983, RFC 5761).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// STUN.
    Stun,
    /// DTLS.
    Dtls,
    /// SRTP.
    Rtp,
    /// SRTCP.
    Rtcp,
    /// None of them.
    Other,
}

/// Classifies a datagram without the product's own classifier.
pub fn kind_of(bytes: &[u8]) -> Kind {
    match (bytes.first(), bytes.get(1)) {
        (Some(0..=3), _) => Kind::Stun,
        (Some(20..=63), _) => Kind::Dtls,
        (Some(128..=191), Some(192..=223)) => Kind::Rtcp,
        (Some(128..=191), Some(_)) => Kind::Rtp,
        _ => Kind::Other,
    }
}

/// Watches everything the engine sends.
#[derive(Default)]
pub struct Oracle {
    /// What was found wrong.
    pub violations: Vec<String>,
    /// Datagrams sent, by kind.
    pub sent: HashMap<Kind, u64>,
    checked: HashMap<SocketAddr, Instant>,
    owners: HashMap<SocketAddr, usize>,
    newest: HashMap<(usize, u32), u64>,
    sealed: HashMap<(usize, u32, bool, u64), u64>,
    trace: u64,
}

impl Oracle {
    /// A genuine peer's datagram reached the server.
    pub fn on_delivered(&mut self, from: SocketAddr, owner: usize, bytes: &[u8], now: Instant) {
        self.owners.insert(from, owner);
        match kind_of(bytes) {
            Kind::Stun => {
                self.checked.insert(from, now);
            }
            Kind::Rtcp => {
                self.checked.entry(from).and_modify(|checked| *checked = now);
            }
            Kind::Dtls | Kind::Rtp | Kind::Other => {}
        }
    }

    /// The engine sends `bytes` to `to`, `since` the run's start.
    pub fn on_sent(&mut self, to: SocketAddr, bytes: &[u8], now: Instant, since: Duration) {
        let kind = kind_of(bytes);
        *self.sent.entry(kind).or_default() += 1;
        self.mix(since.as_nanos() as u64);
        self.mix(u64::from(to.port()) << 8 | kind as u64);
        let Some(checked) = self.checked.get(&to) else {
            self.violations.push(format!("{kind:?} sent to {to}, which sent no check"));
            return;
        };
        let media = matches!(kind, Kind::Rtp | Kind::Rtcp);
        if media && now.duration_since(*checked) > CONSENT {
            self.violations.push(format!("{kind:?} sent to {to} after consent ended"));
        }
        if kind == Kind::Other {
            self.violations.push(format!("something unclassifiable sent to {to}"));
        }
        self.check_nonce(kind, to, bytes);
    }

    /// Mixes a decision into the run's hash.
    pub fn mix(&mut self, value: u64) {
        self.trace = (self.trace ^ value).wrapping_mul(0x100_0000_01b3).rotate_left(29);
    }

    /// Hash of all decisions so far.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// RFC 3711 section 9.1, RFC 7714 section 10.1: under one key an index must never be used for
    /// two different packets. The cipher is deterministic, and the header is part of what it
    /// authenticates: the same index with other bytes anywhere in the datagram is one.
    fn check_nonce(&mut self, kind: Kind, to: SocketAddr, bytes: &[u8]) {
        let Some(&owner) = self.owners.get(&to) else { return };
        let word = |at: usize| {
            bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        };
        let (ssrc, rtcp, index) = match kind {
            Kind::Rtp => (word(8), false, self.extend((owner, word(8)), word(0) as u16)),
            // RFC 7714 section 9.2: the ESRTCP word ends the packet.
            Kind::Rtcp => (word(4), true, u64::from(word(bytes.len() - 4))),
            _ => return,
        };
        if kind == Kind::Rtp {
            self.mix(u64::from(ssrc) << 32 | u64::from(word(4)));
            self.mix(u64::from(word(0)));
        }
        let sum = payload::checksum(bytes);
        if *self.sealed.entry((owner, ssrc, rtcp, index)).or_insert(sum) != sum {
            let what = format!("peer {owner} ssrc {ssrc:#x} rtcp {rtcp} index {index}");
            self.violations.push(format!("index used for two different packets: {what}"));
        }
    }

    fn extend(&mut self, stream: (usize, u32), sequence: u16) -> u64 {
        let newest = self.newest.entry(stream).or_insert(u64::from(sequence));
        let ahead = i64::from(sequence.wrapping_sub(*newest as u16) as i16);
        let index = newest.saturating_add_signed(ahead);
        *newest = (*newest).max(index);
        index
    }
}

/// The accounting rule of [`Counters`]: what came in is what was consumed, handed on or dropped.
/// Returns the two sides.
pub fn accounted(counters: &Counters) -> (u64, u64) {
    let inbound = Drop::ALL.iter().filter(|(reason, _)| reason.is_inbound());
    let dropped: u64 = inbound.map(|(reason, _)| counters.dropped(*reason)).sum();
    let out = counters.media_in + counters.control_in + counters.handed_over + dropped;
    (counters.datagrams_in, out)
}

/// What one subscription looked like from the far end.
#[derive(Clone, Copy, Default, Debug)]
pub struct StreamReport {
    /// Packets that reached the application.
    pub packets: u64,
    /// Payloads that were not what a publisher wrote.
    pub broken: u64,
    /// Payloads of another publisher's stream.
    pub foreign: u64,
    /// Payload counters seen more than once.
    pub repeated: u64,
    /// Sequence numbers missing between the first and the last seen.
    pub missing: u64,
    /// Packets whose sequence number and payload counter do not move together.
    pub torn: u64,
    /// Packets that arrived behind a newer one.
    pub late: u64,
    /// First payload counter seen.
    pub first_counter: u64,
    /// Last payload counter seen.
    pub last_counter: u64,
    /// Longest time between two packets.
    pub silence: Duration,
    /// Whether the first packet started a key frame.
    pub began_with_key: bool,
}

impl StreamReport {
    /// Judges the packets of one received stream; `stream` is what their stamps must say.
    pub fn judge<'a>(packets: impl Iterator<Item = &'a Received>, stream: u32) -> Self {
        let mut report = Self::default();
        let mut seen: HashMap<u64, u64> = HashMap::new();
        let mut newest: Option<&Received> = None;
        for packet in packets {
            report.packets += 1;
            let Some(stamp) = packet.stamp else {
                report.broken += 1;
                continue;
            };
            report.foreign += u64::from(stamp.stream != stream);
            if let Some(last) = newest {
                report.silence = report.silence.max(packet.at.duration_since(last.at));
                report.late += u64::from(packet.sequence < last.sequence);
            } else {
                report.first_counter = stamp.counter;
                report.began_with_key = stamp.start && stamp.key;
            }
            report.repeated += u64::from(seen.insert(packet.sequence, stamp.counter).is_some());
            report.last_counter = report.last_counter.max(stamp.counter);
            if newest.is_none_or(|last| packet.sequence > last.sequence) {
                newest = Some(packet);
            }
        }
        let (low, high) = (seen.keys().min().copied(), seen.keys().max().copied());
        if let (Some(low), Some(high)) = (low, high) {
            report.missing = high - low + 1 - seen.len() as u64;
            let offset = seen[&low].wrapping_sub(low);
            let moved = |(sequence, counter): (&u64, &u64)| {
                u64::from(counter.wrapping_sub(*sequence) != offset)
            };
            report.torn = seen.iter().map(moved).sum();
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_used_twice_is_found_when_any_byte_differs() {
        let (to, now) = (SocketAddr::from(([10, 0, 0, 1], 5)), Instant::now());
        let packet: Vec<u8> = (0..60).map(|at| if at == 0 { 0x90 } else { at }).collect();
        let violations = |second: &[u8]| {
            let mut oracle = Oracle::default();
            // Any STUN datagram opens the path.
            oracle.on_delivered(to, 0, &[0; 20], now);
            for bytes in [&packet[..], second] {
                oracle.on_sent(to, bytes, now, Duration::ZERO);
            }
            oracle.violations.len()
        };
        assert_eq!(violations(&packet), 0);
        for at in 0..packet.len() {
            let mut other = packet.clone();
            other[at] ^= 1;
            // Another sequence number or SSRC is another index.
            let expected = usize::from(!(2..4).contains(&at) && !(8..12).contains(&at));
            assert_eq!(violations(&other), expected, "byte {at}");
        }
    }
}
