//! Data channels of one session: what it publishes, what it receives, how far its association is.
//!
//! Changed by the handlers of `api/channels/` and by the event thread, under a plain lock that is
//! never held across an await. Stream ids come from the door to the cores (`push/channels.rs`),
//! which alone knows when one is free. Locks: the door, then these.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::command::Reliability;
use common::event::ChannelCloseReason;
use common::id::{ChannelId, ChannelSubscriptionId, PeerId};

use super::sessions::ENDED_ENTRIES_MAX;
use super::{Node, Session};
use crate::error::ItemError;
use crate::push::ChannelWish;

/// Where the SCTP association of a session is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Association {
    /// No application section was negotiated.
    #[default]
    None,
    /// One was; the association is not up yet.
    Connecting,
    /// Messages flow.
    Up,
    /// It failed; only another application section brings a new one.
    Failed,
}

/// One published channel.
#[derive(Debug)]
pub struct Channel {
    /// Its id on the data plane.
    pub id: ChannelId,
    /// The publishing session.
    pub session_id: String,
    /// Name within that session.
    pub name: String,
    /// SCTP stream on the publisher's association.
    pub stream: u16,
    /// How hard it tries, towards every subscriber.
    pub reliability: Reliability,
    open: AtomicBool,
}

impl Channel {
    /// An open channel.
    pub fn new(
        id: ChannelId,
        session_id: String,
        name: String,
        stream: u16,
        reliability: Reliability,
    ) -> Self {
        Self { id, session_id, name, stream, reliability, open: AtomicBool::new(true) }
    }

    /// Whether it did not end.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.open.store(false, Ordering::Release);
    }
}

/// One channel a session receives.
#[derive(Clone, Debug)]
pub struct ChannelSubscription {
    /// Its id on the data plane.
    pub id: ChannelSubscriptionId,
    /// SCTP stream on the subscriber's association.
    pub stream: u16,
    /// What it receives.
    pub channel: Arc<Channel>,
    /// Ended on its own, by either side.
    closed: bool,
}

impl ChannelSubscription {
    /// A subscription of an open channel.
    pub fn new(id: ChannelSubscriptionId, stream: u16, channel: Arc<Channel>) -> Self {
        Self { id, stream, channel, closed: false }
    }

    /// Whether neither it nor its channel ended.
    pub fn is_open(&self) -> bool {
        !self.closed && self.channel.is_open()
    }
}

/// The channels of one session.
#[derive(Default, Debug)]
pub struct Channels {
    /// How far the association is.
    pub association: Association,
    /// Published ones in the order of their making, ended ones among them.
    pub published: Vec<Arc<Channel>>,
    /// Received ones, likewise.
    pub received: Vec<ChannelSubscription>,
    /// The session ended.
    gone: bool,
}

/// One end of a channel in a session: what a stream id names.
#[derive(Clone, Debug)]
pub enum ChannelEnd {
    /// The session publishes.
    Published(Arc<Channel>),
    /// The session receives.
    Received(ChannelSubscription),
}

impl Channels {
    /// The open channel the session publishes under a name.
    pub fn publication(&self, name: &str) -> Option<&Arc<Channel>> {
        self.published.iter().find(|channel| channel.name == name && channel.is_open())
    }

    /// The open subscription of a channel of another session (or this one).
    pub fn subscription(&self, session_id: &str, name: &str) -> Option<&ChannelSubscription> {
        self.received.iter().find(|subscription| {
            let channel = &subscription.channel;
            subscription.is_open() && channel.session_id == session_id && channel.name == name
        })
    }

    /// The open end on a stream.
    pub fn at(&self, stream: u16) -> Option<ChannelEnd> {
        let published = self.published.iter().find(|c| c.stream == stream && c.is_open());
        let received = || self.received.iter().find(|s| s.stream == stream && s.is_open());
        published
            .map(|channel| ChannelEnd::Published(channel.clone()))
            .or_else(|| received().cloned().map(ChannelEnd::Received))
    }

    /// Lists a channel; an ended one of the same name is not listed any more. False when the session
    /// ended.
    pub fn publish(&mut self, channel: Arc<Channel>) -> bool {
        if !self.gone {
            self.published.retain(|other| other.is_open() || other.name != channel.name);
            forget_oldest(&mut self.published, |other| !other.is_open());
            self.published.push(channel);
        }
        !self.gone
    }

