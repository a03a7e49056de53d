//! Who publishes and who receives data channels: what commands and ends of peers change.

use std::time::Instant;

use common::command::{ChannelFacts, ChannelSubscriptionFacts};
use common::event::{ChannelCloseReason, Event};
use common::id::{ChannelId, ChannelSubscriptionId, CoreId};
use common::limits::SCTP_STREAMS_MAX;

use super::Tables;
use crate::channel::{Channel, ChannelSubscription, Publication};
use crate::host::Host;
use crate::kit::table::{ChannelPlace, ChannelSubscriptionPlace, PeerPlace};
use crate::transport::End;

impl Tables {
    /// Adds a published channel, or replaces its facts.
    pub(crate) fn publish_channel(
        &mut self,
        facts: &ChannelFacts,
        host: &mut impl Host,
    ) -> Option<()> {
        let peer = self.peers.place(facts.peer)?;
        let kept = self.channels.place(facts.channel);
        let before = kept.and_then(|place| self.channels.at(place)?.publication);
        let same = before.is_some_and(|it| it.peer == peer && it.stream == facts.stream);
        if !same && !self.has_free_stream(peer, facts.stream) {
            return None;
        }
        if let (Some(place), false) = (kept, same) {
            self.end_publication(place, host);
        }
        let place = self.channel(facts.channel, self.core)?;
        let (stream, reliability) = (facts.stream, facts.reliability);
        self.channels.at_mut(place)?.publication = Some(Publication { peer, stream, reliability });
        self.counters.channels += u64::from(before.is_none() || !same);
        let channels = self.peers.at_mut(peer)?.channels.as_mut()?;
        channels.ends.insert(stream, End::Publication(place));
        channels.sctp.open(stream, reliability);
        Some(())
    }

    /// Ends a published channel; its subscriptions stay.
    pub(crate) fn unpublish_channel(
        &mut self,
        channel: ChannelId,
        host: &mut impl Host,
    ) -> Option<()> {
        let place = self.channels.place(channel)?;
        self.end_publication(place, host);
        self.drop_idle_channel(place);
        Some(())
    }

    /// Adds a subscription of a channel, or replaces its facts.
    pub(crate) fn subscribe_channel(
        &mut self,
        facts: &ChannelSubscriptionFacts,
        now: Instant,
        host: &mut impl Host,
    ) -> Option<()> {
        let peer = self.peers.place(facts.peer)?;
        if let Some(place) = self.channel_subscriptions.place(facts.subscription) {
            let kept = self.channel_subscriptions.at_mut(place)?;
            let channel = self.channels.at_mut(kept.channel)?;
            if kept.peer == peer && kept.stream == facts.stream && channel.id == facts.channel {
                kept.can_reply = facts.can_reply;
                channel.home = facts.channel_core;
                return Some(());
            }
        }
        if !self.has_free_stream(peer, facts.stream) {
            return None;
        }
        if let Some(stale) = self.channel_subscriptions.holder(facts.subscription) {
            self.unsubscribe_channel(stale, host);
        }
        let channel = self.channel(facts.channel, facts.channel_core)?;
        let subscription = ChannelSubscription::new(facts, peer, channel, now);
        let place = self.channel_subscriptions.insert(facts.subscription, subscription)?;
        self.channels.at_mut(channel)?.subscriptions.push(place);
        let channels = self.peers.at_mut(peer)?.channels.as_mut()?;
        channels.ends.insert(facts.stream, End::Subscription(place));
        self.open_subscription(place, host);
        Some(())
    }

    /// Ends a subscription of a channel.
    pub(crate) fn unsubscribe_channel(
        &mut self,
        subscription: ChannelSubscriptionId,
        host: &mut impl Host,
    ) -> Option<()> {
        let place = self.channel_subscriptions.place(subscription)?;
        let subscription = self.remove_channel_subscription(place)?;
        self.end_stream(subscription.peer, subscription.stream, host);
        Some(())
    }

