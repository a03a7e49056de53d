//! The door's half for data channels: the same promises as for tracks.
//!
//! Differs from tracks in four ways. Stream ids are handed out here, because only what the cores
//! were told decides when one is free again. A channel that ends takes its subscriptions along, so
//! that their clients see them close. One subscriber at a time may reply, and the right moves to
//! who got it last. A peer's channels can end without the peer, with its association.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::command::{ChannelFacts, ChannelSubscriptionFacts, Command, Reliability};
use common::id::{ChannelId, ChannelSubscriptionId, CoreId, PeerId};
use common::limits;

use super::{Outbox, Push};
use crate::slots::Slots;

/// First stream that is handed out. 0 is `server-events`; a client's own channel in band gets 0 or
/// 1 (RFC 8832 section 6).
const STREAM_FIRST: u16 = 2;

/// Channels and their subscriptions.
#[derive(Debug)]
pub(super) struct Channels {
    channels: HashMap<ChannelId, Channel>,
    subscriptions: HashMap<ChannelSubscriptionId, Subscription>,
    /// How many subscriptions on a core want a channel of a publisher's core.
    reach: HashMap<Reach, u32>,
    channel_slots: Slots,
    subscription_slots: Slots,
}

#[derive(Debug)]
struct Channel {
    facts: ChannelFacts,
    subscriptions: BTreeSet<ChannelSubscriptionId>,
    /// The subscriber that may reply.
    replier: Option<ChannelSubscriptionId>,
}

#[derive(Debug)]
struct Subscription {
    facts: ChannelSubscriptionFacts,
    /// The subscriber's core was told: it has the stream, and will say when it is free.
    held: bool,
    /// Its core and the channel's core, as long as both stand.
    sent: Option<(CoreId, CoreId)>,
}

/// Messages of a channel go from its publisher's core to another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Reach {
    channel: ChannelId,
    from: CoreId,
    to: CoreId,
}

/// Channels of one peer, and the streams of its association.
#[derive(Default, Debug)]
pub(super) struct PeerChannels {
    published: BTreeSet<ChannelId>,
    subscribed: BTreeSet<ChannelSubscriptionId>,
    streams: Streams,
}

/// Who uses a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    /// A channel that did not end.
    Live,
    /// One that ended on a core that has not said yet that both directions were reset.
    Resetting,
}

/// Streams of one association that are not free.
#[derive(Default, Debug)]
struct Streams {
    used: BTreeMap<u16, Use>,
    /// Where the search for a free one begins: one that was just freed comes last.
    next: u16,
}

impl Streams {
    fn take(&mut self) -> Option<u16> {
        let next = self.next.max(STREAM_FIRST);
        let all = (next..limits::SCTP_STREAMS_MAX).chain(STREAM_FIRST..next);
        let stream = all.into_iter().find(|stream| !self.used.contains_key(stream))?;
        self.used.insert(stream, Use::Live);
        self.next = stream.saturating_add(1);
        Some(stream)
    }

    /// The channel on it ended.
    fn end(&mut self, stream: u16, held: bool) {
        if held {
            self.used.insert(stream, Use::Resetting);
        } else {
            self.used.remove(&stream);
        }
    }
}

/// What a subscriber asks of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelWish {
    /// Hold messages until the subscriber's first one.
    pub wait_for_ack: bool,
    /// Pass the subscriber's messages on to the publisher.
    pub can_reply: bool,
}

impl Channels {
    pub(super) fn new(channels_max: usize, subscriptions_max: usize) -> Self {
        Self {
            channels: HashMap::new(),
            subscriptions: HashMap::new(),
            reach: HashMap::new(),
            channel_slots: Slots::new(channels_max),
            subscription_slots: Slots::new(subscriptions_max),
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.subscriptions.is_empty() && self.reach.is_empty()
    }
}

impl Push {
    /// Publishes a channel of a peer on a stream of its own. None when a table is full, all streams
    /// of the association are taken, or the peer is gone.
    pub fn publish_channel(
        &mut self,
        peer: PeerId,
        reliability: Reliability,
        out: &mut Outbox,
    ) -> Option<(ChannelId, u16)> {
        let entry = self.peers.get_mut(&peer)?;
        let stream = entry.channels.streams.take()?;
        let Some((index, generation)) = self.channels.channel_slots.take() else {
            entry.channels.streams.end(stream, false);
            return None;
        };
        let channel = ChannelId::new(index, generation);
        entry.channels.published.insert(channel);
        let facts = ChannelFacts { channel, peer, stream, reliability };
        let subscriptions = BTreeSet::new();
        self.channels.channels.insert(channel, Channel { facts, subscriptions, replier: None });
        if let Some(core) = entry.ready() {
            out.push((core, Command::PublishChannel(facts)));
        }
        Some((channel, stream))
    }

