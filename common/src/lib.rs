//! The vocabulary both planes share: identifiers, limits, commands, events and counters.
//!
//! Leaf crate: values only. No IO, no clock, no thread, no lock. Everything that crosses a core or
//! plane border is one of these values, never a handle to memory.

#![forbid(unsafe_code)]

pub mod id;
pub mod address;
pub mod media;
pub mod limits;
pub mod command;
pub mod event;
pub mod counters;
