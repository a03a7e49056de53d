//! Layered streams walked through the reader of frame facts: which frames every decode target gets,
//! and that a subscriber that changes its target as it likes is never sent a frame whose references
//! it was not sent. The streams are libwebrtc's scalability structures.
#![allow(clippy::unwrap_used)]

mod bits;
mod stream;
mod subscriber;
mod walk;
