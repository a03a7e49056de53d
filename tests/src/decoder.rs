//! Judges a received video stream as a decoder and a jitter buffer would: which frames could be
//! shown and when, which encoding they came from, what had to be repaired, and whether the numbers
//! a server rewrites run on. Called by the simulation after a run, its [`Screen`] also during it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::payload::Stamp;
use crate::peer::Received;

/// How long a packet may be missing before it is overdue. Chosen: what a jitter buffer hides.
pub const REPAIR_MAX: Duration = Duration::from_millis(150);

/// What counts as a freeze at 30 frames a second: 150 ms above the usual gap (W3C "Identifiers for
/// WebRTC's Statistics API", freezeCount).
pub const FREEZE_MIN: Duration = Duration::from_millis(183);

/// A frame that was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// When it could be shown.
    pub at: Instant,
    /// Encoding it is from.
    pub encoding: u8,
    /// Its number in that encoding.
    pub frame: u32,
    /// Its temporal layer.
    pub temporal: u8,
    /// Whether it is a key frame.
    pub key: bool,
}

/// What one subscription to a video track showed.
#[derive(Clone, Default, Debug)]
pub struct Viewing {
    /// Packets that arrived.
    pub packets: u64,
    /// Frames shown, in order.
    pub shown: Vec<Shown>,
    /// Packets that were missing when a later one arrived.
    pub missed: u64,
    /// Of those, how many came after all.
    pub repaired: u64,
    /// Of those, how many were still missing [`REPAIR_MAX`] after their absence could be seen.
    pub overdue: u64,
    /// When the last missing packet came.
    pub last_repair: Option<Instant>,
    /// Longest time from seeing that a packet is missing to having it.
    pub slowest_repair: Duration,
    /// By how much the senders' clock, as told by sender reports, moved against the true one.
    pub clock_spread: Duration,
    /// Numbers that do not run on, foreign or changed payloads, switches without a key frame.
    pub violations: Vec<String>,
}

impl Viewing {
    /// Judges the packets of one stream in the order they arrived, until `end`; `stream` is what
    /// their stamps must say.
    pub fn judge<'a>(
        packets: impl Iterator<Item = &'a Received>,
        stream: u32,
        end: Instant,
    ) -> Self {
        let mut viewing = Self::default();
        let (mut gaps, mut screen) = (Gaps::default(), Screen::default());
        let mut by_sequence: BTreeMap<u64, (&Received, Stamp)> = BTreeMap::new();
        let mut clock: Option<(i128, i128)> = None;
        for packet in packets {
            viewing.packets += 1;
            gaps.on_packet(packet.sequence, packet.at, &mut viewing);
            if packet.len == 0 {
                continue;
            }
            let Some(stamp) = packet.stamp.filter(|stamp| stamp.stream == stream) else {
                viewing.violations.push(format!("changed or foreign payload: {packet:?}"));
                continue;
            };
            if by_sequence.insert(packet.sequence, (packet, stamp)).is_some() {
                viewing.violations.push(format!("sequence number twice: {}", packet.sequence));
                continue;
            }
            screen.on_packet(packet, stamp);
            if let Some(captured) = packet.captured {
                let offset = captured.as_nanos() as i128 - i128::from(stamp.sent_ns);
                let (low, high) = clock.unwrap_or((offset, offset));
                clock = Some((low.min(offset), high.max(offset)));
            }
        }
        gaps.finish(end, &mut viewing);
        let (low, high) = clock.unwrap_or_default();
        viewing.clock_spread = Duration::from_nanos((high - low) as u64);
        viewing.shown = screen.shown;
        for ((one, before), (two, after)) in by_sequence.iter().zip(by_sequence.iter().skip(1)) {
            if one + 1 == *two {
                let wrong = discontinuity(before, after);
                viewing.violations.extend(wrong.map(|wrong| format!("{wrong} at {two}")));
            }
        }
        viewing
    }

    /// When the first frame was shown.
    pub fn first(&self) -> Option<Instant> {
        self.shown.first().map(|shown| shown.at)
    }

    /// The longest time without a new frame between two instants (from `from` to the first one
    /// and from the last one to `to` included).
    pub fn freeze(&self, from: Instant, to: Instant) -> Duration {
        let inside = self.shown.iter().map(|shown| shown.at).filter(|at| (from..=to).contains(at));
        let (mut last, mut longest) = (from, Duration::ZERO);
        for at in inside.chain([to]) {
            longest = longest.max(at.duration_since(last));
            last = at;
        }
        longest
    }

    /// The encoding on show at an instant.
    pub fn encoding_at(&self, at: Instant) -> Option<u8> {
        self.shown.iter().rev().find(|shown| shown.at <= at).map(|shown| shown.encoding)
    }

    /// How often nothing new was shown for longer than [`FREEZE_MIN`].
    pub fn freezes(&self, end: Instant) -> u64 {
        let ends = self.shown.iter().skip(1).map(|shown| shown.at).chain([end]);
        let gaps = self.shown.iter().zip(ends).map(|(shown, next)| next.duration_since(shown.at));
        gaps.filter(|gap| *gap > FREEZE_MIN).count() as u64
    }

    /// How often another encoding came on show.
    pub fn switches(&self) -> u64 {
        let pairs = self.shown.windows(2);
        pairs.filter(|pair| pair[0].encoding != pair[1].encoding).count() as u64
    }

    /// How many frames were shown between two instants.
    pub fn frames(&self, from: Instant, to: Instant) -> u64 {
        self.shown.iter().filter(|shown| (from..=to).contains(&shown.at)).count() as u64
    }
}

