//! Placeholder.
pub mod sdp;
