//! Control plane to core: compiled routing facts, values only.
//!
//! A command applies completely or not at all; one that names an object the core does not know (or
//! knows in another generation) changes nothing. All commands of one peer go to the core that
//! claimed it ([`crate::event::Event::Claimed`]); [`Command::Reach`] goes to the core of the
//! track's publisher.

use crate::id::{ChannelId, ChannelSubscriptionId, CoreId, PeerId, SubscriptionId, TrackId};
use crate::media::{Codec, ExtensionMap, Label, MediaKind};

/// One change of a core's tables.
#[derive(Clone, Debug)]
pub enum Command {
    /// Gives a claimed peer its facts, or replaces them (renegotiation).
    SetPeer(PeerFacts),
    /// Ends the peer: DTLS close_notify is sent, its tracks and subscriptions end with it.
    ClosePeer {
        /// The peer to end.
        peer: PeerId,
    },
    /// Adds a published track to a peer, or replaces its facts.
    Publish(Box<PublishFacts>),
    /// Ends a published track.
    Unpublish {
        /// The track to end.
        track: TrackId,
    },
    /// Adds a subscription, or replaces its facts: with another `track` the subscription is
    /// re-pointed (same SSRC, continuous numbers, switch at a key frame).
    Subscribe(Box<SubscribeFacts>),
    /// Ends a subscription.
    Unsubscribe {
        /// The subscription to end.
        subscription: SubscriptionId,
    },
    /// Tells the publisher's core that `core` has subscribers of `track` (or has none any more).
    Reach {
        /// The published track.
        track: TrackId,
        /// The core that wants (or no longer wants) its packets.
        core: CoreId,
        /// Whether it wants them.
        wanted: bool,
    },
    /// Adds a published data channel to a peer, or replaces its facts.
    PublishChannel(ChannelFacts),
    /// Ends a published data channel: its stream is reset (RFC 8831 section 6.7). Its subscriptions
    /// are ended by commands of their own.
    UnpublishChannel {
        /// The channel to end.
        channel: ChannelId,
    },
    /// Adds a subscriber to a data channel, or replaces its facts: `can_reply` may change, and
    /// `channel_core` when the publisher moved.
    SubscribeChannel(ChannelSubscriptionFacts),
    /// Ends a subscription of a data channel: its stream is reset.
    UnsubscribeChannel {
        /// The subscription to end.
        subscription: ChannelSubscriptionId,
    },
    /// Tells the core of a channel's publisher that `core` has subscribers of it (or none any more).
    ReachChannel {
        /// The published channel.
        channel: ChannelId,
        /// The core that wants (or no longer wants) its messages.
        core: CoreId,
        /// Whether it wants them.
        wanted: bool,
    },
}

/// What a core must know of a peer beside what it derives from the ICE user name.
#[derive(Clone, Debug)]
pub struct PeerFacts {
    /// The peer.
    pub peer: PeerId,
    /// SHA-256 of the only certificate the remote side may present (RFC 8122).
    pub fingerprint: [u8; 32],
    /// Ids of header extensions on this transport, both directions.
    pub extensions: ExtensionMap,
    /// Whether the peer answers transport-wide sequence numbers of ours with feedback (it
    /// negotiated `transport-cc` where it receives).
    pub transport_feedback: bool,
    /// Which side sends the DTLS ClientHello (RFC 8842).
    pub dtls_role: DtlsRole,
    /// SCTP over its DTLS (RFC 8841), when an application section was negotiated.
    pub sctp: Option<SctpFacts>,
}

/// Our side of the DTLS handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DtlsRole {
    /// We answer a ClientHello (`a=setup:passive` of ours).
    #[default]
    Server,
    /// We send it (`a=setup:passive` of the remote side).
    Client,
}

/// What the remote side said of its SCTP association (RFC 8841).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SctpFacts {
    /// Its SCTP port (`a=sctp-port`).
    pub port: u16,
    /// Largest message it takes, in bytes (`a=max-message-size`); 0: any.
    pub max_message_size: u32,
    /// Whether we open the channel `server-events` in band on stream 0 (RFC 8832) once the
    /// association is up: the transport came by an offer of ours, and the client waits for it.
    pub server_events: bool,
}

/// Most payload types one media section carries through negotiation.
pub const PAYLOADS_MAX: usize = 64;

/// One payload type of a published track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublishedPayload {
    /// RTP payload type on the publisher's transport.
    pub payload_type: u8,
    /// Its codec.
    pub codec: Codec,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Payload type of its RTX stream (RFC 4588), if negotiated.
    pub rtx: Option<u8>,
    /// Whether the publisher answers NACK for it.
    pub nack: bool,
    /// Whether the publisher answers PLI for it.
    pub pli: bool,
    /// Whether the publisher adapts to REMB and not to transport-wide feedback.
    pub remb: bool,
}

