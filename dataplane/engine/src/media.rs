//! PATH forward: one RTP packet from its publisher, or one frame from another core, to the send
//! slots of its subscribers.

use std::time::Instant;

use common::counters::{Counters, Drop};
use common::event::Event;
use common::id::{PeerId, SubscriptionId, TrackId};
use common::media::{Codec, Extension, ExtensionMap, Label, MediaKind};
use proto::payload::{FrameReader, red, vp8, vp9};
use proto::rtp::{Header, elements, extend, padding_len};
use proto::srtp::{InboundStream, OpenError};

use crate::history::{History, Index};
use crate::host::{FrameHeader, Host};
use crate::kit::packet::{Element, Packet, PictureNumbers};
use crate::kit::table::{FeedName, FeedPlace, PeerPlace, SubscriptionPlace, Table, TrackPlace};
use crate::publish::{Arrival, Filled, Voice};
use crate::route::{FRESH_MAX, Feed, Fresh};
use crate::subscribe::{Pick, Subscription, stays_as_is};
use crate::tables::{Outcome, Tables, emit_as_is, emit_new, list};
use crate::transport::{Arrivals, Binding, Peer, Waiting};

/// What a header said beside what [`Packet`] keeps: facts of the hop.
#[derive(Default)]
struct Hop {
    mid: Option<Label>,
    rid: Option<Label>,
    repaired_rid: Option<Label>,
    transport_sequence: Option<u16>,
}

/// An SRTP packet of `place`; decrypted in place.
pub(crate) fn on_rtp(
    tables: &mut Tables,
    place: PeerPlace,
    bytes: &mut [u8],
    now: Instant,
    host: &mut impl Host,
) -> Outcome {
    match accept(tables, place, bytes, now) {
        Err(reason) => Outcome::Dropped(reason),
        Ok(None) => Outcome::Media,
        Ok(Some(accepted)) => {
            let plain = &bytes[..accepted.len];
            arrive(tables, accepted, plain, now, host);
            Outcome::Media
        }
    }
}

/// A packet of a track of another core for this core's subscribers.
pub(crate) fn on_frame(
    tables: &mut Tables,
    track: TrackId,
    packet: &Packet,
    bytes: &[u8],
    now: Instant,
    host: &mut impl Host,
) {
    tables.counters.frames_in += 1;
    if let Some(feed) = tables.feeds.place(FeedName(track)) {
        enqueue(tables, feed, packet, bytes, now, host);
    }
}

/// A packet of a published track.
struct Accepted {
    track: TrackPlace,
    packet: Packet,
    /// Length of the plaintext packet.
    len: usize,
    /// Whether it came on the SSRC of retransmissions.
    repeated: bool,
}

/// Authenticates and decrypts; finds the track. None: authentic, but nothing to forward
/// (padding of a probe).
fn accept(
    tables: &mut Tables,
    place: PeerPlace,
    bytes: &mut [u8],
    now: Instant,
) -> Result<Option<Accepted>, Drop> {
    let header = Header::parse(bytes).ok_or(Drop::RtpMalformed)?;
    let peer = tables.peers.at_mut(place).ok_or(Drop::UnknownAddress)?;
    let (open, streams) = peer.opening().ok_or(Drop::NoKeys)?;
    let mut fresh = InboundStream::default();
    let known = streams.place(header.ssrc);
    let replay = match known.and_then(|known| streams.at(known)) {
        Some(stream) => &mut stream.replay,
        None => &mut fresh,
    };
    let opened = open.rtp(replay, bytes, header.payload_offset).map_err(|error| match error {
        OpenError::Malformed => Drop::RtpMalformed,
        OpenError::Unauthentic => Drop::SrtpUnauthentic,
        OpenError::Replayed => Drop::SrtpReplayed,
    })?;
    let stream = match known {
        Some(known) => known,
        None => streams.add(header.ssrc, fresh).ok_or(Drop::SsrcLimit)?,
    };
    let plain = &bytes[..opened.len];
    let (mut packet, hop) = describe(plain, &header, &peer.extensions)?;
    packet.sequence = opened.index;
    if let Some(sequence) = hop.transport_sequence {
        let arrivals = peer.arrivals.get_or_insert_with(|| Box::new(Arrivals::new()));
        arrivals.record(sequence, bytes.len(), now);
    }
    if let Some(bound) = &mut peer.bound {
        bound.on_packet(bytes.len());
    }
    let binding = binding(tables, place, stream, &header, &hop).ok_or(Drop::UnknownTrack)?;
    let len = opened.len;
    match binding {
        Binding::Unbound => Err(Drop::UnknownTrack),
        Binding::Media(track, encoding) => {
            packet.encoding = encoding;
            let known = tables.tracks.at(track).and_then(|t| t.payload(packet.payload_type));
            known.ok_or(Drop::UnknownPayloadType)?;
            Ok(Some(Accepted { track, packet, len, repeated: false }))
        }
        Binding::Retransmission(track, encoding) => {
            packet.encoding = encoding;
            let packet = repaired(tables, track, packet, plain);
            Ok(packet.map(|packet| Accepted { track, packet, len, repeated: true }))
        }
    }
}

