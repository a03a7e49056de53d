//! Stage 1: whose datagram is it? Remote address to peer of this core, or to another core.

mod flows;

pub(crate) use flows::{Flow, Flows};
