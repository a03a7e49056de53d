//! Reports this node makes: sender reports to subscribers, receiver reports and transport-wide
//! feedback to publishers.

use std::time::Instant;

use common::limits::{DATAGRAM_MAX, ENCODINGS_MAX};
use proto::rtcp::{CompoundWriter, ReportBlock, SenderInfo};

use super::{Tables, send};
use crate::host::{FrameHeader, Host};
use crate::kit::clock::ClockPair;
use crate::kit::table::{FeedPlace, PeerPlace, SubscriptionPlace};
use crate::subscribe::Subscription;

/// Report blocks in one receiver report (RFC 3550: a 5-bit count).
const BLOCKS_MAX: usize = 31;
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
        send(&mut self.counters, host, to, sealed);
        subscription.reported = Some(((clock.ntp >> 16) as u32, now));
        Some(())
    }

    /// Sends receiver reports about everything a peer publishes.
    pub(crate) fn report_reception(
        &mut self,
        place: PeerPlace,
        now: Instant,
        host: &mut impl Host,
    ) {
        let mut blocks = [ReportBlock::default(); BLOCKS_MAX];
        let mut count = 0;
        let Some(peer) = self.peers.at(place) else { return };
        for track in &peer.tracks {
            let Some(track) = self.tracks.at_mut(*track) else { continue };
            for state in track.encodings.iter_mut().take(ENCODINGS_MAX) {
                let Some(block) = state.ssrc.and_then(|ssrc| state.reception.report(ssrc, now))
                else {
                    continue;
                };
                if let Some(free) = blocks.get_mut(count) {
                    *free = block;
                    count += 1;
                }
            }
        }
        if count == 0 {
            return;
        }
        let Some(peer) = self.peers.at_mut(place) else { return };
        let Some(slot) = host.reserve() else { return };
        let mut writer = CompoundWriter::new(slot);
        writer.receiver_report(peer.rtcp_ssrc, &blocks[..count]);
        let len = writer.finish();
        if let Some((sealed, to)) = peer.seal_rtcp(slot, len) {
            send(&mut self.counters, host, to, sealed);
        }
    }

    /// An SSRC that a peer sends on; 0 before the first is known. Chromium takes transport-wide
    /// feedback for its own only when the media SSRC of the message is one of its streams.
    fn published_ssrc(&self, place: PeerPlace) -> u32 {
        let tracks = self.peers.at(place).map(|peer| peer.tracks.as_slice()).unwrap_or_default();
        let known = tracks.iter().filter_map(|track| self.tracks.at(*track));
        known.flat_map(|track| &track.encodings).find_map(|state| state.ssrc).unwrap_or(0)
    }

    /// Sends the transport-wide feedback that is pending for a peer.
    pub(crate) fn report_arrivals(
        &mut self,
        place: PeerPlace,
        base: Instant,
        host: &mut impl Host,
    ) {
        let media = self.published_ssrc(place);
        let Some(peer) = self.peers.at_mut(place) else { return };
        let (sender, Some(arrivals)) = (peer.rtcp_ssrc, peer.arrivals.as_mut()) else { return };
        if !arrivals.pending() {
            return;
        }
        let Some(slot) = host.reserve() else { return };
        let len = arrivals.write_feedback(sender, media, &mut slot[..DATAGRAM_MAX - 64], base);
        if len == 0 {
            return;
        }
        if let Some((sealed, to)) = peer.seal_rtcp(slot, len) {
            send(&mut self.counters, host, to, sealed);
        }
    }
}
