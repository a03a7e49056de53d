//! What is asked of publishers: key frames and lost packets.

use std::time::Instant;

use crate::host::{FrameHeader, Host};
use crate::kit::table::{FeedName, FeedPlace, PeerPlace, TrackPlace};
use crate::publish::{Due, GAPS_MAX, Track};
use crate::route::Feed;
use proto::rtcp::CompoundWriter;

use super::{Tables, send};

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
        let Some(found) = self.tracks.at_mut(place).filter(|found| found.answers_pli()) else {
            return;
        };
        let Track { encodings, round_trip, .. } = found;
        let Some(state) = encodings.get_mut(usize::from(encoding)) else { return };
        if state.want_key_frame(now, round_trip) {
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

    /// Sends the key-frame wishes of a track that were kept until now.
    pub(crate) fn repeat_wishes(&mut self, place: TrackPlace, now: Instant, host: &mut impl Host) {
        let mut number = 0u8;
        while let Some(track) = self.tracks.at_mut(place) {
            let Track { encodings, round_trip, .. } = track;
            let Some(state) = encodings.get_mut(usize::from(number)) else { return };
            if state.is_key_frame_due(now, round_trip) {
                self.send_key_frame_request(place, number, host);
            }
            number += 1;
        }
    }

    /// Asks for the lost packets that are due, of all tracks with open gaps. Called every tick: its
    /// cost is that of the open gaps.
    pub(crate) fn ask_for_losses(&mut self, now: Instant, host: &mut impl Host) {
        let mut next = 0;
        while let Some(place) = self.gapped.get(next).copied() {
            let Some(track) = self.tracks.at(place) else {
                self.gapped.swap_remove(next);
                continue;
            };
            self.serving = self.peers.at(track.peer).map(|peer| peer.id);
            self.ask_for_losses_of(place, now, host);
            let Some(track) = self.tracks.at_mut(place) else { continue };
            track.listed = track.has_gaps();
            if track.listed {
                next += 1;
            } else {
                self.gapped.swap_remove(next);
            }
        }
        self.serving = None;
    }

    fn ask_for_losses_of(&mut self, place: TrackPlace, now: Instant, host: &mut impl Host) {
        let feed = self.tracks.at(place).and_then(|track| self.feeds.place(FeedName(track.id)));
        let watched = feed.and_then(|feed| self.feeds.at(feed)).is_some_and(Feed::is_watched);
        let mut number = 0u8;
        while let Some(track) = self.tracks.at_mut(place) {
            let (peer, answers) = (track.peer, watched && track.answers_nack());
            let Track { encodings, round_trip, .. } = track;
            let Some(state) = encodings.get_mut(usize::from(number)) else { return };
            let Some(ssrc) = state.ssrc.filter(|_| answers) else {
                // Gaps grow old also where nobody can be asked, or nobody misses them.
                state.gaps.expire(now);
                number += 1;
                continue;
            };
            let mut missing = [0; GAPS_MAX];
            let Due { count, hopeless } = state.gaps.due(now, round_trip, &mut missing);
            let key_frame = hopeless && state.want_key_frame(now, round_trip);
            if let Some(missing) = missing.get(..count).filter(|missing| !missing.is_empty()) {
                self.counters.asked += count as u64;
                self.send_rtcp(peer, host, |writer, sender| {
                    writer.nack(sender, ssrc, missing);
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
            send(&mut self.counters, &mut peer.traffic.sent, host, to, sealed);
        }
    }

    fn send_key_frame_request(&mut self, place: TrackPlace, encoding: u8, host: &mut impl Host) {
        let Some(track) = self.tracks.at(place) else { return };
        let Some(state) = track.encodings.get(usize::from(encoding)) else { return };
        let Some(ssrc) = state.known_ssrc() else { return };
        let peer = track.peer;
        self.counters.key_frame_requests += 1;
        self.send_rtcp(peer, host, |writer, sender| {
            writer.pli(sender, ssrc);
        });
    }
}
