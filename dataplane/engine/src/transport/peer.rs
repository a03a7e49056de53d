//! One peer: its paths, its handshake, its keys, its inbound SSRCs. Of its tracks and
//! subscriptions it keeps the places only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::address::TransportAddress;
use common::command::DtlsRole;
use common::event::{Event, PathFigures};
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
    /// How its path is, as far as others noted it here for the next report.
    pub path: PathFigures,
    keys: Option<Box<Keys>>,
}

/// UDP payload bytes of a peer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// Of authentic datagrams from it.
    pub received: u64,
    /// Sent to it, but for what [`Keys::sent`] counts.
    pub sent: u64,
}

/// The keys of a finished handshake.
pub(crate) struct Keys {
    open: Open,
    /// For what leaves.
    pub seal: Seal,
    /// UDP payload bytes of media and padding sent since the peer's traffic was last reported: here,
    /// because whoever seals them has these keys in hand and nothing else to look up.
    pub sent: u64,
    /// Index of the next SRTCP packet (31 bits; RFC 3711 section 3.4).
    rtcp_index: u32,
}

/// What it takes to send a packet to a peer.
pub(crate) struct Outlet<'a> {
    /// Key, and the count of what it sealed.
    pub keys: &'a mut Keys,
    /// Address.
    pub to: &'a TransportAddress,
    /// Ids of header extensions.
    pub extensions: &'a ExtensionMap,
    /// Estimate and pacing.
    pub downlink: Option<&'a mut Downlink>,
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
            path: PathFigures::default(),
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
            sent: 0,
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
            keys: self.keys.as_deref_mut()?,
            to: self.ice.selected_path()?,
            extensions: &self.extensions,
            downlink: self.downlink.as_deref_mut(),
        })
    }

    /// What to report of its traffic, counted from zero again; None when there was none.
    pub(crate) fn take_traffic(&mut self) -> Option<Event> {
        let Traffic { received, mut sent } = std::mem::take(&mut self.traffic);
        sent += self.keys.as_mut().map_or(0, |keys| std::mem::take(&mut keys.sent));
        let path = self.take_figures();
        (received | sent != 0).then_some(Event::Traffic { peer: self.id, received, sent, path })
    }

    /// How its path is now; what is counted begins at zero again.
    fn take_figures(&mut self) -> PathFigures {
        let mut path = self.path;
        (self.path.nacked, self.path.key_frames) = (0, 0);
        path.round_trip = self.round_trip.or(path.round_trip);
        if let Some(downlink) = &self.downlink {
            path.estimate = Some(downlink.congestion.estimate());
            path.queue = downlink.congestion.queue_delay();
            path.lost_down = (downlink.congestion.loss() * 1_000.0) as u16;
        }
        path
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
