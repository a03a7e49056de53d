//! Session descriptions and their negotiation, fed from recordings of real clients
//! (`fixtures/sdp`: Chromium 156, Firefox ESR 153, GStreamer 1.22, Pion 3.1, werift 0.25,
//! wrtc 0.10, aiortc 1.16). RFC 8829, RFC 9143, RFC 8853.
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
