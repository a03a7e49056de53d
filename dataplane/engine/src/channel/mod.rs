//! Side stage: data channels. One [`Channel`] per channel that this core publishes or has
//! subscribers of, one [`ChannelSubscription`] per subscriber, and what waits to cross to other
//! cores. Knows no association and no peer but their places.

mod crossing;
mod subscription;

use common::command::Reliability;
use common::id::{ChannelId, CoreId};

use crate::kit::cores::CoreSet;
use crate::kit::table::{ChannelSubscriptionPlace, PeerPlace};

pub(crate) use crossing::Crossing;
pub(crate) use subscription::ChannelSubscription;

/// A data channel on one core.
pub(crate) struct Channel {
    /// The channel.
    pub id: ChannelId,
    /// Core of the publisher.
    pub home: CoreId,
    /// Its publisher, if that is at home on this core.
    pub publication: Option<Publication>,
    /// Subscriptions of this core.
    pub subscriptions: Vec<ChannelSubscriptionPlace>,
    /// Other cores that want the messages.
    pub cores: CoreSet,
    /// Those of them that lost messages since the last one they were given.
    pub torn: CoreSet,
}

/// The publisher's end of a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication {
    /// The publisher.
    pub peer: PeerPlace,
    /// The stream of its association.
    pub stream: u16,
    /// How replies are sent to it.
    pub reliability: Reliability,
}

impl Channel {
    /// A channel without publisher and subscribers.
    pub(crate) fn new(id: ChannelId, home: CoreId) -> Self {
        Self {
            id,
            home,
            publication: None,
            subscriptions: Vec::new(),
            cores: CoreSet::default(),
            torn: CoreSet::default(),
        }
    }

    /// Whether nobody needs it any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.publication.is_none() && self.subscriptions.is_empty()
    }

    /// Adds or removes a core.
    pub(crate) fn reach(&mut self, core: CoreId, wanted: bool) {
        self.cores.set(core, wanted);
        self.torn.set(core, false);
    }
}
