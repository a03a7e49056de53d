//! The last steps of a packet towards a peer: number, seal, send, account; or wait for its turn. The
//! only place where packets of media and padding leave.

use std::time::{Duration, Instant};

use common::counters::{Counters, Drop};
use common::media::MediaKind;
use proto::congestion::SentKind;

use super::{Tables, send};
use crate::history::useful;
use crate::host::Host;
use crate::kit::outbound::Numbers;
use crate::kit::packet::Packet;
use crate::kit::table::{PeerPlace, SubscriptionPlace};
use crate::subscribe::{
    Names, Subscription, Title, Verdict, seal_as_is, seal_packet, seal_padding, seal_rtx,
};
use crate::transport::{Downlink, Outlet, Trace, Waiting};

/// Padding of one probing packet: the most that the padding count can say (RFC 3550 section 5.1).
const PADDING: u8 = 255;
/// Probing packets in one turn of one peer, whatever is due.
const PROBES_MAX: usize = 64;

/// A resend that is not the first has so many copies with it, where the path only loses: one more
/// round trip is dearer than a few more packets.
const COPIES_MORE: u8 = 2;
/// A packet that was resent this often without success keeps a picture waiting too long: a key frame
/// is the better remedy.
const REPEATS_HOPEFUL: u8 = 4;
/// Least time between two such key frames for one subscription: its losses are not to cost others
/// much.
const RESCUE_INTERVAL: Duration = Duration::from_millis(500);

/// What leaves.
#[derive(Clone, Copy)]
enum Parcel<'a> {
    /// A packet under its own number, of which nothing but the header changes.
    AsIs(&'a Packet, &'a [u8]),
    /// Any packet under its own number.
    Media(&'a Packet, &'a [u8]),
    /// A packet, repeated on the retransmission stream; what it was sent as, and how often.
    Repeat(&'a Packet, &'a [u8], Trace),
    /// Nothing but padding.
    Padding(u8),
}

/// Sends one packet through `outlet`. `numbered` says whether it may carry a transport-wide number.
/// False when it did not leave. Always inlined: for new media, which is almost all, the arguments
/// alone were a sixth of it.
#[inline(always)]
fn emit(
    counters: &mut Counters,
    outlet: Outlet<'_>,
    parcel: Parcel<'_>,
    numbers: &Numbers,
    (title, numbered): (&mut Title, bool),
    host: &mut impl Host,
) -> bool {
    let Outlet { seal, to, extensions, downlink, sent } = outlet;
    let Some(slot) = host.reserve() else {
        counters.drop(Drop::NoSendSlot);
        return false;
    };
    let measured = downlink.as_ref().filter(|_| numbered);
    let transport_sequence = measured.map(|downlink| downlink.congestion.next_sequence());
    title.fit(extensions, transport_sequence.is_some());
    let names = &Names { extensions, title, transport_sequence };
    let sealed = match parcel {
        Parcel::AsIs(packet, plain) => seal_as_is(seal, slot, numbers, (packet, plain), names),
        Parcel::Media(packet, plain) => seal_packet(seal, slot, numbers, (packet, plain), names),
        Parcel::Repeat(packet, plain, trace) => {
            seal_rtx(seal, slot, (numbers, trace.sequence), (packet, plain), names)
        }
        Parcel::Padding(len) => seal_padding(seal, slot, (numbers, len), names),
    };
    let Some(len) = sealed else {
        counters.drop(Drop::TooLong);
        return false;
    };
    send(counters, sent, host, *to, len);
    if let Some(downlink) = downlink {
        downlink.charge(len);
        if let Some(number) = transport_sequence {
            let sequence = numbers.index as u16;
            let (kind, trace) = match parcel {
                Parcel::Padding(_) => (SentKind::Probe, Trace { ssrc: 0, sequence, attempt: 0 }),
                Parcel::Repeat(_, _, trace) => (SentKind::Media, trace),
                Parcel::AsIs(..) | Parcel::Media(..) => {
                    (SentKind::Media, Trace { ssrc: numbers.ssrc, sequence, attempt: 0 })
                }
            };
            downlink.traces.note(number, trace);
            downlink.congestion.on_sent(len, kind, host.departure());
        }
    }
    true
}

