//! Stage 2: one peer's transport. Set-up traffic ends here; media is authenticated and decrypted
//! here on its way in and sealed here on its way out.

mod arrivals;
mod bound;
mod channels;
mod downlink;
mod establish;
mod peer;
mod streams;
mod traces;

pub(crate) use arrivals::Arrivals;
pub(crate) use bound::ReceiveBound;
pub(crate) use channels::{Channels, End};
pub(crate) use downlink::{Downlink, Waiting};
pub(crate) use establish::Progress;
pub(crate) use peer::{Outlet, Peer, PeerConfig};
pub(crate) use streams::Binding;
pub(crate) use traces::Trace;
