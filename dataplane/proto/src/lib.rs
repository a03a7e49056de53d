//! Pure wire formats and state machines: no clock, socket, thread or lock.
#![forbid(unsafe_code)]

mod cursor;
pub mod classify;
pub mod stun;
pub mod ice;
pub mod dtls;
pub mod sctp;
pub mod srtp;
pub mod rtp;
pub mod rtcp;
pub mod payload;
pub mod congestion;