    /// Another core wants the messages of a channel of this one, or no longer.
    pub(crate) fn reach_channel(
        &mut self,
        channel: ChannelId,
        core: CoreId,
        wanted: bool,
    ) -> Option<()> {
        if core == self.core {
            return None;
        }
        let place = self.channels.place(channel)?;
        self.channels.at_mut(place)?.reach(core, wanted);
        Some(())
    }

    /// Ends a subscription on behalf of the core, and says so.
    pub(crate) fn close_channel_subscription(
        &mut self,
        place: ChannelSubscriptionPlace,
        reason: ChannelCloseReason,
        host: &mut impl Host,
    ) {
        let Some(subscription) = self.remove_channel_subscription(place) else { return };
        host.event(Event::ChannelSubscriptionClosed { subscription: subscription.id, reason });
        self.end_stream(subscription.peer, subscription.stream, host);
    }

    /// Ends the subscriptions of a peer whose first message did not come in time.
    pub(crate) fn expire_channels(&mut self, peer: PeerPlace, now: Instant, host: &mut impl Host) {
        let Some(channels) = self.peers.at(peer).and_then(|peer| peer.channels.as_ref()) else {
            return;
        };
        let late = |end: &End| match end {
            End::Subscription(place) => {
                let due = self.channel_subscriptions.at(*place)?.acknowledge_by?;
                (due <= now).then_some(*place)
            }
            End::Publication(_) | End::Closing => None,
        };
        let late: Vec<_> = channels.ends.values().filter_map(late).collect();
        for place in late {
            self.close_channel_subscription(place, ChannelCloseReason::Unacknowledged, host);
        }
    }

    /// Removes everything of a peer that ended.
    pub(crate) fn forget_channels(&mut self, place: PeerPlace) {
        let Some(peer) = self.peers.at_mut(place) else { return };
        let Some(channels) = peer.channels.take() else { return };
        if let Some(at) = channels.armed {
            self.channel_timers.remove(&(at, place));
        }
        for end in channels.ends.into_values() {
            match end {
                End::Publication(channel) => {
                    self.remove_publication(channel);
                    self.drop_idle_channel(channel);
                }
                End::Subscription(subscription) => {
                    self.remove_channel_subscription(subscription);
                }
                End::Closing => {}
            }
        }
    }

    /// The remote side reset a stream.
    pub(crate) fn on_stream_reset(&mut self, peer: PeerPlace, stream: u16, host: &mut impl Host) {
        match self.end(peer, stream) {
            Some(End::Publication(place)) => {
                if let Some(channel) = self.channels.at(place) {
                    host.event(Event::ChannelClosed { channel: channel.id });
                }
                self.end_publication(place, host);
                self.drop_idle_channel(place);
            }
            Some(End::Subscription(place)) => {
                self.close_channel_subscription(place, ChannelCloseReason::Reset, host);
            }
            Some(End::Closing) | None => {}
        }
    }

    /// Both directions of a stream are reset.
    pub(crate) fn on_stream_freed(&mut self, place: PeerPlace, stream: u16, host: &mut impl Host) {
        match self.end(place, stream) {
            Some(End::Closing) => self.report_freed(place, stream, host),
            Some(End::Subscription(subscription)) => self.open_subscription(subscription, host),
            Some(End::Publication(channel)) => self.open_publication(channel),
            None => {}
        }
    }

    /// Opens the streams of a peer whose association came up.
    pub(crate) fn open_streams(&mut self, place: PeerPlace, host: &mut impl Host) {
        let Some(channels) = self.peers.at(place).and_then(|peer| peer.channels.as_ref()) else {
            return;
        };
        let ends: Vec<End> = channels.ends.values().copied().collect();
        for end in ends {
            match end {
                End::Publication(channel) => self.open_publication(channel),
                End::Subscription(subscription) => self.open_subscription(subscription, host),
                End::Closing => {}
            }
        }
    }