/// One encoding (simulcast layer) of a published track. Without simulcast there is one, no RID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoding {
    /// RID in the header extension (RFC 8851), if the publisher uses RIDs.
    pub rid: Option<Label>,
    /// SSRC when signalled; otherwise learnt from MID (and RID).
    pub ssrc: Option<u32>,
    /// SSRC of the RTX stream when signalled.
    pub rtx_ssrc: Option<u32>,
}

/// Facts of a published track.
#[derive(Clone, Debug)]
pub struct PublishFacts {
    /// The track.
    pub track: TrackId,
    /// The peer that publishes it.
    pub peer: PeerId,
    /// MID of its media section.
    pub mid: Label,
    /// Audio or video.
    pub kind: MediaKind,
    /// Negotiated payload types (RTX ones only inside their primary).
    pub payloads: Vec<PublishedPayload>,
    /// Encodings in the order of the offer.
    pub encodings: Vec<Encoding>,
}

/// How one of the publisher's payload types leaves towards one subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadMapping {
    /// Payload type on the publisher's transport.
    pub from: u8,
    /// Payload type on the subscriber's transport.
    pub to: u8,
    /// Payload type of RTX on the subscriber's transport, if negotiated.
    pub rtx: Option<u8>,
}

/// Which encoding of its track a subscription shows. The default: whichever the estimate of the
/// subscriber's bandwidth affords, of those that are alive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LayerChoice {
    /// The encoding to show, as index into [`PublishFacts::encodings`]. None: automatic.
    pub preferred: Option<u8>,
    /// All encodings, the best first: the order of the two wishes below. Empty when automatic.
    pub order: Vec<u8>,
    /// When the bandwidth does not carry the preferred encoding: show the next one in `order` that
    /// it carries, instead of keeping it whatever happens.
    pub step_down: bool,
    /// While the preferred encoding sends nothing: show the next one in `order` that is alive,
    /// instead of nothing.
    pub step_aside: bool,
}

/// Facts of a subscription.
#[derive(Clone, Debug)]
pub struct SubscribeFacts {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The peer that receives it.
    pub peer: PeerId,
    /// The track it shows.
    pub track: TrackId,
    /// The core on which the track's publisher lives.
    pub track_core: CoreId,
    /// Audio or video.
    pub kind: MediaKind,
    /// RTP clock rate in Hz of the track's first codec.
    pub clock_rate: u32,
    /// MID of the receiving media section, written into packets when the peer's map has an id.
    pub mid: Label,
    /// SSRC of the outbound stream.
    pub ssrc: u32,
    /// SSRC of its RTX stream, if negotiated.
    pub rtx_ssrc: Option<u32>,
    /// Payload types; packets of other payload types are not forwarded.
    pub payloads: Vec<PayloadMapping>,
    /// Which encoding to show.
    pub layers: LayerChoice,
}

/// How hard a data channel tries (RFC 8831 section 6.4, RFC 8832 section 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reliability {
    /// Whether messages arrive in the order they were sent.
    pub ordered: bool,
    /// When a message is given up.
    pub limit: ReliabilityLimit,
}

/// When a message of a data channel is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReliabilityLimit {
    /// Never: reliable.
    Never,
    /// After so many retransmissions.
    Retransmits(u16),
    /// So many milliseconds after it was given to the transport.
    Lifetime(u16),
}

/// Facts of a published data channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelFacts {
    /// The channel.
    pub channel: ChannelId,
    /// The peer that publishes it.
    pub peer: PeerId,
    /// SCTP stream of the publisher's association it arrives on.
    pub stream: u16,
    /// How replies of a subscriber are sent to the publisher.
    pub reliability: Reliability,
}

/// Facts of one subscriber of a data channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelSubscriptionFacts {
    /// The subscription.
    pub subscription: ChannelSubscriptionId,
    /// The peer that receives it.
    pub peer: PeerId,
    /// The channel.
    pub channel: ChannelId,
    /// The core on which the channel's publisher lives.
    pub channel_core: CoreId,
    /// SCTP stream of the subscriber's association.
    pub stream: u16,
    /// The publisher's reliability, used towards the subscriber.
    pub reliability: Reliability,
    /// Hold messages until the subscriber's first one, which is swallowed.
    pub wait_for_ack: bool,
    /// Pass the subscriber's messages on to the publisher (else they are dropped).
    pub can_reply: bool,
}
