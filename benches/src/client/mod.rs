//! The generator's endpoints: real sockets, connectivity checks, DTLS and SRTP by libraries that are
//! not ours. In the order a packet meets them: `publisher` sends, `transport` is one subscriber's
//! keys, `batch` receives, `subscriber` counts and checks, `feedback` answers; `sdp` is what both
//! say of themselves. Called by `generator`.

pub(crate) mod batch;
pub(crate) mod count;
pub(crate) mod feedback;
pub(crate) mod publisher;
pub(crate) mod sdp;
pub(crate) mod subscriber;
pub(crate) mod transport;
