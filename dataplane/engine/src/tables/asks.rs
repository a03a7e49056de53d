//! What is asked of publishers: key frames and lost packets.

use std::time::Instant;

use crate::host::{FrameHeader, Host};
use crate::kit::table::{FeedName, FeedPlace, PeerPlace, TrackPlace};
use proto::rtcp::CompoundWriter;

use super::{Tables, send};

/// Most sequence numbers asked for in one NACK.
const NACK_MAX: usize = 64;

impl Tables {
    /// Someone needs a key frame of `encoding`: asks its publisher, here or on its core, unless
    /// that was done just now.
    pub(crate) fn want_key_frame(
        &mut self,
        feed: FeedPlace,
        encoding: u8,
        now: Instant,
        host: &mut impl Host,
    ) {
        let Some(feed) = self.feeds.at(feed) else { return };
        let track = feed.track;
        if feed.home != self.core {
            let header = FrameHeader::KeyFrameWanted { track, encoding };
            host.hand(feed.home, header, &[]);
            return;
        }
        let Some(place) = self.tracks.place(track) else { return };
        let Some(state) = self.tracks.at_mut(place) else { return };
        let Some(state) = state.encodings.get_mut(usize::from(encoding)) else { return };
        if state.key_frames.want(now) {
            self.send_key_frame_request(place, encoding, host);
        }
    }

    /// Asks for the first pictures of all subscriptions of a peer that wait for one.
    pub(crate) fn ask_for_first_pictures(
        &mut self,
        peer: PeerPlace,
        now: Instant,
        host: &mut impl Host,
    ) {
        let mut next = 0;
        while let Some(place) =
            self.peers.at(peer).and_then(|peer| peer.subscriptions.get(next).copied())
        {
            next += 1;
            let Some(subscription) = self.subscriptions.at(place) else { continue };
            let feed = subscription.feed;
            if let Some(encoding) = subscription.waits_for(now) {
                self.want_key_frame(feed, encoding, now, host);
            }
        }
    }

    /// Another core wants a key frame.
    pub(crate) fn on_key_frame_wanted(
        &mut self,
        track: common::id::TrackId,
        encoding: u8,
        now: Instant,
        host: &mut impl Host,
    ) {
        let Some(feed) = self.feeds.place(FeedName(track)) else { return };
        if self.feeds.at(feed).is_some_and(|feed| feed.home == self.core) {
            self.want_key_frame(feed, encoding, now, host);
        }
    }

    /// Sends kept key-frame wishes and due requests for lost packets of one track.
    pub(crate) fn ask_publisher(&mut self, place: TrackPlace, now: Instant, host: &mut impl Host) {
        let mut number = 0u8;
        while let Some(track) = self.tracks.at_mut(place) {
            let nack = track.answers_nack();
            let Some(state) = track.encodings.get_mut(usize::from(number)) else { return };
            let mut missing = [0; NACK_MAX];
            // Gaps grow old also where nobody can be asked.
            let due = state.gaps.due(now, &mut missing);
            let count = if nack { due } else { 0 };
            let key_frame = state.key_frames.due(now);
            let (peer, ssrc) = (track.peer, state.ssrc);
            if let Some(ssrc) = ssrc.filter(|_| count > 0) {
                self.send_rtcp(peer, host, |writer, sender| {
                    writer.nack(sender, ssrc, &missing[..count]);
                });
            }
            if key_frame {
                self.send_key_frame_request(place, number, host);
            }
            number += 1;
        }
    }

    /// Sends a compound of receiver report (RFC 5506 allows reduced size only where negotiated)
    /// and what `write` adds to a peer. `write` gets our RTCP SSRC towards that peer.
    pub(crate) fn send_rtcp(
        &mut self,
        peer: PeerPlace,
        host: &mut impl Host,
        write: impl FnOnce(&mut CompoundWriter<'_>, u32),
    ) {
        let Some(peer) = self.peers.at_mut(peer) else { return };
        let Some(slot) = host.reserve() else { return };
        let mut writer = CompoundWriter::new(&mut slot[..common::limits::DATAGRAM_MAX - 64]);
        writer.receiver_report(peer.rtcp_ssrc, &[]);
        write(&mut writer, peer.rtcp_ssrc);
        let len = writer.finish();
        if let Some((sealed, to)) = peer.seal_rtcp(slot, len) {
            send(&mut self.counters, host, to, sealed);
        }
    }

    fn send_key_frame_request(&mut self, place: TrackPlace, encoding: u8, host: &mut impl Host) {
        let Some(track) = self.tracks.at(place) else { return };
        let Some(state) = track.encodings.get(usize::from(encoding)) else { return };
        let Some(ssrc) = state.ssrc.or(state.facts.ssrc) else { return };
        let peer = track.peer;
        self.counters.key_frame_requests += 1;
        self.send_rtcp(peer, host, |writer, sender| {
            writer.pli(sender, ssrc);
        });
    }
}
