//! State change to commands: the one door to the cores.
//!
//! Keeps what every peer, track, data channel and subscription should be, and what the cores were
//! told. Each call changes the wish and appends the commands that close the difference: nothing for
//! a peer that no core has claimed yet, everything at once when it is claimed, only deltas
//! afterwards. Pure: the owner (`state/mod.rs`) sends the commands in order, under the lock that
//! guards this value. Never drops a wish because a core is not ready, never tells a core of an
//! object it cannot know. Data channels: `push/channels.rs`.

mod channels;

use std::collections::{BTreeSet, HashMap};

use common::command::{Command, PeerFacts, PublishFacts, SubscribeFacts};
use common::id::{CoreId, PeerId, SubscriptionId, TrackId};
use common::limits;

use self::channels::{Channels, PeerChannels};
use crate::slots::Slots;

pub use self::channels::ChannelWish;

/// Commands to send, in order.
pub type Outbox = Vec<(CoreId, Command)>;

/// The wishes and what was sent of them.
#[derive(Debug)]
pub struct Push {
    peers: HashMap<PeerId, Peer>,
    tracks: HashMap<TrackId, Track>,
    subscriptions: HashMap<SubscriptionId, Subscription>,
    /// How many subscriptions on a core want a track of a publisher's core.
    reach: HashMap<Reach, u32>,
    track_slots: Slots,
    subscription_slots: Slots,
    channels: Channels,
}

#[derive(Default, Debug)]
struct Peer {
    core: Option<CoreId>,
    facts: Option<PeerFacts>,
    tracks: BTreeSet<TrackId>,
    subscriptions: BTreeSet<SubscriptionId>,
    channels: PeerChannels,
}

impl Peer {
    /// The core that may be told of this peer's objects.
    fn ready(&self) -> Option<CoreId> {
        self.facts.as_ref().and(self.core)
    }
}

#[derive(Debug)]
struct Track {
    facts: PublishFacts,
    subscriptions: BTreeSet<SubscriptionId>,
}

#[derive(Debug)]
struct Subscription {
    facts: SubscribeFacts,
    /// The core that holds it and the place of the track it was told.
    sent: Option<(CoreId, TrackId, CoreId)>,
}

/// Packets of a track go from its publisher's core to another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Reach {
    track: TrackId,
    from: CoreId,
    to: CoreId,
}

impl Default for Push {
    fn default() -> Self {
        Self::new(limits::TRACKS_MAX, limits::SUBSCRIPTIONS_MAX)
    }
}

impl Push {
    /// An empty door that hands out at most so many tracks and subscriptions.
    pub fn new(tracks_max: usize, subscriptions_max: usize) -> Self {
        Self {
            peers: HashMap::new(),
            tracks: HashMap::new(),
            subscriptions: HashMap::new(),
            reach: HashMap::new(),
            track_slots: Slots::new(tracks_max),
            subscription_slots: Slots::new(subscriptions_max),
            channels: Channels::new(limits::CHANNELS_MAX, limits::CHANNEL_SUBSCRIPTIONS_MAX),
        }
    }

    /// Begins a peer; commands for it wait for its claim and its facts.
    pub fn open_peer(&mut self, peer: PeerId) {
        self.peers.entry(peer).or_default();
    }

    /// Whether the peer is open.
    pub fn knows(&self, peer: PeerId) -> bool {
        self.peers.contains_key(&peer)
    }

    /// A fresh track id; None when all are taken. It is free again once the track ended.
    pub fn new_track(&mut self) -> Option<TrackId> {
        self.track_slots.take().map(|(index, generation)| TrackId::new(index, generation))
    }

    /// A fresh subscription id; None when all are taken.
    pub fn new_subscription(&mut self) -> Option<SubscriptionId> {
        self.subscription_slots
            .take()
            .map(|(index, generation)| SubscriptionId::new(index, generation))
    }

    fn forget_track(&mut self, track: TrackId) {
        if !self.tracks.contains_key(&track) {
            self.track_slots.give(track.index, track.generation);
        }
    }

    fn forget_subscription(&mut self, subscription: SubscriptionId) {
        if !self.subscriptions.contains_key(&subscription) {
            self.subscription_slots.give(subscription.index, subscription.generation);
        }
    }

    /// The facts of a peer, first or changed.
    pub fn set_peer(&mut self, facts: PeerFacts, out: &mut Outbox) {
        let id = facts.peer;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let first = peer.facts.is_none();
        peer.facts = Some(facts.clone());
        let Some(core) = peer.core else { return };
        out.push((core, Command::SetPeer(facts)));
        if first {
            self.replay(id, core, out);
        }
    }

