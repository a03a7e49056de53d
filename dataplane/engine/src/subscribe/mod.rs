//! Stage 7: one subscriber's copy of a track: which packets it gets and under which numbers.

mod header;
mod resend;
mod rewrite;
mod subscription;

pub use header::{Numbers, write as write_header};
pub use subscription::{Pick, Subscription};
