//! One core's state, sans-IO: datagrams, frames, commands and instants in; send slots, frames,
//! events and a deadline out. The same code runs under io_uring, recvmmsg and the simulator.
//!
//! Reading order: `ingress` is the walk of one datagram; it calls the paths `setup`, `media`,
//! `feedback`; beside them `commands` and `tick`. Paths call stages, in packet order: `demux`,
//! `transport`, `publish`, `history`, `route`, `subscribe`; beside them `channel`. A stage never imports a
//! stage.
#![forbid(unsafe_code)]
// Tests start their virtual time somewhere.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod shard;
mod ingress;
mod setup;
mod media;
mod feedback;
mod commands;
mod tick;
mod tables;
mod demux;
mod transport;
mod publish;
mod history;
mod route;
mod subscribe;
mod channel;
pub mod host;
pub mod kit;

pub use host::{Claim, FrameHeader, Host};
pub use shard::{Shard, ShardConfig};
