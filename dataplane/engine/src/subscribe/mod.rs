//! Stage 7: one subscriber's copy of a track: which packets it gets and under which numbers.

mod header;
mod resend;
mod rewrite;
mod subscription;

pub(crate) use header::{Numbers, seal_packet, write as write_header};
pub(crate) use subscription::{Pick, Subscription};