/// The same, for what is sent less often.
#[inline(never)]
fn emit_any(
    counters: &mut Counters,
    outlet: Outlet<'_>,
    parcel: Parcel<'_>,
    numbers: &Numbers,
    names: (&mut Title, bool),
    host: &mut impl Host,
) -> bool {
    emit(counters, outlet, parcel, numbers, names, host)
}

/// Sends a new packet of `subscription` that stays as it is.
#[inline(always)]
pub(crate) fn emit_as_is(
    counters: &mut Counters,
    outlet: Outlet<'_>,
    subscription: &mut Subscription,
    (packet, plain): (&Packet, &[u8]),
    numbers: &Numbers,
    host: &mut impl Host,
) {
    let numbered = subscription.may_be_numbered();
    let names = (&mut subscription.title, numbered);
    if emit(counters, outlet, Parcel::AsIs(packet, plain), numbers, names, host) {
        counters.media_out += 1;
        subscription.on_sent(usize::from(packet.payload_len));
    }
}

/// Sends a new packet of `subscription`; `fill` sends padding in its place.
pub(crate) fn emit_new(
    counters: &mut Counters,
    outlet: Outlet<'_>,
    subscription: &mut Subscription,
    (packet, plain, fill): (&Packet, &[u8], bool),
    numbers: &Numbers,
    host: &mut impl Host,
) {
    let parcel = if fill { Parcel::Padding(1) } else { Parcel::Media(packet, plain) };
    let numbered = subscription.may_be_numbered();
    if emit_any(counters, outlet, parcel, numbers, (&mut subscription.title, numbered), host) {
        counters.media_out += 1;
        // RFC 3550 section 6.4.1: padding is no payload.
        subscription.on_sent(if fill { 0 } else { usize::from(packet.payload_len) });
    }
}

/// Has a peer looked after by [`Tables::pace`].
pub(crate) fn list(paced: &mut Vec<PeerPlace>, downlink: &mut Downlink, place: PeerPlace) {
    if !std::mem::replace(&mut downlink.listed, true) {
        paced.push(place);
    }
}

impl Tables {
    /// Sends what is due to the peers whose packets wait, and the padding of running probes.
    pub(crate) fn pace(&mut self, now: Instant, host: &mut impl Host) {
        let mut next = 0;
        while let Some(place) = self.paced.get(next).copied() {
            let busy = self.pace_peer(place, now, host);
            if busy {
                next += 1;
            } else {
                self.paced.swap_remove(next);
            }
        }
    }

    /// Puts a peer on the list of [`Tables::pace`].
    pub(crate) fn pace_soon(&mut self, place: PeerPlace) {
        if let Some(downlink) = self.peers.at_mut(place).and_then(|peer| peer.downlink.as_mut()) {
            list(&mut self.paced, downlink, place);
        }
    }

    /// Returns whether the peer must be looked after again.
    fn pace_peer(&mut self, place: PeerPlace, now: Instant, host: &mut impl Host) -> bool {
        if let Some(downlink) = self.peers.at_mut(place).and_then(|peer| peer.downlink.as_mut()) {
            downlink.make_room();
        }
        while let Some(waiting) = self.next_waiting(place, now) {
            self.send_waiting(place, waiting, now, host);
        }
        let probing = self.probe(place, now, host);
        let downlink = self.peers.at_mut(place).and_then(|peer| peer.downlink.as_mut());
        let Some(downlink) = downlink else { return false };
        downlink.listed = downlink.has_waiting() || probing;
        downlink.listed
    }

    fn next_waiting(&mut self, place: PeerPlace, now: Instant) -> Option<Waiting> {
        self.peers.at_mut(place)?.downlink.as_mut()?.next_due(now)
    }

