//! The data plane: one pinned thread per core, each with its own driver, sockets and engine.
//!
//! The control plane starts it with [`DataPlane::start`], sends [`common::command::Command`]s to
//! cores, and reads [`common::event::Event`]s. Nothing here has seen SDP, JSON or HTTP.
//! In packet order: `worker` is one core's loop (read it first), `outside` what its engine reaches
//! the world with, `steer` whose peer a datagram is, `mailbox` the lanes between threads.
#![forbid(unsafe_code)]

mod start;
mod plane;
mod worker;
mod outside;
mod steer;
mod mailbox;
mod stats;
mod clock;

pub use io::{DriverChoice, DriverKind};
pub use plane::{DataPlane, LaneDepths, PeerTicket};
pub use start::{Config, Pinning, StartError};
