//! A remote peer built on somebody else's WebRTC stack (str0m, sans-IO, RTP mode): ICE controlling
//! agent, DTLS client or server, SRTP, NACK and reports. Driven by the simulation, the loopback tests and the
//! load generator with datagrams and instants; owns no socket and reads no clock. It is the judge of
//! our engine and must therefore never use our own protocol code.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common::media::MediaKind;
use str0m::config::{DtlsCert, DtlsVersion, Fingerprint};
use str0m::format::{Codec, FormatParams};
use str0m::ice::IceCreds;
use str0m::media::{Frequency, KeyframeRequestKind, MediaKind as Kind, Mid, Pt, Rid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::rtcp::Rtcp;
use str0m::rtp::{Extension, ExtensionValues, RawPacket, RtpPacket, RtpWrite, Ssrc};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};

use crate::channels::Seen;
use crate::payload::{self, Stamp};

/// Header extension id of MID on every test transport.
pub const MID_ID: u8 = 4;
/// Header extension id of the transport-wide sequence number on every test transport.
pub const TRANSPORT_CC_ID: u8 = 3;
/// Header extension id of the RID on every test transport.
pub const RID_ID: u8 = 5;
/// Header extension id of the repaired RID on every test transport.
pub const REPAIRED_RID_ID: u8 = 6;

/// Payload types one peer negotiated.
#[derive(Clone, Copy, Debug)]
pub struct PayloadTypes {
    /// VP8.
    pub video: u8,
    /// RTX of it (RFC 4588).
    pub rtx: u8,
    /// Opus.
    pub audio: u8,
    /// H.264, negotiated by the peer itself only: packets with it are of a type the server refused.
    pub refused: u8,
}

/// What publishers use.
pub const PUBLISHER_TYPES: PayloadTypes =
    PayloadTypes { video: 96, rtx: 97, audio: 111, refused: 102 };
/// What subscribers use: other numbers, so that a server that does not map them is caught.
pub const SUBSCRIBER_TYPES: PayloadTypes =
    PayloadTypes { video: 100, rtx: 101, audio: 109, refused: 102 };

/// How a peer is set up.
#[derive(Clone)]
pub struct PeerConfig {
    /// Its own address, as it sees it.
    pub local: SocketAddr,
    /// The server's media address.
    pub server: SocketAddr,
    /// The server's ICE user name fragment for this peer.
    pub ufrag: String,
    /// The server's ICE password for this peer.
    pub password: String,
    /// SHA-256 of the server's certificate.
    pub fingerprint: [u8; 32],
    /// Its own ICE user name fragment and password; None makes new ones.
    pub local_credentials: Option<(String, String)>,
    /// DTLS version to offer.
    pub dtls: DtlsVersion,
    /// Whether it waits for the server's ClientHello instead of sending its own.
    pub serves_dtls: bool,
    /// Certificate to present; None makes a new one.
    pub certificate: Option<DtlsCert>,
    /// Payload types in use.
    pub types: PayloadTypes,
    /// Whether RTCP is looked at (costly: every packet is copied).
    pub watch_rtcp: bool,
    /// Whether transport-wide sequence numbers are sent, and answered with feedback.
    pub transport_cc: bool,
    /// Whether it sends media: without any there is no bandwidth to estimate.
    pub publishes: bool,
}

impl PeerConfig {
    /// A publisher's usual set-up.
    pub fn new(local: SocketAddr, server: SocketAddr) -> Self {
        Self {
            local,
            server,
            ufrag: String::new(),
            password: String::new(),
            fingerprint: [0; 32],
            local_credentials: None,
            dtls: DtlsVersion::Dtls12,
            serves_dtls: false,
            certificate: None,
            types: PUBLISHER_TYPES,
            watch_rtcp: true,
            transport_cc: false,
            publishes: true,
        }
    }
}

/// One stream to send or to expect.
#[derive(Clone, Copy, Debug)]
pub struct StreamSpec {
    /// MID of the media section; each stream has its own.
    pub mid: &'static str,
    /// Audio or video.
    pub kind: MediaKind,
    /// SSRC.
    pub ssrc: u32,
    /// SSRC of its RTX stream, if it has one.
    pub rtx: Option<u32>,
}

/// A datagram the peer wants to send.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Where to.
    pub to: SocketAddr,
    /// Content.
    pub bytes: Vec<u8>,
}

