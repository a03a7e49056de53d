//! Session descriptions and their negotiation, fed from recordings of real clients
//! (`fixtures/sdp`: Chromium 156, Firefox ESR 153, GStreamer 1.22, Pion 3.1, werift 0.25,
//! wrtc 0.10, aiortc 1.16, the WHIP muxer of FFmpeg 8.1.2; that of OBS is put together as libdatachannel
//! 51085b8 writes what OBS 0016860 asks it for). RFC 8829, RFC 9143, RFC 8853.
#![allow(clippy::unwrap_used)]

mod support;
mod parsing;
mod answering;
mod offering;
mod inviting;
mod sequences;
mod channels;
mod counterpart;
mod hostile;
