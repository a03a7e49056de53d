//! Stage 7: one subscriber's copy of a track: which packets it gets and under which numbers.

mod header;
mod layers;
mod resend;
mod rewrite;
mod segment;
mod subscription;
mod window;

pub(crate) use header::{
    Names, Title, seal_as_is, seal_packet, seal_padding, seal_rtx, stays_as_is,
};
pub(crate) use resend::Verdict;
pub(crate) use subscription::{Pick, Subscription};