    fn send_waiting(
        &mut self,
        place: PeerPlace,
        waiting: Waiting,
        now: Instant,
        host: &mut impl Host,
    ) -> Option<()> {
        let subscription = self.subscriptions.at_mut(waiting.subscription)?;
        if subscription.peer != place || subscription.ssrc != waiting.numbers.ssrc {
            return None;
        }
        let peer = self.peers.at_mut(place)?;
        let kept = self.feeds.at(waiting.feed)?.encodings.get(usize::from(waiting.encoding))?;
        let Some((packet, plain, _)) = self.history.find(&kept.index, waiting.source, now) else {
            self.counters.drop(Drop::PacedOut);
            return None;
        };
        if packet.epoch == waiting.epoch {
            let packet = (packet, plain, waiting.fill);
            let numbers = &waiting.numbers;
            let outlet = peer.outlet()?;
            emit_new(&mut self.counters, outlet, subscription, packet, numbers, host);
        }
        Some(())
    }

    /// Sends the padding that a running probe is due. Returns whether a probe runs.
    fn probe(&mut self, place: PeerPlace, now: Instant, host: &mut impl Host) -> bool {
        for _ in 0..PROBES_MAX {
            let downlink = self.peers.at_mut(place).and_then(|peer| peer.downlink.as_mut());
            let Some(downlink) = downlink else { return false };
            let Some(probe) = downlink.congestion.probe(now) else {
                // Its next burst is due in a few milliseconds, long before the next tick.
                return downlink.congestion.next_probe().is_some();
            };
            if probe.bytes == 0 || self.send_padding(place, host).is_none() {
                return true;
            }
        }
        true
    }

    /// One packet of padding on the retransmission stream of a video that has begun.
    fn send_padding(&mut self, place: PeerPlace, host: &mut impl Host) -> Option<()> {
        let peer = self.peers.at_mut(place)?;
        let carrier = peer.subscriptions.iter().copied().find(|place| {
            let found = self.subscriptions.at(*place);
            found.is_some_and(|found| found.rtx_ssrc.is_some() && found.packets > 0)
        })?;
        let subscription = self.subscriptions.at_mut(carrier)?;
        let numbers = subscription.next_padding()?;
        let names = (&mut subscription.title, true);
        let parcel = Parcel::Padding(PADDING);
        if !emit_any(&mut self.counters, peer.outlet()?, parcel, &numbers, names, host) {
            return None;
        }
        self.counters.probes += 1;
        Some(())
    }

    /// Sends a packet of `subscription` again that its receiver misses. `attempt` is given where it is
    /// known which sending of it was lost (by feedback, not by a NACK): 0 for the first. Where that is
    /// no way any more to repair the picture, a key frame is asked for.
    pub(crate) fn repair(
        &mut self,
        place: PeerPlace,
        subscription: SubscriptionPlace,
        (sequence, attempt): (u16, Option<u8>),
        now: Instant,
        host: &mut impl Host,
    ) -> Option<()> {
        if self.resend(place, subscription, (sequence, attempt), now, host)? {
            let lost = self.subscriptions.at_mut(subscription)?;
            lost.hopeless = lost.hopeless.max(Some(lost.rewrite.sent_as(sequence)?.index));
            self.rescue(subscription, now, host);
        }
        Some(())
    }

    /// Asks for a key frame when a picture of `subscription` cannot be repaired, unless one that
    /// came later was sent already. Receivers that gave up asking wait seconds before they do.
    pub(crate) fn rescue(
        &mut self,
        place: SubscriptionPlace,
        now: Instant,
        host: &mut impl Host,
    ) -> Option<()> {
        let subscription = self.subscriptions.at_mut(place)?;
        let index = subscription.hopeless.filter(|_| subscription.kind == MediaKind::Video)?;
        if index < subscription.newest_key {
            subscription.hopeless = None;
            return None;
        }
        let rested = subscription
            .rescued
            .is_none_or(|at| now.saturating_duration_since(at) >= RESCUE_INTERVAL);
        if rested {
            (subscription.hopeless, subscription.rescued) = (None, Some(now));
            let feed = subscription.feed;
            let encoding = subscription.rewrite.encoding()?;
            self.want_key_frame(feed, encoding, now, host);
        }
        Some(())
    }

