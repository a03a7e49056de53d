//! Both DTLS roles against stacks of other make: `dimpl` on a virtual clock, `webrtc-dtls`
//! over loopback sockets, recorded first flights of browsers, and an attacker.
// The tests stand in for the caller: theirs are the clock and the one certificate of the process.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

mod browser;
mod dial;
mod hostile;
mod loss;
mod net;
mod sockets;