    /// A core claimed the peer. A peer that is not open any more is closed there.
    pub fn claimed(&mut self, id: PeerId, core: CoreId, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(&id) else {
            out.push((core, Command::ClosePeer { peer: id }));
            return;
        };
        peer.core = Some(core);
        if let Some(facts) = peer.facts.clone() {
            out.push((core, Command::SetPeer(facts)));
            self.replay(id, core, out);
        }
    }

    /// Tells a core everything of a peer that has just become ready there.
    fn replay(&mut self, id: PeerId, core: CoreId, out: &mut Outbox) {
        let Some(peer) = self.peers.get(&id) else { return };
        let (tracks, subscriptions) = (peer.tracks.clone(), peer.subscriptions.clone());
        for track in &tracks {
            let Some(track) = self.tracks.get(track) else { continue };
            out.push((core, Command::Publish(Box::new(track.facts.clone()))));
        }
        for track in tracks {
            self.settle_track(track, out);
        }
        for subscription in subscriptions {
            self.settle(subscription, false, out);
        }
        self.replay_channels(id, core, out);
    }

    /// Publishes a track or replaces its facts.
    pub fn publish(&mut self, facts: PublishFacts, out: &mut Outbox) {
        let id = facts.track;
        let Some(peer) = self.peers.get_mut(&facts.peer) else {
            self.forget_track(id);
            return;
        };
        peer.tracks.insert(id);
        let core = peer.ready();
        let command = Command::Publish(Box::new(facts.clone()));
        match self.tracks.get_mut(&id) {
            Some(track) => track.facts = facts,
            None => {
                self.tracks.insert(id, Track { facts, subscriptions: BTreeSet::new() });
            }
        }
        if let Some(core) = core {
            out.push((core, command));
        }
        self.settle_track(id, out);
    }

    /// Ends a track, or gives back an id that never came to [`Push::publish`]. Its subscriptions
    /// stay, without a source, until they end or are re-pointed.
    pub fn unpublish(&mut self, id: TrackId, out: &mut Outbox) {
        let Some(track) = self.tracks.remove(&id) else {
            return self.forget_track(id);
        };
        for subscription in &track.subscriptions {
            self.detach(*subscription, out);
        }
        if let Some(peer) = self.peers.get_mut(&track.facts.peer) {
            peer.tracks.remove(&id);
            if let Some(core) = peer.ready() {
                out.push((core, Command::Unpublish { track: id }));
            }
        }
        self.track_slots.give(id.index, id.generation);
    }

    /// Adds a subscription or replaces its facts (`track_core` is filled in here).
    pub fn subscribe(&mut self, facts: SubscribeFacts, out: &mut Outbox) {
        let id = facts.subscription;
        let Some(peer) = self.peers.get_mut(&facts.peer) else {
            self.forget_subscription(id);
            return;
        };
        peer.subscriptions.insert(id);
        let track = facts.track;
        let old = self.subscriptions.get(&id).map(|subscription| subscription.facts.track);
        if old.is_some_and(|old| old != track) {
            self.detach(id, out);
        }
        if let Some(track) = old.and_then(|old| self.tracks.get_mut(&old)) {
            track.subscriptions.remove(&id);
        }
        if let Some(track) = self.tracks.get_mut(&track) {
            track.subscriptions.insert(id);
        }
        match self.subscriptions.get_mut(&id) {
            Some(subscription) => subscription.facts = facts,
            None => {
                self.subscriptions.insert(id, Subscription { facts, sent: None });
            }
        }
        self.settle(id, true, out);
    }

    /// Ends a subscription, or gives back an id that never came to [`Push::subscribe`].
    pub fn unsubscribe(&mut self, id: SubscriptionId, out: &mut Outbox) {
        self.unreach(id, out);
        let Some(subscription) = self.subscriptions.remove(&id) else {
            return self.forget_subscription(id);
        };
        if let Some(track) = self.tracks.get_mut(&subscription.facts.track) {
            track.subscriptions.remove(&id);
        }
        if let Some(peer) = self.peers.get_mut(&subscription.facts.peer) {
            peer.subscriptions.remove(&id);
        }
        // Also when the track ended meanwhile: the core still holds the outbound stream.
        if let Some(core) = self.peers.get(&subscription.facts.peer).and_then(Peer::ready) {
            out.push((core, Command::Unsubscribe { subscription: id }));
        }
        self.subscription_slots.give(id.index, id.generation);
    }