/// One media packet as it reached the application.
#[derive(Clone, Debug)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// SSRC of the (original, not RTX) stream.
    pub ssrc: u32,
    /// Extended sequence number.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// MID header extension, if the packet carried one.
    pub mid: Option<Mid>,
    /// When it was captured by the newest sender report: time since the Unix epoch.
    pub captured: Option<Duration>,
    /// Payload bytes; none in a packet of padding.
    pub len: usize,
    /// The payload's stamp; None when it is not what a publisher wrote.
    pub stamp: Option<Stamp>,
}

/// RTCP messages counted in one direction.
#[derive(Clone, Copy, Default, Debug)]
pub struct RtcpCount {
    /// Picture loss indications.
    pub pli: u64,
    /// Full intra requests.
    pub fir: u64,
    /// Sequence numbers named in generic NACKs.
    pub nacked: u64,
    /// Sender reports.
    pub sender_reports: u64,
    /// Receiver reports.
    pub receiver_reports: u64,
    /// Transport-wide feedback messages.
    pub transport_feedback: u64,
    /// BYE.
    pub bye: u64,
}

/// The peer.
pub struct Peer {
    pub(crate) rtc: Rtc,
    local: SocketAddr,
    types: PayloadTypes,
    outbox: VecDeque<Datagram>,
    deadline: Instant,
    /// Whether ICE and DTLS came up.
    pub connected: bool,
    /// Whether ICE reported a lost connection, or the remote side closed.
    pub closed: bool,
    /// Why the stack gave up, if it did.
    pub failure: Option<String>,
    /// Media in the order it reached the application.
    pub received: Vec<Received>,
    /// MIDs and RIDs for which a key frame was asked since the owner last looked.
    pub key_frames_wanted: Vec<(Mid, Option<Rid>)>,
    /// Data channels.
    pub seen: Seen,
    /// RTCP that arrived (with `watch_rtcp`).
    pub rtcp_in: RtcpCount,
    /// RTCP that was sent (with `watch_rtcp`).
    pub rtcp_out: RtcpCount,
}

impl Peer {
    /// Makes a peer that starts checking and shaking hands at once.
    pub fn new(config: &PeerConfig, now: Instant) -> Self {
        let mut rtc = build(config, now);
        let local = Candidate::host(config.local, "udp").expect("host candidate");
        let remote = Candidate::host(config.server, "udp").expect("host candidate");
        rtc.add_local_candidate(local);
        rtc.add_remote_candidate(remote);
        let mut direct = rtc.direct_api();
        direct.set_remote_ice_credentials(IceCreds {
            ufrag: config.ufrag.clone(),
            pass: config.password.clone(),
        });
        direct.set_remote_fingerprint(Fingerprint {
            hash_func: "sha-256".into(),
            bytes: config.fingerprint.to_vec(),
        });
        direct.set_ice_controlling(true);
        direct.start_dtls(!config.serves_dtls).expect("DTLS starts");
        if config.transport_cc {
            direct.enable_twcc_feedback();
        }
        let mut peer = Self {
            rtc,
            local: config.local,
            types: config.types,
            outbox: VecDeque::new(),
            deadline: now,
            connected: false,
            closed: false,
            failure: None,
            received: Vec::new(),
            key_frames_wanted: Vec::new(),
            seen: Seen::default(),
            rtcp_in: RtcpCount::default(),
            rtcp_out: RtcpCount::default(),
        };
        peer.on_deadline(now);
        peer
    }

    /// A certificate for [`PeerConfig::certificate`], when its fingerprint must be known beforehand.
    pub fn certificate() -> DtlsCert {
        let provider = str0m::crypto::from_feature_flags();
        provider.dtls_provider.generate_certificate().expect("the stack makes certificates")
    }

    /// SHA-256 of a certificate (RFC 8122).
    pub fn fingerprint_of(certificate: &DtlsCert) -> [u8; 32] {
        str0m::crypto::from_feature_flags().sha256_provider.sha256(&certificate.certificate)
    }

    /// SHA-256 of the certificate this peer presents.
    pub fn fingerprint(&mut self) -> [u8; 32] {
        let direct = self.rtc.direct_api();
        direct.local_dtls_fingerprint().bytes.as_slice().try_into().expect("SHA-256")
    }

    /// Declares a stream to send.
    pub fn publish(&mut self, spec: StreamSpec) {
        self.declare(spec.mid, spec.kind);
        self.publish_encoding(spec, None);
    }

