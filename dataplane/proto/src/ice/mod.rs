//! ICE as the passive side: credentials without a table, and the paths of one peer.
//!
//! `credentials` makes user names that carry their owner; `lite` decides from authenticated checks
//! where a peer may be reached. RFC 8445 (lite implementations), RFC 7675 (consent).

mod credentials;
mod lite;

pub use credentials::{Credentials, NodeSecret, Password, Ufrag, issue, open_ufrag, password};
pub use lite::{CheckOutcome, IceLite};
