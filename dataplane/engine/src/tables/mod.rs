//! Every table of one core, and the few operations that touch several of them. Paths branch and
//! call stages; what two paths need in common is here.

mod allocate;
mod asks;
mod channels;
mod egress;
mod messages;
mod peers;
mod reports;
mod shown;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use common::address::TransportAddress;
use common::counters::{Counters, Drop};
use common::id::{ChannelId, ChannelSubscriptionId, CoreId, PeerId, SubscriptionId, TrackId};
use common::media::MediaKind;
use proto::dtls::Certificate;
use proto::ice::NodeSecret;

use crate::channel::{Channel, ChannelSubscription, Crossing};
use crate::demux::Flows;
use crate::history::{History, Index};
use crate::host::{FrameHeader, Host};
use crate::kit::random::Random;
use crate::kit::table::{FeedName, FeedPlace, PeerPlace, Table, TrackPlace};
use crate::publish::Track;
use crate::route::Feed;
use crate::subscribe::Subscription;

use crate::transport::Peer;
pub(crate) use egress::{emit_as_is, emit_new, list};

/// What became of a datagram; counted in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Authentic RTP of a published track.
    Media,
    /// STUN, DTLS or RTCP that was consumed.
    Control,
    /// Given to the home core of its peer.
    HandedOver,
    /// Dropped.
    Dropped(Drop),
}

impl Outcome {
    /// Gives a datagram to the home core of its peer.
    pub(crate) fn of_hand_over(
        core: CoreId,
        from: TransportAddress,
        bytes: &[u8],
        arrival: Instant,
        host: &mut impl Host,
    ) -> Self {
        if host.hand(core, FrameHeader::Datagram { from, arrival }, bytes) {
            Outcome::HandedOver
        } else {
            Outcome::Dropped(Drop::HandOverFull)
        }
    }
}

/// The tables of one core.
pub(crate) struct Tables {
    /// Number of this core.
    pub core: CoreId,
    /// Key of the node's ICE user names and passwords.
    pub secret: NodeSecret,
    /// The node's certificate.
    pub certificate: Arc<Certificate>,
    /// Zero of the times this core tells others in feedback and reference times.
    pub start: Instant,
    /// Source of numbers that need not be secret.
    pub random: Random,
    /// Epochs given out by this core.
    pub epochs: u32,
    /// Counters.
    pub counters: Counters,
    /// Stage 1.
    pub flows: Flows,
    /// Stage 2.
    pub peers: Table<PeerId, Peer>,
    /// Stage 3.
    pub tracks: Table<TrackId, Track>,
    /// Published tracks with open gaps.
    pub gapped: Vec<TrackPlace>,
    /// Stage 5.
    pub history: History,
    /// Stage 6.
    pub feeds: Table<FeedName, Feed<Index>>,
    /// Feeds with packets of this turn.
    pub fresh: Vec<FeedPlace>,
    /// Stage 7.
    pub subscriptions: Table<SubscriptionId, Subscription>,
    /// Peers whose packets wait for their pace, or that are probed.
    pub paced: Vec<PeerPlace>,
    /// Data channels that this core publishes or has subscribers of.
    pub channels: Table<ChannelId, Channel>,
    /// Their subscribers of this core.
    pub channel_subscriptions: Table<ChannelSubscriptionId, ChannelSubscription>,
    /// Their messages that wait for room in the lanes to other cores.
    pub crossing: Crossing,
    /// Peers whose association has something to do in this call.
    channels_due: Vec<PeerPlace>,
    /// Peers by the instant at which their association wants to be served.
    pub channel_timers: BTreeSet<(Instant, PeerPlace)>,
    /// Memory of [`Tables::allocate`], kept between its calls.
    shares: Vec<allocate::Share>,
    /// The peer whose input is being processed: it ends if that panics.
    pub serving: Option<PeerId>,
}

/// What the tables of a core are made from.
pub(crate) struct TablesConfig {
    /// Number of this core.
    pub core: CoreId,
    /// Key of the node's ICE user names and passwords.
    pub secret: NodeSecret,
    /// The node's certificate.
    pub certificate: Arc<Certificate>,
    /// Seed of every random decision.
    pub seed: u64,
}

impl Tables {
    /// Empty tables. All memory that does not depend on peers is taken here.
    pub(crate) fn new(config: TablesConfig, now: Instant) -> Self {
        let mut random = Random::new(config.seed);
        Self {
            core: config.core,
            secret: config.secret,
            certificate: config.certificate,
            flows: Flows::new(random.next_u64()),
            random,
            start: now,
            epochs: 0,
            counters: Counters::default(),
            peers: Table::new(),
            tracks: Table::new(),
            gapped: Vec::new(),
            history: History::new(now),
            feeds: Table::new(),
            fresh: Vec::new(),
            subscriptions: Table::new(),
            paced: Vec::new(),
            channels: Table::new(),
            channel_subscriptions: Table::new(),
            crossing: Crossing::default(),
            channels_due: Vec::new(),
            channel_timers: BTreeSet::new(),
            shares: Vec::new(),
            serving: None,
        }
    }

    /// The feed of `track`, made when it is missing. `home` is the publisher's core.
    pub(crate) fn feed(
        &mut self,
        track: TrackId,
        kind: MediaKind,
        home: CoreId,
    ) -> Option<FeedPlace> {
        let name = FeedName(track);
        if let Some(stale) = self.feeds.holder(name).filter(|holder| *holder != name) {
            // Subscriptions of the ended track stay with it: they may be re-pointed, and their
            // numbers must go on then.
            let place = self.feeds.place(stale)?;
            self.feeds.retire(place);
            if let Some(ended) = self.feeds.at_mut(place) {
                ended.end();
            }
            self.drop_idle_feed(place);
        }
        match self.feeds.place(name) {
            Some(place) => {
                self.feeds.at_mut(place)?.home = home;
                Some(place)
            }
            None => {
                let place = self.feeds.insert(name, Feed::new(track, kind, home));
                // Nothing is allocated for a packet.
                self.fresh.reserve(self.feeds.len());
                place
            }
        }
    }

    /// An epoch that no track of this node had before, on whichever core: the core's number above
    /// a count. (The count wraps after 2^24 tracks, long after the packets of the first are gone.)
    pub(crate) fn next_epoch(&mut self) -> u32 {
        self.epochs = self.epochs.wrapping_add(1) & 0x00ff_ffff;
        u32::from(self.core.0) << 24 | self.epochs
    }

    /// Removes the feed at `place` when nobody needs it any more.
    pub(crate) fn drop_idle_feed(&mut self, place: FeedPlace) {
        if self.feeds.at(place).is_some_and(Feed::is_idle) {
            self.feeds.remove(place);
        }
    }

    /// Brings the gauges up to date.
    pub(crate) fn gauge(&mut self) {
        self.counters.peers = self.peers.len() as u64;
        self.counters.tracks = self.tracks.len() as u64;
        self.counters.subscriptions = self.subscriptions.len() as u64;
        self.counters.channel_subscriptions = self.channel_subscriptions.len() as u64;
    }
}

/// Sends the slot lent last and counts it, `sent` for the peer it goes to.
pub(crate) fn send(
    counters: &mut Counters,
    sent: &mut u64,
    host: &mut impl Host,
    to: TransportAddress,
    len: usize,
) {
    counters.datagrams_out += 1;
    counters.bytes_out += len as u64;
    *sent += len as u64;
    host.commit(to, len);
}