/// Reads a plaintext packet. The sequence number, encoding and epoch are filled in later.
fn describe(
    plain: &[u8],
    header: &Header,
    extensions: &ExtensionMap,
) -> Result<(Packet, Hop), Drop> {
    let padding = padding_len(plain, header).ok_or(Drop::RtpMalformed)?;
    let payload_len = plain.len() - header.payload_offset - usize::from(padding);
    let mut packet = Packet {
        payload_type: header.payload_type,
        marker: header.marker,
        timestamp: header.timestamp,
        payload_offset: header.payload_offset as u16,
        payload_len: payload_len as u16,
        padding_len: padding,
        ..Packet::blank()
    };
    let mut hop = Hop::default();
    for (id, offset, len) in elements(plain, header) {
        let Some(extension) = extensions.extension(id) else { continue };
        let data = &plain[offset..offset + len];
        match extension {
            Extension::Mid => hop.mid = Label::new(data),
            Extension::Rid => hop.rid = Label::new(data),
            Extension::RepairedRid => hop.repaired_rid = Label::new(data),
            Extension::TransportCc => {
                hop.transport_sequence = data.try_into().ok().map(u16::from_be_bytes);
            }
            _ => packet.remember(Element { extension, offset: offset as u16, len: len as u8 }),
        }
    }
    Ok((packet, hop))
}

/// What the SSRC at `stream` carries; learnt from signalled SSRCs, MID and RID, or the payload
/// type when only one track has it.
fn binding(
    tables: &mut Tables,
    place: PeerPlace,
    stream: usize,
    header: &Header,
    hop: &Hop,
) -> Option<Binding> {
    let peer = tables.peers.at_mut(place)?;
    let bound = peer.streams.at(stream)?.binding;
    if bound != Binding::Unbound {
        return Some(bound);
    }
    let found = peer.tracks.iter().find_map(|place| {
        let track = tables.tracks.at(*place)?;
        let media = |encoding| Binding::Media(*place, encoding);
        let repair = |encoding| Binding::Retransmission(*place, encoding);
        if let Some((encoding, is_repair)) = track.signalled(header.ssrc) {
            return Some(if is_repair { repair(encoding) } else { media(encoding) });
        }
        if hop.mid? != track.mid {
            return None;
        }
        if let Some(rid) = hop.repaired_rid {
            return track.with_rid(rid).map(repair);
        }
        if let Some(rid) = hop.rid {
            return track.with_rid(rid).map(media);
        }
        let single = track.encodings.len() == 1;
        match track.retransmitted(header.payload_type) {
            Some(_) => single.then(|| repair(0)),
            None => single.then(|| media(0)),
        }
    });
    let found = found.or_else(|| by_payload_type(tables, place, header.payload_type))?;
    if let Binding::Media(track, encoding) = found {
        let epoch = tables.next_epoch();
        tables.tracks.at_mut(track)?.bind(encoding, header.ssrc, epoch);
    }
    tables.peers.at_mut(place)?.streams.at(stream)?.binding = found;
    Some(found)
}

/// For publishers without MID and signalled SSRCs: the only track with that payload type, if it has
/// no SSRC yet.
fn by_payload_type(tables: &Tables, place: PeerPlace, payload_type: u8) -> Option<Binding> {
    let mut matching = tables.peers.at(place)?.tracks.iter().filter(|place| {
        tables.tracks.at(**place).is_some_and(|track| track.payload(payload_type).is_some())
    });
    let (only, None) = (matching.next()?, matching.next()) else { return None };
    let track = tables.tracks.at(*only)?;
    let bare = track.encodings.len() == 1
        && track.encodings.iter().all(|state| state.facts.ssrc.is_none() && state.ssrc.is_none());
    bare.then_some(Binding::Media(*only, 0))
}

