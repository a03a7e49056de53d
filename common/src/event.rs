//! Core to control plane: state changes and track facts, values only.

use std::time::Duration;

use crate::id::{ChannelId, ChannelSubscriptionId, CoreId, PeerId, SubscriptionId, TrackId};
use crate::limits::ENCODINGS_MAX;
use crate::media::Label;

/// Something the control plane wants to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The first authenticated connectivity check of `peer` arrived on `core`, which is its home
    /// from now on. The control plane answers with the peer's facts.
    Claimed {
        /// The peer.
        peer: PeerId,
        /// Its home core.
        core: CoreId,
    },
    /// ICE and DTLS are up and the certificate matched: media may flow.
    Connected {
        /// The peer.
        peer: PeerId,
        /// From the first authenticated check to here.
        setup: Duration,
        /// SRTP protection profile in use.
        profile: SrtpProfile,
    },
    /// The peer is gone; nothing more will be sent to it. Its tracks ended with it.
    Closed {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: CloseReason,
    },
    /// What `peer` sent and received since the last such event: every two seconds, and before
    /// [`Event::Closed`]; not when that is nothing.
    Traffic {
        /// The peer.
        peer: PeerId,
        /// UDP payload bytes of authentic datagrams from it.
        received: u64,
        /// UDP payload bytes sent to it.
        sent: u64,
        /// How its path is.
        path: PathFigures,
    },
    /// What each encoding of `track` costs, in bit/s without key frames; 0 for one that is not sent.
    /// Every two seconds, while the peer's traffic is reported.
    TrackRates {
        /// The track.
        track: TrackId,
        /// By encoding.
        rates: [u32; ENCODINGS_MAX],
    },
    /// A subscription shows another encoding than when this was last told; at most every two seconds.
    Shown {
        /// Its peer.
        peer: PeerId,
        /// The subscription.
        subscription: SubscriptionId,
        /// The encoding; None: none.
        encoding: Option<u8>,
    },
    /// The first media packet of `track` was authenticated and understood.
    TrackStarted {
        /// The track.
        track: TrackId,
    },
    /// Somebody began or stopped speaking on an audio track, or speaks at another level (RFC 6464;
    /// at most a few times a second).
    AudioLevel {
        /// The track.
        track: TrackId,
        /// Smoothed level in -dBov: 0 is the loudest, 127 silence.
        level: u8,
        /// Whether that is speech rather than background.
        speaking: bool,
    },
    /// An encoding of a simulcast track began to send, or stopped for a second while others of the
    /// track went on. Told within 50 ms, later while more than half of the event lane waits.
    Layer {
        /// The track.
        track: TrackId,
        /// Its RID (RFC 8852).
        rid: Label,
        /// Whether packets arrive.
        available: bool,
    },
    /// No packet of `track` arrived for [`crate::limits::TRACK_SILENCE`].
    TrackSilent {
        /// The track.
        track: TrackId,
    },
    /// The SCTP association of `peer` is up: its data channels carry messages.
    SctpConnected {
        /// The peer.
        peer: PeerId,
    },
    /// The SCTP association of `peer` failed or was aborted; media goes on.
    SctpClosed {
        /// The peer.
        peer: PeerId,
    },
    /// The publisher reset the stream of its channel.
    ChannelClosed {
        /// The channel.
        channel: ChannelId,
    },
    /// A stream that carried a channel is free again: the channel ended, and both directions were
    /// reset (RFC 8831 section 6.7). Reported once for each channel the core was told of, whoever
    /// ended it, and behind the event that tells its end; not when the association or peer ended.
    StreamFreed {
        /// The peer.
        peer: PeerId,
        /// The SCTP stream.
        stream: u16,
    },
    /// A subscription of a data channel ended on the core.
    ChannelSubscriptionClosed {
        /// The subscription.
        subscription: ChannelSubscriptionId,
        /// Why.
        reason: ChannelCloseReason,
    },
}

/// How the path of a peer is, both ways: what explains a bad picture.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct PathFigures {
    /// Smoothed round-trip time, once a report told it.
    pub round_trip: Option<Duration>,
    /// Bandwidth towards the peer in bit/s, where it answers transport-wide feedback.
    pub estimate: Option<u64>,
    /// How long what is sent to it waits on the path.
    pub queue: Duration,
    /// Packets lost on the way to it, in 1/1000.
    pub lost_down: u16,
    /// Packets lost on the way from it, in 1/1000, of the last receiver report.
    pub lost_up: u16,
    /// Bit/s of everything it subscribes to, in the lowest quality there is.
    pub least: u64,
    /// Bit/s of what it is given.
    pub given: u64,
    /// Bit/s of everything it subscribes to, in the best quality.
    pub most: u64,
    /// Whether its video pauses, so that sound gets through.
    pub paused: bool,
    /// Sequence numbers that it named in NACKs since the last event.
    pub nacked: u32,
    /// Key frames that it asked for since the last event.
    pub key_frames: u32,
}

/// Why a subscription of a data channel ended on its core.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChannelCloseReason {
    /// The subscriber reset the stream.
    Reset,
    /// `waitForAck`, and no message came within [`crate::limits::CHANNEL_ACK_MAX`].
    Unacknowledged,
    /// A reliable channel's subscriber did not take its messages: its queue was full.
    Overflow,
}

/// Why a peer ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// The control plane asked for it.
    Requested,
    /// The remote side sent DTLS close_notify or a fatal alert.
    CloseNotify,
    /// RTCP BYE does not end a peer; this is the consent timeout of RFC 7675.
    ConsentExpired,
    /// The certificate did not match the fingerprint of the SDP.
    FingerprintMismatch,
    /// The DTLS handshake failed or took longer than [`crate::limits::HANDSHAKE_MAX`].
    HandshakeFailed,
    /// A table of the core was full when the peer arrived.
    CoreFull,
    /// A panic was contained while this peer's input was processed.
    Aborted,
}

/// SRTP protection profiles (IANA registry "DTLS-SRTP Protection Profiles").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SrtpProfile {
    /// 0x0001 SRTP_AES128_CM_HMAC_SHA1_80 (RFC 5764).
    Aes128CmSha1_80,
    /// 0x0007 SRTP_AEAD_AES_128_GCM (RFC 7714).
    AeadAes128Gcm,
    /// 0x0008 SRTP_AEAD_AES_256_GCM (RFC 7714).
    AeadAes256Gcm,
}

impl SrtpProfile {
    /// The IANA name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            SrtpProfile::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            SrtpProfile::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            SrtpProfile::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }
}
