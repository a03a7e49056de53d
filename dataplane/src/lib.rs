//! The data plane: one pinned thread per core, each with its own driver, sockets and engine.
//!
//! The control plane starts it with [`DataPlane::start`], sends [`common::command::Command`]s to
//! cores, and reads [`common::event::Event`]s. Nothing here has seen SDP, JSON or HTTP.
#![forbid(unsafe_code)]
