//! The DTLS server role against clients of other make: `dimpl` on a virtual clock, `webrtc-dtls`
//! over loopback sockets, recorded first flights of browsers, and an attacker.
#![allow(clippy::unwrap_used)]

mod browser;
mod hostile;
mod loss;
mod net;
mod sockets;
