//! The life of a peer: handshake steps, connection, end.

use std::time::Instant;

use common::address::TransportAddress;
use common::event::{CloseReason, Event};

use super::{Outcome, Tables, send};
use crate::host::Host;
use crate::kit::table::{PeerPlace, SubscriptionPlace, TrackPlace};
use crate::transport::Progress;

impl Tables {
    /// Lets the handshake of a peer go on as far as it can. What it sends goes to `via`, the
    /// address that the last datagram came from, or else to the selected path.
    pub(crate) fn drive(
        &mut self,
        place: PeerPlace,
        via: Option<TransportAddress>,
        now: Instant,
        host: &mut impl Host,
    ) {
        loop {
            let Some(peer) = self.peers.at_mut(place) else { return };
            let Some(slot) = host.reserve() else { return };
            match peer.establish.poll(slot, now) {
                Progress::Send(len) => {
                    if let Some(to) = via.or_else(|| peer.ice.selected()) {
                        send(&mut self.counters, &mut peer.traffic.sent, host, to, len);
                    }
                }
                Progress::Connected { keying, profile, setup } => {
                    peer.install(&keying);
                    self.counters.handshakes += 1;
                    self.counters.handshake_us += setup.as_micros() as u64;
                    let peer = peer.id;
                    host.event(Event::Connected { peer, setup, profile });
                    self.ask_for_first_pictures(place, now, host);
                    self.start_channels(place, now);
                }
                Progress::Application(len) => {
                    let packet = slot.get(..len).unwrap_or_default().to_vec();
                    self.on_sctp(place, &packet, now);
                }
                Progress::Failed(reason) => return self.close(place, reason, now, host),
                Progress::Idle => return,
            }
        }
    }

    /// Starts the association of a peer whose handshake is complete.
    pub(crate) fn start_channels(&mut self, place: PeerPlace, now: Instant) {
        let peer = self.peers.at_mut(place).filter(|peer| peer.establish.is_connected());
        if let Some(channels) = peer.and_then(|peer| peer.channels.as_mut()) {
            channels.sctp.start(now);
            self.list_channels(place);
        }
    }

    /// Ends a peer: says goodbye, removes everything of it, reports it.
    pub(crate) fn close(
        &mut self,
        place: PeerPlace,
        reason: CloseReason,
        now: Instant,
        host: &mut impl Host,
    ) {
        self.say_goodbye(place, now, host);
        self.forget_channels(place);
        let Some(mut peer) = self.peers.remove(place) else { return };
        if let Some(traffic) = peer.take_traffic() {
            host.event(traffic);
        }
        for path in peer.ice.paths() {
            self.flows.unbind(path, place);
        }
        for subscription in std::mem::take(&mut peer.subscriptions) {
            self.remove_subscription(subscription);
        }
        for track in std::mem::take(&mut peer.tracks) {
            self.remove_track(track);
        }
        host.event(Event::Closed { peer: peer.id, reason });
    }

    /// Counts a datagram of a peer, unless it was dropped.
    pub(crate) fn count_received(&mut self, place: PeerPlace, outcome: Outcome, len: usize) {
        if matches!(outcome, Outcome::Media | Outcome::Control)
            && let Some(peer) = self.peers.at_mut(place)
        {
            peer.traffic.received += len as u64;
        }
    }

    /// Removes a subscription from all tables.
    pub(crate) fn remove_subscription(&mut self, place: SubscriptionPlace) {
        let Some(subscription) = self.subscriptions.remove(place) else { return };
        if let Some(peer) = self.peers.at_mut(subscription.peer) {
            peer.subscriptions.retain(|kept| *kept != place);
            if let Some(downlink) = &mut peer.downlink {
                downlink.forget(place);
            }
        }
        if let Some(feed) = self.feeds.at_mut(subscription.feed) {
            feed.leave(place);
        }
        self.drop_idle_feed(subscription.feed);
    }

    /// Removes a published track from all tables; its subscriptions stay, without packets.
    pub(crate) fn remove_track(&mut self, place: TrackPlace) {
        let Some(track) = self.tracks.remove(place) else { return };
        self.gapped.retain(|listed| *listed != place);
        if let Some(peer) = self.peers.at_mut(track.peer) {
            peer.tracks.retain(|kept| *kept != place);
            peer.streams.release(place);
        }
        let Some(feed) = self.feeds.place(crate::kit::table::FeedName(track.id)) else { return };
        if let Some(feed) = self.feeds.at_mut(feed) {
            feed.published = false;
        }
        self.drop_idle_feed(feed);
    }

    fn say_goodbye(&mut self, place: PeerPlace, now: Instant, host: &mut impl Host) {
        let Some(peer) = self.peers.at_mut(place) else { return };
        let Some(to) = peer.ice.selected() else { return };
        peer.establish.close(now);
        // Close_notify is one record; more polls only guard against a surprise.
        for _ in 0..4 {
            let Some(slot) = host.reserve() else { return };
            let Progress::Send(len) = peer.establish.poll(slot, now) else { return };
            send(&mut self.counters, &mut peer.traffic.sent, host, to, len);
        }
    }
}
