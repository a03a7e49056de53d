//! What the API layer asks of a negotiation and what it gets back: plain values that hold
//! everything the data plane's facts are made of.

use common::command::{Encoding, PayloadMapping, PublishedPayload};
use common::media::MediaKind;

use super::description::{Direction, Format};

/// `a=msid` (RFC 8830): stream and track identifier. Characters outside the token set are replaced.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Msid {
    /// Stream; sections with the same one are played in sync.
    pub stream: String,
    /// Track; a section whose pair is already in use gets its mid appended here.
    pub track: String,
}

/// One payload type of a publication, on the publisher's side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourcePayload {
    /// Payload type on the publisher's transport.
    pub payload_type: u8,
    /// Its codec.
    pub format: Format,
    /// Payload type of its RTX stream there.
    pub rtx: Option<u8>,
}

/// What a publication carries; made by publishing, used by every subscription to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceMedia {
    /// Audio or video.
    pub kind: MediaKind,
    /// Primary payload types in the order of preference of the publisher's offer.
    pub payloads: Vec<SourcePayload>,
}

/// What we send in a section goes under these names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SendHalf {
    /// SSRC of the stream.
    pub ssrc: u32,
    /// SSRC of its RTX stream; None sends no RTX.
    pub rtx_ssrc: Option<u32>,
    /// Stream and track name shown to the client.
    pub msid: Msid,
}

/// One thing an answer shall do, beside answering every section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// The client publishes in this section.
    Publish {
        /// Mid of a section in which the offer sends.
        mid: String,
        /// Keep our half of the section open, for a pull that names it later. Of no effect where
        /// the client does not receive, or something is sent already.
        send: Option<SendHalf>,
    },
    /// The client receives a publication in one of its sections.
    Receive {
        /// The section; None takes the first free receiving one of the media's kind.
        mid: Option<String>,
        /// What to send.
        media: SourceMedia,
        /// SSRC of the stream we send.
        ssrc: u32,
        /// SSRC of its RTX stream; None sends no RTX.
        rtx_ssrc: Option<u32>,
        /// Stream and track name shown to the client.
        msid: Msid,
    },
    /// Whatever the section carries ends, also when the offer did not stop it.
    Close {
        /// Mid of the section.
        mid: String,
    },
}

/// What came of one [`Wish`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WishOutcome {
    /// A publication.
    Published(PublishedSection),
    /// A subscription.
    Receiving(ReceivingSection),
    /// The section carries nothing any more.
    Closed,
}

/// Why one [`Wish`] could not be granted; the rest of the answer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WishError {
    /// No section has that mid, or the client stopped it.
    #[error("no live section has this mid")]
    NoSection,
    /// The offer does not send (publish) or receive (receive) in the section.
    #[error("the section's direction does not allow it")]
    Direction,
    /// The section is of the other kind, or has no RTP at all.
    #[error("the section is of another kind")]
    Kind,
    /// The offer has no section left that could receive this kind.
    #[error("the offer has no free receiving section of this kind")]
    NoFreeSection,
    /// The two sides share no codec.
    #[error("the section offers no codec of this track")]
    NoCommonCodec,
}

/// A section in which the client publishes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishedSection {
    /// Its mid; at most `Label::LEN_MAX` bytes.
    pub mid: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// Payload types for the data plane.
    pub payloads: Vec<PublishedPayload>,
    /// Encodings in the order of the offer; at least one.
    pub encodings: Vec<Encoding>,
    /// The same for subscribers.
    pub media: SourceMedia,
}

/// A section in which the client receives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivingSection {
    /// Its mid; at most `Label::LEN_MAX` bytes.
    pub mid: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// The publication's payload types on this client's transport.
    pub payloads: Vec<PayloadMapping>,
    /// SSRC of the stream we send.
    pub ssrc: u32,
    /// SSRC of its RTX stream, when RTX was negotiated.
    pub rtx_ssrc: Option<u32>,
}

/// An answer and what it settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Text of the answer.
    pub sdp: String,
    /// One entry per wish, in their order.
    pub outcomes: Vec<Result<WishOutcome, WishError>>,
    /// Mids of sections that carried something before this offer and were stopped by it.
    pub ended: Vec<String>,
}

/// One thing our offer shall add.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// The client receives a publication.
    Pull(Pull),
    /// The client publishes, in a new section.
    Publish {
        /// Audio or video.
        kind: MediaKind,
        /// Our half of the section, for a pull that names it later.
        send: Option<SendHalf>,
    },
}

/// One publication to add to our offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pull {
    /// A live section in which we do not send yet; None makes a new one.
    pub mid: Option<String>,
    /// What to send.
    pub media: SourceMedia,
    /// SSRC of the stream we send.
    pub ssrc: u32,
    /// SSRC of its RTX stream; None offers no RTX.
    pub rtx_ssrc: Option<u32>,
    /// Stream and track name shown to the client.
    pub msid: Msid,
}

/// Our offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offered {
    /// Text of the offer.
    pub sdp: String,
    /// Mid of each ask's section, in their order.
    pub mids: Vec<String>,
}

/// What a client's answer did to one section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The section.
    pub mid: String,
    /// What became of it.
    pub outcome: AcceptedOutcome,
}

/// The outcomes of [`Accepted`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AcceptedOutcome {
    /// The client receives; (new) facts of the subscription.
    Receiving(ReceivingSection),
    /// The client publishes in a section that was offered for it.
    Published(PublishedSection),
    /// The client refused to receive, or shares no codec: the subscription ends.
    Dropped,
    /// The client stopped a section in which it published, or does not send in one that was
    /// offered for it: the publication ends.
    Unpublished,
}

/// A look at one section of the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SectionView {
    /// Its mid.
    pub mid: String,
    /// Place of its `m=` line, from 0.
    pub index: usize,
    /// Audio or video; None for a section that carries no RTP.
    pub kind: Option<MediaKind>,
    /// Direction from our view.
    pub direction: Direction,
    /// Rejected or stopped; the next new section may take its place.
    pub stopped: bool,
    /// Whether the client publishes in it.
    pub publishes: bool,
    /// SSRC of the stream we send in it, if it carries a subscription or has room for one.
    pub receives: Option<u32>,
}

impl SourceMedia {
    /// Clock rate in Hz of the first payload type.
    pub fn clock_rate(&self) -> u32 {
        self.payloads.first().map_or(90_000, |payload| payload.format.clock_rate)
    }
}
