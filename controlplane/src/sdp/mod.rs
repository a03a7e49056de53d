//! Session descriptions: text to typed values, and the offer/answer state machine of one session.
//!
//! The API layer parses what a client sent with [`Description::parse`] and drives one
//! [`Negotiation`] per session. Nothing here does IO, reads a clock or draws random numbers: SSRCs,
//! track names and transport credentials are arguments. Nothing here may panic on hostile text.
//! RFC 8866 (SDP), RFC 8829 (JSEP), RFC 9143 (BUNDLE), RFC 8853 (simulcast), RFC 8285 (extensions),
//! RFC 8841 (data channels).

mod description;
mod parse;
mod codecs;
mod extensions;
mod outcome;
mod negotiation;
mod lines;
mod answer;
mod offer;
mod invite;
mod accept;
mod channels;
mod fragment;
mod write;

pub use channels::Sctp;
pub use description::{
    Description, Direction, ExtensionLine, Format, IceCredentials, Payload, Section, SectionKind,
    Setup,
};
pub use fragment::Fragment;
pub use negotiation::{LocalTransport, Negotiation};
pub use outcome::{
    Accepted, AcceptedOutcome, Answered, Ask, Msid, Offered, PublishedSection, Pull,
    ReceivingSection, SectionView, SendHalf, SourceMedia, SourcePayload, Wish, WishError,
    WishOutcome,
};

/// Why a description was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}{reason}", line.map(|n| format!("line {n}: ")).unwrap_or_default())]
pub struct SdpError {
    /// What kind of fault it is; the API layer picks the HTTP status by it.
    pub kind: SdpErrorKind,
    /// Line of the text the fault is in, counted from 1, where it belongs to one line.
    pub line: Option<usize>,
    /// What is wrong, for the client's developer.
    pub reason: String,
}

/// The kinds of [`SdpError`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SdpErrorKind {
    /// The text is no acceptable session description (HTTP 400).
    Malformed,
    /// The description does not fit the state of the session (HTTP 406): an offer while ours is
    /// open, an answer to nothing, sections that vanished or changed their identity.
    Order,
}

impl SdpError {
    /// A fault in one line of the text, or in the text as a whole.
    pub(crate) fn malformed(line: impl Into<Option<usize>>, reason: impl Into<String>) -> Self {
        Self { kind: SdpErrorKind::Malformed, line: line.into(), reason: reason.into() }
    }

    /// A description that does not fit the session.
    pub(crate) fn order(reason: impl Into<String>) -> Self {
        Self { kind: SdpErrorKind::Order, line: None, reason: reason.into() }
    }
}
