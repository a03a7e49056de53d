//! One subscriber's end of a data channel, and the messages it gets once it is ready.

use std::collections::VecDeque;
use std::time::Instant;

use common::command::{ChannelSubscriptionFacts, Reliability, ReliabilityLimit};
use common::id::ChannelSubscriptionId;
use common::limits::{CHANNEL_ACK_MAX, CHANNEL_EARLY_MAX, CHANNEL_MESSAGE_COST};
use proto::sctp::Message;

use crate::kit::table::{ChannelPlace, PeerPlace};

/// A subscription of a data channel.
pub(crate) struct ChannelSubscription {
    /// Its name.
    pub id: ChannelSubscriptionId,
    /// The peer that receives it.
    pub peer: PeerPlace,
    /// The channel.
    pub channel: ChannelPlace,
    /// The stream of the peer's association.
    pub stream: u16,
    /// How messages are sent to it.
    pub reliability: Reliability,
    /// Whether its messages go to the publisher.
    pub can_reply: bool,
    /// Whether the stream is open.
    pub opened: bool,
    /// Until when its first message must come, while that is awaited.
    pub acknowledge_by: Option<Instant>,
    early: VecDeque<Message>,
    weight: usize,
}

impl ChannelSubscription {
    /// A subscription whose stream is not open.
    pub(crate) fn new(
        facts: &ChannelSubscriptionFacts,
        peer: PeerPlace,
        channel: ChannelPlace,
        now: Instant,
    ) -> Self {
        Self {
            id: facts.subscription,
            peer,
            channel,
            stream: facts.stream,
            reliability: facts.reliability,
            can_reply: facts.can_reply,
            opened: false,
            acknowledge_by: facts.wait_for_ack.then(|| now + CHANNEL_ACK_MAX),
            early: VecDeque::new(),
            weight: 0,
        }
    }

    /// Whether messages must wait.
    pub(crate) fn is_held(&self) -> bool {
        !self.opened || self.acknowledge_by.is_some()
    }

    /// Whether a message must not be lost once the channel flows.
    pub(crate) fn is_reliable(&self) -> bool {
        self.reliability.limit == ReliabilityLimit::Never
    }

    /// Keeps a message until the channel flows. Returns how many older ones made room.
    pub(crate) fn hold(&mut self, message: Message) -> u64 {
        self.weight += weight(&message);
        self.early.push_back(message);
        let mut dropped = 0;
        while self.weight > CHANNEL_EARLY_MAX {
            let Some(oldest) = self.early.pop_front() else { break };
            self.weight -= weight(&oldest);
            dropped += 1;
        }
        dropped
    }

    /// The oldest message that waited.
    pub(crate) fn next_held(&mut self) -> Option<Message> {
        let message = self.early.pop_front()?;
        self.weight -= weight(&message);
        if self.early.is_empty() {
            self.early = VecDeque::new();
        }
        Some(message)
    }

    /// Drops what waits. Returns how much that was.
    pub(crate) fn forget_held(&mut self) -> u64 {
        self.weight = 0;
        std::mem::take(&mut self.early).len() as u64
    }
}

fn weight(message: &Message) -> usize {
    message.bytes.len() + CHANNEL_MESSAGE_COST
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::id::{ChannelId, CoreId, PeerId};

    use crate::kit::table::Table;

    fn subscription(wait_for_ack: bool) -> ChannelSubscription {
        let facts = ChannelSubscriptionFacts {
            subscription: ChannelSubscriptionId::new(1, 1),
            peer: PeerId::new(1, 1),
            channel: ChannelId::new(1, 1),
            channel_core: CoreId(0),
            stream: 3,
            reliability: Reliability { ordered: true, limit: ReliabilityLimit::Never },
            wait_for_ack,
            can_reply: false,
        };
        let peer = Table::new().insert(facts.peer, ()).expect("free");
        let channel = Table::new().insert(facts.channel, ()).expect("free");
        ChannelSubscription::new(&facts, peer, channel, Instant::now())
    }

    #[test]
    fn early_messages_are_bounded_and_the_oldest_go_first() {
        let mut subscription = subscription(true);
        let message = |number: u8| Message { text: false, bytes: vec![number; 100 << 10].into() };
        let dropped: u64 = (0..10).map(|number| subscription.hold(message(number))).sum();
        assert_eq!(dropped, 5);
        assert!(subscription.weight <= CHANNEL_EARLY_MAX);
        let kept: Vec<Message> = std::iter::from_fn(|| subscription.next_held()).collect();
        assert_eq!(kept, (5..10).map(message).collect::<Vec<_>>());
        assert_eq!(subscription.weight, 0);
        let dropped: u64 = (0..100_000)
            .map(|_| subscription.hold(Message { text: true, bytes: Vec::new().into() }))
            .sum();
        assert_eq!(dropped, 100_000 - (CHANNEL_EARLY_MAX / CHANNEL_MESSAGE_COST) as u64);
        assert_eq!(subscription.forget_held() + dropped, 100_000);
    }

    #[test]
    fn it_is_held_until_its_stream_is_open_and_acknowledged() {
        let mut subscription = subscription(true);
        assert!(subscription.is_held());
        subscription.opened = true;
        assert!(subscription.is_held());
        subscription.acknowledge_by = None;
        assert!(!subscription.is_held());
    }
}
