//! Reports this node makes: sender reports to subscribers, receiver reports and transport-wide
//! feedback to publishers.

use std::time::Instant;

use common::limits::{DATAGRAM_MAX, ENCODINGS_MAX};
use proto::rtcp::{CompoundWriter, DlrrBlock, ReportBlock, SenderInfo};

use super::{Tables, send};
use crate::host::{FrameHeader, Host};
use crate::kit::clock::ClockPair;
use crate::kit::table::{FeedPlace, PeerPlace, SubscriptionPlace};
use crate::publish::{Tally, reference_time, round_trip_of};
use crate::subscribe::Subscription;

/// Report blocks in one receiver report (RFC 3550: a 5-bit count), and in one compound: two such
/// reports and a REMB fit into a datagram.
const BLOCKS_PER_REPORT: usize = 31;
const BLOCKS_MAX: usize = 54;
/// Streams that a REMB names. Chosen: browsers apply it to the whole connection in any case.
const REMB_SSRCS_MAX: usize = 4;
/// Feedback messages sent at a time: stragglers and long gaps need messages of their own.
const FEEDBACK_MAX: usize = 4;
/// CNAME of every stream this node sends: receivers pair audio and video by the SDP's msid.
pub(super) const CNAME: &[u8] = b"fanfall";

impl Tables {
    /// A sender report of `encoding` arrived: passes it on, in each subscriber's clock,
    /// to whoever shows that encoding.
    pub(crate) fn relay_sender_report(
        &mut self,
        place: FeedPlace,
        encoding: u8,
        clock: ClockPair,
        now: Instant,
        host: &mut impl Host,
    ) {
        let Some(feed) = self.feeds.at_mut(place) else { return };
        if let Some(state) = feed.encodings.get_mut(usize::from(encoding)) {
            state.clock = Some(clock);
        }
        let header = FrameHeader::SenderReport {
            track: feed.track,
            encoding,
            ntp: clock.ntp,
            rtp: clock.rtp,
        };
        for core in feed.cores() {
            host.hand(core, header, &[]);
        }
        let mut next = 0;
        while let Some(subscription) =
            self.feeds.at(place).and_then(|feed| feed.subscriptions.get(next).copied())
        {
            next += 1;
            self.send_sender_report(subscription, encoding, clock, now, host);
        }
    }

    /// Looks after what could not be done at once for the subscriptions of a peer: tells the clocks of
    /// sources that changed since the last call (the next sender report of the publisher may be
    /// seconds away, and the old one pairs sound and picture wrongly), and asks for key frames that
    /// a loss made necessary.
    pub(crate) fn serve_subscriptions(
        &mut self,
        place: PeerPlace,
        now: Instant,
        host: &mut impl Host,
    ) {
        let mut next = 0;
        while let Some(place) =
            self.peers.at(place).and_then(|peer| peer.subscriptions.get(next).copied())
        {
            next += 1;
            self.report_changed_clock(place, now, host);
            self.rescue(place, now, host);
        }
    }

    fn report_changed_clock(
        &mut self,
        place: SubscriptionPlace,
        now: Instant,
        host: &mut impl Host,
    ) -> Option<()> {
        let subscription = self.subscriptions.at(place).filter(|found| found.clock_due)?;
        let encoding = subscription.rewrite.encoding()?;
        let told = self.feeds.at(subscription.feed)?.clock(encoding)?;
        let rtp = subscription.rewrite.newest_source_clock()?;
        let clock = ClockPair { ntp: told.ntp_at(rtp, subscription.clock_rate), rtp };
        self.send_sender_report(place, encoding, clock, now, host)
    }

    /// Sends a report of an encoding's clock to a subscriber that shows it.
    fn send_sender_report(
        &mut self,
        place: SubscriptionPlace,
        encoding: u8,
        clock: ClockPair,
        now: Instant,
        host: &mut impl Host,
    ) -> Option<()> {
        let subscription = self.subscriptions.at_mut(place)?;
        if subscription.rewrite.encoding() != Some(encoding) || subscription.packets == 0 {
            return None;
        }
        let peer = self.peers.at_mut(subscription.peer)?;
        let slot = host.reserve()?;
        let mut writer = CompoundWriter::new(slot);
        let rtp = subscription.rewrite.clock(clock.rtp)?;
        let Subscription { ssrc, packets, octets, .. } = *subscription;
        writer.sender_report(&SenderInfo { ssrc, ntp: clock.ntp, rtp, packets, octets }, &[]);
        writer.sdes_cname(ssrc, CNAME);
        let len = writer.finish();
        let (sealed, to) = peer.seal_rtcp(slot, len)?;
        send(&mut self.counters, &mut peer.traffic.sent, host, to, sealed);
        subscription.reported = Some(((clock.ntp >> 16) as u32, now));
        subscription.clock_due = false;
        Some(())
    }

    /// Sends receiver reports about everything a peer publishes.
    /// Whether a receiver report to this peer is worth sending before its time: of a stream that
    /// began it has had none, or none that answered its first sender report.
    pub(crate) fn is_report_awaited(&self, place: PeerPlace) -> bool {
        let tracks = self.peers.at(place).map(|peer| peer.tracks.as_slice()).unwrap_or_default();
        let mut known = tracks.iter().filter_map(|track| self.tracks.at(*track));
        known.any(|track| track.encodings.iter().any(|state| state.reception.is_unreported()))
    }