/// Sequence numbers that did not arrive in order.
#[derive(Default)]
struct Gaps {
    newest: Option<u64>,
    open: BTreeMap<u64, Instant>,
}

impl Gaps {
    fn on_packet(&mut self, sequence: u64, at: Instant, viewing: &mut Viewing) {
        let newest = *self.newest.get_or_insert(sequence);
        if sequence > newest {
            self.open.extend((newest + 1..sequence).map(|missing| (missing, at)));
            viewing.missed += sequence - newest - 1;
            self.newest = Some(sequence);
        }
        if let Some(since) = self.open.remove(&sequence) {
            let took = at.duration_since(since);
            viewing.repaired += 1;
            viewing.overdue += u64::from(took > REPAIR_MAX);
            viewing.slowest_repair = viewing.slowest_repair.max(took);
            viewing.last_repair = Some(at);
        }
    }

    fn finish(&self, end: Instant, viewing: &mut Viewing) {
        let late = |since: &&Instant| end.duration_since(**since) > REPAIR_MAX;
        viewing.overdue += self.open.values().filter(late).count() as u64;
    }
}

/// A frame being put together.
struct Assembly {
    stamp: Stamp,
    places: HashSet<u8>,
    /// Sequence number its first packet has or must have.
    first: u64,
}

/// Frames on their way to the screen.
#[derive(Default)]
pub(crate) struct Screen {
    partial: HashMap<(u8, u32), Assembly>,
    /// Complete frames whose reference is not decoded yet.
    waiting: Vec<Assembly>,
    decoded: HashSet<(u8, u32)>,
    newest: Option<u64>,
    /// Frames shown, in order.
    pub(crate) shown: Vec<Shown>,
}

impl Screen {
    /// Takes a packet in the order of arrival.
    pub(crate) fn on_packet(&mut self, packet: &Received, stamp: Stamp) {
        let name = (stamp.encoding, stamp.frame);
        let frame = self.partial.entry(name).or_insert_with(|| Assembly {
            stamp,
            places: HashSet::new(),
            first: packet.sequence.saturating_sub(u64::from(stamp.place)),
        });
        frame.places.insert(stamp.place);
        if frame.places.len() < usize::from(stamp.of) {
            return;
        }
        self.waiting.extend(self.partial.remove(&name));
        while let Some(place) = self.waiting.iter().position(|frame| self.decodable(frame)) {
            let frame = self.waiting.remove(place);
            self.decode(&frame, packet.at);
        }
    }

    fn decodable(&self, frame: &Assembly) -> bool {
        frame.stamp.key || self.decoded.contains(&(frame.stamp.encoding, frame.stamp.depends))
    }

    fn decode(&mut self, frame: &Assembly, at: Instant) {
        let stamp = frame.stamp;
        self.decoded.insert((stamp.encoding, stamp.frame));
        if self.newest.is_some_and(|newest| newest > frame.first) {
            // Too late for the screen; frames that need it can go on.
            return;
        }
        self.newest = Some(frame.first);
        let temporal = stamp.picture.map_or(0, |picture| picture.temporal);
        let (encoding, frame, key) = (stamp.encoding, stamp.frame, stamp.key);
        self.shown.push(Shown { at, encoding, frame, temporal, key });
        if key {
            let newest = self.newest;
            self.waiting.retain(|frame| Some(frame.first) > newest);
        }
    }
}

