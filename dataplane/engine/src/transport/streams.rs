//! The inbound SSRCs of one peer: replay state and what each SSRC is bound to. A stream is stored
//! only after its first packet was authenticated, and their number is bounded.

use common::limits::SSRCS_PER_PEER_MAX;
use proto::srtp::{InboundRtcp, InboundStream};

use crate::kit::table::TrackPlace;

/// What an inbound SSRC carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Binding {
    /// Not known yet: no published track claimed it.
    Unbound,
    /// Media of an encoding.
    Media(TrackPlace, u8),
    /// Retransmissions (RFC 4588) of an encoding.
    Retransmission(TrackPlace, u8),
}

/// One inbound SSRC.
pub(crate) struct Stream {
    /// Replay window and index of the newest packet.
    pub replay: InboundStream,
    /// What it carries.
    pub binding: Binding,
}

/// The inbound SSRCs of one peer.
pub(crate) struct Streams {
    /// Parallel to `streams`: a scan over plain integers finds the place.
    ssrcs: Vec<u32>,
    streams: Vec<Stream>,
    rtcp: Vec<(u32, InboundRtcp)>,
}

impl Streams {
    /// No streams.
    pub(crate) fn new() -> Self {
        Self { ssrcs: Vec::new(), streams: Vec::new(), rtcp: Vec::new() }
    }

    /// The place of `ssrc`.
    pub(crate) fn place(&self, ssrc: u32) -> Option<usize> {
        self.ssrcs.iter().position(|known| *known == ssrc)
    }

    /// The stream at `place`.
    pub(crate) fn at(&mut self, place: usize) -> Option<&mut Stream> {
        self.streams.get_mut(place)
    }

    /// Stores a stream after its first authentic packet. Returns its place, or None when the peer
    /// has [`SSRCS_PER_PEER_MAX`] already.
    pub(crate) fn add(&mut self, ssrc: u32, replay: InboundStream) -> Option<usize> {
        if self.ssrcs.len() >= SSRCS_PER_PEER_MAX {
            return None;
        }
        self.ssrcs.push(ssrc);
        self.streams.push(Stream { replay, binding: Binding::Unbound });
        Some(self.streams.len() - 1)
    }

    /// Unbinds every SSRC of `track`.
    pub(crate) fn release(&mut self, track: TrackPlace) {
        for stream in &mut self.streams {
            match stream.binding {
                Binding::Media(bound, _) | Binding::Retransmission(bound, _) if bound == track => {
                    stream.binding = Binding::Unbound;
                }
                _ => {}
            }
        }
    }

    /// A copy of the SRTCP state of `ssrc`, fresh when it was never seen.
    pub(crate) fn rtcp(&self, ssrc: u32) -> InboundRtcp {
        self.rtcp
            .iter()
            .find(|(known, _)| *known == ssrc)
            .map_or_else(InboundRtcp::default, |(_, state)| *state)
    }

    /// Stores the SRTCP state of `ssrc` after an authentic packet. Returns false when there is no
    /// place left: the packet must then be dropped, for its replay could not be noticed.
    pub(crate) fn keep_rtcp(&mut self, ssrc: u32, state: InboundRtcp) -> bool {
        if let Some((_, kept)) = self.rtcp.iter_mut().find(|(known, _)| *known == ssrc) {
            *kept = state;
            return true;
        }
        let fits = self.rtcp.len() < SSRCS_PER_PEER_MAX;
        if fits {
            self.rtcp.push((ssrc, state));
        }
        fits
    }
}
