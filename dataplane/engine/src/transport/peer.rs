//! One peer: its paths, its handshake, its keys, its inbound SSRCs. Of its tracks and
//! subscriptions it keeps the places only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::address::TransportAddress;
use common::command::DtlsRole;
use common::event::Event;
use common::id::PeerId;
use common::media::ExtensionMap;
use proto::dtls::Certificate;
use proto::ice::IceLite;
use proto::srtp::{Keying, Open, Seal};

use super::arrivals::Arrivals;
use super::bound::ReceiveBound;
use super::channels::Channels;
use super::downlink::Downlink;
use super::establish::Establish;
use super::streams::Streams;
use crate::kit::table::{SubscriptionPlace, TrackPlace};

/// What a peer is made from.
pub(crate) struct PeerConfig<'a> {
    /// Its name.
    pub id: PeerId,
    /// The node's certificate.
    pub certificate: &'a Arc<Certificate>,
    /// SSRC under which this node sends RTCP of its own to the peer.
    pub rtcp_ssrc: u32,
}

/// One peer of this core.
pub(crate) struct Peer {
    /// Its name.
    pub id: PeerId,
    /// Paths, nomination and consent.
    pub ice: IceLite,
    /// DTLS.
    pub establish: Establish,
    /// Our DTLS role by its facts.
    pub dtls_role: DtlsRole,
    /// Ids of header extensions on this transport.
    pub extensions: ExtensionMap,
    /// Inbound SSRCs.
    pub streams: Streams,
    /// Published tracks.
    pub tracks: Vec<TrackPlace>,
    /// Subscriptions.
    pub subscriptions: Vec<SubscriptionPlace>,
    /// SSRC under which this node sends RTCP of its own to the peer.
    pub rtcp_ssrc: u32,
    /// Arrivals by transport-wide sequence number; exists once the first such number was seen.
    pub arrivals: Option<Box<Arrivals>>,
    /// How much it may send, when it is told that by REMB.
    pub bound: Option<ReceiveBound>,
    /// Estimate and pacing of what is sent, where the peer sends transport-wide feedback.
    pub downlink: Option<Box<Downlink>>,
    /// Data channels, where SCTP was negotiated.
    pub channels: Option<Box<Channels>>,
    /// Smoothed round-trip time, once a report told it.
    pub round_trip: Option<Duration>,
    /// What came and went since it was last reported.
    pub traffic: Traffic,
    keys: Option<Box<Keys>>,
}

/// UDP payload bytes of a peer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// Of authentic datagrams from it.
    pub received: u64,
    /// Sent to it.
    pub sent: u64,
}

struct Keys {
    open: Open,
    seal: Seal,
    /// Index of the next SRTCP packet (31 bits; RFC 3711 section 3.4).
    rtcp_index: u32,
}

/// What it takes to send a packet to a peer.
pub(crate) struct Outlet<'a> {
    /// Key.
    pub seal: &'a Seal,
    /// Address.
    pub to: &'a TransportAddress,
    /// Ids of header extensions.
    pub extensions: &'a ExtensionMap,
    /// Estimate and pacing.
    pub downlink: Option<&'a mut Downlink>,
    /// Bytes sent.
    pub sent: &'a mut u64,
}

impl Peer {
    /// A peer whose first authenticated check arrived at `now`.
    pub(crate) fn new(config: &PeerConfig<'_>, now: Instant) -> Self {
        Self {
            id: config.id,
            ice: IceLite::new(now),
            establish: Establish::new(config.certificate, now),
            dtls_role: DtlsRole::Server,
            extensions: ExtensionMap::default(),
            streams: Streams::new(),
            tracks: Vec::new(),
            subscriptions: Vec::new(),
            rtcp_ssrc: config.rtcp_ssrc,
            arrivals: None,
            bound: None,
            downlink: None,
            channels: None,
            round_trip: None,
            traffic: Traffic::default(),
            keys: None,
        }
    }

    /// Begins the handshake when that is ours to do and a path was nominated. True: drive it.
    pub(crate) fn initiate(&mut self, now: Instant) -> bool {
        self.dtls_role == DtlsRole::Client
            && self.ice.selected().is_some()
            && self.establish.connect(now)
    }

    /// Installs the keys of a finished handshake (RFC 5764 section 4.2: one side's write keys open
    /// what arrives at the other).
    pub(crate) fn install(&mut self, keying: &Keying) {
        let server = self.establish.role() == DtlsRole::Server;
        self.keys = Some(Box::new(Keys {
            open: Open::new(keying, server),
            seal: Seal::new(keying, !server),
            rtcp_index: 0,
        }));
    }

    /// Key for what arrives, with the table it is used with; None before the handshake ended.
    pub(crate) fn opening(&mut self) -> Option<(&Open, &mut Streams)> {
        Some((&self.keys.as_ref()?.open, &mut self.streams))
    }

    /// Key for what leaves and the address it leaves to; None while there is either no key or no
    /// address that proved itself.
    pub(crate) fn sealing(&self) -> Option<(&Seal, TransportAddress)> {
        Some((&self.keys.as_ref()?.seal, self.ice.selected()?))
    }

    /// The same, with the way down and the names that packets carry, for whoever seals a packet.
    pub(crate) fn outlet(&mut self) -> Option<Outlet<'_>> {
        Some(Outlet {
            seal: &self.keys.as_ref()?.seal,
            to: self.ice.selected_path()?,
            extensions: &self.extensions,
            downlink: self.downlink.as_deref_mut(),
            sent: &mut self.traffic.sent,
        })
    }

    /// What to report of its traffic, counted from zero again; None when there was none.
    pub(crate) fn take_traffic(&mut self) -> Option<Event> {
        let Traffic { received, sent } = std::mem::take(&mut self.traffic);
        (received | sent != 0).then_some(Event::Traffic { peer: self.id, received, sent })
    }

    /// Whether the path to it shows a queue or loss that is more than a path's usual one.
    pub(crate) fn is_strained(&self) -> bool {
        self.downlink.as_ref().is_some_and(|downlink| downlink.is_strained())
    }

    /// Takes a measured round-trip time in.
    pub(crate) fn on_round_trip(&mut self, measured: Duration) {
        let smoothed = self.round_trip.map_or(measured, |known| (known * 7 + measured) / 8);
        self.round_trip = Some(smoothed);
        if let Some(downlink) = &mut self.downlink {
            downlink.congestion.on_rtt(measured);
        }
    }

    /// Seals the compound RTCP packet in `slot[..len]` under the next index. Returns the length
    /// and the address, or None as [`Peer::sealing`] does, or when all indexes are used up.
    pub(crate) fn seal_rtcp(
        &mut self,
        slot: &mut [u8],
        len: usize,
    ) -> Option<(usize, TransportAddress)> {
        let to = self.ice.selected()?;
        let keys = self.keys.as_mut()?;
        if keys.rtcp_index >= 1 << 31 {
            return None;
        }
        let sealed = keys.seal.rtcp(keys.rtcp_index, slot, len)?;
        keys.rtcp_index += 1;
        Some((sealed, to))
    }
}