    /// Sends receiver reports about everything a peer publishes, and with them a reference time,
    /// from whose answer the round trip is known, and how much the peer may send, if REMB is what
    /// it listens to.
    pub(crate) fn report_reception(
        &mut self,
        place: PeerPlace,
        now: Instant,
        host: &mut impl Host,
    ) {
        let mut blocks = [ReportBlock::default(); BLOCKS_MAX];
        let (count, tally) = self.received_from(place, &mut blocks, now);
        let Some(blocks) = blocks.get(..count).filter(|blocks| !blocks.is_empty()) else { return };
        let Some(peer) = self.peers.at_mut(place) else { return };
        let lost = (tally.lost * 1_000).checked_div(tally.expected).unwrap_or(0);
        peer.path.lost_up = lost.min(1_000) as u16;
        let Some(slot) = host.reserve() else { return };
        let mut writer = CompoundWriter::new(&mut slot[..DATAGRAM_MAX - 64]);
        for blocks in blocks.chunks(BLOCKS_PER_REPORT) {
            writer.receiver_report(peer.rtcp_ssrc, blocks);
        }
        if let Some(bound) = peer.bound.as_mut().filter(|_| peer.arrivals.is_none()) {
            let bitrate = bound.update(tally.expected, tally.lost, now);
            let mut ssrcs = [0; REMB_SSRCS_MAX];
            ssrcs.iter_mut().zip(blocks).for_each(|(ssrc, block)| *ssrc = block.ssrc);
            let named = blocks.len().min(REMB_SSRCS_MAX);
            writer.remb(peer.rtcp_ssrc, bitrate, ssrcs.get(..named).unwrap_or_default());
        }
        writer.reference_time(peer.rtcp_ssrc, reference_time(self.start, now));
        let len = writer.finish();
        if let Some((sealed, to)) = peer.seal_rtcp(slot, len) {
            send(&mut self.counters, &mut peer.traffic.sent, host, to, sealed);
        }
    }

    /// A peer answered a reference time: the round trip towards all it publishes is known anew.
    pub(crate) fn on_reference_answer(
        &mut self,
        place: PeerPlace,
        answer: &DlrrBlock,
        now: Instant,
    ) {
        if self.peers.at(place).is_none_or(|peer| peer.rtcp_ssrc != answer.ssrc) {
            return;
        }
        let (last, delay) = (answer.last_reference, answer.delay_since_last);
        let Some(round_trip) = round_trip_of(self.start, now, last, delay) else { return };
        if let Some(peer) = self.peers.at_mut(place) {
            peer.path.round_trip = Some(round_trip);
        }
        let tracks = self.peers.at(place).map(|peer| peer.tracks.as_slice()).unwrap_or_default();
        for track in tracks {
            if let Some(track) = self.tracks.at_mut(*track) {
                track.round_trip.sample(round_trip);
            }
        }
    }

    /// Fills in a report block for each stream of a peer; returns their number and their sum.
    fn received_from(
        &mut self,
        place: PeerPlace,
        blocks: &mut [ReportBlock],
        now: Instant,
    ) -> (usize, Tally) {
        let (mut free, mut count, mut sum) = (blocks.iter_mut(), 0, Tally::default());
        let tracks = self.peers.at(place).map(|peer| peer.tracks.as_slice()).unwrap_or_default();
        for track in tracks {
            let Some(track) = self.tracks.at_mut(*track) else { continue };
            for state in track.encodings.iter_mut().take(ENCODINGS_MAX) {
                let reported = state.ssrc.and_then(|ssrc| state.reception.report(ssrc, now));
                let Some((block, tally)) = reported else { continue };
                sum.expected += tally.expected;
                sum.lost += tally.lost;
                if let Some(place) = free.next() {
                    *place = block;
                    count += 1;
                }
            }
        }
        (count, sum)
    }

    /// An SSRC that a peer sends on; 0 before the first is known. Chromium takes transport-wide
    /// feedback for its own only when the media SSRC of the message is one of its streams.
    fn published_ssrc(&self, place: PeerPlace) -> u32 {
        let tracks = self.peers.at(place).map(|peer| peer.tracks.as_slice()).unwrap_or_default();
        let known = tracks.iter().filter_map(|track| self.tracks.at(*track));
        known.flat_map(|track| &track.encodings).find_map(|state| state.ssrc).unwrap_or(0)
    }

    /// Sends the transport-wide feedback that is due for a peer.
    pub(crate) fn report_arrivals(&mut self, place: PeerPlace, now: Instant, host: &mut impl Host) {
        let media = self.published_ssrc(place);
        let Some(peer) = self.peers.at_mut(place) else { return };
        if !peer.arrivals.as_ref().is_some_and(|arrivals| arrivals.due(now)) {
            return;
        }
        for _ in 0..FEEDBACK_MAX {
            let (sender, Some(arrivals)) = (peer.rtcp_ssrc, peer.arrivals.as_mut()) else { return };
            let Some(slot) = host.reserve() else { return };
            let len = arrivals.write(sender, media, &mut slot[..DATAGRAM_MAX - 64], self.start);
            if len == 0 {
                return;
            }
            if let Some((sealed, to)) = peer.seal_rtcp(slot, len) {
                send(&mut self.counters, &mut peer.traffic.sent, host, to, sealed);
            }
        }
    }
}
