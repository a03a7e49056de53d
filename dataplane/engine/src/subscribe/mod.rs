//! Stage 7: one subscriber's copy of a track: which packets it gets and under which numbers.

mod resend;
mod rewrite;
mod subscription;

pub use resend::Budget;
pub use rewrite::Rewrite;
pub use subscription::{Pick, Subscription};
