//! Every upper bound of the product in one place, relations checked at compile time.

use std::time::Duration;

/// Most peers on one node. Chosen: 65,536 peers at about 20 KiB each are 1.3 GiB.
pub const PEERS_MAX: usize = 1 << 16;
/// Most published tracks on one node.
pub const TRACKS_MAX: usize = 1 << 17;
/// Most subscriptions on one node.
pub const SUBSCRIPTIONS_MAX: usize = 1 << 20;
/// Streams (WHIP, WHEP) of one app that are published or watched at a time. Chosen: more than a
/// node has room to receive.
pub const STREAMS_PER_APP_MAX: usize = 4_096;
/// Rooms of the demo call that somebody is in. Chosen: far more than a demonstration has.
pub const DEMO_ROOMS_MAX: usize = 256;
/// Members of one room of the demo call. Chosen: as many pictures as a screen has places for.
pub const DEMO_MEMBERS_MAX: usize = 16;
/// A member of the demo call that asked nothing for this long is gone. Chosen: its page asks every
/// second, and every few in a network that is being changed.
pub const DEMO_SILENCE: Duration = Duration::from_secs(12);
/// Most cores of one data plane; chosen: core sets are 64-bit masks.
pub const CORES_MAX: usize = 64;
/// Remote addresses one peer may hold at a time (candidate pairs that passed a check).
pub const PATHS_PER_PEER_MAX: usize = 8;
/// Authenticated SSRCs one peer may send.
pub const SSRCS_PER_PEER_MAX: usize = 256;
/// Encodings (simulcast layers) of one track.
pub const ENCODINGS_MAX: usize = 8;

/// Largest UDP payload read from or written to the media port, in bytes. Chosen: Ethernet's 1,500
/// minus IPv4 and UDP headers is 1,472; Firefox's first DTLS flight is 1,408.
pub const DATAGRAM_MAX: usize = 1_500;
/// Room an outbound packet may need beyond the inbound one: extensions we add, SRTP tag, RTX.
pub const GROWTH_MAX: usize = 100;
/// Size of one send slot in bytes.
pub const SEND_SLOT: usize = 1_600;
const _: () = assert!(DATAGRAM_MAX + GROWTH_MAX <= SEND_SLOT);

/// Accepted TCP connections of one core. Chosen: clients connect to every candidate they are told, so
/// there are about as many as peers; a quarter of [`PEERS_MAX`] on each of four cores.
pub const TCP_CONNECTIONS_MAX: usize = 1 << 14;
/// Those of them from one IPv4 address or one IPv6 /64. Chosen: an office behind one address.
pub const TCP_PER_ADDRESS_MAX: usize = 512;
/// Those of them that carried no authenticated check yet; the oldest makes room for the newest.
/// Chosen: more than one address may have.
pub const TCP_UNPROVEN_MAX: usize = 1_024;
const _: () = assert!(TCP_UNPROVEN_MAX > TCP_PER_ADDRESS_MAX);
const _: () = assert!(TCP_CONNECTIONS_MAX > TCP_UNPROVEN_MAX && TCP_CONNECTIONS_MAX <= 1 << 16);
/// Bytes one connection may send before its first authenticated check. Chosen: some 30 checks.
pub const TCP_UNPROVEN_BYTES_MAX: usize = 4_096;
/// Time one connection has for its first authenticated check. Chosen: ten round trips of 500 ms.
pub const TCP_PROOF_MAX: Duration = Duration::from_secs(5);
/// A connection that nothing was sent on, or that took nothing of what waits, is closed after this.
pub const TCP_IDLE_MAX: Duration = CONSENT_MAX;
/// Bytes that wait for room on one connection; frames beyond it are dropped. Chosen: half a second
/// of 2 Mbit/s, and more than a key frame.
pub const TCP_QUEUE_BYTES: usize = 128 << 10;
/// Connections on their way from one core to another's.
pub const TCP_MOVES: usize = 64;

/// Bytes of packet history each core keeps for resends, over all its tracks.
pub const HISTORY_BYTES: usize = 32 << 20;
/// Packets of one encoding that can be found in the history (a power of two).
pub const HISTORY_PACKETS: usize = 1_024;
const _: () = assert!(HISTORY_PACKETS.is_power_of_two());

/// Packets towards one peer that wait for their pace; further ones do not wait. The queue doubles as
/// it is needed, so it can end at less than twice this.
pub const PACED_PACKETS_MAX: usize = 1_024;