    fn open_publication(&mut self, place: ChannelPlace) {
        let Some(publication) = self.channels.at(place).and_then(|it| it.publication) else {
            return;
        };
        let peer = self.peers.at_mut(publication.peer);
        if let Some(channels) = peer.and_then(|peer| peer.channels.as_mut()) {
            channels.sctp.open(publication.stream, publication.reliability);
        }
    }

    /// Opens the stream of a subscription if that can be now, and sends what waited for it.
    fn open_subscription(&mut self, place: ChannelSubscriptionPlace, host: &mut impl Host) {
        let Some(subscription) = self.channel_subscriptions.at_mut(place) else { return };
        let peer = self.peers.at_mut(subscription.peer);
        let Some(channels) = peer.and_then(|peer| peer.channels.as_mut()) else { return };
        if channels.sctp.open(subscription.stream, subscription.reliability) {
            subscription.opened = true;
            self.release_held(place, host);
        }
    }

    /// The channel named `id`, made when it is missing. `home` is the publisher's core.
    fn channel(&mut self, id: ChannelId, home: CoreId) -> Option<ChannelPlace> {
        if let Some(stale) = self.channels.holder(id).filter(|holder| *holder != id) {
            // Its subscriptions stay with it until they are ended.
            let place = self.channels.place(stale)?;
            self.channels.retire(place);
            self.drop_idle_channel(place);
        }
        match self.channels.place(id) {
            Some(place) => {
                self.channels.at_mut(place)?.home = home;
                Some(place)
            }
            None => self.channels.insert(id, Channel::new(id, home)),
        }
    }

    fn has_free_stream(&self, peer: PeerPlace, stream: u16) -> bool {
        let channels = self.peers.at(peer).and_then(|peer| peer.channels.as_ref());
        stream < SCTP_STREAMS_MAX && channels.is_some_and(|channels| channels.is_free(stream))
    }

    fn end(&self, peer: PeerPlace, stream: u16) -> Option<End> {
        self.peers.at(peer)?.channels.as_ref()?.ends.get(&stream).copied()
    }

    fn end_publication(&mut self, place: ChannelPlace, host: &mut impl Host) {
        if let Some(publication) = self.remove_publication(place) {
            self.end_stream(publication.peer, publication.stream, host);
        }
    }

    fn remove_publication(&mut self, place: ChannelPlace) -> Option<Publication> {
        let channel = self.channels.at_mut(place)?;
        let publication = channel.publication.take()?;
        (channel.cores, channel.torn) = Default::default();
        self.counters.channels -= 1;
        Some(publication)
    }

    fn remove_channel_subscription(
        &mut self,
        place: ChannelSubscriptionPlace,
    ) -> Option<ChannelSubscription> {
        let mut subscription = self.channel_subscriptions.remove(place)?;
        self.counters.channel_dropped += subscription.forget_held();
        if let Some(channel) = self.channels.at_mut(subscription.channel) {
            channel.subscriptions.retain(|kept| *kept != place);
        }
        self.drop_idle_channel(subscription.channel);
        Some(subscription)
    }

    fn drop_idle_channel(&mut self, place: ChannelPlace) {
        if self.channels.at(place).is_some_and(Channel::is_idle) {
            self.channels.remove(place);
        }
    }

    /// Closes the channel on a stream that carries nothing any more.
    fn end_stream(&mut self, place: PeerPlace, stream: u16, host: &mut impl Host) {
        let Some(peer) = self.peers.at_mut(place) else { return };
        let Some(channels) = peer.channels.as_mut() else { return };
        if channels.lost {
            channels.ends.remove(&stream);
            return;
        }
        channels.ends.insert(stream, End::Closing);
        if channels.sctp.close(stream) {
            self.list_channels(place);
        } else {
            self.report_freed(place, stream, host);
        }
    }

    fn report_freed(&mut self, place: PeerPlace, stream: u16, host: &mut impl Host) {
        let Some(peer) = self.peers.at_mut(place) else { return };
        if let Some(channels) = peer.channels.as_mut() {
            channels.ends.remove(&stream);
            host.event(Event::StreamFreed { peer: peer.id, stream });
        }
    }
}
