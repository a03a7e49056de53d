//! What a simulated run is set up with: the whole ([`SimConfig`]) and each remote peer ([`Join`]).
//! Values only; the run itself is in `sim`.

use std::net::SocketAddr;
use std::time::Duration;

use common::command::SctpFacts;
use common::limits;
use str0m::config::DtlsVersion;

use crate::link::LinkConfig;
use crate::peer::{PUBLISHER_TYPES, PeerConfig, SUBSCRIBER_TYPES};

/// MIDs in order of use within one peer.
pub const MIDS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];

/// How a simulation is set up.
#[derive(Clone, Copy, Debug)]
pub struct SimConfig {
    /// Decides every chance of the run.
    pub seed: u64,
    /// Number of shards.
    pub cores: usize,
    /// Time between an event and the commands it causes.
    pub control_delay: Duration,
    /// Depth of each frame lane.
    pub lane_depth: usize,
    /// Send slots per turn of a core.
    pub slots: usize,
    /// Whether SSRCs are signalled or must be learnt from MIDs.
    pub signal_ssrc: bool,
}

impl SimConfig {
    /// `cores` shards under `seed`.
    pub fn new(seed: u64, cores: usize) -> Self {
        Self {
            seed,
            cores,
            control_delay: Duration::from_millis(2),
            lane_depth: limits::FRAME_LANE,
            slots: 4096,
            signal_ssrc: true,
        }
    }
}

/// How a remote peer joins.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    /// Link towards the server.
    pub up: LinkConfig,
    /// Link from the server.
    pub down: LinkConfig,
    /// DTLS version it offers.
    pub dtls: DtlsVersion,
    /// Whether it publishes (its payload types differ from a subscriber's).
    pub publisher: bool,
    /// Whether it is the DTLS server, so that the engine sends the ClientHello.
    pub serves_dtls: bool,
    /// Whether the control plane is told a wrong certificate fingerprint.
    pub impostor: bool,
    /// Whether it sends transport-wide sequence numbers and answers them with feedback.
    pub transport_cc: bool,
    /// SCTP, if it has data channels.
    pub sctp: Option<SctpFacts>,
}

impl Join {
    /// A publisher on clean links.
    pub fn publisher() -> Self {
        Self {
            up: LinkConfig::default(),
            down: LinkConfig::default(),
            dtls: DtlsVersion::Dtls12,
            publisher: true,
            serves_dtls: false,
            impostor: false,
            transport_cc: false,
            sctp: None,
        }
    }

    /// A subscriber on clean links.
    pub fn subscriber() -> Self {
        Self { publisher: false, ..Self::publisher() }
    }

    /// The same peer with transport-wide sequence numbers and feedback, as browsers have them.
    pub fn estimated(self) -> Self {
        Self { transport_cc: true, ..self }
    }

    /// The same peer with data channels.
    pub fn with_channels(self) -> Self {
        let facts = SctpFacts { port: 5_000, max_message_size: 0, server_events: false };
        Self { sctp: Some(facts), ..self }
    }

    /// The set-up of the peer itself, at its own address and towards the server's.
    pub(crate) fn peer_config(&self, local: SocketAddr, server: SocketAddr) -> PeerConfig {
        PeerConfig {
            dtls: self.dtls,
            serves_dtls: self.serves_dtls,
            transport_cc: self.transport_cc,
            publishes: self.publisher,
            types: if self.publisher { PUBLISHER_TYPES } else { SUBSCRIBER_TYPES },
            ..PeerConfig::new(local, server)
        }
    }

    /// The same peer on other links.
    pub fn on(self, link: LinkConfig) -> Self {
        Self { up: link, down: link, ..self }
    }
}