/// Turns a retransmission (RFC 4588 section 4) into the packet it repeats; None for the padding that
/// probes send on this SSRC.
fn repaired(
    tables: &Tables,
    track: TrackPlace,
    mut packet: Packet,
    plain: &[u8],
) -> Option<Packet> {
    let original = packet.payload(plain).get(..2)?;
    let original = u16::from_be_bytes(original.try_into().ok()?);
    let track = tables.tracks.at(track)?;
    let state = track.encodings.get(usize::from(packet.encoding))?;
    packet.payload_type = track.retransmitted(packet.payload_type)?.payload_type;
    packet.sequence = extend(state.reception.newest()?, original);
    packet.payload_offset += 2;
    packet.payload_len -= 2;
    Some(packet)
}

/// A packet of a known track: statistics, gaps, key frames; then to everyone.
fn arrive(
    tables: &mut Tables,
    accepted: Accepted,
    plain: &[u8],
    now: Instant,
    host: &mut impl Host,
) {
    let Accepted { track: place, mut packet, repeated, .. } = accepted;
    let Some(track) = tables.tracks.at_mut(place) else { return };
    let Some(payload) = track.payload(packet.payload_type).copied() else {
        return;
    };
    let Some(arrival) = track.admit(&packet, &payload, repeated, now) else { return };
    match arrival {
        Arrival::Known => return,
        Arrival::Missing(Filled::Answered) => tables.counters.repaired += 1,
        Arrival::Newer { .. } | Arrival::Missing(Filled::Late) => {}
    }
    if !track.listed && track.has_gaps() {
        track.listed = true;
        tables.gapped.push(place);
    }
    let Some(state) = track.encodings.get_mut(usize::from(packet.encoding)) else { return };
    packet.epoch = state.epoch;
    packet.codec = payload.codec;
    if packet.payload_len > 0 {
        read_frame(&mut packet, &mut state.frames, plain);
    }
    // Of other codecs a decoder can start with every packet, and needs those before all the same.
    let predicted = track.kind == MediaKind::Video && payload.codec != Codec::Other;
    if packet.frame.key && predicted {
        state.on_key_frame(arrival, now);
    }
    track.newest_at = now;
    track.silent = false;
    let id = track.id;
    let voice = track.voice(&packet, plain, now);
    if !std::mem::replace(&mut track.active, true) {
        host.event(Event::TrackStarted { track: id });
    }
    if let Some(Voice { level, speaking }) = voice {
        host.event(Event::AudioLevel { track: id, level, speaking });
    }
    let Some(feed) = tables.feeds.place(FeedName(id)) else { return };
    if arrival == (Arrival::Newer { repairable: false }) {
        tables.want_key_frame(feed, packet.encoding, now, host);
    }
    enqueue(tables, feed, &packet, plain, now, host);
}

/// What a packet says of its frame: layers, running numbers, and where the primary block of
/// redundant audio is.
fn read_frame(packet: &mut Packet, frames: &mut FrameReader, plain: &[u8]) {
    let payload = packet.payload(plain);
    let described = packet.elements().iter().find_map(|element| {
        let at = usize::from(element.offset);
        let wanted = element.extension == Extension::DependencyDescriptor;
        plain.get(at..at + usize::from(element.len)).filter(|_| wanted)
    });
    packet.frame = frames.read(packet.codec, payload, packet.marker, described);
    let frame_number = described.and_then(|data| data.get(1..3)?.try_into().ok());
    let frame_number = frame_number.map(u16::from_be_bytes);
    let (picture_id, tl0) = match packet.codec {
        Codec::Vp8 => vp8::Descriptor::parse(payload)
            .map_or((None, None), |it| (it.picture_id, it.tl0_picture_index)),
        Codec::Vp9 => vp9::Descriptor::parse(payload)
            .map_or((None, None), |it| (it.picture_id, it.tl0_picture_index)),
        _ => (None, None),
    };
    let picture_id = picture_id.map(|id| id.value);
    packet.primary = match packet.codec {
        Codec::Red => red::primary(payload).map(|it| (it.payload_type, it.offset as u16)),
        _ => None,
    };
    packet.picture = PictureNumbers { picture_id, tl0, frame_number };
}

