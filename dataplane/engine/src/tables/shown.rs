//! What a peer's tracks cost and what its subscriptions show, for the control plane's dashboard. Called
//! by `tick.rs` every two seconds per peer, behind the peer's traffic; never per packet.

use common::event::Event;
use common::limits::ENCODINGS_MAX;
use common::media::MediaKind;
use proto::payload::facts::Target;

use super::Tables;
use crate::host::Host;
use crate::kit::table::{FeedName, PeerPlace};

impl Tables {
    /// Reports the rates of everything a peer publishes, and what changed of what it is shown; the rest
    /// another time, once much of the event lane waits.
    pub(crate) fn report_shown(&mut self, place: PeerPlace, host: &mut impl Host) {
        let Some(peer) = self.peers.at(place) else { return };
        for track in peer.tracks.iter().filter_map(|track| self.tracks.at(*track)) {
            if !host.is_heard() {
                return;
            }
            let feed = self.feeds.place(FeedName(track.id)).and_then(|feed| self.feeds.at(feed));
            let encodings = feed.map(|feed| feed.encodings.as_slice()).unwrap_or_default();
            let mut rates = [0; ENCODINGS_MAX];
            for (rate, encoding) in rates.iter_mut().zip(encodings) {
                *rate = encoding.meter.rate(Target::ALL).min(u64::from(u32::MAX)) as u32;
            }
            host.event(Event::TrackRates { track: track.id, rates });
        }
        for place in &peer.subscriptions {
            if !host.is_heard() {
                return;
            }
            let Some(subscription) = self.subscriptions.at_mut(*place) else { continue };
            let video = subscription.kind == MediaKind::Video && !subscription.layers.paused();
            let encoding = subscription.rewrite.encoding().filter(|_| video);
            if std::mem::replace(&mut subscription.told, encoding) != encoding {
                let subscription = subscription.id;
                host.event(Event::Shown { peer: peer.id, subscription, encoding });
            }
        }
    }
}