/// What is wrong between two packets with consecutive sequence numbers.
fn discontinuity(before: &(&Received, Stamp), after: &(&Received, Stamp)) -> Option<String> {
    let ((one, was), (two, is)) = (before, after);
    let seen = || format!("{was:?} {} {} -> {is:?} {}", one.timestamp, one.marker, two.timestamp);
    if (was.encoding, was.frame) == (is.encoding, is.frame) {
        let whole = was.place + 1 == is.place
            && one.timestamp == two.timestamp
            && was.picture == is.picture
            && !one.marker;
        return (!whole).then(|| format!("a frame is torn: {}", seen()));
    }
    if was.place + 1 != was.of || is.place != 0 || !one.marker {
        return Some(format!("frames do not meet: {}", seen()));
    }
    let step = two.timestamp.wrapping_sub(one.timestamp) as i32;
    // The true step, with the 100 ms that a switch may stretch it.
    let true_step = (is.sent_ns as i64 - was.sent_ns as i64) * 90 / 1_000_000;
    if step <= 0 || (i64::from(step) - true_step).abs() > 9_000 {
        return Some(format!("timestamp step {step}, true {true_step}: {}", seen()));
    }
    if was.encoding != is.encoding && !is.key {
        return Some(format!("switch without a key frame: {}", seen()));
    }
    if was.encoding == is.encoding && is.frame <= was.frame {
        return Some(format!("frames out of order: {}", seen()));
    }
    let (Some(left), Some(right)) = (was.picture, is.picture) else { return None };
    let next_tl0 = left.tl0_index.wrapping_add(u8::from(right.temporal == 0));
    if right.id != (left.id + 1) & 0x7fff || right.tl0_index != next_tl0 {
        return Some(format!("picture numbers do not run on: {}", seen()));
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::payload;
    use crate::source::{Shape, Source};
    use common::media::MediaKind;

    const STEP: Duration = Duration::from_nanos(33_333_000);

    /// What would arrive of `frames` frames of two packets each without loss, one key frame.
    fn stream(start: Instant, frames: u32, temporal: u8) -> Vec<Received> {
        let shape = Shape::video(500_000, temporal);
        let mut source = Source::new(MediaKind::Video, 1, 7, shape, 100);
        let mut packets = Vec::new();
        for number in 0..frames {
            let at = start + STEP * number;
            for packet in source.frame(at, STEP * number) {
                packets.push(Received {
                    at,
                    ssrc: 1,
                    sequence: packet.sequence,
                    timestamp: packet.timestamp,
                    payload_type: 96,
                    marker: packet.marker,
                    mid: None,
                    captured: None,
                    len: packet.payload.len(),
                    stamp: payload::read(MediaKind::Video, &packet.payload),
                });
            }
        }
        packets
    }

    #[test]
    fn a_whole_stream_shows_every_frame() {
        let start = Instant::now();
        let packets = stream(start, 90, 3);
        let end = start + STEP * 89;
        let viewing = Viewing::judge(packets.iter(), 7, end);
        assert_eq!(viewing.violations, Vec::<String>::new());
        assert_eq!((viewing.shown.len(), viewing.missed, viewing.overdue), (90, 0, 0));
        assert_eq!(viewing.freeze(start, end), STEP);
        assert_eq!(viewing.first(), Some(start));
        assert!(!Viewing::judge(packets.iter(), 8, end).violations.is_empty());
    }

    #[test]
    fn a_lost_reference_freezes_until_it_comes() {
        let start = Instant::now();
        let mut packets = stream(start, 30, 1);
        // Key frame of ten packets, then two a frame: the first packet of frame 5.
        let mut lost = packets.remove(10 + 2 * 4);
        let end = start + STEP * 29;
        let gone = Viewing::judge(packets.iter(), 7, end);
        assert_eq!((gone.shown.len(), gone.missed, gone.overdue), (5, 1, 1));
        assert!(gone.freeze(start, end) > STEP * 24);
        lost.at = start + STEP * 9;
        packets.insert(10 + 2 * 9 - 1, lost);
        let late = Viewing::judge(packets.iter(), 7, end);
        assert_eq!((late.shown.len(), late.repaired), (30, 1));
        assert_eq!(late.freeze(start, end), STEP * 5);
        assert_eq!(late.overdue, 0);
    }

    #[test]
    fn a_lost_frame_that_nothing_needs_costs_itself_alone() {
        let start = Instant::now();
        let mut packets = stream(start, 30, 3);
        packets.retain(|packet| packet.stamp.unwrap().frame != 5);
        let viewing = Viewing::judge(packets.iter(), 7, start + STEP * 29);
        assert_eq!(viewing.shown.len(), 29);
    }

    #[test]
    fn numbers_that_do_not_run_on_are_found() {
        let start = Instant::now();
        let clean = stream(start, 30, 3);
        let wrong = |change: &dyn Fn(&mut Vec<Received>)| {
            let mut packets = clean.clone();
            change(&mut packets);
            !Viewing::judge(packets.iter(), 7, start).violations.is_empty()
        };
        let picture = |packet: &mut Received, change: &dyn Fn(&mut payload::Picture)| {
            change(packet.stamp.as_mut().unwrap().picture.as_mut().unwrap());
        };
        assert!(!wrong(&|_| {}));
        assert!(wrong(&|packets| packets[12].timestamp += 1));
        assert!(wrong(&|packets| packets[12..].iter_mut().for_each(|p| p.timestamp ^= 1 << 20)));
        assert!(wrong(&|packets| packets[12..].iter_mut().for_each(|p| p.marker = false)));
        assert!(wrong(&|packets| {
            packets[12..].iter_mut().for_each(|p| picture(p, &|numbers| numbers.id += 1));
        }));
        assert!(wrong(&|packets| {
            packets[12..].iter_mut().for_each(|p| picture(p, &|numbers| numbers.tl0_index ^= 1));
        }));
        assert!(wrong(&|packets| {
            let stamps = packets[12..].iter_mut().filter_map(|p| p.stamp.as_mut());
            stamps.for_each(|stamp| stamp.encoding = 1);
        }));
        assert!(wrong(&|packets| {
            packets.drain(12..14);
            packets[12..].iter_mut().for_each(|p| p.sequence -= 2);
        }));
    }
}
