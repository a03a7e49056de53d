//! Per-core counters: one fixed block of plain integers, owned by its core, copied out as a value.
//!
//! Accounting rule: every datagram that arrives is forwarded, consumed or dropped with a reason;
//! [`Counters::datagrams_in`] equals [`Counters::media_in`] + `control_in` + `handed_over` + the
//! sum of [`Counters::drops`] over the reasons for which [`Drop::is_inbound`] holds.

/// Why a datagram, or a packet that was to be sent, was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(usize)]
pub enum Drop {
    /// Neither STUN, DTLS, RTP nor RTCP by its first bytes (RFC 7983), or shorter than any of them.
    Unclassified,
    /// DTLS, RTP or RTCP from an address that passed no connectivity check.
    UnknownAddress,
    /// Not well-formed STUN, or a kind of message we do not answer.
    StunMalformed,
    /// STUN for a user name that this node did not make, or that ended.
    StunUnknownUser,
    /// STUN whose MESSAGE-INTEGRITY did not verify.
    StunUnauthentic,
    /// A new path beyond [`crate::limits::PATHS_PER_PEER_MAX`], or path changes that come too fast.
    PathLimit,
    /// DTLS that is malformed or out of state.
    DtlsRejected,
    /// SRTP or SRTCP before the keys exist.
    NoKeys,
    /// RTP header that does not parse.
    RtpMalformed,
    /// SRTP whose tag did not verify.
    SrtpUnauthentic,
    /// SRTP seen before, or older than the replay window.
    SrtpReplayed,
    /// SRTCP whose tag did not verify, that was seen before, or that does not parse.
    RtcpRejected,
    /// RTP that belongs to no published track.
    UnknownTrack,
    /// RTP with a payload type that was not negotiated.
    UnknownPayloadType,
    /// SSRCs beyond [`crate::limits::SSRCS_PER_PEER_MAX`].
    SsrcLimit,
    /// A datagram for its home core found the lane full.
    HandOverFull,
    /// A media frame for another core found its lane full.
    LaneFull,
    /// No send slot was free (counted per packet that was not sent).
    NoSendSlot,
    /// The kernel refused a send (counted per packet).
    SendFailed,
    /// A datagram longer than [`crate::limits::DATAGRAM_MAX`].
    Oversize,
    /// An outbound packet that did not fit its slot.
    TooLong,
    /// A packet that waited for its pace was no longer in the history when its turn came.
    PacedOut,
    /// The core's tables had no place for a new peer.
    CoreFull,
    /// A panic was contained while this datagram was processed.
    Aborted,
}

