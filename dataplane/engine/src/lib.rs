//! One core's state, sans-IO: datagrams, frames, commands and instants in; send slots, frames,
//! events and a deadline out. The same code runs under io_uring, recvmmsg and the simulator.
#![forbid(unsafe_code)]

pub mod host;
pub mod kit;
pub mod shard;

pub use host::{Claim, FrameHeader, Host};
pub use shard::{Shard, ShardConfig};