/// RFC 7675: consent lives 30 s after the last authenticated check.
pub const CONSENT_MAX: Duration = Duration::from_secs(30);
/// A handshake that took longer ends its peer.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
/// A track without packets for this long is reported silent.
pub const TRACK_SILENCE: Duration = Duration::from_secs(30);
/// Largest reassembled DTLS ClientHello in bytes. Browsers send about 1,450 today.
pub const CLIENT_HELLO_MAX: usize = 8_192;

/// Depth of the lane from the control plane to one core. When full the control plane waits.
pub const COMMAND_LANE: usize = 4_096;
/// Depth of the lane from all cores to the control plane.
pub const EVENT_LANE: usize = 65_536;
/// Depth of the media lane from one core to one other. When full frames are dropped and counted.
pub const FRAME_LANE: usize = 2_048;

/// Most published data channels on one node.
pub const CHANNELS_MAX: usize = 1 << 16;
/// Most subscriptions of data channels on one node.
pub const CHANNEL_SUBSCRIPTIONS_MAX: usize = 1 << 18;
/// Largest message of a data channel in bytes, announced as `a=max-message-size` (what browsers
/// announce themselves).
pub const CHANNEL_MESSAGE_MAX: usize = 256 << 10;
/// SCTP streams one association may use, both ways (RFC 8832 allows 65,535). Chosen: as many as
/// the API can hand out to one session.
pub const SCTP_STREAMS_MAX: u16 = 1_024;
/// `waitForAck`: how long a channel waits for its subscriber's first message.
pub const CHANNEL_ACK_MAX: Duration = Duration::from_secs(30);

/// Bytes one association holds of messages that did not arrive whole yet, or out of order; also the
/// window it announces. Chosen: the largest messages of three channels at a time.
pub const SCTP_RECEIVE_BUFFER: usize = 1 << 20;
const _: () = assert!(SCTP_RECEIVE_BUFFER >= 2 * CHANNEL_MESSAGE_MAX);
/// DATA chunks among them, so that many small ones weigh no more. Chosen: full packets fill the
/// buffer with fewer than 1,024.
pub const SCTP_HELD_CHUNKS_MAX: usize = 4_096;
/// How far a DATA chunk may be ahead of the first one that is missing, in chunks; those beyond are
/// dropped as if the path had lost them. Chosen: more than a window of full packets.
pub const SCTP_AHEAD_MAX: u32 = 2_048;
/// Gaps between received DATA chunks beyond which only the first missing one is taken: what tells
/// them to the sender must fit a packet.
pub const SCTP_GAPS_MAX: usize = 200;
/// What waits in one association to be sent or acknowledged, in bytes, with
/// [`CHANNEL_MESSAGE_COST`] for each message. Chosen: a second of 8 Mbit/s.
pub const SCTP_SEND_QUEUE: usize = 1 << 20;
/// What a message weighs in a queue beside its bytes. Measured: a chunk of the SCTP library.
pub const CHANNEL_MESSAGE_COST: usize = 256;
const _: () = assert!(CHANNEL_MESSAGE_MAX + CHANNEL_MESSAGE_COST <= SCTP_SEND_QUEUE);
/// What a subscription keeps while its stream is not open or not acknowledged, in bytes as above;
/// the oldest messages go first.
pub const CHANNEL_EARLY_MAX: usize = 512 << 10;
const _: () = assert!(CHANNEL_MESSAGE_MAX + CHANNEL_MESSAGE_COST <= CHANNEL_EARLY_MAX);
/// Channel messages that wait for room in the lane to one other core, in bytes as above.
pub const CHANNEL_CROSSING_MAX: usize = 4 << 20;

/// Events of one app that a stream can resume from; also those that wait for one webhook.
/// Chosen: two minutes of a busy call.
pub const EVENTS_KEPT_MAX: usize = 1_024;
/// And their bytes. Chosen: an event has 250 to 400 bytes.
pub const EVENTS_KEPT_BYTES: usize = 256 << 10;
/// Apps whose events are kept because somebody listens, or did lately. Chosen: with all of them
/// busy 256 MiB.
pub const EVENT_APPS_MAX: usize = 1_024;
/// Event streams of one app that are open at a time. Chosen: the processes of a backend.
pub const EVENT_STREAMS_PER_APP_MAX: usize = 32;
/// Event streams of a node. Chosen: an eighth of the API's connections.
pub const EVENT_STREAMS_MAX: usize = 1_024;
/// How long the events of an app are kept that nobody listens to any more: what a stream that broke
/// off can resume from. Chosen: a backend's restart.
pub const EVENT_ABSENCE_MAX: Duration = Duration::from_secs(300);