    /// Ends a channel and its subscriptions. The peer it was of; None when it had ended.
    pub fn unpublish_channel(&mut self, id: ChannelId, out: &mut Outbox) -> Option<PeerId> {
        let users = self.channels.channels.get(&id)?.subscriptions.clone();
        for user in users {
            self.unsubscribe_channel(user, out);
        }
        let facts = self.channels.channels.remove(&id)?.facts;
        if let Some(peer) = self.peers.get_mut(&facts.peer) {
            let core = peer.ready();
            peer.channels.published.remove(&id);
            peer.channels.streams.end(facts.stream, core.is_some());
            out.extend(core.map(|core| (core, Command::UnpublishChannel { channel: id })));
        }
        self.channels.channel_slots.give(id.index, id.generation);
        Some(facts.peer)
    }

    /// Subscribes a peer to a channel on a stream of its own. None when a table is full, all streams
    /// of the association are taken, or the peer or the channel is gone.
    pub fn subscribe_channel(
        &mut self,
        peer: PeerId,
        channel: ChannelId,
        wish: ChannelWish,
        out: &mut Outbox,
    ) -> Option<(ChannelSubscriptionId, u16)> {
        let reliability = self.channels.channels.get(&channel)?.facts.reliability;
        let entry = self.peers.get_mut(&peer)?;
        let stream = entry.channels.streams.take()?;
        let Some((index, generation)) = self.channels.subscription_slots.take() else {
            entry.channels.streams.end(stream, false);
            return None;
        };
        let subscription = ChannelSubscriptionId::new(index, generation);
        entry.channels.subscribed.insert(subscription);
        let facts = ChannelSubscriptionFacts {
            subscription,
            peer,
            channel,
            channel_core: CoreId(0),
            stream,
            reliability,
            wait_for_ack: wish.wait_for_ack,
            can_reply: false,
        };
        let new = Subscription { facts, held: false, sent: None };
        self.channels.subscriptions.insert(subscription, new);
        if let Some(channel) = self.channels.channels.get_mut(&channel) {
            channel.subscriptions.insert(subscription);
        }
        if wish.can_reply {
            self.allow_reply(subscription, true, out);
        }
        self.settle_channel(subscription, false, out);
        Some((subscription, stream))
    }

    /// Ends a subscription. The peer it was of; None when it had ended.
    pub fn unsubscribe_channel(
        &mut self,
        id: ChannelSubscriptionId,
        out: &mut Outbox,
    ) -> Option<PeerId> {
        self.unreach_channel(id, out);
        let Subscription { facts, held, .. } = self.channels.subscriptions.remove(&id)?;
        if let Some(channel) = self.channels.channels.get_mut(&facts.channel) {
            channel.subscriptions.remove(&id);
            channel.replier = channel.replier.filter(|replier| *replier != id);
        }
        if let Some(peer) = self.peers.get_mut(&facts.peer) {
            peer.channels.subscribed.remove(&id);
            peer.channels.streams.end(facts.stream, held);
            let core = peer.ready().filter(|_| held);
            out.extend(core.map(|core| (core, Command::UnsubscribeChannel { subscription: id })));
        }
        self.channels.subscription_slots.give(id.index, id.generation);
        Some(facts.peer)
    }

    /// Lets a subscriber reply, instead of the one that could so far, or takes the right from it.
    pub fn allow_reply(&mut self, id: ChannelSubscriptionId, allowed: bool, out: &mut Outbox) {
        let Some(subscription) = self.channels.subscriptions.get(&id) else { return };
        let channel = self.channels.channels.get_mut(&subscription.facts.channel);
        let Some(channel) = channel else { return };
        let before = channel.replier;
        let after = if allowed { Some(id) } else { before.filter(|replier| *replier != id) };
        channel.replier = after;
        if before != after {
            for changed in before.into_iter().chain(after) {
                self.settle_channel(changed, true, out);
            }
        }
    }

    /// Both directions of a stream were reset: it may be handed out again.
    pub fn free_stream(&mut self, peer: PeerId, stream: u16) {
        let Some(peer) = self.peers.get_mut(&peer) else { return };
        if peer.channels.streams.used.get(&stream) == Some(&Use::Resetting) {
            peer.channels.streams.used.remove(&stream);
        }
    }

