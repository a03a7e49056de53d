//! The control plane's part of a simulation or a load run, without HTTP and SDP: remembers who
//! publishes and who watches, and turns claims into commands. Values in, commands out; the caller
//! delivers them.

use std::collections::BTreeSet;

use common::command::{
    ChannelFacts, ChannelSubscriptionFacts, Command, DtlsRole, Encoding, LayerChoice,
    PayloadMapping, PeerFacts, PublishFacts, PublishedPayload, Reliability, SctpFacts,
    SubscribeFacts,
};
use common::event::Event;
use common::id::{ChannelId, ChannelSubscriptionId, CoreId, PeerId, SubscriptionId, TrackId};
use common::media::{Codec, Extension, ExtensionMap, Label, MediaKind};

use crate::peer::{
    MID_ID, PUBLISHER_TYPES, PayloadTypes, REPAIRED_RID_ID, RID_ID, SUBSCRIBER_TYPES, StreamSpec,
    TRANSPORT_CC_ID,
};

/// A peer as the control plane knows it.
#[derive(Debug)]
struct PeerState {
    id: PeerId,
    fingerprint: [u8; 32],
    transport_cc: bool,
    dtls_role: DtlsRole,
    sctp: Option<SctpFacts>,
    home: Option<CoreId>,
    told: bool,
    gone: bool,
}

/// A published track.
#[derive(Debug)]
struct TrackState {
    id: TrackId,
    owner: usize,
    spec: StreamSpec,
    encodings: Vec<Encoding>,
    told: bool,
    reached: BTreeSet<CoreId>,
}

/// A subscription.
#[derive(Debug)]
struct SubscriptionState {
    id: SubscriptionId,
    owner: usize,
    track: usize,
    spec: StreamSpec,
    layers: LayerChoice,
    told: bool,
}

/// A published data channel.
#[derive(Debug)]
struct ChannelState {
    owner: usize,
    facts: ChannelFacts,
    told: bool,
    reached: BTreeSet<CoreId>,
}

/// A subscription of one.
#[derive(Debug)]
struct ChannelSubscriptionState {
    owner: usize,
    channel: usize,
    stream: u16,
    told: bool,
}

/// The control role.
#[derive(Default, Debug)]
pub struct Control {
    peers: Vec<PeerState>,
    tracks: Vec<TrackState>,
    subscriptions: Vec<SubscriptionState>,
    channels: Vec<ChannelState>,
    channel_subscriptions: Vec<ChannelSubscriptionState>,
}

impl Control {
    /// Adds a peer; returns its number.
    pub fn add_peer(&mut self, id: PeerId, fingerprint: [u8; 32], transport_cc: bool) -> usize {
        let peer = PeerState {
            id,
            fingerprint,
            transport_cc,
            dtls_role: DtlsRole::Server,
            sctp: None,
            home: None,
            told: false,
            gone: false,
        };
        self.peers.push(peer);
        self.peers.len() - 1
    }

    /// Makes the engine the DTLS client of a peer.
    pub fn make_dtls_client(&mut self, peer: usize) {
        self.peers[peer].dtls_role = DtlsRole::Client;
    }

    /// Says that a peer negotiated SCTP; the core is told with the next commands.
    pub fn negotiate_sctp(&mut self, peer: usize, facts: SctpFacts) {
        self.peers[peer].sctp = Some(facts);
        self.peers[peer].told = false;
    }

    /// Adds a track of peer `owner`; returns its number. Without `signal_ssrc` the server must
    /// learn the SSRC from the MID.
    pub fn add_track(&mut self, owner: usize, spec: StreamSpec, signal_ssrc: bool) -> usize {
        let ssrc = signal_ssrc.then_some(spec.ssrc);
        let rtx_ssrc = spec.rtx.filter(|_| signal_ssrc);
        self.push_track(owner, spec, vec![Encoding { rid: None, ssrc, rtx_ssrc }])
    }

    /// Adds a simulcast track of peer `owner` with an encoding for each RID, in this order; their
    /// SSRCs must be learnt, as browsers never signal them. Returns its number.
    pub fn add_simulcast(&mut self, owner: usize, spec: StreamSpec, rids: &[&str]) -> usize {
        let encoding = |rid: &&str| Encoding { rid: Some(label(rid)), ssrc: None, rtx_ssrc: None };
        self.push_track(owner, spec, rids.iter().map(encoding).collect())
    }