    /// Moves everything of one peer to another, and closes the first. The moved objects wait for
    /// the claim of their new peer. True when a core has the old peer and will say when it closed.
    pub fn move_peer(&mut self, old: PeerId, new: PeerId, out: &mut Outbox) -> bool {
        let Some(peer) = self.peers.get(&old) else { return false };
        let (tracks, subscriptions) = (peer.tracks.clone(), peer.subscriptions.clone());
        for track in &tracks {
            let users = self.tracks.get(track).map(|t| t.subscriptions.clone()).unwrap_or_default();
            users.into_iter().for_each(|user| self.detach(user, out));
        }
        subscriptions.iter().for_each(|subscription| self.detach(*subscription, out));
        let channels = self.move_channels(old, new, out);
        let core = self.peers.remove(&old).and_then(|peer| peer.core);
        for id in &tracks {
            if let Some(track) = self.tracks.get_mut(id) {
                track.facts.peer = new;
            }
        }
        for id in &subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(id) {
                subscription.facts.peer = new;
            }
        }
        let peer = self.peers.entry(new).or_default();
        peer.tracks.extend(tracks);
        peer.subscriptions.extend(subscriptions);
        peer.channels = channels;
        if let Some(core) = core {
            out.push((core, Command::ClosePeer { peer: old }));
        }
        core.is_some()
    }

    /// Ends a peer with its tracks and subscriptions. True when a core has it and will say when it
    /// closed; false when no core knows of it.
    pub fn close_peer(&mut self, id: PeerId, out: &mut Outbox) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let core = peer.core;
        self.drop_objects(id, out);
        if let Some(core) = core {
            out.push((core, Command::ClosePeer { peer: id }));
        }
        core.is_some()
    }

    /// A core ended the peer by itself: the same without telling that core.
    pub fn closed(&mut self, id: PeerId, out: &mut Outbox) {
        self.drop_objects(id, out);
    }

    /// Forgets a peer and its objects. Its own core drops them with the peer; other cores are told.
    fn drop_objects(&mut self, id: PeerId, out: &mut Outbox) {
        let Some(peer) = self.peers.remove(&id) else { return };
        for track in peer.tracks {
            self.unpublish(track, out);
        }
        for subscription in peer.subscriptions {
            self.unsubscribe(subscription, out);
        }
        self.end_channels(peer.channels, out);
    }

    /// Settles every subscription of a track.
    fn settle_track(&mut self, id: TrackId, out: &mut Outbox) {
        let users = self.tracks.get(&id).map(|t| t.subscriptions.clone()).unwrap_or_default();
        users.into_iter().for_each(|user| self.settle(user, false, out));
    }

    /// Tells a subscription's core of it once both ends have a core; again when they changed or
    /// when `again` says that its facts did.
    fn settle(&mut self, id: SubscriptionId, again: bool, out: &mut Outbox) {
        let Some(place) = self.place(id) else { return };
        let Some(subscription) = self.subscriptions.get(&id) else { return };
        let before = subscription.sent;
        if before == Some(place) && !again {
            return;
        }
        let (core, track, track_core) = place;
        let mut facts = subscription.facts.clone();
        facts.track_core = track_core;
        out.push((core, Command::Subscribe(Box::new(facts))));
        if before == Some(place) {
            return;
        }
        self.unreach(id, out);
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.sent = Some(place);
        }
        if core != track_core {
            let reach = Reach { track, from: track_core, to: core };
            let users = self.reach.entry(reach).or_default();
            *users += 1;
            if *users == 1 {
                out.push((track_core, Command::Reach { track, core, wanted: true }));
            }
        }
    }

    /// Where a subscription and its track live, when both do.
    fn place(&self, id: SubscriptionId) -> Option<(CoreId, TrackId, CoreId)> {
        let facts = &self.subscriptions.get(&id)?.facts;
        let core = self.peers.get(&facts.peer)?.ready()?;
        let track = self.tracks.get(&facts.track)?;
        let track_core = self.peers.get(&track.facts.peer)?.ready()?;
        Some((core, facts.track, track_core))
    }

    /// Forgets that a subscription was told; the next settle tells it again.
    fn detach(&mut self, id: SubscriptionId, out: &mut Outbox) {
        self.unreach(id, out);
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.sent = None;
        }
    }

    /// Takes back a subscription's part in the reach of its track.
    fn unreach(&mut self, id: SubscriptionId, out: &mut Outbox) {
        let sent = self.subscriptions.get_mut(&id).and_then(|s| s.sent.take());
        let Some((core, track, track_core)) = sent else { return };
        let reach = Reach { track, from: track_core, to: core };
        let Some(users) = self.reach.get_mut(&reach) else { return };
        *users -= 1;
        if *users == 0 {
            self.reach.remove(&reach);
            out.push((track_core, Command::Reach { track, core, wanted: false }));
        }
    }
}

#[cfg(test)]
mod tests;
