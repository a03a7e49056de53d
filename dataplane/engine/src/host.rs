//! What a core offers to its engine: send slots, lanes to other cores, events, claims. Implemented
//! by the worker of the data plane and by the simulator; the engine reaches the world only here.

use std::time::Instant;

use common::address::TransportAddress;
use common::event::Event;
use common::id::{ChannelId, CoreId, PeerId, TrackId};

use crate::kit::packet::Packet;

/// The engine's only way out.
pub trait Host {
    /// Lends a send slot of [`common::limits::SEND_SLOT`] bytes, or None when none is free. The
    /// slot is sent by [`Host::commit`]; a slot that is not committed is lent again.
    fn reserve(&mut self) -> Option<&mut [u8]>;

    /// Sends the first `len` bytes of the slot lent last to `to`.
    fn commit(&mut self, to: TransportAddress, len: usize);

    /// When what is committed in this call leaves: the present, where the `now` of a datagram is its
    /// arrival. The wait between the two is this core's and must not be taken for the way down.
    fn departure(&self) -> Instant;

    /// Copies a frame into the lane of another core. Returns false when the lane is full. A datagram
    /// that came over TCP takes its connection with it: everything after it arrives there.
    fn hand(&mut self, to: CoreId, header: FrameHeader, bytes: &[u8]) -> bool;

    /// Reports to the control plane. Never blocks, never loses.
    fn event(&mut self, event: Event);

    /// Whether the control plane keeps up with its events. While it does not, what can be reported later
    /// is, so that there is room for what cannot.
    fn is_heard(&self) -> bool;

    /// Tries to make this core the home of `peer` (one compare-and-swap).
    fn claim(&mut self, peer: PeerId) -> Claim;
}

/// Whose peer it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// It is ours (now, or since earlier).
    Mine,
    /// Another core was first.
    Other(CoreId),
    /// The peer does not exist (any more).
    Dead,
}

/// What a frame between two cores is; its bytes follow in the lane.
#[derive(Clone, Copy, Debug)]
pub enum FrameHeader {
    /// A datagram that arrived on a core that is not its peer's home. Bytes: the datagram.
    Datagram {
        /// Its source address.
        from: TransportAddress,
        /// When it arrived there.
        arrival: Instant,
    },
    /// A packet of a track for this core's subscribers. Bytes: the plaintext RTP packet.
    Media {
        /// The track.
        track: TrackId,
        /// What the publisher's core found in it.
        packet: Packet,
    },
    /// A sender report of a track's encoding (RFC 3550 section 6.4.1). No bytes.
    SenderReport {
        /// The track.
        track: TrackId,
        /// Index of the encoding.
        encoding: u8,
        /// NTP timestamp of the report, 32.32 fixed point.
        ntp: u64,
        /// RTP timestamp of the same instant, in the publisher's clock.
        rtp: u32,
    },
    /// A subscriber needs a key frame of an encoding. No bytes. Towards the publisher's core.
    KeyFrameWanted {
        /// The track.
        track: TrackId,
        /// Index of the encoding.
        encoding: u8,
    },
    /// A message of a data channel for this core's subscribers. Bytes: the message, at most
    /// [`common::limits::CHANNEL_MESSAGE_MAX`].
    ChannelMessage {
        /// The channel.
        channel: ChannelId,
        /// Whether it is a string.
        text: bool,
    },
    /// Messages of a data channel were lost between the cores. No bytes.
    ChannelGap {
        /// The channel.
        channel: ChannelId,
    },
    /// A message of a subscriber for the publisher of a data channel. Bytes: the message. Towards
    /// the publisher's core.
    ChannelReply {
        /// The channel.
        channel: ChannelId,
        /// Whether it is a string.
        text: bool,
    },
}