    fn push_track(&mut self, owner: usize, spec: StreamSpec, encodings: Vec<Encoding>) -> usize {
        let id = TrackId::new(self.tracks.len() as u32, 1);
        let (told, reached) = (false, BTreeSet::new());
        self.tracks.push(TrackState { id, owner, spec, encodings, told, reached });
        self.tracks.len() - 1
    }

    /// Adds a subscription of peer `owner`; returns its number.
    pub fn add_subscription(&mut self, owner: usize, track: usize, spec: StreamSpec) -> usize {
        let id = SubscriptionId::new(self.subscriptions.len() as u32, 1);
        let (layers, told) = (LayerChoice::default(), false);
        self.subscriptions.push(SubscriptionState { id, owner, track, spec, layers, told });
        self.subscriptions.len() - 1
    }

    /// Adds a data channel of peer `owner`; returns its number.
    pub fn add_channel(&mut self, owner: usize, stream: u16, reliability: Reliability) -> usize {
        let channel = ChannelId::new(self.channels.len() as u32, 1);
        let facts = ChannelFacts { channel, peer: self.peers[owner].id, stream, reliability };
        let (told, reached) = (false, BTreeSet::new());
        self.channels.push(ChannelState { owner, facts, told, reached });
        self.channels.len() - 1
    }

    /// Adds a subscription of a data channel; returns its number.
    pub fn add_channel_subscription(&mut self, owner: usize, channel: usize, stream: u16) -> usize {
        let subscription = ChannelSubscriptionState { owner, channel, stream, told: false };
        self.channel_subscriptions.push(subscription);
        self.channel_subscriptions.len() - 1
    }

    /// Says which encoding a subscription shows; the core is told with the next commands.
    pub fn choose(&mut self, subscription: usize, layers: LayerChoice) {
        let subscription = &mut self.subscriptions[subscription];
        subscription.layers = layers;
        subscription.told = false;
    }

    /// The number of the peer with this id.
    pub fn peer(&self, id: PeerId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id == id)
    }

    /// The home core of a peer.
    pub fn home(&self, peer: usize) -> Option<CoreId> {
        self.peers.get(peer).and_then(|peer| peer.home)
    }

    /// How many tracks were added.
    pub fn track_count(&self) -> usize {
        self.tracks.len()
    }

    /// The id of a track.
    pub fn track_id(&self, track: usize) -> TrackId {
        self.tracks[track].id
    }

    /// The facts of a track, for tests that tell a core others.
    pub fn track_facts(&self, track: usize) -> PublishFacts {
        let track = &self.tracks[track];
        track.facts(self.peers[track.owner].id)
    }

    /// The id of a subscription.
    pub fn subscription_id(&self, subscription: usize) -> SubscriptionId {
        self.subscriptions[subscription].id
    }

    /// Takes an event of a core.
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::Claimed { peer, core } => {
                if let Some(peer) = self.peer(*peer) {
                    self.peers[peer].home = Some(*core);
                }
            }
            Event::Closed { peer, .. } => {
                if let Some(peer) = self.peer(*peer) {
                    self.peers[peer].gone = true;
                }
            }
            _ => {}
        }
    }

    /// Commands that became possible since the last call, in the order they must be delivered.
    pub fn poll_commands(&mut self) -> Vec<(CoreId, Command)> {
        let mut commands = Vec::new();
        for peer in &mut self.peers {
            if let (Some(home), false, false) = (peer.home, peer.told, peer.gone) {
                peer.told = true;
                commands.push((home, Command::SetPeer(peer.facts())));
            }
        }
        for track in &mut self.tracks {
            let owner = &self.peers[track.owner];
            if let (Some(home), false, false) = (owner.home, track.told, owner.gone) {
                track.told = true;
                commands.push((home, Command::Publish(Box::new(track.facts(owner.id)))));
            }
        }
        for subscription in &mut self.subscriptions {
            let track = &mut self.tracks[subscription.track];
            let (owner, publisher) = (&self.peers[subscription.owner], &self.peers[track.owner]);
            let (Some(home), Some(track_core)) = (owner.home, publisher.home) else { continue };
            if subscription.told || owner.gone || publisher.gone {
                continue;
            }
            subscription.told = true;
            let facts = subscription.facts(owner.id, track, track_core);
            commands.push((home, Command::Subscribe(Box::new(facts))));
            if home != track_core && track.reached.insert(home) {
                let reach = Command::Reach { track: track.id, core: home, wanted: true };
                commands.push((track_core, reach));
            }
        }
        self.poll_channel_commands(&mut commands);
        commands
    }

    fn poll_channel_commands(&mut self, commands: &mut Vec<(CoreId, Command)>) {
        for channel in &mut self.channels {
            let owner = &self.peers[channel.owner];
            if let (Some(home), false, false) = (owner.home, channel.told, owner.gone) {
                channel.told = true;
                commands.push((home, Command::PublishChannel(channel.facts)));
            }
        }
        for (number, subscription) in self.channel_subscriptions.iter_mut().enumerate() {
            let channel = &mut self.channels[subscription.channel];
            let (owner, publisher) = (&self.peers[subscription.owner], &self.peers[channel.owner]);
            let (Some(home), Some(channel_core)) = (owner.home, publisher.home) else { continue };
            if subscription.told || owner.gone || publisher.gone {
                continue;
            }
            subscription.told = true;
            let ChannelFacts { channel: id, reliability, .. } = channel.facts;
            let facts = ChannelSubscriptionFacts {
                subscription: ChannelSubscriptionId::new(number as u32, 1),
                peer: owner.id,
                channel: id,
                channel_core,
                stream: subscription.stream,
                reliability,
                wait_for_ack: false,
                can_reply: false,
            };
            commands.push((home, Command::SubscribeChannel(facts)));
            if home != channel_core && channel.reached.insert(home) {
                let reach = Command::ReachChannel { channel: id, core: home, wanted: true };
                commands.push((channel_core, reach));
            }
        }
    }
}