impl Drop {
    /// Every reason, in declaration order, with its label in metrics.
    pub const ALL: [(Drop, &'static str); 24] = [
        (Drop::Unclassified, "unclassified"),
        (Drop::UnknownAddress, "unknown_address"),
        (Drop::StunMalformed, "stun_malformed"),
        (Drop::StunUnknownUser, "stun_unknown_user"),
        (Drop::StunUnauthentic, "stun_unauthentic"),
        (Drop::PathLimit, "path_limit"),
        (Drop::DtlsRejected, "dtls_rejected"),
        (Drop::NoKeys, "no_keys"),
        (Drop::RtpMalformed, "rtp_malformed"),
        (Drop::SrtpUnauthentic, "srtp_unauthentic"),
        (Drop::SrtpReplayed, "srtp_replayed"),
        (Drop::RtcpRejected, "rtcp_rejected"),
        (Drop::UnknownTrack, "unknown_track"),
        (Drop::UnknownPayloadType, "unknown_payload_type"),
        (Drop::SsrcLimit, "ssrc_limit"),
        (Drop::HandOverFull, "hand_over_full"),
        (Drop::LaneFull, "lane_full"),
        (Drop::NoSendSlot, "no_send_slot"),
        (Drop::SendFailed, "send_failed"),
        (Drop::Oversize, "oversize"),
        (Drop::TooLong, "too_long"),
        (Drop::PacedOut, "paced_out"),
        (Drop::CoreFull, "core_full"),
        (Drop::Aborted, "aborted"),
    ];

    /// Whether the reason ends the way of an arrived datagram (the others count packets that were
    /// to be sent).
    pub const fn is_inbound(self) -> bool {
        !matches!(
            self,
            Drop::LaneFull | Drop::NoSendSlot | Drop::SendFailed | Drop::TooLong | Drop::PacedOut
        )
    }
}

/// Why a TCP connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(usize)]
pub enum TcpClose {
    /// The far end closed or reset it, or the network did.
    Remote,
    /// No authenticated check within [`crate::limits::TCP_PROOF_MAX`] or
    /// [`crate::limits::TCP_UNPROVEN_BYTES_MAX`].
    Unproven,
    /// The oldest of too many without an authenticated check.
    Crowded,
    /// A frame longer than [`crate::limits::DATAGRAM_MAX`].
    FrameTooLong,
    /// Nothing was sent on it for [`crate::limits::TCP_IDLE_MAX`]: no peer uses it.
    Idle,
    /// It took nothing of what waited for [`crate::limits::TCP_IDLE_MAX`].
    Stuck,
    /// It went on to the core of its peer.
    Moved,
}

impl TcpClose {
    /// Every reason, in declaration order, with its label in metrics.
    pub const ALL: [(TcpClose, &'static str); 7] = [
        (TcpClose::Remote, "remote"),
        (TcpClose::Unproven, "unproven"),
        (TcpClose::Crowded, "crowded"),
        (TcpClose::FrameTooLong, "frame_too_long"),
        (TcpClose::Idle, "idle"),
        (TcpClose::Stuck, "stuck"),
        (TcpClose::Moved, "moved"),
    ];
}

/// What one core's driver counts of TCP. Monotonic, except the gauge at the end.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct TcpCounters {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections taken over from another core.
    pub adopted: u64,
    /// Connections refused: a bound was reached.
    pub refused: u64,
    /// Connections ended, by reason ([`TcpClose`] as index).
    pub closed: [u64; TcpClose::ALL.len()],
    /// Datagrams that found their connection's queue full.
    pub datagrams_dropped: u64,
    /// Bytes of them.
    pub bytes_dropped: u64,
    /// Gauge: open connections.
    pub open: u64,
}

impl TcpCounters {
    /// Connections ended for `reason` so far.
    pub fn closed(&self, reason: TcpClose) -> u64 {
        self.closed[reason as usize]
    }
}

/// One core's counters. Monotonic, except the gauges at the end.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received by this core's sockets, or handed to it by another core.
    pub datagrams_in: u64,
    /// Bytes of them (UDP payload).
    pub bytes_in: u64,
    /// Datagrams committed to send slots.
    pub datagrams_out: u64,
    /// Bytes of them (UDP payload).
    pub bytes_out: u64,
    /// UDP messages handed to the kernel: one of several datagrams is cut up by it (UDP_SEGMENT).
    pub sends: u64,
    /// Inbound datagrams that were authentic RTP of a published track.
    pub media_in: u64,
    /// Inbound datagrams consumed as STUN, DTLS or RTCP.
    pub control_in: u64,
    /// Inbound datagrams handed to the home core of their peer.
    pub handed_over: u64,
    /// RTP packets forwarded to subscribers (outbound, first time).
    pub media_out: u64,
    /// RTP packets sent again because of a NACK.
    pub resent: u64,
    /// Resends refused: over the budget, too often for one packet, or still under way.
    pub resends_refused: u64,
    /// Packets of padding sent to probe for bandwidth.
    pub probes: u64,
    /// Packets that waited for their pace.
    pub paced: u64,
    /// Changes of the layers that subscriptions are to show.
    pub layer_changes: u64,
    /// Media frames sent to other cores.
    pub frames_out: u64,
    /// Media frames received from other cores.
    pub frames_in: u64,
    /// Key frames asked of publishers.
    pub key_frame_requests: u64,
    /// Sequence numbers named in NACKs of subscribers.
    pub nacked: u64,
    /// Those of them that came too late to be of use.
    pub nacked_late: u64,
    /// Sequence numbers named in NACKs to publishers.
    pub asked: u64,
    /// Lost packets of publishers that came when they were asked for.
    pub repaired: u64,
    /// Handshakes that ended in a connected peer.
    pub handshakes: u64,
    /// Microseconds those took in sum, from the first authenticated check.
    pub handshake_us: u64,
    /// Messages of published data channels that arrived (from publishers at home on this core).
    pub channel_in: u64,
    /// Messages given to the associations of subscribers, and replies to those of publishers.
    pub channel_out: u64,
    /// Messages of data channels that were dropped, once for each that should have got it: of no
    /// channel, early ones beyond their bound, or for a receiver whose queue was full.
    pub channel_dropped: u64,
    /// SCTP packets that were refused: malformed, out of state, or beyond what an association may
    /// hold. (Their datagrams are counted in `control_in`.)
    pub sctp_rejected: u64,
    /// What its driver counted of TCP.
    pub tcp: TcpCounters,
    /// Dropped, by reason ([`Drop`] as index).
    pub drops: [u64; Drop::ALL.len()],
    /// Gauge: peers at home on this core.
    pub peers: u64,
    /// Gauge: published tracks of those peers.
    pub tracks: u64,
    /// Gauge: subscriptions of those peers.
    pub subscriptions: u64,
    /// Gauge: published data channels of those peers.
    pub channels: u64,
    /// Gauge: subscriptions of data channels of those peers.
    pub channel_subscriptions: u64,
}

impl Counters {
    /// Counts one drop.
    pub fn drop(&mut self, reason: Drop) {
        self.drops[reason as usize] += 1;
    }

    /// Drops for `reason` so far.
    pub fn dropped(&self, reason: Drop) -> u64 {
        self.drops[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_sits_at_its_own_index() {
        for (index, (reason, _)) in Drop::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        for (index, (reason, _)) in TcpClose::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
