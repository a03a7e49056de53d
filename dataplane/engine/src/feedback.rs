//! PATH feedback: RTCP of a peer. Reports of publishers go on to their subscribers; what
//! subscribers ask for is answered from this core's history or goes up, merged, to the publisher.

use std::time::{Duration, Instant};

use common::address::TransportAddress;
use common::counters::Drop;
use common::id::TrackId;
use proto::rtcp::{DlrrBlock, ReportBlock, RtcpPacket, TwccView, XrBlock, XrBlocks, packets};

use crate::host::Host;
use crate::kit::clock::ClockPair;
use crate::kit::table::{FeedName, PeerPlace, SubscriptionPlace};
use crate::tables::{Outcome, Tables};
use crate::transport::Binding;

/// Losses of one feedback message that are acted upon.
const LOST_MAX: usize = 64;

/// An SRTCP packet of `place`; decrypted in place.
pub(crate) fn on_rtcp(
    tables: &mut Tables,
    place: PeerPlace,
    from: TransportAddress,
    bytes: &mut [u8],
    now: Instant,
    host: &mut impl Host,
) -> Outcome {
    match accept(tables, place, bytes) {
        Err(reason) => Outcome::Dropped(reason),
        Ok(len) => {
            if let Some(peer) = tables.peers.at_mut(place) {
                peer.ice.on_report(from, now);
            }
            follow(tables, place, &bytes[..len], now, host)
        }
    }
}

/// Acts upon a compound packet, if all of it can be read.
fn follow(
    tables: &mut Tables,
    place: PeerPlace,
    compound: &[u8],
    now: Instant,
    host: &mut impl Host,
) -> Outcome {
    let mut read = packets(compound);
    let first = read.next();
    // Most are alone: feedback is read once.
    if first.is_some_and(|first| first.is_err()) || read.clone().any(|packet| packet.is_err()) {
        return Outcome::Dropped(Drop::RtcpRejected);
    }
    for packet in first.into_iter().chain(read).map_while(Result::ok) {
        act(tables, place, &packet, now, host);
    }
    Outcome::Control
}

/// A sender report of a track of another core.
pub(crate) fn on_sender_report_frame(
    tables: &mut Tables,
    track: TrackId,
    encoding: u8,
    clock: ClockPair,
    now: Instant,
    host: &mut impl Host,
) {
    if let Some(feed) = tables.feeds.place(FeedName(track)) {
        tables.relay_sender_report(feed, encoding, clock, now, host);
    }
}

fn accept(tables: &mut Tables, place: PeerPlace, bytes: &mut [u8]) -> Result<usize, Drop> {
    let sender = bytes.get(4..8).and_then(|ssrc| ssrc.try_into().ok()).map(u32::from_be_bytes);
    let sender = sender.ok_or(Drop::RtcpRejected)?;
    let peer = tables.peers.at_mut(place).ok_or(Drop::UnknownAddress)?;
    let (open, streams) = peer.opening().ok_or(Drop::NoKeys)?;
    let mut state = streams.rtcp(sender);
    let len = open.rtcp(&mut state, bytes).map_err(|_| Drop::RtcpRejected)?;
    if !streams.keep_rtcp(sender, state) {
        return Err(Drop::SsrcLimit);
    }
    Ok(len)
}

fn act(
    tables: &mut Tables,
    place: PeerPlace,
    packet: &RtcpPacket<'_>,
    now: Instant,
    host: &mut impl Host,
) {
    match packet {
        RtcpPacket::SenderReport { info, blocks } => {
            let clock = ClockPair { ntp: info.ntp, rtp: info.rtp };
            on_sender_report(tables, place, info.ssrc, clock, now, host);
            blocks.into_iter().for_each(|block| on_report(tables, place, &block, now));
        }
        RtcpPacket::ReceiverReport { blocks, .. } => {
            blocks.into_iter().for_each(|block| on_report(tables, place, &block, now));
        }
        RtcpPacket::TransportFeedback(feedback) => on_arrivals(tables, place, feedback, now, host),
        RtcpPacket::Nack { media, sequences, .. } => {
            let Some(subscription) = subscription(tables, place, *media) else { return };
            for sequence in *sequences {
                tables.counters.nacked += 1;
                if let Some(peer) = tables.peers.at_mut(place) {
                    peer.path.nacked += 1;
                }
                tables.repair(place, subscription, (sequence, None), now, host);
            }
        }
        RtcpPacket::Pli { media, .. } => on_picture_loss(tables, place, *media, now, host),
        RtcpPacket::Fir { entries, .. } => {
            for (ssrc, _) in *entries {
                on_picture_loss(tables, place, ssrc, now, host);
            }
        }
        RtcpPacket::Xr { ssrc, blocks } => {
            answer_reference_time(tables, place, *ssrc, *blocks, host);
            for block in *blocks {
                let XrBlock::Dlrr(answers) = block else { continue };
                answers.for_each(|answer| tables.on_reference_answer(place, &answer, now));
            }
        }
        // A BYE ends one SSRC (browsers send it when they pause a simulcast layer), never a peer:
        // that is what close_notify and consent are for.
        _ => {}
    }
}

