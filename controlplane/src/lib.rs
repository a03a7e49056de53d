//! The control plane: HTTP API, page, metrics, and the state of sessions and tracks.
//!
//! [`start`] brings up the data plane and the server; the binary and the tests use nothing else. In
//! the order of a request: `server` accepts (`tls` makes its handshakes), `respond` authorises and reads, `endpoints` routes,
//! `api` handles, `sdp` negotiates, `state` remembers, `push` tells the cores. Media never passes
//! through here, and the data plane never waits for it.
#![forbid(unsafe_code)]

pub mod config;
mod server;
pub mod tls;
mod respond;
pub mod endpoints;
pub mod auth;
pub mod stream_token;
pub mod error;
pub mod wire;
pub mod api;
pub mod sdp;
pub mod state;
pub mod events;
pub mod store;
pub mod push;
mod slots;
pub mod meter;
mod metrics;
mod openapi;
mod page;
mod host;
mod assets;
pub mod demo;
mod dashboard;
mod start;
pub mod cli;

pub use config::Config;
pub use start::{Running, StartError, start};