    /// Ends all channels and subscriptions of a peer: its association ended, and its streams with it.
    pub fn drop_channels(&mut self, id: PeerId, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let channels = std::mem::take(&mut peer.channels);
        self.end_channels(channels, out);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.channels = PeerChannels::default();
        }
    }

    /// Ends what a peer published and subscribed.
    pub(super) fn end_channels(&mut self, channels: PeerChannels, out: &mut Outbox) {
        for channel in channels.published {
            self.unpublish_channel(channel, out);
        }
        for subscription in channels.subscribed {
            self.unsubscribe_channel(subscription, out);
        }
    }

    /// Takes everything of a peer for another one, which has a new association.
    pub(super) fn move_channels(
        &mut self,
        old: PeerId,
        new: PeerId,
        out: &mut Outbox,
    ) -> PeerChannels {
        let Some(peer) = self.peers.get_mut(&old) else { return PeerChannels::default() };
        let mut moved = std::mem::take(&mut peer.channels);
        moved.streams.used.retain(|_, stream| *stream == Use::Live);
        for id in &moved.published {
            let Some(channel) = self.channels.channels.get_mut(id) else { continue };
            channel.facts.peer = new;
            for user in channel.subscriptions.clone() {
                self.unreach_channel(user, out);
            }
        }
        for id in &moved.subscribed {
            self.unreach_channel(*id, out);
            if let Some(subscription) = self.channels.subscriptions.get_mut(id) {
                subscription.facts.peer = new;
                subscription.held = false;
            }
        }
        moved
    }

    /// Tells a core everything of a peer that has just become ready there.
    pub(super) fn replay_channels(&mut self, id: PeerId, core: CoreId, out: &mut Outbox) {
        let Some(peer) = self.peers.get(&id) else { return };
        let mut subscriptions = Vec::from_iter(peer.channels.subscribed.iter().copied());
        for channel in &peer.channels.published {
            let Some(channel) = self.channels.channels.get(channel) else { continue };
            out.push((core, Command::PublishChannel(channel.facts)));
            subscriptions.extend(&channel.subscriptions);
        }
        for subscription in subscriptions {
            self.settle_channel(subscription, false, out);
        }
    }

    /// Tells a subscription's core of it once both ends have a core; again when they changed or
    /// when `again` says that its facts did.
    fn settle_channel(&mut self, id: ChannelSubscriptionId, again: bool, out: &mut Outbox) {
        let Some((facts, place)) = self.channel_facts(id) else { return };
        let Some(subscription) = self.channels.subscriptions.get_mut(&id) else { return };
        let before = subscription.sent;
        if before == Some(place) && !again {
            return;
        }
        let (core, channel_core) = place;
        subscription.held = true;
        out.push((core, Command::SubscribeChannel(facts)));
        if before == Some(place) {
            return;
        }
        self.unreach_channel(id, out);
        if let Some(subscription) = self.channels.subscriptions.get_mut(&id) {
            subscription.sent = Some(place);
        }
        if core != channel_core {
            let channel = facts.channel;
            let reach = Reach { channel, from: channel_core, to: core };
            let users = self.channels.reach.entry(reach).or_default();
            *users += 1;
            if *users == 1 {
                out.push((channel_core, Command::ReachChannel { channel, core, wanted: true }));
            }
        }
    }

    /// A subscription's facts as they are now, its core and the channel's, when both stand.
    fn channel_facts(
        &self,
        id: ChannelSubscriptionId,
    ) -> Option<(ChannelSubscriptionFacts, (CoreId, CoreId))> {
        let mut facts = self.channels.subscriptions.get(&id)?.facts;
        let channel = self.channels.channels.get(&facts.channel)?;
        let core = self.peers.get(&facts.peer)?.ready()?;
        facts.channel_core = self.peers.get(&channel.facts.peer)?.ready()?;
        facts.can_reply = channel.replier == Some(id);
        Some((facts, (core, facts.channel_core)))
    }

    /// Takes back a subscription's part in the reach of its channel; the next settle tells it again.
    fn unreach_channel(&mut self, id: ChannelSubscriptionId, out: &mut Outbox) {
        let Some(subscription) = self.channels.subscriptions.get_mut(&id) else { return };
        let channel = subscription.facts.channel;
        let Some((core, channel_core)) = subscription.sent.take() else { return };
        let reach = Reach { channel, from: channel_core, to: core };
        let Some(users) = self.channels.reach.get_mut(&reach) else { return };
        *users -= 1;
        if *users == 0 {
            self.channels.reach.remove(&reach);
            out.push((channel_core, Command::ReachChannel { channel, core, wanted: false }));
        }
    }
}

#[cfg(test)]
mod tests;