/// A report block of a subscriber about one of our streams: the round trip (RFC 3550 section 6.4.1).
fn on_report(tables: &mut Tables, place: PeerPlace, block: &ReportBlock, now: Instant) {
    let Some(found) = subscription(tables, place, block.ssrc) else { return };
    let reported = tables.subscriptions.at(found).and_then(|found| found.reported);
    let reported = reported.filter(|(ntp, _)| *ntp == block.last_sender_report);
    let Some((_, left)) = reported else { return };
    let held = Duration::from_micros(u64::from(block.delay_since_last) * 1_000_000 / 65_536);
    let away = now.saturating_duration_since(left);
    if let (Some(trip), Some(peer)) = (away.checked_sub(held), tables.peers.at_mut(place)) {
        peer.on_round_trip(trip);
    }
}

/// Transport-wide feedback of a subscriber: estimate, and what was lost. Less bandwidth is acted upon at
/// once, more with the next regular choice.
fn on_arrivals(
    tables: &mut Tables,
    place: PeerPlace,
    feedback: &TwccView<'_>,
    now: Instant,
    host: &mut impl Host,
) {
    let Some(peer) = tables.peers.at_mut(place) else { return };
    let Some(downlink) = &mut peer.downlink else { return };
    let before = downlink.congestion.estimate();
    let losses = downlink.congestion.on_feedback(feedback, now);
    peer.round_trip = peer.round_trip.or(downlink.congestion.rtt());
    if downlink.congestion.estimate() < before {
        tables.allocate(place, now, host);
    }
    if losses == 0 {
        return;
    }
    let lost = feedback.iter().filter_map(|(number, arrival)| arrival.is_none().then_some(number));
    lost.take(LOST_MAX).for_each(|number| {
        on_loss(tables, place, number, now, host);
    });
}

/// A packet that did not arrive. Where the path only loses, it is sent again without waiting for a
/// NACK: that may be lost as well, and receivers repeat it late. On a path with a queue that would be
/// more of what fills it.
fn on_loss(
    tables: &mut Tables,
    place: PeerPlace,
    number: u16,
    now: Instant,
    host: &mut impl Host,
) -> Option<()> {
    let peer = tables.peers.at_mut(place)?;
    if peer.is_strained() {
        return None;
    }
    let trace = peer.downlink.as_mut()?.traces.take(number)?;
    let subscription = subscription(tables, place, trace.ssrc)?;
    if tables.subscriptions.at(subscription)?.rtx_ssrc.is_some() {
        let lost = (trace.sequence, Some(trace.attempt));
        tables.repair(place, subscription, lost, now, host);
    }
    Some(())
}

fn on_sender_report(
    tables: &mut Tables,
    place: PeerPlace,
    ssrc: u32,
    clock: ClockPair,
    now: Instant,
    host: &mut impl Host,
) {
    let Some(peer) = tables.peers.at_mut(place) else { return };
    let stream = peer.streams.place(ssrc).and_then(|stream| peer.streams.at(stream));
    let Some(Binding::Media(track, encoding)) = stream.map(|stream| stream.binding) else { return };
    let Some(track) = tables.tracks.at_mut(track) else { return };
    if let Some(state) = track.encodings.get_mut(usize::from(encoding)) {
        state.reception.on_sender_report(clock.ntp, now);
    }
    let id = track.id;
    on_sender_report_frame(tables, id, encoding, clock, now, host);
}

/// RFC 3611 section 4.5, answered at once: the delay is one unit, as none would say that no reference
/// time came. A pure receiver repeats its requests for lost packets by the round trip it learns.
fn answer_reference_time(
    tables: &mut Tables,
    place: PeerPlace,
    ssrc: u32,
    mut blocks: XrBlocks<'_>,
    host: &mut impl Host,
) {
    let time = blocks.find_map(|block| match block {
        XrBlock::ReferenceTime(time) => Some(time),
        _ => None,
    });
    let Some(time) = time else { return };
    let answer = DlrrBlock { ssrc, last_reference: (time >> 16) as u32, delay_since_last: 1 };
    tables.send_rtcp(place, host, |writer, own| {
        writer.dlrr(own, &[answer]);
    });
}

fn on_picture_loss(
    tables: &mut Tables,
    place: PeerPlace,
    ssrc: u32,
    now: Instant,
    host: &mut impl Host,
) {
    let Some(subscription) = subscription(tables, place, ssrc) else { return };
    let Some(subscription) = tables.subscriptions.at(subscription) else { return };
    let encoding = subscription.waits_for(now).or(subscription.rewrite.encoding()).unwrap_or(0);
    let feed = subscription.feed;
    if let Some(peer) = tables.peers.at_mut(place) {
        peer.path.key_frames += 1;
    }
    tables.want_key_frame(feed, encoding, now, host);
}

/// The subscription of this peer that is sent as `ssrc`.
fn subscription(tables: &Tables, place: PeerPlace, ssrc: u32) -> Option<SubscriptionPlace> {
    let peer = tables.peers.at(place)?;
    peer.subscriptions
        .iter()
        .copied()
        .find(|place| tables.subscriptions.at(*place).is_some_and(|found| found.ssrc == ssrc))
}