    /// Lists a subscription; an ended one of the same channel's name is not listed any more. False
    /// when the session ended.
    pub fn subscribe(&mut self, subscription: ChannelSubscription) -> bool {
        if !self.gone {
            let same = |a: &Channel, b: &Channel| a.session_id == b.session_id && a.name == b.name;
            let fresh = &subscription.channel;
            self.received.retain(|other| other.is_open() || !same(&other.channel, fresh));
            forget_oldest(&mut self.received, |other| !other.is_open());
            self.received.push(subscription);
        }
        !self.gone
    }

    /// A channel of the session ended.
    pub fn end_publication(&mut self, id: ChannelId) {
        self.published.iter().filter(|channel| channel.id == id).for_each(|channel| channel.end());
    }

    /// A subscription of the session ended.
    pub fn end_subscription(&mut self, id: ChannelSubscriptionId) {
        let ended = self.received.iter_mut().filter(|subscription| subscription.id == id);
        ended.for_each(|subscription| subscription.closed = true);
    }

    /// All of them ended.
    pub fn end_all(&mut self) {
        self.published.iter().for_each(|channel| channel.end());
        self.received.iter_mut().for_each(|subscription| subscription.closed = true);
    }

    /// The session ended, and everything with it; nothing is listed any more.
    pub(super) fn end_session(&mut self) {
        self.end_all();
        *self = Self { gone: true, ..Self::default() };
    }

    /// The session got another transport, on which the association comes up anew.
    pub(super) fn move_transport(&mut self) {
        if self.association == Association::Up {
            self.association = Association::Connecting;
        }
    }
}

/// Drops the oldest ended entry of a list that has enough of them.
fn forget_oldest<T>(list: &mut Vec<T>, ended: impl Fn(&T) -> bool) {
    if list.iter().filter(|entry| ended(entry)).count() >= ENDED_ENTRIES_MAX
        && let Some(oldest) = list.iter().position(&ended)
    {
        list.remove(oldest);
    }
}

impl Node {
    /// Publishes a channel of a session.
    ///
    /// # Errors
    /// [`ItemError::RepeatedChannel`] while the session has an open one of this name,
    /// [`ItemError::Full`].
    pub fn publish_channel(
        &self,
        session: &Session,
        name: &str,
        reliability: Reliability,
    ) -> Result<Arc<Channel>, ItemError> {
        let peer = session.peer().ok_or(ItemError::Full)?;
        self.push(|push, out| {
            let mut channels = session.channels();
            if channels.publication(name).is_some() {
                return Err(ItemError::RepeatedChannel);
            }
            let opened = push.publish_channel(peer, reliability, out);
            let (id, stream) = opened.ok_or(ItemError::Full)?;
            let (session_id, name) = (session.id.clone(), name.to_owned());
            let channel = Arc::new(Channel::new(id, session_id, name, stream, reliability));
            if !channels.publish(channel.clone()) {
                push.unpublish_channel(id, out);
                return Err(ItemError::Full);
            }
            Ok(channel)
        })
    }

    /// Subscribes a session to a channel.
    ///
    /// # Errors
    /// [`ItemError::RepeatedChannel`] while the session receives it, [`ItemError::NotFoundChannel`]
    /// when it ended, [`ItemError::Full`].
    pub fn subscribe_channel(
        &self,
        session: &Session,
        channel: &Arc<Channel>,
        wish: ChannelWish,
    ) -> Result<ChannelSubscription, ItemError> {
        let peer = session.peer().ok_or(ItemError::Full)?;
        self.push(|push, out| {
            let mut channels = session.channels();
            if channels.subscription(&channel.session_id, &channel.name).is_some() {
                return Err(ItemError::RepeatedChannel);
            }
            let Some((id, stream)) = push.subscribe_channel(peer, channel.id, wish, out) else {
                let open = channel.is_open();
                return Err(if open { ItemError::Full } else { ItemError::NotFoundChannel });
            };
            let subscription = ChannelSubscription::new(id, stream, channel.clone());
            if !channels.subscribe(subscription.clone()) {
                push.unsubscribe_channel(id, out);
                return Err(ItemError::Full);
            }
            Ok(subscription)
        })
    }

