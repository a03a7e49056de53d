//! Owner of every table of one core; the whole public surface of the engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use common::command::Command;
use common::counters::Counters;
use common::id::CoreId;
use proto::dtls::Certificate;
use proto::ice::NodeSecret;

use crate::host::{FrameHeader, Host};

/// What a shard is made from.
pub struct ShardConfig {
    /// Number of this core.
    pub core: CoreId,
    /// Key of the node's ICE user names and passwords.
    pub secret: NodeSecret,
    /// The node's DTLS certificate.
    pub certificate: Arc<Certificate>,
    /// Seed of every random decision of this shard (hash keys, first sequence numbers).
    pub seed: u64,
}

/// One core's state.
pub struct Shard {
    counters: Counters,
}

impl Shard {
    /// Makes an empty shard. All memory that does not depend on peers is taken here.
    pub fn new(_config: ShardConfig, _now: Instant) -> Self {
        Self { counters: Counters::default() }
    }

    /// Walks one datagram that arrived from `from`.
    pub fn on_datagram(
        &mut self,
        _from: SocketAddr,
        _bytes: &mut [u8],
        _now: Instant,
        _host: &mut impl Host,
    ) {
    }

    /// Takes a frame from another core.
    pub fn on_frame(
        &mut self,
        _header: FrameHeader,
        _bytes: &mut [u8],
        _now: Instant,
        _host: &mut impl Host,
    ) {
    }

    /// Applies one command.
    pub fn on_command(&mut self, _command: Command, _now: Instant, _host: &mut impl Host) {}

    /// Does everything that is due at `now`.
    pub fn on_deadline(&mut self, _now: Instant, _host: &mut impl Host) {}

    /// When [`Shard::on_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Instant {
        unreachable!()
    }

    /// After a panic was caught in one of the calls above: ends the peer that was being served.
    pub fn contain(&mut self, _now: Instant, _host: &mut impl Host) {}

    /// This core's counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// For the driver's own counts (refused sends, oversize datagrams).
    pub fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }
}
