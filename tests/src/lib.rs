//! Harness of the tests that cross crate borders: simulation, remote peers, oracles.

mod client;
pub mod channels;
pub mod control;
pub mod decoder;
pub mod link;
pub mod oracle;
pub mod payload;
pub mod peer;
pub mod probe;
pub mod quality;
pub mod random;
pub mod scenario;
pub mod sim;
pub mod source;
pub mod wire;
mod world;