    /// Declares one encoding under a MID that is declared.
    pub fn publish_encoding(&mut self, spec: StreamSpec, rid: Option<&'static str>) {
        let mut direct = self.rtc.direct_api();
        let rtx = spec.rtx.map(Ssrc::from);
        let rid = rid.map(Rid::from);
        let stream = direct.declare_stream_tx(spec.ssrc.into(), rtx, spec.mid.into(), rid);
        stream.set_unpaced(true);
        // Without the stack's cap on the share of resends, which gives up at 15 %.
        stream.set_rtx_cache(2000, Duration::from_secs(3), None);
    }

    /// Declares a media section to send several encodings in.
    pub fn declare(&mut self, mid: &'static str, media: MediaKind) {
        self.rtc.direct_api().declare_media(mid.into(), kind(media));
    }

    /// Declares one more SSRC under a MID that [`Peer::publish`] declared.
    pub fn publish_extra_ssrc(&mut self, mid: &'static str, ssrc: u32) {
        self.rtc.direct_api().declare_stream_tx(ssrc.into(), None, mid.into(), None);
    }

    /// Declares a stream to receive.
    pub fn subscribe(&mut self, spec: StreamSpec) {
        let mut direct = self.rtc.direct_api();
        direct.declare_media(spec.mid.into(), kind(spec.kind));
        let rtx = spec.rtx.map(Ssrc::from);
        let stream = direct.expect_stream_rx(spec.ssrc.into(), rtx, spec.mid.into(), None);
        stream.suppress_nack(spec.kind == MediaKind::Audio);
    }

    /// Sends one RTP packet.
    pub fn send(&mut self, packet: Outgoing, now: Instant) {
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx(&packet.ssrc.into()) else { return };
        let pt = packet.payload_type.unwrap_or(match packet.kind {
            MediaKind::Audio => self.types.audio,
            MediaKind::Video => self.types.video,
        });
        let write = RtpWrite::new(
            Pt::from(pt),
            packet.sequence.into(),
            packet.timestamp,
            now,
            Arc::<[u8]>::from(packet.payload),
        );
        let nackable = packet.kind == MediaKind::Video;
        let extensions = ExtensionValues::default();
        stream.write_rtp(write.marker(packet.marker).nackable(nackable).ext_vals(extensions));
        self.on_deadline(now);
    }

    /// Asks for a key frame of a received stream by PLI (or FIR).
    pub fn request_key_frame(&mut self, ssrc: u32, fir: bool, now: Instant) {
        let kind = if fir { KeyframeRequestKind::Fir } else { KeyframeRequestKind::Pli };
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.into()) {
            stream.request_keyframe(kind);
        }
        self.on_deadline(now);
    }

    /// Takes a datagram from the network.
    pub fn on_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let Ok(receive) = Receive::new(Protocol::Udp, from, self.local, bytes) else { return };
        let result = self.rtc.handle_input(Input::Receive(now, receive));
        self.note(result);
        self.drain(now);
    }

    /// Does what is due.
    pub fn on_deadline(&mut self, now: Instant) {
        let result = self.rtc.handle_input(Input::Timeout(now));
        self.note(result);
        self.drain(now);
        // The stack may name an instant that has passed; a millisecond is its own granularity.
        if self.deadline <= now {
            self.deadline = now + Duration::from_millis(1);
        }
    }

    /// When [`Peer::on_deadline`] is due.
    pub fn next_deadline(&self) -> Instant {
        self.deadline
    }

    /// The next datagram to send.
    pub fn poll_datagram(&mut self) -> Option<Datagram> {
        self.outbox.pop_front()
    }

    /// Says BYE and DTLS close_notify.
    pub fn close(&mut self, now: Instant) {
        let result = self.rtc.close();
        self.note(result);
        self.drain(now);
    }

    fn note(&mut self, result: Result<(), str0m::RtcError>) {
        if let Err(error) = result {
            self.failure.get_or_insert_with(|| error.to_string());
        }
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    let bytes = transmit.contents.to_vec();
                    self.outbox.push_back(Datagram { to: transmit.destination, bytes });
                }
                Ok(Output::Event(event)) => self.on_event(event, now),
                Err(error) => {
                    self.failure.get_or_insert_with(|| error.to_string());
                    self.deadline = now + Duration::from_secs(3600);
                    return;
                }
            }
        }
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.connected = true,
            Event::Closed => self.closed = true,
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => self.closed = true,
            Event::KeyframeRequest(request) => {
                self.key_frames_wanted.push((request.mid, request.rid));
            }
            Event::RtpPacket(packet) => self.on_packet(&packet, now),
            Event::RawPacket(raw) => match *raw {
                RawPacket::RtcpRx(rtcp) => count(&mut self.rtcp_in, &rtcp),
                RawPacket::RtcpTx(rtcp) => count(&mut self.rtcp_out, &rtcp),
                _ => {}
            },
            other => self.on_channel_event(other, now),
        }
    }

    fn on_packet(&mut self, packet: &RtpPacket, now: Instant) {
        let header = &packet.header;
        let payload_type = *header.payload_type;
        let kind = match payload_type {
            pt if pt == self.types.audio => MediaKind::Audio,
            _ => MediaKind::Video,
        };
        self.received.push(Received {
            at: now,
            ssrc: *header.ssrc,
            sequence: *packet.seq_no,
            timestamp: header.timestamp,
            payload_type,
            marker: header.marker,
            mid: header.ext_vals.mid,
            captured: captured(packet),
            len: packet.payload.len(),
            stamp: payload::read(kind, &packet.payload),
        });
    }
}

