//! Owner of every table of one core; the whole public surface of the engine.

use std::sync::Arc;
use std::time::Instant;

use common::address::TransportAddress;
use common::command::Command;
use common::counters::Counters;
use common::event::CloseReason;
use common::id::{CoreId, PeerId};
use proto::dtls::Certificate;
use proto::ice::NodeSecret;

use crate::host::{FrameHeader, Host};
use crate::kit::clock::ClockPair;
use crate::tables::{Tables, TablesConfig};
use crate::tick::Ticker;
use crate::{commands, feedback, ingress, media};

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
    tables: Tables,
    ticker: Ticker,
}

impl Shard {
    /// Makes an empty shard. All memory that does not depend on peers is taken here.
    pub fn new(config: ShardConfig, now: Instant) -> Self {
        let ShardConfig { core, secret, certificate, seed } = config;
        let tables = Tables::new(TablesConfig { core, secret, certificate, seed }, now);
        Self { tables, ticker: Ticker::new(now) }
    }

    /// Walks one datagram that arrived from `from` at `now`; it is decrypted in place. Media leaves with
    /// [`Shard::forward`].
    ///
    /// `now` is the network's instant, not the caller's: it may lie up to some 250 ms before what
    /// earlier calls were given, and nothing in the engine may take it for a monotonic clock.
    pub fn on_datagram(
        &mut self,
        from: impl Into<TransportAddress>,
        bytes: &mut [u8],
        now: Instant,
        host: &mut impl Host,
    ) {
        ingress::on_datagram(&mut self.tables, from.into(), bytes, now, host);
        self.tables.serve_channels(now, host);
    }

    /// Sends the media of the calls before it to the subscribers. To be called at the end of a turn: what
    /// came in together leaves together.
    pub fn forward(&mut self, host: &mut impl Host) {
        media::forward(&mut self.tables, host);
    }

    /// Takes a frame from another core. Media leaves with [`Shard::forward`].
    pub fn on_frame(
        &mut self,
        header: FrameHeader,
        bytes: &mut [u8],
        now: Instant,
        host: &mut impl Host,
    ) {
        match header {
            // The other core may have read its clock later than this one.
            FrameHeader::Datagram { from, arrival } => {
                self.on_datagram(from, bytes, arrival.min(now), host);
            }
            FrameHeader::Media { track, packet } => {
                media::on_frame(&mut self.tables, track, &packet, bytes, now, host);
            }
            FrameHeader::SenderReport { track, encoding, ntp, rtp } => {
                let clock = ClockPair { ntp, rtp };
                let tables = &mut self.tables;
                feedback::on_sender_report_frame(tables, track, encoding, clock, now, host);
            }
            FrameHeader::KeyFrameWanted { track, encoding } => {
                self.tables.on_key_frame_wanted(track, encoding, now, host);
            }
            FrameHeader::ChannelMessage { channel, text } => {
                self.tables.on_channel_frame(channel, text, bytes, host);
            }
            FrameHeader::ChannelGap { channel } => self.tables.on_channel_gap(channel, host),
            FrameHeader::ChannelReply { channel, text } => {
                self.tables.on_channel_reply(channel, text, bytes);
            }
        }
        self.tables.serve_channels(now, host);
    }

    /// Applies one command.
    pub fn on_command(&mut self, command: Command, now: Instant, host: &mut impl Host) {
        commands::apply(&mut self.tables, command, now, host);
        self.tables.serve_channels(now, host);
    }

    /// Does everything that is due at `now`.
    pub fn on_deadline(&mut self, now: Instant, host: &mut impl Host) {
        self.ticker.run(&mut self.tables, now, host);
        self.tables.serve_channels(now, host);
    }

    /// When [`Shard::on_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Instant {
        self.ticker.next(&self.tables)
    }

    /// After a panic was caught in one of the calls above: ends the peer that was being served.
    pub fn contain(&mut self, now: Instant, host: &mut impl Host) {
        let serving = self.tables.serving.take();
        if let Some(place) = serving.and_then(|peer| self.tables.peers.place(peer)) {
            self.tables.close(place, CloseReason::Aborted, now, host);
        }
    }

    /// Bandwidth towards a peer of this core in bit/s, as far as it is estimated.
    pub fn estimate(&self, peer: PeerId) -> Option<u64> {
        let peer = self.tables.peers.at(self.tables.peers.place(peer)?)?;
        peer.downlink.as_ref().map(|downlink| downlink.congestion.estimate())
    }

    /// This core's counters.
    pub fn counters(&self) -> &Counters {
        &self.tables.counters
    }

    /// For the driver's own counts (refused sends, oversize datagrams).
    pub fn counters_mut(&mut self) -> &mut Counters {
        &mut self.tables.counters
    }
}
