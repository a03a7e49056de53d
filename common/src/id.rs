//! Identifiers that cross the border between the planes. All are indexes with a generation: a
//! stale identifier resolves to nothing, it never resolves to a newer object.

use std::fmt;

/// Number of a data-plane core, counted from 0 in the order the cores were started.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CoreId(pub u8);

macro_rules! generational_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            /// Position in the table that owns the object.
            pub index: u32,
            /// How often that position had been used before.
            pub generation: u32,
        }

        impl $name {
            /// Names the object at `index` in its `generation`.
            pub const fn new(index: u32, generation: u32) -> Self {
                Self { index, generation }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}.{})"), self.index, self.generation)
            }
        }
    };
}

generational_id! {
    /// One ICE and DTLS transport of a session. A session has one at a time; a moved BUNDLE tag
    /// gives it a new one.
    PeerId
}
generational_id! {
    /// One published track (RFC 3550: the packets of one source, all its simulcast encodings).
    TrackId
}
generational_id! {
    /// One subscriber's copy of a track: an outbound RTP stream with an SSRC of our own.
    SubscriptionId
}
generational_id! {
    /// One published data channel: a name under which a session sends messages to its subscribers.
    ChannelId
}
generational_id! {
    /// One subscriber's end of a published data channel: a stream of its own SCTP association.
    ChannelSubscriptionId
}