/// One RTP packet to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// SSRC of a declared stream.
    pub ssrc: u32,
    /// Audio or video: decides the payload type unless one is given.
    pub kind: MediaKind,
    /// Payload type other than the usual one.
    pub payload_type: Option<u8>,
    /// Extended sequence number, below 65,536 for the first packet.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Payload.
    pub payload: Vec<u8>,
}

fn build(config: &PeerConfig, now: Instant) -> Rtc {
    let mut rtc = RtcConfig::new()
        .set_rtp_mode(true)
        .set_dtls_version(config.dtls)
        .enable_raw_packets(config.watch_rtcp)
        .set_rtcp_report_interval_audio(Duration::from_secs(1))
        .set_send_buffer_video(2000)
        .clear_codecs()
        .clear_extension_map()
        .set_extension(MID_ID, Extension::RtpMid)
        .set_extension(RID_ID, Extension::RtpStreamId)
        .set_extension(REPAIRED_RID_ID, Extension::RepairedRtpStreamId);
    if config.transport_cc {
        rtc = rtc.set_extension(TRANSPORT_CC_ID, Extension::TransportSequenceNumber);
    }
    if config.transport_cc && config.publishes {
        rtc = rtc.enable_bwe(Some(str0m::bwe::Bitrate::mbps(20)));
    }
    if let Some((ufrag, pass)) = config.local_credentials.clone() {
        rtc = rtc.set_local_ice_credentials(IceCreds { ufrag, pass });
    }
    if let Some(certificate) = &config.certificate {
        rtc = rtc.set_dtls_cert(certificate.clone());
    }
    let PayloadTypes { video, rtx, audio, refused } = config.types;
    let plain = FormatParams::default;
    let codecs = rtc.codec_config();
    let video_rate = Frequency::NINETY_KHZ;
    codecs.add_config(video.into(), Some(rtx.into()), Codec::Vp8, video_rate, None, plain());
    codecs.add_config(refused.into(), None, Codec::H264, video_rate, None, plain());
    let audio_rate = Frequency::FORTY_EIGHT_KHZ;
    codecs.add_config(audio.into(), None, Codec::Opus, audio_rate, Some(2), plain());
    rtc.build(now)
}

/// RFC 3550 section 6.4.1: where the newest sender report puts the packet's timestamp.
fn captured(packet: &RtpPacket) -> Option<Duration> {
    let report = packet.last_sender_info?;
    let ahead =
        i64::from(packet.header.timestamp.wrapping_sub(report.rtp_time.numer() as u32) as i32);
    let clock_rate = packet.time.frequency().get();
    let offset = Duration::from_secs_f64(ahead.unsigned_abs() as f64 / f64::from(clock_rate));
    let at = report.ntp_time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    if ahead < 0 { at.checked_sub(offset) } else { at.checked_add(offset) }
}

fn kind(kind: MediaKind) -> Kind {
    match kind {
        MediaKind::Audio => Kind::Audio,
        MediaKind::Video => Kind::Video,
    }
}

fn count(count: &mut RtcpCount, rtcp: &Rtcp) {
    match rtcp {
        Rtcp::Pli(_) => count.pli += 1,
        Rtcp::Fir(_) => count.fir += 1,
        Rtcp::Nack(nack) => {
            let entries = nack.reports.iter();
            count.nacked += entries.map(|e| 1 + u64::from(e.blp.count_ones())).sum::<u64>();
        }
        Rtcp::SenderReport(_) => count.sender_reports += 1,
        Rtcp::ReceiverReport(_) => count.receiver_reports += 1,
        Rtcp::Twcc(_) => count.transport_feedback += 1,
        Rtcp::Goodbye(_) => count.bye += 1,
        _ => {}
    }
}
