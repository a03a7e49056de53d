//! Browser tests: the server's real binary, a real headless Chromium at both ends (and a Firefox at
//! one of them, where it is installed), and between them, where a test asks for it, a bad network
//! (relay.rs). Not run by a plain `cargo test`; `cargo xtask test` starts them and says
//! through the environment where the programs are:
//!
//! - `FANFALL_BINARY`: the server; default: beside the folder of this test binary
//! - `FANFALL_CHROMIUM`, `FANFALL_CHROMEDRIVER`: default: found on the search path
//! - `FANFALL_FIREFOX`: default: found on the search path; without it, its tests say they skip
//! - `FANFALL_SCREENSHOTS`: folder for pictures of the pages; default: none are taken
//!
//! The pages talk to the server's API directly (client.js, injected), but for the tests of the
//! server's own page, which use that page as a person would. Figures are printed as lines that
//! start with `figure:`.
#![allow(clippy::unwrap_used)]

mod clocks;
mod driver;
mod firefox;
mod http;
mod namespace;
mod pages;
mod relay;
mod samples;
mod server;

mod channels;
mod codecs;
mod demo;
mod harness;
mod invited;
mod layers;
mod lifecycle;
mod lossy;
mod makes;
mod negotiation;
mod redundancy;
mod sealed;
mod steady;
mod svc;
mod tcp;
mod watch;