    /// Ends a channel of a session with all its subscriptions, or one of its subscriptions.
    pub fn close_channel(&self, session: &Session, end: &ChannelEnd) {
        self.push(|push, out| match end {
            ChannelEnd::Published(channel) => {
                push.unpublish_channel(channel.id, out);
                session.channels().end_publication(channel.id);
            }
            ChannelEnd::Received(subscription) => {
                push.unsubscribe_channel(subscription.id, out);
                session.channels().end_subscription(subscription.id);
            }
        });
    }

    /// An exchange ended with an application section, or without one. When it is gone, the
    /// association and all channels are.
    pub fn negotiated_channels(&self, session: &Session, has_section: bool) {
        let association = session.channels().association;
        match (association, has_section) {
            (Association::None, true) => {
                session.channels().association = Association::Connecting;
                session.changed();
            }
            (Association::None, false) | (_, true) => {}
            (_, false) => self.end_association(session, Association::None),
        }
    }

    /// Ends all channels of a session with its association.
    fn end_association(&self, session: &Session, now: Association) {
        let peer = session.peer();
        self.push(|push, out| {
            if let Some(peer) = peer {
                push.drop_channels(peer, out);
            }
            let mut channels = session.channels();
            channels.end_all();
            channels.association = now;
        });
        session.changed();
    }

    /// Applies what a core reports of an association.
    pub(super) fn association(&self, peer: PeerId, is_up: bool) {
        let Some(session) = self.owner(peer) else { return };
        tracing::info!(session = session.id, is_up, "data channel association");
        if !is_up {
            return self.end_association(&session, Association::Failed);
        }
        let association = &mut session.channels().association;
        if *association == Association::Connecting {
            *association = Association::Up;
        }
    }

    /// A core reports that a channel's publisher closed it.
    pub(super) fn channel_closed(&self, channel: ChannelId) {
        let peer = self.push(|push, out| push.unpublish_channel(channel, out));
        if let Some(session) = peer.and_then(|peer| self.owner(peer)) {
            session.channels().end_publication(channel);
        }
    }

    /// A core reports that a subscription ended there.
    pub(super) fn channel_subscription_closed(
        &self,
        subscription: ChannelSubscriptionId,
        reason: ChannelCloseReason,
    ) {
        let peer = self.push(|push, out| push.unsubscribe_channel(subscription, out));
        if let Some(session) = peer.and_then(|peer| self.owner(peer)) {
            session.channels().end_subscription(subscription);
            tracing::info!(session = session.id, ?reason, "a received data channel ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use common::command::ReliabilityLimit;

    use super::*;

    fn channel(index: u32, name: &str, stream: u16) -> Arc<Channel> {
        let reliability = Reliability { ordered: true, limit: ReliabilityLimit::Never };
        let id = ChannelId::new(index, 0);
        Arc::new(Channel::new(id, "s".into(), name.into(), stream, reliability))
    }

    #[test]
    fn ended_entries_stay_listed_until_their_name_or_place_is_needed() {
        let mut channels = Channels::default();
        for index in 0..ENDED_ENTRIES_MAX + 2 {
            let id = u32::try_from(index).unwrap_or(0);
            assert!(channels.publish(channel(id, &format!("n{index}"), 2)));
            channels.end_publication(ChannelId::new(id, 0));
        }
        assert_eq!(channels.published.len(), ENDED_ENTRIES_MAX);
        assert_eq!(channels.published.first().map(|c| c.name.as_str()), Some("n2"));
        channels.publish(channel(9_999, "n2", 3));
        assert_eq!(channels.published.len(), ENDED_ENTRIES_MAX);
        assert!(channels.publication("n2").is_some() && channels.publication("n3").is_none());
    }

    #[test]
    fn a_subscription_ends_with_its_channel() {
        let mut channels = Channels::default();
        let shown = channel(1, "a", 2);
        let id = ChannelSubscriptionId::new(7, 0);
        channels.subscribe(ChannelSubscription::new(id, 5, shown.clone()));
        assert!(matches!(channels.at(5), Some(ChannelEnd::Received(_))));
        shown.end();
        assert!(channels.at(5).is_none() && channels.subscription("s", "a").is_none());
        channels.end_session();
        assert!(!channels.subscribe(ChannelSubscription::new(id, 5, channel(2, "b", 4))));
        assert!(channels.received.is_empty());
    }
}
