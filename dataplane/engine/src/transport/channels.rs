//! Data channels of one peer: its SCTP association and what each stream of it carries.

use std::collections::BTreeMap;
use std::time::Instant;

use common::command::SctpFacts;
use proto::sctp::Sctp;

use crate::kit::table::{ChannelPlace, ChannelSubscriptionPlace};

/// What a stream carries, of all that the control plane told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// A channel that the peer publishes.
    Publication(ChannelPlace),
    /// A channel that the peer receives.
    Subscription(ChannelSubscriptionPlace),
    /// Nothing any more; both directions must be reset before it is free.
    Closing,
}

/// The data channels of one peer.
pub(crate) struct Channels {
    /// The association.
    pub sctp: Sctp,
    /// Its streams, by number. Streams that the peer opened by itself are not among them.
    pub ends: BTreeMap<u16, End>,
    /// The association ended.
    pub lost: bool,
    /// The instant under which the core's timers list the peer.
    pub armed: Option<Instant>,
    /// Whether the core's list of associations to be served has the peer.
    pub listed: bool,
}

impl Channels {
    /// Channels of a peer that negotiated SCTP.
    pub(crate) fn new(facts: &SctpFacts) -> Self {
        Self {
            sctp: Sctp::new(facts),
            ends: BTreeMap::new(),
            lost: false,
            armed: None,
            listed: false,
        }
    }

    /// Whether a stream can be given to another channel.
    pub(crate) fn is_free(&self, stream: u16) -> bool {
        matches!(self.ends.get(&stream), None | Some(End::Closing))
    }
}