impl PeerState {
    fn facts(&self) -> PeerFacts {
        let mut extensions = ExtensionMap::default();
        extensions.bind(MID_ID, Extension::Mid);
        extensions.bind(RID_ID, Extension::Rid);
        extensions.bind(REPAIRED_RID_ID, Extension::RepairedRid);
        if self.transport_cc {
            extensions.bind(TRANSPORT_CC_ID, Extension::TransportCc);
        }
        PeerFacts {
            peer: self.id,
            fingerprint: self.fingerprint,
            extensions,
            transport_feedback: self.transport_cc,
            dtls_role: self.dtls_role,
            sctp: self.sctp,
        }
    }
}

impl TrackState {
    fn facts(&self, peer: PeerId) -> PublishFacts {
        let PayloadTypes { video, rtx, audio, .. } = PUBLISHER_TYPES;
        let is_video = self.spec.kind == MediaKind::Video;
        let payload = PublishedPayload {
            payload_type: if is_video { video } else { audio },
            codec: if is_video { Codec::Vp8 } else { Codec::Opus },
            clock_rate: clock_rate(self.spec.kind),
            rtx: self.spec.rtx.map(|_| rtx),
            nack: self.spec.rtx.is_some(),
            pli: is_video,
            remb: false,
        };
        PublishFacts {
            track: self.id,
            peer,
            mid: label(self.spec.mid),
            kind: self.spec.kind,
            payloads: vec![payload],
            encodings: self.encodings.clone(),
        }
    }
}

impl SubscriptionState {
    fn facts(&self, peer: PeerId, track: &TrackState, track_core: CoreId) -> SubscribeFacts {
        let is_video = self.spec.kind == MediaKind::Video;
        let (from, to) = match is_video {
            true => (PUBLISHER_TYPES.video, SUBSCRIBER_TYPES.video),
            false => (PUBLISHER_TYPES.audio, SUBSCRIBER_TYPES.audio),
        };
        let rtx = self.spec.rtx.map(|_| SUBSCRIBER_TYPES.rtx);
        SubscribeFacts {
            subscription: self.id,
            peer,
            track: track.id,
            track_core,
            kind: self.spec.kind,
            clock_rate: clock_rate(self.spec.kind),
            mid: label(self.spec.mid),
            ssrc: self.spec.ssrc,
            rtx_ssrc: self.spec.rtx,
            payloads: vec![PayloadMapping { from, to, rtx }],
            layers: self.layers.clone(),
        }
    }
}

fn clock_rate(kind: MediaKind) -> u32 {
    match kind {
        MediaKind::Audio => 48_000,
        MediaKind::Video => 90_000,
    }
}

fn label(mid: &str) -> Label {
    Label::new(mid.as_bytes()).unwrap_or_default()
}
