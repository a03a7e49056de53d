//! Client tests: the server's real binary, and unmodified clients of other makers at both ends:
//! browsers, partytracks, aiortc, GStreamer, werift, wrtc. Not run by a plain `cargo test`;
//! `cargo xtask test` installs the clients, starts the tests and says through the environment where
//! the programs are: what tests/browser/main.rs lists, and
//!
//! - `FANFALL_NODE`: Node; default: found on the search path
//! - `FANFALL_AIORTC`: the Python that has aiortc
//! - `FANFALL_PYTHON`: the Python that has GStreamer's bindings
//! - `FANFALL_CLIENTS`: names of clients, with commas; default: all of them meet
//! - `FANFALL_MATRIX`: file for the table of what each client can do; default: none is written
//!
//! Every picture carries its sender's number and the time it was painted, every tone its sender's
//! frequency (marks.py); the clients read them back from decoded pixels and samples.
#![allow(clippy::unwrap_used)]

// The harness of the browser tests, of which these tests need a part.
#[allow(dead_code)]
#[path = "../browser/driver.rs"]
mod driver;
#[allow(dead_code)]
#[path = "../browser/firefox.rs"]
mod firefox;
#[allow(dead_code)]
#[path = "../browser/http.rs"]
mod http;
#[allow(dead_code)]
#[path = "../browser/pages.rs"]
mod pages;
#[allow(dead_code)]
#[path = "../browser/server.rs"]
mod server;

mod stack;
mod talking;
mod watching;

mod broadcast;
mod calls;
mod echo;
mod matrix;
mod party;
mod schema;
mod table;