    /// Sends a packet again, if it is there and may be: as RTX (RFC 4588) where negotiated, else
    /// under its own index, if that gives the same bytes. Returns whether the receiver should not
    /// count on it; None when there is nothing to say about that number.
    fn resend(
        &mut self,
        place: PeerPlace,
        subscription: SubscriptionPlace,
        (sequence, attempt): (u16, Option<u8>),
        now: Instant,
        host: &mut impl Host,
    ) -> Option<bool> {
        let subscription = self.subscriptions.at_mut(subscription)?;
        let peer = self.peers.at_mut(place)?;
        let sent = subscription.rewrite.sent_as(sequence)?;
        let feed = self.feeds.at(sent.feed)?;
        let kept = feed.encodings.get(usize::from(sent.encoding))?;
        let (packet, plain, age) = self.history.find(&kept.index, sent.number, now)?;
        if age > useful(feed.kind) {
            self.counters.nacked_late += 1;
            return Some(true);
        }
        let own = subscription.again(packet, sent.index)?;
        // A newer key frame makes it dispensable, but that may be lost in part as well.
        let dispensable = sent.index < subscription.newest_key && peer.is_strained();
        if dispensable && subscription.kind == MediaKind::Video {
            self.counters.nacked_late += 1;
            return None;
        }
        // A report of the same loss that crossed the resend on the way is not a new loss; feedback
        // that names the very resend is.
        let spacing = match attempt {
            Some(attempt) if attempt != subscription.budget.repeats(sent.index) => return None,
            Some(_) => Duration::ZERO,
            None => {
                let queue = peer.downlink.as_ref().filter(|downlink| downlink.is_full());
                let queue = queue.map_or(Duration::ZERO, |it| it.congestion.queue_delay());
                (peer.round_trip.unwrap_or_default() + queue) * 3 / 4
            }
        };
        if !peer.downlink.as_mut().is_none_or(|downlink| downlink.may_repeat(now)) {
            self.counters.resends_refused += 1;
            return Some(false);
        }
        let repeats = match subscription.budget.spend(sent.index, spacing, now) {
            Verdict::Granted { repeats } => repeats,
            verdict => {
                self.counters.resends_refused += 1;
                return Some(verdict == Verdict::Spent);
            }
        };
        let downlink = peer.downlink.as_ref();
        let numbered = downlink.is_some() && subscription.may_be_numbered();
        let waits = downlink.is_some_and(|downlink| downlink.has_waiting());
        let trace = Trace { ssrc: subscription.ssrc, sequence, attempt: repeats };
        let (parcel, numbers) = match subscription.next_rtx(packet, own) {
            Some(rtx) => (Parcel::Repeat(packet, plain, trace), rtx),
            None if numbered || waits || sent.index < subscription.same_since => return Some(true),
            None => (Parcel::Media(packet, plain), own),
        };
        let names = (&mut subscription.title, numbered);
        if emit_any(&mut self.counters, peer.outlet()?, parcel, &numbers, names, host) {
            self.counters.resent += 1;
        }
        let copies = if repeats > 1 && !peer.is_strained() { COPIES_MORE } else { 0 };
        for _ in 0..copies {
            let Some(rtx) = subscription.next_rtx(packet, own) else { break };
            let copy = Trace { ssrc: 0, ..trace };
            let parcel = Parcel::Repeat(packet, plain, copy);
            let names = (&mut subscription.title, numbered);
            emit_any(&mut self.counters, peer.outlet()?, parcel, &rtx, names, host);
        }
        Some(repeats >= REPEATS_HOPEFUL)
    }
}