/// Keeps the packet in the history, hands it to the cores that want it, and has it forwarded at the
/// end of the turn.
fn enqueue(
    tables: &mut Tables,
    place: FeedPlace,
    packet: &Packet,
    plain: &[u8],
    now: Instant,
    host: &mut impl Host,
) {
    let Tables { feeds, history, counters, fresh, serving, .. } = tables;
    let Some(feed) = feeds.at_mut(place) else { return };
    let kept = keep(history, feed, packet, plain, now);
    for core in feed.cores() {
        if host.hand(core, FrameHeader::Media { track: feed.track, packet: *packet }, plain) {
            counters.frames_out += 1;
        } else {
            counters.drop(Drop::LaneFull);
        }
    }
    let Some(number) = kept.filter(|_| !feed.subscriptions.is_empty()) else { return };
    if feed.fresh.is_empty() {
        fresh.push(place);
    }
    feed.fresh.push(Fresh { number, arrival: now, publisher: *serving });
    if feed.fresh.len() == FRESH_MAX {
        forward(tables, host);
    }
}

fn keep(
    history: &mut History,
    feed: &mut Feed<Index>,
    packet: &Packet,
    plain: &[u8],
    now: Instant,
) -> Option<u64> {
    let video = feed.kind == MediaKind::Video;
    let (encoding, fresh) = feed.encoding(packet, || Index::new(video))?;
    if fresh {
        encoding.index.clear();
    }
    encoding.newest_at = Some(now);
    encoding.count(packet, plain.len(), now);
    history.keep(&mut encoding.index, packet, plain, now)
}

/// Sends the packets of this turn to the subscribers: to each all of them one after the other, so that
/// what it takes is looked up once, and they leave as one message.
pub(crate) fn forward(tables: &mut Tables, host: &mut impl Host) {
    while let Some(place) = tables.fresh.pop() {
        fan_out(tables, place, host);
    }
    tables.serving = None;
}

fn fan_out(tables: &mut Tables, place: FeedPlace, host: &mut impl Host) {
    let Tables { feeds, subscriptions, peers, history, counters, paced, serving, .. } = tables;
    let Some(feed) = feeds.at_mut(place) else { return };
    // Taken out: a panic below must not bring the same packets again.
    let mut fresh = std::mem::take(&mut feed.fresh);
    for place in &feed.subscriptions {
        for &Fresh { number, arrival: now, publisher } in &fresh {
            let Some((packet, plain)) = history.at(number) else { continue };
            *serving = publisher;
            let delivery = Delivery { feed: &*feed, packet, plain, now };
            deliver((subscriptions, peers), *place, &delivery, (counters, paced), host);
        }
    }
    fresh.clear();
    feed.fresh = fresh;
}

/// A packet of a feed, as all its subscriptions get it.
struct Delivery<'a> {
    feed: &'a Feed<Index>,
    packet: &'a Packet,
    plain: &'a [u8],
    now: Instant,
}

/// Sends a packet to one subscription, if that wants it. Never inlined: within the loop and the walk
/// around it nothing stayed in registers.
#[inline(never)]
fn deliver(
    (subscriptions, peers): (&mut Table<SubscriptionId, Subscription>, &mut Table<PeerId, Peer>),
    place: SubscriptionPlace,
    delivery: &Delivery<'_>,
    (counters, paced): (&mut Counters, &mut Vec<PeerPlace>),
    host: &mut impl Host,
) {
    let Delivery { packet, now, .. } = *delivery;
    let Some(subscription) = subscriptions.at_mut(place) else { return };
    let Some(peer) = peers.at_mut(subscription.peer) else { return };
    let Some(mut outlet) = peer.outlet() else { return };
    let (numbers, fill) = match subscription.pick(packet, |e| delivery.feed.clock(e), now) {
        Pick::Forward(numbers) => (numbers, false),
        Pick::Fill(numbers) => (numbers, true),
        Pick::Skip => return,
    };
    // Faster than the subscriber's pace it waits; sound never does.
    let paceable = subscription.kind == MediaKind::Video && subscription.rtx_ssrc.is_some();
    if let Some(downlink) = outlet.downlink.as_deref_mut().filter(|_| paceable)
        && downlink.is_busy(now)
    {
        downlink.wait(Waiting {
            subscription: place,
            feed: subscription.feed,
            encoding: packet.encoding,
            epoch: packet.epoch,
            source: packet.sequence,
            numbers,
            fill,
            len: packet.payload_len,
            since: now,
        });
        counters.paced += 1;
        list(paced, downlink, subscription.peer);
    } else if fill || !stays_as_is(packet, &numbers) {
        let packet = (packet, delivery.plain, fill);
        emit_new(counters, outlet, subscription, packet, &numbers, host);
    } else {
        emit_as_is(counters, outlet, subscription, (packet, delivery.plain), &numbers, host);
    }
}
